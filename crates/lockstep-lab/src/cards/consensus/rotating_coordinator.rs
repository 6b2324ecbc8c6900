//! Consensus by a rotating coordinator (Chandra and Toueg 1996; Guerraoui's course, "Consensus Algorithm 3").

mod card;

use crate::cards::broadcast::ReliableEager;
use crate::{Broadcast, Decide, Deliver, Detection, Out, Pid, Pids, Process, Propose, Protocol, Word};
use std::collections::BTreeMap;

/// A number of a round, from n on; its leader is its remainder by n. Where a round of adoption is meant, 0 is
/// "never".
type Round = u64;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum RotatingMessage<V> {
    /// Its sender is in this round. It adopted its value in the second round.
    Estimate(Round, Round, V),
    /// The leader of the round proposes.
    Proposal(Round, V),
    /// Its sender has adopted the proposal of the round.
    Ack(Round),
    /// A decision, of the broadcast below.
    Decided((Pid, V)),
}

/// The leader of a round has a majority adopt the latest value of a majority; a process that suspects it goes
/// on to the next round.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RotatingCoordinator<V: Word> {
    process: Process,
    below: ReliableEager<V>,
    suspected: Pids,
    round: Round,
    /// What this process would propose, and the round in which it adopted that.
    estimate: Option<(Round, V)>,
    has_sent: bool,
    /// Of the leader: the estimates of this round, and those that have adopted its proposal.
    estimates: BTreeMap<Pid, (Round, V)>,
    has_proposed: bool,
    acks: Pids,
    has_decided: bool,
}

impl<V: Word> RotatingCoordinator<V> {
    /// The leader of the round that this process is in.
    pub fn leader(&self) -> Pid {
        (self.round % u64::from(self.process.n)) as Pid
    }

    /// Whether that is this process.
    pub fn is_leader(&self) -> bool {
        self.leader() == self.process.me
    }

    /// Two majorities have a process in common.
    fn quorum(&self) -> usize {
        if self.process.lacks("majority") {
            usize::from(self.process.n - self.process.f)
        } else {
            self.process.majority()
        }
    }

    /// Enters a round, or the first one after it whose leader is not suspected. The leaders of the rounds
    /// that it leaves or passes over are informed; a leader that leaves its round informs all, so that
    /// nobody waits for it there.
    fn enter(&mut self, round: Round, out: &mut Out<Self>) {
        let mut informed = Pids::one(self.leader());
        let informs_all = self.is_leader() && !self.process.lacks("informing all");
        while self.round < round || self.suspected.has(self.leader()) {
            self.round += 1;
            informed.add(self.leader());
        }
        self.estimates.clear();
        self.acks = Pids::default();
        (self.has_sent, self.has_proposed) = (false, false);
        self.send_estimate(if informs_all { self.process.all() } else { informed }, out);
    }

    fn send_estimate(&mut self, to: Pids, out: &mut Out<Self>) {
        let Some((adopted, value)) = self.estimate.clone().filter(|_| !self.has_sent) else { return };
        self.has_sent = true;
        out.each(to, &RotatingMessage::Estimate(self.round, adopted, value));
    }

    /// The leader proposes the value that was adopted last among a majority; of equally late ones its own.
    fn on_estimate(&mut self, from: Pid, adopted: Round, value: V, out: &mut Out<Self>) {
        if self.has_proposed || !self.is_leader() {
            return;
        }
        self.estimates.insert(from, (adopted, value));
        if self.estimates.len() < self.quorum() {
            return;
        }
        let is_latest = !self.process.lacks("latest estimate");
        let me = self.process.me;
        let rank = |pid: Pid, adopted: Round| (if is_latest { adopted } else { 0 }, pid == me);
        let all = self.estimates.iter();
        let latest = all.max_by_key(|(pid, (adopted, _))| rank(**pid, *adopted));
        if let Some((_, (_, value))) = latest {
            let proposal = RotatingMessage::Proposal(self.round, value.clone());
            self.estimates.clear();
            self.has_proposed = true;
            out.all(proposal);
        }
    }

    /// A process adopts the proposal of the round that it is in.
    fn on_proposal(&mut self, value: V, out: &mut Out<Self>) {
        self.estimate = Some((self.round, value));
        out.send(self.leader(), RotatingMessage::Ack(self.round));
    }

