//! A perfect failure detector out of terminating reliable broadcasts (Guerraoui's course, "A perfect failure
//! detector is necessary to implement Terminating Reliable Broadcast").

use super::terminating_reliable::{OrFailed, TRB_DOUBT, TRB_MODEL, TerminatingMessage, TerminatingReliable};
use crate::cards::consensus::Hierarchical;
use crate::property::{STRONG_ACCURACY, STRONG_COMPLETENESS};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Fact, Family, Out, Pid, Pids, Prices, Process, Protocol,
    Search, Subject, Value,
};
use std::collections::{BTreeMap, BTreeSet};

type Trb = TerminatingReliable<Value, Hierarchical<OrFailed<Value>>>;
/// A broadcast: its sender, and its number among those of that sender.
type Instance = (Pid, u8);

/// Each process broadcasts again and again; a process that delivers that a sender has failed suspects it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PerfectFromTrb {
    process: Process,
    /// The broadcasts that have begun here.
    instances: BTreeMap<Instance, Trb>,
    /// The broadcasts that have ended here. The next one of a sender is open.
    ended: BTreeSet<Instance>,
    /// What the detector below the broadcasts suspects. Only they see it.
    below: Pids,
    /// What this detector suspects.
    suspected: Pids,
}

impl PerfectFromTrb {
    /// Calls a broadcast, which begins now if it has not.
    fn with_instance(
        &mut self,
        instance: Instance,
        out: &mut Out<Self>,
        call: impl FnOnce(&mut Trb, &mut Out<Trb>),
    ) {
        let wrap = |message| (instance, message);
        let (process, below) = (self.process, self.below);
        let mut deliveries = Vec::new();
        let trb = self.instances.entry(instance).or_insert_with(|| {
            let mut trb = Trb::of_sender(&process, instance.0);
            for pid in below.iter() {
                let suspects = |trb: &mut Trb, out: &mut _| trb.detect(Detection::Suspect(pid), out);
                deliveries.extend(out.below(&mut trb, wrap, suspects));
            }
            trb
        });
        deliveries.extend(out.below(trb, wrap, call));
        for Deliver { message, .. } in deliveries {
            self.on_delivery(instance, message, out);
        }
    }

    fn on_delivery(&mut self, instance: Instance, message: OrFailed<Value>, out: &mut Out<Self>) {
        self.ended.insert(instance);
        if message.is_none() && self.suspected.add(instance.0) {
            out.indicate(Fact::Suspect(instance.0));
        }
        self.open_next(instance.0, out);
    }

    /// The first broadcast of a sender that has not ended here.
    fn next(&self, sender: Pid) -> Instance {
        let mut all = (0..=u8::MAX).map(|number| (sender, number));
        all.find(|instance| !self.ended.contains(instance)).unwrap_or((sender, u8::MAX))
    }

    /// The next broadcast of a sender is open at any time: if the sender has died, it begins and learns of
    /// that.
    fn open_next(&mut self, sender: Pid, out: &mut Out<Self>) {
        let next = self.next(sender);
        let is_open = next.1 == 0 || !self.process.lacks("next broadcast");
        if self.below.has(sender) && !self.suspected.has(sender) && is_open {
            self.with_instance(next, out, |_, _| {});
        }
    }
}

impl Protocol for PerfectFromTrb {
    type Request = Ask;
    type Indication = Fact;
    type Message = (Instance, TerminatingMessage<Value, OrFailed<Value>>);

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            instances: BTreeMap::new(),
            ended: BTreeSet::new(),
            below: Pids::default(),
            suspected: Pids::default(),
        }
    }

    fn request(&mut self, ask: Ask, out: &mut Out<Self>) {
        if let Ask::Broadcast(value) = ask {
            // Those that it has begun come before it.
            let number = self.instances.keys().filter(|(sender, _)| *sender == self.process.me).count();
            let instance = (self.process.me, number as u8);
            self.with_instance(instance, out, |trb, out| trb.request(Broadcast(value), out));
        }
    }

    fn receive(&mut self, from: Pid, (instance, message): Self::Message, out: &mut Out<Self>) {
        self.with_instance(instance, out, |trb, out| trb.receive(from, message, out));
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let begun: Vec<_> = self.instances.keys().copied().collect();
        // Before all else, as a broadcast that begins now must know of it too.
        self.below.follow(detection);
        for instance in begun {
            self.with_instance(instance, out, |trb, out| trb.detect(detection, out));
        }
        if let Detection::Suspect(pid) = detection {
            self.open_next(pid, out);
        }
    }
}

impl Subject for PerfectFromTrb {
    const CARD: &'static Card = &CARD;
}

static CARD: Card = Card {
    name: "perfect-from-trb",
    family: Family::Agreement,
    source: "Guerraoui's course, A perfect failure detector is necessary to implement Terminating Reliable Broadcast",
    says: "Each process broadcasts again and again with terminating reliable broadcast, and suspects a sender once it \
           delivers that it has failed. So no weaker detector is enough for that broadcast. p2 broadcasts twice, any two \
           crash; the next broadcast of each sender is always open, as in a sequence without an end.",
    buys: &[
        (
            "validity and integrity of the broadcast",
            "accuracy: of a correct sender nobody delivers that it has failed",
        ),
        ("termination of the broadcast", "completeness: of a dead sender something is delivered"),
        ("an endless sequence", "completeness: a sender may crash after any one of its broadcasts"),
    ],
    uses: &["terminating-reliable"],
    model: TRB_MODEL,
    asks: &[(1, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))],
    properties: &[&STRONG_COMPLETENESS, &STRONG_ACCURACY],
    states_max: 1_000_000,
    whole: true,
    prices: Prices::None(
        "it has no answer to a request: each broadcast of its sequence costs what terminating-reliable costs",
    ),
    breaks: &[
        Break {
            name: "over-wrong-suspicions",
            says: "The broadcast is made with a detector that errs: a living sender is said to have failed.",
            model: TRB_DOUBT,
            asks: None,
            dropped: None,
            loses: &STRONG_ACCURACY,
            search: Search::Breadth,
            steps_max: 1,
            planted: false,
        },
        Break {
            name: "one-broadcast-only",
            says: "A process broadcasts once, and nobody notices that it crashes after that.",
            model: TRB_MODEL,
            asks: None,
            dropped: Some("next broadcast"),
            loses: &STRONG_COMPLETENESS,
            search: Search::Breadth,
            steps_max: 6,
            planted: true,
        },
    ],
};
