//! # membership: who votes
//!
//! The set of identities in force at a seq is a function of the log (S4): the last membership entry or
//! epoch start at or below it. It filters what is counted, never what is heard. It changes by one identity
//! at a time, so that two quorums, one of each side of a change, always share a member:
//!
//! ```text
//!   {1 2 3} ── add 4 ──▶ {1 2 3 4}      2 of 3 and 3 of 4 meet
//!   {1 2} ── add 3 ──▶ {1 2 3}          2 of 2 and 2 of 3 meet, but one may be declared dead by the
//!                                       operator: so a change from two needs both quorums
//!   {1 2 3} ── 3 by 3' ──▶ {1 2 3'}     {1 3} and {2 3'} do not meet: it needs both quorums too
//! ```

use super::planted::{Mutation, planted};
use bytemuck::Zeroable;
use lockstep_wire::{
    Change, CommandReject, EntryKind, EpochStartView, FrameView, HEADER_LEN, Identity, MEMBERS_MAX,
    MemberBody, MembershipView, Seq, parse_genesis,
};

/// The members in force from `seq` on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Membership {
    members: [MemberBody; MEMBERS_MAX],
    count: u8,
    /// The seq of the entry that says so; 0 while none is known.
    pub seq: Seq,
}

impl Default for Membership {
    fn default() -> Self {
        Self { members: [MemberBody::zeroed(); MEMBERS_MAX], count: 0, seq: 0 }
    }
}

impl Membership {
    /// The members of an epoch start at `seq`.
    pub fn of_start(start: &EpochStartView<'_>, seq: Seq) -> Self {
        Self::collect(start.members(), seq)
    }

    /// The members of a birth, which is entry 1; `None` if its payload is none.
    pub fn of_genesis(payload: &[u8]) -> Option<Self> {
        Some(Self::collect(parse_genesis(payload).ok()?, 1))
    }

    /// The new list of a membership entry at `seq`; `None` for one that is only submitted and has none.
    pub fn of_change(changed: &MembershipView<'_>, seq: Seq) -> Option<Self> {
        (changed.members().len() > 0).then(|| Self::collect(changed.members(), seq))
    }

    /// The list before a membership entry: its change taken back. `None` as for [`Membership::of_change`].
    pub fn before_change(changed: &MembershipView<'_>) -> Option<Self> {
        let after = Self::of_change(changed, changed.body.after)?;
        match changed.change() {
            Change::Add => Some(after.without(changed.body.member.identity())),
            Change::Remove => after.with(changed.body.member),
            Change::Replace => after.replacing(changed.body.member),
        }
    }

    /// The members in this list; more than [`MEMBERS_MAX`] are a caller's error and panic.
    pub fn collect(list: impl IntoIterator<Item = MemberBody>, seq: Seq) -> Self {
        let mut membership = Self { seq, ..Self::default() };
        for member in list {
            membership.members[usize::from(membership.count)] = member;
            membership.count += 1;
        }
        membership
    }

    /// The listed members.
    pub fn members(&self) -> &[MemberBody] {
        &self.members[..usize::from(self.count)]
    }

    /// Votes that decide: more than half.
    pub fn quorum(&self) -> usize {
        usize::from(self.count) / 2 + 1
    }

    /// S9 (who is listed): where `identity` stands in the list. It is its number *and* its incarnation: who
    /// may have forgotten something comes back under a new one, and what the old one said counts for nothing.
    pub fn position(&self, identity: Identity) -> Option<usize> {
        let is = |member: &MemberBody| {
            member.identity() == identity
                || planted(Mutation::OldIncarnationCounts) && member.replica == identity.replica
        };
        self.members().iter().position(is)
    }

    /// Whether `identity` has a vote.
    pub fn lists(&self, identity: Identity) -> bool {
        self.position(identity).is_some()
    }

    /// Whether `identity` is listed as a witness.
    pub fn is_witness(&self, identity: Identity) -> bool {
        self.position(identity).is_some_and(|position| self.members[position].is_witness())
    }

    /// Whether `identity` may lead: it is listed, and no witness.
    pub fn may_lead(&self, identity: Identity) -> bool {
        self.position(identity).is_some_and(|position| !self.members[position].is_witness())
    }

    /// The listed member with the lowest replica number that may lead.
    pub fn lowest(&self) -> Option<Identity> {
        self.members().iter().filter(|member| !member.is_witness()).map(MemberBody::identity).min()
    }

