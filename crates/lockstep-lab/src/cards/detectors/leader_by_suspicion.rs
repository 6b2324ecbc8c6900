//! The leader detector Ω out of ◇P: monarchical election (Cachin, Guerraoui, Rodrigues, algorithm 2.8).

use crate::property::{LEADER_ACCURACY, LEADER_AGREEMENT};
use crate::{
    Break, Card, Detection, Detector, Family, Model, NoRequest, Out, Pid, Pids, Prices, Process, Protocol,
    Search, Subject,
};

/// The lowest process that is not suspected leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LeaderBySuspicion {
    process: Process,
    suspected: Pids,
    leader: Option<Pid>,
}

impl LeaderBySuspicion {
    fn elect(&mut self, out: &mut Out<Self>) {
        let lowest = self.process.all().without(self.suspected).lowest();
        if lowest != self.leader {
            self.leader = lowest;
            out.indicate(Detection::Leader(lowest.unwrap_or(self.process.me)));
        }
    }
}

impl Protocol for LeaderBySuspicion {
    type Request = NoRequest;
    type Indication = Detection;
    type Message = ();

    fn new(process: &Process) -> Self {
        Self { process: *process, suspected: Pids::default(), leader: None }
    }

    fn start(&mut self, out: &mut Out<Self>) {
        self.elect(out);
    }

    fn request(&mut self, request: NoRequest, _out: &mut Out<Self>) {
        match request {}
    }

    fn receive(&mut self, _from: Pid, _message: (), _out: &mut Out<Self>) {}

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        match detection {
            Detection::Suspect(pid) => {
                if self.leader == Some(pid) || !self.process.lacks("suspicions of others") {
                    self.suspected.add(pid);
                }
            }
            Detection::Restore(pid) => {
                if !self.process.lacks("trust again") {
                    self.suspected.remove(pid);
                }
            }
            Detection::Leader(_) => {}
        }
        self.elect(out);
    }
}

impl Subject for LeaderBySuspicion {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 3 }).stop(2);

static CARD: Card = Card {
    name: "leader-by-suspicion",
    family: Family::Detectors,
    source: "Cachin, Guerraoui, Rodrigues, algorithm 2.8",
    says: "Each process trusts the lowest process that it does not suspect. In the end all suspect the crashed ones and \
           nobody else, and so all trust the lowest correct process. It sends nothing: the detector does.",
    buys: &[
        ("the detector is complete", "accuracy: else a leader that has crashed leads for ever"),
        ("the detector is accurate in the end", "agreement: else two processes trust two leaders for ever"),
    ],
    uses: &["eventually-perfect"],
    model: MODEL,
    asks: &[],
    properties: &[&LEADER_ACCURACY, &LEADER_AGREEMENT],
    states_max: 300_000,
    whole: true,
    prices: Prices::None("it has no request and sends nothing"),
    breaks: &[
        Break {
            name: "no-detector",
            says: "The leader crashes, and nobody learns of it.",
            model: MODEL.detector(Detector::None),
            asks: None,
            dropped: None,
            loses: &LEADER_ACCURACY,
            search: Search::Breadth,
            steps_max: 1,
            planted: false,
        },
        Break {
            name: "never-trusts-again",
            says: "A wrong suspicion is not taken back: a detector with lasting mistakes. Two leaders lead for ever.",
            model: MODEL,
            asks: None,
            dropped: Some("trust again"),
            loses: &LEADER_AGREEMENT,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "watches-its-leader-alone",
            says: "A suspicion of a process that does not lead is forgotten. Once the leader crashes too, the forgotten \
                   process is trusted.",
            model: MODEL,
            asks: None,
            dropped: Some("suspicions of others"),
            loses: &LEADER_ACCURACY,
            search: Search::Breadth,
            steps_max: 4,
            planted: true,
        },
    ],
};
