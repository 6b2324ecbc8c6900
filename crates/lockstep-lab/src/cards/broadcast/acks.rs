//! The part that both uniform broadcasts share: everybody passes a message on once, which is its ack.

use super::BestEffort;
use crate::{Deliver, Out, Pid, Pids, Process, Protocol, Word};
use std::collections::{BTreeMap, BTreeSet};

/// A message of `.0`.
pub(super) type Of<M> = (Pid, M);

/// Messages that were passed on, and by whom.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Acks<M: Word> {
    below: BestEffort<Of<M>>,
    acks: BTreeMap<Of<M>, Pids>,
    delivered: BTreeSet<Of<M>>,
}

impl<M: Word> Acks<M> {
    pub fn new(process: &Process) -> Self {
        Self { below: BestEffort::new(process), acks: BTreeMap::new(), delivered: BTreeSet::new() }
    }

    /// Broadcasts a message, or passes it on.
    pub fn broadcast<P: Protocol<Message = Of<M>>>(&mut self, message: Of<M>, out: &mut Out<P>) {
        self.acks.entry(message.clone()).or_default();
        self.below.broadcast(message, out);
    }

    /// Counts the ack of `from`, and passes on what comes for the first time.
    pub fn receive<P: Protocol<Message = Of<M>>>(&mut self, from: Pid, message: Of<M>, out: &mut Out<P>) {
        for Deliver { from, message } in
            out.through(&mut self.below, |below, out| below.receive(from, message, out))
        {
            if !self.acks.contains_key(&message) {
                self.broadcast(message.clone(), out);
            }
            self.acks.entry(message).or_default().add(from);
        }
    }

    /// Delivers each message, once, whose acks are enough.
    pub fn deliver<P: Protocol<Indication = Deliver<M>>>(
        &mut self,
        out: &mut Out<P>,
        is_enough: impl Fn(Pids) -> bool,
    ) {
        for (message, acks) in &self.acks {
            if is_enough(*acks) && self.delivered.insert(message.clone()) {
                out.indicate(Deliver { from: message.0, message: message.1.clone() });
            }
        }
    }
}
