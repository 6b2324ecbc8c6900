//! The leader's half: it receives submissions and sends frames.

use super::{
    Ctx, Handover, Leading, OUTGOING_SEND, ReplicaCore, ReplicaEngine, RoleState, Turn, reject_datagram,
    send_small,
};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::StepDownReason;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::failure_detector::patience_with_silence;
use lockstep_core::proto::ingress::IngressRounds;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{
    AckBody, Datagram, Header, Identity, Kind, Reject, SMALL_LEN_MAX, Seq, Wall, submitter, write_ack,
};
use std::cmp::Ordering;

/// Fewer datagrams than these are stamped without sorting them into rounds.
const ROUNDS_MIN: usize = 8;

impl<P: Ports> ReplicaEngine<P> {
    /// One turn of a leader. It borrows `count` datagrams.
    pub(super) fn poll_leader(&mut self, count: usize, turn: Turn) {
        let (mut ctx, net, role) = self.parts(turn);
        let ctx = &mut ctx;
        let RoleState::Leading(leading) = role else { return };
        if !leading.has_epoch_begun(ctx.core, ctx.tail) && !leading.poll_epoch_start(ctx, net) {
            if !ctx.core.identity_watch.probe.is_complete() {
                (0..count).for_each(|index| ctx.core.on_identity_probe(net.group_datagram(index)));
            }
            return;
        }
        let late = turn.now > ctx.core.turns.at + ctx.core.limits.failure_detector.timeout_ns / 2;
        leading.must_drain |= late && !planted(Mutation::StalledLeaderSpeaks);
        let rounds = (count >= ROUNDS_MIN)
            .then(|| IngressRounds::of(count, |index| submitter(net.group_datagram(index))))
            .flatten();
        for place in 0..count {
            let index = rounds.as_ref().map_or(place, |rounds| rounds.index(place));
            let bytes = net.group_datagram(index);
            if let Err(reject) = ctx.on_leader_datagram(role, bytes) {
                reject_datagram(ctx.core, reject, bytes, None);
            }
            if let RoleState::Leading(leading) = role
                && leading.outgoing_frames.len() >= OUTGOING_SEND
            {
                leading.send_frames(ctx, net, &[]);
            }
        }
        // It may have stepped down for a received datagram.
        let RoleState::Leading(leading) = role else { return };
        if let Some(why) = leading.finish_turn(ctx, net) {
            role.step_down(ctx, why);
        }
    }
}

