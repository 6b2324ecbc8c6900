//! Names and positions: the small values that every crate uses.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// An entry's position in the stream: 1, 2, 3 … without holes, never reused.
/// As a watermark (`…_next`) it is exclusive; ranges are half-open.
pub type Seq = u64;
/// A publisher's own number of a message: 1, 2, 3 … across all its incarnations.
pub type PublisherSeq = u64;
/// The publisher of an entry. 0 is the cluster itself.
pub type PublisherId = u32;
/// The destination of an entry: 0 for all readers, a `PublisherId` for that client, a channel from
/// [`CHANNELS`] on.
pub type Destination = u32;
/// Nanoseconds: a span, or a reading of the monotonic clock, which is called `now`. A timestamp of the wire
/// is a [`Wall`].
pub type Nanos = u64;
/// The running digest over the frames of a log up to a seq.
pub type Chain = u64;

/// A reading of a wall clock, or the stream's time: nanoseconds since the Unix epoch. It has a type of its
/// own, so that neither clock stands where the other one is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Wall(pub Nanos);

impl Wall {
    /// The time that is so much later, or earlier.
    #[inline]
    pub fn saturating_add_signed(self, ns: i64) -> Self {
        Self(self.0.saturating_add_signed(ns))
    }

    /// How much later it is than `before`; 0 if it is not.
    #[inline]
    pub fn saturating_since(self, before: Self) -> Nanos {
        self.0.saturating_sub(before.0)
    }

    /// By how much it is ahead of the monotonic clock, which shows `now`.
    #[inline]
    pub fn ahead_of(self, now: Nanos) -> i64 {
        self.0.wrapping_sub(now) as i64
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The destination of a message for all readers.
pub const EVERYBODY: Destination = 0;
/// Destinations from here on are channels, counted from 0.
pub const CHANNELS: Destination = 1 << 31;
/// Whether a destination is one publisher, named by its id.
#[inline]
pub fn is_publisher(destination: Destination) -> bool {
    destination != EVERYBODY && destination < CHANNELS
}

/// The last channel is the gateways' own, for their heartbeats. Readers receive these as a separate event,
/// never as a message.
pub const GATEWAYS: Destination = Destination::MAX;
/// The last channel but one is the notaries', for their attestations. Readers receive no message of it, and
/// the leader accepts one from a replica's key alone.
pub const NOTARIES: Destination = GATEWAYS - 1;
/// Prefix of the names of notaries.
pub const NOTARY_NAMES: &str = "lockstep/notary/";
/// The channel before it is the journals', for [what processes need of them](crate::Need). Readers receive no
/// message of it, and every publisher may send to it.
pub const JOURNALS: Destination = NOTARIES - 1;
/// The channel before it is the machines', for reports between the replicas of a state machine. Readers
/// receive these as a separate event, never as a message; every publisher may send to it.
pub const MACHINES: Destination = JOURNALS - 1;
/// The channel before it is the sets', for what coordinators and operators write about the streams of a set.
/// Readers receive these as a separate event, never as a message, and the leader accepts one under one of the
/// [names of sets](SET_NAMES) alone.
pub const SETS: Destination = MACHINES - 1;
/// Prefix of the names under which coordinators and operators write about a set.
pub const SET_NAMES: &str = "lockstep/set/";
/// Destinations from here on are lockstep's own: an application receives no message from there.
pub const RESERVED: Destination = SETS;
/// The greatest number of a channel that applications may use.
pub const CHANNEL_NUMBER_MAX: u32 = RESERVED - CHANNELS - 1;
/// Most members that a membership may have; a quorum of seven survives three deaths.
pub const MEMBERS_MAX: usize = 7;
/// Largest replica id (it has 8 bits in an [`Epoch`]).
pub const REPLICA_MAX: u32 = 255;
/// Incarnations have 28 bits in an [`Epoch`].
pub const INCARNATION_MAX: u32 = (1 << 28) - 1;
/// Rounds have 28 bits in an [`Epoch`]: a new leader every millisecond for three days.
pub const ROUND_MAX: u32 = (1 << 28) - 1;
/// Longest publisher name, in bytes of UTF-8.
pub const NAME_LEN_MAX: usize = 64;

/// The identity of a replica: its number and the random incarnation that `format` drew for its journal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Identity {
    /// 1 to 255, from the configuration.
    pub replica: u32,
    /// Drawn at random by `format`, 1 to [`INCARNATION_MAX`].
    pub incarnation: u32,
}

impl Identity {
    /// Both numbers in one integer: 8 bits replica, 28 bits incarnation.
    pub fn packed(self) -> u64 {
        u64::from(self.replica) << 28 | u64::from(self.incarnation)
    }

