//! The texts of the events that a node's engine reports: stable codes, one line each. The hot thread records
//! numbers; a side thread writes these sentences.

use lockstep_client::internal::ActiveCondition;
use lockstep_core::engine::event::{Role, StepDownReason};
use lockstep_core::engine::event_record::*;
use lockstep_core::proto::redundancy::UnavailableReason;
use lockstep_core::proto::rounds;
use lockstep_io::clock::Utc;
use lockstep_io::fanout::FanoutCounts;
use lockstep_process::events::EventKind;
use lockstep_process::watcher::{self, Readiness};
use lockstep_wire::LeaderLossReason;
use lockstep_wire::{Condition, Epoch, EventRecord as Record, Identity, Nanos, Reject, unpacked_address};
use std::fmt::{self, Display as _};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use tracing::Level;

/// All codes of a node, for [`lockstep_process::events::Recorder::new`].
pub static EVENT_KINDS: &[EventKind] = &{
    let mut kinds = [EventKind { code: 0, level: Level::WARN, format: format_condition }; ALL_KINDS];
    let mut at = 0;
    while at < ALL_KINDS {
        if at < HAPPENINGS.len() {
            kinds[at] = HAPPENINGS[at];
        } else {
            kinds[at].code = Condition::ALL[at - HAPPENINGS.len()] as u16;
        }
        at += 1;
    }
    kinds
};

const ALL_KINDS: usize = HAPPENINGS.len() + Condition::COUNT;

