//! Properties of registers, judged as linearizability (Herlihy and Wing 1990; the search is that of Wing and
//! Gong 1993).

use super::{History, Judged, Property};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Event, Fact, Value};
use std::collections::BTreeSet;

/// An operation: its process, the places of its call and of its return in real time, and its effect.
struct Operation {
    pid: Pid,
    called: usize,
    returned: usize,
    /// What it writes.
    writes: Option<Value>,
    /// What it read.
    read: Option<Value>,
}

fn operations(history: &History<'_>) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for (at, (pid, event)) in history.in_real_time().enumerate() {
        let open =
            operations.iter_mut().find(|operation| operation.pid == pid && operation.returned == usize::MAX);
        match event {
            Event::Did(Fact::Returned(value)) => {
                if let Some(operation) = open {
                    (operation.returned, operation.read) = (at, Some(*value));
                }
            }
            Event::Did(Fact::Written) => {
                if let Some(operation) = open {
                    operation.returned = at;
                }
            }
            Event::Asked(Ask::Read) => {
                operations.push(Operation {
                    pid,
                    called: at,
                    returned: usize::MAX,
                    writes: None,
                    read: None,
                });
            }
            Event::Asked(Ask::Write(value)) => operations.push(Operation {
                pid,
                called: at,
                returned: usize::MAX,
                writes: Some(*value),
                read: None,
            }),
            _ => {}
        }
    }
    // A read that never returned says nothing.
    operations.retain(|operation| operation.writes.is_some() || operation.read.is_some());
    operations
}

/// Whether the operations that are not in `done` can follow one another from `value` on, each within its
/// time. A write that never returned may be left out.
fn can_follow(
    operations: &[Operation],
    done: u32,
    value: Value,
    dead_ends: &mut BTreeSet<(u32, Value)>,
) -> bool {
    let open = || operations.iter().enumerate().filter(|(index, _)| done >> index & 1 == 0);
    if open().all(|(_, operation)| operation.returned == usize::MAX) {
        return true;
    }
    if !dead_ends.insert((done, value)) {
        return false;
    }
    let first_return = open().map(|(_, operation)| operation.returned).min().unwrap_or(usize::MAX);
    open().any(|(index, operation)| {
        operation.called < first_return
            && operation.read.is_none_or(|read| read == value)
            && can_follow(operations, done | 1 << index, operation.writes.unwrap_or(value), dead_ends)
    })
}

/// Whether one order of the operations explains what was read.
fn explained(operations: &[Operation]) -> Result<(), String> {
    if can_follow(operations, 0, Value(0), &mut BTreeSet::new()) {
        return Ok(());
    }
    let words: Vec<_> = operations
        .iter()
        .map(|operation| match (operation.writes, operation.read) {
            (Some(value), _) => format!("p{} writes {value:?}", operation.pid + 1),
            (None, Some(value)) => format!("p{} reads {value:?}", operation.pid + 1),
            (None, None) => String::new(),
        })
        .collect();
    Err(format!("no order of these explains what was read: {}", words.join(", ")))
}

/// Linearizability, of a register that has `a` at the start.
pub static LINEARIZABLE: Property = Property {
    name: "LINEARIZABLE",
    promise: "every operation seems to happen at one moment between its call and its return",
    judged: Judged::Always,
    real_time: true,
    holds: |history| explained(&operations(history)),
};

/// Linearizability of what survives: a failure destroys all that a site has, so that a write of a dead site
/// may have never happened, even if it has returned, and what it read says nothing (Birman and Joseph 1987,
/// §3.4, §5.3).
pub static SURVIVORS_LINEARIZABLE: Property = Property {
    name: "LINEARIZABLE FOR SURVIVORS",
    promise: "the operations of those that live seem to happen at one moment each, with or without writes of \
              the dead",
    judged: Judged::Always,
    real_time: true,
    holds: |history| {
        let mut operations = operations(history);
        operations.retain(|operation| operation.writes.is_some() || !history.crashed.has(operation.pid));
        for operation in operations.iter_mut().filter(|operation| history.crashed.has(operation.pid)) {
            operation.returned = usize::MAX;
        }
        explained(&operations)
    },
};

