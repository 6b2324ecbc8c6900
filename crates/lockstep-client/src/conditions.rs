//! The texts of a node's conditions: one sentence each, for its log and for `lockstep status`, with the
//! remedy.

use lockstep_wire::{
    AgreedRow, Condition, ConditionRow, Epoch, KeyClass, OlderKeysNumber, ReadersAheadNumber,
};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The remedy for a node if no journal has the missing part of its log.
const LOG_GONE_ADVICE: &str = "it can neither vote nor repair as it is: start an archiver or a replica that has it, or bring the nodes \
    that are asked to this release, which begins with the tables of the oldest that is kept; a replica that \
    holds an older part of the stream ends by itself and rejoins at its next start, where `journal.rejoin` is \
    \"auto\" and a quorum lives without it; else it begins again: stop it, move its folder and its tail away, `lockstep format \
    --replica N` (an archiver: `--archiver N`), start it, and give it its former place: `lockstep membership \
    replace OLD NEW`, with the identities that `lockstep membership show` and `format` print";
/// The remedy if a single reader is ahead.
const ONE_READER_AHEAD: &str = "no other reader says so: its cursor is another stream's, or was written by hand; give it the \
                                right one. This ends ten minutes after its last word, or by `lockstep ack LS1017`";
/// The remedy if several readers are ahead.
const READERS_AHEAD: &str = "they have seen what the cluster does not have: find out which replicas have lost their journals, before anything else \
     is done; `lockstep ack LS1017` ends this once it is understood";

/// The remedy for files that differ.
pub(super) const FILES_DIFFER_ADVICE: &str = "all files must have it alike, or the nodes do not hear each other: correct the file that differs, and start the \
     processes of its host anew; `lockstep check --diff` compares two files";

/// The remedy for leaders that fail often.
const TAKEOVERS_OFTEN_ADVICE: &str = "nothing is lost by a takeover; many have a cause: `lockstep events --code LS1004` says why each leader was missed, and \
     `lockstep doctor` at its host what takes its core";
/// The remedy for lost redundancy.
const REDUNDANCY_LOST_ADVICE: &str =
    "start the members that are away, or replace them with `lockstep membership replace`";
/// The remedy for a program that has not read its new keys.
const OLDER_KEYS_ADVICE: &str = "it is a stranger once that generation is retired: give its host the present file and let it read that (SIGHUP, or a \
     start); `lockstep keys show` has the names of the keys";
/// The remedy for an address that two nodes have.
const ADDRESS_TWICE_ADVICE: &str =
    "one of them is to get another address: `ip neigh` has the cards, the switch's table the port of each";
/// The remedy for lost multicast.
const MULTICAST_LOST_ADVICE: &str = "the stream goes on by repair, slower, and nobody is replaced for this; look at IGMP snooping (is there a querier?), \
     at the switch's rules for the groups, and at the port";
/// The remedy for a lost path.
pub(super) const PATH_LOST_ADVICE: &str = "look for a rule of a packet filter (`nft list ruleset`, the switch's access lists), at a broken fibre, and at the MTU \
     of what lies between; `lockstep why` has who gets what from whom";

/// A condition that holds at a node. Prints the problem and its remedy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ActiveCondition {
    /// The condition.
    pub condition: Condition,
    /// Its age, in whole seconds.
    pub age: Duration,
    /// Its first number, as [`Condition`] has it.
    pub a: u64,
    /// Its second number.
    pub b: u64,
}

impl ActiveCondition {
    /// The condition of a row of a status.
    pub(super) fn read(row: ConditionRow) -> Option<Self> {
        let ConditionRow { code, age_s, a, b, .. } = row;
        let age = Duration::from_secs(u64::from(age_s));
        Condition::from_u16(code).map(|condition| Self { condition, age, a, b })
    }

    /// Whether a single reader reports it, and nothing else confirms it.
    pub fn is_of_one_reader(&self) -> bool {
        self.condition == Condition::ReaderAhead && !ReadersAheadNumber::unpacked(self.b).is_loss()
    }

    /// As a log line prints it.
    pub fn code(&self) -> String {
        format!("LS{:04}", self.condition as u16)
    }

