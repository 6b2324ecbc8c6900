//! Terminating reliable broadcast (Guerraoui's course, "Terminating Reliable Broadcast").

use crate::cards::consensus::Hierarchical;
use crate::property::{
    TRB_AGREEMENT, TRB_INTEGRITY, TRB_SENDER, TRB_TERMINATION, TRB_UNIFORM_AGREEMENT, TRB_VALIDITY,
};
use crate::{
    Ask, Break, Broadcast, Card, Decide, Deliver, Detection, Detector, Fact, Family, Indicated, Model, Out,
    Pid, Price, Prices, Process, Propose, Protocol, Search, Subject, Value, Word,
};

/// A delivery: the message, or none if the sender has failed.
pub(super) type OrFailed<M> = Option<M>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum TerminatingMessage<M, C> {
    /// Of the sender.
    Data(M),
    /// Of the consensus below.
    Consensus(C),
}

/// Each process proposes what comes first: the sender's message or its failure. All deliver what consensus
/// `C` decides.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TerminatingReliable<M: Word, C> {
    process: Process,
    sender: Pid,
    consensus: C,
    proposal: Option<OrFailed<M>>,
}

/// A consensus about what is delivered.
pub trait ConsensusOf<M>: Protocol<Request = Propose<Option<M>>, Indication = Decide<Option<M>>> {}
impl<M, C: Protocol<Request = Propose<Option<M>>, Indication = Decide<Option<M>>>> ConsensusOf<M> for C {}

impl<M: Word, C: ConsensusOf<M>> TerminatingReliable<M, C> {
    /// The broadcast of this sender.
    pub fn of_sender(process: &Process, sender: Pid) -> Self {
        Self { process: *process, sender, consensus: C::new(process), proposal: None }
    }

    fn propose(&mut self, what: OrFailed<M>, out: &mut Out<Self>) {
        if self.proposal.is_some() {
            return;
        }
        self.proposal = Some(what.clone());
        if self.process.lacks("consensus") {
            out.indicate(Deliver { from: self.sender, message: what });
            return;
        }
        self.with_consensus(out, |consensus, out| consensus.request(Propose(what), out));
    }

    fn with_consensus(&mut self, out: &mut Out<Self>, call: impl FnOnce(&mut C, &mut Out<C>)) {
        for Decide(message) in out.below(&mut self.consensus, TerminatingMessage::Consensus, call) {
            out.indicate(Deliver { from: self.sender, message });
        }
    }
}

impl<M: Word, C: ConsensusOf<M>> Protocol for TerminatingReliable<M, C> {
    type Request = Broadcast<M>;
    type Indication = Deliver<OrFailed<M>>;
    type Message = TerminatingMessage<M, C::Message>;

    fn new(process: &Process) -> Self {
        Self::of_sender(process, TRB_SENDER)
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        out.all(TerminatingMessage::Data(message));
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        match message {
            TerminatingMessage::Data(message) => self.propose(Some(message), out),
            TerminatingMessage::Consensus(message) => {
                self.with_consensus(out, |consensus, out| consensus.receive(from, message, out));
            }
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        self.with_consensus(out, |consensus, out| consensus.detect(detection, out));
        if detection == Detection::Suspect(self.sender) {
            self.propose(None, out);
        }
    }
}

impl Indicated for Deliver<OrFailed<Value>> {
    fn fact(&self) -> Option<Fact> {
        Some(match self.message {
            Some(value) => Fact::Deliver { from: self.from, value },
            None => Fact::SenderFailed(self.from),
        })
    }
}

impl Subject for TerminatingReliable<Value, Hierarchical<OrFailed<Value>>> {
    const CARD: &'static Card = &CARD;
}

/// A perfect detector, and the crashes of two.
pub(super) const TRB_MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
/// One wrong suspicion, and nobody crashes.
pub(super) const TRB_DOUBT: Model = Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 });
/// The sender broadcasts.
pub(super) const TRB_ASKS: &[(Pid, Ask)] = &[(TRB_SENDER, Ask::Broadcast(Value(0)))];

static CARD: Card = Card {
    name: "terminating-reliable",
    family: Family::Agreement,
    source: "Guerraoui's course, Terminating Reliable Broadcast",
    says: "All deliver the message of the known sender, or all that it has failed: nobody waits for ever. Each process \
           proposes to a consensus what it has first, the message or the suspicion, and delivers what is decided.",
    buys: &[
        ("the detector is complete", "termination: else all wait for a message that never comes"),
        ("the detector is accurate", "agreement: of a living sender some deliver that it has failed"),
        ("consensus", "agreement: one has the message of a sender of which another has the crash"),
    ],
    uses: &["best-effort", "hierarchical"],
    model: TRB_MODEL,
    asks: TRB_ASKS,
    properties: &[&TRB_INTEGRITY, &TRB_VALIDITY, &TRB_AGREEMENT, &TRB_TERMINATION],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: TRB_ASKS,
        // The turns of the hierarchical consensus; the message goes with the first.
        delays: [|_| 0, |n| n / 2, |n| n - 1],
        multicast: |n| 1 + n,
        unicast: |n| (1 + n) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "asked-for-uniform",
            says: "The sender delivers its message and fails before anybody has it: the others deliver that it has failed.",
            model: TRB_MODEL,
            asks: None,
            dropped: None,
            loses: &TRB_UNIFORM_AGREEMENT,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "Nobody crashes: one process suspects the sender, delivers that it has failed, and the sender its message.",
            model: TRB_DOUBT,
            asks: None,
            dropped: None,
            loses: &TRB_AGREEMENT,
            search: Search::Breadth,
            steps_max: 11,
            planted: false,
        },
        Break {
            name: "no-detector",
            says: "The sender crashes before it broadcasts, and the others wait for it.",
            model: Model::PLAIN.stop(1),
            asks: None,
            dropped: None,
            loses: &TRB_TERMINATION,
            search: Search::Breadth,
            steps_max: 1,
            planted: false,
        },
        Break {
            name: "delivers-what-it-proposes",
            says: "A process delivers what it has first and does not wait for the decision.",
            model: TRB_MODEL,
            asks: None,
            dropped: Some("consensus"),
            loses: &TRB_AGREEMENT,
            search: Search::Breadth,
            steps_max: 5,
            planted: true,
        },
    ],
};
