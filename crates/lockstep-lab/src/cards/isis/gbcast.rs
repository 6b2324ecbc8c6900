//! GBCAST: a failure in one order with all messages (Birman and Joseph 1987, §3.1, §4.3.3).

use super::cbcast::Copies;
use super::{Abcast, AbcastMessage, Cbcast, CbcastTo, Packet};
use crate::property::{
    AGREEMENT, CRASHED_LEAVE, LAST_VIEW, NO_CREATION, NO_DUPLICATION, NOTHING_AFTER_FAILURE,
    UNIFORM_VIEW_AGREEMENT, VALIDITY, VIEW_ACCURACY, VIEW_ORDER, VIEW_SYNCHRONY, VIEW_SYNCHRONY_OF_CORRECT,
};
use crate::{
    Ask, Asked, Break, Broadcast, Card, Deliver, Detection, Detector, Fact, Failures, Family, Links, Model,
    Out, Pid, Pids, Process, Protocol, Search, Subject, Value,
};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// A request: which of the two broadcasts. In the shared words a to m are CBCASTs, and n to z ABCASTs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GroupRequest {
    /// In causal order.
    Cbcast(Value),
    /// In total order.
    Abcast(Value),
}

impl Asked for GroupRequest {
    fn of(ask: Ask) -> Option<Self> {
        let Ask::Broadcast(value) = ask else { return None };
        Some(if value < Value(13) { Self::Cbcast(value) } else { Self::Abcast(value) })
    }
}

/// An entry of the ABCAST queue.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GbcastEntry {
    /// An ABCAST.
    Message(Value),
    /// A GBCAST: this process has failed.
    Failure(Pid),
}

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GbcastMessage {
    /// Of ABCAST, which is part 2 as well.
    Abcast(AbcastMessage<GbcastEntry>),
    /// Of CBCAST.
    Cbcast(Packet<Value>),
    /// Step 1.1: these processes have failed.
    Start(Pids),
    /// Step 1.4: no ABCAST of them is without its final priority here.
    Flushed(Pids),
    /// Step 3.3: the CBCASTs that came before this failure, where no more was accepted of these, and whether
    /// the list is final.
    IdList(Pid, Pids, Packet<Value>, bool),
    /// Step 3.4: all that come before it.
    Before(Pid, Packet<Value>),
}

/// Part 1 flushes the ABCASTs of the dead process, part 2 is an ABCAST of its failure, and part 3 agrees on
/// the CBCASTs before it. The texts send copies and wait for them in steps 1.2 and 3.3; here the lists
/// of part 3 have the copies.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Gbcast {
    process: Process,
    /// Those that this process has observed to fail, or of which a Start said so: nothing more is accepted of
    /// them.
    failed: Pids,
    /// The process that sent the last Start.
    coordinator: Pid,
    abcast: Abcast<GbcastEntry>,
    cbcast: Cbcast<Value>,
    view: u32,
    members: Pids,
    /// The failures of which this process has begun part 2.
    issued: Pids,
    /// The processes that have acknowledged part 1.
    flushed: Pids,
    /// Whether this process has to acknowledge it.
    is_owing: bool,
    /// Deliveries of ABCAST that wait for the end of part 3.
    ordered: VecDeque<Deliver<GbcastEntry>>,
    /// The failure in part 3.
    current: Option<Pid>,
    /// The wait queue: CBCASTs that come during part 3.
    waiting: Vec<Deliver<Value>>,
    lists: BTreeMap<(Pid, Pid), (Pids, Packet<Value>, bool)>,
    /// The before lists of failures that are delivered.
    done: BTreeMap<Pid, Packet<Value>>,
}

impl Gbcast {
    fn living(&self) -> Pids {
        self.process.all().without(self.failed)
    }

    fn is_coordinator(&self) -> bool {
        self.living().lowest() == Some(self.process.me)
    }

