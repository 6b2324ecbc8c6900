//! One process: a protocol, what it did so far, its timers and its stable storage. The explored space and the
//! timed run both run this code.

use crate::protocol::{Detection, Effect, Out, Pid, Process, Stored, Timer};
use crate::vocabulary::{Ask, Asked, Event, Indicated};
use crate::{Subject, protocol};
use std::collections::VecDeque;

/// An input of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Input<M> {
    Start,
    Ask(Ask),
    Receive(Pid, M),
    Detect(Detection),
    Timeout(Timer),
    Recover,
}

/// A message that a process sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sent<M> {
    /// To one other process.
    To(Pid, M),
    /// To all others.
    ToOthers(M),
}

/// What a handler did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Handled<M> {
    pub sent: Vec<Sent<M>>,
    pub events: Vec<Event>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Local<P> {
    pub process: Process,
    pub protocol: P,
    pub events: Vec<Event>,
    /// Running timers, and the ticks that are left of each.
    pub timers: Vec<(Timer, u64)>,
    pub stored: Stored,
}

impl<P: Subject> Local<P> {
    pub fn new(process: Process) -> Self {
        Self {
            process,
            protocol: P::new(&process),
            events: Vec::new(),
            timers: Vec::new(),
            stored: Stored::new(),
        }
    }

    /// The process after a crash.
    pub fn restarted(&self, is_stable: bool) -> Self {
        let mut next = Self::new(self.process);
        next.events.clone_from(&self.events);
        if is_stable {
            next.stored.clone_from(&self.stored);
        }
        next
    }

    /// One handler, and those of the messages that the process sends to itself, which arrive at once.
    pub fn handle(&mut self, input: Input<P::Message>) -> Handled<P::Message> {
        let me = self.process.me;
        let mut out: Out<P> = Out::default();
        let mut done = Handled { sent: Vec::new(), events: Vec::new() };
        match input {
            Input::Start => self.protocol.start(&mut out),
            Input::Ask(ask) => {
                done.events.push(Event::Asked(ask));
                let Some(request) = P::Request::of(ask) else {
                    panic!("the card {} asks {ask:?}, which is no request of it", P::CARD.name);
                };
                self.protocol.request(request, &mut out);
            }
            Input::Receive(from, message) => self.protocol.receive(from, message, &mut out),
            Input::Detect(detection) => self.protocol.detect(detection, &mut out),
            Input::Timeout(timer) => {
                self.timers.retain(|(other, _)| *other != timer);
                self.protocol.timeout(timer, &mut out);
            }
            Input::Recover => {
                let stored = self.stored.clone();
                self.protocol.recover(&stored, &mut out);
            }
        }
        let mut to_me = VecDeque::new();
        loop {
            for effect in std::mem::take(&mut out.effects) {
                match effect {
                    Effect::Send(to, message) if to == me => to_me.push_back(message),
                    Effect::Send(to, message) => done.sent.push(Sent::To(to, message)),
                    Effect::All(message) => {
                        done.sent.push(Sent::ToOthers(message.clone()));
                        to_me.push_back(message);
                    }
                    Effect::Indicate(indication) => done.events.extend(indication.fact().map(Event::Did)),
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
            self.protocol.receive(me, message, &mut out);
        }
    }
}

/// The bytes of a message on the network.
pub(crate) fn encoded_len<M: protocol::Word>(message: &M) -> usize {
    postcard::to_allocvec(message).map_or(0, |bytes| bytes.len())
}
