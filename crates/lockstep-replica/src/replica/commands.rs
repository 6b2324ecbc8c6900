//! The commands and queries of operators: a membership change, a handover, a declaration of death, and the
//! status.
//!
//! Commands are rare. A rule of `proto::membership` judges each one. The result, accepted or the reason for
//! the rejection, is sent back or shown in the status.

use super::orders::Operator;
use super::{Ctx, Leading, ReplicaCore, ReplicaEngine, Role, RoleState, time_order, versions};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::election::Promise;
use lockstep_core::proto::failure_detector::FailureDetectorLimits;
use lockstep_core::proto::membership::{
    Membership, PendingChange, SurvivorEvidence, judge_change, judge_death,
};
use lockstep_core::proto::redundancy;
use lockstep_core::proto::sequence::Stamp;
use lockstep_wire::{
    Change, CommandReject, Condition, EntryKind, Epoch, Header, Identity, MEMBERS_MAX, MEMBERSHIP_LEN_MAX,
    MemberBody, MembershipView, Nanos, OperatorOrder, OrderProof, OrderStatement, Wall, named_arguments,
    write_membership,
};

/// A member without contact for this many timeouts is unavailable, ...
const UNAVAILABLE_TIMEOUTS: u64 = 16;
/// ... but not before this: a thread on a shared core may wait for some dozens of milliseconds.
const UNAVAILABLE_NS_MIN: Nanos = 250_000_000;
/// ... and no later than this, or than two timeouts: an operator who has started a member waits for so long.
const UNAVAILABLE_NS_MAX: Nanos = 2_000_000_000;

/// How long a member may be silent, or behind, before it counts as unavailable, and how long it is well
/// before it is available again.
pub(super) fn redundancy_patience(failure_detector: &FailureDetectorLimits) -> Nanos {
    let timeout_ns = failure_detector.timeout_ns;
    let most = UNAVAILABLE_NS_MAX.max(2 * timeout_ns);
    (UNAVAILABLE_TIMEOUTS * timeout_ns).clamp(UNAVAILABLE_NS_MIN, most)
}

/// A change that this leader did not make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct LastRejectedCommand {
    /// The member of the change.
    pub(super) member: Identity,
    pub(super) why: CommandReject,
    pub(super) at: Wall,
}

impl<P: Ports> ReplicaEngine<P> {
    /// The leader hands over to `to`, or to the member that holds most: it stops stamping, and steps down
    /// once its successor holds everything. Returns whether it leads, and another member can take over.
    pub fn start_handover(&mut self, now: Nanos, to: Option<Identity>) -> bool {
        match &mut self.role {
            RoleState::Leading(leading) => leading.start_handover(&self.core, now, to),
            RoleState::Following(_) => false,
        }
    }

    /// Whether it leads, and waits for its successor to hold everything.
    pub fn hands_over(&self) -> bool {
        self.role.leading().is_some_and(|leading| leading.handover.is_some())
    }
}

