//! Properties of ordered links (Birman and Joseph 1987, §4.1).

use super::broadcast::delivered;
use super::{History, Judged, Property, p};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Value};

/// What `from` sent to `to`, in order.
fn sent(history: &History<'_>, from: Pid, to: Pid) -> Vec<Value> {
    let sent = history.asked(from).filter_map(|ask| match ask {
        Ask::Send(receiver, value) if *receiver == to => Some(*value),
        _ => None,
    });
    sent.collect()
}

/// The order of a link, without gaps. It includes that nothing is created and nothing is delivered twice.
pub static LINK_ORDER: Property = Property {
    name: "LINK ORDER",
    promise: "what a process delivers of another one is the beginning of what that one sent to it",
    judged: Judged::Always,
    real_time: false,
    holds: |history| {
        for to in history.honest().iter() {
            for from in history.honest().iter() {
                let deliveries = delivered(history, to).into_iter().filter(|(sender, _)| *sender == from);
                let sent = sent(history, from, to);
                for (at, (_, value)) in deliveries.enumerate() {
                    if sent.get(at) != Some(&value) {
                        let [to, from] = [to, from].map(p);
                        return Err(format!(
                            "{to} delivers {value:?} as message {} of {from}, which sent {sent:?}",
                            at + 1
                        ));
                    }
                }
            }
        }
        Ok(())
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Pids;
    use crate::vocabulary::{Event, Fact};

    /// Whether the order holds of a link on which these were sent and delivered.
    fn holds(sent: &[u8], delivered: &[u8]) -> bool {
        let sent: Vec<_> = sent.iter().map(|value| Event::Asked(Ask::Send(1, Value(*value)))).collect();
        let deliver = |value: &u8| Event::Did(Fact::Deliver { from: 0, value: Value(*value) });
        let delivered: Vec<_> = delivered.iter().map(deliver).collect();
        (LINK_ORDER.holds)(&History {
            n: 2,
            events: &[&sent, &delivered],
            order: &[],
            correct: Pids::first(2),
            crashed: Pids::default(),
            liars: Pids::default(),
        })
        .is_ok()
    }

    #[test]
    fn a_link_delivers_the_beginning_of_what_was_sent() {
        assert!(holds(&[0, 1, 0], &[]) && holds(&[0, 1, 0], &[0, 1]) && holds(&[0, 1, 0], &[0, 1, 0]));
        assert!(!holds(&[0, 1], &[1]), "a gap");
        assert!(!holds(&[0, 1], &[1, 0]), "reversed");
        assert!(!holds(&[0, 1], &[0, 0]), "twice");
        assert!(!holds(&[0], &[0, 1]), "created");
    }
}
