//! Properties where processes lie (Guerraoui's course, "Byzantine").

use super::broadcast::delivered;
use super::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::Value;
use std::collections::BTreeMap;

/// Consistency: of one sender no two correct processes deliver different messages. The sender broadcasts
/// once.
pub static BYZANTINE_CONSISTENCY: Property = Property {
    name: "CONSISTENCY",
    promise: "no two correct processes deliver different messages of one sender, even if it lies",
    judged: Judged::Always,
    real_time: false,
    holds: |history: &History<'_>| {
        let mut first: BTreeMap<Pid, (Pid, Value)> = BTreeMap::new();
        for pid in history.honest().iter() {
            for (sender, value) in delivered(history, pid) {
                let (other, earlier) = *first.entry(sender).or_insert((pid, value));
                if earlier != value {
                    return Err(format!(
                        "of {} {} delivers {earlier:?} and {} delivers {value:?}",
                        p(sender),
                        p(other),
                        p(pid)
                    ));
                }
            }
        }
        Ok(())
    },
};

/// Totality.
pub static BYZANTINE_TOTALITY: Property = Property {
    name: "TOTALITY",
    promise: "if a correct process delivers a message of a sender, every correct process delivers one in the end",
    judged: Judged::AtTheEnd,
    real_time: false,
    holds: |history: &History<'_>| {
        for one in history.correct.iter() {
            for (sender, value) in delivered(history, one) {
                let lacks = |pid: &Pid| !delivered(history, *pid).iter().any(|(from, _)| *from == sender);
                if let Some(other) = history.correct.iter().find(lacks) {
                    let [one, sender, other] = [one, sender, other].map(p);
                    return Err(format!("{one} delivered {value:?} of {sender}, and {other} never does any"));
                }
            }
        }
        Ok(())
    },
};
