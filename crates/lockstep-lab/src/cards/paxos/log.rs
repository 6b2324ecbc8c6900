//! The rules of a log of slots, each of which is one instance of Paxos: those that Multi-Paxos has beside
//! the rules of the acceptor. Rounds are of the whole log, so that phase 1 is run once for all slots.

use super::acceptor::{Ballot, Votes, highest};
use crate::protocol::Pid;
use crate::{Ask, Price, Value};
use std::collections::BTreeMap;

/// The place of a command in the log, from 0 on.
pub type Slot = u8;

/// The accepted slots of an acceptor, each with the round of its acceptance: `Acceptor<AcceptedLog<V>>` is
/// the acceptor of a log. A command that is none is a no-op.
pub type AcceptedLog<V> = BTreeMap<Slot, (Ballot, Option<V>)>;

/// The price of a command of the leader's, in a round whose promises are had already.
pub const LOG_PRICE: Price = Price {
    asks: &[(0, Ask::Broadcast(Value(0)))],
    // Of three processes one's own acceptance and that of the leader are a majority.
    delays: [|n| if n == 3 { 1 } else { 2 }, |n| if n == 3 { 1 } else { 2 }, |_| 2],
    multicast: |n| n,
    unicast: |n| n * (n - 1),
};

/// Phase 2a of a new leader: for each slot that one of the promises reports the command of the highest
/// round, which may be chosen already.
pub fn adopt<'a, V: Clone + 'a>(
    promises: impl Iterator<Item = &'a AcceptedLog<V>> + Clone,
) -> BTreeMap<Slot, Option<V>> {
    let slots = promises.clone().flat_map(|log| log.keys().copied());
    slots
        .filter_map(|slot| {
            let reported = promises.clone().filter_map(|log| log.get(&slot));
            Some((slot, highest(reported)?.clone()))
        })
        .collect()
}

/// Puts a no-op into each slot that lies below an adopted one and that nobody reports: nothing is chosen
/// there, and what stands above it could never be delivered.
pub fn fill_gaps<V>(log: &mut BTreeMap<Slot, Option<V>>) {
    let end = log.keys().next_back().copied().unwrap_or(0);
    (0..end).for_each(|slot| {
        log.entry(slot).or_insert(None);
    });
}

/// Learns which commands are chosen, and hands them out in the order of slots.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LogLearner<V> {
    votes: BTreeMap<Slot, Votes>,
    chosen: BTreeMap<Slot, Option<V>>,
    /// The slot that is handed out next.
    next: Slot,
}

impl<V> Default for LogLearner<V> {
    fn default() -> Self {
        Self { votes: BTreeMap::new(), chosen: BTreeMap::new(), next: 0 }
    }
}

impl<V> LogLearner<V> {
    /// `from` has accepted this command in the round `ballot`; a command is chosen once `quorum` acceptors
    /// have accepted it in one round.
    pub fn add(&mut self, from: Pid, ballot: Ballot, slot: Slot, command: Option<V>, quorum: usize) {
        let is_known = slot < self.next || self.chosen.contains_key(&slot);
        if !is_known && self.votes.entry(slot).or_default().add(from, ballot) >= quorum {
            self.votes.remove(&slot);
            self.chosen.insert(slot, command);
        }
    }

    /// The command of the next slot, if it is chosen.
    pub fn take_next(&mut self) -> Option<Option<V>> {
        let command = self.chosen.remove(&self.next)?;
        self.next += 1;
        Some(command)
    }
}
