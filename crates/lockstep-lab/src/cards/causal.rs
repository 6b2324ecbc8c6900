//! Causal order.

mod causal_no_wait;
mod causal_no_wait_collection;
mod causal_waiting;
mod past;
mod uniform_causal;

pub use causal_no_wait::CausalNoWait;
pub use causal_no_wait_collection::{CausalNoWaitCollection, CollectionMessage};
pub use causal_waiting::CausalWaiting;
pub use uniform_causal::UniformCausal;

use crate::Value;
use crate::check::Entry;

/// Its cards, in the order of the tour.
pub(super) const ENTRIES: &[Entry] = &[
    Entry::of::<CausalNoWait<Value>>(),
    Entry::of::<CausalNoWaitCollection<Value>>(),
    Entry::of::<CausalWaiting<Value>>(),
    Entry::of::<UniformCausal<Value>>(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{Input, Local, Sent, encoded_len};
    use crate::{Ask, Process, Subject};
    use std::collections::VecDeque;

    /// The bytes of the longest message that each of some broadcasts of p1 causes, one after the other among
    /// three processes.
    fn longest_messages<P: Subject>(broadcasts: u8) -> Vec<usize> {
        let mut locals: Vec<Local<P>> = (0..3).map(|pid| Local::new(Process::new(pid, 3, 1, None))).collect();
        let longest_of = |value| {
            let mut longest = 0;
            let mut under_way = VecDeque::from([(0, Input::Ask(Ask::Broadcast(Value(value))))]);
            while let Some((pid, input)) = under_way.pop_front() {
                for sent in locals[usize::from(pid)].handle(input).sent {
                    let (to, message): (Vec<u8>, _) = match sent {
                        Sent::To(to, message) => (vec![to], message),
                        Sent::ToOthers(message) => ((0..3).filter(|to| *to != pid).collect(), message),
                    };
                    longest = longest.max(encoded_len(&message));
                    under_way.extend(to.into_iter().map(|to| (to, Input::Receive(pid, message.clone()))));
                }
            }
            longest
        };
        (0..broadcasts).map(longest_of).collect()
    }

    #[test]
    fn the_past_grows_by_each_message_unless_it_is_collected() {
        let growing = longest_messages::<CausalNoWait<Value>>(8);
        assert!(growing.windows(2).all(|two| two[1] == two[0] + 2), "a sender and a value: {growing:?}");
        let collected = longest_messages::<CausalNoWaitCollection<Value>>(8);
        assert!(collected.windows(2).all(|two| two[1] == two[0]), "{collected:?}");
    }
}
