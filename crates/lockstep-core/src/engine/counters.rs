//! Counters: hand-written tables of names, kinds and meanings. Engines and devices count in plain arrays and
//! structs; the outside publishes them (a mapped file, a metrics page, a test).

/// A counter, as its group declares it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterRow {
    /// As it stands in the counters file, behind the prefix of its group if that has one.
    pub name: &'static str,
    /// It rises and falls; a count only rises.
    pub is_gauge: bool,
    /// A sentence.
    pub meaning: &'static str,
}

impl CounterRow {
    /// A number that only rises.
    pub const fn count(name: &'static str, meaning: &'static str) -> Self {
        Self { name, is_gauge: false, meaning }
    }

    /// A state.
    pub const fn gauge(name: &'static str, meaning: &'static str) -> Self {
        Self { name, is_gauge: true, meaning }
    }

    /// The names of `rows`.
    pub fn names(rows: &[Self]) -> Vec<&'static str> {
        rows.iter().map(|row| row.name).collect()
    }
}

/// Declares a struct of counters: one line for each field, with its kind (`count` or `gauge`), its name in
/// the counters file and its meaning.
#[macro_export]
macro_rules! counter_group {
    (
        $(#[$attribute:meta])*
        pub struct $group:ident {
            $($field:ident $kind:ident $name:literal $meaning:literal,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $group { $(#[doc = $meaning] pub $field: u64,)* }

        impl $group {
            /// Its counters, in the order of their values.
            pub const ROWS: &'static [$crate::engine::counters::CounterRow] =
                &[$($crate::engine::counters::CounterRow::$kind($name, $meaning),)*];

            /// All values, in the order of the rows.
            pub fn values(&self) -> [u64; $group::ROWS.len()] {
                [$(self.$field,)*]
            }

            /// These and those of another device of the same kind, each added up.
            pub fn sum(&self, other: &Self) -> Self {
                Self { $($field: self.$field + other.$field,)* }
            }
        }
    };
}

pub use counter_group;

macro_rules! counters {
    ($($name:ident $kind:ident $text:literal $meaning:literal,)*) => {
        /// The counted quantities.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(usize)]
        pub enum Counter { $(#[doc = $meaning] $name,)* }

        impl Counter {
            /// All of them, in order.
            pub const ROWS: &'static [CounterRow] = &[$(CounterRow::$kind($text, $meaning),)*];

            /// As it stands in the counters file.
            pub fn name(self) -> &'static str {
                Self::ROWS[self as usize].name
            }
        }
    };
}

counters! {
    DutyCycles count "duty_cycles" "Passes of the duty cycle.",
    DatagramsIn count "datagrams_in" "Datagrams received on the groups.",
    UnicastIn count "unicast_in" "Datagrams received on the unicast port.",
    FramesOut count "frames_out" "Frames sent to the data group.",
    FramesOutBytes count "frames_out_bytes" "Bytes of frames sent to the data group.",
    SendsShort count "sends_short" "Datagrams that the device did not take at first.",
    Stamped count "stamped" "Entries stamped.",
    SubmissionsDuplicate count "submissions_duplicate" "Submitted messages that were stamped before.",
    SubmissionsBuffered count "submissions_buffered" "Submitted messages buffered until an earlier one of their publisher arrives.",
    SubmissionsDropped count "submissions_dropped" "Submitted messages dropped: hold-back or window full, or this node does not lead.",
    SubmissionsFenced count "submissions_fenced" "Submitted messages of an older incarnation of their publisher.",
    SubmissionsUnknown count "submissions_unknown" "Submitted messages of a publisher that is not open.",
    OpensRefused count "opens_refused" "Opens refused: the table of publishers is full, or their key does not allow the name.",
    SubmissionsNotAllowed count "submissions_not_allowed" "Submitted messages refused: their key does not allow the name or the destination, or a rule for recipients does not.",
    SubmissionsOverRate count "submissions_over_rate" "Submitted messages refused: their key's rate is used up.",
    Publishers gauge "publishers" "Names in the table of publishers, as the leader last had it.",
    WindowFull count "window_full" "Times that a submission met a full window or a full journal.",
    FramesAccepted count "frames_accepted" "Frames stored in the journal as standby, or taken in order by a reader.",
    FramesDuplicate count "frames_duplicate" "Frames that were stored already.",
    FramesReordered count "frames_reordered" "Frames buffered behind a gap.",
    FramesUnowned count "frames_unowned" "Frames whose epoch does not own their seqs, or whose epoch's start is not stored.",
    FramesStale count "frames_stale" "Frames of an epoch below the promise or below the one that is followed.",
    FramesDropped count "frames_dropped" "Frames dropped because the journal or the reader's buffer is full.",
    AcksOut count "acks_out" "Acks sent.",
    AcksIn count "acks_in" "Acks received.",
    AcksUnlisted count "acks_unlisted" "Acks of identities that the membership does not list; they are ignored.",
    BoundsRefused count "bounds_refused" "Acks, ballots and heartbeats that report more entries than the window allows; they are ignored.",
    Contradictions count "contradictions" "Heartbeats and frames of the leader whose chain differs from the own log's; three in a row end the node.",
    HeartbeatsOut count "heartbeats_out" "Heartbeats sent.",
    HeartbeatsIn count "heartbeats_in" "Heartbeats received.",
    NacksOut count "nacks_out" "Requests for missing frames.",
    NacksIn count "nacks_in" "Requests received.",
    RepairsOut count "repairs_out" "Frames repaired to others.",
    RepairsIn count "repairs_in" "Frames repaired to us.",
    RefusalsOut count "refusals_out" "Requests refused, with the reason.",
    AddressProofsDemanded count "address_proofs_demanded" "Requests for frames answered by a demand to prove the address.",
    AddressProofsReturned count "address_proofs_returned" "Proofs of the own address that were returned to a replica.",
    QueriesShort count "queries_short" "Queries not answered because they are shorter than the answer.",
    RefusalsIn count "refusals_in" "Refusals received instead of frames.",
    Gaps count "gaps" "Gaps detected.",
    NackRetries count "nack_retries" "Requests that repeat an earlier one.",
    RepairRtt gauge "repair_rtt_ns" "Time from a request to its repair, smoothed.",
    NacksIgnored count "nacks_ignored" "Frames requested again before the repair can have arrived.",
    NacksReferred count "nacks_referred" "Ranges that a leader referred to others.",
    NacksLimited count "nacks_limited" "Ranges refused because the requester, or all together, exceed the budget.",
    RepairsByLeader count "repairs_by_leader" "Frames repaired to others by a leader, on its hot thread.",
    RepairsMulticast count "repairs_multicast" "Frames repaired by multicast because several readers requested them.",
    RequestersDropped count "requesters_dropped" "Receivers that get no more repairs because they exceeded their budget for long.",
    ReplayedIn count "replayed_in" "Frames received by replay.",
    Replays count "replays" "Replays started because no ring had the missing frames.",
    Resends count "resends" "Submissions sent again.",
    SubmissionsOverShare count "submissions_over_share" "Submitted messages refused because their publisher had used up its share of a scarce window.",
    NoticesOut count "notices_out" "Notices sent to publishers: missing numbers, or a used-up share.",
    NoticesIn count "notices_in" "Notices received from the leader about a publisher of this process.",
    Divergences count "divergences" "Numbers under which another copy of a publisher published other content.",
    QueriesIn count "queries_in" "Queries answered.",
    RepliesWithheld count "replies_withheld" "Queries about a publisher not answered because uncommitted entries have left the ring.",
    DuplicateIdentityIn count "duplicate_identity_in" "Datagrams of another process with this node's identity.",
    UnicastProbesOut count "unicast_probes_out" "Unicast probes sent to nodes from which no multicast arrives.",
    UnicastProbesIn count "unicast_probes_in" "Unicast probes answered, by a heartbeat or an ack.",
    MulticastLost count "multicast_lost" "Times that multicast was silent while unicast was answered.",
    Suspicions count "suspicions" "Times that the leader was suspected, for any reason.",
    MembersUnavailable count "members_unavailable" "Times that this leader found a member unavailable: silent, or far behind the commit.",
    MembersAvailable gauge "members_available" "Available members by this leader's view, itself included; 0 where it never led.",
    Candidacies count "candidacies" "Elections that this node started as a candidate.",
    RoundsRefused count "rounds_refused" "Datagrams with a round too far above those seen; they are ignored.",
    SuffixReplacements count "suffix_replacements" "Times that the end of the log was replaced by that of a new epoch.",
    EventsDropped gauge "events_dropped" "Events not fetched in time; conditions and counters have their content.",
    StampedNext gauge "stamped_next" "The exclusive end of the stamped entries, as far as known.",
    AcceptNext gauge "accept_next" "The exclusive end of the stored log.",
    CommitNext gauge "commit_next" "The exclusive end of what is committed.",
    RejectedShort count "rejected_short" "Datagrams refused: fewer bytes than a header.",
    RejectedMagic count "rejected_magic" "Datagrams refused: not lockstep's.",
    RejectedVersion count "rejected_version" "Datagrams refused: another version.",
    RejectedKey count "rejected_key" "Datagrams refused: a key that we do not have.",
    RejectedKind count "rejected_kind" "Datagrams refused: a kind that does not exist, or not here.",
    RejectedLength count "rejected_length" "Datagrams refused: the length does not fit.",
    RejectedChecksum count "rejected_checksum" "Datagrams refused: the checksum does not fit.",
    RejectedCluster count "rejected_cluster" "Datagrams refused: another cluster.",
    RejectedHistory count "rejected_history" "Datagrams refused: another history.",
    RejectedCount count "rejected_count" "Datagrams refused: a count that does not fit.",
    RejectedFlags count "rejected_flags" "Datagrams refused: a flag that does not exist.",
    RejectedEntryKind count "rejected_entry_kind" "Datagrams refused: an entry of an unknown kind.",
    RejectedEntryLength count "rejected_entry_length" "Datagrams refused: an entry that reaches too far.",
    RejectedSeq count "rejected_seq" "Datagrams refused: a seq at the end of u64.",
    RejectedBody count "rejected_body" "Datagrams refused: a body that contradicts itself.",
    RejectedGeneration count "rejected_generation" "Datagrams refused: of a key that is no longer accepted.",
    RejectedUnkeyed count "rejected_unkeyed" "Datagrams refused: without a key, where keys are required.",
    RejectedRights count "rejected_rights" "Datagrams refused: the sender's key does not allow them.",
    RejectedTag count "rejected_tag" "Datagrams refused: not sealed with the key that they name.",
    RejectedSignature count "rejected_signature" "Orders refused: their operator's signature is missing or does not hold.",
}

/// How many there are.
pub const COUNTERS: usize = Counter::ROWS.len();

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

    /// All of them, in the order of [`Counter::ROWS`].
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
            assert_eq!(
                Counter::ROWS[Counter::RejectedShort as usize + index].name,
                format!("rejected_{name}")
            );
        }
    }
}
