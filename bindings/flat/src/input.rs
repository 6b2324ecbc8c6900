//! The kinds of inputs of a machine, and the meaning of the fields of each.

/// What an input is. Numbers are stable: a new kind gets a new one, and a machine ignores kinds that it does
/// not know. Fields that a kind does not list are 0 or NULL; each has `seq` and `time`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum FlatInputKind {
    // Written from bindings/api.toml: kinds of inputs.
    /// A message of anybody but this machine: `publisher`, `publisher_seq`, `destination`, `user` where the
    /// publisher is a client of a gateway; the payload.
    Message = 1,
    /// A client has logged in at a gateway: `publisher`, `user`.
    Connected = 2,
    /// A client is gone: `publisher`, `user`; `detail` is the reason, `value` is 1 if its user wants its
    /// orders to be cancelled then.
    Disconnected = 3,
    /// A name that is no gateway's client is opened: `publisher`; `detail` is how often it was opened; the
    /// payload is the name.
    Opened = 4,
    /// A publisher that is no gateway's client is closed: `publisher`.
    Closed = 5,
    /// A trading day begins; the payload is its name.
    DayStart = 6,
    /// The trading day ends.
    DayEnd = 7,
    /// A timer of this machine is due: `key`, `due`; the payload is what it was set with.
    Timer = 8,
    /// The stream's time has moved, and nothing else.
    Time = 9,
    /// The stream's time is set back to `time`; `value` is the time before.
    TimeSetBack = 10,
    /// The cluster has `value` members from here on.
    Membership = 11,
    // End of what is written from bindings/api.toml.
}

impl FlatInputKind {
    /// All of them, by number.
    // Written from bindings/api.toml: all kinds of inputs.
    pub const ALL: [Self; 11] = [
        Self::Message,
        Self::Connected,
        Self::Disconnected,
        Self::Opened,
        Self::Closed,
        Self::DayStart,
        Self::DayEnd,
        Self::Timer,
        Self::Time,
        Self::TimeSetBack,
        Self::Membership,
    ];
    // End of what is written from bindings/api.toml.

    /// The kind of this number, if there is one.
    pub fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}
