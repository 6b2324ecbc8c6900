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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::tests::judge;
    use crate::vocabulary::{Event, Fact};

    fn delivers(value: u8) -> Event {
        Event::Did(Fact::Deliver { from: 0, value: Value(value) })
    }

    #[test]
    fn totality_is_all_or_nobody_and_says_nothing_of_which_message() {
        let holds = |third: &[Event]| judge(&BYZANTINE_TOTALITY, &[&[], &[delivers(0)], third], 0, 1);
        assert!(holds(&[delivers(0)]) && holds(&[delivers(1)]));
        assert!(!holds(&[]));
        assert!(judge(&BYZANTINE_TOTALITY, &[&[], &[], &[]], 0, 1));
        assert!(judge(&BYZANTINE_TOTALITY, &[&[], &[delivers(0)], &[]], 0b100, 1), "it crashed");
    }

    #[test]
    fn consistency_is_of_which_message_and_not_of_whether() {
        let holds = |third: &[Event]| judge(&BYZANTINE_CONSISTENCY, &[&[], &[delivers(0)], third], 0, 1);
        assert!(holds(&[delivers(0)]) && holds(&[]));
        assert!(!holds(&[delivers(1)]));
    }
}
