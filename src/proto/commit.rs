//! # commit: how far the stream is final
//!
//! Leader, standbys and subscribers count alike: each hears the acks, which are multicast, so commit
//! costs one hop more than stamping and not two. The counter never looks further than what its owner
//! holds, and an announcement of somebody else's commit is only a hint for the same log.
//!
//! ```text
//!   log of e:   base ─────────── commit_next ────── have_next ──▶
//!   acks:             b=7   c=9        (a leads: it has what we have)
//! ```

use super::membership::Membership;
use crate::wire::{Epoch, Identity, MEMBERS_MAX, Seq};

/// What an ack of the cluster means (DESIGN §4.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Durability {
    /// In the tail: it survives the process.
    #[default]
    Process,
    /// On the device.
    Power,
}

impl Durability {
    /// As an epoch start carries it.
    pub fn from_wire(value: u8) -> Self {
        if value == 1 { Self::Power } else { Self::Process }
    }
}

/// Counts acks of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Commit {
    epoch: Epoch,
    base: Seq,
    durability: Durability,
    membership: Membership,
    acked: [Seq; MEMBERS_MAX],
    have_next: Seq,
    commit_next: Seq,
    /// The greatest announcement of an epoch that we do not follow yet (S10).
    ahead: (Epoch, Seq),
    /// The greatest announcement within what we follow.
    announced: Seq,
}

impl Commit {
    /// A counter that holds nothing and knows that everything below `commit_next` is committed.
    pub fn new(commit_next: Seq) -> Self {
        Self { commit_next: commit_next.max(1), have_next: commit_next.max(1), ..Self::default() }
    }

    /// The exclusive bound of what is final and held here.
    pub fn commit_next(&self) -> Seq {
        self.commit_next
    }

    /// The membership that counts.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// What an ack means in this epoch.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The epoch that is counted.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What each member of [`Commit::membership`] has acknowledged, by its position there.
    pub fn acked(&self, position: usize) -> Seq {
        self.acked[position]
    }

    /// The owner holds the start of `epoch` at `base`: earlier acks count no more.
    pub fn on_epoch_started(
        &mut self,
        epoch: Epoch,
        base: Seq,
        membership: Membership,
        durability: Durability,
    ) {
        self.epoch = epoch;
        self.base = base;
        self.membership = membership;
        self.durability = durability;
        self.acked = [0; MEMBERS_MAX];
        if self.ahead.0 == epoch {
            self.announced = self.announced.max(self.ahead.1);
        }
        self.recount();
    }

    /// The owner holds the log of the epoch up to `next`, without a gap.
    pub fn on_held(&mut self, next: Seq) {
        if next > self.have_next {
            self.have_next = next;
            self.recount();
        }
    }

    /// The owner's log goes no further than `next` any more: what lay behind did not survive a takeover
    /// (S10). What is committed stays so (S6).
    pub fn on_cut(&mut self, next: Seq) {
        self.have_next = self.have_next.min(next).max(self.commit_next);
    }

    /// An ack was heard (or is the owner's own). One of another epoch counts for nothing (S4).
    pub fn on_ack(&mut self, identity: Identity, epoch: Epoch, next: Seq) {
        if epoch != self.epoch {
            return;
        }
        if let Some(position) = self.membership.position(identity)
            && next > self.acked[position]
        {
            self.acked[position] = next;
            self.recount();
        }
    }

    /// Somebody announced that its log of `epoch` is committed up to `next`. Evidence of a higher epoch
    /// than ours is remembered and used for that epoch's log only.
    pub fn on_announced(&mut self, epoch: Epoch, next: Seq) {
        if epoch > self.epoch {
            self.ahead = self.ahead.max((epoch, next));
        } else if next > self.announced {
            self.announced = next;
            self.recount();
        }
    }

    /// What [`Commit::commit_next`] would be if the owner held the log up to `next`: whether a frame that
    /// has just arrived is final already.
    pub fn commit_with(&self, next: Seq) -> Seq {
        self.count(next.max(self.have_next))
    }

    fn recount(&mut self) {
        self.commit_next = self.count(self.have_next);
    }

    /// S4 (how far is it committed): the greatest bound that a quorum of the membership holds in exactly
    /// this epoch, at least one entry of it, and no further than the owner's own prefix. In `process` mode the sight of a
    /// frame is its leader's ack.
    fn count(&self, have_next: Seq) -> Seq {
        let mut votes = [0; MEMBERS_MAX];
        let members = self.membership.members();
        let leader = self.epoch.leader();
        for (position, member) in members.iter().enumerate() {
            votes[position] = self.acked[position];
            if self.durability == Durability::Process && member.identity() == leader {
                votes[position] = have_next;
            }
        }
        let mut counted = self.announced;
        if !members.is_empty() {
            let votes = &mut votes[..members.len()];
            votes.sort_unstable_by(|a, b| b.cmp(a));
            let quorum = votes[self.membership.quorum() - 1];
            if quorum > self.base {
                counted = counted.max(quorum);
            }
        }
        self.commit_next.max(counted.min(have_next))
    }
}

#[cfg(test)]
mod tests;
