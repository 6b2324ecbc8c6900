//! Atomic registers that impose on all: a read writes what it returns (Guerraoui's course, "Atomic register"
//! and "(N,N) Atomic Register").

use super::TWO_READERS;
use crate::property::LINEARIZABLE;
use crate::{Ask, Break, Detection, Detector, Fact, Model, Out, Pid, Pids, Process, Protocol, Search, Value};
use serde::Serialize;
use std::collections::VecDeque;

/// A version of the register: its time, the rank of its writer, its value.
type Version = (u8, Pid, Value);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ImposeMessage {
    /// Of a writer, or of a reader that imposes what it is about to return.
    Write(Version),
    /// The receiver has this version or a later one.
    Ack,
}

/// Each process has a copy. An operation is over when every process that is not suspected has its version.
/// `MANY` writers need their rank to order versions of one time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ImposeAll<const MANY: bool> {
    process: Process,
    version: Version,
    correct: Pids,
    acks: Pids,
    /// The running operation: what it indicates at its end.
    running: Option<Fact>,
    /// Requests that came meanwhile.
    waiting: VecDeque<Ask>,
}

impl<const MANY: bool> ImposeAll<MANY> {
    fn begin(&mut self, request: Ask, out: &mut Out<Self>) {
        self.acks = Pids::default();
        match request {
            Ask::Read => {
                self.running = Some(Fact::Returned(self.version.2));
                if self.process.lacks("imposing") {
                    self.acks = self.process.all();
                    return self.end(out);
                }
                out.all(ImposeMessage::Write(self.version));
            }
            Ask::Write(value) => {
                self.running = Some(Fact::Written);
                let rank = if self.process.lacks("rank") || !MANY { 0 } else { self.process.me };
                out.all(ImposeMessage::Write((self.version.0 + 1, rank, value)));
            }
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Out<Self>) {
        if !self.correct.is_within(self.acks) {
            return;
        }
        let Some(fact) = self.running.take() else { return };
        out.indicate(fact);
        if let Some(request) = self.waiting.pop_front() {
            self.begin(request, out);
        }
    }
}

impl<const MANY: bool> Protocol for ImposeAll<MANY> {
    type Request = Ask;
    type Indication = Fact;
    type Message = ImposeMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            version: (0, 0, Value(0)),
            correct: process.all(),
            acks: Pids::default(),
            running: None,
            waiting: VecDeque::new(),
        }
    }

    fn request(&mut self, request: Ask, out: &mut Out<Self>) {
        if self.running.is_some() { self.waiting.push_back(request) } else { self.begin(request, out) }
    }

    fn receive(&mut self, from: Pid, message: ImposeMessage, out: &mut Out<Self>) {
        match message {
            ImposeMessage::Write(version) => {
                if (version.0, version.1) > (self.version.0, self.version.1) {
                    self.version = version;
                }
                out.send(from, ImposeMessage::Ack);
            }
            ImposeMessage::Ack => {
                self.acks.add(from);
                self.end(out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.correct.remove(pid);
            self.end(out);
        }
    }
}

/// The model of both cards.
pub(super) const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(1);

/// The break of both cards: a read does not impose what it returns.
pub(super) const NO_IMPOSING: Break = Break {
    name: "reads-that-do-not-impose",
    says: "One reader returns the new value, and another one the old value after that.",
    model: MODEL,
    asks: Some(TWO_READERS),
    dropped: Some("imposing"),
    loses: &LINEARIZABLE,
    search: Search::Breadth,
    steps_max: 4,
    planted: true,
};
