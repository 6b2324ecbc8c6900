//! Perfect links over stubborn links (Guerraoui's course, "Reliable (Perfect) links").

use super::StubbornLinks;
use super::stubborn_links::MODEL;
use crate::property::{NO_CREATION, NO_DUPLICATION, RELIABLE_DELIVERY};
use crate::{
    Ask, Break, Card, Deliver, Failures, Family, Model, Out, Pid, Prices, Process, Protocol, Search, SendTo,
    Subject, Timer, Value, Word,
};
use std::collections::BTreeSet;

/// What arrives is delivered if it was not delivered before. No process sends the same message to another
/// process twice.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PerfectLinks<M: Word> {
    process: Process,
    below: StubbornLinks<M>,
    delivered: BTreeSet<(Pid, M)>,
}

impl<M: Word> PerfectLinks<M> {
    fn is_new(&mut self, from: Pid, message: &M) -> bool {
        if self.process.lacks("memory of what was delivered") {
            return true;
        }
        if self.process.lacks("memory of each message")
            && self.delivered.iter().any(|(sender, _)| *sender == from)
        {
            return false;
        }
        self.delivered.insert((from, message.clone()))
    }
}

impl<M: Word> Protocol for PerfectLinks<M> {
    type Request = SendTo<M>;
    type Indication = Deliver<M>;
    type Message = M;

    fn new(process: &Process) -> Self {
        Self { process: *process, below: StubbornLinks::new(process), delivered: BTreeSet::new() }
    }

    fn request(&mut self, request: SendTo<M>, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.request(request, out));
        debug_assert!(done.is_empty());
    }

    fn receive(&mut self, from: Pid, message: M, out: &mut Out<Self>) {
        for Deliver { from, message } in
            out.through(&mut self.below, |below, out| below.receive(from, message, out))
        {
            if self.is_new(from, &message) {
                out.indicate(Deliver { from, message });
            }
        }
    }

    fn timeout(&mut self, timer: Timer, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.timeout(timer, out));
        debug_assert!(done.is_empty());
    }
}

impl Subject for PerfectLinks<Value> {
    const CARD: &'static Card = &CARD;
}

const ONE: &[(Pid, Ask)] = &[(0, Ask::Send(1, Value(0)))];

static CARD: Card = Card {
    name: "perfect-links",
    family: Family::Links,
    source: "Guerraoui's course, Reliable (Perfect) links",
    says: "Stubborn links, and a receiver that remembers what it has delivered. The sender never stops and the memory \
           only grows: links of practice add acks and sequence numbers, so that both have an end.",
    buys: &[
        ("stubborn links", "delivery: any finite number of copies may be lost"),
        ("memory of what was delivered", "each message once: stubborn links deliver it for ever"),
        ("processes that stop for ever", "each message once: a process that comes back has lost its memory"),
    ],
    uses: &["stubborn-links"],
    model: MODEL,
    asks: &[
        (0, Ask::Send(1, Value(0))),
        (0, Ask::Send(1, Value(1))),
        (1, Ask::Send(0, Value(0))),
        (1, Ask::Send(1, Value(2))),
    ],
    properties: &[&RELIABLE_DELIVERY, &NO_DUPLICATION, &NO_CREATION],
    states_max: 100_000,
    whole: true,
    prices: Prices::None("the stubborn links below send each message again for ever"),
    breaks: &[
        Break {
            name: "no-memory",
            says: "The receiver does not remember what it has delivered, and the sender sends again.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("memory of what was delivered"),
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "finite-resends",
            says: "The sender gives up after two resends, and all copies are lost.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("resends without end"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "a-receiver-that-comes-back",
            says: "The receiver delivers, crashes and comes back without its memory. The sender sends again.",
            model: Model { failures: Failures::Recovery { crashes: 1, stable: false }, ..MODEL },
            asks: Some(ONE),
            dropped: None,
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "one-message-of-each-sender",
            says: "The receiver remembers from whom it has delivered, not what: the second message of a sender arrives \
                   for ever, and is never delivered.",
            model: MODEL,
            asks: Some(&[(0, Ask::Send(1, Value(0))), (0, Ask::Send(1, Value(1)))]),
            dropped: Some("memory of each message"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Breadth,
            steps_max: 12,
            planted: true,
        },
    ],
};