impl Leading {
    /// The end of a turn: the frames that its datagrams filled are closed, committed, and sent. Returns why
    /// the leader steps down, if it does.
    #[inline]
    fn finish_turn<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) -> Option<StepDownReason> {
        let Turn { now, drained, .. } = ctx.turn;
        if self.diverged {
            self.send_heartbeat(ctx, net);
            ctx.core.stopped = true;
            return None;
        }
        if self.must_drain {
            // A stalled leader sends only after it has received all that waited: it may have been
            // superseded. Half of the buffer for that exceeds the capacity of a socket: what arrived
            // meanwhile is no reason to stay silent.
            self.must_drain = !drained && !ctx.core.pending_submissions.is_half_full();
            if self.must_drain {
                return None;
            }
            self.stamp_pending_submissions(ctx, net);
        }
        if !self.sequencer.has_time() && ctx.learn_time(&mut self.sequencer) {
            self.stamp_pending_submissions(ctx, net);
        }
        self.close_frame(ctx, false);
        self.poll_commit(ctx.core);
        if self.uncommitted_change {
            self.stamp_change_committed(ctx);
        }
        if !ctx.core.pending_orders.is_empty() {
            self.stamp_orders(ctx);
        }
        if self.has_notices() && now >= self.notice_at {
            self.send_publisher_notices(ctx, net);
        }
        if ctx.core.limits.durability == Durability::Power {
            ctx.acknowledge_own_log(net);
        }
        if self.handover.is_some()
            && let Some(why) = self.poll_handover(ctx, net)
        {
            return Some(why);
        }
        if self.heartbeat_timer.due(now, !self.outgoing_frames.is_empty(), drained) {
            if let Some(why) = self.poll_epoch(ctx, net) {
                return Some(why);
            }
            self.send_heartbeat(ctx, net);
        } else if let Some(last) = self.outgoing_frames.last() {
            let len = last.len as usize;
            self.send_frames(ctx, net, &[]);
            // The next frame probably has the same length.
            if self.sequencer.is_drained() {
                ctx.tail.warm(len);
            }
        }
        None
    }

    /// A replica sends in an epoch: in ours, which counts as contact; or in a higher one, which ends ours.
    /// Returns why the leader steps down, if it does.
    #[inline]
    pub(super) fn on_member<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
    ) -> Option<StepDownReason> {
        let (core, now) = (&mut *ctx.core, ctx.turn.now);
        match header.epoch().cmp(&self.epoch()) {
            Ordering::Equal => {
                if let Some(position) = core.log.membership.position(header.identity()) {
                    // CLOCK-1: one look at its clock for each quorum of contacts, and not for each ack.
                    if self.quorum_contacts & 1 << position == 0 {
                        core.clocks.on_member(&core.log.membership, now, header);
                    }
                    self.quorum_contacts |= 1 << position;
                    self.member_contact[position] = now;
                }
            }
            // A node that no membership lists supersedes no leader. A leader whose members all follow
            // another one receives no quorum either.
            Ordering::Greater if core.counts(header.identity()) => {
                return Some(StepDownReason::Superseded);
            }
            Ordering::Greater => core.counters.add(Counter::AcksUnlisted, 1),
            // It lags, or follows a leader that no longer leads.
            Ordering::Less => {}
        }
        None
    }

    /// Once per heartbeat: a leader that has received no quorum for long stops. Returns why it steps down, if
    /// it does.
    fn poll_epoch<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) -> Option<StepDownReason> {
        let Turn { now, drained, .. } = ctx.turn;
        let own = ctx.core.log.membership.position(ctx.core.identity()).map_or(0, |position| 1 << position);
        if (self.quorum_contacts | own).count_ones() as usize >= ctx.core.log.membership.quorum() {
            self.quorum_contacts = 0;
            self.had_quorum = true;
            self.quorum.on_life(now);
        }
        // The first leader of a history may be started long before the others.
        let suspected = self.quorum.poll(now, drained) && !planted(Mutation::DeafLeaderStays);
        let patience = patience_with_silence(self.quorum.timeout_ns(), ctx.core.log.uncommitted_epochs());
        if suspected && now >= self.won_at + patience && (self.had_quorum || ctx.core.led.round() > 1) {
            ctx.send_step_down(net, None);
            return Some(StepDownReason::NoQuorum);
        }
        ctx.check_exposure();
        ctx.check_clock(Wall(ctx.tail.end().timestamp), true);
        self.sequencer.set_correction(ctx.core.clocks.correction());
        ctx.core.check_publisher_table(now);
        self.check_redundancy(ctx);
        ctx.core.check_epochs(true);
        None
    }

    /// A leader that hands over does so when its successor holds everything. Returns why it steps down, if it
    /// does.
    #[cold]
    fn poll_handover<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) -> Option<StepDownReason> {
        let now = ctx.turn.now;
        let Handover { to, until } = self.handover?;
        let end = ctx.tail.end();
        let any = planted(Mutation::HandoverToLaggard);
        let ready = ctx.core.successor(to).filter(|(_, acked)| *acked >= end.next || any);
        if let Some((successor, _)) = ready.filter(|_| self.outgoing_frames.is_empty()) {
            ctx.send_step_down(net, Some(successor));
            return Some(StepDownReason::Handover);
        }
        if now >= until {
            // No successor has caught up: we continue, unless this node is to stop.
            self.handover = None;
            self.draining = ctx.core.stopping;
        }
        None
    }

    /// Entries below the commit are final: they can no longer be undone, and have left the window.
    #[inline]
    pub(super) fn poll_commit(&mut self, core: &mut ReplicaCore) {
        if core.commit_next() != self.commit_seen {
            self.on_commit_moved(core);
        }
    }

    fn on_commit_moved(&mut self, core: &mut ReplicaCore) {
        let commit_next = core.commit_next();
        self.commit_seen = commit_next;
        self.uncommitted.on_commit(commit_next);
        let members = &core.log.membership;
        let needed_both = core.log.change.as_ref().is_some_and(|(_, before)| {
            before.needs_both(members) && (before.is_pair() || !planted(Mutation::SwapNotSettled))
        });
        // A leader that is a quorum by itself has no acks that show others what they lack.
        if self.uncommitted.end().is_none() && members.quorum() > 1 {
            self.heartbeat_timer.on_acknowledged();
        }
        core.log.on_commit(commit_next);
        self.uncommitted_change |= needed_both && core.log.change.is_none();
    }
}

