//! Counters: hand-written tables of names, kinds and meanings. Engines and devices count in plain arrays and
//! structs; the outside publishes them (a mapped file, a metrics page, a test).

use lockstep_wire::Condition;
use std::borrow::Cow;

/// What the value of a row is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CounterKind {
    /// A number that only rises.
    Count,
    /// A number that rises and falls.
    Gauge,
    /// One of some named states: its value is the index of a name in the row's unit.
    State,
    /// A distribution of times, in the words of a [`Durations`](super::durations::Durations).
    Histogram,
    /// A field of a record, which has its meaning beside the other fields of it: no metric of its own.
    Field,
}

impl CounterKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Count, Self::Gauge, Self::State, Self::Histogram, Self::Field];

    /// The word for it in a counters file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "counter",
            Self::Gauge => "gauge",
            Self::State => "state",
            Self::Histogram => "histogram",
            Self::Field => "field",
        }
    }

    /// How many values a row of this kind has.
    pub const fn values(self) -> usize {
        match self {
            Self::Histogram => super::durations::WORDS,
            _ => 1,
        }
    }
}

/// A counter, as its group declares it: shown by a counters file, by metrics and by the documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterRow {
    /// Unique in its group; labels stand behind it, as in `rejected{reason="short"}`.
    pub name: &'static str,
    /// What its value is.
    pub kind: CounterKind,
    /// `ns`, `B`, or nothing: how often, or how many. The names of a state, with `|` between.
    pub unit: &'static str,
    /// A sentence.
    pub meaning: &'static str,
}

impl CounterRow {
    const fn of_kind(kind: CounterKind, name: &'static str, meaning: &'static str) -> Self {
        Self { name, kind, unit: unit_of(name), meaning }
    }

    /// A number that only rises.
    pub const fn count(name: &'static str, meaning: &'static str) -> Self {
        Self::of_kind(CounterKind::Count, name, meaning)
    }

    /// A number that rises and falls.
    pub const fn gauge(name: &'static str, meaning: &'static str) -> Self {
        Self::of_kind(CounterKind::Gauge, name, meaning)
    }

    /// One of the states with these names, with `|` between.
    pub const fn state(name: &'static str, names: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: CounterKind::State, unit: names, meaning }
    }

    /// A distribution of times.
    pub const fn histogram(name: &'static str, meaning: &'static str) -> Self {
        Self::of_kind(CounterKind::Histogram, name, meaning)
    }

    /// A field of a record.
    pub const fn field(name: &'static str, meaning: &'static str) -> Self {
        Self::of_kind(CounterKind::Field, name, meaning)
    }

    /// The same with one label more, as `line="a"`; with an empty one it is as it was.
    pub fn labelled(&self, label: &str) -> Described {
        let described = Described::from(*self);
        if label.is_empty() { described } else { described.labelled(label) }
    }
}

/// The unit of a counter, which the last words of its name tell.
const fn unit_of(name: &str) -> &'static str {
    let bytes = name.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b'{' {
        end += 1;
    }
    let name = bytes.split_at(end).0;
    if ends_with(name, b"_ns") {
        "ns"
    } else if ends_with(name, b"_bytes") {
        "B"
    } else {
        ""
    }
}

