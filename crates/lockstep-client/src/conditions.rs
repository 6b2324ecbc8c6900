//! The texts of a node's conditions: one sentence each, for its log and for `lockstep status`, with the
//! remedy.

use lockstep_wire::{
    AgreedRow, Condition, ConditionRow, Epoch, KeyClass, OlderKeysNumber, ReadersAheadNumber,
};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The remedy for a node if no journal has the missing part of its log.
const LOG_GONE_ADVICE: &str = "it can neither vote nor repair in this state: start an archiver or a replica \
                               that has these entries, or upgrade the other nodes to this release, which \
                               can begin with the tables of the oldest retained entry; a replica that holds \
                               an older part of the stream ends by itself and rejoins at its next start, if \
                               `journal.rejoin` is \"auto\" and a quorum runs without it; otherwise start \
                               it anew: stop it, move its folder and its tail away, `lockstep format \
                               --replica N` (an archiver: `--archiver N`), start it, and give it its former \
                               place: `lockstep membership replace OLD NEW`, with the identities that \
                               `lockstep membership show` and `format` print";
/// The remedy if a single reader is ahead.
const ONE_READER_AHEAD: &str = "no other reader reports this: its cursor is of another stream, or was \
                                written by hand; give it the right one. This ends ten minutes after its \
                                last report, or by `lockstep ack LS1017`";
/// The remedy if several readers are ahead.
const READERS_AHEAD: &str = "they have read entries that the cluster does not have: first of all, find out \
                             which replicas have lost their journals; `lockstep ack LS1017` ends this once \
                             the cause is known";

/// The remedy for files that differ.
pub(super) const FILES_DIFFER_ADVICE: &str = "it must be the same in all files, or the nodes do not receive \
     each other: correct the file that differs, and restart the processes of its host; `lockstep check \
     --diff` compares two files";

/// The remedy for leaders that fail often.
const TAKEOVERS_OFTEN_ADVICE: &str = "a takeover loses nothing, but many have a cause: `lockstep events \
                                      --code LS1004` shows why each leader was missed, and `lockstep \
                                      doctor` on its host shows what takes its core";
/// The remedy for files that the system refuses.
const FILES_REFUSED_ADVICE: &str = "the disk is in order, and the node continues by itself; find out which \
                                    process holds so many files open (/proc/PID/fd) or uses the memory, or \
                                    allow more files (LimitNOFILE=, fs.file-max)";
/// The remedy for a resource that is nearly used up.
const ROOM_LOW_ADVICE: &str = "make room before it is full: `lockstep counters --group room` shows what is \
                               left, `df -h` and `df -i` what is used, `lockstep doctor` what this node \
                               needs; journal.retention_size bounds the journal";
/// The remedy for lost redundancy.
const REDUNDANCY_LOST_ADVICE: &str =
    "start the members that are away, or replace them with `lockstep membership replace`";
/// The remedy for a program that has not read its new keys.
const OLDER_KEYS_ADVICE: &str = "its datagrams are refused once that generation is retired: give its host \
                                 the present file and let it read that (SIGHUP, or a restart); `lockstep \
                                 keys show` lists the names of the keys";
/// The remedy for an address that two nodes have.
const ADDRESS_TWICE_ADVICE: &str =
    "give one of them another address: `ip neigh` shows the cards, the switch's table the port of each";
/// The remedy for a merged order that stands still, or lacks a stream.
const MERGE_STALLED_ADVICE: &str = "the streams go on, and what is committed is merged once the cause is gone: \
                                    `lockstep status --stream NAME` says whether the stream has a leader, \
                                    `lockstep doctor` on a coordinator's host whether its groups arrive there, \
                                    `lockstep streams show` who publishes cuts (`lockstep coordinator`)";
/// The remedy for a cut that lies ahead of its stream.
const CUT_AHEAD_ADVICE: &str = "readers of the merged order that had the lost entries end there and say so; the \
                                coordinators merge all streams again and go on with the stream's new history: \
                                find out what it has lost (`lockstep events --stream NAME`, RECOVER), and \
                                start those readers again where they may";
/// The remedy for lost multicast.
const MULTICAST_LOST_ADVICE: &str = "the stream continues by repair, slower, and no leader is replaced for \
                                     this; check IGMP snooping (is there a querier?), the switch's rules \
                                     for the groups, and the port";
