//! One run of a protocol on the simulator's network, in the order of time.

use super::{Cost, DETECTED_AFTER, HORIZON, Load, Requests, TimedRun, Timing, is_result};
use crate::card::{Card, Detector, Time};
use crate::erased::{Input, Kind, Message};
use crate::local::{Local, Sent};
use crate::property::History;
use crate::protocol::{Detection, Pid, Pids, Process, Timer};
use crate::story::Story;
use crate::vocabulary::{Ask, Event};
use lockstep_sim::coverage::Coverage;
use lockstep_sim::rng::Rng;
use lockstep_sim::wire::{Route, SimNetwork};
use std::collections::BTreeMap;

/// Message delays between two requests of one process, where they are made one after the other.
const BETWEEN_REQUESTS: u64 = 20;
/// Message delays of a tick where a timer may be over at any moment: long beside a message.
const TICK_OF_NO_TIME: u64 = 10;
/// A timer that has not been started again.
const UNTOUCHED: u64 = u64::MAX;

/// When an input comes, and a number that orders those of one time.
type When = (u64, u64);
/// An input, and its process.
type Addressed = (Pid, Input);

/// See the module.
struct Engine<'a> {
    card: &'static Card,
    timing: &'a Timing,
    now: u64,
    tick: u64,
    locals: Vec<Local>,
    crashed: Pids,
    network: SimNetwork,
    coverage: Coverage,
    /// Every message that was sent, and the row of the story at which it was: a datagram has its number.
    messages: Vec<(Message, usize)>,
    /// Requests, timers and detections, by time and then in the order of their making.
    inputs: BTreeMap<When, Addressed>,
    next_input: u64,
    /// Where in `inputs` each running timer is.
    timers: BTreeMap<(Pid, Timer), When>,
    cost: Cost,
    load: Load,
    first: Vec<Option<u64>>,
    order: Vec<Pid>,
    story: Option<Story>,
}

/// Runs until nothing is under way any more.
pub(crate) fn run(kind: &dyn Kind, timing: &Timing) -> TimedRun {
    let card = kind.card();
    let n = usize::from(timing.n);
    let process = |pid| Process::new(pid, timing.n, timing.f, None);
    let title = format!("{}, a run of {} processes", card.name, timing.n);
    let mut engine = Engine {
        card,
        timing,
        now: 0,
        tick: tick(timing, card.model.time),
        locals: (0..timing.n).map(|pid| Local::new(kind, process(pid))).collect(),
        crashed: Pids::default(),
        network: SimNetwork::new(Rng::new(timing.seed)),
        coverage: Coverage::default(),
        messages: Vec::new(),
        inputs: BTreeMap::new(),
        next_input: 0,
        timers: BTreeMap::new(),
        cost: Cost::default(),
        load: Load::of(timing.n),
        first: vec![None; n],
        order: Vec::new(),
        story: timing.has_story.then(|| Story { title, n: timing.n, ..Story::default() }),
    };
    engine.begin();
    while engine.step() {}
    engine.finish()
}

/// The time of a tick: a message must arrive within those that the model allows it.
fn tick(timing: &Timing, time: Time) -> u64 {
    let slowest = timing.network.delay_ns + timing.network.delay_ns / 4;
    match time {
        Time::Synchronous { delay, .. } => slowest.div_ceil(u64::from(delay.max(1))),
        Time::Asynchronous { .. } => slowest * TICK_OF_NO_TIME,
    }
}