impl Leading {
    /// The members after a submitted change, if it may be made; none if it has been made already.
    pub(super) fn judge_submitted(
        &self,
        core: &ReplicaCore,
        asked: &MembershipView<'_>,
    ) -> Result<Option<Membership>, CommandReject> {
        let member = asked.body.member.identity();
        let standing = PendingChange {
            leader: core.identity(),
            membership: &core.log.membership,
            start_committed: core.commit_next() > core.followed.epochs.base(),
            change_committed: core.log.change.is_none(),
        };
        match judge_change(&standing, asked) {
            Ok(after) => Ok(Some(after)),
            // A copy of a command that was carried out.
            Err(CommandReject::Stale)
                if core.log.membership.lists(member) == (asked.change() != Change::Remove) =>
            {
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }

    /// Stamps a change as the first entry of a frame of its own. The new members count from this entry on.
    /// It may lie one entry beyond the window, as the next change waits for its commit.
    pub(super) fn stamp_change<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        change: Change,
        member: MemberBody,
        after: &Membership,
    ) -> bool {
        let before = ctx.core.log.membership;
        // For a member that leaves, the entry contains everything: a reader undoes the change by it.
        let leaves = |listed: &&MemberBody| match change {
            Change::Replace => listed.replica == member.replica,
            Change::Add | Change::Remove => listed.identity() == member.identity(),
        };
        let listed = before.members().iter().find(leaves).copied();
        let mut payload = [0; MEMBERSHIP_LEN_MAX];
        let member = listed.unwrap_or(member);
        let length = write_membership(&mut payload, before.seq, change, member, after.members());
        let stamp = Stamp::of_cluster(EntryKind::Membership);
        self.close_frame(ctx, false);
        let Some(seq) = self.append_entry(ctx, stamp, &payload[..length]) else { return false };
        let after = Membership::collect(after.members().iter().copied(), seq);
        ctx.core.log.on_change(before, after);
        ctx.core.followed.commit.on_membership(seq, before, after);
        self.close_frame(ctx, false);
        // Both are indexed by the place in the list.
        self.quorum_contacts = 0;
        self.member_contact = [0; MEMBERS_MAX];
        self.redundancy.restart(ctx.core.turns.polled_at);
        true
    }

    /// MEMBER-2, MEMBER-3: a change that needs both sides takes a quorum of both until it is known to be
    /// committed. The one that is left may be started anew, and knows what its journal knows: so the
    /// journal is told, by an entry behind the change.
    #[cold]
    pub(super) fn stamp_change_committed<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) {
        let stamp = Stamp::of_cluster(EntryKind::ChangeCommitted);
        // Without room it is stamped at a later turn.
        self.uncommitted_change = self.append_entry(ctx, stamp, &[]).is_none();
        self.close_frame(ctx, false);
    }

