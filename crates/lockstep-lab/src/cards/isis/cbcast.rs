//! CBCAST: causal order by copies that travel along (Birman and Joseph 1987, §3.3, §4.3.2).

mod card;

use super::Of;
use crate::{Ask, Asked, Card, Deliver, Out, Pid, Pids, Process, Protocol, Subject, Timer, Value, Word};
use serde::Serialize;
use std::collections::BTreeMap;

/// A reading of a logical clock. The texts leave clabels to the application; numbers of a clock respect all
/// that may be causal.
type Clabel = u8;

/// The request: to broadcast a message to these.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct CbcastTo<M> {
    message: M,
    dests: Pids,
}

impl<M> CbcastTo<M> {
    /// Of `message` to the processes `dests`.
    pub fn new(message: M, dests: Pids) -> Self {
        Self { message, dests }
    }
}

impl Asked for CbcastTo<Value> {
    fn of(ask: Ask) -> Option<Self> {
        match ask {
            // A process knows which of these exist.
            Ask::Broadcast(message) => Some(Self { message, dests: Pids(u32::MAX) }),
            Ask::Send(to, message) => Some(Self { message, dests: Pids::one(to) }),
            _ => None,
        }
    }
}

/// Copies of messages, by clabel, each with its REM_DESTS.
pub(super) type Copies<M> = BTreeMap<(Clabel, Of<M>), Pids>;

/// A transfer packet: copies in the order of their clabels.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Packet<M>(Vec<(Clabel, Of<M>, Pids)>);

impl<M: Word> Packet<M> {
    pub(super) fn of(copies: Copies<M>) -> Self {
        Self(copies.into_iter().map(|((clabel, of), remaining)| (clabel, of, remaining)).collect())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Of<M>> {
        self.0.iter().map(|(_, of, _)| of.clone())
    }

    /// A destination has a message if one of the copies says so.
    pub(super) fn add_to(&self, all: &mut Copies<M>) {
        for (clabel, of, remaining) in &self.0 {
            let least = all.entry((*clabel, of.clone())).or_insert(*remaining);
            *least = least.and(*remaining);
        }
    }
}

/// A message in the buffer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Buffered {
    /// REM_DESTS: the destinations that may not have it yet.
    remaining: Pids,
    /// SENT_TO: those to which this process has sent it.
    sent_to: Pids,
}

/// A message goes to a process only together with all that precede it and may not have arrived everywhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cbcast<M: Word> {
    process: Process,
    /// Whether packets leave at once, and not when a timer is over.
    is_prompt: bool,
    /// BUF: messages that were sent or received here, or are on their way to others.
    buffer: BTreeMap<(Clabel, Of<M>), Buffered>,
}

impl<M: Word> Cbcast<M> {
    /// One that sends its own messages at once, and what it has of others with them. The module above sees to
    /// what a failed sender leaves behind.
    pub(super) fn prompt(process: &Process) -> Self {
        Self { is_prompt: true, ..Self::new(process) }
    }

    /// All that is in the buffer.
    pub(super) fn copies(&self) -> Copies<M> {
        self.buffer.iter().map(|(key, buffered)| (key.clone(), buffered.remaining)).collect()
    }

    /// Places a message in the buffer, and delivers it if this process is one of its destinations.
    fn place(&mut self, (clabel, of): (Clabel, Of<M>), mut remaining: Pids, out: &mut Out<Self>) {
        if remaining.has(self.process.me) {
            remaining.remove(self.process.me);
            out.indicate(Deliver { from: of.0, message: of.1.clone() });
        }
        if of.0 != self.process.me && self.process.lacks("forwarding") {
            remaining = Pids::default();
        }
        self.buffer.insert((clabel, of), Buffered { remaining, sent_to: Pids::default() });
    }

    /// Whether this process has something to send to `to`.
    fn has_for(&self, to: Pid) -> bool {
        self.buffer.values().any(|buffered| buffered.remaining.without(buffered.sent_to).has(to))
    }

    /// Packets are scheduled for transmission: each is sent in the end.
    fn schedule(&mut self, out: &mut Out<Self>) {
        for to in self.process.others().iter() {
            if self.has_for(to) {
                out.after(to, 1);
            } else {
                out.cancel(to);
            }
        }
    }

    /// Sends a packet: what is for `to`, and all that precedes it and has a destination left.
    fn transmit(&mut self, to: Pid, out: &mut Out<Self>) {
        let me = self.process.me;
        let (own_only, for_it_only) =
            (self.process.lacks("messages of others"), self.process.lacks("messages on their way"));
        let is_for_it = |buffered: &Buffered| buffered.remaining.without(buffered.sent_to).has(to);
        let last = self.buffer.iter().rfind(|(_, buffered)| is_for_it(buffered));
        let Some(((last, _), _)) = last.map(|(key, buffered)| (key.clone(), buffered)) else { return };
        let mut packet = Copies::new();
        for ((clabel, of), buffered) in &mut self.buffer {
            let precedes = *clabel < last && !buffered.remaining.is_empty() && !for_it_only;
            let is_needed = is_for_it(buffered) || precedes && !buffered.sent_to.has(to);
            if is_needed && (!own_only || of.0 == me) {
                packet.insert((*clabel, of.clone()), buffered.remaining);
                buffered.sent_to.add(to);
            }
        }
        out.send(to, Packet::of(packet));
    }
}

impl<M: Word> Protocol for Cbcast<M> {
    type Request = CbcastTo<M>;
    type Indication = Deliver<M>;
    type Message = Packet<M>;

    fn new(process: &Process) -> Self {
        Self { process: *process, is_prompt: false, buffer: BTreeMap::new() }
    }

    fn request(&mut self, CbcastTo { message, dests }: CbcastTo<M>, out: &mut Out<Self>) {
        let highest = self.buffer.keys().map(|(clabel, _)| *clabel).max().unwrap_or(0);
        let clabel = if self.process.lacks("clabels") { 0 } else { highest + 1 };
        let of = (self.process.me, message);
        self.place((clabel, of), dests.and(self.process.all()), out);
        if self.is_prompt {
            self.process.others().iter().for_each(|to| self.transmit(to, out));
        } else {
            self.schedule(out);
        }
    }

    fn receive(&mut self, from: Pid, Packet(copies): Packet<M>, out: &mut Out<Self>) {
        for (clabel, of, remaining) in copies {
            match self.buffer.get_mut(&(clabel, of.clone())) {
                // A duplicate: its sender has it.
                Some(buffered) => buffered.remaining.remove(from),
                None => self.place((clabel, of), remaining, out),
            }
        }
        if !self.is_prompt {
            self.schedule(out);
        }
    }

    fn timeout(&mut self, to: Timer, out: &mut Out<Self>) {
        self.transmit(to, out);
        self.schedule(out);
    }
}

impl Subject for Cbcast<Value> {
    const CARD: &'static Card = &card::CARD;
}
