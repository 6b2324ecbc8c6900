//! Total order by a token that goes round a ring: a sequencer that moves (Chang and Maxemchuk 1984).

use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A message by its sender, and its number among those of that sender.
type Name = (Pid, u8);

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum TokenMessage<M> {
    /// A broadcast value, with its number.
    Data(u8, M),
    /// The message that has this place. It passes the token to the next process of the ring.
    Stamp(u8, Name),
}

/// The process that has the token stamps one message, which passes the token on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TokenRingOrder<M: Word> {
    process: Process,
    /// How many this process broadcast.
    broadcast: u8,
    data: BTreeMap<Name, M>,
    /// By place.
    stamps: BTreeMap<u8, Name>,
    delivered: u8,
}

impl<M: Word> TokenRingOrder<M> {
    fn deliver(&mut self, out: &mut Out<Self>) {
        while let Some(name) = self.stamps.get(&self.delivered) {
            let Some(message) = self.data.get(name) else { return };
            out.indicate(Deliver { from: name.0, message: message.clone() });
            self.delivered += 1;
        }
    }

    /// The place that comes next, as far as this process knows. The token is accepted by a process that has
    /// delivered all places before it.
    fn next(&self) -> u8 {
        if self.process.lacks("all before the token") {
            self.stamps.last_key_value().map_or(0, |(place, _)| place + 1)
        } else {
            self.delivered
        }
    }

    /// Stamps a message that has no place, if this process has the token.
    fn stamp(&mut self, out: &mut Out<Self>) {
        let place = self.next();
        if place % self.process.n != self.process.me {
            return;
        }
        let is_stamped = |name: &Name| self.stamps.values().any(|stamped| stamped == name);
        if let Some(name) = self.data.keys().find(|name| !is_stamped(name)) {
            out.all(TokenMessage::Stamp(place, *name));
        }
    }
}

impl<M: Word> Protocol for TokenRingOrder<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = TokenMessage<M>;

    fn new(process: &Process) -> Self {
        Self { process: *process, broadcast: 0, data: BTreeMap::new(), stamps: BTreeMap::new(), delivered: 0 }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        out.all(TokenMessage::Data(self.broadcast, message));
        self.broadcast += 1;
    }

    fn receive(&mut self, from: Pid, message: TokenMessage<M>, out: &mut Out<Self>) {
        match message {
            TokenMessage::Data(number, message) => drop(self.data.insert((from, number), message)),
            TokenMessage::Stamp(place, name) => drop(self.stamps.insert(place, name)),
        }
        self.deliver(out);
        self.stamp(out);
    }
}

impl Subject for TokenRingOrder<Value> {
    const CARD: &'static Card = &CARD;
}

const ONE: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "token-ring-order",
    family: Family::Order,
    source: "Chang and Maxemchuk 1984, without its failures",
    says: "Everybody multicasts its messages. The process that has the token stamps one of them and so passes the token \
           to the next of the ring, which accepts it once it has all that was stamped before. The load goes round; \
           a process that fails takes the token with it.",
    buys: &[
        ("nobody fails", "progress: the token is at one process"),
        ("a process accepts the token with all that was stamped", "one place for each message"),
    ],
    uses: &[],
    model: Model::PLAIN,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1))), (2, Ask::Broadcast(Value(2)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_TOTAL_ORDER],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 1, |_| 2, |_| 2],
        multicast: |_| 2,
        unicast: |n| 2 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "the-token-is-lost",
            says: "The process that has the token fails, and nobody stamps any more.",
            model: Model::PLAIN.stop(1),
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "accepts-with-gaps",
            says: "A process accepts the token before it has all that was stamped, and stamps a message again.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("all before the token"),
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 7,
            planted: true,
        },
    ],
};
