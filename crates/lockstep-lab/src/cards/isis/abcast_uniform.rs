//! ABCAST with a uniform order: the exercise of Birman and Joseph 1987, §3.2.

use super::{Abcast, AbcastMessage};
use crate::property::{NO_CREATION, NO_DUPLICATION, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Failures, Family, Links, Model, Out, Pid,
    Price, Prices, Process, Protocol, Search, Subject, Value, Word,
};

/// ABCAST with one more phase: a message is delivered once all that live have its final priority, and those
/// of all messages before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UniformAbcast<M: Word>(Abcast<M>);

impl<M: Word> Protocol for UniformAbcast<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = AbcastMessage<M>;

    fn new(process: &Process) -> Self {
        Self(Abcast::uniform(process))
    }

    fn request(&mut self, request: Broadcast<M>, out: &mut Out<Self>) {
        let done = out.through(&mut self.0, |below, out| below.request(request, out));
        done.into_iter().for_each(|delivery| out.indicate(delivery));
    }

    fn receive(&mut self, from: Pid, message: AbcastMessage<M>, out: &mut Out<Self>) {
        let done = out.through(&mut self.0, |below, out| below.receive(from, message, out));
        done.into_iter().for_each(|delivery| out.indicate(delivery));
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let done = out.through(&mut self.0, |below, out| below.detect(detection, out));
        done.into_iter().for_each(|delivery| out.indicate(delivery));
    }
}

impl Subject for UniformAbcast<Value> {
    const CARD: &'static Card = &CARD;
}

const fn model(crashes: u8, filter: bool) -> Model {
    let model = Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Perfect) };
    Model { failures: Failures::Stop { crashes, filter }, ..model }
}

const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "isis-abcast-uniform",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §3.2: the exercise",
    says: "The text asks for an ABCAST of which those that fail deliver in the order of all others, and says that it \
           takes one more phase. All confirm the final priority before anybody delivers. That alone is not enough: \
           a process may confirm only once all messages before it in its queue are final too.",
    buys: &[
        (
            "all that live have the final priority",
            "one order of any two messages, also at those that fail then",
        ),
        (
            "those of all messages before it too",
            "no gaps: else one that blocks here comes first once the process that put it behind has failed",
        ),
        ("the input filter", "progress, as of ABCAST"),
    ],
    uses: &["isis-abcast"],
    model: model(2, true),
    asks: TWO,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_AGREEMENT, &UNIFORM_TOTAL_ORDER],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        delays: [|_| 4, |_| 5, |_| 5],
        multicast: |n| 2 * n + 1,
        unicast: |n| 5 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "no-input-filter",
            says: "As of ABCAST: a late message of a dead process blocks all behind it.",
            model: model(1, false),
            asks: None,
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "confirms-at-once",
            says: "A process confirms a final priority while a message before it in its queue is still open.",
            model: model(2, true),
            asks: None,
            dropped: Some("head of the queue"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 12,
            planted: true,
        },
    ],
};
