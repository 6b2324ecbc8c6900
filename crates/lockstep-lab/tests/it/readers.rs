//! Protocols as a reader of the texts might write them, each with one subtle error. `check` finds each.

use lockstep_lab::card::{Detector, Family};
use lockstep_lab::property::{
    AGREEMENT, COMMIT_AGREEMENT, COMMIT_TERMINATION, CONSENSUS_AGREEMENT, CONSENSUS_TERMINATION,
    CONSENSUS_VALIDITY, NO_CREATION, NO_DUPLICATION, Property, VALIDITY,
};
use lockstep_lab::{
    Ask, Asked, Broadcast, Card, Decide, Deliver, Detection, Entry, Fact, Indicated, Model, Out, Pid, Pids,
    Prices, Process, Propose, Protocol, Subject, Value,
};
use serde::Serialize;
use std::collections::BTreeSet;

const fn card(
    name: &'static str,
    model: Model,
    asks: &'static [(Pid, Ask)],
    properties: &'static [&'static Property],
) -> Card {
    Card {
        name,
        family: Family::Own,
        source: "a reader",
        says: "Written from the text, with one error.",
        buys: &[],
        uses: &[],
        model,
        asks,
        properties,
        states_max: 2_000_000,
        whole: true,
        prices: Prices::None("it is wrong"),
        breaks: &[],
    }
}

/// Reliable broadcast that passes on a message once. The error: only if it comes from its sender itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct RelaysFirstHand {
    delivered: BTreeSet<(Pid, Value)>,
}

impl Protocol for RelaysFirstHand {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = (Pid, Value);

    fn new(process: &Process) -> Self {
        let _ = process;
        Self { delivered: BTreeSet::new() }
    }

    fn request(&mut self, Broadcast(value): Broadcast<Value>, out: &mut Out<Self>) {
        out.all((u8::MAX, value));
    }

    fn receive(&mut self, from: Pid, (sender, message): (Pid, Value), out: &mut Out<Self>) {
        let origin = if sender == u8::MAX { from } else { sender };
        if self.delivered.insert((origin, message)) {
            out.indicate(Deliver { from: origin, message });
            if sender == u8::MAX {
                out.all((origin, message));
            }
        }
    }
}

impl Subject for RelaysFirstHand {
    const CARD: &'static Card = &RELAYS_FIRST_HAND;
}

static RELAYS_FIRST_HAND: Card = card(
    "relays-first-hand",
    Model::PLAIN.of(4, 2).stop(2),
    &[(0, Ask::Broadcast(Value(0)))],
    &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT],
);

/// Consensus by flooding: each round all send what they know to all, and wait for those that live. The error:
/// f rounds instead of f + 1.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct FloodsTooShort {
    process: Process,
    round: u8,
    known: BTreeSet<Value>,
    received: Vec<Pids>,
    suspected: Pids,
    is_asked: bool,
}

impl Protocol for FloodsTooShort {
    type Request = Propose<Value>;
    type Indication = Decide<Value>;
    type Message = (u8, BTreeSet<Value>);

    fn new(process: &Process) -> Self {
        let received = vec![Pids::default(); usize::from(process.f) + 1];
        let (known, suspected) = (BTreeSet::new(), Pids::default());
        Self { process: *process, round: 0, known, received, suspected, is_asked: false }
    }

    fn request(&mut self, Propose(value): Propose<Value>, out: &mut Out<Self>) {
        self.is_asked = true;
        self.known.insert(value);
        out.all((0, self.known.clone()));
    }

    fn receive(&mut self, from: Pid, (round, known): (u8, BTreeSet<Value>), out: &mut Out<Self>) {
        self.known.extend(known);
        self.received[usize::from(round)].add(from);
        self.go_on(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.suspected.add(pid);
            self.go_on(out);
        }
    }
}

impl FloodsTooShort {
    fn go_on(&mut self, out: &mut Out<Self>) {
        let waits_for = self.process.all().without(self.suspected);
        while self.is_asked
            && self.round < self.process.f
            && waits_for.is_within(self.received[usize::from(self.round)])
        {
            self.round += 1;
            if self.round == self.process.f {
                out.indicate(Decide(*self.known.first().expect("its own")));
            } else {
                out.all((self.round, self.known.clone()));
            }
        }
    }
}

