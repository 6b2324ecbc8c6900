//! The associative store with its collection, and the flush at a failure (Birman and Joseph 1987, §4.3.3 part
//! 1, §4.4, §4.5).

mod card;

pub(super) use card::MODEL;

use super::Of;
use crate::vocabulary::Indicated;
use crate::{Broadcast, Card, Detection, Fact, Out, Pid, Pids, Process, Protocol, Subject, Value, Word};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message: its sender and a number.
type Id = Of<u8>;

/// A message between processes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FlushMessage<M> {
    /// Of its sender, or forwarded.
    Data(Id, M),
    /// The receiver has it.
    Received(Id),
    /// All that live have it, and nobody gets a copy of its sender any more. (The text has a list of a
    /// process that is about to delete, and acks. Here the list of each process is its ack to the others.)
    Disposable(Id),
    /// This process suspects these, hears nothing of them any more, and has forwarded what it has.
    Flushed(Pids),
}

/// What the store indicates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FlushIndication<M> {
    /// A message is delivered.
    Deliver(Of<M>),
    /// These are the members: all messages of the others were delivered before. The number counts failures.
    View(u32, Pids),
    /// A message is deleted from the store.
    Collected(Of<M>),
}

impl Indicated for FlushIndication<Value> {
    fn fact(&self) -> Option<Fact> {
        Some(match *self {
            Self::Deliver((from, value)) => Fact::Deliver { from, value },
            Self::View(number, members) => Fact::View { number, members },
            Self::Collected((from, value)) => Fact::Collected { from, value },
        })
    }
}

/// A message in the store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stored<M> {
    message: M,
    /// `REM_DESTS`: those that may not have it, as far as this process knows.
    remaining: Pids,
    /// `DISPOSABLE`: all that live have it.
    is_disposable: bool,
    /// Those that send no copy any more.
    silent: Pids,
}

/// A process stores each message until all that live have it. When one fails, the others forward what they
/// have in their stores, and the failure is indicated after that.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FlushStore<M: Word> {
    process: Process,
    is_collecting: bool,
    /// Messages that this process broadcast.
    sent: u8,
    store: BTreeMap<Id, Stored<M>>,
    suspected: Pids,
    /// Those that are not in the last view.
    left: Pids,
    flushed: BTreeMap<Pid, Pids>,
    /// Broadcasts that wait for the next view.
    waiting: Vec<M>,
}

impl<M: Word> FlushStore<M> {
    /// A store that is never collected: for modules above, in short runs.
    pub fn without_collection(process: &Process) -> Self {
        Self { is_collecting: false, ..Self::new(process) }
    }

    fn living(&self) -> Pids {
        self.process.all().without(self.suspected)
    }

    fn others(&self) -> Pids {
        self.living().without(Pids::one(self.process.me))
    }

    fn broadcast(&mut self, message: M, out: &mut Out<Self>) {
        let id = (self.process.me, self.sent);
        self.sent += 1;
        out.all(FlushMessage::Data(id, message));
    }

    /// A message arrives, of its sender or forwarded.
    fn take(&mut self, from: Pid, id: Id, message: M, out: &mut Out<Self>) {
        let remaining = self.others().without(Pids::one(id.0));
        self.store.entry(id).or_insert_with(|| {
            out.indicate(FlushIndication::Deliver((id.0, message.clone())));
            Stored { message, remaining, is_disposable: false, silent: Pids::default() }
        });
        if self.is_collecting && from != self.process.me {
            out.send(from, FlushMessage::Received(id));
        }
        self.has(from, id, out);
    }

    /// `pid` has this message.
    fn has(&mut self, pid: Pid, id: Id, out: &mut Out<Self>) {
        if let Some(stored) = self.store.get_mut(&id) {
            stored.remaining.remove(pid);
            if self.process.lacks("acks of all") && pid != self.process.me && pid != id.0 {
                stored.remaining = Pids::default();
            }
        }
        self.dispose(id, out);
    }

