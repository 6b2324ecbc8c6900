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