    /// Directly behind the epoch start, before anything else is stamped: the removal of the member that the
    /// operator declared dead (the one change that waits for nothing) and that member's acks of both
    /// entries. These acks count for nothing between the two. Returns whether that is done; the journal may
    /// have no room.
    pub(super) fn remove_declared_dead<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) -> bool {
        let Some(dead) = ctx.core.declared_dead else { return true };
        let (epoch, base) = (ctx.core.followed.epoch(), ctx.core.followed.epochs.base());
        ctx.core.followed.commit.on_ack(dead, epoch, base + 1);
        self.poll_commit(ctx.core);
        let members = ctx.core.log.membership;
        if let Some(position) = members.position(dead) {
            let member = members.members()[position];
            let after = members.without(dead);
            if !self.stamp_change(ctx, Change::Remove, member, &after) {
                return false;
            }
        }
        ctx.core.followed.commit.on_ack(dead, epoch, ctx.core.log.membership.seq + 1);
        ctx.core.declared_dead = None;
        // If the removed member lives and was informed that we are dead, it leads too: we listen for it.
        self.removed_dead = Some(dead);
        ctx.core.outbox.rejoins = true;
        true
    }

    /// The operator declared each of two survivors dead to the other. Two streams exist now, and only a
    /// stop prevents that they diverge further. The operator retains one of the journals. Returns whether
    /// that is so; the last heartbeat of this node notifies the other.
    pub(super) fn has_diverged(&mut self, core: &mut ReplicaCore, header: &Header) -> bool {
        // A member that lives and was only cut off is unchanged: it follows us. The first epoch of a
        // history needs no other member.
        let epoch = header.epoch();
        let parted =
            self.removed_dead == Some(header.identity()) && epoch > self.before_led && epoch.round() > 1;
        if parted && !self.diverged {
            self.diverged = true;
            core.events.push(ReplicaEvent::DeclaredDeadBoth { other: header.epoch(), own: core.led });
        }
        parted
    }

    /// Which members hold the log. The cluster still commits without a minority of them, and the operator
    /// must know.
    pub(super) fn check_redundancy<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) {
        let now = ctx.turn.now;
        let (me, members) = (ctx.core.identity(), ctx.core.log.membership);
        let listed = members.members().len();
        let Self { redundancy, member_contact, .. } = self;
        let ReplicaCore { followed, events, counters, .. } = ctx.core;
        let last_contact = |place: usize| redundancy::MemberContact {
            at: member_contact[place],
            acked_next: followed.commit.acked(place),
        };
        let mut changes = [None; MEMBERS_MAX];
        let mut count = 0;
        let available =
            redundancy.poll(now, (me, &members), followed.commit.commit_next(), last_contact, |change| {
                changes[count] = Some(change);
                count += 1;
            });
        for redundancy::AvailabilityChange { identity, unavailable, lasted } in changes.into_iter().flatten()
        {
            counters.add(Counter::MembersUnavailable, u64::from(unavailable.is_some()));
            events.push(ReplicaEvent::Member {
                identity,
                unavailable,
                available: available as u8,
                listed: listed as u8,
                lasted,
            });
        }
        counters.set(Counter::MembersAvailable, available as u64);
        let numbers = (available as u64, listed as u64);
        ctx.core.set_condition(Condition::RedundancyLost, available < listed, now, numbers);
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// Carries out an order about what `name` names, if it was given for the present epoch and members, and
    /// is signed: a copy that comes later does nothing. The error is the reason for a refusal.
    pub(super) fn on_order(
        &mut self,
        role: &mut RoleState,
        header: &Header,
        order: OperatorOrder,
        name: &str,
        operator: Operator,
        proof: Option<&OrderProof>,
    ) -> Result<(), CommandReject> {
        let (subject, now): (Option<Identity>, _) = (name.parse().ok(), self.turn.now);
        let present = (self.tail.end().epoch, self.core.log.membership.seq);
        if (header.epoch(), { header.first_seq }) != present {
            return Err(CommandReject::Stale);
        }
        if !self.core.pending_orders.has_room() {
            return Err(CommandReject::Busy);
        }
        let dead = subject.unwrap_or_default();
        let is_new = match order {
            OperatorOrder::Handover => self.judge_handover(role, subject)?,
            OperatorOrder::Upgrade => {
                versions::judge_upgrade(role, name.parse().unwrap_or(0)).map(|()| true)?
            }
            OperatorOrder::Time => {
                let before = Wall(name.parse().unwrap_or(0));
                time_order::judge(self, role, &self.tail.end(), before).map(|()| true)?
            }
            _ => self.judge_declaration(role.role(), dead)?,
        };
        if !is_new {
            return Ok(());
        }
        let ((epoch, membership_seq), arguments) = (present, &*named_arguments(order, name));
        let asked = OrderStatement {
            order,
            history: self.core.followed.history(),
            epoch,
            membership_seq,
            subject,
            arguments,
        };
        let record = self.core.prove_order(now, &asked, &operator, proof)?;
        match (order, role) {
            (OperatorOrder::Handover, RoleState::Leading(leading)) => {
                leading.start_handover(self.core, now, subject);
            }
            // It is carried out where it is recorded.
            (OperatorOrder::Upgrade | OperatorOrder::Time, _) => {}
            _ => {
                self.void_declaration();
                self.core.declared_dead = Some(dead);
            }
        }
        self.core.accept_order(order, record);
        Ok(())
    }

    /// Whether we would begin now to hand over to `to`, or to the member that holds most. The error is the
    /// reason for a refusal.
    fn judge_handover(&self, role: &RoleState, to: Option<Identity>) -> Result<bool, CommandReject> {
        let RoleState::Leading(leading) = role else { return Err(CommandReject::NotLeader) };
        if leading.handover.is_some_and(|handover| to.is_none() || handover.to == to) {
            return Ok(false);
        }
        if leading.draining {
            return Err(CommandReject::Busy);
        }
        let members = &self.core.log.membership;
        match to {
            Some(to) if to == self.core.identity() => return Err(CommandReject::Leads),
            Some(to) if !members.lists(to) => return Err(CommandReject::NotListed),
            Some(to) if !members.may_lead(to) => return Err(CommandReject::Witness),
            _ => {}
        }
        let me = self.core.identity();
        if members.members().iter().any(|member| member.identity() != me && !member.is_witness()) {
            Ok(true)
        } else {
            Err(CommandReject::LastMember)
        }
    }

    /// Whether the operator's declaration that the other of two members is dead is new. From then on the
    /// declaration replaces its grant and its promise here, and then its acks of our epoch start and of its
    /// removal. The error is the reason for a refusal.
    fn judge_declaration(&self, role: Role, dead: Identity) -> Result<bool, CommandReject> {
        if self.core.declared_dead == Some(dead) {
            return Ok(false);
        }
        self.check_declare_dead(role, dead).map(|()| true)
    }

    /// The declaration of death has no effect any more.
    pub(super) fn void_declaration(&mut self) {
        self.core.declared_dead = None;
        self.core.pending_orders.forget(OperatorOrder::DeclareDead);
    }

    /// Whether the declaration that `dead` is dead may be accepted in the present state.
    fn check_declare_dead(&self, role: Role, dead: Identity) -> Result<(), CommandReject> {
        let me = self.core.identity();
        let committed = self.core.log.change.map_or(self.core.log.membership, |(_, before)| before);
        // We stopped after we had stamped its removal: the same declaration lets us continue.
        let is_same = committed.is_pair() && self.core.log.membership.members().len() == 1;
        let survivor = SurvivorEvidence {
            identity: me,
            committed: &committed,
            has_change: self.core.log.change.is_some() && !(is_same && self.core.log.membership.lists(me)),
            // An incomplete journal does not start as a member (S9).
            is_complete: role == Role::Standby || role == Role::Leader,
            other_is_alive: role == Role::Leader || self.core.election.is_calm(),
        };
        judge_death(&survivor, dead).map(|_| ())
    }

    /// The weight of the operator's declaration in an election. It has none once a leader is received again
    /// or the members are others than those two: a promise in the dead member's name would then belong to a
    /// quorum without it.
    pub(super) fn count_declared_dead(&mut self) {
        let Some(by) = self.core.declared_dead else { return };
        if self.check_declare_dead(Role::Standby, by).is_err() {
            self.void_declaration();
            return;
        }
        self.core.election.on_grant(by);
        if let Some(ballot) = self.core.election.ballot() {
            let nothing = Promise { by, accepted: Epoch::NONE, next: 1, chain: 0, commit_next: 1 };
            self.core.election.on_promise(ballot, nothing);
        }
    }

    /// Whether a full standby holds what a witness may have dropped. Rings have one size in a cluster: a
    /// frame that has left our ring has left that of the witness. A member that has sent nothing in our
    /// epoch is assumed to end where that epoch began.
    pub(super) fn check_exposure(&mut self) {
        let now = self.turn.now;
        let members = self.core.log.membership;
        let has_witness = members.members().iter().any(|member| member.is_witness());
        let best =
            self.core.successor(None).map_or(0, |(_, acked)| acked.max(self.core.followed.epochs.base()));
        // Most often the standbys hold everything that is committed, and the ring need not be inspected.
        let exposed = has_witness && best < self.core.commit_next() && best < self.tail.oldest_seq();
        self.core.set_condition(Condition::Exposed, exposed, now, (best, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by hand: with a timeout of two seconds a member that was back counted as missing for half a
    /// minute, and one that was killed as there.
    #[test]
    fn a_member_is_missed_and_is_back_within_two_seconds_or_two_timeouts() {
        let patience_ms = |timeout_ms: u64| {
            let limits = FailureDetectorLimits { timeout_ns: timeout_ms * 1_000_000, ..Default::default() };
            redundancy_patience(&limits) / 1_000_000
        };
        let found = [1, 7, 20, 125, 500, 2_000, 60_000].map(patience_ms);
        assert_eq!(found, [250, 250, 320, 2_000, 2_000, 4_000, 120_000]);
    }
}
