//! Properties of the collection of delivered messages (Birman and Joseph 1987, §4.4).

use super::broadcast::{delivered, delivered_in};
use super::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::{Fact, Value};

/// What a process collects, in order.
fn collected(history: &History<'_>, pid: Pid) -> Vec<(Pid, Value)> {
    let collected = history.facts(pid).filter_map(|fact| match fact {
        Fact::Collected { from, value } => Some((*from, *value)),
        _ => None,
    });
    collected.collect()
}

/// A message is collected only when it is stable.
pub static STABLE_COLLECTION: Property = Property {
    name: "STABLE COLLECTION",
    promise: "a process collects a message only once every process that has not crashed has delivered it",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for pid in history.honest().iter() {
            for (from, value) in collected(history, pid) {
                let lacking = |other: &Pid| !delivered(history, *other).contains(&(from, value));
                if let Some(other) = history.correct.iter().find(lacking) {
                    let [pid, from, other] = [pid, from, other].map(p);
                    return Err(format!("{pid} collects {value:?} of {from}, and {other} does not have it"));
                }
            }
        }
        Ok(())
    },
};

/// Every message is collected in the end: the store does not grow with the number of messages.
pub static COLLECTION: Property = Property {
    name: "COLLECTION",
    promise: "a correct process collects in the end what it has delivered",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        for pid in history.correct.iter() {
            let collected = collected(history, pid);
            let all = delivered_in(history.events[usize::from(pid)]);
            if let Some((from, value)) = all.into_iter().find(|message| !collected.contains(message)) {
                return Err(format!("{} has {value:?} of {} for ever", p(pid), p(from)));
            }
        }
        Ok(())
    },
};
