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
//!
//! The set of voters may change along the log (S4): below a membership entry the members before it decide,
//! from the entry itself on those behind it. As the next change waits until this one is committed, at most
//! one change is open at a time, and two lists of members are all that is ever kept.
//!
//! ```text
//!   before ───────────▶│ after            m: the membership entry, counted with `after`
//!   ───── commit ──────m──────── have    (a change that needs both sides: with both, before anything behind it)
//! ```

use super::membership::Membership;
use super::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Identity, MEMBERS_MAX, MemberBody, Seq};

/// What an ack of the cluster means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Durability {
    /// In the tail: it survives the process.
    #[default]
    Process = 0,
    /// On the device.
    Power = 1,
}

impl Durability {
    /// As an epoch start carries it.
    pub fn from_wire(value: u8) -> Self {
        if value == 1 { Self::Power } else { Self::Process }
    }
}

/// What one identity acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct AckRow {
    identity: Identity,
    next: Seq,
}

/// Identities whose acks are remembered: the members before and after a change, and as many that a change
/// which is not held yet may list.
const ACK_ROWS_MAX: usize = 2 * MEMBERS_MAX + 2;

/// A change of the membership that is not committed here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Open {
    seq: Seq,
    before: Membership,
    /// It needs a quorum of both sides.
    both: bool,
}

/// Counts acks of one epoch.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Commit {
    epoch: Epoch,
    base: Seq,
    durability: Durability,
    membership: Membership,
    open: Option<Open>,
    /// By identity, so that an ack that came before the entry that lists its sender counts once that is
    /// held. The first ones are the members of `membership`, in its order.
    acked: [AckRow; ACK_ROWS_MAX],
    /// Where the epoch's leader stands in `membership`; beyond it if it is not listed or must acknowledge.
    leader: usize,
    /// The owner holds the log from here on.
    log_from: Seq,
    /// No change stands between `membership` and `first_stored`: somebody who holds that part says so.
    confirmed: bool,
    have_next: Seq,
    commit_next: Seq,
    /// The greatest announcement of an epoch that we do not follow yet (S10).
    ahead: (Epoch, Seq),
    /// The greatest announcement within what we follow.
    announced: Seq,
    /// What all but the owner's own prefix allows to be committed: the owner may hold more and more of the
    /// log, and need not count again. `None` where it is to be counted anew.
    allowed: Option<Seq>,
}

impl Commit {
    /// A counter that holds nothing above `commit_next`, below which everything is committed.
    pub fn new(commit_next: Seq) -> Self {
        let next = commit_next.max(1);
        Self { commit_next: next, have_next: next, log_from: next, leader: MEMBERS_MAX, ..Self::default() }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let Self { commit_next, have_next, log_from: first_stored, .. } = *self;
        assert!(
            commit_next <= have_next,
            "S4: the commit is {commit_next}, and the log is held up to {have_next}"
        );
        assert!(first_stored <= have_next, "S4: the log is held from {first_stored} to {have_next}");
        let row = self.acked.iter().filter(|row| row.next > 0);
        for (at, one) in row.clone().enumerate() {
            let twice = row.clone().skip(at + 1).any(|other| other.identity == one.identity);
            assert!(!twice, "S4: each identity counts once: {:?}", self.acked);
        }
    }

    /// The exclusive bound of what is final and held here.
    #[inline]
    pub fn commit_next(&self) -> Seq {
        self.commit_next
    }

