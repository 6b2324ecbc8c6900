//! The half of a replica that detects the loss of the leader, votes, and takes over.
//!
//! Replies are queued during a turn and sent at its end: a promise only once it is stored (S2), and one
//! reply to many copies of a request.

use super::{Ctx, FollowerRole, Following, ReplicaCore, ReplicaEngine, RoleState, Turn, send_small};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role, StepDownReason};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::proto::accept::PrepareOutcome;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::Promise;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::rounds;
use lockstep_wire::{
    BallotBody, Condition, Datagram, Epoch, Header, Identity, IdentityProbeBody, Kind, Nanos, ROUND_MAX,
    Reject, SMALL_LEN_MAX, write_presence,
};

/// What a replica is to send at the end of its turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Outbox {
    /// The number of the last datagram.
    pub(super) number: u64,
    /// Our promise, once it is stored.
    promise: bool,
    /// A refusal of this epoch.
    refuse: Option<Epoch>,
    /// A grant to the candidate that asked about this (ballot, epoch).
    grant: Option<(Epoch, Epoch)>,
    /// The frames that we hold beyond the log of this candidate.
    salvage: Option<Header>,
    /// A probe for another process under our identity, ...
    pub(super) probe_due: Option<IdentityProbeBody>,
    /// ... and our reply to such a probe.
    pub(super) probe_reply_due: Option<IdentityProbeBody>,
    /// When a refusal was last sent.
    pub(super) refused_at: Nanos,
    /// The node led: its device is to join the leader's group again.
    pub(super) rejoins: bool,
}

impl Outbox {
    /// Whether nothing is to be sent, as in most turns.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        let votes = self.promise || self.refuse.is_some() || self.grant.is_some() || self.salvage.is_some();
        !votes && !self.rejoins && self.probe_due.is_none() && self.probe_reply_due.is_none()
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// Checks whether the leader is missed, votes, and advances a candidacy. `drained` reports that this
    /// turn received everything that waited.
    pub(super) fn poll_election(&mut self, turn: Turn) {
        let Turn { now, drained, .. } = turn;
        let (mut ctx, net, role) = self.parts(turn);
        let RoleState::Following(following) = role else { return };
        let mut won = None;
        if following.role == FollowerRole::Blank || !ctx.core.identity_watch.probe.may_vote() {
            ctx.core.failure_detector.poll(now, drained);
        } else if following.role == FollowerRole::Standby {
            // A standby that never leads misses the leader as well, and grants pre-votes.
            following.poll_failure_detector(&mut ctx);
            let core = &ctx.core;
            if core.standing.may_lead && (core.declared_dead.is_some() || !core.election.is_calm()) {
                won = following.poll_takeover(&mut ctx, net);
            }
        }
        if let Some((leadership, commit_won)) = won {
            role.become_leader(&mut ctx, net, leadership, commit_won);
        }
        ctx.flush_reply(net);
    }

    /// A leader has pending replies as well, seldom.
    #[cold]
    pub(super) fn flush_pending_replies(&mut self, turn: Turn) {
        let (mut ctx, net, _) = self.parts(turn);
        ctx.flush_all(net);
    }
}

impl Following {
    /// A sender acts below our promise: it is refused.
    pub(super) fn queue_refuse(&mut self, core: &mut ReplicaCore, about: Epoch) {
        if core.has_vote(self.role.into())
            && core.identity_watch.probe.may_vote()
            && about < core.acceptor.promised()
            && about.round() > 0
        {
            core.outbox.refuse = Some(about);
        }
    }
}

impl ReplicaCore {
    /// A datagram names an epoch. Returns whether its round is accepted.
    #[inline]
    pub(super) fn observe_round(&mut self, now: Nanos, epoch: Epoch) -> bool {
        let seen = self.election.round_seen();
        let believed = self.election.on_epoch_seen(now, epoch);
        if !believed {
            self.on_round_refused(epoch, seen);
        }
        believed
    }

    #[cold]
    fn on_round_refused(&mut self, epoch: Epoch, seen: u32) {
        if self.counters.get(Counter::RoundsRefused) == 0 {
            self.events.push(ReplicaEvent::RoundRefused { epoch, seen });
        }
        self.counters.add(Counter::RoundsRefused, 1);
    }

    /// Whether `from` is a member on either side of the last change. Of two members, one that leaves still
    /// has to acknowledge its removal; one that refuses will not.
    pub(super) fn counts(&self, from: Identity) -> bool {
        self.log.membership.lists(from) || self.log.change.is_some_and(|(_, before)| before.lists(from))
    }

    /// Whether this replica promises and grants. A blank node does so if it promised before: its log never
    /// reached the device, so it acknowledged nothing of it, and the others need only its promise.
    pub(super) fn has_vote(&self, role: Role) -> bool {
        match role {
            Role::Standby | Role::Leader => true,
            Role::Blank => self.acceptor.promised() > Epoch::NONE,
            Role::Learner => !self.standing.is_archiver && self.acceptor.promised() > self.followed.epoch(),
        }
    }

