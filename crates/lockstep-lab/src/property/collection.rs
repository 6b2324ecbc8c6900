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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Pids;
    use crate::vocabulary::Event;

    const DELIVER: Event = Event::Did(Fact::Deliver { from: 0, value: Value(0) });
    const COLLECT: Event = Event::Did(Fact::Collected { from: 0, value: Value(0) });

    /// Whether `property` holds of two processes with these events, of which `crashed` have crashed.
    fn holds(property: &Property, crashed: Pids, events: [&[Event]; 2]) -> bool {
        let correct = Pids::first(2).without(crashed);
        let liars = Pids::default();
        (property.holds)(&History { n: 2, events: &events, order: &[], correct, crashed, liars }).is_ok()
    }

    #[test]
    fn only_what_all_that_live_have_is_collected() {
        let none = Pids::default();
        assert!(holds(&STABLE_COLLECTION, none, [&[DELIVER, COLLECT], &[DELIVER]]));
        assert!(!holds(&STABLE_COLLECTION, none, [&[DELIVER, COLLECT], &[]]));
        assert!(holds(&STABLE_COLLECTION, Pids::one(1), [&[DELIVER, COLLECT], &[]]));
        assert!(!holds(&STABLE_COLLECTION, Pids::one(0), [&[DELIVER, COLLECT], &[]]));
    }

    #[test]
    fn all_that_live_collect_all_that_they_have() {
        let none = Pids::default();
        assert!(holds(&COLLECTION, none, [&[DELIVER, COLLECT], &[]]));
        assert!(!holds(&COLLECTION, none, [&[DELIVER, COLLECT], &[DELIVER]]));
        assert!(holds(&COLLECTION, Pids::one(1), [&[DELIVER, COLLECT], &[DELIVER]]));
    }
}