    /// Step 1.1, of the lowest process that lives. Whenever one more fails it begins again, and so does the
    /// next coordinator: what came from that one after an acknowledgement is not flushed.
    fn begin(&mut self, out: &mut Out<Self>) {
        if self.is_coordinator() {
            if !self.process.lacks("restart") {
                self.flushed = Pids::default();
            }
            out.each(self.living(), &GbcastMessage::Start(self.failed));
        }
    }

    /// Part 2, once all that live have acknowledged part 1.
    fn issue_all(&mut self, out: &mut Out<Self>) {
        let all = self.living().is_within(self.flushed) || self.process.lacks("flush");
        if self.is_coordinator() && all {
            let failed = self.failed.and(self.members).without(self.issued);
            failed.iter().for_each(|failed| self.issue(failed, out));
        }
    }

    /// Steps 2.1 to 2.3.
    fn issue(&mut self, failed: Pid, out: &mut Out<Self>) {
        self.issued.add(failed);
        let abcast = &mut self.abcast;
        let request = Broadcast(GbcastEntry::Failure(failed));
        let done = out.below(abcast, GbcastMessage::Abcast, |below, out| below.request(request, out));
        self.ordered.extend(done);
    }

    /// Does what the ABCASTs up to now allow.
    fn advance(&mut self, out: &mut Out<Self>) {
        let waits = |failed| self.abcast.has_undeliverable_of(failed);
        if self.is_owing && !self.failed.iter().any(waits) {
            self.is_owing = false;
            out.send(self.coordinator, GbcastMessage::Flushed(self.failed));
        }
        while self.current.is_none()
            && let Some(Deliver { from, message }) = self.ordered.pop_front()
        {
            match message {
                GbcastEntry::Message(value) => out.indicate(Fact::Deliver { from, value }),
                GbcastEntry::Failure(failed) if !self.members.has(failed) => {}
                GbcastEntry::Failure(failed) if self.process.lacks("before list") => {
                    self.install(failed, out)
                }
                GbcastEntry::Failure(failed) => {
                    self.current = Some(failed);
                    self.send_list(failed, out);
                }
            }
        }
        if self.current.is_none() {
            let waiting = std::mem::take(&mut self.waiting);
            waiting.into_iter().for_each(|delivery| deliver(delivery, out));
        }
    }

    /// A CBCAST is delivered, or waits for the end of part 3.
    fn arrive(&mut self, arrived: Vec<Deliver<Value>>, out: &mut Out<Self>) {
        if self.current.is_some() && !self.process.lacks("wait queue") {
            self.waiting.extend(arrived);
        } else {
            arrived.into_iter().for_each(|delivery| deliver(delivery, out));
        }
    }

    /// Steps 3.2 and 3.3: what this process has delivered, and what it has of the dead one.
    fn send_list(&self, failed: Pid, out: &mut Out<Self>) {
        let final_list = self.done.get(&failed).cloned();
        let is_final = final_list.is_some();
        let list = final_list.unwrap_or_else(|| {
            let mut copies = self.cbcast.copies();
            let waits = |from, message| self.waiting.contains(&Deliver { from, message });
            copies.retain(|(_, (from, value)), _| *from == failed || !waits(*from, *value));
            Packet::of(copies)
        });
        out.send(self.coordinator, GbcastMessage::IdList(failed, self.failed, list, is_final));
    }

    /// Step 3.4, of the coordinator: once the lists of all that live are here.
    fn merge(&mut self, out: &mut Out<Self>) {
        let Some(failed) = self.current.filter(|_| self.is_coordinator()) else { return };
        let any = self.process.lacks("restart");
        let list_of = |pid| {
            let list = self.lists.get(&(failed, pid));
            list.filter(|(seen, ..)| *seen == self.failed || any).map(|(_, list, is_final)| (list, *is_final))
        };
        let lists: Vec<_> = self.living().iter().filter_map(list_of).collect();
        if lists.len() < self.living().len() {
            return;
        }
        let known = lists.iter().find(|(_, is_final)| *is_final).map(|(list, _)| Packet::clone(list));
        let before = known.unwrap_or_else(|| {
            let mut all = Copies::new();
            lists.iter().for_each(|(list, _)| list.add_to(&mut all));
            Packet::of(all)
        });
        out.each(self.living(), &GbcastMessage::Before(failed, before));
    }

