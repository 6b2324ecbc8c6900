//! Properties of the order of primaries (Junqueira, Reed, Serafini 2011, their section of definitions). A
//! value is broadcast once, by the primary of one epoch.

use super::broadcast::{delivered, delivered_in};
use super::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Event, Fact, Value};
use std::collections::BTreeMap;

/// The broadcasts of primaries: of each value its epoch, and the values of that epoch before it.
fn sent(history: &History<'_>) -> BTreeMap<Value, (u64, Vec<Value>)> {
    let mut all = BTreeMap::new();
    for pid in history.honest().iter() {
        let mut of_epoch: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
        for fact in history.facts(pid) {
            let Fact::Sent { epoch, value } = *fact else { continue };
            let earlier = of_epoch.entry(epoch).or_default();
            all.insert(value, (epoch, earlier.clone()));
            earlier.push(value);
        }
    }
    all
}

/// Local primary order and global primary order.
pub static PRIMARY_ORDER: Property = Property {
    name: "PRIMARY ORDER",
    promise: "what a primary broadcast is delivered in its order without gaps, and behind that of earlier epochs",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let sent = sent(history);
        for pid in history.honest().iter() {
            let values: Vec<Value> = delivered(history, pid).into_iter().map(|(_, value)| value).collect();
            for (at, value) in values.iter().enumerate() {
                let Some((epoch, earlier)) = sent.get(value) else { continue };
                if let Some(lacking) = earlier.iter().find(|other| !values[..at].contains(other)) {
                    return Err(format!(
                        "{} delivers {value:?} without {lacking:?}, which its primary broadcast before",
                        p(pid)
                    ));
                }
                let is_later = |other: &&Value| sent.get(other).is_some_and(|(later, _)| later > epoch);
                if let Some(other) = values[..at].iter().find(is_later) {
                    return Err(format!(
                        "{} delivers {other:?} before {value:?} of an earlier epoch",
                        p(pid)
                    ));
                }
            }
        }
        Ok(())
    },
};

/// Primary integrity.
pub static PRIMARY_INTEGRITY: Property = Property {
    name: "PRIMARY INTEGRITY",
    promise: "a primary delivers all of earlier epochs that anybody ever delivers before it broadcasts",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        let sent = sent(history);
        let all = history.honest().iter().flat_map(|pid| delivered(history, pid));
        let all: Vec<(u64, Value)> =
            all.filter_map(|(_, value)| Some((sent.get(&value)?.0, value))).collect();
        for pid in history.honest().iter() {
            let events = history.events[usize::from(pid)];
            for (at, event) in events.iter().enumerate() {
                let Event::Did(Fact::Sent { epoch, value }) = event else { continue };
                let before = delivered_in(&events[..at]);
                let lacks = |other: &Value| before.iter().all(|(_, there)| there != other);
                if let Some((_, other)) = all.iter().find(|(of, other)| of < epoch && lacks(other)) {
                    let p = p(pid);
                    return Err(format!(
                        "{p} broadcasts {value:?} and has not delivered {other:?} of before"
                    ));
                }
            }
        }
        Ok(())
    },
};

/// Progress of the primary that all trust in the end, which is the lowest correct process.
pub static PRIMARY_PROGRESS: Property = Property {
    name: "PRIMARY PROGRESS",
    promise: "the lowest correct process broadcasts what it is asked, and all deliver that of its last epoch",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history| {
        let Some(lowest) = history.correct.lowest() else { return Ok(()) };
        let epochs = history.facts(lowest).filter_map(|fact| match fact {
            Fact::Primary { epoch } => Some(*epoch),
            _ => None,
        });
        let Some(last) = epochs.max() else { return Err(format!("{} is never the primary", p(lowest))) };
        let sent: Vec<_> = history.facts(lowest).filter_map(sent_in).collect();
        for ask in history.asked(lowest) {
            let Ask::Broadcast(value) = ask else { continue };
            if !sent.iter().any(|(_, other)| other == value) {
                return Err(format!("{} never broadcasts {value:?}", p(lowest)));
            }
        }
        for (_, value) in sent.iter().filter(|(epoch, _)| *epoch == last) {
            let has = |pid: &Pid| delivered(history, *pid).contains(&(lowest, *value));
            if let Some(pid) = history.correct.iter().find(|pid| !has(pid)) {
                return Err(format!("{} never delivers {value:?} of the last epoch", p(pid)));
            }
        }
        Ok(())
    },
};

/// What a fact broadcasts, and in which epoch.
fn sent_in(fact: &Fact) -> Option<(u64, Value)> {
    if let Fact::Sent { epoch, value } = fact { Some((*epoch, *value)) } else { None }
}
