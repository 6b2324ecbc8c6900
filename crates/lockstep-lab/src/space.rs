//! A protocol under a model, as a space of states that the explorer of lockstep-sim searches.
//!
//! ```text
//!   state = one local state per process + the messages under way + what the model may still do
//!   step  = an input of one process, or a fault
//! ```
//!
//! A handler is atomic. A crash may swallow any message of the dead, as perfect links promise only between
//! correct processes: so a crash in the middle of a broadcast needs no step of its own. Steps that *must*
//! happen (requests, messages between correct processes, what a detector owes) are over where a run is over;
//! steps that *may* happen (crashes, messages of the dead, wrong suspicions, lies) need not.

mod advance;
mod judge;
mod search;
mod steps;

use crate::card::{Detector, ENDLESS, Failures, Links, Model, Time};
use crate::erased::{Input, Kind, Message};
use crate::local::{Local, Sent};
use crate::property::{Judged, Property};
use crate::protocol::{Detection, Pid, Pids, Process, Timer};
use crate::vocabulary::{Ask, Event};
use lockstep_sim::explore::digest::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::rc::Rc;

/// The most processes.
pub(crate) const PROCESSES_MAX: usize = 8;
/// A fact that a process indicates for ever is remembered so many times.
const REPEATS_MAX: usize = 2;
/// Steps within which a run must come to its end once nothing fails any more.
const END_STEPS_MAX: usize = 20_000;

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Step {
    Ask(Pid),
    Receive(u32),
    Timeout(Pid, Timer),
    Detect(Pid, Detection),
    Recover(Pid),
    Tick,
    Crash(Pid),
    Lose(u32),
    /// A message arrives, and once more later.
    Repeat(u32),
    Lie {
        by: Pid,
        to: Pid,
        index: u8,
    },
}

/// A state of the whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    locals: [u32; PROCESSES_MAX],
    /// Messages under way, and their age in ticks.
    flying: Vec<(u32, u8)>,
    /// How many requests of each process were made.
    asked: [u8; PROCESSES_MAX],
    pub crashed: Pids,
    suspected: [Pids; PROCESSES_MAX],
    leaders: [Pid; PROCESSES_MAX],
    /// Which forgeries each liar sent, and how many it has left.
    lied: [u64; PROCESSES_MAX],
    /// What each liar has received of which it can make forgeries, by its number.
    evidence: [u32; PROCESSES_MAX],
    lies_left: [u8; PROCESSES_MAX],
    timeouts_left: [u8; PROCESSES_MAX],
    crashes_left: u8,
    losses_left: u8,
    duplicates_left: u8,
    mistakes_left: u8,
    now: u8,
    /// The order of all events, by its number.
    order: u32,
}

impl State {
    /// Nothing has happened, and the model may do all that it may.
    fn of_model(model: &Model) -> Self {
        let mut first = Self {
            locals: [0; PROCESSES_MAX],
            flying: Vec::new(),
            asked: [0; PROCESSES_MAX],
            crashed: Pids::default(),
            suspected: [Pids::default(); PROCESSES_MAX],
            leaders: [0; PROCESSES_MAX],
            lied: [0; PROCESSES_MAX],
            evidence: [0; PROCESSES_MAX],
            lies_left: [0; PROCESSES_MAX],
            timeouts_left: [0; PROCESSES_MAX],
            crashes_left: 0,
            losses_left: 0,
            duplicates_left: 0,
            mistakes_left: 0,
            now: 0,
            order: 0,
        };
        match model.failures {
            Failures::None => {}
            Failures::Stop { crashes, .. } | Failures::Recovery { crashes, .. } => {
                first.crashes_left = crashes
            }
            Failures::Byzantine { liars, lies } => {
                liars.iter().for_each(|liar| first.lies_left[usize::from(*liar)] = lies);
            }
        }
        if let Links::FairLoss { losses, duplicates } = model.links {
            (first.losses_left, first.duplicates_left) = (losses, duplicates);
        }
        if let Links::LossyFifo { losses } = model.links {
            first.losses_left = losses;
        }
        if let Detector::EventuallyPerfect { mistakes } | Detector::Leader { mistakes } = model.detector {
            first.mistakes_left = mistakes;
        }
        if let Time::Asynchronous { timeouts } = model.time {
            first.timeouts_left = [timeouts; PROCESSES_MAX];
        }
        first
    }
}