/// The remedy for a lost path.
pub(super) const PATH_LOST_ADVICE: &str = "look for a rule of a packet filter (`nft list ruleset`, the \
     switch's access lists), a broken fibre, or a smaller MTU on the path; `lockstep why` shows what each \
     node receives from which";

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
                format!("the journal accepts nothing from seq {a} on")
            }
            Condition::Damaged => format!("{b} stored segments are damaged, the first at seq {a}"),
            Condition::LogGone => {
                let (lacks, oldest) = match b {
                    1 => ("the stream from seq 1 on (it holds nothing)".to_owned(), a),
                    next => (format!("the entries after seq {}", next.saturating_sub(1)), a),
                };
                let oldest = match oldest {
                    0 => String::new(),
                    oldest => format!(", and the oldest seq that any of them holds is {oldest}"),
                };
                format!("no journal that answers has {lacks}{oldest}")
            }
            Condition::Exposed => format!(
                "exposed: no full standby has the entries before the witness's ring (the best one ends at \
                 {a})"
            ),
            Condition::RedundancyLost => {
                let quorum = b / 2 + 1;
                let more = match a.saturating_sub(quorum) {
                    0 => "no more may crash".to_owned(),
                    more => format!("{more} more may crash"),
                };
                format!("redundancy is reduced: {a} of {b} members hold the log and reach the leader, {more}")
            }
            Condition::EpochsUncommitted => {
                format!("{a} takeovers in a row committed nothing; the committed log ends before seq {b}")
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
                format!("the system cannot open files for the journal{what}: segments end at seq {a}")
            }
            Condition::DeviceStalled => {
                let waited = Duration::from_millis(b / 1_000_000);
                format!(
                    "the journal's device has confirmed nothing for {waited:?}: it has the entries below \
                     seq {a}"
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
                        "a reader at {newest} reports that it has read this stream up to seq {a}, beyond \
                         its end"
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
                format!("{program} still seals with generation {generation}{more}")
            }
            Condition::AddressTwice => {
                let (address, card) = (Ipv4Addr::from_bits(a as u32), card_text(b));
                format!("two have the address {address}{card}")
            }
            Condition::PathLost => match b {
                1 => format!("questions to {a}, or its answers, do not pass by unicast, although it runs"),
                2 => format!("datagrams of the size of mtu do not pass to {a}, shorter ones do"),
                _ => format!("the TCP port of {a} for replay is not reached"),
            },
            Condition::MulticastLost => format!(
                "multicast is lost, unicast is not: nothing of epoch {} arrives by the groups, and the \
                 nodes answer by unicast",
                Epoch(a)
            ),
            Condition::LineLost => format!("line {a} delivers nothing, and the other works"),
            Condition::MembersFull => {
                format!("joins are refused: `fanout_members` allows {a} members by lease")
            }
            Condition::WatcherGone if a == 0 => format!("a signal has stopped the watcher, process {b}"),
            Condition::WatcherGone => {
                format!("{a} watchers in a row ended at once, and no more are started")
            }
            Condition::MergeStalled | Condition::CutAhead if a > 0 => {
                format!("the stream of cluster {a}: {}", self.brief())
            }
            Condition::MergeStalled | Condition::CutAhead => self.brief(),
        }
    }

    /// The problem in so few words that it fits a verdict of one line.
    pub fn brief(&self) -> String {
        let Self { a, b, .. } = *self;
        match self.condition {
            Condition::LogGone => "no journal that answers has what it lacks".to_owned(),
            Condition::Exposed => "no full standby has the entries before the witness's ring".to_owned(),
            Condition::EpochsUncommitted => format!("{a} takeovers in a row without a commit"),
            Condition::RoundsHigh => format!("the rounds of epochs have reached {a} of {b}"),
            Condition::DurabilityMixed => "its durability differs from its leader's".to_owned(),
            Condition::FilesRefused => "the system cannot open files for the journal".to_owned(),
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
                if self.is_of_one_reader() {
                    format!("a reader at {newest} claims seq {a}, beyond the stream's end")
                } else {
                    format!("readers at {addresses} addresses claim seqs up to {a}, beyond the stream's end")
                }
            }
            Condition::AddressTwice => {
                let who = if b == 0 { "process answers at" } else { "machine has" };
                format!("another {who} the address {}", Ipv4Addr::from_bits(a as u32))
            }
            Condition::MembersFull => "joins by unicast are refused".to_owned(),
            Condition::WatcherGone if a > 0 => "it has no working watcher".to_owned(),
            Condition::MergeStalled if a == 0 => {
                format!("no coordinator publishes a cut: the merged order stands still at {}", cut_text(b))
            }
            Condition::MergeStalled if b == 0 => {
                "no leader is followed: nothing new of it is merged, the others go on".to_owned()
            }
            Condition::MergeStalled => {
                format!("it is waited for: the merged order stands still at {}", cut_text(b))
            }
            Condition::CutAhead => {
                format!("a cut covers it up to seq {b}, beyond its end: merged readers end there")
            }
            _ => self.what(),
        }
    }

    /// The consequence, and the remedy.
    pub fn advice(&self) -> &'static str {
        match self.condition {
            Condition::JournalFull => {
                "its segments lag, the disk is full, or a witness's ring is full of uncommitted entries; \
                 only what is stored is acknowledged, and the node continues by itself when there is room"
            }
            Condition::Damaged => {
                "they are not served, and repaired from another journal if one has the same frames (the log \
                 shows what was done); replace the disk if it happens again"
            }
            Condition::LogGone => LOG_GONE_ADVICE,
            Condition::Exposed => {
                "if the leader fails now, no replica can take over: start a full standby, and let it catch up"
            }
            Condition::RedundancyLost => REDUNDANCY_LOST_ADVICE,
            Condition::EpochsUncommitted => {
                "one leader replaces another, and no quorum stores what they stamp: make room on the disks \
                 of the members, and find out why they are slow"
            }
            Condition::RoundsHigh => "elections do not end: find out which replicas campaign, and why",
            Condition::DurabilityMixed => {
                "set the same stream.durability in the files of all replicas, and restart them one by one \
                 (CHANGE.md, Changing the durability)"
            }
            Condition::DiskFull => "make room; the node continues by itself",
            Condition::FilesRefused => FILES_REFUSED_ADVICE,
            Condition::DeviceStalled => {
                "the node continues by itself when the device does, and with `power` it acknowledges \
                 nothing until then: check the device (iostat, the kernel's log) and other programs that \
                 write to it, or replace the disk"
            }
            Condition::RoomLow => ROOM_LOW_ADVICE,
            Condition::PublishersNearlyFull => {
                "raise stream.publishers_max in the files of all replicas, and restart them one by one"
            }
            Condition::ReaderAhead if self.is_of_one_reader() => ONE_READER_AHEAD,
            Condition::ReaderAhead => READERS_AHEAD,
            Condition::ClockAhead => {
                "the clock of this leader or of an earlier one was wrong, and the stream's time stands \
                 still: correct the clocks; if they are right and a quorum's were wrong, `lockstep time \
                 --correct` sets it back"
            }
            Condition::ClockApart => {
                "correct it (is its time daemon running?): if it leads it stamps by the others' clocks, and \
                 if a quorum's are wrong the stream's time is wrong"
            }
            Condition::MulticastLost => MULTICAST_LOST_ADVICE,
            Condition::LineLost => {
                "the stream continues by that one alone; check the line's interface, its cable and its switch"
            }
            Condition::FilesDiffer => FILES_DIFFER_ADVICE,
            Condition::TakeoversOften => TAKEOVERS_OFTEN_ADVICE,
            Condition::OlderKeys => OLDER_KEYS_ADVICE,
            Condition::AddressTwice => ADDRESS_TWICE_ADVICE,
            Condition::PathLost => PATH_LOST_ADVICE,
            Condition::MergeStalled => MERGE_STALLED_ADVICE,
            Condition::CutAhead => CUT_AHEAD_ADVICE,
            Condition::MembersFull => "raise `fanout_members`, or let fewer processes join",
            Condition::WatcherGone if self.a == 0 => {
                "the others will notice the death of this process by its silence only: let the watcher run \
                 again (`kill -CONT`)"
            }
            Condition::WatcherGone => {
                "the others will notice the death of this process by its silence only; restart it when the \
                 cause is removed, or set runtime.watcher = false"
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

/// The cut at which a merged order stands.
fn cut_text(seq: u64) -> String {
    if seq <= 1 { "its last cut".to_owned() } else { format!("cut {seq}") }
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
        assert!(text(2, 3).contains("2 of 3") && text(2, 3).contains("no more may crash"), "{}", text(2, 3));
        assert!(text(4, 5).contains("1 more may crash"), "{}", text(4, 5));
        assert!(text(1, 3).contains("no more may crash"), "below a quorum nothing more is promised");
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
