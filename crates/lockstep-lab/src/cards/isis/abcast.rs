//! ABCAST: total order by priorities, in two phases (Birman and Joseph 1987, §3.2, §4.3.1; the protocol is
//! Skeen's).

mod card;
mod queue;

use self::queue::{Collected, Priority, Queued, Tag, rank};
use super::Of;
use crate::{Broadcast, Card, Deliver, Detection, Out, Pid, Pids, Process, Protocol, Subject, Value, Word};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum AbcastMessage<M> {
    /// Step 1, and the question of a process that takes over: the message, and those that its coordinator has
    /// observed to fail.
    Data(Of<M>, Pids),
    /// Step 2: the priority that a recipient has for it, and whether that one is final.
    Answer(Of<M>, Pids, Priority, bool),
    /// Step 3: its final priority.
    Final(Of<M>, Priority),
    /// Of the uniform one: the final priorities of this message and of all before it are here.
    Fixed(Of<M>, Pids),
    /// Of the uniform one: that is so at all that live.
    Release(Of<M>),
}

/// Each recipient proposes a priority, and the highest is final. A message whose sender fails is completed
/// by a process that has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Abcast<M: Word> {
    process: Process,
    /// Whether a message is delivered only once its place is known to all that live.
    is_uniform: bool,
    suspected: Pids,
    queue: BTreeMap<Of<M>, Queued>,
    collected: BTreeMap<Of<M>, Collected>,
}

impl<M: Word> Abcast<M> {
    /// Whether a message of `sender` is here without its final priority.
    pub(super) fn has_undeliverable_of(&self, sender: Pid) -> bool {
        self.queue.iter().any(|(of, queued)| of.0 == sender && queued.tag == Tag::Undeliverable)
    }

    /// One with the additional phase that makes the order uniform.
    pub(super) fn uniform(process: &Process) -> Self {
        Self { is_uniform: true, ..Self::new(process) }
    }

    /// Begins with step 1, as its sender or as a process that takes over.
    fn coordinate(&mut self, of: Of<M>, failed: Pids, out: &mut Out<Self>) {
        self.collected.insert(of.clone(), Collected { failed, ..Collected::default() });
        out.all(AbcastMessage::Data(of, failed));
    }

    /// Step 2: a priority above all that were placed in the queue.
    fn answer(&mut self, from: Pid, of: Of<M>, failed: Pids, out: &mut Out<Self>) {
        let me = self.process.me;
        let highest = self.queue.values().map(|queued| queued.priority.0).max().unwrap_or(0);
        let round = (failed, from);
        let fresh = Queued { priority: (highest + 1, me), tag: Tag::Undeliverable, round, is_owing: false };
        let queued = self.queue.entry(of.clone()).or_insert(fresh);
        let any = self.process.lacks("one coordinator");
        if rank(round) < rank(queued.round) && !any {
            return;
        }
        queued.round = round;
        let answer =
            AbcastMessage::Answer(of.clone(), failed, queued.priority, queued.tag != Tag::Undeliverable);
        if from != me && !any {
            self.collected.remove(&of);
        }
        out.send(from, answer);
    }

    /// Step 3, once all that remain operational have answered: a final priority if one has it, and else the
    /// highest.
    fn complete(&mut self, of: &Of<M>, out: &mut Out<Self>) {
        let Some(collected) = self.collected.get_mut(of) else { return };
        let living = self.process.all().without(self.suspected);
        if collected.is_final {
            if living.is_within(collected.fixed) {
                self.collected.remove(of);
                out.all(AbcastMessage::Release(of.clone()));
            }
            return;
        }
        if !living.is_within(collected.answers.keys().copied().collect()) {
            return;
        }
        let answers = collected.answers.values();
        let known = answers.clone().find(|(_, is_final)| *is_final);
        let Some((priority, _)) = known.or(answers.max()).copied() else { return };
        collected.is_final = true;
        if !self.is_uniform {
            self.collected.remove(of);
        }
        out.all(AbcastMessage::Final(of.clone(), priority));
    }

