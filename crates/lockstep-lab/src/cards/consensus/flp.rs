//! Consensus without a failure detector (Fischer, Lynch, Paterson 1985; Guerraoui's course, "FLP
//! Impossibility Result"): the rotating coordinator with timers, which cannot tell a slow process from a
//! dead one.

use super::PROPOSALS;
use super::rotating_coordinator::{RotatingCoordinator, RotatingMessage};
use crate::card::ENDLESS;
use crate::property::{CONSENSUS_INTEGRITY, CONSENSUS_TERMINATION, CONSENSUS_VALIDITY, UNIFORM_CONSENSUS};
use crate::{
    Ask, Break, Card, Decide, Detection, Fact, Failures, Family, Links, Model, Out, Pid, Price, Prices,
    Process, Propose, Protocol, Search, Subject, Time, Timer, Valuation, Value,
};

/// The patience of a process with the leader of its round.
const PATIENCE: Timer = 0;

/// A process whose patience with a leader is over suspects it, in that round only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flp {
    below: RotatingCoordinator<Value>,
    has_decided: bool,
}

impl Flp {
    /// Calls the consensus below. There is patience where another process leads; as timers have no length, it
    /// may be over at any moment.
    fn with_below(
        &mut self,
        out: &mut Out<Self>,
        call: impl FnOnce(&mut RotatingCoordinator<Value>, &mut Out<RotatingCoordinator<Value>>),
    ) {
        for decision in out.through(&mut self.below, call) {
            self.has_decided = true;
            out.indicate(decision);
        }
        if self.has_decided || self.below.is_leader() {
            out.cancel(PATIENCE);
        } else {
            out.after(PATIENCE, 1);
        }
    }
}

impl Protocol for Flp {
    type Request = Propose<Value>;
    type Indication = Decide<Value>;
    type Message = RotatingMessage<Value>;

    fn new(process: &Process) -> Self {
        Self { below: RotatingCoordinator::new(process), has_decided: false }
    }

    fn request(&mut self, request: Propose<Value>, out: &mut Out<Self>) {
        self.with_below(out, |below, out| below.request(request, out));
    }

    fn receive(&mut self, from: Pid, message: RotatingMessage<Value>, out: &mut Out<Self>) {
        self.with_below(out, |below, out| below.receive(from, message, out));
    }

    fn timeout(&mut self, _patience: Timer, out: &mut Out<Self>) {
        let leader = self.below.leader();
        self.with_below(out, |below, out| {
            below.detect(Detection::Suspect(leader), out);
            below.detect(Detection::Restore(leader), out);
        });
    }

    fn lowest_round(&self) -> Option<u64> {
        self.below.lowest_round()
    }

    fn renumber(&mut self, by: u64) {
        self.below.renumber(by);
    }

    fn message_round(message: &RotatingMessage<Value>) -> Option<u64> {
        RotatingCoordinator::message_round(message)
    }

    fn renumber_message(message: &mut RotatingMessage<Value>, by: u64) {
        RotatingCoordinator::renumber_message(message, by);
    }
}

impl Subject for Flp {
    const CARD: &'static Card = &CARD;
    const VALUATION: Option<&'static Valuation> = Some(&VALUATION);
}

/// The links are FIFO for the size of the space, and so that no heap of old messages grows for ever.
const MODEL: Model = Model { links: Links::Fifo, time: Time::Asynchronous { timeouts: 1 }, ..Model::PLAIN };
/// A process that is silent is dead from the start: the one failure of the theorem.
const ADVERSARY: Model = Model {
    time: Time::Asynchronous { timeouts: ENDLESS },
    failures: Failures::Byzantine { liars: &[2], lies: 0 },
    ..MODEL
};
const A: Ask = Ask::Propose(Value(0));
const B: Ask = Ask::Propose(Value(1));
const BINARY: &[(Pid, Ask)] = &[(0, B), (1, A)];

/// The adversary may also deliver messages in any order: over FIFO links what p1 proposes is decided, if
/// anything is. Two messages under way are enough for it.
static VALUATION: Valuation = Valuation {
    model: Model { links: Links::Perfect, ..ADVERSARY },
    says: "p3 is dead from the start; at most two messages are under way at once and arrive in any order.",
    configurations: &[&[(0, A), (1, A)], BINARY, &[(0, B), (1, B)]],
    under_way_max: 2,
};

static CARD: Card = Card {
    name: "flp",
    family: Family::Consensus,
    source: "Fischer, Lynch, Paterson 1985; Guerraoui's course, FLP Impossibility Result",
    says: "Without a detector there are only timers, and a slow process looks like a dead one. While nobody crashes and \
           timeouts are finitely many it decides, whatever their moments; an adversary that chooses them for ever keeps it \
           from deciding, though every message arrives. p3 proposes nothing and adopts what it receives. `draw flp \
           valence` has the states from which both values can be decided, and such a run through them.",
    buys: &[
        (
            "timers that err finitely often",
            "termination: a fair run without a decision exists otherwise, of any algorithm",
        ),
        ("the latest adopted value", "uniform agreement, which needs no timer at all"),
    ],
    uses: &["rotating-coordinator"],
    model: MODEL,
    asks: BINARY,
    properties: &[&CONSENSUS_VALIDITY, &CONSENSUS_INTEGRITY, &UNIFORM_CONSENSUS, &CONSENSUS_TERMINATION],
    states_max: 200_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // That of rotating-coordinator, as nobody runs out of patience.
        asks: PROPOSALS,
        delays: [|_| 3, |_| 4, |_| 4],
        multicast: |n| 2 * (n - 1) + 1 + n,
        unicast: |n| 3 * (n - 1) + n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "adversary",
            says: "One process is dead from the start. Each of the others runs out of patience just before it hears its \
                   leader; every message arrives, nobody decides.",
            model: ADVERSARY,
            asks: None,
            dropped: None,
            loses: &CONSENSUS_TERMINATION,
            search: Search::Lasso { progress: |fact| matches!(fact, Fact::Decide(_)) },
            steps_max: 17,
            planted: false,
        },
        Break {
            name: "any-estimate",
            says: "A leader proposes some value of its majority, not the one that was adopted last.",
            model: MODEL,
            asks: None,
            dropped: Some("latest estimate"),
            loses: &UNIFORM_CONSENSUS,
            search: Search::Breadth,
            steps_max: 9,
            planted: true,
        },
    ],
};
