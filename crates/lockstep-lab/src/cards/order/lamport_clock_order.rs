//! Total order by logical clocks, where each process waits for all (Lamport 1978).

use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Links, Model, Out, Pid, Price, Prices, Process, Protocol,
    Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A reading of a clock.
type Stamp = u8;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ClockMessage<M> {
    /// A broadcast value, with the clock of its sender.
    Data(Stamp, M),
    /// The clock of a process that has received something.
    Ack(Stamp),
}

/// The order is that of stamps and then of senders. The first message is delivered once nothing can come any
/// more that is before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LamportClockOrder<M: Word> {
    process: Process,
    clock: Stamp,
    /// The last stamp of each process.
    latest: Vec<Stamp>,
    waiting: BTreeMap<(Stamp, Pid), M>,
}

impl<M: Word> LamportClockOrder<M> {
    /// Whether nothing with this stamp or a lower one can come any more: what each process broadcasts
    /// from now on is stamped higher than what it sent last.
    fn is_passed(&self, stamp: Stamp) -> bool {
        let needed = if self.process.lacks("waiting") {
            0
        } else if self.process.lacks("answer of all") {
            self.process.majority()
        } else {
            self.latest.len()
        };
        self.latest.iter().filter(|latest| **latest >= stamp).count() >= needed
    }

    fn deliver(&mut self, out: &mut Out<Self>) {
        while let Some((&(stamp, from), _)) =
            self.waiting.first_key_value().filter(|((stamp, _), _)| self.is_passed(*stamp))
        {
            if let Some(message) = self.waiting.remove(&(stamp, from)) {
                out.indicate(Deliver { from, message });
            }
        }
    }
}

impl<M: Word> Protocol for LamportClockOrder<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = ClockMessage<M>;

    fn new(process: &Process) -> Self {
        let latest = vec![0; usize::from(process.n)];
        Self { process: *process, clock: 0, latest, waiting: BTreeMap::new() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.clock += 1;
        out.all(ClockMessage::Data(self.clock, message));
    }

    fn receive(&mut self, from: Pid, message: ClockMessage<M>, out: &mut Out<Self>) {
        let (ClockMessage::Data(stamp, _) | ClockMessage::Ack(stamp)) = message;
        self.latest[usize::from(from)] = stamp;
        if !self.process.lacks("clock of receipts") {
            self.clock = self.clock.max(stamp);
        }
        if let ClockMessage::Data(stamp, message) = message {
            self.waiting.insert((stamp, from), message);
            // The sender's own message says that its clock has come so far.
            if from != self.process.me {
                out.all(ClockMessage::Ack(self.clock));
            }
        }
        self.deliver(out);
    }
}

impl Subject for LamportClockOrder<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN };
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "lamport-clock-order",
    family: Family::Order,
    source: "Lamport 1978",
    says: "Each message has the clock of its sender, and a clock is put forward by what is received. Everybody acks to \
           all, and delivers the lowest message once each process has sent something as high. There is no leader; \
           every process is needed for every message, so that one crash stops all.",
    buys: &[
        ("every process answers", "progress: a process that is silent may still send something lower"),
        ("FIFO links", "total order: else a lower message comes behind an ack that is higher"),
        ("the clock follows what is received", "progress: an ack of a clock that lags says nothing"),
    ],
    uses: &[],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1))), (1, Ask::Broadcast(Value(2)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_TOTAL_ORDER],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 2, |_| 2, |_| 2],
        multicast: |n| n,
        unicast: |n| n * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "one-crash-stops-all",
            says: "A process fails before it has answered: all others wait for it for ever.",
            model: Model { links: Links::Fifo, ..Model::PLAIN.stop(1) },
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "no-waiting",
            says: "A process delivers what has come, in the order of stamps, and does not wait for the others.",
            model: MODEL,
            asks: None,
            dropped: Some("waiting"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "links-that-reorder",
            says: "An ack overtakes a message of its sender that is stamped lower.",
            model: Model::PLAIN,
            asks: None,
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "a-clock-that-lags",
            says: "The clock counts what its process sends, and is not put forward by what it receives.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("clock of receipts"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 7,
            planted: true,
        },
        Break {
            name: "a-majority-answers",
            says: "A process waits for more than half of the others: the last of them has a message that is lower.",
            model: MODEL,
            asks: None,
            dropped: Some("answer of all"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
