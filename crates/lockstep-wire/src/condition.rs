//! A condition under which a node continues to run: for its status, its log and its counters.
//!
//! A condition holds or does not; while it holds it has two numbers, and the time since when. Its number is
//! the code of its log line (`1008` is printed as `LS1008`), so that a status, a log and an alarm of a
//! monitoring system name the same thing by the same word. The words for it stand in `client::conditions`.

use super::{HEADER_LEN, MEMBERS_MAX, Reject, StatusBody, StatusMember, packed_address, unpacked_address};
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::net::SocketAddrV4;
use std::str::FromStr;

macro_rules! conditions {
    ($($name:ident $code:literal $text:literal $what:literal,)*) => {
        /// A condition of a node or of a set of streams, the gravest first. In each sentence `a` and `b` are
        /// its two numbers.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Condition { $(#[doc = $what] $name = $code,)* }

        impl Condition {
            /// All conditions, the gravest first.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name for programs: counters and `--json`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, for a table.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

conditions! {
    JournalFull 1101 "journal_full" "The journal accepts nothing from seq `a` on; nothing more is acknowledged or stamped.",
    Damaged 1104 "damaged" "`b` stored segments are damaged, the first at seq `a`; they are not served.",
    LogGone 1107 "log_gone" "No journal that answers has the log from seq `b` on, which is missing here: the oldest seq that one of them holds is `a` (0: none is known).",
    Exposed 1008 "exposed" "No full standby of this leader holds the entries before the ring of a witness; the best one ends at `a`.",
    RedundancyLost 1011 "redundancy_lost" "A leader receives from `a` of `b` members with a log near its own, itself included.",
    EpochsUncommitted 1013 "epochs_uncommitted" "`a` epochs in a row committed nothing; the committed log ends before seq `b`.",
    RoundsHigh 1014 "rounds_high" "The rounds of epochs have reached `a`; `b` is the greatest possible one.",
    DurabilityMixed 1012 "durability_mixed" "This replica is configured with durability `a`, its epoch with `b` (0 process, 1 power).",
    DiskFull 1103 "disk_full" "The disk is full: segments end at seq `a`.",
    FilesRefused 1105 "files_refused" "The system cannot open files for the journal at present (`b`: 1 descriptors, 2 memory, 3 another reason): segments end at seq `a`.",
    DeviceStalled 1106 "device_stalled" "The journal's device has confirmed nothing for `b` nanoseconds; it has the entries below seq `a`.",
    FilesDiffer 1022 "files_differ" "This node's process has value `b` for the key `a`, which must be the same in all files, and most others have another value.",
    TakeoversOften 1023 "takeovers_often" "`a` leaders failed within ten minutes, as this node saw it (32: or more); `b` is the replica that led each time, or 0. Handovers do not count.",
    OlderKeys 1024 "older_keys" "`a` publishers and readers seal with an older generation of keys than this node; `b` has the key of the one that did last and its address (from the top: 16 bits of the key's id, 32 of the address, 16 of the port).",
    RoomLow 1108 "room_low" "Little of resource `b` is left; at the rate of the last minutes it is used up in `a` seconds (0: at no rate). 1 is bytes and 2 inodes of the journal's disk, 3 bytes and 4 inodes of the tail's file system, 5 descriptors.",
    PublishersNearlyFull 1015 "publishers_nearly_full" "`a` names of publishers are in the table, which takes `b`.",
    ReaderAhead 1017 "reader_ahead" "A reader has read up to seq `a`, beyond the log of this leader; `b` is its address and the number of such readers.",
    ClockAhead 1016 "clock_ahead" "The stream's time is `a` nanoseconds ahead of this node's clock; `b` is 1 if it leads, so that time stands still.",
    ClockApart 1021 "clock_apart" "This node's clock differs by `a` nanoseconds from the time that a quorum's clocks have reached; `b` is 1 if it is ahead.",
    AddressTwice 1208 "address_twice" "Two machines or two processes answer at the address `a` of another node; `b` is the card that answers now (0: one card).",
    PathLost 1207 "path_lost" "Nothing passes on a path to the node `a`, which runs: `b` is 1 for questions and answers, 2 for datagrams of the size of `mtu`, 3 for replay by TCP.",
    MulticastLost 1010 "multicast_lost" "Nothing of epoch `a` arrives by the groups, and unicast is answered.",
    LineLost 1203 "line_lost" "Line `a` delivers nothing, and the other works; `b` datagrams did not arrive by it so far.",
    MembersFull 1204 "members_full" "Joins are refused for lack of room: `a` members have a lease; `b` were refused so far.",
    WatcherGone 1403 "watcher_gone" "This node has no working watcher: `a` in a row ended at once, or a signal has stopped it (process `b`).",
    MergeStalled 1501 "merge_stalled" "Nothing new of the stream of cluster `a` is merged into the order of its set (0: no coordinator publishes a cut). The whole order stands still at the cut with seq `b` of the home stream (1: none is known); with 0 the other streams go on.",
    CutAhead 1502 "cut_ahead" "A cut covers the stream of cluster `a` up to seq `b`, and the leader of that stream has less.",
}

impl Condition {
    /// The number of conditions.
    pub const COUNT: usize = Self::ALL.len();

    /// The condition with this code, if there is one.
    pub fn from_u16(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| *known as u16 == code)
    }

    /// Whether an operator acknowledges it. Such a condition notes a past event, so no later state of the
    /// node ends it. Every other condition describes the node's present state, and ends with its cause.
    pub fn is_acknowledged(self) -> bool {
        self == Self::ReaderAhead
    }

    /// Whether it is one of a set of streams: judged where all of them are seen, and reported by no node.
    pub fn is_of_set(self) -> bool {
        matches!(self, Self::MergeStalled | Self::CutAhead)
    }

    /// The conditions that a node can report, the gravest first.
    pub fn of_nodes() -> impl Iterator<Item = Self> + Clone {
        Self::ALL.iter().copied().filter(|known| !known.is_of_set())
    }

    /// Whether the previous release does not know it. That release refuses a status with an unknown
    /// condition, so these conditions stand in a part of their own ([`StatusParts`](crate::StatusParts)).
    pub fn is_in_part(self) -> bool {
        matches!(
            self,
            Self::LogGone
                | Self::FilesDiffer
                | Self::TakeoversOften
                | Self::OlderKeys
                | Self::RoomLow
                | Self::ClockApart
                | Self::AddressTwice
                | Self::PathLost
                | Self::MergeStalled
                | Self::CutAhead
        )
    }

    /// Its place in [`Condition::ALL`].
    pub fn index(self) -> usize {
        let place = Self::ALL.iter().position(|known| *known == self);
        place.expect("ALL has each of them, as one macro makes both")
    }
}

/// The second number of [`Condition::ReaderAhead`], from the top: 16 bits for the number of addresses whose
/// readers report it, 32 for the IPv4 address of the newest one, 16 for its port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReadersAheadNumber {
    /// The number of addresses.
    pub addresses: u16,
    /// The newest address.
    pub newest: SocketAddrV4,
}

impl ReadersAheadNumber {
    /// Packs both into one number.
    pub fn packed(self) -> u64 {
        u64::from(self.addresses) << 48 | packed_address(self.newest)
    }

    /// The inverse of [`Self::packed`].
    pub fn unpacked(number: u64) -> Self {
        Self { addresses: (number >> 48) as u16, newest: unpacked_address(number) }
    }

    /// Whether more than one address reports it.
    pub fn is_loss(self) -> bool {
        self.addresses > 1
    }
}

/// The second number of [`Condition::OlderKeys`], from the top: 16 bits for the key's id, 32 for the IPv4
/// address and 16 for the port of the process that seals with it. The address is 0 if the datagram came by a
/// group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OlderKeysNumber {
    /// The key's id.
    pub key_id: u16,
    /// The address of that process.
    pub at: Option<SocketAddrV4>,
}

