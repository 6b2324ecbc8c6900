//! The perfect failure detector P by timeouts (Guerraoui's course, "Failure Detection"; Cachin, Guerraoui,
//! Rodrigues, algorithm 2.5).

use crate::property::{STRONG_ACCURACY, STRONG_COMPLETENESS};
use crate::{
    Break, Card, Detection, ENDLESS, Family, Model, NoRequest, Out, Pid, Pids, Prices, Process, Protocol,
    Search, Subject, Time, Timer,
};
use serde::Serialize;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Heartbeat {
    /// Asks a process whether it is alive.
    Request,
    /// It is.
    Reply,
}

/// The timer of a round.
const ROUND: Timer = 0;
/// Ticks that a message takes at most.
const DELAY_TICKS: u8 = 1;
/// Ticks in which every reply is there: a request takes a delay, a reply another one, and what arrives in the
/// last of these ticks may arrive after a timer of that tick is over.
const ROUND_TICKS: u64 = 2 * DELAY_TICKS as u64 + 1;

/// In each round every process is asked; one that does not reply within the round has crashed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PerfectByTimeout {
    process: Process,
    /// Those that have replied in this round.
    alive: Pids,
    detected: Pids,
}

impl PerfectByTimeout {
    fn begin_round(&mut self, out: &mut Out<Self>) {
        if !self.process.lacks("a new round") {
            self.alive = Pids::default();
        }
        out.each(self.process.others(), &Heartbeat::Request);
        let ticks = if self.process.lacks("last tick") { ROUND_TICKS - 1 } else { ROUND_TICKS };
        out.after(ROUND, ticks);
    }
}

impl Protocol for PerfectByTimeout {
    type Request = NoRequest;
    type Indication = Detection;
    type Message = Heartbeat;

    fn new(process: &Process) -> Self {
        Self { process: *process, alive: Pids::default(), detected: Pids::default() }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        self.begin_round(out);
    }

    fn request(&mut self, request: NoRequest, _out: &mut Out<Self>) {
        match request {}
    }

    fn receive(&mut self, from: Pid, message: Heartbeat, out: &mut Out<Self>) {
        match message {
            Heartbeat::Request => out.send(from, Heartbeat::Reply),
            Heartbeat::Reply => drop(self.alive.add(from)),
        }
    }

    fn timeout(&mut self, _timer: Timer, out: &mut Out<Self>) {
        for pid in self.process.others().without(self.alive).without(self.detected).iter() {
            self.detected.add(pid);
            out.indicate(Detection::Suspect(pid));
        }
        self.begin_round(out);
    }
}

impl Subject for PerfectByTimeout {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model =
    Model { time: Time::Synchronous { delay: DELAY_TICKS, ticks: ENDLESS }, ..Model::PLAIN.stop(1) };

static CARD: Card = Card {
    name: "perfect-by-timeout",
    family: Family::Detectors,
    source: "Guerraoui's course, Failure Detection; Cachin, Guerraoui, Rodrigues, algorithm 2.5",
    says: "Each process asks all others in every round, and suspects for ever whoever has not replied when the round is \
           over. A round is longer than the worst case of a request and its reply, so that no reply of a correct process \
           is late.",
    buys: &[
        ("a known bound of delays", "accuracy: a reply that may take any time is taken for a crash"),
        ("rounds without end", "completeness: a process may crash at any time"),
    ],
    uses: &[],
    model: MODEL,
    asks: &[],
    properties: &[&STRONG_ACCURACY, &STRONG_COMPLETENESS],
    states_max: 100_000,
    whole: true,
    prices: Prices::None("it has no request: its cost is one of each round, for ever"),
    breaks: &[
        Break {
            name: "no-synchrony",
            says: "Messages take any time: the round is over before the first reply.",
            model: Model { time: Time::Asynchronous { timeouts: 1 }, ..MODEL },
            asks: None,
            dropped: None,
            loses: &STRONG_ACCURACY,
            search: Search::Breadth,
            steps_max: 1,
            planted: false,
        },
        Break {
            name: "a-bound-too-low",
            says: "The network is slower than the bound from which the length of a round was computed.",
            model: Model {
                time: Time::Synchronous { delay: DELAY_TICKS + 1, ticks: ENDLESS },
                ..Model::PLAIN.of(2, 1)
            },
            asks: None,
            dropped: None,
            loses: &STRONG_ACCURACY,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "two-delays-exactly",
            says: "A round of exactly two delays: it is over in the tick in which the reply arrives, and before it.",
            model: MODEL.of(2, 1),
            asks: None,
            dropped: Some("last tick"),
            loses: &STRONG_ACCURACY,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
        Break {
            name: "replies-count-for-ever",
            says: "The replies of a round are not forgotten when the next one begins: a process that has replied once and \
                   crashes is never suspected.",
            model: MODEL,
            asks: None,
            dropped: Some("a new round"),
            loses: &STRONG_COMPLETENESS,
            search: Search::Breadth,
            steps_max: 20,
            planted: true,
        },
    ],
};