/// What a handler did, computed once for each local state and input.
pub(crate) struct Done {
    local: u32,
    sent: Vec<u32>,
    pub events: Vec<Event>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Ask(u8),
    Receive(u32),
    Detect(Detection),
    Timeout(Timer),
    Recover,
}

/// Values by number, each once.
struct Interned<T> {
    values: Vec<Rc<T>>,
    numbers: BTreeMap<u128, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: BTreeMap::new() }
    }
}

impl<T> Interned<T> {
    /// The number of the value of this digest, which is made if it is new.
    fn number(&mut self, digest: u128, value: impl FnOnce() -> T) -> u32 {
        *self.numbers.entry(digest).or_insert_with(|| {
            self.values.push(Rc::new(value()));
            self.values.len() as u32 - 1
        })
    }

    fn get(&self, number: u32) -> &Rc<T> {
        &self.values[number as usize]
    }
}

/// A digest of what is compared by it.
fn digest_of(value: impl Hash) -> u128 {
    let mut digest = Digest::default();
    value.hash(&mut digest);
    digest.both()
}

/// A message under way: its sender, its receiver, and what it is.
type UnderWay = (Pid, Pid, Message);

/// What a liar has received of which it can make forgeries: numbers of messages.
type Evidence = BTreeSet<u32>;

/// What a liar may say.
struct Forgery {
    message: Message,
    digest: u128,
    /// Those that take notice of it.
    heeded_by: Pids,
}

/// See the module.
pub(crate) struct Lab {
    kind: &'static dyn Kind,
    model: Model,
    asks: Vec<Vec<Ask>>,
    properties: Vec<&'static Property>,
    /// Whether states have what happened. Without it a run that comes back to where it was is a loop.
    remembers: bool,
    real_time: bool,
    locals: Vec<Interned<Local>>,
    messages: Interned<UnderWay>,
    done: Vec<Vec<BTreeMap<Key, Rc<Done>>>>,
    /// Of each liar: all that it may ever say, as far as that is known, and the places of what it may say
    /// with each evidence.
    forgeries: Vec<Vec<Forgery>>,
    evidence: Vec<Interned<Evidence>>,
    sayable: Vec<Vec<Vec<u8>>>,
    /// Each order of events: the one without its last event, and the process of that.
    orders: Vec<(u32, Pid)>,
    order_numbers: BTreeMap<(u32, Pid), u32>,
    first: State,
}

impl Lab {
    /// The protocol `kind` under `model`, with what is asked of it, judged by `properties`.
    pub fn new(
        kind: &'static dyn Kind,
        model: Model,
        asks: &[(Pid, Ask)],
        dropped: Option<&'static str>,
        properties: Vec<&'static Property>,
        remembers: bool,
    ) -> Self {
        let n = usize::from(model.n);
        assert!(n <= PROCESSES_MAX, "at most {PROCESSES_MAX} processes");
        let mut asks_of = vec![Vec::new(); n];
        asks.iter().for_each(|(pid, ask)| asks_of[usize::from(*pid)].push(*ask));
        let mut first = State::of_model(&model);
        let process = |pid| Process::new(pid, model.n, model.f, dropped);
        let real_time = properties.iter().any(|property| property.real_time);
        let mut lab = Self {
            kind,
            model,
            asks: asks_of,
            properties,
            remembers,
            real_time,
            locals: (0..n).map(|_| Interned::default()).collect(),
            messages: Interned::default(),
            done: (0..n).map(|_| Vec::new()).collect(),
            forgeries: (0..n).map(|_| Vec::new()).collect(),
            evidence: (0..n).map(|_| Interned::default()).collect(),
            sayable: vec![Vec::new(); n],
            orders: vec![(0, 0)],
            order_numbers: BTreeMap::new(),
            first: first.clone(),
        };
        for pid in 0..model.n {
            let mut local = Local::new(kind, process(pid));
            if lab.liars().has(pid) {
                lab.learn(&mut first, process(pid), Evidence::new());
                first.locals[usize::from(pid)] = lab.number_local(pid, local);
                continue;
            }
            let handled = local.handle(Input::Start);
            let done = lab.intern(pid, local, handled.sent, handled.events);
            first.locals[usize::from(pid)] = done.local;
            done.sent.iter().for_each(|number| lab.post(&mut first, *number));
        }
        lab.first = lab.canonical(first);
        lab
    }

