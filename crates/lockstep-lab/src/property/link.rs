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