/// Reads under one lock: from the first read of a process, or the first after it released the lock, to its
/// next release.
pub static REPEATABLE_READ: Property = Property {
    name: "REPEATABLE READ",
    promise: "the reads of a process under one lock return one value",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for pid in history.honest().iter() {
            let mut returned = history.facts(pid).filter_map(|fact| match fact {
                Fact::Returned(value) => Some(*value),
                _ => None,
            });
            let mut first = None;
            for ask in history.asked(pid) {
                match ask {
                    Ask::Release => first = None,
                    Ask::Read => {
                        let Some(value) = returned.next() else { break };
                        let before = *first.get_or_insert(value);
                        if before != value {
                            return Err(format!(
                                "p{} reads {before:?} and {value:?} under one lock",
                                pid + 1
                            ));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    },
};

/// Regularity (Lamport 1986).
pub static REGULAR: Property = Property {
    name: "REGULAR VALIDITY",
    promise: "a read returns the last value that was written before it, or one that is being written meanwhile",
    judged: Judged::Always,
    real_time: true,
    holds: |history| {
        let operations = operations(history);
        let writes = || operations.iter().filter_map(|operation| Some((operation, operation.writes?)));
        for read in &operations {
            let Some(value) = read.read else { continue };
            // A later write was over before the read began.
            let is_old = |returned: usize| {
                writes().any(|(later, _)| returned < later.called && later.returned < read.called)
            };
            let is_allowed = writes().any(|(write, written)| {
                written == value && write.called < read.returned && !is_old(write.returned)
            });
            let is_first = value == Value(0) && writes().all(|(write, _)| write.returned > read.called);
            if !is_allowed && !is_first {
                return Err(format!(
                    "p{} reads {value:?}, which is neither the last nor meanwhile",
                    read.pid + 1
                ));
            }
        }
        Ok(())
    },
};

/// Termination of operations.
pub static REGISTER_TERMINATION: Property = Property {
    name: "TERMINATION",
    promise: "an operation of a correct process returns in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        for pid in history.correct.iter() {
            let asked = history.asked(pid).filter(|ask| matches!(ask, Ask::Read | Ask::Write(_))).count();
            let returned = |fact: &&Fact| matches!(fact, Fact::Returned(_) | Fact::Written);
            if history.facts(pid).filter(returned).count() < asked {
                return Err(format!("an operation of p{} never returns", pid + 1));
            }
        }
        Ok(())
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Pids;

    /// Judges a run of three processes: its events in real time.
    fn judge(property: &Property, run: &[(Pid, Event)]) -> Result<(), String> {
        judge_with(property, Pids::default(), run)
    }

    /// As [`judge`], where some have crashed.
    fn judge_with(property: &Property, crashed: Pids, run: &[(Pid, Event)]) -> Result<(), String> {
        let of = |pid: Pid| -> Vec<Event> {
            run.iter().filter(|(by, _)| *by == pid).map(|(_, event)| event.clone()).collect()
        };
        let events = [of(0), of(1), of(2)];
        let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
        let order: Vec<Pid> = run.iter().map(|(pid, _)| *pid).collect();
        (property.holds)(&History {
            n: 3,
            events: &events,
            order: &order,
            correct: Pids::first(3).without(crashed),
            crashed,
            liars: Pids::default(),
        })
    }

    const WRITE: Event = Event::Asked(Ask::Write(Value(1)));
    const WRITTEN: Event = Event::Did(Fact::Written);
    const READ: Event = Event::Asked(Ask::Read);

    fn returned(value: u8) -> Event {
        Event::Did(Fact::Returned(Value(value)))
    }

    #[test]
    fn new_then_old_is_regular_and_not_linearizable() {
        let run = [(0, WRITE), (1, READ), (1, returned(1)), (2, READ), (2, returned(0)), (0, WRITTEN)];
        assert_eq!(judge(&REGULAR, &run), Ok(()));
        assert!(judge(&LINEARIZABLE, &run).is_err());
        let other = [(0, WRITE), (1, READ), (1, returned(0)), (2, READ), (2, returned(1)), (0, WRITTEN)];
        assert_eq!(judge(&LINEARIZABLE, &other), Ok(()));
    }

    #[test]
    fn an_old_value_after_a_write_is_neither() {
        let run = [(0, WRITE), (0, WRITTEN), (1, READ), (1, returned(0))];
        assert!(judge(&REGULAR, &run).is_err());
        assert!(judge(&LINEARIZABLE, &run).is_err());
        let unwritten = [(1, READ), (1, returned(2))];
        assert!(judge(&REGULAR, &unwritten).is_err());
    }

    #[test]
    fn a_write_of_the_dead_may_be_lost_but_not_seen_and_then_lost() {
        let lost = [(0, WRITE), (0, WRITTEN), (1, READ), (1, returned(0))];
        let seen = [(0, WRITE), (0, WRITTEN), (1, READ), (1, returned(1)), (2, READ), (2, returned(0))];
        assert!(judge_with(&LINEARIZABLE, Pids::one(0), &lost).is_err());
        assert_eq!(judge_with(&SURVIVORS_LINEARIZABLE, Pids::one(0), &lost), Ok(()));
        assert!(judge(&SURVIVORS_LINEARIZABLE, &lost).is_err(), "p1 lives");
        assert!(judge_with(&SURVIVORS_LINEARIZABLE, Pids::one(0), &seen).is_err());
        assert_eq!(judge_with(&SURVIVORS_LINEARIZABLE, Pids(0b11), &seen), Ok(()), "p2 took it with it");
    }

    #[test]
    fn reads_under_one_lock_return_one_value() {
        let first = [(1, READ), (1, READ), (1, returned(0))];
        let run = |more: &[(Pid, Event)]| judge(&REPEATABLE_READ, &[&first, more].concat());
        assert_eq!(run(&[(1, returned(0))]), Ok(()));
        assert!(run(&[(1, returned(1))]).is_err());
        let released =
            [(1, READ), (1, Event::Asked(Ask::Release)), (1, READ), (1, returned(0)), (1, returned(1))];
        assert_eq!(judge(&REPEATABLE_READ, &released), Ok(()));
        assert_eq!(
            judge(&REPEATABLE_READ, &[(1, READ), (1, returned(0)), (2, READ), (2, returned(1))]),
            Ok(())
        );
    }

    #[test]
    fn an_operation_without_an_end_is_seen() {
        assert!(judge(&REGISTER_TERMINATION, &[(0, WRITE)]).is_err());
        assert_eq!(judge(&REGISTER_TERMINATION, &[(0, WRITE), (0, WRITTEN)]), Ok(()));
    }
}