    /// Whether more than half of the members are among `voters`, in which one may stand twice.
    pub fn is_quorum(&self, voters: &[Identity]) -> bool {
        let mut votes = self.members().iter().filter(|member| voters.contains(&member.identity())).count();
        if planted(Mutation::OldIncarnationCounts) {
            votes = self.members().iter().filter(|m| voters.iter().any(|v| v.replica == m.replica)).count();
        }
        self.count > 0 && (votes >= self.quorum() || planted(Mutation::MinorityPromises))
    }

    /// Whether these are two members, of which the operator may declare one dead.
    pub fn is_pair(&self) -> bool {
        self.count == 2
    }

    /// MEMBER-3 (both sides): whether the change from here to `after` needs a quorum of both until it is
    /// known to be committed. From two members, as the operator may declare one of them dead; and where one
    /// takes the place of another, as a quorum of one side need not meet one of the other.
    pub fn needs_both(&self, after: &Self) -> bool {
        self.is_pair() || self.count == after.count && !planted(Mutation::SwapCountedOnce)
    }

    /// The same list with one more member; `None` if it is full.
    fn with(self, member: MemberBody) -> Option<Self> {
        let room = usize::from(self.count) < MEMBERS_MAX;
        room.then(|| Self::collect(self.members().iter().copied().chain([member]), self.seq))
    }

    /// The same list with `member` at the place of the listed one of the same replica; `None` if there is
    /// none.
    fn replacing(mut self, member: MemberBody) -> Option<Self> {
        let place = self.members().iter().position(|listed| listed.replica == member.replica)?;
        self.members[place] = member;
        Some(self)
    }

    /// The same list without `identity`.
    pub fn without(self, identity: Identity) -> Self {
        let stays = |member: &MemberBody| member.identity() != identity;
        Self::collect(self.members().iter().copied().filter(stays), self.seq)
    }
}

/// The members whose votes decide whether a log may be led (S5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Electorate {
    /// The membership at the log's end.
    pub at_end: Membership,
    /// The last change in the log that may not be committed: its seq, and the members before it.
    pub change: Option<(Seq, Membership)>,
}

impl Electorate {
    /// Whether these promises elect. A change that needs both sides and is not known to be committed takes a
    /// quorum of the members before it as well, or each side could go on alone.
    pub fn elects(&self, promised: &[Identity], commit_next: Seq) -> bool {
        let open = self.change.filter(|(seq, before)| *seq >= commit_next && before.needs_both(&self.at_end));
        let open =
            open.filter(|(_, before)| !(before.is_pair() && planted(Mutation::PairPromisesAfterAlone)));
        self.at_end.is_quorum(promised) && open.is_none_or(|(_, before)| before.is_quorum(promised))
    }

    /// Whether `identity` is listed as one that may lead.
    pub fn lists(&self, identity: Identity) -> bool {
        self.at_end.may_lead(identity) || planted(Mutation::UnlistedLeads)
    }
}

/// What a leader knows when it is asked for a change.
#[derive(Clone, Copy, Debug)]
pub struct PendingChange<'a> {
    /// The leader itself.
    pub leader: Identity,
    /// The membership at the end of its log.
    pub membership: &'a Membership,
    /// Whether the start of its epoch is committed.
    pub start_committed: bool,
    /// Whether the last change is.
    pub change_committed: bool,
}

/// MEMBER-1 (one at a time): the membership behind a change, or why it is not made. The next change waits
/// until this one is committed, the first of an epoch until the epoch start is. An identity is added only
/// while none of the same replica is listed: a dead one is removed first, never afterwards, or replaced by
/// its next life in one step. A leader is not removed while it leads, and the last full member never.
pub fn judge_change(
    standing: &PendingChange<'_>,
    asked: &MembershipView<'_>,
) -> Result<Membership, CommandReject> {
    let (before, member) = (standing.membership, asked.body.member);
    if asked.body.after != before.seq && !planted(Mutation::LateOrderTaken) {
        return Err(CommandReject::Stale);
    }
    if !standing.start_committed && !planted(Mutation::ChangeBeforeStart) {
        return Err(CommandReject::StartPending);
    }
    if !standing.change_committed && !planted(Mutation::ChangeDoesNotWait) {
        return Err(CommandReject::ChangePending);
    }
    match asked.change() {
        Change::Add
            if before.members().iter().any(|listed| listed.replica == member.replica)
                && !planted(Mutation::ReplicaListedTwice) =>
        {
            Err(CommandReject::ReplicaListed)
        }
        Change::Add => before.with(member).ok_or(CommandReject::Full),
        Change::Remove => judge_removal(before, member.identity(), Some(standing.leader)),
        Change::Replace => judge_replacement(before, member, standing.leader),
    }
}