    /// The additional phase: a process says that it has the final priority of a message once nothing before
    /// it in the queue can change its place any more.
    fn fix(&mut self, out: &mut Out<Self>) {
        let open = self.queue.values().filter(|queued| queued.tag == Tag::Undeliverable);
        let open = open.map(|queued| queued.priority).min();
        let at_once = self.process.lacks("head of the queue");
        for (of, queued) in self.queue.iter_mut().filter(|(_, queued)| queued.is_owing) {
            if at_once || open.is_none_or(|open| queued.priority < open) {
                queued.is_owing = false;
                out.send(queued.round.1, AbcastMessage::Fixed(of.clone(), queued.round.0));
            }
        }
    }

    /// Step 4: those at the head of the queue that are deliverable.
    fn deliver(&mut self, out: &mut Out<Self>) {
        let waiting = |(_, queued): &(&Of<M>, &mut Queued)| queued.tag != Tag::Delivered;
        while let Some((of, queued)) = self
            .queue
            .iter_mut()
            .filter(waiting)
            .min_by_key(|(_, queued)| queued.priority)
            .filter(|(_, queued)| queued.tag == Tag::Deliverable)
        {
            queued.tag = Tag::Delivered;
            out.indicate(Deliver { from: of.0, message: of.1.clone() });
        }
    }
}

impl<M: Word> Protocol for Abcast<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = AbcastMessage<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            is_uniform: false,
            suspected: Pids::default(),
            queue: BTreeMap::new(),
            collected: BTreeMap::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.coordinate((self.process.me, message), Pids::default(), out);
    }

    fn receive(&mut self, from: Pid, message: AbcastMessage<M>, out: &mut Out<Self>) {
        match message {
            AbcastMessage::Data(of, failed) => self.answer(from, of, failed, out),
            AbcastMessage::Answer(of, failed, priority, is_final) => {
                if let Some(collected) = self.collected.get_mut(&of).filter(|all| all.failed == failed) {
                    collected.answers.insert(from, (priority, is_final));
                    self.complete(&of, out);
                }
            }
            AbcastMessage::Final(of, priority) => {
                let any = self.process.lacks("one coordinator");
                let Some(queued) = self.queue.get_mut(&of) else { return };
                if queued.round.1 != from && !any {
                    return;
                }
                if queued.tag == Tag::Undeliverable {
                    let tag = if self.is_uniform { Tag::Final } else { Tag::Deliverable };
                    (queued.priority, queued.tag) = (priority, tag);
                }
                queued.is_owing = self.is_uniform;
                self.fix(out);
                self.deliver(out);
            }
            AbcastMessage::Fixed(of, failed) => {
                if let Some(collected) = self.collected.get_mut(&of).filter(|all| all.failed == failed) {
                    collected.fixed.add(from);
                    self.complete(&of, out);
                }
            }
            AbcastMessage::Release(of) => {
                if let Some(queued) = self.queue.get_mut(&of).filter(|queued| queued.tag == Tag::Final) {
                    queued.tag = Tag::Deliverable;
                    self.deliver(out);
                }
            }
        }
    }

    /// Any process takes over that has a message of a failed sender without its final priority, unless
    /// another one does so already.
    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.suspected.add(pid);
        let gone = self.suspected;
        let mine = |coordinator| gone.has(coordinator) || coordinator == self.process.me;
        let orphans: Vec<_> = self
            .queue
            .iter()
            .filter(|(of, queued)| gone.has(of.0) && queued.tag < Tag::Deliverable)
            .filter(|(_, queued)| mine(queued.round.1))
            .map(|(of, _)| of.clone())
            .collect();
        if !self.process.lacks("takeover") {
            orphans.into_iter().for_each(|of| self.coordinate(of, gone, out));
        }
        let open: Vec<_> = self.collected.keys().cloned().collect();
        open.iter().for_each(|of| self.complete(of, out));
    }
}

impl Subject for Abcast<Value> {
    const CARD: &'static Card = &card::CARD;
}