    /// S12 (a history that was never led): a node that stores nothing votes for a candidate whose log is the
    /// genesis alone. Nobody can be given a genesis before an epoch has begun, so without these votes no
    /// epoch begins once the founder has lost the right to the first one. A journal that starts is complete
    /// (S9): this node has accepted nothing, and its promise says so.
    fn votes_from_blank(&self, role: Role, candidate: &Header) -> bool {
        role == Role::Blank
            && !self.standing.is_archiver
            && candidate.epoch().round() == 0
            && candidate.first_seq == 2
            && !planted(Mutation::BlankAbstains)
    }

    /// Whether we would follow another leader: then we grant a pre-vote.
    pub(super) fn misses_leader(&self, role: Role) -> bool {
        role != Role::Leader
            && self.has_vote(role)
            && (!self.election.is_calm() || self.failure_detector.is_suspected())
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// A datagram of an election, on the control group. Every voter uses the same rules, the leader
    /// included.
    pub(super) fn on_election(
        &mut self,
        role: &mut RoleState,
        datagram: &Datagram<'_>,
    ) -> Result<(), Reject> {
        let now = self.turn.now;
        match datagram {
            Datagram::Prepare(header, body)
            | Datagram::Promise(header, body)
            | Datagram::Refuse(header, body)
            | Datagram::PreVote(header, body)
            | Datagram::Grant(header, body) => {
                self.core.identity_watch.note_other_leader(
                    &self.core.log,
                    role.role(),
                    header,
                    &mut self.core.events,
                );
                self.core.rx.check_history(&mut self.core.followed, header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    // The epoch of a pre-vote is no ballot yet. Otherwise two nodes that miss a leader
                    // alone would raise each other's rounds, a thousand per second, until no rounds are
                    // left.
                    let asks = matches!(datagram, Datagram::PreVote(..) | Datagram::Grant(..));
                    let believed = self.core.observe_round(now, header.epoch());
                    if !believed || !asks && !self.core.observe_round(now, Epoch(body.ballot)) {
                        return Ok(()); // and raised our round towards it: a real candidate asks again
                    }
                    if self.core.declared_dead == Some(header.identity()) {
                        self.void_declaration(); // it lives
                    }
                    self.core.clocks.on_member(&self.core.log.membership, now, header);
                    self.on_ballot(role, header, body);
                }
            }
            Datagram::DeathNotice(header, body) => {
                self.core.rx.check_history(&mut self.core.followed, header)?;
                if let RoleState::Following(following) = role {
                    following.on_down(self, header, body);
                }
            }
            // Whatever its history: it has our identity.
            Datagram::IdentityProbe(header, body) => self.core.on_presence(header, body),
            Datagram::StepDown(header, body) => {
                self.core.rx.check_history(&mut self.core.followed, header)?;
                if !self.core.is_own_identity(header, body.process_nonce)
                    && let RoleState::Following(following) = role
                {
                    following.on_step_down(self, header, body);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_ballot(&mut self, role: &mut RoleState, header: &Header, body: &BallotBody) {
        let (from, ballot, about) = (header.identity(), Epoch(body.ballot), Epoch(body.about));
        // The ballot is of no use to us, but the sender's log position is: without it a quorum may never
        // form. That log may contain the very entry that lists us, or the one that decides whose votes
        // suffice, also if it ends in a later epoch than the one that we follow: we ask for the start of
        // that epoch. Only a candidate follows its own log.
        let now_role = role.role();
        let lacks = match now_role {
            Role::Blank | Role::Learner => true,
            Role::Standby => self.core.election.ballot().is_none(),
            Role::Leader => false,
        };
        if lacks {
            self.core.rx.on_ballot(&mut self.core.followed, header, &mut self.core.counters);
        }
        match Kind::from_u8(header.kind) {
            // Only the candidate that would lead a ballot asks for it.
            Some(Kind::Prepare) if ballot.leader() != from => {}
            // S12: another process of this identity may live. A candidate asks again.
            Some(Kind::Prepare | Kind::PreVote) if !self.core.identity_watch.probe.may_vote() => {}
            Some(Kind::Prepare)
                if self.core.has_vote(now_role) || self.core.votes_from_blank(now_role, header) =>
            {
                self.on_prepare(role, ballot);
            }
            Some(Kind::Prepare) => self.core.outbox.salvage = Some(*header),
            Some(Kind::Promise) => self.core.election.on_promise(
                ballot,
                Promise {
                    by: from,
                    accepted: header.epoch(),
                    next: header.first_seq,
                    chain: header.chain,
                    commit_next: header.commit_next,
                },
            ),
            Some(Kind::Refuse) if self.core.counts(from) => {
                self.on_refuse(role, ballot, about);
            }
            Some(Kind::PreVote)
                if self.core.misses_leader(now_role)
                    || self.core.votes_from_blank(now_role, header)
                        && self.core.failure_detector.is_suspected() =>
            {
                self.core.outbox.grant = Some((ballot, about));
            }
            Some(Kind::Grant) if ballot.leader() == self.core.identity() => self.core.election.on_grant(from),
            _ => {}
        }
    }

    fn on_prepare(&mut self, role: &mut RoleState, ballot: Epoch) {
        let now = self.turn.now;
        match self.core.acceptor.judge_prepare(ballot) {
            PrepareOutcome::Promise => {
                // Everything that was passed to the network lies inside the log that the promise describes.
                if !planted(Mutation::StampsAfterPromise) {
                    role.step_down(self, StepDownReason::Promised);
                }
                self.promise(ballot);
                self.core.promised_others = self.core.promised_others.max(ballot);
                let rank = role.rank(self.core);
                self.core.election.on_preempted(now, rank);
                self.core.failure_detector.restart(now);
                self.core.outbox.promise = true;
            }
            PrepareOutcome::Repeat => self.core.outbox.promise = true,
            PrepareOutcome::Refuse { .. } => self.core.outbox.refuse = Some(ballot),
        }
    }

    /// S2: the promise is a word in the tail before anything is said of it; nothing lower is followed.
    pub(super) fn promise(&mut self, epoch: Epoch) {
        if epoch > self.core.acceptor.promised() {
            if !planted(Mutation::PromiseNotStored) {
                self.tail.promise(epoch);
            }
            self.core.acceptor.on_promised(epoch);
            self.core.election.on_proven(epoch);
            self.check_rounds(epoch);
            if !planted(Mutation::FollowsLowerEpoch) {
                self.core.followed.raise_floor(epoch);
            }
        }
    }

    /// Half of all rounds are used up: the operator is notified.
    fn check_rounds(&mut self, promised: Epoch) {
        let numbers = (u64::from(promised.round()), u64::from(ROUND_MAX));
        let high = promised.round() >= rounds::ALARM;
        self.core.set_condition(Condition::RoundsHigh, high, self.core.turns.polled_at, numbers);
    }

    /// A member reports that it promised `promised`, and so refuses `about`.
    fn on_refuse(&mut self, role: &mut RoleState, promised: Epoch, about: Epoch) {
        let leads = role.leading().is_some_and(|leading| leading.epoch() == about);
        if leads && promised > about {
            role.step_down(self, StepDownReason::Refused);
        } else if self.core.election.ballot() == Some(about) && promised > about {
            let rank = role.rank(self.core);
            self.core.election.on_failed(self.turn.now, rank);
        }
    }

    /// In `power` the promise must have reached the device before anything is sent in its epoch.
    pub(super) fn is_promise_stored(&self) -> bool {
        self.core.limits.durability == Durability::Process
            || self.tail.promise_stored() >= self.core.acceptor.promised()
    }

    /// Sends the pending replies.
    #[inline]
    fn flush_reply(&mut self, net: &mut P::Net) {
        if !self.core.outbox.is_empty() {
            self.flush_all(net);
        }
    }

    #[cold]
    fn flush_all(&mut self, net: &mut P::Net) {
        let now = self.turn.now;
        if std::mem::take(&mut self.core.outbox.rejoins) {
            net.set_joined(Group::Data, true);
        }
        self.send_identity_probe(net);
        let promised = self.core.acceptor.promised();
        if self.core.outbox.promise && self.is_promise_stored() {
            self.core.outbox.promise = false;
            self.send_ballot(net, Kind::Promise, promised, Epoch::NONE);
        }
        if let Some(candidate) = self.core.outbox.salvage.take() {
            self.salvage(&candidate);
        }
        if let Some((ballot, about)) = self.core.outbox.grant.take() {
            self.send_ballot(net, Kind::Grant, ballot, about);
        }
        if let Some(about) = self.core.outbox.refuse.take()
            && now >= self.core.outbox.refused_at + self.core.limits.heartbeat.interval_ns
            && self.is_promise_stored()
        {
            self.core.outbox.refused_at = now;
            self.send_ballot(net, Kind::Refuse, promised, about);
        }
    }

    pub(super) fn send_identity_probe(&mut self, net: &mut P::Net) {
        let pending = [self.core.outbox.probe_due.take(), self.core.outbox.probe_reply_due.take()];
        for body in pending.into_iter().flatten() {
            self.core.outbox.number += 1;
            let mut out = [0; SMALL_LEN_MAX];
            let length = write_presence(&mut out, self.core.keys(), self.header(Kind::IdentityProbe), body);
            send_small(net, Group::Control, &out[..length]);
        }
    }
}
