//! Counters: a hand-written table of names and meanings. The engines count in a plain array; the
//! outside publishes it (a mapped file, a metrics page, a test).

macro_rules! counters {
    ($($name:ident $text:literal $what:literal,)*) => {
        /// The counted quantities.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(usize)]
        pub enum Counter { $(#[doc = $what] $name,)* }

        impl Counter {
            /// Names as they stand in the counters file, in order.
            pub const NAMES: &'static [&'static str] = &[$($text,)*];
            /// What each one means.
            pub const MEANINGS: &'static [&'static str] = &[$($what,)*];
        }
    };
}

counters! {
    DutyCycles "duty_cycles" "Passes of the duty cycle.",
    DatagramsIn "datagrams_in" "Datagrams received on the groups.",
    UnicastIn "unicast_in" "Datagrams received on the unicast port.",
    FramesOut "frames_out" "Frames sent to the data group.",
    FramesOutBytes "frames_out_bytes" "Bytes of frames sent to the data group.",
    SendsShort "sends_short" "Datagrams that the device did not take at first.",
    Stamped "stamped" "Entries stamped.",
    SubmissionsDuplicate "submissions_duplicate" "Submitted messages that were stamped before.",
    SubmissionsBuffered "submissions_buffered" "Submitted messages that came before their turn.",
    SubmissionsDropped "submissions_dropped" "Submitted messages dropped: hold-back or window full, not led here.",
    SubmissionsFenced "submissions_fenced" "Submitted messages of an older incarnation of their publisher.",
    SubmissionsUnknown "submissions_unknown" "Submitted messages of a publisher that is not open.",
    OpensRefused "opens_refused" "Opens refused because the table of publishers is full.",
    Publishers "publishers" "Gauge: names in the table of publishers, as the leader last had it.",
    WindowFull "window_full" "Times that a submission met a full window or a full journal.",
    FramesAccepted "frames_accepted" "Frames stored in the journal as standby, or taken in order by a reader.",
    FramesDuplicate "frames_duplicate" "Frames that were held already.",
    FramesReordered "frames_reordered" "Frames kept because something was missing before them.",
    FramesUnowned "frames_unowned" "Frames whose epoch does not own their seqs, or whose epoch's start is not held.",
    FramesStale "frames_stale" "Frames of an epoch below the promise or below the one that is followed.",
    FramesDropped "frames_dropped" "Frames dropped because the journal or the reader's buffer is full.",
    AcksOut "acks_out" "Acks sent.",
    AcksIn "acks_in" "Acks received.",
    AcksUnlisted "acks_unlisted" "Acks of identities that the membership does not list: what they tell of the stream is not believed.",
    BoundsRefused "bounds_refused" "Acks, ballots and heartbeats that told of more entries than the window allows: not believed.",
    HeartbeatsOut "heartbeats_out" "Heartbeats sent.",
    HeartbeatsIn "heartbeats_in" "Heartbeats received.",
    NacksOut "nacks_out" "Requests for missing frames.",
    NacksIn "nacks_in" "Requests received.",
    RepairsOut "repairs_out" "Frames repaired to others.",
    RepairsIn "repairs_in" "Frames repaired to us.",
    RefusalsOut "refusals_out" "Requests answered by a reason.",
    RefusalsIn "refusals_in" "Reasons received instead of frames.",
    Gaps "gaps" "Times that something was found missing.",
    NackRetries "nack_retries" "Requests for what was asked for before.",
    RepairRtt "repair_rtt_ns" "Gauge: time from a request to its answer, smoothed.",
    NacksIgnored "nacks_ignored" "Frames asked for again before the answer can have arrived.",
    NacksReferred "nacks_referred" "Ranges that a leader referred to others.",
    NacksLimited "nacks_limited" "Ranges refused because the requester or all of them ask too much.",
    RepairsByLeader "repairs_by_leader" "Frames repaired to others by a leader: its stamping thread did it.",
    RepairsMulticast "repairs_multicast" "Frames repaired to everybody at once, as several asked for them.",
    RequestersDropped "requesters_dropped" "Receivers that are given nothing more, as they asked for too much.",
    ReplayedIn "replayed_in" "Frames that a replay brought.",
    Replays "replays" "Times that a replay was begun, because no ring held what was missing.",
    Resends "resends" "Submissions sent again.",
    SubmissionsOverShare "submissions_over_share" "Submitted messages refused while the window was scarce: their publisher had its share.",
    NoticesOut "notices_out" "Publishers told which of their numbers are missed, or that their share is used up.",
    NoticesIn "notices_in" "Notices of the leader about a publisher of ours.",
    Divergences "divergences" "Numbers under which a copy of ours had published something else.",
    QueriesIn "queries_in" "Questions answered.",
    RepliesWithheld "replies_withheld" "Questions about a publisher not answered: what is not committed has left the ring.",
    DuplicateIdentityIn "duplicate_identity_in" "Datagrams under our own identity of another process, or of one before this.",
    UnicastProbesOut "unicast_probes_out" "Questions by unicast to whom no group brought.",
    UnicastProbesIn "unicast_probes_in" "Such questions answered, by a heartbeat or an ack.",
    MulticastLost "multicast_lost" "Times that the groups were silent while unicast was answered.",
    Suspicions "suspicions" "Times that the leader was missed, for whatever reason.",
    MembersUnavailable "members_unavailable" "Times that this leader found a member away: not heard, or without what was committed long ago.",
    MembersAvailable "members_available" "Gauge: members that hold the log of this leader, itself included; 0 where it never led.",
    Candidacies "candidacies" "Times that this node asked to be promised an epoch.",
    RoundsRefused "rounds_refused" "Datagrams that named a round too far above those seen: not believed.",
    SuffixReplacements "suffix_replacements" "Times that the end of the log was exchanged for that of a new epoch.",
    EventsDropped "events_dropped" "Gauge: events that nobody fetched in time; conditions and counters have what they told.",
    StampedNext "stamped_next" "Gauge: the next seq to stamp, or seen stamped.",
    AcceptNext "accept_next" "Gauge: the exclusive end of the log held.",
    CommitNext "commit_next" "Gauge: the exclusive end of what is committed.",
    RejectedShort "rejected_short" "Datagrams refused: fewer bytes than a header.",
    RejectedMagic "rejected_magic" "Datagrams refused: not lockstep's.",
    RejectedVersion "rejected_version" "Datagrams refused: another version.",
    RejectedKey "rejected_key" "Datagrams refused: a key that we do not have.",
    RejectedKind "rejected_kind" "Datagrams refused: a kind that does not exist, or not here.",
    RejectedLength "rejected_length" "Datagrams refused: the length does not fit.",
    RejectedChecksum "rejected_checksum" "Datagrams refused: the tag does not fit.",
    RejectedCluster "rejected_cluster" "Datagrams refused: another cluster.",
    RejectedHistory "rejected_history" "Datagrams refused: another history.",
    RejectedCount "rejected_count" "Datagrams refused: a count that does not fit.",
    RejectedFlags "rejected_flags" "Datagrams refused: a flag that does not exist.",
    RejectedEntryKind "rejected_entry_kind" "Datagrams refused: an entry of an unknown kind.",
    RejectedEntryLength "rejected_entry_length" "Datagrams refused: an entry that reaches too far.",
    RejectedSeq "rejected_seq" "Datagrams refused: a seq at the end of u64.",
    RejectedBody "rejected_body" "Datagrams refused: a body that contradicts itself.",
}

/// How many there are.
pub const COUNTERS: usize = Counter::NAMES.len();

/// One engine's counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Counters([u64; COUNTERS]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; COUNTERS])
    }
}

impl Counters {
    /// Counts `n` more.
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        self.0[counter as usize] += n;
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&mut self, counter: Counter, value: u64) {
        self.0[counter as usize] = value;
    }

    /// Counts a refused datagram by its reason. Returns whether it is the first of its kind.
    pub fn reject(&mut self, reject: lockstep_wire::Reject) -> bool {
        let index = Counter::RejectedShort as usize + reject.index();
        self.0[index] += 1;
        self.0[index] == 1
    }

    /// One of them.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// All of them, in the order of [`Counter::NAMES`].
    pub fn values(&self) -> &[u64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::Reject;

    #[test]
    fn every_reason_to_refuse_a_datagram_has_its_counter() {
        for (index, name) in Reject::NAMES.iter().enumerate() {
            assert_eq!(Counter::NAMES[Counter::RejectedShort as usize + index], format!("rejected_{name}"));
        }
    }
}