/// Events. A lasting state is a [`Condition`] instead, whose texts are in `client::conditions`.
const HAPPENINGS: &[EventKind] = &[
    EventKind { code: ROLE, level: Level::INFO, format: format_role },
    EventKind {
        code: HISTORY,
        level: Level::INFO,
        format: |event, f| write!(f, "follows history {:x}", event.a),
    },
    EventKind {
        code: EPOCH,
        level: Level::INFO,
        format: |event, f| write!(f, "epoch {} begins at seq {}", Epoch(event.a), event.b),
    },
    EventKind {
        code: LEADER_SUSPECTED,
        level: Level::WARN,
        format: |event, f| {
            let why = u8::try_from(event.small)
                .ok()
                .and_then(LeaderLossReason::from_u8)
                .map_or("?", LeaderLossReason::name);
            let (epoch, leader) = (Epoch(event.a), Epoch(event.a).leader());
            match event.a {
                0 => write!(f, "nothing was received from a leader since this process started: {why}"),
                _ => write!(f, "the leader {leader} of epoch {epoch} is missed: {why}"),
            }
        },
    },
    EventKind {
        code: LEADER_GOES,
        level: Level::INFO,
        format: |event, f| {
            let (epoch, leader) = (Epoch(event.a), Epoch(event.a).leader());
            write!(f, "the leader {leader} of epoch {epoch} stops or hands over: another one follows")
        },
    },
    EventKind {
        code: LEADER_RETURNED,
        level: Level::WARN,
        format: |event, f| {
            let (epoch, leader) = (Epoch(event.a), Epoch(event.a).leader());
            let lasted = Duration::from_nanos(event.c);
            write!(
                f,
                "the leader {leader} of epoch {epoch} sends again after {lasted:.1?}; no other replica had \
                 taken over"
            )
        },
    },
    EventKind { code: MEMBER, level: Level::WARN, format: format_member },
    EventKind {
        code: CANDIDATE,
        level: Level::INFO,
        format: |event, f| write!(f, "requests promises for epoch {}", Epoch(event.a)),
    },
    EventKind {
        code: STEPPED_DOWN,
        level: Level::WARN,
        format: |event, f| {
            let why = StepDownReason::from_u32(u32::from(event.small)).map_or("?", StepDownReason::name);
            write!(f, "no longer stamps in epoch {}: {why}; its log ends at seq {}", Epoch(event.a), event.b)
        },
    },
    EventKind {
        code: HANDED_OVER,
        level: Level::INFO,
        format: |event, f| write!(f, "hands over epoch {}; its log ends at seq {}", Epoch(event.a), event.b),
    },
    EventKind {
        code: SUFFIX_REPLACED,
        level: Level::WARN,
        format: |event, f| {
            let (from, epoch, old_next, old_epoch) = (event.a, Epoch(event.b), event.c, Epoch(event.d));
            write!(
                f,
                "uncommitted entries from seq {from} on were discarded: the log, which ended before seq \
                 {old_next} in epoch {old_epoch}, is now that of epoch {epoch}"
            )
        },
    },
    EventKind { code: REJECTED, level: Level::WARN, format: format_rejected },
    EventKind {
        code: GAP,
        level: Level::INFO,
        format: |event, f| {
            write!(f, "entries {} to {} are missing and requested", event.a, event.b.saturating_sub(1))
        },
    },
    EventKind {
        code: JOIN_REFUSED,
        level: Level::WARN,
        format: |event, f| match event.a {
            0 => write!(f, "no node refuses to send to this node any more"),
            nodes => write!(
                f,
                "{nodes} nodes refuse to send to this node: they have no room for a lease, or send by \
                 multicast only"
            ),
        },
    },
    EventKind {
        code: LEASED,
        level: Level::INFO,
        format: |event, f| write!(f, "{} nodes send to this node by lease", event.a),
    },
    EventKind {
        code: DIVERGED,
        level: Level::ERROR,
        format: |event, f| {
            write!(
                f,
                "the log differs from the cluster's at seq {}: chain {:016x} here, {:016x} there; the node is silent \
                 from now on; compare the journals with `format --verify`",
                event.a, event.b, event.c
            )
        },
    },
    EventKind {
        code: OTHER_HISTORY,
        level: Level::ERROR,
        format: |event, f| {
            write!(
                f,
                "the group has history {:016x} under our cluster's id, this journal holds {:016x}: the node is \
                 silent from now on; if the other is the cluster's present one (`lockstep recover` founds one), format \
                 a new journal and add it; if this journal was recovered while the other one was led, stop the others \
                 first, or give this replica a new journal",
                event.b, event.a
            )
        },
    },
    EventKind {
        code: VERSION_RAISED,
        level: Level::WARN,
        format: |event, f| {
            write!(f, "by an operator's order the log is of version {} from seq {} on", event.a, event.b)
        },
    },
    EventKind {
        code: TIME_SET_BACK,
        level: Level::WARN,
        format: |event, f| {
            let (before, after) = (Utc(event.a), Utc(event.c));
            write!(
                f,
                "by an operator's order the stream's time went back from {before} to {after} at seq {}",
                event.b
            )
        },
    },
    EventKind { code: FOUNDED, level: Level::WARN, format: format_founded },
    EventKind { code: LEFT_BEHIND, level: Level::ERROR, format: format_left_behind },
    EventKind {
        code: ANCESTOR_HISTORY,
        level: Level::WARN,
        format: |event, f| {
            write!(
                f,
                "{} sends in history {:016x}, on which this one was founded: its datagrams are ignored; \
                 stop it, format a new journal for it, and add it",
                Identity::from_packed(event.a),
                event.b
            )
        },
    },
    EventKind {
        code: OTHER_LEADER,
        level: Level::ERROR,
        format: |event, f| {
            write!(
                f,
                "{} leads, or campaigns to lead, another history, {:016x}, under our cluster's id: two \
                 histories are active, and each lacks what the other acknowledges; stop the founder that \
                 holds less (`lockstep recover --compare`), `format` a new journal for it, and add it",
                Identity::from_packed(event.a),
                event.b
            )
        },
    },
    EventKind {
        code: DECLARED_DEAD_BOTH,
        level: Level::ERROR,
        format: |event, f| {
            let (other, own) = (Epoch(event.a), Epoch(event.b));
            write!(
                f,
                "{} was declared dead here and leads epoch {other}, while this node leads epoch {own}: an \
                 operator declared each of them dead at the other; both are silent from now on; keep one \
                 journal, and replace the other replica",
                other.leader()
            )
        },
    },
    EventKind {
        code: OVERRUN,
        level: Level::ERROR,
        format: |event, f| {
            write!(
                f,
                "the log was replaced from seq {} on, and the tail, whose oldest seq is {}, no longer has \
                 all of it: the node is silent from now on; start it again, and it reads its journal",
                event.a, event.b
            )
        },
    },
    EventKind {
        code: TAKEOVER_WAITS,
        level: Level::WARN,
        format: |event, f| {
            let (witness, holder) = (Identity::from_packed(event.c), Identity::from_packed(event.d));
            write!(
                f,
                "the takeover waits: entries from seq {} on are missing here, and the ring of the witness {witness} \
                 begins at {}; {holder} has stored them: start it",
                event.a, event.b
            )
        },
    },
    EventKind {
        code: DUPLICATE_IDENTITY_OLDER,
        level: Level::ERROR,
        format: |event, f| {
            let identity = Identity::from_packed(event.a);
            write!(
                f,
                "another process with this node's identity {identity} runs, and started before this one: \
                 this node is silent from now on; find out which host has a copy of its journal, and give \
                 each replica a journal of its own"
            )
        },
    },
    EventKind {
        code: DUPLICATE_IDENTITY,
        level: Level::ERROR,
        format: |event, f| {
            let identity = Identity::from_packed(event.a);
            write!(
                f,
                "another process with this node's identity {identity} runs; it started after this one, and \
                 stops by itself; find out which host has a copy of this journal"
            )
        },
    },
    EventKind {
        code: CUT,
        level: Level::ERROR,
        format: |event, f| {
            write!(
                f,
                "epoch {} does not contain what is committed here: it diverges from this log at seq {}, and \
                 everything below {} is final; the node is silent from now on; keep its journal, and find \
                 out which replicas have lost theirs",
                Epoch(event.c),
                event.a,
                event.b
            )
        },
    },
    EventKind {
        code: DIVERGENT_ACK,
        level: Level::ERROR,
        format: |event, f| {
            let identity = Identity::from_packed(event.a);
            write!(
                f,
                "replica {identity} acknowledges another log: chain {:016x} at seq {}, ours is {:016x}; its acks count \
                 for nothing; compare the journals with `format --verify`",
                event.d, event.b, event.c
            )
        },
    },
    EventKind {
        code: ROUND_REFUSED,
        level: Level::WARN,
        format: |event, f| {
            let epoch = Epoch(event.a);
            write!(
                f,
                "epoch {epoch} is refused: its round is more than {} above {}, the greatest that was seen \
                 here (reported once; counter rounds_refused); a replica that was away reaches it by \
                 itself; any other cause is a broken host or another cluster: look at replica {}",
                rounds::JUMP_MAX,
                event.b,
                epoch.leader()
            )
        },
    },
    EventKind {
        code: watcher::STARTED,
        level: Level::INFO,
        format: |event, f| {
            let (process, lacks) = (event.a, Readiness(u32::from(event.small)).lacks());
            write!(f, "watcher {} waits: process {process}", event.e)?;
            if lacks.is_empty() { Ok(()) } else { write!(f, "; it was not granted: {lacks}") }
        },
    },
    EventKind { code: watcher::DIED, level: Level::WARN, format: format_watcher_died },
];