    /// All requests are made before anything else: what is proposed is part of the first state.
    pub fn ask_first(&mut self) {
        while let Some(step) =
            self.must_steps(&self.first).into_iter().find(|step| matches!(step, Step::Ask(_)))
            && let Some((next, _)) = self.advance(&self.first.clone(), step)
        {
            self.first = next;
        }
    }

    pub fn liars(&self) -> Pids {
        liars(&self.model)
    }

    fn correct(&self, state: &State) -> Pids {
        Pids::first(self.model.n).without(state.crashed).without(self.liars())
    }

    fn local(&self, state: &State, pid: Pid) -> &Rc<Local> {
        self.locals[usize::from(pid)].get(state.locals[usize::from(pid)])
    }

    fn message(&self, number: u32) -> &UnderWay {
        self.messages.get(number)
    }

    /// The number of a local state of `pid`.
    fn number_local(&mut self, pid: Pid, local: Local) -> u32 {
        self.locals[usize::from(pid)].number(local.digest(), || local)
    }

    /// The number of a message of this digest.
    fn number_message(&mut self, from: Pid, to: Pid, message: &Message, digest: u128) -> u32 {
        self.messages.number(digest_of((from, to, digest)), || (from, to, message.clone()))
    }

    /// What the handler of a process did, remembered.
    fn intern(&mut self, pid: Pid, mut local: Local, sent: Vec<Sent>, events: Vec<Event>) -> Done {
        if self.remembers {
            self.remember(&mut local.events, &events);
        }
        let mut numbers = Vec::new();
        for sent in sent {
            match sent {
                Sent::To(to, message) => {
                    numbers.push(self.number_message(pid, to, &message, message.digest()));
                }
                Sent::ToOthers(message) => {
                    let digest = message.digest();
                    for to in Pids::first(self.model.n).without(Pids::one(pid)).iter() {
                        numbers.push(self.number_message(pid, to, &message, digest));
                    }
                }
            }
        }
        Done { local: self.number_local(pid, local), sent: numbers, events }
    }

    /// Adds new events to those of a process. Where something happens for ever, as a property promises, its
    /// first repeats stand for all.
    fn remember(&self, events: &mut Vec<Event>, new: &[Event]) {
        let is_for_ever = self.properties.iter().any(|property| property.judged == Judged::ForEver);
        for event in new {
            let repeats = || events.iter().filter(|other| *other == event).count();
            if !is_for_ever || repeats() < REPEATS_MAX {
                events.push(event.clone());
            }
        }
    }

    /// The effect of an input in a local state.
    fn done(&mut self, pid: Pid, local: u32, key: Key) -> Rc<Done> {
        let at = usize::from(pid);
        if self.done[at].len() <= local as usize {
            self.done[at].resize_with(local as usize + 1, BTreeMap::new);
        }
        if let Some(done) = self.done[at][local as usize].get(&key) {
            return done.clone();
        }
        let mut next = Local::clone(self.locals[at].get(local));
        let input = match key {
            Key::Ask(index) => Input::Ask(self.asks[at][usize::from(index)]),
            Key::Receive(number) => {
                let (from, _, message) = self.message(number);
                Input::Receive(*from, message.clone())
            }
            Key::Detect(detection) => Input::Detect(detection),
            Key::Timeout(timer) => Input::Timeout(timer),
            Key::Recover => {
                let is_stable = matches!(self.model.failures, Failures::Recovery { stable: true, .. });
                next = next.restarted(self.kind, is_stable);
                next.recovery()
            }
        };
        let handled = next.handle(input);
        let done = Rc::new(self.intern(pid, next, handled.sent, handled.events));
        self.done[at][local as usize].insert(key, done.clone());
        done
    }