    /// The problem, in a few words.
    pub fn what(&self) -> String {
        let Self { a, b, .. } = *self;
        match self.condition {
            Condition::JournalFull => {
                format!("the journal takes nothing from seq {a} on")
            }
            Condition::Damaged => format!("{b} stored segments are damaged, the first at seq {a}"),
            Condition::LogGone => {
                let (lacks, oldest) = match b {
                    1 => ("the stream from seq 1 on, of which it holds nothing".to_owned(), a),
                    next => (format!("what follows seq {}", next.saturating_sub(1)), a),
                };
                let oldest = match oldest {
                    0 => String::new(),
                    oldest => format!(", and the oldest seq that any of them holds is {oldest}"),
                };
                format!("no journal that answers gives {lacks}{oldest}")
            }
            Condition::Exposed => format!(
                "exposed: no full standby holds what lies before the witness's ring (the best one ends at {a})"
            ),
            Condition::RedundancyLost => {
                let quorum = b / 2 + 1;
                let more = match a.saturating_sub(quorum) {
                    0 => "no crash of another one is survived".to_owned(),
                    more => format!("{more} more may crash"),
                };
                format!("redundancy is reduced: {a} of {b} members hold the log and are heard, {more}")
            }
            Condition::EpochsUncommitted => {
                format!("{a} takeovers followed each other without a commit, which ends before seq {b}")
            }
            Condition::RoundsHigh => {
                format!("the rounds of epochs have reached {a}, and {b} is the last one")
            }
            Condition::DurabilityMixed => {
                let name = |durability| if durability == 0 { "process" } else { "power" };
                let (own, epochs) = (name(a), name(b));
                format!(
                    "this replica is configured with durability {own}, and its leader's epoch has {epochs}"
                )
            }
            Condition::DiskFull => format!("the disk is full: segments end at seq {a}"),
            Condition::FilesRefused => {
                let what = match b {
                    1 => " (no descriptors for more open files)",
                    2 => " (no memory)",
                    3 => " (the calls are interrupted)",
                    _ => "",
                };
                format!("the system refuses the journal its files{what}: segments end at seq {a}")
            }
            Condition::DeviceStalled => {
                let waited = Duration::from_millis(b / 1_000_000);
                format!(
                    "the journal's device has confirmed nothing for {waited:?}: it has what lies below seq {a}"
                )
            }
            Condition::RoomLow => {
                let what = match b {
                    1 => "bytes of the journal's disk",
                    2 => "inodes of the journal's disk",
                    3 => "bytes of the tail's file system",
                    4 => "inodes of the tail's file system",
                    5 => "descriptors of the process",
                    _ => "of a resource of the host",
                };
                match a {
                    0 => format!("few {what} are left"),
                    left => {
                        format!("at the rate of the last minutes the {what} are used up in {}", time(left))
                    }
                }
            }
            Condition::PublishersNearlyFull => {
                format!("{a} names of publishers are used, and the table takes {b}")
            }
            Condition::ReaderAhead => {
                let ReadersAheadNumber { addresses, newest } = ReadersAheadNumber::unpacked(b);
                match addresses {
                    0..=1 => format!(
                        "a reader at {newest} says that it has read this stream up to seq {a}, beyond its end"
                    ),
                    more => format!(
                        "readers at {more} addresses, the last one at {newest}, have read this stream beyond its end, up \
                         to seq {a}"
                    ),
                }
            }
            Condition::ClockAhead => {
                let (ahead, stands) = (Duration::from_nanos(a), b == 1);
                let still = if stands {
                    ", and stands still until that clock is past it or an order sets it back"
                } else {
                    ""
                };
                format!("the stream's time is {ahead:?} ahead of this node's clock{still}")
            }
            Condition::ClockApart => {
                let (apart, side) = (Duration::from_nanos(a), if b == 1 { "ahead of" } else { "behind" });
                format!("this node's clock is {apart:?} {side} the time that a quorum's clocks have reached")
            }
            Condition::FilesDiffer => {
                let row = AgreedRow::of_numbers(a, b);
                let key = row.path().unwrap_or_else(|| "a key of a later release".to_owned());
                format!("{key} is {} here, and most other nodes have another value", row.text())
            }
            Condition::TakeoversOften => match b {
                0 => format!("{a} leaders failed within ten minutes"),
                leader => format!("{a} times within ten minutes the leader failed, each time {leader}"),
            },
            Condition::OlderKeys => {
                let more = if a > 1 { format!(" (+{})", a - 1) } else { String::new() };
                let OlderKeysNumber { key_id, at } = OlderKeysNumber::unpacked(b);
                let generation = KeyClass::generation(key_id);
                let at = at.map_or_else(String::new, |at| format!(" at {at}"));
                let program = match KeyClass::of(key_id) {
                    Some(KeyClass::Publisher(number)) => format!("publisher key {number}{at}"),
                    _ => format!("a reader{at}"),
                };
                format!("{program} seals with generation {generation} still{more}")
            }
            Condition::AddressTwice => {
                let (address, card) = (Ipv4Addr::from_bits(a as u32), card_text(b));
                format!("two have the address {address}{card}")
            }
            Condition::PathLost => match b {
                1 => format!("questions to {a}, or its answers, do not pass by unicast, and it lives"),
                2 => format!("datagrams of the size of mtu do not pass to {a}, shorter ones do"),
                _ => format!("the TCP port of {a} for replay is not reached"),
            },
            Condition::MulticastLost => format!(
                "multicast is lost, unicast is not: no group brings the others of epoch {}, and they answer when they \
                 are asked",
                Epoch(a)
            ),
            Condition::LineLost => format!("line {a} brings nothing, and the other does"),
            Condition::MembersFull => {
                format!("joins find no room: {a} members by lease are the most that `fanout_members` allows")
            }
            Condition::WatcherGone if a == 0 => format!("a signal has stopped the watcher, process {b}"),
            Condition::WatcherGone => {
                format!("{a} watchers in a row ended at once, and no more are started")
            }
        }
    }

