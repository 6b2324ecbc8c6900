//! A protocol for perfect links, on links with fair loss: reliable broadcast, for example.

use super::PerfectLinks;
use super::stubborn_links::{MODEL as LINKS, RESEND};
use crate::cards::broadcast::ReliableEager;
use crate::property::{AGREEMENT, NO_CREATION, NO_DUPLICATION, VALIDITY};
use crate::{
    Ask, Break, Card, Deliver, Detection, Family, Model, Out, Pid, Prices, Process, Protocol, Search, SendTo,
    Subject, Timer, Value,
};

/// `above`, with perfect links below it. It must not send the same message to a process twice, as those links
/// deliver it once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OverFairLoss<P: Protocol> {
    process: Process,
    above: P,
    links: PerfectLinks<P::Message>,
}

impl<P: Protocol> OverFairLoss<P> {
    /// A handler of the protocol above. What it sends is sent over the links below.
    fn call(&mut self, out: &mut Out<Self>, call: impl FnOnce(&mut P, &mut Out<P>)) {
        for (to, message) in out.above(&mut self.above, self.process.all(), RESEND + 1, call) {
            if self.process.lacks("links") {
                out.send(to, message);
                continue;
            }
            let done = out.through(&mut self.links, |links, out| links.request(SendTo(to, message), out));
            debug_assert!(done.is_empty());
        }
    }
}

impl<P: Protocol> Protocol for OverFairLoss<P> {
    type Request = P::Request;
    type Indication = P::Indication;
    type Message = P::Message;

    fn new(process: &Process) -> Self {
        Self { process: *process, above: P::new(process), links: PerfectLinks::new(process) }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        self.call(out, |above, out| above.start(out));
    }

    fn request(&mut self, request: P::Request, out: &mut Out<Self>) {
        self.call(out, |above, out| above.request(request, out));
    }

    fn receive(&mut self, from: Pid, message: P::Message, out: &mut Out<Self>) {
        for Deliver { from, message } in
            out.through(&mut self.links, |links, out| links.receive(from, message, out))
        {
            self.call(out, |above, out| above.receive(from, message, out));
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        self.call(out, |above, out| above.detect(detection, out));
    }

    fn timeout(&mut self, timer: Timer, out: &mut Out<Self>) {
        if timer > RESEND {
            self.call(out, |above, out| above.timeout(timer - RESEND - 1, out));
            return;
        }
        let done = out.through(&mut self.links, |links, out| links.timeout(timer, out));
        debug_assert!(done.is_empty());
    }
}

impl Subject for OverFairLoss<ReliableEager<Value>> {
    const CARD: &'static Card = &CARD;
}

/// Of three processes two fail.
const MODEL: Model = Model { links: LINKS.links, time: LINKS.time, ..Model::PLAIN.stop(2) };

static CARD: Card = Card {
    name: "reliable-over-fair-loss",
    family: Family::Links,
    source: "Guerraoui's course, Reliable (Perfect) links; Cachin, Guerraoui, Rodrigues, algorithm 3.3",
    says: "Eager reliable broadcast on perfect links on stubborn links on links with fair loss. Each layer is the module of \
           its own card: the broadcast does not know that messages are lost.",
    buys: &[
        ("perfect links", "agreement and validity: a lost copy is never sent again by the broadcast itself"),
        ("every process passes on", "agreement: a sender that fails sends nothing again"),
    ],
    uses: &["perfect-links", "reliable-eager"],
    model: MODEL,
    asks: &[(0, Ask::Broadcast(Value(0)))],
    properties: &[&VALIDITY, &NO_DUPLICATION, &NO_CREATION, &AGREEMENT],
    states_max: 200_000,
    whole: true,
    prices: Prices::None(
        "the stubborn links below send each message again for ever; the broadcast above them is reliable-eager",
    ),
    breaks: &[
        Break {
            name: "no-links",
            says: "The broadcast sends over the links with fair loss itself. The message is lost, and so is the copy that \
                   is passed on.",
            model: MODEL.stop(0),
            asks: None,
            dropped: Some("links"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "finite-resends",
            says: "The stubborn links give up after two resends.",
            model: MODEL.stop(0),
            asks: None,
            dropped: Some("resends without end"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "no-relay",
            says: "Nobody passes on, as if perfect links delivered what a dead process has sent.",
            model: MODEL,
            asks: None,
            dropped: Some("relay"),
            loses: &AGREEMENT,
            search: Search::Breadth,
            steps_max: 3,
            planted: true,
        },
        Break {
            name: "resends-the-last-alone",
            says: "The stubborn links send again what was sent last: of a broadcast the copy to the last process. The other copies are lost.",
            model: MODEL.stop(0),
            asks: None,
            dropped: Some("all that was sent"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 12,
            planted: true,
        },
    ],
};