impl ReplicaCore {
    /// The successor, and its log position: the one that was named, or the most caught-up member that may
    /// lead.
    pub(super) fn successor(&self, to: Option<Identity>) -> Option<(Identity, Seq)> {
        let members = self.log.membership;
        let may_lead = |member: &&lockstep_wire::MemberBody| {
            member.role == 0
                && member.identity() != self.identity()
                && to.is_none_or(|to| to == member.identity() || planted(Mutation::HandoverToAnother))
        };
        let acked =
            |identity| members.position(identity).map_or(0, |position| self.followed.commit.acked(position));
        members
            .members()
            .iter()
            .filter(may_lead)
            .map(|member| (member.identity(), acked(member.identity())))
            .max_by_key(|(identity, acked)| (*acked, std::cmp::Reverse(*identity)))
    }

    /// A handle that has not received the stream yet submits under history 0: its opens are accepted.
    pub(super) fn check_submitter(&mut self, header: &Header) -> Result<(), Reject> {
        if header.history == 0 { Ok(()) } else { self.rx.check_history(&mut self.followed, header) }
    }

    #[cold]
    pub(super) fn drop_one(&mut self, counter: Counter) {
        self.counters.add(counter, 1);
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// A datagram from the groups, in a turn that began as a leader's. After a step-down in this turn
    /// submissions are left for their publishers to send again.
    #[inline]
    pub(super) fn on_leader_datagram(&mut self, role: &mut RoleState, bytes: &[u8]) -> Result<(), Reject> {
        let now = self.turn.now;
        match Datagram::decode(bytes, &self.core.limits.receiver.keys)? {
            Datagram::Submission(header, entries) => {
                if let RoleState::Leading(leading) = role {
                    leading.on_submission(self, bytes, header, entries)?;
                }
            }
            Datagram::Ack(header, body) => {
                self.check_group(role.role(), header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    self.on_ack(role, header);
                    self.core.on_multicast_received(now);
                }
            }
            Datagram::Heartbeat(header, body) => {
                self.check_group(role.role(), header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    self.on_other_leader(role, header);
                }
            }
            datagram => self.on_election(role, &datagram)?,
        }
        Ok(())
    }

    /// A member's ack: it is counted, and it shows the epoch that the member follows.
    #[inline]
    pub(super) fn on_ack(&mut self, role: &mut RoleState, header: &Header) {
        let ReplicaCore { rx, followed, counters, events, .. } = &mut *self.core;
        rx.on_ack(followed, header, counters, events);
        let RoleState::Leading(leading) = role else { return };
        if let Some(why) = leading.on_member(self, header) {
            role.step_down(self, why);
        }
    }

    /// Another leader's heartbeat.
    fn on_other_leader(&mut self, role: &mut RoleState, header: &Header) {
        let RoleState::Leading(leading) = role else { return };
        if !leading.has_diverged(self.core, header)
            && let Some(why) = leading.on_member(self, header)
        {
            role.step_down(self, why);
        }
    }

    /// In `power` the leader acknowledges like everybody, when flushed (S4).
    fn acknowledge_own_log(&mut self, net: &mut P::Net) {
        let now = self.turn.now;
        let end = self.tail.end();
        let Some((epoch, next)) = self.core.acceptor.ack(&end, self.tail.durable_next(), end.epoch) else {
            return;
        };
        if (epoch, next) <= self.core.last_ack.acked {
            return;
        }
        (self.core.last_ack.acked, self.core.last_ack.at) = ((epoch, next), now);
        self.core.followed.commit.on_ack(self.core.identity(), epoch, next);
        self.core.outbox.number += 1;
        let header = Header { first_seq: next, chain: 0, ..self.header(Kind::Ack) };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_ack(
            &mut out,
            self.core.keys(),
            header,
            AckBody { process_nonce: self.core.limits.process_nonce },
        );
        send_small(net, Group::Control, &out[..length]);
        self.core.counters.add(Counter::AcksOut, 1);
    }
}