    /// The inverse of [`Identity::packed`].
    pub fn from_packed(packed: u64) -> Self {
        Self { replica: (packed >> 28) as u32 & REPLICA_MAX, incarnation: packed as u32 & INCARNATION_MAX }
    }
}

/// An address as one number: 32 bits of IPv4 address, 16 of port.
#[inline]
pub fn packed_address(address: SocketAddrV4) -> u64 {
    u64::from(address.ip().to_bits()) << 16 | u64::from(address.port())
}

/// The inverse of [`packed_address`]. It ignores the upper 16 bits.
#[inline]
pub fn unpacked_address(number: u64) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits((number >> 16) as u32), number as u16)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:07x}", self.replica, self.incarnation)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Identity {
    type Err = String;

    /// Reads `REPLICA:INCARNATION` as `format` prints it, e.g. `2:0a3f9c1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no identity: write it as `format` printed it, like 2:0a3f9c1");
        let (replica, incarnation) = text.split_once(':').ok_or_else(wrong)?;
        let identity = Self {
            replica: replica.parse().map_err(|_| wrong())?,
            incarnation: u32::from_str_radix(incarnation, 16).map_err(|_| wrong())?,
        };
        let valid = (1..=REPLICA_MAX).contains(&identity.replica)
            && (1..=INCARNATION_MAX).contains(&identity.incarnation);
        valid.then_some(identity).ok_or_else(wrong)
    }
}

/// One leadership: a Paxos ballot that won. (round, replica, incarnation) in one integer, compared
/// as one: 28 bits, 8 bits, 28 bits. Zero is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before every epoch: what a blank journal has accepted.
    pub const NONE: Self = Self(0);

    /// The epoch of `round` under the leader `identity`. Numbers beyond their bits are a caller's error and
    /// panic: no cluster reaches them (see [`ROUND_MAX`]).
    pub fn new(round: u32, identity: Identity) -> Self {
        assert!(round <= ROUND_MAX, "round {round} is beyond {ROUND_MAX}");
        assert!(identity.replica <= REPLICA_MAX, "replica {} is beyond {REPLICA_MAX}", identity.replica);
        assert!(identity.incarnation <= INCARNATION_MAX, "incarnation has 28 bits");
        Self(u64::from(round) << 36 | identity.packed())
    }

    /// The ballot's number.
    pub fn round(self) -> u32 {
        (self.0 >> 36) as u32
    }

    /// The identity of the leader.
    pub fn leader(self) -> Identity {
        Identity::from_packed(self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.round(), self.leader())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_compare_by_round_first_and_carry_their_leader() {
        let (a, b) = (Identity { replica: 9, incarnation: 5 }, Identity { replica: 1, incarnation: 7 });
        assert!(Epoch::new(2, b) > Epoch::new(1, a));
        assert!(Epoch::new(1, a) > Epoch::new(1, b));
        assert_eq!(Epoch::new(3, a).leader(), a);
        assert_eq!(Epoch::new(3, a).round(), 3);
    }

    #[test]
    fn an_identity_reads_as_it_prints() {
        let identity = Identity { replica: 2, incarnation: 0x0a3f9c1 };
        assert_eq!(identity.to_string().parse(), Ok(identity));
        assert!("2".parse::<Identity>().is_err() && "0:1".parse::<Identity>().is_err());
    }
}
