//! Regular register: read one, write all (Guerraoui's course, "Regular register").

use super::{READ, TWO_READERS, WRITE_PRICE};
use crate::property::{LINEARIZABLE, REGISTER_TERMINATION, REGULAR};
use crate::{
    Ask, Break, Card, Detection, Detector, Fact, Family, Model, Out, Pid, Pids, Price, Prices, Process,
    Protocol, Search, Subject, Value,
};
use serde::Serialize;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ReadOneMessage {
    /// Of the writer.
    Write(Value),
    /// The receiver has the value.
    Ack,
}

/// Each process has a copy. A write is over when every process that is not suspected has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RegularReadOne {
    process: Process,
    value: Value,
    correct: Pids,
    acks: Pids,
    is_writing: bool,
}

impl RegularReadOne {
    fn end_write(&mut self, out: &mut Out<Self>) {
        let waits = !self.process.lacks("waiting for all");
        if self.is_writing && (self.correct.is_within(self.acks) || !waits) {
            self.is_writing = false;
            out.indicate(Fact::Written);
        }
    }
}

impl Protocol for RegularReadOne {
    type Request = Ask;
    type Indication = Fact;
    type Message = ReadOneMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            value: Value(0),
            correct: process.all(),
            acks: Pids::default(),
            is_writing: false,
        }
    }

    fn request(&mut self, request: Ask, out: &mut Out<Self>) {
        match request {
            Ask::Read => out.indicate(Fact::Returned(self.value)),
            Ask::Write(value) => {
                (self.is_writing, self.acks) = (true, Pids::default());
                out.all(ReadOneMessage::Write(value));
            }
            _ => {}
        }
    }

    fn receive(&mut self, from: Pid, message: ReadOneMessage, out: &mut Out<Self>) {
        match message {
            ReadOneMessage::Write(value) => {
                self.value = value;
                out.send(from, ReadOneMessage::Ack);
            }
            ReadOneMessage::Ack => {
                self.acks.add(from);
                self.end_write(out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection {
            self.correct.remove(pid);
            self.end_write(out);
        }
    }
}

impl Subject for RegularReadOne {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);

static CARD: Card = Card {
    name: "regular-read-one",
    family: Family::Registers,
    source: "Guerraoui's course, Regular register",
    says: "The writer sends its value to all and waits for all that are not suspected; a reader returns its own copy. A read \
           costs nothing, and any number of processes may fail.",
    buys: &[
        (
            "the detector is accurate",
            "regularity: a correct process that is not waited for returns an old value",
        ),
        ("the detector is complete", "termination: a write waits for a dead process"),
        ("one writer", "an order of the writes"),
    ],
    uses: &[],
    model: MODEL,
    asks: TWO_READERS,
    properties: &[&REGULAR, &REGISTER_TERMINATION],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[WRITE_PRICE, Price::of_one(READ, |_| 0, |_| 0, |_| 0)]),
    breaks: &[
        Break {
            name: "asked-for-atomic",
            says: "One reader has the new value and returns it; another one returns the old value after that.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &LINEARIZABLE,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "The writer does not wait for a correct process, which returns the old value.",
            model: MODEL.detector(Detector::EventuallyPerfect { mistakes: 2 }),
            asks: None,
            dropped: None,
            loses: &REGULAR,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-detector",
            says: "Nobody learns of the crash, and the write waits for ever.",
            model: MODEL.detector(Detector::None),
            asks: None,
            dropped: None,
            loses: &REGISTER_TERMINATION,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "returns-at-the-first-ack",
            says: "The writer returns when one process has the value: itself.",
            model: MODEL,
            asks: None,
            dropped: Some("waiting for all"),
            loses: &REGULAR,
            search: Search::Breadth,
            steps_max: 2,
            planted: true,
        },
    ],
};