    /// Steps 4.1 to 4.4: those of the before list, the failure, and the rest.
    fn finish(&mut self, from: Pid, failed: Pid, before: Packet<Value>, out: &mut Out<Self>) {
        let ids: Vec<_> = before.ids().collect();
        let cbcast = &mut self.cbcast;
        let copies = before.clone();
        let new = out.below(cbcast, GbcastMessage::Cbcast, |below, out| below.receive(from, copies, out));
        self.waiting.extend(new);
        let is_before = |delivery: &Deliver<Value>| ids.contains(&(delivery.from, delivery.message));
        let (first, rest) = std::mem::take(&mut self.waiting).into_iter().partition(is_before);
        self.waiting = rest;
        let first: Vec<_> = first;
        first.into_iter().for_each(|delivery| deliver(delivery, out));
        self.done.insert(failed, before);
        self.current = None;
        self.install(failed, out);
    }

    fn install(&mut self, failed: Pid, out: &mut Out<Self>) {
        self.members.remove(failed);
        self.view += 1;
        out.indicate(Fact::View { number: self.view, members: self.members });
    }
}

fn deliver(Deliver { from, message }: Deliver<Value>, out: &mut Out<Gbcast>) {
    out.indicate(Fact::Deliver { from, value: message });
}

impl Protocol for Gbcast {
    type Request = GroupRequest;
    type Indication = Fact;
    type Message = GbcastMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            failed: Pids::default(),
            coordinator: 0,
            abcast: Abcast::new(process),
            cbcast: Cbcast::prompt(process),
            view: 0,
            members: process.all(),
            issued: Pids::default(),
            flushed: Pids::default(),
            is_owing: false,
            ordered: VecDeque::new(),
            current: None,
            waiting: Vec::new(),
            lists: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    fn request(&mut self, request: GroupRequest, out: &mut Out<Self>) {
        match request {
            GroupRequest::Cbcast(value) => {
                let (cbcast, to_all) = (&mut self.cbcast, CbcastTo::new(value, self.process.all()));
                let done = out.below(cbcast, GbcastMessage::Cbcast, |below, out| below.request(to_all, out));
                self.arrive(done, out);
            }
            GroupRequest::Abcast(value) => {
                let (abcast, request) = (&mut self.abcast, Broadcast(GbcastEntry::Message(value)));
                let done = out.below(abcast, GbcastMessage::Abcast, |below, out| below.request(request, out));
                self.ordered.extend(done);
            }
        }
    }

