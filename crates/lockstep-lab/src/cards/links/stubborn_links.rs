//! Stubborn links over fair-loss links (Guerraoui's course, "Stubborn links").

use crate::property::{NO_CREATION, NO_DUPLICATION, RELIABLE_DELIVERY, STUBBORN_DELIVERY};
use crate::{
    Ask, Break, Card, Deliver, ENDLESS, Family, Links, Model, Out, Pid, Prices, Process, Protocol, Search,
    SendTo, Subject, Time, Timer, Value, Word,
};
use std::collections::BTreeSet;

/// The timer after which everything is sent again.
pub(super) const RESEND: Timer = 0;
/// Its length, where the model has time.
const RESEND_TICKS: u64 = 2;
/// How often a link that gives up sends again.
const RESENDS_MAX: u8 = 2;

/// Each message that was ever sent is sent again, for ever.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StubbornLinks<M: Word> {
    process: Process,
    sent: BTreeSet<(Pid, M)>,
    /// Resends until the link gives up, which the algorithm never does.
    left: Option<u8>,
}

impl<M: Word> Protocol for StubbornLinks<M> {
    type Request = SendTo<M>;
    type Indication = Deliver<M>;
    type Message = M;

    fn new(process: &Process) -> Self {
        let left = process.lacks("resends without end").then_some(RESENDS_MAX);
        Self { process: *process, sent: BTreeSet::new(), left }
    }

    fn request(&mut self, SendTo(to, message): SendTo<M>, out: &mut Out<Self>) {
        if self.sent.is_empty() {
            out.after(RESEND, RESEND_TICKS);
        }
        if self.process.lacks("all that was sent") {
            self.sent.clear();
        }
        self.sent.insert((to, message.clone()));
        out.send(to, message);
    }

    fn receive(&mut self, from: Pid, message: M, out: &mut Out<Self>) {
        out.indicate(Deliver { from, message });
    }

    fn timeout(&mut self, _timer: Timer, out: &mut Out<Self>) {
        if self.left == Some(0) {
            return;
        }
        self.left.iter_mut().for_each(|left| *left -= 1);
        self.sent.iter().for_each(|(to, message)| out.send(*to, message.clone()));
        out.after(RESEND, RESEND_TICKS);
    }
}

impl Subject for StubbornLinks<Value> {
    const CARD: &'static Card = &CARD;
}

/// Two processes; any number of messages is lost, and one arrives twice.
pub(super) const MODEL: Model = Model {
    links: Links::FairLoss { losses: ENDLESS, duplicates: 1 },
    time: Time::Asynchronous { timeouts: ENDLESS },
    ..Model::PLAIN.of(2, 1).stop(1)
};
const TWO: &[(Pid, Ask)] = &[(0, Ask::Send(1, Value(0))), (0, Ask::Send(1, Value(1)))];

static CARD: Card = Card {
    name: "stubborn-links",
    family: Family::Links,
    source: "Guerraoui's course, Stubborn links",
    says: "The sender sends each of its messages again, for ever. A link with fair loss may lose any copy, and yet it \
           delivers some of infinitely many: so each message arrives again and again.",
    buys: &[
        ("fair loss", "delivery: a link that may lose all copies of a message delivers nothing"),
        ("the sender never stops", "delivery: any finite number of copies may be lost"),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO,
    properties: &[&STUBBORN_DELIVERY, &NO_CREATION],
    states_max: 100_000,
    whole: true,
    prices: Prices::None("each message is sent again for ever, so that its cost grows with time"),
    breaks: &[
        Break {
            name: "finite-resends",
            says: "The sender gives up after two resends, and all copies are lost.",
            model: MODEL,
            asks: Some(&[(0, Ask::Send(1, Value(0)))]),
            dropped: Some("resends without end"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "asked-for-once",
            says: "A message that has arrived is sent again, and is delivered again.",
            model: MODEL,
            asks: Some(&[(0, Ask::Send(1, Value(0)))]),
            dropped: None,
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "resends-the-last-alone",
            says: "The sender sends again what it sent last. The first of two messages is lost, and never comes again.",
            model: MODEL,
            asks: None,
            dropped: Some("all that was sent"),
            loses: &STUBBORN_DELIVERY,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
    ],
};