impl OlderKeysNumber {
    /// Packs both into one number.
    pub fn packed(self) -> u64 {
        u64::from(self.key_id) << 48 | self.at.map_or(0, packed_address)
    }

    /// The inverse of [`Self::packed`].
    pub fn unpacked(number: u64) -> Self {
        let at = unpacked_address(number);
        Self { key_id: (number >> 48) as u16, at: (at.port() != 0).then_some(at) }
    }
}

/// What an operator acknowledges: a condition with its first number, as it was shown. A newer condition has
/// another number, so a recorded command cannot end it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Acknowledgement {
    /// The condition.
    pub condition: Condition,
    /// Its first number.
    pub a: u64,
}

/// The code and the number: `1017 9999998`.
impl fmt::Display for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.condition as u16, self.a)
    }
}

impl FromStr for Acknowledgement {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (code, a) = text.split_once(' ').ok_or(())?;
        let condition = code.parse().ok().and_then(Condition::from_u16).ok_or(())?;
        Ok(Self { condition, a: a.parse().map_err(|_| ())? })
    }
}

/// A condition that holds at the node that reports its status.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ConditionRow {
    /// A [`Condition`].
    pub code: u16,
    /// Zero.
    pub reserved: u16,
    /// The number of seconds for which it has held.
    pub age_s: u32,
    /// Its first number.
    pub a: u64,
    /// Its second number.
    pub b: u64,
}