    /// The problem in so few words that it fits a verdict of one line.
    pub fn brief(&self) -> String {
        let Self { a, b, .. } = *self;
        match self.condition {
            Condition::LogGone => "what it lacks is in no journal that answers".to_owned(),
            Condition::Exposed => "no full standby holds what lies before the witness's ring".to_owned(),
            Condition::EpochsUncommitted => format!("{a} takeovers in a row without a commit"),
            Condition::RoundsHigh => format!("the rounds of epochs have reached {a} of {b}"),
            Condition::DurabilityMixed => "its durability differs from its leader's".to_owned(),
            Condition::FilesRefused => "the system refuses the journal its files".to_owned(),
            Condition::DeviceStalled => "the journal's device confirms nothing".to_owned(),
            Condition::ClockAhead => {
                format!("its clock is {:?} behind the stream's time", Duration::from_millis(a / 1_000_000))
            }
            Condition::ClockApart => {
                let side = if b == 1 { "ahead of" } else { "behind" };
                format!("its clock is {:?} {side} a quorum's", Duration::from_millis(a / 1_000_000))
            }
            Condition::MulticastLost => "multicast is lost, unicast is not".to_owned(),
            Condition::ReaderAhead => {
                let ReadersAheadNumber { addresses, newest } = ReadersAheadNumber::unpacked(b);
                match self.is_of_one_reader() {
                    true => format!("a reader at {newest} claims seq {a}, beyond the stream's end"),
                    false => {
                        format!(
                            "readers at {addresses} addresses claim seqs up to {a}, beyond the stream's end"
                        )
                    }
                }
            }
            Condition::AddressTwice => {
                let who = if b == 0 { "process answers at" } else { "machine has" };
                format!("another {who} the address {}", Ipv4Addr::from_bits(a as u32))
            }
            Condition::MembersFull => "joins by unicast find no room".to_owned(),
            Condition::WatcherGone if a > 0 => "no watcher waits beside it".to_owned(),
            _ => self.what(),
        }
    }

