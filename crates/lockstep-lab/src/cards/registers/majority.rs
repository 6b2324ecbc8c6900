//! Registers of majorities, without a detector: a read asks a majority for its versions (Guerraoui's course,
//! "Regular register - Majority Algorithm" and "Atomic register - Majority Algorithm").

use crate::property::REGISTER_TERMINATION;
use crate::{Ask, Break, Fact, Model, Out, Pid, Process, Protocol, Search, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// A version of the register: its time and its value.
type Version = (u8, Value);

/// A message. The first number is that of the operation at its process.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum MajorityMessage {
    /// Asks for the version of the receiver.
    Read(u8),
    /// The version of the sender.
    Version(u8, Version),
    /// Of a writer, or of a reader that imposes what it is about to return.
    Write(u8, Version),
    /// The receiver has this version or a later one.
    Ack(u8),
}

/// Each process has a copy. An operation is over when a majority has its version; a reader that `IMPOSES`
/// writes what it returns. One process writes, and each process has one operation at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MajorityRegister<const IMPOSES: bool> {
    process: Process,
    version: Version,
    operation: u8,
    /// The time of the last write of this process.
    written: u8,
    versions: BTreeMap<Pid, Version>,
    acks: usize,
    /// What the running operation indicates at its end; of a read, once it has its value.
    running: Option<Fact>,
}

impl<const IMPOSES: bool> MajorityRegister<IMPOSES> {
    fn on_version(&mut self, from: Pid, operation: u8, version: Version, out: &mut Out<Self>) {
        if operation != self.operation || self.versions.len() >= self.process.majority() {
            return;
        }
        self.versions.insert(from, version);
        if self.versions.len() < self.process.majority() {
            return;
        }
        let last = self.versions.values().max();
        let first = self.versions.values().min();
        let chosen = if self.process.lacks("highest of a majority") { first } else { last };
        let Some(version) = chosen.copied() else { return };
        if IMPOSES && !self.process.lacks("imposing") {
            self.running = Some(Fact::Returned(version.1));
            out.all(MajorityMessage::Write(operation, version));
        } else {
            out.indicate(Fact::Returned(version.1));
        }
    }

    fn on_ack(&mut self, operation: u8, out: &mut Out<Self>) {
        if operation != self.operation || self.running.is_none() {
            return;
        }
        self.acks += 1;
        if self.acks >= self.process.majority()
            && let Some(fact) = self.running.take()
        {
            out.indicate(fact);
        }
    }
}

impl<const IMPOSES: bool> Protocol for MajorityRegister<IMPOSES> {
    type Request = Ask;
    type Indication = Fact;
    type Message = MajorityMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            version: (0, Value(0)),
            operation: 0,
            written: 0,
            versions: BTreeMap::new(),
            acks: 0,
            running: None,
        }
    }

    fn request(&mut self, request: Ask, out: &mut Out<Self>) {
        self.operation += 1;
        self.acks = 0;
        self.versions.clear();
        match request {
            Ask::Read => out.all(MajorityMessage::Read(self.operation)),
            Ask::Write(value) => {
                self.written += 1;
                self.running = Some(Fact::Written);
                out.all(MajorityMessage::Write(self.operation, (self.written, value)));
            }
            _ => {}
        }
    }

    fn receive(&mut self, from: Pid, message: MajorityMessage, out: &mut Out<Self>) {
        match message {
            MajorityMessage::Read(operation) => {
                out.send(from, MajorityMessage::Version(operation, self.version));
            }
            MajorityMessage::Version(operation, version) => self.on_version(from, operation, version, out),
            MajorityMessage::Write(operation, version) => {
                if version.0 > self.version.0 {
                    self.version = version;
                }
                out.send(from, MajorityMessage::Ack(operation));
            }
            MajorityMessage::Ack(operation) => self.on_ack(operation, out),
        }
    }
}

/// The model of both cards.
pub(super) const MODEL: Model = Model::PLAIN.stop(1);
/// The requests of both cards.
pub(super) const ASKS: &[(Pid, Ask)] = &[(0, Ask::Write(Value(1))), (1, Ask::Read)];

/// The break of both cards: no majority is correct.
pub(super) const HALF_FAIL: Break = Break {
    name: "half-of-them-fail",
    says: "With two of three dead no majority answers.",
    model: Model::PLAIN.stop(2),
    asks: None,
    dropped: None,
    loses: &REGISTER_TERMINATION,
    search: Search::Breadth,
    steps_max: 3,
    planted: false,
};
