//! Total order by a sequencer that is replaced when it fails (the properties of atomic broadcast: "one leader
//! which determines the order", and its replacement).

use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, TOTAL_ORDER, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Family, Links, Model, Out, Pid, Pids, Price,
    Prices, Process, Protocol, Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Messages in their order, each with its sender.
type Log<M> = Vec<(Pid, M)>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum TakeoverMessage<M> {
    /// To the sequencer.
    Submit(M),
    /// Of the sequencer: the next message of the order, and its sender.
    Stamped(Pid, M),
    /// To the successor: all that its sender has delivered.
    Log(Log<M>),
    /// Of the successor: the order up to now.
    Order(Log<M>),
}

/// The lowest process that is not suspected stamps. A successor first collects the logs of all that live.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SequencerTakeover<M: Word> {
    process: Process,
    suspected: Pids,
    /// The sequencer that this process follows; none between a suspicion and the order of the successor.
    sequencer: Option<Pid>,
    /// What was delivered.
    log: Log<M>,
    /// What this process broadcast and has not delivered.
    own: Vec<M>,
    /// The logs that came to this process as the successor.
    logs: BTreeMap<Pid, Log<M>>,
}

impl<M: Word> SequencerTakeover<M> {
    fn living(&self) -> Pids {
        self.process.all().without(self.suspected)
    }

    fn deliver(&mut self, from: Pid, message: M, out: &mut Out<Self>) {
        if self.log.contains(&(from, message.clone())) {
            return;
        }
        self.log.push((from, message.clone()));
        if from == self.process.me {
            self.own.retain(|own| *own != message);
        }
        out.indicate(Deliver { from, message });
    }

    /// Follows a sequencer, and submits to it what the one before it may not have stamped.
    fn follow(&mut self, sequencer: Pid, out: &mut Out<Self>) {
        self.sequencer = Some(sequencer);
        if !self.process.lacks("resubmission") {
            self.own.iter().for_each(|own| out.send(sequencer, TakeoverMessage::Submit(own.clone())));
        }
    }

    /// The successor begins once all that live have stopped to follow the dead one. All logs are beginnings
    /// of one order: the longest has them all.
    fn take_over(&mut self, out: &mut Out<Self>) {
        let is_complete = self.living().iter().all(|pid| self.logs.contains_key(&pid));
        if self.sequencer.is_none() && self.living().lowest() == Some(self.process.me) && is_complete {
            let longest = self.logs.values().max_by_key(|log| log.len()).cloned();
            out.all(TakeoverMessage::Order(longest.unwrap_or_default()));
        }
    }
}

impl<M: Word> Protocol for SequencerTakeover<M> {
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = TakeoverMessage<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            sequencer: Some(0),
            log: Log::new(),
            own: Vec::new(),
            logs: BTreeMap::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.own.push(message.clone());
        if let Some(sequencer) = self.sequencer {
            out.send(sequencer, TakeoverMessage::Submit(message));
        }
    }

    fn receive(&mut self, from: Pid, message: TakeoverMessage<M>, out: &mut Out<Self>) {
        if self.suspected.has(from) && !self.process.lacks("filter") {
            return;
        }
        match message {
            TakeoverMessage::Submit(message) => out.all(TakeoverMessage::Stamped(from, message)),
            TakeoverMessage::Stamped(sender, message) => self.deliver(sender, message, out),
            TakeoverMessage::Log(log) => {
                self.logs.insert(from, log);
                self.take_over(out);
            }
            TakeoverMessage::Order(log) => {
                log.into_iter().for_each(|(sender, message)| self.deliver(sender, message, out));
                self.follow(from, out);
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.suspected.add(pid);
        if self.sequencer.is_none_or(|sequencer| sequencer == pid) {
            self.sequencer = None;
            let Some(successor) = self.living().lowest() else { return };
            if self.process.lacks("logs") {
                self.follow(successor, out);
            } else {
                out.send(successor, TakeoverMessage::Log(self.log.clone()));
            }
        }
    }
}

impl Subject for SequencerTakeover<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model { links: Links::Fifo, ..Model::PLAIN.detector(Detector::Perfect).stop(2) };
const TWO: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1)))];
const THREE: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(2))), (1, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "sequencer-takeover",
    family: Family::Order,
    source: "the properties of atomic broadcast: one leader which determines the order, and its replacement",
    says: "When the sequencer fails, each process stops to follow it and sends what it has delivered to the lowest that \
           lives. That one waits for all of them, sends the longest log to all, and stamps from there on. It costs \
           what the fixed sequencer costs; what the dead sequencer alone had delivered may be ordered otherwise.",
    buys: &[
        (
            "the logs of all that live",
            "total order: the successor stamps nothing where one has something else",
        ),
        ("the detector is accurate", "one sequencer: nobody goes on with the old one"),
        ("senders submit once more", "validity: what the dead one had not stamped"),
    ],
    uses: &["fixed-sequencer"],
    model: MODEL,
    asks: THREE,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &TOTAL_ORDER],
    states_max: 400_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(1, Ask::Broadcast(Value(0)))],
        delays: [|_| 1, |_| 2, |_| 2],
        multicast: |_| 2,
        unicast: |n| n,
    }]),
    breaks: &[
        Break {
            name: "naive-successor",
            says: "The successor stamps at once. The dead sequencer's last message has reached another process, and not it.",
            model: MODEL,
            asks: Some(TWO),
            dropped: Some("logs"),
            loses: &TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "no-resubmission",
            says: "Nobody submits once more what the dead sequencer had not stamped: a delivery is lost.",
            model: MODEL,
            asks: Some(TWO),
            dropped: Some("resubmission"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 5,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "A sequencer that is suspected wrongly goes on alone.",
            model: Model {
                links: Links::Fifo,
                ..Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 2 })
            },
            asks: Some(TWO),
            dropped: None,
            loses: &TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 17,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "The sequencer delivers alone and fails: the fault that lockstep's acks of its standbys repair.",
            model: MODEL,
            asks: Some(TWO),
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 7,
            planted: false,
        },
        Break {
            name: "follows-the-dead",
            says: "A process that has sent its log still delivers what the dead sequencer had stamped.",
            model: MODEL,
            asks: Some(TWO),
            dropped: Some("filter"),
            loses: &TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