    /// A liar has this evidence: all that it may say with it has a place.
    fn learn(&mut self, state: &mut State, liar: Process, evidence: Evidence) {
        let at = usize::from(liar.me);
        let number = self.evidence[at].number(digest_of(&evidence), || evidence);
        state.evidence[at] = number;
        if self.sayable[at].len() > number as usize {
            return;
        }
        let evidence = self.evidence[at].get(number).iter().map(|number| {
            let (from, _, message) = self.message(*number);
            (*from, message.clone())
        });
        let sayable = self.kind.forgeries_of(&liar, &evidence.collect::<Vec<_>>());
        let known = &mut self.forgeries[at];
        let places = sayable.into_iter().map(|message| {
            let digest = message.digest();
            known.iter().position(|other| other.digest == digest).unwrap_or_else(|| {
                let all = Pids::first(self.model.n).iter();
                let heeded_by = all.filter(|to| self.kind.heeds(*to, &message)).collect();
                known.push(Forgery { message, digest, heeded_by });
                known.len() - 1
            }) as u8
        });
        self.sayable[at].push(places.collect());
        let most = self.forgeries[at].len() * usize::from(liar.n);
        assert!(most <= 64, "at most 64 forgeries of a liar, one for each receiver");
    }

    /// A liar receives a message.
    fn tell_liar(&mut self, state: &mut State, number: u32) {
        let (_, liar, message) = self.message(number);
        let liar = *liar;
        if self.kind.is_evidence(message) {
            let at = usize::from(liar);
            let mut evidence = Evidence::clone(self.evidence[at].get(state.evidence[at]));
            evidence.insert(number);
            let process = self.local(state, liar).process;
            self.learn(state, process, evidence);
        }
    }

    /// A message is on its way, unless it cannot arrive.
    fn post(&mut self, state: &mut State, number: u32) {
        let (from, to) = (self.message(number).0, self.message(number).1);
        if self.liars().has(to) {
            return self.tell_liar(state, number);
        }
        if self.is_filtered(state, from, to) {
            return;
        }
        let gone = state.crashed.has(to) && !matches!(self.model.failures, Failures::Recovery { .. });
        if gone {
            return;
        }
        match self.model.links {
            // Behind those of the same pair.
            Links::Fifo | Links::LossyFifo { .. } => {
                let is_there = state.flying.iter().any(|(other, _)| *other == number);
                if is_there && self.model.links != Links::Fifo {
                    return;
                }
                let pair = |number: u32| {
                    let (from, to, _) = self.message(number);
                    (*from, *to)
                };
                let at = state.flying.partition_point(|(other, _)| pair(*other) <= (from, to));
                state.flying.insert(at, (number, 0));
            }
            Links::Perfect | Links::FairLoss { .. } => {
                let at = state.flying.partition_point(|entry| *entry < (number, 0));
                let is_there = state.flying.get(at).is_some_and(|(other, _)| *other == number);
                if !(is_there && matches!(self.model.links, Links::FairLoss { .. })) {
                    state.flying.insert(at, (number, 0));
                }
            }
        }
    }

    /// Whether the input filter of `to` drops what `from` sent.
    fn is_filtered(&self, state: &State, from: Pid, to: Pid) -> bool {
        matches!(self.model.failures, Failures::Stop { filter: true, .. })
            && state.suspected[usize::from(to)].has(from)
    }

    /// Whether a message can be received now.
    fn is_deliverable(&self, state: &State, at: usize) -> bool {
        let (from, to, _) = self.message(state.flying[at].0);
        if state.crashed.has(*to) {
            return false;
        }
        if !self.model.links.is_ordered() || at == 0 {
            return true;
        }
        let (other_from, other_to, _) = self.message(state.flying[at - 1].0);
        (other_from, other_to) != (from, to)
    }

    /// Whether runs may have no end.
    pub fn is_endless(&self) -> bool {
        let has_endless_time = match self.model.time {
            Time::Asynchronous { timeouts } => timeouts == ENDLESS,
            Time::Synchronous { ticks, .. } => ticks == ENDLESS,
        };
        has_endless_time || self.has_endless_losses()
    }

    /// Whether links lose messages for ever, and yet not all of what is sent for ever.
    fn has_endless_losses(&self) -> bool {
        matches!(self.model.links, Links::FairLoss { losses: ENDLESS, .. })
    }

    /// Ticks that a message may take; `None` is any number.
    fn delay_max(&self) -> Option<u8> {
        match self.model.time {
            Time::Synchronous { delay, .. } => Some(delay),
            Time::Asynchronous { .. } => None,
        }
    }
}

fn liars(model: &Model) -> Pids {
    match model.failures {
        Failures::Byzantine { liars, .. } => liars.iter().copied().collect(),
        _ => Pids::default(),
    }
}
