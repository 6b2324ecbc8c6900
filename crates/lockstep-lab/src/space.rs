//! A protocol under a model, as a space of states that the explorer of lockstep-sim searches.
//!
//! ```text
//!   state = one local state per process + the messages under way + what the model may still do
//!   step  = an input of one process, or a fault
//! ```
//!
//! A handler is atomic. A crash may swallow any message of the dead, as perfect links promise only between correct
//! processes: so a crash in the middle of a broadcast needs no step of its own. Steps that *must* happen (requests,
//! messages between correct processes, what a detector owes) are over where a run is over; steps that *may* happen
//! (crashes, messages of the dead, wrong suspicions, lies) need not.

use crate::Subject;
use crate::card::{Detector, Failures, Links, Model, Time};
use crate::local::{Input, Local, Sent};
use crate::property::{History, Judged, Property};
use crate::protocol::{Detection, Pid, Pids, Process, Timer};
use crate::vocabulary::{Ask, Event};
use lockstep_sim::explore::Space;
use lockstep_sim::explore::digest::Digest;
use lockstep_sim::rng::Rng;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// The most processes.
pub(crate) const PROCESSES_MAX: usize = 8;
/// A number of timeouts that is never used up.
pub(crate) const UNLIMITED: u8 = u8::MAX;
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

impl<T: Hash> Interned<T> {
    fn number(&mut self, value: T) -> u32 {
        let mut digest = Digest::default();
        value.hash(&mut digest);
        *self.numbers.entry(digest.both()).or_insert_with(|| {
            self.values.push(Rc::new(value));
            self.values.len() as u32 - 1
        })
    }

    fn get(&self, number: u32) -> &Rc<T> {
        &self.values[number as usize]
    }
}

/// A message under way.
type Message<P> = (Pid, Pid, <P as crate::Protocol>::Message);

/// See the module.
pub(crate) struct Lab<P: Subject> {
    model: Model,
    asks: Vec<Vec<Ask>>,
    properties: Vec<&'static Property>,
    /// Whether states have what happened. Without it a run that comes back to where it was is a loop.
    remembers: bool,
    real_time: bool,
    locals: Vec<Interned<Local<P>>>,
    messages: Interned<Message<P>>,
    done: Vec<Vec<BTreeMap<Key, Rc<Done>>>>,
    forgeries: Vec<Vec<P::Message>>,
    /// Each order of events: the one without its last event, and the process of that.
    orders: Vec<(u32, Pid)>,
    order_numbers: BTreeMap<(u32, Pid), u32>,
    first: State,
}