/// A condition begins (its small number is 1), or has ended after `c` nanoseconds.
fn format_condition(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(condition) = Condition::from_u16(event.code) else { return f.write_str("?") };
    let active = ActiveCondition { condition, age: Duration::ZERO, a: event.a, b: event.b };
    match event.small {
        0 => write!(f, "over: {} (it lasted {:.1?})", active.what(), Duration::from_nanos(event.c)),
        _ => active.fmt(f),
    }
}

fn format_watcher_died(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if event.a == 0 {
        let error = std::io::Error::from_raw_os_error(event.d as i32);
        return write!(f, "the watcher was not started: {error}; it is tried again");
    }
    let (status, lived) = (ExitStatus::from_raw(event.b as i32), Duration::from_nanos(event.c));
    write!(f, "the watcher, process {}, ended after {lived:?} ({status}); another one is started", event.a)
}

fn format_member(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (member, listed) = (Identity::from_packed(event.a), event.b);
    match UnavailableReason::from_u32(u32::from(event.small)) {
        Some(why) => write!(f, "member {member} is unavailable: it {}", why.name())?,
        None => write!(f, "member {member} is back after {:.1?}", Duration::from_nanos(event.c))?,
    }
    write!(f, "; {} of {listed} members hold the log now", event.e)
}

fn format_role(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = |role: u32| Role::from_u32(role).map_or("?", Role::name);
    let (from, to, took) = (name(u32::from(event.small)), name(event.e), Duration::from_nanos(event.c));
    write!(f, "{from} -> {to} in epoch {} at seq {} after {took:?}", Epoch(event.a), event.b)?;
    match Role::from_u32(event.e) {
        Some(Role::Learner) if event.d > 0 => {
            f.write_str(": it is an archiver, which stores and replays the stream and is never a member")
        }
        Some(Role::Learner) => f.write_str(
            ": the membership does not list this replica, so it stores and has no vote; `membership add` lists it",
        ),
        _ => Ok(()),
    }
}

fn format_founded(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (history, next, own_next) = (event.a, event.b, event.c);
    write!(f, "continues in history {history:016x}, which was founded at seq {next} on the one held here")?;
    match own_next.checked_sub(next) {
        Some(lost @ 1..) => write!(
            f,
            ": {lost} entries from seq {next} on, which were not known to be committed, are not in it, and are replaced"
        ),
        _ => Ok(()),
    }
}

