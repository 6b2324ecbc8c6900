//! Properties of orders (Guerraoui's course, "Causal Broadcast", "Total Order Broadcast"; the properties of
//! atomic broadcast).

use super::broadcast::delivered;
use super::{History, Judged, Property, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Event, Fact, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Total order in its strong form: if one of `among` delivers `x` without having delivered `y`, none of them
/// delivers `y` before `x`. So of two sequences of deliveries one is the beginning of the other.
fn total_order(history: &History<'_>, among: Pids) -> Result<(), String> {
    let sequences: Vec<_> = among.iter().map(|pid| (pid, delivered(history, pid))).collect();
    for (index, (one, ours)) in sequences.iter().enumerate() {
        for (other, theirs) in &sequences[index + 1..] {
            if let Some(at) = (0..ours.len().min(theirs.len())).find(|at| ours[*at] != theirs[*at]) {
                let (mine, its) = (ours[at].1, theirs[at].1);
                return Err(format!(
                    "{} delivers {mine:?} where {} delivers {its:?}: place {} of the order",
                    p(*one),
                    p(*other),
                    at + 1
                ));
            }
        }
    }
    Ok(())
}

/// Total order of correct processes.
pub static TOTAL_ORDER: Property = Property {
    name: "TOTAL ORDER",
    promise: "correct processes deliver in one order, without gaps",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| total_order(history, history.correct),
};

/// Uniform total order.
pub static UNIFORM_TOTAL_ORDER: Property = Property {
    name: "UNIFORM TOTAL ORDER",
    promise: "all processes, those too that fail then, deliver in one order, without gaps",
    judged: Judged::Always,
    real_time: false,
    holds: |history| total_order(history, history.honest()),
};

/// The messages that came before each message: those that its sender had broadcast or delivered.
fn pasts(history: &History<'_>) -> BTreeMap<(Pid, Value), BTreeSet<(Pid, Value)>> {
    let mut pasts = BTreeMap::new();
    for pid in history.honest().iter() {
        let mut past = BTreeSet::new();
        for event in history.events[usize::from(pid)] {
            match event {
                Event::Asked(Ask::Broadcast(value)) => {
                    pasts.insert((pid, *value), past.clone());
                    past.insert((pid, *value));
                }
                Event::Did(Fact::Deliver { from, value }) => drop(past.insert((*from, *value))),
                _ => {}
            }
        }
    }
    pasts
}

/// The first delivery for which a message that `before` names was not delivered there yet.
fn in_order(history: &History<'_>, before: impl Fn((Pid, Value)) -> Vec<(Pid, Value)>) -> Result<(), String> {
    for pid in history.honest().iter() {
        let mut seen = BTreeSet::new();
        for message in delivered(history, pid) {
            for earlier in before(message) {
                if !seen.contains(&earlier) {
                    return Err(format!(
                        "{} delivers {:?} of {} before {:?} of {}",
                        p(pid),
                        message.1,
                        p(message.0),
                        earlier.1,
                        p(earlier.0)
                    ));
                }
            }
            seen.insert(message);
        }
    }
    Ok(())
}

/// FIFO order.
pub static FIFO_ORDER: Property = Property {
    name: "FIFO ORDER",
    promise: "messages of one sender are delivered in the order in which it broadcast them",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let pasts = pasts(history);
        in_order(history, |message| {
            let past = pasts.get(&message).into_iter().flatten();
            past.filter(|earlier| earlier.0 == message.0).copied().collect()
        })
    },
};

/// Causal order. Its transitivity follows: each delivery is judged against the whole past of its sender.
pub static CAUSAL_ORDER: Property = Property {
    name: "CAUSAL ORDER",
    promise: "a message is delivered after all that its sender had broadcast or delivered before it",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let pasts = pasts(history);
        in_order(history, |message| pasts.get(&message).into_iter().flatten().copied().collect())
    },
};
