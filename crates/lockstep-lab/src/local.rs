//! One process: a protocol, what it did so far, its timers and its stable storage. The explored space and the
//! timed run both run this code.

use crate::erased::{Input, Kind, Machine, Message};
use crate::protocol::{Effect, Pid, Process, Stored, Timer};
use crate::vocabulary::Event;
use lockstep_sim::explore::digest::Digest;
use std::collections::VecDeque;
use std::hash::Hash;

/// A message that a process sent.
pub(crate) enum Sent {
    /// To one other process.
    To(Pid, Message),
    /// To all others.
    ToOthers(Message),
}

/// What a handler did.
pub(crate) struct Handled {
    pub sent: Vec<Sent>,
    pub events: Vec<Event>,
}

/// See the module.
pub(crate) struct Local {
    pub process: Process,
    pub protocol: Box<dyn Machine>,
    pub events: Vec<Event>,
    /// Running timers, and the ticks that are left of each.
    pub timers: Vec<(Timer, u64)>,
    stored: Stored,
}

impl Clone for Local {
    fn clone(&self) -> Self {
        Self {
            process: self.process,
            protocol: self.protocol.boxed_clone(),
            events: self.events.clone(),
            timers: self.timers.clone(),
            stored: self.stored.clone(),
        }
    }
}

impl Local {
    pub fn new(kind: &dyn Kind, process: Process) -> Self {
        Self {
            process,
            protocol: kind.machine(&process),
            events: Vec::new(),
            timers: Vec::new(),
            stored: Stored::new(),
        }
    }

    /// Local states of one digest are taken for one.
    pub fn digest(&self) -> u128 {
        let mut digest = Digest::default();
        self.process.hash(&mut digest);
        self.protocol.hash_into(&mut digest);
        self.events.hash(&mut digest);
        self.timers.hash(&mut digest);
        self.stored.hash(&mut digest);
        digest.both()
    }

    /// The process after a crash.
    pub fn restarted(&self, kind: &dyn Kind, is_stable: bool) -> Self {
        let mut next = Self::new(kind, self.process);
        next.events.clone_from(&self.events);
        if is_stable {
            next.stored.clone_from(&self.stored);
        }
        next
    }

    /// The process starts again, with what it stored.
    pub fn recovery(&self) -> Input {
        Input::Recover(self.stored.clone())
    }

    /// One handler, and those of the messages that the process sends to itself, which arrive at once.
    pub fn handle(&mut self, input: Input) -> Handled {
        let me = self.process.me;
        let mut done = Handled { sent: Vec::new(), events: Vec::new() };
        match input {
            Input::Ask(ask) => done.events.push(Event::Asked(ask)),
            Input::Timeout(timer) => self.timers.retain(|(other, _)| *other != timer),
            Input::Start | Input::Receive(..) | Input::Detect(_) | Input::Recover(_) => {}
        }
        let mut effects = Vec::new();
        self.protocol.handle(input, &mut effects);
        let mut to_me = VecDeque::new();
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send(to, message) if to == me => to_me.push_back(message),
                    Effect::Send(to, message) => done.sent.push(Sent::To(to, message)),
                    Effect::All(message) => {
                        done.sent.push(Sent::ToOthers(message.clone()));
                        to_me.push_back(message);
                    }
                    Effect::Indicate(fact) => done.events.push(Event::Did(fact)),
                    Effect::After(timer, ticks) => {
                        self.timers.retain(|(other, _)| *other != timer);
                        self.timers.push((timer, ticks));
                        self.timers.sort_unstable();
                    }
                    Effect::Cancel(timer) => self.timers.retain(|(other, _)| *other != timer),
                    Effect::Store(record, value) => drop(self.stored.insert(record, value)),
                }
            }
            let Some(message) = to_me.pop_front() else { return done };
            self.protocol.handle(Input::Receive(me, message), &mut effects);
        }
    }
}
