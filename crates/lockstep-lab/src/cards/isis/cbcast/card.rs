//! The card of CBCAST.

use crate::property::{AGREEMENT, CAUSAL_ORDER, FIFO_ORDER, NO_CREATION, NO_DUPLICATION, VALIDITY};
use crate::{Ask, Break, Card, Family, Links, Model, Pid, Prices, Search, Time, Value};

/// Of timers without an end.
const TIME: Time = Time::Asynchronous { timeouts: u8::MAX };
const MODEL: Model = Model { links: Links::Fifo, time: TIME, ..Model::PLAIN.stop(1) };
const THREE: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(2))), (1, Ask::Broadcast(Value(1)))];

pub(super) static CARD: Card = Card {
    name: "isis-cbcast",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §3.3 and §4.3.2",
    says: "A process delivers its own message at once, and sends it whenever it likes. A packet to a process has all \
           that precedes its messages and may not have arrived everywhere, also what is for others: a message may \
           travel over processes that it is not for. No process waits, no detector is needed, and receivers pass on \
           what a dead sender began.",
    buys: &[
        ("copies of what precedes", "causal order without waiting, over any path"),
        ("each receiver sends on to those that may lack it", "agreement after the failure of the sender"),
        ("FIFO links", "causal order: what was sent to a process is not sent to it again"),
        (
            "clabels",
            "less order where an application needs less: what they do not compare may come in any order",
        ),
    ],
    uses: &[],
    model: MODEL,
    asks: THREE,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &FIFO_ORDER, &CAUSAL_ORDER],
    states_max: 300_000,
    whole: true,
    prices: Prices::None(
        "a packet leaves when its sender likes, so that its delay is the sender's choice; isis-gbcast has the price of \
         a CBCAST that leaves at once",
    ),
    breaks: &[
        Break {
            name: "no-piggybacking",
            says: "A packet has the messages of its sender alone: a reply overtakes what it replies to.",
            model: MODEL,
            asks: None,
            dropped: Some("messages of others"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "only-what-is-for-the-receiver",
            says: "A packet has nothing for third processes. p1 sends a to p3 and b to p2, which then sends c to p3: \
                   c comes before a.",
            model: MODEL,
            asks: Some(&[
                (0, Ask::Send(2, Value(0))),
                (0, Ask::Send(1, Value(1))),
                (1, Ask::Send(2, Value(2))),
            ]),
            dropped: Some("messages on their way"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 7,
            planted: true,
        },
        Break {
            name: "clabels-that-compare-nothing",
            says: "Where no two clabels compare, nothing precedes anything.",
            model: MODEL,
            asks: Some(&[(2, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))]),
            dropped: Some("clabels"),
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "links-that-reorder",
            says: "The second packet to a process overtakes the first, which is not sent again.",
            model: Model { time: TIME, ..Model::PLAIN },
            asks: Some(&[(0, Ask::Broadcast(Value(0))), (0, Ask::Broadcast(Value(1)))]),
            dropped: None,
            loses: &CAUSAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "no-forwarding",
            says: "A receiver does not send on what other destinations may lack.",
            model: MODEL,
            asks: Some(&[(0, Ask::Broadcast(Value(0)))]),
            dropped: Some("forwarding"),
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
    ],
};
