//! A read lock at one copy that survives the site of that copy: its registration (Birman and Joseph 1987,
//! §5.3).

mod card;

use super::flush_store::{FlushIndication, FlushMessage, FlushStore};
use crate::{Ask, Broadcast, Card, Detection, Fact, Out, Pid, Pids, Process, Protocol, Subject, Value};
use serde::Serialize;
use std::collections::VecDeque;

/// A broadcast to all copies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ReadStep {
    /// This client has a read lock, at the copy that sends this.
    ReadLock(Pid),
    /// It has returned the lock.
    Unlock(Pid),
    /// The sender asks for the write lock. One process writes here.
    WriteLock,
    /// The sender writes, and returns the write lock.
    Update(Value),
}

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ReadMessage {
    /// Of the broadcast below.
    Below(FlushMessage<ReadStep>),
    /// Of a client to the coordinator: reads, or returns its read lock.
    Request(Ask),
    /// What the coordinator has read.
    Answer(Value),
    /// The sender gives nobody a new read lock until the receiver returns the write lock.
    Grant,
}

/// The lowest member reads its copy for the clients. It registers a read lock with the others, and answers
/// without a wait for that.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RegisteredRead {
    process: Process,
    below: FlushStore<ReadStep>,
    members: Pids,
    value: Value,
    /// Clients with a read lock of this copy.
    locks: Pids,
    /// Those of them whose registration was broadcast or has come.
    registered: Pids,
    /// Clients that wait for an answer of this process.
    pending: Pids,
    /// The process that asks for the write lock, and whether this copy has granted it.
    writer: Option<Pid>,
    has_granted: bool,
    /// The copies that granted it to this process.
    grants: Pids,
    /// What this process is asked. As a client: the first one is sent.
    requests: VecDeque<Ask>,
    write: Option<Value>,
}

impl RegisteredRead {
    fn broadcast(&mut self, step: ReadStep, out: &mut Out<Self>) {
        let below = &mut self.below;
        let done = out.below(below, ReadMessage::Below, |below, out| below.request(Broadcast(step), out));
        self.handle(done, out);
    }

    fn handle(&mut self, indications: Vec<FlushIndication<ReadStep>>, out: &mut Out<Self>) {
        for indication in indications {
            match indication {
                FlushIndication::Deliver((from, step)) => self.deliver(from, step),
                FlushIndication::View(_, members) => self.resolve_locks(members, out),
                FlushIndication::Collected(_) => {}
            }
            self.go_on(out);
        }
    }

    fn deliver(&mut self, from: Pid, step: ReadStep) {
        match step {
            ReadStep::ReadLock(client) => {
                self.locks = self.members.and(Pids(self.locks.0 | Pids::one(client).0));
                self.registered.add(client);
            }
            ReadStep::Unlock(client) => {
                self.locks.remove(client);
                self.registered.remove(client);
            }
            ReadStep::WriteLock => self.writer = self.members.has(from).then_some(from),
            ReadStep::Update(value) => {
                self.value = value;
                (self.writer, self.has_granted) = (None, false);
            }
        }
    }

    /// All that can be done now.
    fn go_on(&mut self, out: &mut Out<Self>) {
        self.read(out);
        self.grant(out);
        self.write(out);
    }

    /// A client gets a read lock of this copy alone. Its registration goes out before its answer, so that
    /// nobody has the answer where the lock is lost.
    fn read(&mut self, out: &mut Out<Self>) {
        for client in self.pending.and(self.members).iter() {
            if !self.locks.has(client) && !self.has_granted {
                self.locks.add(client);
                if !self.process.lacks("registration") {
                    return self.broadcast(ReadStep::ReadLock(client), out);
                }
                self.registered.add(client);
            }
            if self.locks.and(self.registered).has(client) {
                self.pending.remove(client);
                out.send(client, ReadMessage::Answer(self.value));
            }
        }
    }

    /// Grants the write lock if nobody has a read lock of this copy.
    fn grant(&mut self, out: &mut Out<Self>) {
        if let Some(writer) = self.writer.filter(|_| !self.has_granted && self.locks.is_empty()) {
            self.has_granted = true;
            out.send(writer, ReadMessage::Grant);
        }
    }

    /// Writes once all copies have granted the lock. After a failure that is not enough: a copy may have
    /// granted it before it heard of a read lock of the dead, which is registered here too by now.
    fn write(&mut self, out: &mut Out<Self>) {
        let is_read = !self.locks.is_empty() && !self.process.lacks("locks of the dead");
        if self.writer != Some(self.process.me) || !self.members.is_within(self.grants) || is_read {
            return;
        }
        if let Some(value) = self.write.take() {
            self.broadcast(ReadStep::Update(value), out);
            out.indicate(Fact::Written);
        }
    }

    /// Locks of dead clients and writers end. A client asks the next coordinator if the last one is dead.
    fn resolve_locks(&mut self, members: Pids, out: &mut Out<Self>) {
        let has_new_coordinator = self.members.lowest() != members.lowest();
        self.members = members;
        for clients in [&mut self.locks, &mut self.registered, &mut self.pending] {
            *clients = clients.and(members);
        }
        if self.writer.is_some_and(|writer| !members.has(writer)) {
            (self.writer, self.has_granted) = (None, false);
        }
        if has_new_coordinator {
            self.send_request(out);
        }
    }

    fn send_request(&mut self, out: &mut Out<Self>) {
        if let (Some(request), Some(coordinator)) = (self.requests.front(), self.members.lowest()) {
            out.send(coordinator, ReadMessage::Request(*request));
        }
    }

    fn end_request(&mut self, out: &mut Out<Self>) {
        self.requests.pop_front();
        self.send_request(out);
    }
}

impl Protocol for RegisteredRead {
    type Request = Ask;
    type Indication = Fact;
    type Message = ReadMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: FlushStore::without_collection(process),
            members: process.all(),
            value: Value(0),
            locks: Pids::default(),
            registered: Pids::default(),
            pending: Pids::default(),
            writer: None,
            has_granted: false,
            grants: Pids::default(),
            requests: VecDeque::new(),
            write: None,
        }
    }

    fn request(&mut self, request: Ask, out: &mut Out<Self>) {
        if let Ask::Write(value) = request {
            self.write = Some(value);
            return self.broadcast(ReadStep::WriteLock, out);
        }
        self.requests.push_back(request);
        if self.requests.len() == 1 {
            self.send_request(out);
        }
    }

    fn receive(&mut self, from: Pid, message: ReadMessage, out: &mut Out<Self>) {
        match message {
            ReadMessage::Below(message) => {
                let below = &mut self.below;
                let done =
                    out.below(below, ReadMessage::Below, |below, out| below.receive(from, message, out));
                self.handle(done, out);
            }
            ReadMessage::Request(Ask::Read) => {
                self.pending.add(from);
                self.go_on(out);
            }
            ReadMessage::Request(_) => self.broadcast(ReadStep::Unlock(from), out),
            ReadMessage::Answer(value) => {
                out.indicate(Fact::Returned(value));
                self.end_request(out);
            }
            ReadMessage::Grant => {
                self.grants.add(from);
                self.write(out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let below = &mut self.below;
        let done = out.below(below, ReadMessage::Below, |below, out| below.detect(detection, out));
        self.handle(done, out);
    }
}

impl Subject for RegisteredRead {
    const CARD: &'static Card = &card::CARD;
}