    /// The leader decides once a majority has adopted its proposal.
    fn on_ack(&mut self, from: Pid, out: &mut Out<Self>) {
        if self.acks.len() < self.quorum()
            && self.acks.add(from)
            && self.acks.len() == self.quorum()
            && let Some((_, value)) = self.estimate.clone()
        {
            let call = |below: &mut ReliableEager<V>, out: &mut _| below.request(Broadcast(value), out);
            out.below(&mut self.below, RotatingMessage::Decided, call);
        }
    }

    fn on_decided(&mut self, from: Pid, message: (Pid, V), out: &mut Out<Self>) {
        let call = |below: &mut ReliableEager<V>, out: &mut _| below.receive(from, message, out);
        for Deliver { message, .. } in out.below(&mut self.below, RotatingMessage::Decided, call) {
            if !self.has_decided {
                // Nothing else matters any more.
                let below = self.below.clone();
                *self = Self { below, has_decided: true, ..Self::new(&self.process) };
                out.indicate(Decide(message));
            }
        }
    }
}

impl<V: Word> Protocol for RotatingCoordinator<V> {
    type Request = Propose<V>;
    type Indication = Decide<V>;
    type Message = RotatingMessage<V>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            below: ReliableEager::new(process),
            suspected: Pids::default(),
            round: process.n.into(),
            estimate: None,
            has_sent: false,
            estimates: BTreeMap::new(),
            has_proposed: false,
            acks: Pids::default(),
            has_decided: false,
        }
    }

    fn request(&mut self, Propose(value): Propose<V>, out: &mut Out<Self>) {
        if !self.has_decided {
            self.estimate.get_or_insert((0, value));
            let is_first = self.round == u64::from(self.process.n);
            let to = if is_first { Pids::one(self.leader()) } else { self.process.all() };
            self.send_estimate(to, out);
        }
    }

    fn receive(&mut self, from: Pid, message: RotatingMessage<V>, out: &mut Out<Self>) {
        let round = match message {
            RotatingMessage::Decided(message) => return self.on_decided(from, message, out),
            // A process that has decided has stopped: the broadcast brings the decision to all.
            _ if self.has_decided => return,
            RotatingMessage::Estimate(round, ..)
            | RotatingMessage::Proposal(round, _)
            | RotatingMessage::Ack(round) => round,
        };
        if round > self.round {
            self.enter(round, out);
        }
        if round != self.round {
            return;
        }
        match message {
            RotatingMessage::Estimate(_, adopted, value) => self.on_estimate(from, adopted, value, out),
            RotatingMessage::Proposal(_, value) => self.on_proposal(value, out),
            RotatingMessage::Ack(_) => self.on_ack(from, out),
            RotatingMessage::Decided(_) => {}
        }
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        match detection {
            _ if self.has_decided => {}
            Detection::Suspect(pid) => {
                self.suspected.add(pid);
                if self.leader() == pid {
                    self.enter(self.round + 1, out);
                }
            }
            Detection::Restore(pid) => self.suspected.remove(pid),
            Detection::Leader(_) => {}
        }
    }

    fn lowest_round(&self) -> Option<u64> {
        let adopted = self.estimate.iter().chain(self.estimates.values()).map(|(adopted, _)| *adopted);
        adopted.filter(|adopted| *adopted > 0).chain([self.round]).min()
    }

    fn renumber(&mut self, by: u64) {
        self.round -= by;
        let all = self.estimate.iter_mut().chain(self.estimates.values_mut());
        all.for_each(|(adopted, _)| *adopted = adopted.saturating_sub(by));
    }

    fn message_round(message: &RotatingMessage<V>) -> Option<u64> {
        match message {
            RotatingMessage::Estimate(round, 0, _)
            | RotatingMessage::Estimate(_, round, _)
            | RotatingMessage::Proposal(round, _)
            | RotatingMessage::Ack(round) => Some(*round),
            RotatingMessage::Decided(_) => None,
        }
    }

    fn renumber_message(message: &mut RotatingMessage<V>, by: u64) {
        match message {
            RotatingMessage::Estimate(round, adopted, _) => {
                *round -= by;
                *adopted = adopted.saturating_sub(by);
            }
            RotatingMessage::Proposal(round, _) | RotatingMessage::Ack(round) => *round -= by,
            RotatingMessage::Decided(_) => {}
        }
    }
}