    /// The consequence, and the remedy.
    pub fn advice(&self) -> &'static str {
        match self.condition {
            Condition::JournalFull => {
                "its segments lag, the disk is full, or a witness's ring is full of what is not committed; nothing is \
                 acknowledged that is not stored, and it goes on by itself when there is room"
            }
            Condition::Damaged => {
                "they are not served, and mended from another journal where one has the same frames (the log says what \
                 was done); replace the disk if it happens again"
            }
            Condition::LogGone => LOG_GONE_ADVICE,
            Condition::Exposed => {
                "should the leader be lost now, nobody could take over: bring a full standby up, and let it catch up"
            }
            Condition::RedundancyLost => REDUNDANCY_LOST_ADVICE,
            Condition::EpochsUncommitted => {
                "leaders follow each other and no quorum stores what they stamp: make room on the disks of the \
                 members, and look why they are slow"
            }
            Condition::RoundsHigh => "elections follow without end: find out who campaigns, and why",
            Condition::DurabilityMixed => {
                "set stream.durability alike in the files of all replicas, and restart them one by one (CHANGE.md, \
                 Changing the durability)"
            }
            Condition::DiskFull => "make room, the node goes on by itself",
            Condition::FilesRefused => {
                "nothing is wrong with the disk, and the node goes on by itself; find out who holds so many files open \
                 (/proc/PID/fd), or allow more (LimitNOFILE=, fs.file-max), or who took the memory"
            }
            Condition::DeviceStalled => {
                "the node goes on by itself when the device does, and in `power` it acknowledges nothing until then: look at \
                 the device (iostat, the kernel's log) and at what else writes to it, or replace the disk"
            }
            Condition::RoomLow => {
                "make room before it is full: `lockstep counters --group room` has what is left, `df -h` and `df -i` who \
                 has the rest, `lockstep doctor` what this node needs; journal.retention_size bounds the journal"
            }
            Condition::PublishersNearlyFull => {
                "raise stream.publishers_max in the files of all replicas, and restart them one by one"
            }
            Condition::ReaderAhead if self.is_of_one_reader() => ONE_READER_AHEAD,
            Condition::ReaderAhead => READERS_AHEAD,
            Condition::ClockAhead => {
                "a leader's clock was wrong, here or there, and the stream's time stands still: mend the clocks; where they \
                 are right and a quorum's were wrong, `lockstep time --correct` sets it back"
            }
            Condition::ClockApart => {
                "set it right (is its time daemon running?): where it leads it stamps by the others' clocks, and where a \
                 quorum's are wrong the stream's time is wrong"
            }
            Condition::MulticastLost => MULTICAST_LOST_ADVICE,
            Condition::LineLost => {
                "the stream goes on by that one alone; look at the line's interface, its cable and its switch"
            }
            Condition::FilesDiffer => FILES_DIFFER_ADVICE,
            Condition::TakeoversOften => TAKEOVERS_OFTEN_ADVICE,
            Condition::OlderKeys => OLDER_KEYS_ADVICE,
            Condition::AddressTwice => ADDRESS_TWICE_ADVICE,
            Condition::PathLost => PATH_LOST_ADVICE,
            Condition::MembersFull => "raise `fanout_members`, or let fewer processes join",
            Condition::WatcherGone if self.a == 0 => {
                "the death of this process will be found out by its silence: let it run again (`kill -CONT`)"
            }
            Condition::WatcherGone => {
                "the death of this process will be found out by its silence; restart it when the cause is mended, or \
                 set runtime.watcher = false"
            }
        }
    }
}

/// The card that answers at an address, if several do.
fn card_text(card: u64) -> String {
    match card.to_be_bytes() {
        [_, _, 0, 0, 0, 0, 0, 0] => ": two processes answer there".to_owned(),
        [_, _, bytes @ ..] => {
            let bytes = bytes.map(|byte| format!("{byte:02x}"));
            format!(": now the card {} answers, and another one did", bytes.join(":"))
        }
    }
}

/// Seconds in words, as minutes from two minutes on.
fn time(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

impl fmt::Display for ActiveCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_says_how_many_more_may_crash() {
        let text = |a, b| {
            let age = Duration::ZERO;
            ActiveCondition { condition: Condition::RedundancyLost, age, a, b }.what()
        };
        assert!(text(2, 3).contains("2 of 3") && text(2, 3).contains("no crash"), "{}", text(2, 3));
        assert!(text(4, 5).contains("1 more may crash"), "{}", text(4, 5));
        assert!(text(1, 3).contains("no crash"), "below a quorum nothing more is promised");
    }

    #[test]
    fn a_resource_that_runs_out_is_named_with_the_time_that_is_left() {
        let text = |a, b| {
            let age = Duration::ZERO;
            ActiveCondition { condition: Condition::RoomLow, age, a, b }.what()
        };
        assert!(
            text(1_500, 1).ends_with("bytes of the journal's disk are used up in 25 min"),
            "{}",
            text(1_500, 1)
        );
        assert!(text(90, 5).ends_with("descriptors of the process are used up in 90 s"), "{}", text(90, 5));
        assert_eq!(text(0, 2), "few inodes of the journal's disk are left");
    }

    #[test]
    fn every_condition_has_words_that_fit_behind_each_other() {
        for condition in Condition::ALL {
            let active = ActiveCondition { condition: *condition, age: Duration::ZERO, a: 1, b: 2 };
            assert!(!active.what().ends_with('.') && !active.advice().ends_with('.'), "{active}");
            assert!(!active.what().contains("  ") && !active.advice().contains("  "), "{active}");
        }
    }
}
