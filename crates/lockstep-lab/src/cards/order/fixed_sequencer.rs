//! Total order by a fixed sequencer, where nothing fails (the properties of atomic broadcast: "one leader
//! which determines the order").

use crate::property::{GAPLESS_TOTAL_ORDER, NO_CREATION, NO_DUPLICATION, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Family, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Value, Word,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The process that stamps.
const SEQUENCER: Pid = 0;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum SequencerMessage<M> {
    /// To the sequencer.
    Submit(M),
    /// Of the sequencer: the place of a message in the order, and its sender.
    Stamped(u8, Pid, M),
}

/// Everybody submits to one process, which stamps and multicasts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FixedSequencer<M: Word> {
    process: Process,
    stamped: u8,
    delivered: u8,
    /// Behind a gap.
    buffered: BTreeMap<u8, (Pid, M)>,
}

impl<M: Word> Protocol for FixedSequencer<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = SequencerMessage<M>;

    fn new(process: &Process) -> Self {
        Self { process: *process, stamped: 0, delivered: 0, buffered: BTreeMap::new() }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        out.send(SEQUENCER, SequencerMessage::Submit(message));
    }

    fn receive(&mut self, from: Pid, message: SequencerMessage<M>, out: &mut Out<Self>) {
        match message {
            SequencerMessage::Submit(message) => {
                out.all(SequencerMessage::Stamped(self.stamped, from, message));
                self.stamped += 1;
            }
            SequencerMessage::Stamped(place, from, message) => {
                if self.process.lacks("gaps") {
                    out.indicate(Deliver { from, message });
                    return;
                }
                if self.process.lacks("late messages") {
                    self.buffered.clear();
                    self.delivered = self.delivered.max(place);
                }
                self.buffered.insert(place, (from, message));
                while let Some((from, message)) = self.buffered.remove(&self.delivered) {
                    self.delivered += 1;
                    out.indicate(Deliver { from, message });
                }
            }
        }
    }
}

impl Subject for FixedSequencer<Value> {
    const CARD: &'static Card = &CARD;
}

const ONE: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "fixed-sequencer",
    family: Family::Order,
    source: "the properties of atomic broadcast: one leader which determines the order",
    says: "Everybody submits to one process, which stamps each message with its place and multicasts it. Two delays and \
           two datagrams, and nothing is promised once the sequencer fails: the beginning of lockstep, which counts the \
           acks of its standbys for the rest.",
    buys: &[
        ("the sequencer does not fail", "everything: nobody else knows the next place"),
        ("receivers wait at a gap", "total order over links that reorder"),
    ],
    uses: &[],
    model: Model::PLAIN,
    asks: &[(1, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1))), (2, Ask::Broadcast(Value(2)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &UNIFORM_TOTAL_ORDER],
    states_max: 500_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 1, |_| 2, |_| 2],
        multicast: |_| 2,
        unicast: |n| n,
    }]),
    breaks: &[
        Break {
            name: "the-sequencer-dies",
            says: "A message that was submitted is stamped by nobody.",
            model: Model::PLAIN.stop(1),
            asks: Some(ONE),
            dropped: None,
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "no-gaps",
            says: "A receiver delivers what comes, whatever is missing before it.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("gaps"),
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 7,
            planted: true,
        },
        Break {
            name: "skips-a-gap",
            says: "A receiver passes over what is missing, and drops it when it comes late. Two receivers still deliver in one \
                   order all that both deliver: the weakest of the course's three definitions does not see it.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("late messages"),
            loses: &GAPLESS_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
    ],
};
