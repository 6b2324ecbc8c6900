//! The kinds of events, and the meaning of the fields of each.

/// What an event reports. Numbers are stable: a new kind gets a new one, and a program ignores kinds that it
/// does not know. Fields that a kind does not list are 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
#[non_exhaustive]
pub enum FlatKind {
    // Written from bindings/api.toml: kinds of events.
    /// The next message: `seq`, `publisher`, `publisher_seq`, `destination`, `timestamp`; the payload.
    Message = 1,
    /// Everything below `seq` is final (`stamped` subscriptions, once per poll).
    Committed = 2,
    /// What was reported from `seq` on did not survive a takeover (`stamped` subscriptions).
    Retract = 3,
    /// A new leadership begins at `seq`; `value` is the epoch.
    Epoch = 4,
    /// The membership from `seq` on has `value` members.
    Membership = 5,
    /// A name is opened: `seq`, `timestamp`, `publisher`; `publisher_seq` is the number of its last message,
    /// `detail` its incarnation, `value` and `value2` its nonce; the payload is the name.
    Opened = 6,
    /// A publisher is closed: `seq`, `timestamp`, `publisher`; the payload is the reason that its owner gave.
    Closed = 7,
    /// A gateway reports to other gateways that it runs: `seq`, `publisher`.
    GatewayHeartbeat = 8,
    /// The frame whose last entry was reported before; the payload is its bytes.
    Frame = 9,
    /// An entry without meaning for applications: `seq`; `detail` is the entry's kind.
    Filtered = 10,
    /// A trading day begins (`detail` 1) or ends (0): `seq`, `timestamp`; the payload is the day's name.
    Day = 11,
    /// The leader carries out an operator's order: `seq`, `timestamp`; `detail` is the order; the payload is
    /// the name of the operator's key. Of an order of time (6), which sets the stream's time back to
    /// `timestamp`, `value` is the time before.
    Ordered = 12,
    /// Messages from `seq` to below `value` are missing, and requested.
    Gap = 13,
    /// The subscription has ended: nobody sends what is missing from `seq` on. `value` is the oldest seq that
    /// can be had, `detail` the reason.
    Abandoned = 14,
    /// A message in parts that began at `seq` is discarded, and the subscription goes on: `publisher`;
    /// `detail` is 1 for the bytes that are unfinished, 2 for its length, 3 for the entries behind its first
    /// part, `value` the limit; or 4 if it began before the subscription did, then `seq` is where it ended.
    PartsDiscarded = 15,
    /// No multicast group brings the leader any more (`detail` 1), or they do again (0).
    Multicast = 16,
    /// Everything below `seq` that was seen is delivered.
    CaughtUp = 17,
    /// Entries from `seq` on that nobody has in memory are read from a journal over TCP.
    Replaying = 18,
    /// The subscription has ended: it cannot begin, or continue, at `seq`. `detail` is the reason, 0 if no
    /// journal could be reached.
    Refused = 19,
    /// From `seq` on the stream is of the history `value`, founded on the history `value2`.
    Founded = 20,
    /// The subscription has ended, or the publisher's outcomes are unknown: the history `value` was founded
    /// at `seq`, below what was final here, `value2`.
    HistoryLost = 21,
    /// The subscription has ended: the leader's log ends at `value`, and `seq` would be next here; `value2`
    /// is the epoch.
    Ahead = 22,
    /// Commit has lagged behind stamping by `value` entries for `value2` nanoseconds.
    Lag = 23,
    /// The subscription has ended: log and cluster differ at `seq`.
    Diverged = 24,
    /// A replica of a state machine reports to the others of that machine: `seq`, `publisher`.
    MachineReport = 25,
    /// A coordinator or an operator writes about the streams of a set: `seq`, `publisher`.
    SetNote = 26,
    /// A publisher's name is open: `publisher`; `publisher_seq` is the number of its next message, `value`
    /// that of its last committed one, `detail` the ticket of the call that opened it.
    NameOpened = 65,
    /// The leader refuses a name: `detail` is its ticket; `value` is 1 if the table of publishers is full
    /// (then `value2` is its size), 2 if the key of this process does not allow the name.
    NameRefused = 66,
    /// The key of this process does not allow a message: `publisher`, `publisher_seq`. It is sent again until
    /// the key's rights change.
    NotAllowed = 67,
    /// A message has its place: `publisher`, `publisher_seq`, `seq`. A takeover may take it back.
    OutcomeStamped = 68,
    /// The reported place of a message did not survive a takeover; it is sent again by itself: `publisher`,
    /// `publisher_seq`.
    OutcomeUnstamped = 69,
    /// A message has its place for ever: `publisher`, `publisher_seq`, `seq`.
    OutcomeCommitted = 70,
    /// The cluster's window is full: messages wait here.
    Throttled = 71,
    /// The cluster takes messages again.
    Unthrottled = 72,
    /// Another message stands under a number that was published here: `publisher`, `publisher_seq`, `seq`.
    OutcomeDiverged = 73,
    /// A newer process has opened the name: nothing from `publisher_seq` on is stamped: `publisher`.
    OutcomeFenced = 74,
    /// The publisher is closed: nothing from `publisher_seq` on is stamped: `publisher`.
    OutcomeClosed = 75,
    /// Outcomes are unknown and the handle is of no more use: open the names in a new one.
    OutcomesUnknown = 76,
    /// A message in parts has its place for ever, and no reader delivers it, as its publisher was held up
    /// between its parts: `publisher`, `publisher_seq`, `seq`. Publish it again, if it still holds.
    OutcomeDiscarded = 77,
    // End of what is written from bindings/api.toml.
}

impl FlatKind {
    /// All of them, by number.
    // Written from bindings/api.toml: all kinds of events.
    pub const ALL: [Self; 39] = [
        Self::Message,
        Self::Committed,
        Self::Retract,
        Self::Epoch,
        Self::Membership,
        Self::Opened,
        Self::Closed,
        Self::GatewayHeartbeat,
        Self::Frame,
        Self::Filtered,
        Self::Day,
        Self::Ordered,
        Self::Gap,
        Self::Abandoned,
        Self::PartsDiscarded,
        Self::Multicast,
        Self::CaughtUp,
        Self::Replaying,
        Self::Refused,
        Self::Founded,
        Self::HistoryLost,
        Self::Ahead,
        Self::Lag,
        Self::Diverged,
        Self::MachineReport,
        Self::SetNote,
        Self::NameOpened,
        Self::NameRefused,
        Self::NotAllowed,
        Self::OutcomeStamped,
        Self::OutcomeUnstamped,
        Self::OutcomeCommitted,
        Self::Throttled,
        Self::Unthrottled,
        Self::OutcomeDiverged,
        Self::OutcomeFenced,
        Self::OutcomeClosed,
        Self::OutcomesUnknown,
        Self::OutcomeDiscarded,
    ];
    // End of what is written from bindings/api.toml.

    /// The kind of this number, if there is one.
    pub fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}