/// The most conditions in one status, the gravest first: with them it fits the smallest MTU that a
/// configuration allows.
pub const STATUS_CONDITIONS_MAX: usize = 8;

/// Room for any status.
pub const STATUS_LEN_MAX: usize = HEADER_LEN
    + size_of::<StatusBody>()
    + MEMBERS_MAX * size_of::<StatusMember>()
    + STATUS_CONDITIONS_MAX * size_of::<ConditionRow>();

const _: () = {
    assert!(size_of::<ConditionRow>() == 24);
    assert!(STATUS_LEN_MAX == 720);
};

/// The conditions of a status, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ConditionRows<'a>(&'a [u8]);

impl<'a> ConditionRows<'a> {
    /// The conditions, the gravest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ConditionRow> + use<'a> {
        self.0.chunks_exact(size_of::<ConditionRow>()).map(bytemuck::pod_read_unaligned)
    }

    /// Checks the bytes behind `members` members of a status, which end with its conditions.
    pub(super) fn check(bytes: &'a [u8], members: usize) -> Result<Self, Reject> {
        let at = HEADER_LEN + size_of::<StatusBody>() + members * size_of::<StatusMember>();
        let rows = Self(&bytes[at..]);
        let places = || {
            rows.iter().map(|row| {
                let known = Condition::from_u16(row.code).filter(|_| row.reserved == 0);
                known.map(Condition::index)
            })
        };
        // Each once, the gravest first.
        let is_sound = places().all(|place| place.is_some()) && places().is_sorted_by(|one, next| one < next);
        is_sound.then_some(rows).ok_or(Reject::Body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_readers_ahead_and_an_acknowledgement_are_read_as_they_were_written() {
        let newest = SocketAddrV4::new([10, 255, 0, 7].into(), 65_535);
        let number = ReadersAheadNumber { addresses: 2, newest };
        assert_eq!(ReadersAheadNumber::unpacked(number.packed()), number);
        let asked = Acknowledgement { condition: Condition::ReaderAhead, a: u64::MAX };
        assert_eq!(asked.to_string().parse(), Ok(asked));
        for wrong in ["1017", "1017 x", "9 1", "1017 1 ", ""] {
            assert_eq!(wrong.parse::<Acknowledgement>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn every_condition_has_a_code_and_a_name_of_its_own() {
        for (place, condition) in Condition::ALL.iter().enumerate() {
            assert_eq!(Condition::from_u16(*condition as u16), Some(*condition));
            assert_eq!(condition.index(), place);
            let same = |other: &&Condition| other.name() == condition.name();
            assert_eq!(Condition::ALL.iter().filter(same).count(), 1, "{}", condition.name());
        }
        assert_eq!(Condition::from_u16(0), None);
    }

    /// The previous release refuses a status with a condition that it does not know, or with another order.
    #[test]
    fn before_the_parts_of_a_status_stand_the_conditions_of_the_release_before_in_their_order() {
        let before = Condition::ALL.iter().filter(|known| !known.is_in_part()).map(|known| *known as u16);
        let known = [
            1101, 1104, 1008, 1011, 1013, 1014, 1012, 1103, 1105, 1106, 1015, 1017, 1016, 1010, 1203, 1204,
            1403,
        ];
        assert_eq!(before.collect::<Vec<_>>(), known);
    }
}