impl<P: Subject> Lab<P> {
    /// The protocol `P` under `model`, with what is asked of it, judged by `properties`.
    pub fn new(
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
        let mut first = State {
            locals: [0; PROCESSES_MAX],
            flying: Vec::new(),
            asked: [0; PROCESSES_MAX],
            crashed: Pids::default(),
            suspected: [Pids::default(); PROCESSES_MAX],
            leaders: [0; PROCESSES_MAX],
            lied: [0; PROCESSES_MAX],
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
        if let Detector::EventuallyPerfect { mistakes } | Detector::Leader { mistakes } = model.detector {
            first.mistakes_left = mistakes;
        }
        if let Time::Asynchronous { timeouts } = model.time {
            first.timeouts_left = [timeouts; PROCESSES_MAX];
        }
        let process = |pid| Process::new(pid, model.n, model.f, dropped);
        let forgeries: Vec<_> = (0..model.n)
            .map(|pid| if liars(&model).has(pid) { P::forgeries(&process(pid)) } else { Vec::new() })
            .collect();
        assert!(forgeries.iter().all(|all| all.len() * n <= 64), "at most 64 forgeries of a liar");
        let real_time = properties.iter().any(|property| property.real_time);
        let mut lab = Self {
            model,
            asks: asks_of,
            properties,
            remembers,
            real_time,
            locals: (0..n).map(|_| Interned::default()).collect(),
            messages: Interned::default(),
            done: (0..n).map(|_| Vec::new()).collect(),
            forgeries,
            orders: vec![(0, 0)],
            order_numbers: BTreeMap::new(),
            first: first.clone(),
        };
        for pid in 0..model.n {
            let mut local = Local::<P>::new(process(pid));
            if lab.liars().has(pid) {
                first.locals[usize::from(pid)] = lab.locals[usize::from(pid)].number(local);
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

    pub fn liars(&self) -> Pids {
        liars(&self.model)
    }

    fn correct(&self, state: &State) -> Pids {
        Pids::first(self.model.n).without(state.crashed).without(self.liars())
    }

    fn local(&self, state: &State, pid: Pid) -> &Rc<Local<P>> {
        self.locals[usize::from(pid)].get(state.locals[usize::from(pid)])
    }

    fn message(&self, number: u32) -> &Message<P> {
        self.messages.get(number)
    }

    /// What the handler of a process did, remembered.
    fn intern(
        &mut self,
        pid: Pid,
        mut local: Local<P>,
        sent: Vec<Sent<P::Message>>,
        events: Vec<Event>,
    ) -> Done {
        if self.remembers {
            local.events.extend(events.iter().cloned());
        }
        let mut numbers = Vec::new();
        for sent in sent {
            match sent {
                Sent::To(to, message) => numbers.push(self.messages.number((pid, to, message))),
                Sent::ToOthers(message) => {
                    for to in Pids::first(self.model.n).without(Pids::one(pid)).iter() {
                        numbers.push(self.messages.number((pid, to, message.clone())));
                    }
                }
            }
        }
        Done { local: self.locals[usize::from(pid)].number(local), sent: numbers, events }
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
                let (from, _, message) = Message::<P>::clone(self.message(number));
                Input::Receive(from, message)
            }
            Key::Detect(detection) => Input::Detect(detection),
            Key::Timeout(timer) => Input::Timeout(timer),
            Key::Recover => {
                let is_stable = matches!(self.model.failures, Failures::Recovery { stable: true, .. });
                next = next.restarted(is_stable);
                Input::Recover
            }
        };
        let handled = next.handle(input);
        let done = Rc::new(self.intern(pid, next, handled.sent, handled.events));
        self.done[at][local as usize].insert(key, done.clone());
        done
    }

    /// A message is on its way, unless it cannot arrive.
    fn post(&self, state: &mut State, number: u32) {
        let (from, to) = (self.message(number).0, self.message(number).1);
        if self.liars().has(to) || self.is_filtered(state, from, to) {
            return;
        }
        let gone = state.crashed.has(to) && !matches!(self.model.failures, Failures::Recovery { .. });
        if gone {
            return;
        }
        match self.model.links {
            // Behind those of the same pair.
            Links::Fifo => {
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
        if self.model.links != Links::Fifo || at == 0 {
            return true;
        }
        let (other_from, other_to, _) = self.message(state.flying[at - 1].0);
        (other_from, other_to) != (from, to)
    }

    /// Ticks that a message may take; `None` is any number.
    fn delay_max(&self) -> Option<u8> {
        match self.model.time {
            Time::Synchronous { delay, .. } => Some(delay),
            Time::Asynchronous { .. } => None,
        }
    }

    /// Whether the clock can go on: nothing is due.
    fn can_tick(&self, state: &State) -> bool {
        let Time::Synchronous { delay, ticks } = self.model.time else { return false };
        state.now < ticks
            && self.correct(state).iter().all(|pid| {
                self.local(state, pid).timers.iter().all(|(_, left)| *left > 0)
                    && usize::from(state.asked[usize::from(pid)]) == self.asks[usize::from(pid)].len()
            })
            && state.flying.iter().all(|(number, age)| {
                let (from, to, _) = self.message(*number);
                *age < delay || state.crashed.has(*from) || state.crashed.has(*to)
            })
    }

    /// Whether what happens late in a timed run has time to take effect.
    fn is_early(&self, state: &State) -> bool {
        match self.model.time {
            Time::Synchronous { ticks, .. } => state.now < ticks / 2,
            Time::Asynchronous { .. } => true,
        }
    }

    /// The steps that must happen in the end.
    fn must(&self, state: &State, out: &mut Vec<Step>) {
        let correct = self.correct(state);
        for pid in correct.iter() {
            let at = usize::from(pid);
            if usize::from(state.asked[at]) < self.asks[at].len() {
                out.push(Step::Ask(pid));
            }
            if state.timeouts_left[at] > 0 || self.delay_max().is_some() {
                for (timer, left) in &self.local(state, pid).timers {
                    if *left == 0 || self.delay_max().is_none() {
                        out.push(Step::Timeout(pid, *timer));
                    }
                }
            }
            match self.model.detector {
                Detector::None => {}
                Detector::Perfect | Detector::EventuallyPerfect { .. } => {
                    let suspected = state.suspected[at];
                    for other in state.crashed.without(suspected).iter() {
                        out.push(Step::Detect(pid, Detection::Suspect(other)));
                    }
                    for other in suspected.without(state.crashed).iter() {
                        out.push(Step::Detect(pid, Detection::Restore(other)));
                    }
                }
                Detector::Leader { .. } => {
                    if let Some(leader) = correct.lowest().filter(|leader| state.leaders[at] != *leader) {
                        out.push(Step::Detect(pid, Detection::Leader(leader)));
                    }
                }
            }
        }
        if matches!(self.model.failures, Failures::Recovery { .. }) {
            out.extend(state.crashed.iter().map(Step::Recover));
        }
        self.receipts(state, correct, out);
        if self.can_tick(state) {
            out.push(Step::Tick);
        }
    }

    /// Receipts of messages of these processes.
    fn receipts(&self, state: &State, from: Pids, out: &mut Vec<Step>) {
        let mut last = None;
        for at in 0..state.flying.len() {
            let number = state.flying[at].0;
            if last != Some(number) && from.has(self.message(number).0) && self.is_deliverable(state, at) {
                out.push(Step::Receive(number));
            }
            last = Some(number);
        }
    }

    /// The steps that may happen.
    fn may(&self, state: &State, out: &mut Vec<Step>) {
        let correct = self.correct(state);
        self.receipts(state, state.crashed, out);
        if state.crashes_left > 0 && self.is_early(state) {
            out.extend(correct.iter().map(Step::Crash));
        }
        if state.losses_left > 0 || state.duplicates_left > 0 {
            for at in 0..state.flying.len() {
                let number = state.flying[at].0;
                if state.losses_left > 0 {
                    out.push(Step::Lose(number));
                }
                if state.duplicates_left > 0 && self.is_deliverable(state, at) {
                    out.push(Step::Repeat(number));
                }
            }
        }
        if state.mistakes_left > 0 && self.is_early(state) {
            for pid in correct.iter() {
                for other in Pids::first(self.model.n).iter() {
                    let at = usize::from(pid);
                    match self.model.detector {
                        Detector::EventuallyPerfect { .. } => {
                            if other != pid && correct.has(other) && !state.suspected[at].has(other) {
                                out.push(Step::Detect(pid, Detection::Suspect(other)));
                            }
                        }
                        Detector::Leader { .. } => {
                            if other != state.leaders[at] && correct.lowest() != Some(other) {
                                out.push(Step::Detect(pid, Detection::Leader(other)));
                            }
                        }
                        Detector::None | Detector::Perfect => {}
                    }
                }
            }
        }
        for by in self.liars().iter() {
            if state.lies_left[usize::from(by)] == 0 {
                continue;
            }
            for to in correct.iter() {
                for index in 0..self.forgeries[usize::from(by)].len() as u8 {
                    if state.lied[usize::from(by)] >> self.lie_bit(to, index) & 1 == 0 {
                        out.push(Step::Lie { by, to, index });
                    }
                }
            }
        }
    }

    fn lie_bit(&self, to: Pid, index: u8) -> u32 {
        u32::from(index) * u32::from(self.model.n) + u32::from(to)
    }

    /// Takes a message from those under way: its oldest copy.
    fn take(&self, state: &mut State, number: u32) -> bool {
        match state.flying.iter().rposition(|(other, _)| *other == number) {
            // Of one number the copies stand by age.
            Some(last) => {
                let at = if self.model.links == Links::Fifo {
                    state.flying.iter().position(|(other, _)| *other == number).unwrap_or(last)
                } else {
                    last
                };
                state.flying.remove(at);
                true
            }
            None => false,
        }
    }

    /// What `step` does, without judging it; `None` if it cannot be taken or changes nothing.
    pub fn advance(&mut self, state: &State, step: Step) -> Option<(State, Vec<Event>)> {
        let mut next = state.clone();
        let (pid, key) = match step {
            Step::Ask(pid) => {
                let at = usize::from(pid);
                next.asked[at] += 1;
                (pid, Key::Ask(state.asked[at]))
            }
            Step::Receive(number) => {
                if !self.take(&mut next, number) {
                    return None;
                }
                (self.message(number).1, Key::Receive(number))
            }
            Step::Repeat(number) => {
                next.duplicates_left -= 1;
                (self.message(number).1, Key::Receive(number))
            }
            Step::Timeout(pid, timer) => {
                let left = &mut next.timeouts_left[usize::from(pid)];
                *left -= u8::from(*left != UNLIMITED && self.delay_max().is_none());
                (pid, Key::Timeout(timer))
            }
            Step::Detect(pid, detection) => {
                let at = usize::from(pid);
                match detection {
                    Detection::Suspect(other) => {
                        next.mistakes_left -= u8::from(!state.crashed.has(other));
                        next.suspected[at].add(other);
                        if matches!(self.model.failures, Failures::Stop { filter: true, .. }) {
                            next.flying.retain(|(number, _)| {
                                let (from, to, _) = self.message(*number);
                                (*from, *to) != (other, pid)
                            });
                        }
                    }
                    Detection::Restore(other) => next.suspected[at].remove(other),
                    Detection::Leader(leader) => {
                        let is_right = self.correct(state).lowest() == Some(leader);
                        next.mistakes_left -= u8::from(!is_right);
                        next.leaders[at] = leader;
                    }
                }
                (pid, Key::Detect(detection))
            }
            Step::Recover(pid) => {
                next.crashed.remove(pid);
                next.suspected[usize::from(pid)] = Pids::default();
                next.leaders[usize::from(pid)] = 0;
                (pid, Key::Recover)
            }
            Step::Lie { by, to, index } => {
                next.lied[usize::from(by)] |= 1 << self.lie_bit(to, index);
                next.lies_left[usize::from(by)] -= 1;
                let message = self.forgeries[usize::from(by)][usize::from(index)].clone();
                let number = self.messages.number((by, to, message));
                (to, Key::Receive(number))
            }
            Step::Crash(pid) => {
                next.crashed.add(pid);
                next.crashes_left -= 1;
                // What no process can distinguish is one state.
                next.asked[usize::from(pid)] = state.asked[usize::from(pid)];
                if matches!(self.model.failures, Failures::Stop { .. }) {
                    next.flying.retain(|(number, _)| self.message(*number).1 != pid);
                    next.suspected[usize::from(pid)] = Pids::default();
                    next.leaders[usize::from(pid)] = 0;
                    next.timeouts_left[usize::from(pid)] = 0;
                }
                return Some((self.canonical(next), Vec::new()));
            }
            Step::Lose(number) => {
                next.losses_left -= 1;
                return self.take(&mut next, number).then(|| (self.canonical(next), Vec::new()));
            }
            Step::Tick => {
                if !self.can_tick(state) {
                    return None;
                }
                next.now += u8::from(self.remembers);
                let delay = self.delay_max().unwrap_or(0);
                next.flying.iter_mut().for_each(|(_, age)| *age = (*age + 1).min(delay));
                for pid in self.correct(state).iter() {
                    let mut local = Local::clone(self.local(state, pid));
                    local.timers.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
                    next.locals[usize::from(pid)] = self.locals[usize::from(pid)].number(local);
                }
                return Some((self.canonical(next), Vec::new()));
            }
        };
        let at = usize::from(pid);
        let done = self.done(pid, state.locals[at], key);
        next.locals[at] = done.local;
        done.sent.iter().for_each(|number| self.post(&mut next, *number));
        if self.real_time && self.remembers {
            for _ in &done.events {
                let fresh = self.orders.len() as u32;
                let number = *self.order_numbers.entry((next.order, pid)).or_insert(fresh);
                if number == fresh {
                    self.orders.push((next.order, pid));
                }
                next.order = number;
            }
        }
        let next = self.canonical(next);
        (next != *state).then(|| (next, done.events.clone()))
    }

    /// In a search for loops: the state with its rounds counted from the lowest one that is still compared, so that a
    /// state that differs by its rounds alone is the same state.
    fn canonical(&mut self, mut state: State) -> State {
        if self.remembers {
            return state;
        }
        let correct = self.correct(&state);
        let of_processes = correct.iter().filter_map(|pid| self.local(&state, pid).protocol.lowest_round());
        let of_messages =
            state.flying.iter().filter_map(|(number, _)| P::message_round(&self.message(*number).2));
        let Some(lowest) = of_processes.chain(of_messages).min() else { return state };
        // A round belongs to a process by its remainder.
        let by = lowest / u64::from(self.model.n) * u64::from(self.model.n);
        if by == 0 {
            return state;
        }
        for pid in correct.iter() {
            let mut local = Local::clone(self.local(&state, pid));
            local.protocol.renumber(by);
            state.locals[usize::from(pid)] = self.locals[usize::from(pid)].number(local);
        }
        for (number, _) in &mut state.flying {
            let (from, to, mut message) = Message::<P>::clone(self.messages.get(*number));
            P::renumber_message(&mut message, by);
            *number = self.messages.number((from, to, message));
        }
        if self.model.links != Links::Fifo {
            state.flying.sort_unstable();
        }
        state
    }

    /// Judges a state: after every step, and where the run is over.
    pub fn judge(&mut self, state: &State, has_new_events: bool) -> Result<(), String> {
        let is_over = self.is_over(state);
        if !is_over && !has_new_events {
            return Ok(());
        }
        let mut order = Vec::new();
        let mut at = state.order;
        while at != 0 {
            let (before, pid) = self.orders[at as usize];
            order.push(pid);
            at = before;
        }
        order.reverse();
        let locals: Vec<_> = (0..self.model.n).map(|pid| self.local(state, pid).clone()).collect();
        let events: Vec<&[Event]> = locals.iter().map(|local| local.events.as_slice()).collect();
        let history = History {
            n: self.model.n,
            events: &events,
            order: &order,
            correct: self.correct(state),
            crashed: state.crashed,
            liars: self.liars(),
        };
        for property in &self.properties {
            let now = match property.judged {
                Judged::Always => has_new_events,
                Judged::AtTheEnd => is_over,
            };
            if now {
                (property.holds)(&history).map_err(|why| format!("{}: {why}", property.name))?;
            }
        }
        Ok(())
    }

    /// Whether nothing is left that must happen.
    pub fn is_over(&mut self, state: &State) -> bool {
        let mut steps = Vec::new();
        self.must(state, &mut steps);
        steps.is_empty()
    }

    /// The steps that must happen in the end.
    pub fn must_steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        self.must(state, &mut steps);
        steps
    }

    /// The processes of the message that a step is about: its sender and its receiver.
    pub fn route(&self, step: Step) -> Option<(Pid, Pid)> {
        match step {
            Step::Receive(number) | Step::Repeat(number) | Step::Lose(number) => {
                let (from, to, _) = self.message(number);
                Some((*from, *to))
            }
            Step::Lie { by, to, .. } => Some((by, to)),
            _ => None,
        }
    }

    /// The message that a step is about, in words.
    pub fn message_words(&self, step: Step) -> Option<String> {
        match step {
            Step::Receive(number) | Step::Repeat(number) | Step::Lose(number) => {
                Some(format!("{:?}", self.message(number).2))
            }
            Step::Lie { by, index, .. } => {
                Some(format!("{:?}", self.forgeries[usize::from(by)][usize::from(index)]))
            }
            _ => None,
        }
    }

    /// The number of processes.
    pub fn processes(&self) -> u8 {
        self.model.n
    }

    /// The messages under way, by number, a copy each.
    pub fn under_way(&self, state: &State) -> Vec<u32> {
        state.flying.iter().map(|(number, _)| *number).collect()
    }

    /// The process whose step it is.
    pub fn process_of(&self, step: Step) -> Option<Pid> {
        match step {
            Step::Ask(pid)
            | Step::Timeout(pid, _)
            | Step::Detect(pid, _)
            | Step::Recover(pid)
            | Step::Crash(pid) => Some(pid),
            Step::Receive(_) | Step::Repeat(_) | Step::Lie { .. } => self.route(step).map(|(_, to)| to),
            Step::Lose(_) | Step::Tick => None,
        }
    }

    /// The request that a step makes in `state`.
    pub fn ask_of(&self, state: &State, step: Step) -> Option<Ask> {
        let Step::Ask(pid) = step else { return None };
        self.asks[usize::from(pid)].get(usize::from(state.asked[usize::from(pid)])).copied()
    }
}

fn liars(model: &Model) -> Pids {
    match model.failures {
        Failures::Byzantine { liars, .. } => liars.iter().copied().collect(),
        _ => Pids::default(),
    }
}

impl<P: Subject> Space for Lab<P> {
    type State = State;
    type Step = Step;
    /// How fast each process receives, in hundredths.
    type Bias = [u64; PROCESSES_MAX];

    fn first(&self) -> State {
        self.first.clone()
    }

    fn digest(state: &State) -> u64 {
        let mut digest = Digest::default();
        state.hash(&mut digest);
        digest.finish()
    }

    fn steps(&mut self, state: &State, out: &mut Vec<Step>) {
        out.clear();
        self.must(state, out);
        self.may(state, out);
    }

    fn is_possible(&self, state: &State, step: Step) -> bool {
        let mut steps = Vec::new();
        self.must(state, &mut steps);
        self.may(state, &mut steps);
        steps.contains(&step)
    }

    fn apply(&mut self, state: &State, step: Step) -> Option<Result<State, String>> {
        let (next, events) = self.advance(state, step)?;
        Some(self.judge(&next, !events.is_empty()).map(|()| next))
    }

    fn settle(&mut self, state: &State, trace: &mut Vec<Step>) -> Result<(), String> {
        let mut state = state.clone();
        for turn in 0..END_STEPS_MAX {
            let steps = self.must_steps(&state);
            if steps.is_empty() {
                return Ok(());
            }
            // Each kind in turn, so that none starves.
            let step = steps[turn % steps.len()];
            trace.push(step);
            if let Some(next) = self.apply(&state, step) {
                state = next?;
            }
        }
        Err(format!("NO END: nothing fails any more, and the run is not over after {END_STEPS_MAX} steps"))
    }

    fn words(&self, step: Step) -> String {
        let of = |number: u32| {
            let (from, to, message) = self.message(number);
            (format!("p{}", to + 1), format!("{message:?} of p{}", from + 1))
        };
        match step {
            Step::Ask(pid) => format!("p{} is asked", pid + 1),
            Step::Receive(number) => {
                let (to, what) = of(number);
                format!("{to} receives {what}")
            }
            Step::Repeat(number) => {
                let (to, what) = of(number);
                format!("{to} receives {what}, and will once more")
            }
            Step::Lose(number) => {
                let (to, what) = of(number);
                format!("to {to} is lost: {what}")
            }
            Step::Timeout(pid, timer) => format!("timer {timer} of p{} is over", pid + 1),
            Step::Detect(pid, Detection::Suspect(other)) => format!("p{} suspects p{}", pid + 1, other + 1),
            Step::Detect(pid, Detection::Restore(other)) => {
                format!("p{} trusts p{} again", pid + 1, other + 1)
            }
            Step::Detect(pid, Detection::Leader(other)) => {
                format!("p{} takes p{} for the leader", pid + 1, other + 1)
            }
            Step::Recover(pid) => format!("p{} comes back", pid + 1),
            Step::Tick => "the clock ticks".to_owned(),
            Step::Crash(pid) => format!("p{} crashes", pid + 1),
            Step::Lie { by, to, .. } => {
                let what = self.message_words(step).unwrap_or_default();
                format!("p{} receives {what} of the liar p{}", to + 1, by + 1)
            }
        }
    }

    fn draw_bias(&self, rng: &mut Rng) -> [u64; PROCESSES_MAX] {
        std::array::from_fn(|_| [1, 8, 30, 100][rng.below(4) as usize])
    }

    fn draw(&mut self, rng: &mut Rng, state: &State, bias: &[u64; PROCESSES_MAX]) -> Option<Step> {
        let mut steps = Vec::new();
        self.steps(state, &mut steps);
        let weight = |step: &Step| match *step {
            Step::Receive(number) | Step::Repeat(number) => bias[usize::from(self.message(number).1)],
            Step::Ask(_) => 40,
            Step::Tick => 60,
            Step::Detect(..) | Step::Timeout(..) | Step::Recover(_) | Step::Lie { .. } => 12,
            Step::Crash(_) | Step::Lose(_) => 4,
        };
        let mut at = rng.below(steps.iter().map(weight).sum());
        steps.iter().copied().find(|step| {
            let weight = weight(step);
            let found = at < weight;
            at = at.saturating_sub(weight);
            found
        })
    }
}