fn format_left_behind(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (history, next, own_next, commit_next) = (event.a, event.b, event.c, event.d);
    write!(
        f,
        "history {history:016x} was founded at seq {next} on the one held here, and this journal cannot \
         continue in it: its log ends at seq {own_next}, everything below {commit_next} is known to be \
         committed; the node is silent from now on"
    )?;
    match own_next.checked_sub(next) {
        Some(lost @ 1..) => write!(
            f,
            "; it holds {lost} entries that the new history does not have: if they are wanted, found the history on this \
             journal instead (`lockstep recover`), else move it away, format a new one and add it"
        ),
        _ => f.write_str("; move the journal away, format a new one and add it"),
    }
}

fn format_rejected(event: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sender = refused_sender(event);
    let reported_once = format!("{sender} (reported once; the counters count further ones)");
    let reject = match Reject::NAMES.get(usize::from(event.small)) {
        Some(&"version") => Reject::Version { seen: event.a as u8 },
        Some(&"cluster") => Reject::Cluster { seen: event.a },
        Some(&"history") => Reject::History { seen: event.a },
        Some(name) => return write!(f, "datagrams are refused: {name}{reported_once}"),
        None => return write!(f, "datagrams are refused{reported_once}"),
    };
    write!(f, "datagrams are refused: {reject}{reported_once}")
}

/// The sender of the first refused datagram, as the datagram has it: its address if it came by unicast, and
/// the generation of its key.
fn refused_sender(event: &Record) -> String {
    let (identity, at, generation) = (event.b, event.d, event.e);
    if identity == 0 {
        return String::new();
    }
    let address = match at {
        0 => format!(", from {}", Identity::from_packed(identity)),
        at => format!(", from {}", unpacked_address(at)),
    };
    match generation.checked_sub(1) {
        Some(generation) => format!("{address}, sealed with generation {generation}"),
        None => format!("{address}, without a key"),
    }
}

/// Other nodes begin or cease to refuse to send to us.
pub(super) fn join_record(counts: &FanoutCounts, now: Nanos) -> Record {
    Record { at: now, code: JOIN_REFUSED, a: counts.refused_by, ..Record::default() }
}

/// The number of nodes that send to us by lease has changed.
pub(super) fn leased_record(counts: &FanoutCounts, now: Nanos) -> Record {
    Record { at: now, code: LEASED, a: counts.lessors, ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::engine::event::{RefusedSender, ReplicaEvent};
    use lockstep_core::engine::event_record::record;
    use lockstep_process::events::EventText;
    use std::net::SocketAddrV4;

    #[test]
    fn a_refused_datagram_is_logged_with_the_address_of_its_sender_and_the_generation_of_its_key() {
        let identity = Identity { replica: 3, incarnation: 0xa3f_9c1 };
        let address = Some(SocketAddrV4::new([10, 0, 0, 7].into(), 7_701));
        let text = |sender| {
            let event = record(ReplicaEvent::Rejected { reject: Reject::Tag, sender }, 0, 0);
            EventText::new(EVENT_KINDS, &event).to_string()
        };
        let by_unicast = RefusedSender { identity, address, generation: Some(0) };
        assert!(text(Some(by_unicast)).contains("tag, from 10.0.0.7:7701, sealed with generation 0"));
        let by_group = RefusedSender { address: None, generation: None, ..by_unicast };
        assert!(text(Some(by_group)).contains(", from 3:0a3f9c1, without a key"), "{}", text(Some(by_group)));
        assert!(text(None).starts_with("datagrams are refused: tag (reported once"));
    }

    #[test]
    fn planned_work_is_no_warning_and_a_lost_leader_is_one() {
        let epoch = Epoch::new(7, Identity { replica: 3, incarnation: 0xa3f_9c1 });
        let line = |event| {
            let record = record(event, 0, 0);
            let text = EventText::new(EVENT_KINDS, &record);
            format!("{} {text}", text.level())
        };
        let missed = |epoch, why| line(ReplicaEvent::LeaderSuspected { epoch, why });
        let ended = |why| line(ReplicaEvent::SteppedDown { epoch, why, seq: 9 });
        let (goes, silent) = (LeaderLossReason::StepDown, LeaderLossReason::Silence);
        assert_eq!(
            missed(epoch, goes),
            format!("INFO the leader 3:0a3f9c1 of epoch {epoch} stops or hands over: another one follows")
        );
        assert_eq!(
            missed(epoch, silent),
            format!("WARN the leader 3:0a3f9c1 of epoch {epoch} is missed: silence")
        );
        assert_eq!(
            missed(Epoch(0), silent),
            "WARN nothing was received from a leader since this process started: silence"
        );
        assert_eq!(
            ended(StepDownReason::Handover),
            format!("INFO hands over epoch {epoch}; its log ends at seq 9")
        );
        let words = ended(StepDownReason::NoQuorum);
        assert!(
            words.starts_with("WARN no longer stamps in epoch ") && words.contains("hears no quorum"),
            "{words}"
        );
    }
}