impl Subject for FloodsTooShort {
    const CARD: &'static Card = &FLOODS_TOO_SHORT;
}

static FLOODS_TOO_SHORT: Card = card(
    "floods-too-short",
    Model::PLAIN.of(3, 2).stop(2).detector(Detector::Perfect),
    &[(0, Ask::Propose(Value(0))), (1, Ask::Propose(Value(1))), (2, Ask::Propose(Value(2)))],
    &[&CONSENSUS_VALIDITY, &CONSENSUS_TERMINATION, &CONSENSUS_AGREEMENT],
);

/// A vote, as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
struct MyVote(bool);

/// An outcome, as it is indicated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
struct MyOutcome(bool);

impl Asked for MyVote {
    fn of(ask: Ask) -> Option<Self> {
        if let Ask::Vote(yes) = ask { Some(Self(yes)) } else { None }
    }
}

impl Indicated for MyOutcome {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Outcome(self.0))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
enum TwoPhases {
    Vote(bool),
    Outcome(bool),
}

/// Two-phase commit that does not block. The error: a participant that voted yes aborts when the coordinator
/// has failed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct PresumesAbort {
    process: Process,
    yes: Pids,
    is_ended: bool,
}

impl PresumesAbort {
    fn end(&mut self, commits: bool, out: &mut Out<Self>) {
        if !std::mem::replace(&mut self.is_ended, true) {
            out.indicate(MyOutcome(commits));
        }
    }
}

impl Protocol for PresumesAbort {
    type Request = MyVote;
    type Indication = MyOutcome;
    type Message = TwoPhases;

    fn new(process: &Process) -> Self {
        Self { process: *process, yes: Pids::default(), is_ended: false }
    }

    fn request(&mut self, MyVote(yes): MyVote, out: &mut Out<Self>) {
        out.send(0, TwoPhases::Vote(yes));
    }

    fn receive(&mut self, from: Pid, message: TwoPhases, out: &mut Out<Self>) {
        match message {
            TwoPhases::Vote(false) => out.all(TwoPhases::Outcome(false)),
            TwoPhases::Vote(true) => {
                self.yes.add(from);
                if self.yes == self.process.all() {
                    out.all(TwoPhases::Outcome(true));
                }
            }
            TwoPhases::Outcome(commits) => self.end(commits, out),
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        match detection {
            Detection::Suspect(0) => self.end(false, out),
            Detection::Suspect(_) if self.process.me == 0 && !self.is_ended => {
                out.all(TwoPhases::Outcome(false));
            }
            _ => {}
        }
    }
}

impl Subject for PresumesAbort {
    const CARD: &'static Card = &PRESUMES_ABORT;
}

static PRESUMES_ABORT: Card = card(
    "presumes-abort",
    Model::PLAIN.stop(1).detector(Detector::Perfect),
    &[(0, Ask::Vote(true)), (1, Ask::Vote(true)), (2, Ask::Vote(true))],
    &[&COMMIT_TERMINATION, &COMMIT_AGREEMENT],
);

/// The property that is lost, and the steps of the story.
fn found(entry: Entry) -> (String, usize) {
    let violation = entry.check().explored.violation.expect("the error is found");
    println!("{violation}");
    (violation.end.split(':').next().unwrap_or_default().to_owned(), violation.rows.len())
}

#[test]
fn a_relay_that_passes_on_what_is_first_hand_alone_is_found() {
    let (lost, steps) = found(Entry::of::<RelaysFirstHand>());
    assert_eq!((lost.as_str(), steps <= 8), ("AGREEMENT", true));
}

#[test]
fn a_flood_that_ends_a_round_too_early_is_found() {
    let (lost, steps) = found(Entry::of::<FloodsTooShort>());
    assert_eq!((lost.as_str(), steps <= 16), ("AGREEMENT", true));
}

#[test]
fn a_participant_that_presumes_abort_is_found() {
    let (lost, steps) = found(Entry::of::<PresumesAbort>());
    assert_eq!((lost.as_str(), steps <= 10), ("AGREEMENT", true));
}