    /// The membership at the end of what is held.
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
        self.acked[position].next
    }

    /// What `identity` has acknowledged in this epoch, listed or not.
    pub fn acked_by(&self, identity: Identity) -> Seq {
        self.acked.iter().find(|row| row.identity == identity).map_or(0, |row| row.next)
    }

    /// Whether `identity` is a member on either side of a change that is not committed here.
    pub fn lists(&self, identity: Identity) -> bool {
        self.membership.lists(identity) || self.open.is_some_and(|open| open.before.lists(identity))
    }

    /// The greatest bound that is known to be committed in the log that is counted, held here or not.
    pub fn known_next(&self) -> Seq {
        self.commit_next.max(self.announced)
    }

    /// The seq of the membership change that is not committed here, if there is one.
    pub fn open_change(&self) -> Option<Seq> {
        self.open.map(|open| open.seq)
    }

    /// The owner holds the start of `epoch` at `base`: earlier acks count no more. A change that the log
    /// inherits stays open.
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
        if !planted(Mutation::AcksOutliveEpoch) {
            self.acked = [AckRow::default(); ACK_ROWS_MAX];
        }
        self.confirmed = false;
        // A change at or above the base is the epoch's own only if its membership says so.
        self.open = self.open.filter(|open| open.seq < base || open.seq == membership.seq);
        self.member_index();
        if self.ahead.0 == epoch {
            self.announced = self.announced.max(self.ahead.1);
        }
        self.recount();
    }

    /// Another history is followed, which was founded at `founded_next` on the one so far: what is final
    /// below stays so, and everything else is heard anew.
    pub fn on_history(&mut self, founded_next: Seq) {
        let Self { log_from: first_stored, have_next, commit_next, announced, .. } = *self;
        let announced = announced.min(founded_next).max(commit_next);
        let leader = MEMBERS_MAX;
        *self = Self { log_from: first_stored, have_next, commit_next, announced, leader, ..Self::default() };
    }

    /// The log has a membership entry at `seq`, behind which `after` is in force, and before it `before`.
    /// It is told when the entry is the next of the log or below, never for one behind a gap.
    pub fn on_membership(&mut self, seq: Seq, before: Membership, after: Membership) {
        self.allowed = None;
        if seq > self.membership.seq && !planted(Mutation::ChangeNotCounted) {
            self.membership = after;
            self.member_index();
        }
        if seq >= self.commit_next
            && self.open.is_none_or(|open| open.seq < seq)
            && let Some(first) = self.open.replace(Open { seq, before, both: before.needs_both(&after) })
        {
            // Nobody stamps a second change before the first is committed.
            self.announced = self.announced.max(first.seq + 1);
        }
    }

    /// Somebody who holds the log of the epoch up to `next` says that its membership is that of `seq`: a
    /// reader that did not begin at the epoch's start knows by it that it has missed no change.
    pub fn on_membership_announced(&mut self, epoch: Epoch, seq: Seq, next: Seq) {
        if !self.confirmed && epoch == self.epoch && seq == self.membership.seq && next >= self.log_from {
            self.confirmed = true;
            self.recount();
        }
    }

    /// The owner's log begins at `next`: what lies before it is not held.
    pub fn on_anchored(&mut self, next: Seq) {
        (self.log_from, self.have_next, self.confirmed) = (next, next.max(self.commit_next), false);
        self.recount();
    }

    /// The owner holds the log of the epoch up to `next`, without a gap.
    #[inline]
    pub fn on_log_end(&mut self, next: Seq) {
        if next > self.have_next {
            self.have_next = next;
            match self.allowed {
                Some(allowed) => self.commit_next = self.commit_next.max(allowed.min(next)),
                None => self.recount(),
            }
        }
    }

    /// The owner's log ends at `next` again: what stood behind it is another epoch's now. A change of the
    /// membership there is forgotten.
    pub fn on_cut(&mut self, next: Seq) {
        self.allowed = None;
        let retained = if planted(Mutation::CutStaysStored) { self.have_next } else { next };
        self.have_next = self.have_next.min(retained).max(self.commit_next);
        self.log_from = self.log_from.min(self.have_next);
        if let Some(open) = self.open.filter(|open| open.seq >= next) {
            self.open = None;
            // Where the start of the epoch that cuts is counted already, the membership is that start's.
            if self.membership.seq == open.seq || self.base < next {
                self.membership = open.before;
                self.member_index();
            }
        }
    }

    /// An ack was heard (or is the owner's own). One of another epoch counts for nothing (S4).
    #[inline]
    pub fn on_ack(&mut self, identity: Identity, epoch: Epoch, next: Seq) {
        if epoch != self.epoch && !planted(Mutation::AckOfAnyEpochCounts) {
            return;
        }
        let row = match self.acked.iter_mut().find(|row| row.identity == identity) {
            Some(row) => row,
            None => match self.spare() {
                Some(spare) => spare,
                None => return,
            },
        };
        if next > row.next {
            *row = AckRow { identity, next };
            // What a quorum holds already, one more vote makes no greater.
            if self.allowed.is_none_or(|allowed| next > allowed) {
                self.recount();
            }
        }
    }

    /// A place for an identity that nobody lists so far: a free one, or that of the lowest ack.
    #[cold]
    fn spare(&mut self) -> Option<&mut AckRow> {
        let retained = self.membership.members().len();
        let open = self.open;
        let before = |identity| open.is_some_and(|open: Open| open.before.lists(identity));
        let unlisted = self.acked[retained..].iter_mut().filter(|row| !before(row.identity));
        let lowest = unlisted.min_by_key(|row| row.next)?;
        lowest.next = 0;
        Some(lowest)
    }

    /// Seats the members in front, with what each has acknowledged, and the others behind them.
    fn member_index(&mut self) {
        let before = self.acked;
        let listed = self.membership.members().iter().map(MemberBody::identity);
        let seated = listed.map(|identity| {
            let known = before.iter().find(|row| row.identity == identity);
            known.copied().unwrap_or(AckRow { identity, next: 0 })
        });
        let others = before.iter().filter(|row| row.next > 0 && !self.membership.lists(row.identity));
        let mut row = [AckRow::default(); ACK_ROWS_MAX];
        for (node, taken) in row.iter_mut().zip(seated.chain(others.copied())) {
            *node = taken;
        }
        self.acked = row;
        let sight = self.durability == Durability::Process;
        let leader = self.membership.position(self.epoch.leader()).filter(|_| sight);
        self.leader = leader.unwrap_or(MEMBERS_MAX);
    }

    /// Somebody announced that its log of `epoch` is committed up to `next`. Evidence of a higher epoch
    /// than ours is remembered and used for that epoch's log only.
    #[inline]
    pub fn on_announced(&mut self, epoch: Epoch, next: Seq) {
        if epoch > self.epoch && !planted(Mutation::HigherEvidenceApplied) {
            self.ahead = self.ahead.max((epoch, next));
        } else {
            self.on_final(next);
        }
    }

    /// Everything below `next` is committed, whatever epoch is followed: a replay gives nothing else, and the
    /// committed prefix is the same in every log (S6).
    #[inline]
    pub fn on_final(&mut self, next: Seq) {
        if next > self.announced {
            self.announced = next;
            // What lies below the commit is no news.
            if next > self.commit_next {
                self.recount();
            }
        }
    }

    /// Whether somebody said that the followed log is committed up to `next`, whoever counts, and whatever is
    /// held.
    pub fn is_final(&self, next: Seq) -> bool {
        next <= self.announced
    }

    /// What [`Commit::commit_next`] would be if the owner held the log up to `next`: whether a frame that
    /// has just arrived is final already.
    #[inline]
    pub fn commit_with(&self, next: Seq) -> Seq {
        let have_next = next.max(self.have_next);
        match self.allowed {
            Some(allowed) => self.commit_next.max(allowed.min(have_next)),
            None => self.count(have_next),
        }
    }

    fn recount(&mut self) {
        // The leader's vote is what the owner holds, and so is the bound: where the one is left out, the
        // other one gives the same. Across a change of the membership it is not so, as each side has its own
        // bound.
        let settled = self.open.is_none() && self.have_next > self.base;
        self.allowed = (settled && !planted(Mutation::CommitPastOwnLog)).then(|| self.count(Seq::MAX));
        self.commit_next = match self.allowed {
            Some(allowed) => self.commit_next.max(allowed.min(self.have_next)),
            None => self.count(self.have_next),
        };
        if let Some(open) = &self.open
            && open.seq < self.commit_next
        {
            self.open = None;
        }
    }

    /// S4 (how far is it committed): the greatest bound that a quorum of the membership there holds in
    /// exactly this epoch, at least one entry of it, and no further than the owner's own prefix. In `process`
    /// mode the sight of a frame is its leader's ack.
    #[inline]
    fn count(&self, have_next: Seq) -> Seq {
        let mut counted = self.announced;
        if have_next > self.base && self.knows_members() {
            let after = self.agreed(have_next);
            let agreed = match &self.open {
                None => after,
                Some(open) => self.agreed_across(open, have_next, after),
            };
            if agreed > self.base || planted(Mutation::EarlierTermsCommit) {
                counted = counted.max(agreed);
            }
        }
        let bound = if planted(Mutation::CommitPastOwnLog) { Seq::MAX } else { have_next };
        self.commit_next.max(counted.min(bound))
    }

    /// Whether no change can stand in the log that the owner has not seen: it holds everything from its own
    /// commit on, and from the membership entry on unless it was told that nothing is missing there.
    #[inline]
    fn knows_members(&self) -> bool {
        self.log_from <= self.commit_next.max(self.announced)
            && (self.membership.seq >= self.log_from || self.log_from == 1 || self.confirmed)
    }

    /// The greatest bound that a quorum of the membership at the log's end holds.
    #[inline]
    fn agreed(&self, have_next: Seq) -> Seq {
        let count = self.membership.members().len();
        if count == 0 {
            return 0;
        }
        let quorum = self.membership.quorum() - usize::from(planted(Mutation::MinorityCommits) && count > 1);
        // A handful of members, the greatest first: a general sort costs three times as much.
        let mut votes = [0; MEMBERS_MAX];
        for (position, row) in self.acked[..count].iter().enumerate() {
            let vote = if position == self.leader { have_next } else { row.next };
            let mut place = position.min(MEMBERS_MAX - 1);
            while place > 0 && votes[place - 1] < vote {
                votes[place] = votes[place - 1];
                place -= 1;
            }
            votes[place] = vote;
        }
        votes[quorum - 1]
    }

    /// The same across a change: `after` is what the members behind it hold. Below the change those before
    /// it decide. A change that needs both sides is committed by both, and nothing behind it before it.
    #[cold]
    fn agreed_across(&self, open: &Open, have_next: Seq, after: Seq) -> Seq {
        let mut votes = [0; MEMBERS_MAX];
        for (vote, member) in votes.iter_mut().zip(open.before.members()) {
            let identity = member.identity();
            let is_leader = self.durability == Durability::Process && identity == self.epoch.leader();
            let row = self.acked.iter().find(|row| row.identity == identity);
            *vote = if is_leader { have_next } else { row.map_or(0, |row| row.next) };
        }
        votes.sort_unstable_by(|a, b| b.cmp(a));
        let before = if open.before.members().is_empty() { 0 } else { votes[open.before.quorum() - 1] };
        // An inherited change is committed by who holds the start of this epoch behind it.
        let change = open.seq.max(self.base);
        let alone = !open.both || open.before.is_pair() && planted(Mutation::PairCommitsAfterAlone);
        if after > change && (alone || before > change) { after } else { before.min(open.seq) }
    }
}

#[cfg(test)]
mod tests;
