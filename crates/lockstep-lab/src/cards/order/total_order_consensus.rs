//! Total order out of consensus and reliable broadcast (Guerraoui's course, "Total Order Broadcast"; Chandra
//! and Toueg 1996, §7).

use crate::cards::broadcast::ReliableLazy;
use crate::cards::consensus::Hierarchical;
use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, TOTAL_ORDER, UNIFORM_TOTAL_ORDER, VALIDITY};
use crate::{
    Ask, Break, Broadcast, Card, Decide, Deliver, Detection, Detector, Family, Model, Out, Pid, Pids, Price,
    Prices, Process, Propose, Protocol, Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Messages that one instance of consensus decides on, each with its sender.
pub(super) type Batch<M> = BTreeSet<(Pid, M)>;

/// A message of one of the modules below.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum BatchMessage<M, C> {
    /// Of the broadcast.
    Data((Pid, M)),
    /// Of the instance of consensus with this number.
    Batch(u8, C),
}

/// Messages are broadcast reliably; one instance of consensus after the other decides which come next.
/// The order is as strong as the consensus `C`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TotalOrderConsensus<M: Word, C = Hierarchical<Batch<M>>> {
    process: Process,
    broadcast: ReliableLazy<M>,
    instances: BTreeMap<u8, C>,
    suspected: Pids,
    unordered: Batch<M>,
    delivered: Batch<M>,
    /// The instance whose decision comes next, and whether this process has proposed in it.
    next: u8,
    has_proposed: bool,
    /// Decisions, some of which may have to wait for earlier ones.
    decided: BTreeMap<u8, Batch<M>>,
}

impl<M, C> TotalOrderConsensus<M, C>
where
    M: Word,
    C: Protocol<Request = Propose<Batch<M>>, Indication = Decide<Batch<M>>>,
{
    /// Calls an instance of consensus. A new one learns first of those that are suspected.
    fn instance(&mut self, number: u8, call: impl FnOnce(&mut C, &mut Out<C>), out: &mut Out<Self>) {
        let is_new = !self.instances.contains_key(&number);
        let (process, suspected) = (self.process, self.suspected);
        let instance = self.instances.entry(number).or_insert_with(|| C::new(&process));
        let wrap = |message| BatchMessage::Batch(number, message);
        let done = out.below(instance, wrap, |instance, out| {
            let known = if is_new { suspected } else { Pids::default() };
            known.iter().for_each(|pid| instance.detect(Detection::Suspect(pid), out));
            call(instance, out);
        });
        self.decided.extend(done.into_iter().map(|Decide(batch)| (number, batch)));
    }

    fn on_broadcast(&mut self, deliveries: Vec<Deliver<M>>) {
        for Deliver { from, message } in deliveries {
            if !self.delivered.contains(&(from, message.clone())) {
                self.unordered.insert((from, message));
            }
        }
    }

    /// Delivers what is decided, and proposes what is not ordered yet.
    fn go_on(&mut self, out: &mut Out<Self>) {
        loop {
            let first = self.decided.keys().next().copied();
            let next = first.filter(|_| self.process.lacks("decisions in order")).unwrap_or(self.next);
            if let Some(batch) = self.decided.remove(&next) {
                self.deliver(batch, out);
                self.next += 1;
                self.has_proposed = false;
            } else if !self.unordered.is_empty() && !self.has_proposed {
                self.has_proposed = true;
                let batch = self.unordered.clone();
                self.instance(self.next, |instance, out| instance.request(Propose(batch), out), out);
            } else {
                return;
            }
        }
    }

    /// Delivers a batch in the order of senders and messages.
    fn deliver(&mut self, batch: Batch<M>, out: &mut Out<Self>) {
        for (from, message) in batch {
            self.unordered.remove(&(from, message.clone()));
            if self.delivered.insert((from, message.clone())) {
                out.indicate(Deliver { from, message });
            }
        }
    }
}

impl<M, C> Protocol for TotalOrderConsensus<M, C>
where
    M: Word,
    C: Protocol<Request = Propose<Batch<M>>, Indication = Decide<Batch<M>>>,
{
    type Request = Broadcast<M>;
    type Indication = Deliver<M>;
    type Message = BatchMessage<M, C::Message>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            broadcast: ReliableLazy::new(process),
            instances: BTreeMap::new(),
            suspected: Pids::default(),
            unordered: Batch::new(),
            delivered: Batch::new(),
            next: 0,
            has_proposed: false,
            decided: BTreeMap::new(),
        }
    }

    fn request(&mut self, request: Broadcast<M>, out: &mut Out<Self>) {
        let below = &mut self.broadcast;
        let done = out.below(below, BatchMessage::Data, |below, out| below.request(request, out));
        self.on_broadcast(done);
        self.go_on(out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        match message {
            BatchMessage::Data(data) => {
                let below = &mut self.broadcast;
                let done = out.below(below, BatchMessage::Data, |below, out| below.receive(from, data, out));
                self.on_broadcast(done);
            }
            BatchMessage::Batch(number, message) => {
                self.instance(number, |instance, out| instance.receive(from, message, out), out);
            }
        }
        self.go_on(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        let below = &mut self.broadcast;
        let done = out.below(below, BatchMessage::Data, |below, out| below.detect(detection, out));
        self.on_broadcast(done);
        let numbers: Vec<u8> = self.instances.keys().copied().collect();
        for number in numbers {
            self.instance(number, |instance, out| instance.detect(detection, out), out);
        }
        self.suspected.add(pid);
        self.go_on(out);
    }
}

impl Subject for TotalOrderConsensus<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(1);
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "total-order-consensus",
    family: Family::Order,
    source: "Guerraoui's course, Total Order Broadcast; Chandra and Toueg 1996",
    says: "Messages are broadcast without an order; instances of consensus, one after the other, decide which batch comes \
           next, and a batch is sorted. Total order needs no more than consensus and a reliable broadcast.",
    buys: &[
        ("agreement of consensus", "the order of batches"),
        ("agreement of the broadcast", "termination: a message that one process proposes is proposed by all"),
        ("one order in a batch", "the order of messages that are decided together"),
    ],
    uses: &["reliable-lazy", "hierarchical"],
    model: MODEL,
    asks: TWO,
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT, &TOTAL_ORDER],
    states_max: 600_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: &[(0, Ask::Broadcast(Value(0)))],
        // Each process waits for the decisions of those before it.
        delays: [|_| 0, |n| n / 2, |n| n - 1],
        multicast: |n| n + 1,
        unicast: |n| (n + 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "wrong-suspicions",
            says: "Consensus passes over a living process, and two processes decide on different batches.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 }),
            asks: None,
            dropped: None,
            loses: &TOTAL_ORDER,
            search: Search::Walks(2_000_000),
            steps_max: 22,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "A process decides and delivers alone, and fails before anybody hears of it.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &UNIFORM_TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "decisions-as-they-come",
            says: "A process delivers what an instance decided before an earlier one has.",
            model: Model::PLAIN,
            asks: None,
            dropped: Some("decisions in order"),
            loses: &TOTAL_ORDER,
            search: Search::Breadth,
            steps_max: 18,
            planted: true,
        },
    ],
};