const fn ends_with(name: &[u8], end: &[u8]) -> bool {
    if name.len() < end.len() {
        return false;
    }
    let mut index = 0;
    while index < end.len() {
        if name[name.len() - end.len() + index] != end[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A counter with everything that a counters file tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Unique in its process; labels stand behind it, as in `rejected{reason="short"}`.
    pub name: String,
    /// What its value is.
    pub kind: CounterKind,
    /// As in [`CounterRow::unit`].
    pub unit: Cow<'static, str>,
    /// A sentence; empty of one that an application has not described.
    pub meaning: Cow<'static, str>,
}

impl From<CounterRow> for Described {
    fn from(row: CounterRow) -> Self {
        let CounterRow { name, kind, unit, meaning } = row;
        Self { name: name.to_owned(), kind, unit: unit.into(), meaning: meaning.into() }
    }
}

impl Described {
    /// The rows of a condition: whether it is active, and how often it began.
    pub fn of_condition(condition: Condition) -> [Self; 2] {
        let (label, meaning) = (format!("condition=\"{}\"", condition.name()), condition.meaning());
        let row = |row: CounterRow, what: &str| Self {
            meaning: format!("{what}: {meaning}").into(),
            ..row.labelled(&label)
        };
        [
            row(CounterRow::gauge("condition", ""), "1 while the condition is active"),
            row(CounterRow::count("condition_begun", ""), "Times that the condition began"),
        ]
    }

    /// The same with one label more, as `line="a"`.
    pub fn labelled(mut self, label: &str) -> Self {
        match self.name.pop() {
            Some('}') => self.name += &format!(",{label}}}"),
            last => {
                self.name.extend(last);
                self.name += &format!("{{{label}}}");
            }
        }
        self
    }

    /// The name without its labels, and the labels without their braces.
    pub fn parts(&self) -> (&str, &str) {
        match self.name.split_once('{') {
            Some((name, labels)) => (name, labels.trim_end_matches('}')),
            None => (&self.name, ""),
        }
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
    PartsDiscarded count "parts_discarded" "Messages in parts that were discarded: left unfinished by their publisher, or begun before this reader.",
    QueriesIn count "queries_in" "Queries answered.",
    EventQueriesLost count "event_queries_lost" "Queries for events not answered because too many came in one turn.",
    RepliesWithheld count "replies_withheld" "Queries about a publisher not answered because uncommitted entries have left the ring.",
    DuplicateIdentityIn count "duplicate_identity_in" "Datagrams of another process with this node's identity.",
    UnicastProbesOut count "unicast_probes_out" "Unicast probes sent to nodes from which no multicast arrives.",
    UnicastProbesIn count "unicast_probes_in" "Unicast probes answered, by a heartbeat or an ack.",
    MulticastLost count "multicast_lost" "Times that multicast was silent while unicast was answered.",
    ReadsByUnicast gauge "reads_by_unicast" "1 while no group brings this handle the leader, and replicas answer it by unicast.",
    Suspicions count "suspicions" "Times that the leader was suspected, for any reason.",
    MembersUnavailable count "members_unavailable" "Times that this leader found a member unavailable: silent, or far behind the commit.",
    MembersAvailable gauge "members_available" "Available members by this leader's view, itself included; 0 where it never led.",
    Candidacies count "candidacies" "Elections that this node started as a candidate.",
    TakeoversRequested count "takeovers{reason=\"handover\"}" "Times that this node began to lead: its predecessor handed over, at an operator's order or as it was stopped.",
    TakeoversFailed count "takeovers{reason=\"failure\"}" "Times that this node began to lead: its predecessor failed or was no longer heard.",
    RoundsRefused count "rounds_refused" "Datagrams with a round too far above those seen; they are ignored.",
    SuffixReplacements count "suffix_replacements" "Times that the end of the log was replaced by that of a new epoch.",
    EventsDropped gauge "events_dropped" "Events not fetched in time; conditions and counters have their content.",
    StampedNext gauge "stamped_next" "The exclusive end of the stamped entries, as far as known.",
    AcceptNext gauge "accept_next" "The exclusive end of the stored log.",
    CommitNext gauge "commit_next" "The exclusive end of what is committed.",
    RejectedShort count "rejected{reason=\"short\"}" "Datagrams refused: fewer bytes than a header.",
    RejectedMagic count "rejected{reason=\"magic\"}" "Datagrams refused: not lockstep's.",
    RejectedVersion count "rejected{reason=\"version\"}" "Datagrams refused: another version.",
    RejectedKey count "rejected{reason=\"key\"}" "Datagrams refused: a key that we do not have.",
    RejectedKind count "rejected{reason=\"kind\"}" "Datagrams refused: a kind that does not exist, or not here.",
    RejectedLength count "rejected{reason=\"length\"}" "Datagrams refused: the length does not fit.",
    RejectedChecksum count "rejected{reason=\"checksum\"}" "Datagrams refused: the checksum does not fit.",
    RejectedCluster count "rejected{reason=\"cluster\"}" "Datagrams refused: another cluster.",
    RejectedHistory count "rejected{reason=\"history\"}" "Datagrams refused: another history.",
    RejectedCount count "rejected{reason=\"count\"}" "Datagrams refused: a count that does not fit.",
    RejectedFlags count "rejected{reason=\"flags\"}" "Datagrams refused: a flag that does not exist.",
    RejectedEntryKind count "rejected{reason=\"entry_kind\"}" "Datagrams refused: an entry of an unknown kind.",
    RejectedEntryLength count "rejected{reason=\"entry_length\"}" "Datagrams refused: an entry that reaches too far.",
    RejectedSeq count "rejected{reason=\"seq\"}" "Datagrams refused: a seq at the end of u64.",
    RejectedBody count "rejected{reason=\"body\"}" "Datagrams refused: a body that contradicts itself.",
    RejectedGeneration count "rejected{reason=\"generation\"}" "Datagrams refused: of a key that is no longer accepted.",
    RejectedUnkeyed count "rejected{reason=\"unkeyed\"}" "Datagrams refused: without a key, where keys are required.",
    RejectedRights count "rejected{reason=\"rights\"}" "Datagrams refused: the sender's key does not allow them.",
    RejectedTag count "rejected{reason=\"tag\"}" "Datagrams refused: not sealed with the key that they name.",
    RejectedSignature count "rejected{reason=\"signature\"}" "Orders refused: their operator's signature is missing or does not hold.",
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
                format!("rejected{{reason=\"{name}\"}}")
            );
        }
    }
}
