//! The phases of the leader.

use super::{Epoch, Phase, Transactions, Zab, ZabIndication, ZabMessage};
use crate::cards::paxos::acceptor::next_ballot;
use crate::{Fact, Out, Pid, Pids, Value};

impl Zab {
    pub(super) fn to_followers(&self, message: ZabMessage, out: &mut Out<Self>) {
        if self.followers == self.process.all() {
            out.all(message);
        } else {
            out.each(self.followers, &message);
        }
    }

    /// Discovery: a quorum has named its epochs, and the leader proposes one above all of them. One that
    /// comes later follows the epoch that is there, unless it has promised a higher one.
    pub(super) fn on_greeting(&mut self, from: Pid, promised: Epoch, out: &mut Out<Self>) {
        self.greetings.insert(from, promised);
        if self.leader != self.process.me {
            return;
        }
        if let Some(epoch) = self.epoch.filter(|epoch| *epoch >= promised) {
            out.send(from, ZabMessage::NewEpoch(epoch));
            return;
        }
        self.greetings.insert(self.process.me, self.promised);
        if self.greetings.len() < self.process.majority() {
            return;
        }
        let above = self.greetings.values().copied().max().unwrap_or(0);
        let epoch = next_ballot(&self.process, above);
        self.epoch = Some(epoch);
        self.phase = Phase::Discovery;
        self.reports.clear();
        self.followers = Pids::default();
        self.acked.clear();
        self.committed = 0;
        out.each(self.greetings.keys().copied().collect(), &ZabMessage::NewEpoch(epoch));
    }

    /// Synchronization: of a quorum of histories the one of the highest epoch, and of those the longest,
    /// begins the epoch.
    pub(super) fn on_report(
        &mut self,
        from: Pid,
        current: Epoch,
        history: Transactions,
        out: &mut Out<Self>,
    ) {
        let Some(epoch) = self.epoch else { return };
        if self.phase != Phase::Discovery {
            self.followers.add(from);
            out.send(from, ZabMessage::NewLeader(epoch, self.history.clone()));
            return;
        }
        self.reports.insert(from, (current, history));
        if self.reports.len() < self.process.majority() {
            return;
        }
        let by_epoch = !self.process.lacks("epoch of the history");
        let rank = |report: &&(Epoch, Transactions)| (if by_epoch { report.0 } else { 0 }, report.1.len());
        let Some(initial) = self.reports.values().max_by_key(rank).map(|(_, history)| history.clone()) else {
            return;
        };
        self.phase = Phase::Synchronization;
        self.followers = self.reports.keys().copied().collect();
        self.reports.clear();
        self.to_followers(ZabMessage::NewLeader(epoch, initial), out);
        if self.process.lacks("synchronization") {
            self.be_ready(out);
        }
    }

    /// What a quorum has is committed.
    pub(super) fn on_ack(&mut self, from: Pid, accepted: usize, out: &mut Out<Self>) {
        let Some(epoch) = self.epoch else { return };
        self.acked.insert(from, accepted);
        let mut lengths: Vec<usize> = self.acked.values().copied().collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let Some(committed) = lengths.get(self.process.majority() - 1) else { return };
        if *committed > self.committed || self.phase == Phase::Synchronization {
            self.committed = *committed;
            self.to_followers(ZabMessage::Commit(epoch, self.committed), out);
        }
    }

    /// Broadcast: the leader is the primary of its epoch.
    pub(super) fn be_ready(&mut self, out: &mut Out<Self>) {
        let Some(epoch) = self.epoch else { return };
        self.phase = Phase::Broadcast;
        out.indicate(ZabIndication(Fact::Primary { epoch }));
        for value in std::mem::take(&mut self.pending) {
            self.broadcast(value, out);
        }
    }

    pub(super) fn broadcast(&mut self, value: Value, out: &mut Out<Self>) {
        let ready = self.epoch.filter(|_| self.leader == self.process.me && self.phase == Phase::Broadcast);
        let Some(epoch) = ready else { return self.pending.push(value) };
        out.indicate(ZabIndication(Fact::Sent { epoch, value }));
        self.to_followers(ZabMessage::Propose(epoch, value), out);
    }
}
