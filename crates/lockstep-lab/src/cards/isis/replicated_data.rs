//! Replicated data under locks: asynchronous updates, read locks at one copy (Birman and Joseph 1987, §5.1,
//! §5.3).

mod card;

use super::flush_store::{FlushIndication, FlushMessage, FlushStore};
use crate::{Ask, Broadcast, Card, Detection, Fact, Out, Pid, Pids, Process, Protocol, Subject, Value};
use serde::Serialize;
use std::collections::VecDeque;

/// A broadcast to all copies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum LockStep {
    /// The next one in the queue for the write lock.
    Lock(Pid),
    /// The holder of the lock writes, and returns the lock.
    Update(Value),
}

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum DataMessage {
    /// Of the broadcast below.
    Below(FlushMessage<LockStep>),
    /// To the lowest member, which orders the requests for the write lock.
    Request,
    /// The sender of this reads nothing until the receiver returns the lock.
    Grant,
}

/// A copy of the data.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReplicatedData {
    process: Process,
    below: FlushStore<LockStep>,
    members: Pids,
    value: Value,
    /// Those that ask for the write lock, in the order of all copies.
    queue: VecDeque<Pid>,
    /// Whether this copy has granted the lock to the first of the queue.
    has_granted: bool,
    /// The copies that granted it to this process.
    grants: Pids,
    /// What this process is asked. The first one runs.
    requests: VecDeque<Ask>,
    /// Whether the update of the running write is broadcast.
    is_updating: bool,
}

impl ReplicatedData {
    fn broadcast(&mut self, step: LockStep, out: &mut Out<Self>) {
        let below = &mut self.below;
        let done = out.below(below, DataMessage::Below, |below, out| below.request(Broadcast(step), out));
        self.handle(done, out);
    }

    fn handle(&mut self, indications: Vec<FlushIndication<LockStep>>, out: &mut Out<Self>) {
        for indication in indications {
            match indication {
                FlushIndication::Deliver((_, LockStep::Lock(pid))) => self.enqueue(pid, out),
                FlushIndication::Deliver((from, LockStep::Update(value))) => self.update(from, value, out),
                FlushIndication::View(_, members) => self.resolve_locks(members, out),
                FlushIndication::Collected(_) => {}
            }
        }
    }

    /// The running request goes on: a read of the own copy, unless another process may be writing; a write by
    /// a request for the lock of all copies.
    fn go_on(&mut self, out: &mut Out<Self>) {
        let is_locked = self.has_granted && !self.process.lacks("read lock");
        while self.requests.front() == Some(&Ask::Read) && !is_locked {
            self.requests.pop_front();
            out.indicate(Fact::Returned(self.value));
            self.request_lock(out);
        }
    }

    /// Asks for the lock of all copies, if a write runs.
    fn request_lock(&mut self, out: &mut Out<Self>) {
        if !matches!(self.requests.front(), Some(Ask::Write(_))) {
            return;
        }
        if self.process.lacks("order of locks") {
            self.broadcast(LockStep::Lock(self.process.me), out);
        } else if let Some(lowest) = self.members.lowest() {
            out.send(lowest, DataMessage::Request);
        }
    }

    fn enqueue(&mut self, pid: Pid, out: &mut Out<Self>) {
        if self.members.has(pid) {
            self.queue.push_back(pid);
            self.grant(out);
        }
    }

    /// Grants the lock to the first of the queue. A read takes no time here, so that none has the lock.
    fn grant(&mut self, out: &mut Out<Self>) {
        if let Some(first) = self.queue.front().filter(|_| !self.has_granted) {
            self.has_granted = true;
            out.send(*first, DataMessage::Grant);
        }
    }

    /// Writes once all copies have granted the lock. The update goes out without a wait for its end.
    fn write(&mut self, out: &mut Out<Self>) {
        let has_lock = self.members.is_within(self.grants) || self.process.lacks("grants of all");
        if self.queue.front() != Some(&self.process.me) || !has_lock || self.is_updating {
            return;
        }
        if let Some(Ask::Write(value)) = self.requests.front().copied() {
            self.is_updating = true;
            self.broadcast(LockStep::Update(value), out);
        }
    }

    /// The holder of the lock has written, and its lock ends with it.
    fn update(&mut self, from: Pid, value: Value, out: &mut Out<Self>) {
        self.value = value;
        self.queue.retain(|pid| *pid != from);
        self.has_granted = false;
        if from == self.process.me {
            (self.grants, self.is_updating) = (Pids::default(), false);
            out.indicate(Fact::Written);
            self.requests.pop_front();
            self.request_lock(out);
        }
        self.go_on(out);
        self.grant(out);
    }

    /// Locks of the dead end in the view without them, after all updates of the dead.
    fn resolve_locks(&mut self, members: Pids, out: &mut Out<Self>) {
        let has_new_orderer = self.members.lowest() != members.lowest();
        self.members = members;
        if !self.process.lacks("locks of the dead") {
            let holder = self.queue.front().copied();
            self.queue.retain(|pid| members.has(*pid));
            self.has_granted &= self.queue.front().copied() == holder;
        }
        if has_new_orderer && !self.queue.contains(&self.process.me) {
            self.request_lock(out);
        }
        self.go_on(out);
        self.grant(out);
        self.write(out);
    }
}

impl Protocol for ReplicatedData {
    type Request = Ask;
    type Indication = Fact;
    type Message = DataMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: FlushStore::without_collection(process),
            members: process.all(),
            value: Value(0),
            queue: VecDeque::new(),
            has_granted: false,
            grants: Pids::default(),
            requests: VecDeque::new(),
            is_updating: false,
        }
    }

    fn request(&mut self, request: Ask, out: &mut Out<Self>) {
        self.requests.push_back(request);
        if self.requests.len() == 1 {
            self.request_lock(out);
            self.go_on(out);
        }
    }

    fn receive(&mut self, from: Pid, message: DataMessage, out: &mut Out<Self>) {
        match message {
            DataMessage::Below(message) => {
                let below = &mut self.below;
                let done =
                    out.below(below, DataMessage::Below, |below, out| below.receive(from, message, out));
                self.handle(done, out);
            }
            DataMessage::Request => self.broadcast(LockStep::Lock(from), out),
            DataMessage::Grant => {
                self.grants.add(from);
                self.write(out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection
            && self.process.lacks("locks until the view")
        {
            self.resolve_locks(self.members.without(Pids::one(pid)), out);
        }
        let below = &mut self.below;
        let done = out.below(below, DataMessage::Below, |below, out| below.detect(detection, out));
        self.handle(done, out);
    }
}

impl Subject for ReplicatedData {
    const CARD: &'static Card = &card::CARD;
}
