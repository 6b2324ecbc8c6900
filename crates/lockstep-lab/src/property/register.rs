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

/// Linearizability, of a register that has `a` at the start.
pub static LINEARIZABLE: Property = Property {
    name: "LINEARIZABLE",
    promise: "every operation seems to happen at one moment between its call and its return",
    judged: Judged::Always,
    real_time: true,
    holds: |history| {
        let operations = operations(history);
        if can_follow(&operations, 0, Value(0), &mut BTreeSet::new()) {
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
    },
};
