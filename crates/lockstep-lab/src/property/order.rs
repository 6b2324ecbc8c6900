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

/// Whether two commands conflict: each is one of the two commands of a register, as `a` and `b`, or `c` and
/// `d`. Commands of different registers commute.
pub fn conflicts(one: Value, other: Value) -> bool {
    one.0 / 2 == other.0 / 2
}

/// Uniform order of conflicting commands: so that all deliver histories that are equal up to the order of
/// commands that commute.
pub static CONFLICT_ORDER: Property = Property {
    name: "ORDER OF CONFLICTS",
    promise: "all processes deliver commands that conflict in one order, without gaps",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for (one, first) in history.all_facts() {
            let Fact::Deliver { value, .. } = first else { continue };
            let of = |pid| {
                let all = delivered(history, pid).into_iter();
                all.map(|(_, other)| other).filter(|other| conflicts(*other, *value)).collect::<Vec<_>>()
            };
            for other in history.honest().iter() {
                let (ours, theirs) = (of(one), of(other));
                if ours.iter().zip(&theirs).any(|(our, their)| our != their) {
                    let [one, other] = [one, other].map(p);
                    return Err(format!("{one} delivers {ours:?}, {other} delivers {theirs:?}"));
                }
            }
        }
        Ok(())
    },
};

/// The first of the course's weaker definitions: two messages that two processes both deliver, they deliver
/// in one order. A process may leave out messages.
pub static PAIRWISE_TOTAL_ORDER: Property = Property {
    name: "PAIRWISE TOTAL ORDER",
    promise: "any two messages that two processes both deliver, they deliver in one order",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        before_each(history, |earlier, ours, theirs| {
            let is_later = |message| theirs.contains(message) && !ours.contains(message);
            earlier.iter().find(|message| is_later(message)).copied()
        })
    },
};

/// The second of the course's weaker definitions: two processes that deliver a message have delivered the
/// same messages before it. Two processes that fail may still have delivered different first messages.
pub static GAPLESS_TOTAL_ORDER: Property = Property {
    name: "GAPLESS TOTAL ORDER",
    promise: "two processes that deliver a message have delivered the same messages before it, in one order",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        before_each(history, |earlier, ours, _| {
            earlier.iter().find(|message| !ours.contains(message)).copied()
        })
    },
};

/// For each message that two processes both deliver: what one delivered before it, what the other delivered
/// before it, and all that the other delivered. `wrong` returns a message that the one delivered rightly and
/// the other did not.
fn before_each(
    history: &History<'_>,
    wrong: impl Fn(&[(Pid, Value)], &[(Pid, Value)], &[(Pid, Value)]) -> Option<(Pid, Value)>,
) -> Result<(), String> {
    for one in history.honest().iter() {
        for other in history.honest().without(Pids::one(one)).iter() {
            let (first, second) = (delivered(history, one), delivered(history, other));
            for (at, message) in first.iter().enumerate() {
                let Some(there) = second.iter().position(|theirs| theirs == message) else { continue };
                if let Some(earlier) = wrong(&first[..at], &second[..there], &second) {
                    let [one, other] = [one, other].map(p);
                    let [early, late] = [earlier.1, message.1];
                    return Err(format!("{one} delivers {early:?} before {late:?}, and {other} does not"));
                }
            }
        }
    }
    Ok(())
}

/// The messages that came before each message: those that its sender had broadcast, sent or delivered, and
/// those that came before these.
fn pasts(history: &History<'_>) -> BTreeMap<(Pid, Value), BTreeSet<(Pid, Value)>> {
    let mut pasts = BTreeMap::new();
    for pid in history.honest().iter() {
        let mut past = BTreeSet::new();
        for event in history.events[usize::from(pid)] {
            match event {
                Event::Asked(Ask::Broadcast(value) | Ask::Send(_, value)) => {
                    pasts.insert((pid, *value), past.clone());
                    past.insert((pid, *value));
                }
                Event::Did(Fact::Deliver { from, value }) => drop(past.insert((*from, *value))),
                _ => {}
            }
        }
    }
    close(&mut pasts);
    pasts
}

/// Adds to each past the pasts of the messages in it. Where all messages are for all processes this changes
/// no judgement: a process that has delivered one had delivered its past.
fn close(pasts: &mut BTreeMap<(Pid, Value), BTreeSet<(Pid, Value)>>) {
    loop {
        let before = pasts.clone();
        for past in pasts.values_mut() {
            let more: Vec<_> =
                past.iter().filter_map(|message| before.get(message)).flatten().copied().collect();
            past.extend(more);
        }
        if before == *pasts {
            return;
        }
    }
}

/// Whether `pid` is a destination of a message: those of a broadcast are all.
fn is_for(history: &History<'_>, (from, value): (Pid, Value), pid: Pid) -> bool {
    !history.asked(from).any(|ask| matches!(ask, Ask::Send(to, sent) if *sent == value && *to != pid))
}

/// The first delivery for which a message that `before` names was not delivered there yet.
fn in_order(history: &History<'_>, before: impl Fn((Pid, Value)) -> Vec<(Pid, Value)>) -> Result<(), String> {
    for pid in history.honest().iter() {
        let mut seen = BTreeSet::new();
        for message in delivered(history, pid) {
            for earlier in before(message) {
                if !seen.contains(&earlier) && is_for(history, earlier, pid) {
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
