//! The part that the causal broadcasts without waiting share: each message carries what came before it.

use crate::{Deliver, Out, Pid, Protocol, Word};
use std::collections::BTreeSet;

/// A message of `.0`.
pub(super) type Of<M> = (Pid, M);

/// A message after all that came before it.
pub(super) type Data<M> = (Vec<Of<M>>, M);

/// What a process has broadcast or delivered, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Past<M: Word> {
    past: Vec<Of<M>>,
    delivered: BTreeSet<Of<M>>,
}

impl<M: Word> Default for Past<M> {
    fn default() -> Self {
        Self { past: Vec::new(), delivered: BTreeSet::new() }
    }
}

impl<M: Word> Past<M> {
    /// The message with its past, which it is a part of from now on.
    pub fn with_past(&mut self, message: Of<M>) -> Data<M> {
        let data = (self.past.clone(), message.1.clone());
        self.past.push(message);
        data
    }

    /// Delivers what has arrived, after those of its past that are missing here.
    pub fn deliver<P>(&mut self, arrived: Vec<Deliver<Data<M>>>, out: &mut Out<P>) -> Vec<Of<M>>
    where
        P: Protocol<Indication = Deliver<M>>,
    {
        let mut new = Vec::new();
        for Deliver { from, message: (past, message) } in arrived {
            for message in past.into_iter().chain([(from, message)]) {
                if !self.delivered.insert(message.clone()) {
                    continue;
                }
                if !self.past.contains(&message) {
                    self.past.push(message.clone());
                }
                out.indicate(Deliver { from: message.0, message: message.1.clone() });
                new.push(message);
            }
        }
        new
    }

    /// Forgets what no later message has to carry any more.
    pub fn retain(&mut self, is_needed: impl Fn(&Of<M>) -> bool) {
        self.past.retain(is_needed);
    }
}
