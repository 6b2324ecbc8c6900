//! The eventually perfect failure detector ◇P by timeouts that double (Guerraoui's course, "Failure
//! Detection"; Cachin, Guerraoui, Rodrigues, algorithm 2.7).

use crate::property::{EVENTUAL_ACCURACY, STRONG_ACCURACY, STRONG_COMPLETENESS};
use crate::{
    Break, Card, Detection, ENDLESS, Fact, Family, Model, NoRequest, Out, Pid, Pids, Prices, Process,
    Protocol, Search, Subject, Time, Timer,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The only message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Alive;

/// The timer of heartbeats. That of a process has its number, and one more.
const HEARTBEAT: Timer = 0;
/// Ticks between two heartbeats.
const HEARTBEAT_TICKS: u64 = 1;
/// Ticks within which the first heartbeat is expected.
const TIMEOUT_TICKS: u64 = 1;

/// A process that is not heard of in time is suspected. Once it is heard of after all, it is trusted again,
/// and has twice the time from then on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EventuallyPerfect {
    process: Process,
    suspected: Pids,
    /// How long each process is waited for.
    timeouts: BTreeMap<Pid, u64>,
}

impl EventuallyPerfect {
    fn send_heartbeats(&mut self, out: &mut Out<Self>) {
        out.each(self.process.others(), &Alive);
        out.after(HEARTBEAT, HEARTBEAT_TICKS);
    }

    fn wait_for(&mut self, pid: Pid, out: &mut Out<Self>) {
        out.after(pid + 1, *self.timeouts.get(&pid).unwrap_or(&TIMEOUT_TICKS));
    }
}

impl Protocol for EventuallyPerfect {
    type Request = NoRequest;
    type Indication = Detection;
    type Message = Alive;

    fn new(process: &Process) -> Self {
        let timeouts = process.others().iter().map(|pid| (pid, TIMEOUT_TICKS)).collect();
        Self { process: *process, suspected: Pids::default(), timeouts }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        self.send_heartbeats(out);
        self.process.others().iter().for_each(|pid| self.wait_for(pid, out));
    }

    fn request(&mut self, request: NoRequest, _out: &mut Out<Self>) {
        match request {}
    }

    fn receive(&mut self, from: Pid, _message: Alive, out: &mut Out<Self>) {
        if self.suspected.has(from) {
            self.suspected.remove(from);
            out.indicate(Detection::Restore(from));
            if !self.process.lacks("doubling") {
                self.timeouts.entry(from).and_modify(|ticks| *ticks *= 2);
            }
            if self.process.lacks("timer of the restored") {
                return;
            }
        }
        self.wait_for(from, out);
    }

    fn timeout(&mut self, timer: Timer, out: &mut Out<Self>) {
        if timer == HEARTBEAT {
            self.send_heartbeats(out);
        } else if self.suspected.add(timer - 1) {
            out.indicate(Detection::Suspect(timer - 1));
        }
    }
}

impl Subject for EventuallyPerfect {
    const CARD: &'static Card = &CARD;
}

/// The bound of delays is there, and no process knows it. What a process does about another one does not
/// depend on a third: two of them show all that there is.
const MODEL: Model =
    Model { time: Time::Synchronous { delay: 2, ticks: ENDLESS }, ..Model::PLAIN.of(2, 1).stop(1) };

static CARD: Card = Card {
    name: "eventually-perfect",
    family: Family::Detectors,
    source: "Guerraoui's course, Failure Detection; Cachin, Guerraoui, Rodrigues, algorithm 2.7",
    says: "Each process sends heartbeats, and suspects a process whose next heartbeat is not there in time. A heartbeat \
           of a suspected process takes the suspicion back and doubles its timeout. So there are only as many mistakes \
           as it takes until the timeout is longer than the bound that nobody knows.",
    buys: &[
        (
            "the timeout doubles",
            "accuracy in the end: a timeout that stays too short is wrong again and again",
        ),
        (
            "a bound of delays, known or not",
            "accuracy in the end: delays that only grow overtake each timeout",
        ),
        ("mistakes are allowed", "a detector without a known bound: strong accuracy needs one"),
    ],
    uses: &[],
    model: MODEL,
    asks: &[],
    properties: &[&EVENTUAL_ACCURACY, &STRONG_COMPLETENESS],
    states_max: 300_000,
    whole: true,
    prices: Prices::None("it has no request: its cost is one of each round, for ever"),
    breaks: &[
        Break {
            name: "no-doubling",
            says: "The timeout stays as it is: a correct process is suspected and trusted again, for ever.",
            model: Model { time: Time::Synchronous { delay: 1, ticks: ENDLESS }, ..Model::PLAIN.of(2, 0) },
            asks: None,
            dropped: Some("doubling"),
            loses: &EVENTUAL_ACCURACY,
            search: Search::Recurrence { nuisance: |fact| matches!(fact, Fact::Suspect(_)) },
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "asked-for-strong-accuracy",
            says: "The first timeout is shorter than a delay.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &STRONG_ACCURACY,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "restored-and-not-watched",
            says: "A process that is trusted again gets no new timer until its next heartbeat. If it crashes before, it is \
                   never suspected.",
            model: MODEL,
            asks: None,
            dropped: Some("timer of the restored"),
            loses: &STRONG_COMPLETENESS,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