    fn receive(&mut self, from: Pid, message: GbcastMessage, out: &mut Out<Self>) {
        if self.failed.has(from) && !self.process.lacks("filter") {
            return;
        }
        match message {
            GbcastMessage::Abcast(message) => {
                let abcast = &mut self.abcast;
                let done =
                    out.below(abcast, GbcastMessage::Abcast, |below, out| below.receive(from, message, out));
                self.ordered.extend(done);
            }
            GbcastMessage::Cbcast(packet) => {
                let cbcast = &mut self.cbcast;
                let done =
                    out.below(cbcast, GbcastMessage::Cbcast, |below, out| below.receive(from, packet, out));
                self.arrive(done, out);
            }
            GbcastMessage::Start(failed) => {
                self.failed = Pids(self.failed.0 | failed.0);
                (self.coordinator, self.is_owing) = (from, true);
                self.done.keys().chain(&self.current).for_each(|failed| self.send_list(*failed, out));
            }
            GbcastMessage::Flushed(failed) => {
                if failed == self.failed || self.process.lacks("restart") {
                    self.flushed.add(from);
                    self.issue_all(out);
                }
            }
            GbcastMessage::IdList(failed, seen, list, is_final) => {
                // The coordinator before this one has failed in the middle of step 3.4.
                if let Some(before) = self.done.get(&failed).filter(|_| !is_final) {
                    out.send(from, GbcastMessage::Before(failed, before.clone()));
                }
                self.lists.insert((failed, from), (seen, list, is_final));
                self.merge(out);
            }
            GbcastMessage::Before(failed, before) => {
                if self.current == Some(failed) {
                    self.finish(from, failed, before, out);
                }
            }
        }
        self.advance(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.failed.add(pid);
        let abcast = &mut self.abcast;
        let done = out.below(abcast, GbcastMessage::Abcast, |below, out| below.detect(detection, out));
        self.ordered.extend(done);
        self.begin(out);
        self.issue_all(out);
        self.merge(out);
        self.advance(out);
    }
}

impl Subject for Gbcast {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model {
    links: Links::Fifo,
    failures: Failures::Stop { crashes: 2, filter: true },
    ..Model::PLAIN.detector(Detector::Perfect)
};
/// A CBCAST of p1, and one and an ABCAST of p3.
const ASKS: &[(Pid, Ask)] =
    &[(0, Ask::Broadcast(Value(0))), (2, Ask::Broadcast(Value(1))), (2, Ask::Broadcast(Value(13)))];

static CARD: Card = Card {
    name: "isis-gbcast",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §3.1 and §4.3.3",
    says: "A failure is delivered to all at one place of the order of all broadcasts, and after all that the dead \
           process sent. First its ABCASTs get their final priorities everywhere; then the failure itself is an \
           ABCAST; then all that live agree on the CBCASTs that come before it, and hold back the others. Each \
           further failure begins the flush and the lists again, which the text leaves open.",
    buys: &[
        ("the flush", "nothing of a process comes after its failure"),
        ("the before list and the wait queue", "view synchrony of CBCASTs, which nothing else orders"),
        ("nothing is accepted of the dead", "nothing of a process comes after its failure"),
    ],
    uses: &["isis-abcast", "isis-cbcast"],
    model: MODEL,
    asks: ASKS,
    properties: &[
        &VALIDITY,
        &NO_DUPLICATION,
        &NO_CREATION,
        &AGREEMENT,
        &NOTHING_AFTER_FAILURE,
        &VIEW_SYNCHRONY_OF_CORRECT,
        &UNIFORM_VIEW_AGREEMENT,
        &VIEW_ORDER,
        &VIEW_ACCURACY,
        &CRASHED_LEAVE,
        &LAST_VIEW,
    ],
    states_max: 200_000,
    whole: true,
    price: None,
    breaks: &[
        Break {
            name: "no-flush",
            says: "The failure gets its place at once. An ABCAST of the dead process is completed later, with a \
                   higher priority.",
            model: MODEL,
            asks: Some(&[(2, Ask::Broadcast(Value(13)))]),
            dropped: Some("flush"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "no-restart",
            says: "One more process fails meanwhile: what it had passed on of the dead one is in no list.",
            model: MODEL,
            asks: None,
            dropped: Some("restart"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "asked-for-uniform",
            says: "The coordinator alone has delivered a CBCAST, sends its list to itself, leaves the view and fails.",
            model: MODEL,
            asks: None,
            dropped: None,
            loses: &VIEW_SYNCHRONY,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-before-list",
            says: "The failure is ordered among ABCASTs alone: a CBCAST comes before it here and after it there.",
            model: MODEL,
            asks: None,
            dropped: Some("before list"),
            loses: &VIEW_SYNCHRONY_OF_CORRECT,
            search: Search::Breadth,
            steps_max: 12,
            planted: false,
        },
        Break {
            name: "no-wait-queue",
            says: "A process delivers a CBCAST after it has sent its list.",
            model: MODEL,
            asks: None,
            dropped: Some("wait queue"),
            loses: &VIEW_SYNCHRONY_OF_CORRECT,
            search: Search::Breadth,
            steps_max: 16,
            planted: true,
        },
        Break {
            name: "hears-the-dead",
            says: "A process that has not observed the failure itself still accepts what the dead one sent.",
            model: MODEL,
            asks: None,
            dropped: Some("filter"),
            loses: &NOTHING_AFTER_FAILURE,
            search: Search::Breadth,
            steps_max: 10,
            planted: true,
        },
    ],
};