impl Engine<'_> {
    /// Everything that is known at time 0: starts, requests, a crash and its detection.
    fn begin(&mut self) {
        let (asks, apart): (&[(Pid, Ask)], u64) = match self.timing.requests {
            Requests::AtOnce(asks) => (asks, 0),
            Requests::InTurn(asks) => (asks, BETWEEN_REQUESTS * self.hop()),
        };
        for pid in 0..self.timing.n {
            self.input_at(0, pid, Input::Start);
        }
        if self.timing.leader_dies {
            self.crash(0);
        }
        let others_ask = asks.iter().any(|(pid, _)| *pid != 0);
        let mut asked = vec![0; usize::from(self.timing.n)];
        for (pid, ask) in asks.iter().filter(|(pid, _)| *pid < self.timing.n) {
            let pid = match (self.timing.leader_dies, *pid) {
                (true, 0) if others_ask => continue,
                (true, 0) => 1,
                (_, pid) => pid,
            };
            self.input_at(asked[usize::from(pid)] * apart, pid, Input::Ask(*ask));
            asked[usize::from(pid)] += 1;
        }
    }

    fn hop(&self) -> u64 {
        self.timing.network.delay_ns
    }

    /// This process does nothing any more, and the detector of the model has it later.
    fn crash(&mut self, crashed: Pid) {
        self.crashed.add(crashed);
        if let Some(story) = &mut self.story {
            story.add_crash(crashed);
        }
        for pid in Pids::first(self.timing.n).without(self.crashed).iter() {
            let detection = match self.card.model.detector {
                Detector::None => continue,
                Detector::Perfect | Detector::EventuallyPerfect { .. } => Detection::Suspect(crashed),
                Detector::Leader { .. } => Detection::Leader(crashed + 1),
            };
            self.input_at(DETECTED_AFTER * self.hop(), pid, Input::Detect(detection));
        }
    }

    fn input_at(&mut self, at: u64, pid: Pid, input: Input) -> When {
        self.next_input += 1;
        self.inputs.insert((at, self.next_input), (pid, input));
        (at, self.next_input)
    }

    /// The next input, a message before a timer that is over at the same time. Returns whether there is one.
    fn step(&mut self) -> bool {
        let input = self.inputs.first_key_value().map(|(key, _)| key.0);
        if let Some(at) = self.network.next_arrival().filter(|at| input.is_none_or(|input| *at <= input)) {
            self.now = at;
            if let Some(packet) = self.network.arrive(at, &mut self.coverage) {
                let number: [u8; 8] = packet.bytes.try_into().expect("this engine sends numbers");
                let (from, to) = (packet.route.from as Pid, packet.route.to as Pid);
                let (message, row) = self.messages[u64::from_le_bytes(number) as usize].clone();
                self.handle(to, Input::Receive(from, message), Some(row));
            }
            return true;
        }
        let Some(((at, _), (pid, input))) = self.inputs.pop_first() else { return false };
        if let Input::Timeout(timer) = input {
            self.timers.remove(&(pid, timer));
            if at > HORIZON * self.hop() {
                return true;
            }
        }
        self.now = at;
        self.handle(pid, input, None);
        true
    }

    /// One handler, and what it sends.
    fn handle(&mut self, pid: Pid, input: Input, sent_row: Option<usize>) {
        if self.crashed.has(pid) {
            return;
        }
        let at = usize::from(pid);
        self.locals[at].timers.iter_mut().for_each(|(_, ticks)| *ticks = UNTOUCHED);
        let may_only_wait = matches!(input, Input::Start | Input::Timeout(_));
        let words = self.story.as_ref().map(|_| input.clone());
        let handled = self.locals[at].handle(input);
        let events = &handled.events;
        if events.iter().any(is_result) {
            self.first[at].get_or_insert(self.now);
        }
        self.order.extend(events.iter().map(|_| pid));
        // A start or the end of a timer that does nothing but wait is no row.
        let is_shown = !may_only_wait || !events.is_empty() || !handled.sent.is_empty();
        if let (Some(story), Some(input), true) = (&mut self.story, words, is_shown) {
            story.add_timed(self.now, pid, &input, sent_row, events);
        }
        self.locals[at].events.extend(handled.events);
        let row = self.story.as_ref().map_or(0, |story| story.rows.len().saturating_sub(1));
        for sent in handled.sent {
            let (to, message) = match sent {
                Sent::To(to, message) => (Pids::one(to), message),
                Sent::ToOthers(message) => (Pids::first(self.timing.n).without(Pids::one(pid)), message),
            };
            self.send(pid, to, message, row);
        }
        self.follow_timers(pid);
    }

    fn send(&mut self, from: Pid, to: Pids, message: Message, row: usize) {
        self.cost.add(from, to, message.encoded_len() as u64, &mut self.load);
        let number = (self.messages.len() as u64).to_le_bytes();
        self.messages.push((message, row));
        self.network.next_number();
        for to in to.iter() {
            let route = Route { from: from.into(), to: to.into(), group: None };
            self.network.send(&self.timing.network, self.now, route, &number, &mut self.coverage);
        }
    }

    /// Timers that the handler started or stopped.
    fn follow_timers(&mut self, pid: Pid) {
        let has_clocks = matches!(self.card.model.time, Time::Synchronous { .. });
        if !self.timing.has_timers && !has_clocks {
            return;
        }
        let running = self.locals[usize::from(pid)].timers.clone();
        let mine: Vec<Timer> =
            self.timers.range((pid, 0)..=(pid, Timer::MAX)).map(|(key, _)| key.1).collect();
        for timer in mine {
            if !running.iter().any(|(other, ticks)| *other == timer && *ticks == UNTOUCHED)
                && let Some(key) = self.timers.remove(&(pid, timer))
            {
                self.inputs.remove(&key);
            }
        }
        for (timer, ticks) in running.into_iter().filter(|(_, ticks)| *ticks != UNTOUCHED) {
            let key = self.input_at(self.now + ticks.max(1) * self.tick, pid, Input::Timeout(timer));
            self.timers.insert((pid, timer), key);
        }
    }

    /// Nothing is under way any more.
    fn finish(mut self) -> TimedRun {
        let events: Vec<&[Event]> = self.locals.iter().map(|local| local.events.as_slice()).collect();
        let history = History {
            n: self.timing.n,
            events: &events,
            order: &self.order,
            correct: Pids::first(self.timing.n).without(self.crashed),
            crashed: self.crashed,
            liars: Pids::default(),
        };
        let wrong: Vec<String> = self
            .card
            .properties
            .iter()
            .filter_map(|property| Some(format!("{}: {}", property.name, (property.holds)(&history).err()?)))
            .collect();
        if let Some(story) = &mut self.story {
            story.is_good = wrong.is_empty();
            story.end = if wrong.is_empty() { "every property holds".to_owned() } else { wrong.join("; ") };
        }
        let from = if self.timing.from_detection { DETECTED_AFTER * self.hop() } else { 0 };
        let first = self.first.iter().map(|at| at.and_then(|at| at.checked_sub(from))).collect();
        TimedRun { cost: self.cost.finish(first, &self.load), story: self.story, wrong }
    }
}
