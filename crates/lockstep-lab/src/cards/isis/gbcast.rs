//! GBCAST: a failure in one order with all messages (Birman and Joseph 1987, §3.1, §4.3.3).

mod card;
mod lists;
mod message;

pub use message::{GbcastEntry, GbcastMessage, GroupRequest};

use super::{Abcast, Cbcast, CbcastTo, Packet};
use crate::{Broadcast, Card, Deliver, Detection, Fact, Out, Pid, Pids, Process, Protocol, Subject, Value};
use std::collections::{BTreeMap, VecDeque};

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
    const CARD: &'static Card = &card::CARD;
}
