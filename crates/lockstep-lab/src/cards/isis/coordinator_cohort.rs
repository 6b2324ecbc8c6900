//! Coordinator and cohorts: one executes a request for all, and the next one takes over when it fails (Birman
//! and Joseph 1987, §5.2).

use super::flush_store::{FlushIndication, FlushMessage, FlushStore, MODEL as FLUSH_MODEL};
use crate::property::{NO_DUPLICATION, ONE_RESULT, RESULT_TERMINATION, RESULT_VALIDITY, UNIFORM_ONE_RESULT};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Failures, Family, Model, Out, Pid, Pids,
    Price, Prices, Process, Protocol, Search, Subject, Value,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// A broadcast to the group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Operation {
    /// A request of a client, which is a member here.
    Request(Value),
    /// The sender has executed this request: its result, with what it changed, for the client and the
    /// cohorts at once.
    Result(Value),
}

/// The lowest member of the view executes a request; the others are its cohorts. An execution need not be
/// deterministic: a second one has another result.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CoordinatorCohort {
    process: Process,
    below: FlushStore<Operation>,
    members: Pids,
    /// Requests without a result.
    open: BTreeSet<Value>,
    /// Requests that have a result here, or that this process has executed.
    done: BTreeSet<Value>,
}

impl CoordinatorCohort {
    fn broadcast(&mut self, operation: Operation, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.request(Broadcast(operation), out));
        self.handle(done, out);
    }

    fn handle(&mut self, indications: Vec<FlushIndication<Operation>>, out: &mut Out<Self>) {
        for indication in indications {
            match indication {
                FlushIndication::Deliver((from, operation)) => self.deliver(from, operation, out),
                FlushIndication::View(_, members) => {
                    self.members = members;
                    self.execute_open(out);
                }
                FlushIndication::Collected(_) => {}
            }
        }
    }

    /// A result may come before its request: the two have different senders.
    fn deliver(&mut self, from: Pid, operation: Operation, out: &mut Out<Self>) {
        match operation {
            Operation::Request(request) => {
                if !self.done.contains(&request) || self.process.lacks("results before requests") {
                    self.open.insert(request);
                    self.execute_open(out);
                }
            }
            Operation::Result(request) => {
                self.done.insert(request);
                self.open.remove(&request);
                out.indicate(Deliver { from, message: request });
            }
        }
    }

    /// The coordinator executes what has no result. A cohort that becomes coordinator does so once the
    /// failure is ordered: a result of the dead that reached anybody has come before it.
    fn execute_open(&mut self, out: &mut Out<Self>) {
        if self.members.lowest() != Some(self.process.me) && !self.process.lacks("ranks") {
            return;
        }
        for request in std::mem::take(&mut self.open) {
            self.done.insert(request);
            self.broadcast(Operation::Result(request), out);
        }
    }
}

impl Protocol for CoordinatorCohort {
    type Request = Broadcast<Value>;
    type Indication = Deliver<Value>;
    type Message = FlushMessage<Operation>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: FlushStore::without_collection(process),
            members: process.all(),
            open: BTreeSet::new(),
            done: BTreeSet::new(),
        }
    }

    fn request(&mut self, Broadcast(request): Broadcast<Value>, out: &mut Out<Self>) {
        self.broadcast(Operation::Request(request), out);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        let done = out.through(&mut self.below, |below, out| below.receive(from, message, out));
        self.handle(done, out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        if let Detection::Suspect(pid) = detection
            && self.process.lacks("order of the failure")
        {
            self.members.remove(pid);
            self.execute_open(out);
        }
        let done = out.through(&mut self.below, |below, out| below.detect(detection, out));
        self.handle(done, out);
    }
}

impl Subject for CoordinatorCohort {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model { failures: Failures::Stop { crashes: 2, filter: true }, ..FLUSH_MODEL };
const ONE: &[(Pid, Ask)] = &[(2, Ask::Broadcast(Value(0)))];
const TWO: &[(Pid, Ask)] = &[(2, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "coordinator-cohort",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §5.2",
    says: "A request goes to the whole group. All have one view, so all know its coordinator without a message: the lowest \
           member executes, and sends the result to the client and the cohorts in one broadcast. A cohort takes over \
           in the view without the coordinator if it has no result until then.",
    buys: &[
        (
            "the failure comes after the messages of the dead",
            "one result: a cohort knows whether there is one",
        ),
        ("one view", "one coordinator, without an agreement for each request"),
        ("the detector is accurate", "one coordinator: the suspected one executes meanwhile"),
    ],
    uses: &["flush-store"],
    model: MODEL,
    asks: TWO,
    properties: &[&ONE_RESULT, &RESULT_VALIDITY, &NO_DUPLICATION, &RESULT_TERMINATION],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 1, |_| 2, |_| 2],
        multicast: |_| 2,
        unicast: |n| 2 * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "takes-over-at-the-suspicion",
            says: "A cohort executes when it suspects the coordinator. The result of the dead has reached the client, and not it.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("order of the failure"),
            loses: &ONE_RESULT,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "no-filter",
            says: "The result of the dead reaches the client after the view without it.",
            model: Model { failures: Failures::Stop { crashes: 1, filter: false }, ..MODEL },
            asks: Some(ONE),
            dropped: None,
            loses: &ONE_RESULT,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "The client suspects all others and executes alone. The coordinator lives, and has executed.",
            model: MODEL.detector(Detector::EventuallyPerfect { mistakes: 2 }),
            asks: Some(ONE),
            dropped: None,
            loses: &ONE_RESULT,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "all-cohorts-execute",
            says: "Each member executes, whatever its rank.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("ranks"),
            loses: &ONE_RESULT,
            search: Search::Breadth,
            steps_max: 2,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "The coordinator uses its own result and fails. Before it acts outside it must wait until others have it.",
            model: MODEL,
            asks: Some(ONE),
            dropped: None,
            loses: &UNIFORM_ONE_RESULT,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "forgets-an-early-result",
            says: "A result comes before its request, and the request is executed once more in the next view.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("results before requests"),
            loses: &ONE_RESULT,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