    /// Once all that live have a message, this process sends no copy any more.
    fn dispose(&mut self, id: Id, out: &mut Out<Self>) {
        let Some(stored) = self.store.get_mut(&id).filter(|stored| !stored.is_disposable) else { return };
        if self.is_collecting && stored.remaining.is_empty() {
            stored.is_disposable = true;
            out.all(FlushMessage::Disposable(id));
        }
    }

    /// `from` sends no copy any more: all that live have it.
    fn hear_silence(&mut self, from: Pid, id: Id, out: &mut Out<Self>) {
        if let Some(stored) = self.store.get_mut(&id) {
            stored.silent.add(from);
            stored.remaining = Pids::default();
            self.dispose(id, out);
            self.delete(id, out);
        }
    }

    /// Deletes a message, and all that is known of it, once no copy can come any more.
    fn delete(&mut self, id: Id, out: &mut Out<Self>) {
        let living = self.living();
        let Some(stored) = self.store.get(&id).filter(|stored| stored.is_disposable) else { return };
        if living.is_within(stored.silent) || self.process.lacks("silence of all") {
            out.indicate(FlushIndication::Collected((id.0, stored.message.clone())));
            self.store.remove(&id);
        }
    }

    /// Forwards what may be missing elsewhere, with the mark of its end behind it.
    fn flush(&mut self, out: &mut Out<Self>) {
        let (living, others) = (self.living(), self.others());
        for (id, stored) in &mut self.store {
            stored.remaining = stored.remaining.and(living);
            if !stored.is_disposable && !self.process.lacks("forwarding") {
                let message = FlushMessage::Data(*id, stored.message.clone());
                out.each(stored.remaining, &message);
            }
        }
        let ids: Vec<_> = self.store.keys().copied().collect();
        for id in ids {
            self.dispose(id, out);
            self.delete(id, out);
        }
        out.each(others, &FlushMessage::Flushed(self.suspected));
        self.flushed.insert(self.process.me, self.suspected);
        self.install(out);
    }

    /// All that live suspect the same processes and have forwarded what they had: those have failed. A mark
    /// from before the last suspicion does not count: its sender may have got more since, of one that
    /// forwarded and failed.
    fn install(&mut self, out: &mut Out<Self>) {
        let waits = !self.process.lacks("waiting for the flush");
        let is_same =
            |suspected: &Pids| *suspected == self.suspected || self.process.lacks("marks of one set");
        let is_flushed = |pid: Pid| self.flushed.get(&pid).is_some_and(is_same);
        if self.left == self.suspected || waits && !self.living().iter().all(is_flushed) {
            return;
        }
        self.left = self.suspected;
        out.indicate(FlushIndication::View(self.left.len() as u32, self.living()));
        std::mem::take(&mut self.waiting).into_iter().for_each(|message| self.broadcast(message, out));
    }
}

impl<M: Word> Protocol for FlushStore<M> {
    type Request = Broadcast<M>;
    type Indication = FlushIndication<M>;
    type Message = FlushMessage<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            is_collecting: true,
            sent: 0,
            store: BTreeMap::new(),
            suspected: Pids::default(),
            left: Pids::default(),
            flushed: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        let is_flushing = self.left != self.suspected;
        if is_flushing && !self.process.lacks("waiting for the view") {
            self.waiting.push(message);
        } else {
            self.broadcast(message, out);
        }
    }

    fn receive(&mut self, from: Pid, message: FlushMessage<M>, out: &mut Out<Self>) {
        match message {
            FlushMessage::Data(id, message) => self.take(from, id, message, out),
            FlushMessage::Received(id) => self.has(from, id, out),
            FlushMessage::Disposable(id) => self.hear_silence(from, id, out),
            FlushMessage::Flushed(suspected) => {
                self.flushed.insert(from, suspected);
                self.install(out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.suspected.add(pid);
            self.flush(out);
        }
    }
}

impl Subject for FlushStore<Value> {
    const CARD: &'static Card = &card::CARD;
}