/// One life of a replica takes the place of another. Of two members both must acknowledge it, the one that
/// leaves as well; that one is dead most often, nothing behind the change would be committed, and the stream
/// would stand still.
fn judge_replacement(
    before: &Membership,
    member: MemberBody,
    leader: Identity,
) -> Result<Membership, CommandReject> {
    let listed = before.members().iter().find(|listed| listed.replica == member.replica);
    let leaving = listed.map(MemberBody::identity).filter(|leaving| *leaving != member.identity());
    match leaving {
        None => Err(CommandReject::NotListed),
        Some(leaving) if leaving == leader => Err(CommandReject::Leads),
        Some(_) if before.is_pair() => Err(CommandReject::TwoMembers),
        Some(_) => {
            let after = before.replacing(member).ok_or(CommandReject::NotListed)?;
            if after.lowest().is_none() { Err(CommandReject::LastMember) } else { Ok(after) }
        }
    }
}

fn judge_removal(
    before: &Membership,
    leaving: Identity,
    leader: Option<Identity>,
) -> Result<Membership, CommandReject> {
    if !before.lists(leaving) {
        return Err(CommandReject::NotListed);
    }
    if leader == Some(leaving) && !planted(Mutation::LeaderRemoved) {
        return Err(CommandReject::Leads);
    }
    let after = before.without(leaving);
    let may_end = planted(Mutation::LastMemberRemoved);
    if after.lowest().is_none() && !may_end { Err(CommandReject::LastMember) } else { Ok(after) }
}

/// What a node knows of itself when it is told that the other of two members is dead.
#[derive(Clone, Copy, Debug)]
pub struct SurvivorEvidence<'a> {
    /// The identity.
    pub identity: Identity,
    /// The membership at its commit.
    pub committed: &'a Membership,
    /// Whether its log holds a change above that.
    pub has_change: bool,
    /// Whether it can prove that it forgot nothing (S9).
    pub is_complete: bool,
    /// Whether the other was heard within a timeout.
    pub other_is_alive: bool,
}

/// MEMBER-2 (the operator's word): the membership without `dead`, or why its death is not believed. The word
/// stands for that identity's promise and for its acks of the epoch start and of its removal, for this
/// survivor only.
pub fn judge_death(survivor: &SurvivorEvidence<'_>, dead: Identity) -> Result<Membership, CommandReject> {
    let before = survivor.committed;
    if dead == survivor.identity {
        return Err(CommandReject::SelfDeclared);
    }
    if !before.lists(dead) {
        return Err(CommandReject::NotListed);
    }
    if !before.is_pair() || !before.lists(survivor.identity) {
        return Err(CommandReject::NotTwo);
    }
    if survivor.has_change {
        return Err(CommandReject::ChangePending);
    }
    if !survivor.is_complete {
        return Err(CommandReject::Incomplete);
    }
    if survivor.other_is_alive {
        return Err(CommandReject::Alive);
    }
    if !before.may_lead(survivor.identity) {
        return Err(CommandReject::Witness);
    }
    judge_removal(before, dead, None)
}

/// The lists before and behind the change that a frame begins with, if it begins with one. A leader stamps
/// a change as the first entry of a frame, so that nobody need look through every frame for it.
#[inline]
pub fn change_in(frame: &FrameView<'_>) -> Option<(Membership, Membership)> {
    let is_change = frame.bytes.get(HEADER_LEN) == Some(&(EntryKind::Membership as u8));
    if is_change { read_change(frame) } else { None }
}

#[cold]
fn read_change(frame: &FrameView<'_>) -> Option<(Membership, Membership)> {
    let changed = MembershipView::parse(frame.entries().next()?.payload).ok()?;
    let after = Membership::of_change(&changed, frame.header.first_seq)?;
    Some((Membership::before_change(&changed)?, after))
}

#[cfg(test)]
mod tests;
