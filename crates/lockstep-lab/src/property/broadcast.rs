//! Properties of links and broadcasts (Guerraoui's course, "Links", "Reliable Broadcast"; the properties of
//! atomic broadcast).

use super::{History, Judged, Property, p};
use crate::protocol::{Pid, Pids};
use crate::vocabulary::{Ask, Event, Fact, Value};
use std::collections::BTreeSet;

/// The deliveries of a process, in order.
pub(super) fn delivered(history: &History<'_>, pid: Pid) -> Vec<(Pid, Value)> {
    delivered_in(history.events[usize::from(pid)])
}

/// The deliveries among some events, in order.
pub(super) fn delivered_in(events: &[Event]) -> Vec<(Pid, Value)> {
    let deliveries = events.iter().filter_map(|event| match event {
        Event::Did(Fact::Deliver { from, value }) => Some((*from, *value)),
        _ => None,
    });
    deliveries.collect()
}

/// All broadcasts, with their senders.
fn broadcast(history: &History<'_>) -> BTreeSet<(Pid, Value)> {
    let all = (0..history.n).flat_map(|pid| {
        history.asked(pid).filter_map(move |ask| match ask {
            Ask::Broadcast(value) | Ask::Send(_, value) => Some((pid, *value)),
            _ => None,
        })
    });
    all.collect()
}

/// A correct process that has not delivered `message`.
fn lacking(history: &History<'_>, message: (Pid, Value)) -> Option<Pid> {
    history.correct.iter().find(|pid| !delivered(history, *pid).contains(&message))
}

/// What a correct process sent to a correct process, and is not delivered there: its sender, and where.
fn undelivered(history: &History<'_>) -> Option<(Pid, Value, Pid)> {
    history.correct.iter().find_map(|sender| {
        history.asked(sender).find_map(|ask| match *ask {
            Ask::Send(to, value) => {
                let is_lacking =
                    history.correct.has(to) && !delivered(history, to).contains(&(sender, value));
                is_lacking.then_some((sender, value, to))
            }
            _ => None,
        })
    })
}

/// Whether every correct process has delivered what each of `among` has.
fn agree(history: &History<'_>, among: Pids) -> Result<(), String> {
    for one in among.iter() {
        for (sender, value) in delivered(history, one) {
            if let Some(other) = lacking(history, (sender, value)) {
                let [one, sender, other] = [one, sender, other].map(p);
                return Err(format!("{one} delivered {value:?} of {sender}, and {other} never does"));
            }
        }
    }
    Ok(())
}

/// Validity.
pub static VALIDITY: Property = Property {
    name: "VALIDITY",
    promise: "what a correct process broadcasts, every correct process delivers in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        for (sender, value) in broadcast(history) {
            if !history.correct.has(sender) {
                continue;
            }
            if let Some(pid) = lacking(history, (sender, value)) {
                return Err(format!("{} broadcast {value:?}, and {} never delivers it", p(sender), p(pid)));
            }
        }
        Ok(())
    },
};

/// Reliable delivery of a link: as validity, of one destination.
pub static RELIABLE_DELIVERY: Property = Property {
    name: "RELIABLE DELIVERY",
    promise: "what a correct process sends to a correct process is delivered there in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| match undelivered(history) {
        Some((sender, value, to)) => {
            Err(format!("{} sent {value:?} to {}, which never delivers it", p(sender), p(to)))
        }
        None => Ok(()),
    },
};

/// Stubborn delivery.
pub static STUBBORN_DELIVERY: Property = Property {
    name: "STUBBORN DELIVERY",
    promise: "what a correct process sends to a correct process is delivered there again and again, for ever",
    judged: Judged::ForEver,
    real_time: false,
    holds: |history| match undelivered(history) {
        Some((sender, value, to)) => {
            Err(format!("{} sent {value:?} to {}, which stops to deliver it", p(sender), p(to)))
        }
        None => Ok(()),
    },
};

/// No duplication: the first half of integrity.
pub static NO_DUPLICATION: Property = Property {
    name: "NO DUPLICATION",
    promise: "no process delivers a message twice",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for pid in history.honest().iter() {
            let mut seen = BTreeSet::new();
            for (sender, value) in delivered(history, pid) {
                if !seen.insert((sender, value)) {
                    return Err(format!("{} delivers {value:?} of {} twice", p(pid), p(sender)));
                }
            }
        }
        Ok(())
    },
};

/// No creation: the second half of integrity.
pub static NO_CREATION: Property = Property {
    name: "NO CREATION",
    promise: "what is delivered as a message of an honest process was broadcast by it",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let broadcast = broadcast(history);
        for pid in history.honest().iter() {
            for (sender, value) in delivered(history, pid) {
                if !history.liars.has(sender) && !broadcast.contains(&(sender, value)) {
                    return Err(format!(
                        "{} delivers {value:?} of {}, which never sent it",
                        p(pid),
                        p(sender)
                    ));
                }
            }
        }
        Ok(())
    },
};

/// Agreement, of correct processes.
pub static AGREEMENT: Property = Property {
    name: "AGREEMENT",
    promise: "what one correct process delivers, every correct process delivers in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| agree(history, history.correct),
};

/// Uniform agreement.
pub static UNIFORM_AGREEMENT: Property = Property {
    name: "UNIFORM AGREEMENT",
    promise: "what any process delivers, even one that fails then, every correct process delivers in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| agree(history, history.honest()),
};
