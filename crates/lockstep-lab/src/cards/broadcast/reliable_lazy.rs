//! Regular reliable broadcast, lazy (Guerraoui's course, "Regular Reliable Broadcast").

use super::BestEffort;
use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Family, Model, Out, Pid, Pids, Price, Prices,
    Process, Protocol, Search, Subject, Value, Word,
};
use std::collections::BTreeSet;

/// A message of `.0`.
type Of<M> = (Pid, M);

/// Messages of a process that is suspected are passed on; without a failure there is no more to do than for
/// best effort.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReliableLazy<M: Word> {
    process: Process,
    below: BestEffort<Of<M>>,
    crashed: Pids,
    delivered: BTreeSet<Of<M>>,
    /// What came from each process, and whose it is.
    from: BTreeSet<(Pid, Of<M>)>,
}

impl<M: Word> Protocol for ReliableLazy<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = Of<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: BestEffort::new(process),
            crashed: Pids::default(),
            delivered: BTreeSet::new(),
            from: BTreeSet::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.below.broadcast((self.process.me, message), out);
    }

    fn receive(&mut self, from: Pid, message: Of<M>, out: &mut Out<Self>) {
        for Deliver { from, message } in
            out.through(&mut self.below, |below, out| below.receive(from, message, out))
        {
            if !self.delivered.insert(message.clone()) {
                continue;
            }
            out.indicate(Deliver { from: message.0, message: message.1.clone() });
            if self.crashed.has(from) {
                self.below.broadcast(message, out);
            } else {
                self.from.insert((from, message));
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.crashed.add(pid);
        if self.process.lacks("relay of what came before") {
            return;
        }
        let relayed: Vec<_> = self.from.iter().filter(|(from, _)| *from == pid).cloned().collect();
        relayed.into_iter().for_each(|(_, message)| self.below.broadcast(message, out));
    }
}

impl Subject for ReliableLazy<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "reliable-lazy",
    family: Family::Broadcast,
    source: "Guerraoui's course, Regular Reliable Broadcast",
    says: "Each process delivers at once, and passes a message on if its sender is suspected. Where nothing fails it costs \
           what best effort costs.",
    buys: &[
        ("the detector is complete", "agreement: without it nobody passes on what a dead sender began"),
        (
            "only correct processes are promised anything",
            "one delay: a process may deliver and fail before others have it",
        ),
    ],
    uses: &["best-effort"],
    model: MODEL,
    asks: ONE,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT],
    states_max: 200_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |_| 1,
        unicast: |n| n - 1,
    }]),
    breaks: &[
        Break {
            name: "no-detector",
            says: "Nobody learns of the crash, so nobody passes on the message that one process has.",
            model: MODEL.detector(Detector::None),
            asks: None,
            dropped: None,
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "The sender delivers to itself and fails before anything leaves it.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "forgets-what-came-before",
            says: "What came before the suspicion is not passed on.",
            model: MODEL,
            asks: None,
            dropped: Some("relay of what came before"),
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
    ],
};
