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
    SubmissionsBuffered "submissions_buffered" "Submitted messages buffered until an earlier one of their publisher arrives.",
    SubmissionsDropped "submissions_dropped" "Submitted messages dropped: hold-back or window full, or this node does not lead.",
    SubmissionsFenced "submissions_fenced" "Submitted messages of an older incarnation of their publisher.",
    SubmissionsUnknown "submissions_unknown" "Submitted messages of a publisher that is not open.",
    OpensRefused "opens_refused" "Opens refused because the table of publishers is full.",
    Publishers "publishers" "Gauge: names in the table of publishers, as the leader last had it.",
    WindowFull "window_full" "Times that a submission met a full window or a full journal.",
    FramesAccepted "frames_accepted" "Frames stored in the journal as standby, or taken in order by a reader.",
    FramesDuplicate "frames_duplicate" "Frames that were stored already.",
    FramesReordered "frames_reordered" "Frames buffered behind a gap.",
    FramesUnowned "frames_unowned" "Frames whose epoch does not own their seqs, or whose epoch's start is not stored.",
    FramesStale "frames_stale" "Frames of an epoch below the promise or below the one that is followed.",
    FramesDropped "frames_dropped" "Frames dropped because the journal or the reader's buffer is full.",
    AcksOut "acks_out" "Acks sent.",
    AcksIn "acks_in" "Acks received.",
    AcksUnlisted "acks_unlisted" "Acks of identities that the membership does not list; they are ignored.",
    BoundsRefused "bounds_refused" "Acks, ballots and heartbeats that report more entries than the window allows; they are ignored.",
    HeartbeatsOut "heartbeats_out" "Heartbeats sent.",
    HeartbeatsIn "heartbeats_in" "Heartbeats received.",
    NacksOut "nacks_out" "Requests for missing frames.",
    NacksIn "nacks_in" "Requests received.",
    RepairsOut "repairs_out" "Frames repaired to others.",
    RepairsIn "repairs_in" "Frames repaired to us.",
    RefusalsOut "refusals_out" "Requests refused, with the reason.",
    RefusalsIn "refusals_in" "Refusals received instead of frames.",
    Gaps "gaps" "Gaps detected.",
    NackRetries "nack_retries" "Requests that repeat an earlier one.",
    RepairRtt "repair_rtt_ns" "Gauge: time from a request to its repair, smoothed.",
    NacksIgnored "nacks_ignored" "Frames requested again before the repair can have arrived.",
    NacksReferred "nacks_referred" "Ranges that a leader referred to others.",
    NacksLimited "nacks_limited" "Ranges refused because the requester, or all together, exceed the budget.",
    RepairsByLeader "repairs_by_leader" "Frames repaired to others by a leader, on its hot thread.",
    RepairsMulticast "repairs_multicast" "Frames repaired by multicast because several readers requested them.",
    RequestersDropped "requesters_dropped" "Receivers that get no more repairs because they exceeded their budget for long.",
    ReplayedIn "replayed_in" "Frames received by replay.",
    Replays "replays" "Replays started because no ring had the missing frames.",
    Resends "resends" "Submissions sent again.",
    SubmissionsOverShare "submissions_over_share" "Submitted messages refused because their publisher had used up its share of a scarce window.",
    NoticesOut "notices_out" "Notices sent to publishers: missing numbers, or a used-up share.",
    NoticesIn "notices_in" "Notices received from the leader about a publisher of this process.",
    Divergences "divergences" "Numbers under which another copy of a publisher published other content.",
    QueriesIn "queries_in" "Queries answered.",
    RepliesWithheld "replies_withheld" "Queries about a publisher not answered because uncommitted entries have left the ring.",
    DuplicateIdentityIn "duplicate_identity_in" "Datagrams of another process with this node's identity.",
    UnicastProbesOut "unicast_probes_out" "Unicast probes sent to nodes from which no multicast arrives.",
    UnicastProbesIn "unicast_probes_in" "Unicast probes answered, by a heartbeat or an ack.",
    MulticastLost "multicast_lost" "Times that multicast was silent while unicast was answered.",
    Suspicions "suspicions" "Times that the leader was suspected, for any reason.",
    MembersUnavailable "members_unavailable" "Times that this leader found a member unavailable: silent, or far behind the commit.",
    MembersAvailable "members_available" "Gauge: available members by this leader's view, itself included; 0 where it never led.",
    Candidacies "candidacies" "Elections that this node started as a candidate.",
    RoundsRefused "rounds_refused" "Datagrams with a round too far above those seen; they are ignored.",
    SuffixReplacements "suffix_replacements" "Times that the end of the log was replaced by that of a new epoch.",
    EventsDropped "events_dropped" "Gauge: events not fetched in time; conditions and counters have their content.",
    StampedNext "stamped_next" "Gauge: the exclusive end of the stamped entries, as far as known.",
    AcceptNext "accept_next" "Gauge: the exclusive end of the stored log.",
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
