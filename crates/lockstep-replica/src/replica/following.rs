//! The standby's half: it stores received frames in the journal and sends acks.

use super::replica_log::{LogRefusal, StoreOutcome};
use super::{
    BLANK_TIMEOUTS, Ctx, FollowerRole, Following, ReplicaCore, ReplicaEngine, RoleState, Turn,
    WEDGED_TIMEOUTS, reject_datagram,
};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::engine::ports::Net;
use lockstep_core::engine::receiver::{NextFrame, Placement};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::repairers::Repairer;
use lockstep_wire::{
    Condition, Datagram, Epoch, FrameView, Header, HeartbeatBody, MemberBody, Reject, RepairReject,
    RepairRejectBody, RepairTrailer, Seq, Wall,
};

impl<P: Ports> ReplicaEngine<P> {
    /// One turn of a node that does not lead. It borrows `count` datagrams.
    pub(super) fn poll_standby(&mut self, count: usize, turn: Turn) {
        let now = turn.now;
        let (mut ctx, net, role) = self.parts(turn);
        let mut beaten = None;
        if let RoleState::Following(following) = role {
            following.check_journal(&mut ctx);
        }
        for index in 0..count {
            match ctx.on_standby_datagram(role, net.group_datagram(index)) {
                Ok(heartbeat) => beaten = heartbeat.or(beaten),
                Err(reject) => reject_datagram(ctx.core, reject, net.group_datagram(index), None),
            }
        }
        if let RoleState::Following(following) = role {
            following.waits_for_room = false;
            following.apply_ready(&mut ctx);
            let stream = Wall(ctx.tail.end().timestamp).max(following.clock_announced);
            ctx.check_clock(stream, false);
            ctx.core.log.on_commit(ctx.core.commit_next());
            following.assign_role(ctx.core, &ctx.tail.end());
            ctx.tail.pin_from(if ctx.core.standing.is_witness { ctx.core.commit_next() } else { Seq::MAX });
            following.ack(&mut ctx, net, beaten);
        }
        self.poll_election(turn);
        let Self { net, core, role, scratch, .. } = self;
        let ReplicaCore { rx, followed, outbox, counters, events, .. } = core;
        let waits_for_room = matches!(role, RoleState::Following(following) if following.waits_for_room);
        if (!waits_for_room || planted(Mutation::RequestsWithoutRoom))
            && let Some((length, to)) =
                rx.poll_nack(followed, now, &mut outbox.number, scratch, counters, events)
        {
            net.send_unicast(to, [&scratch[..length], &[]]);
        }
        let whole_to = rx.is_whole(followed).then(|| followed.seen_next());
        core.losses.look(now, net.dropped(), whole_to);
    }
}

impl Following {
    /// A leader's heartbeat. A repeated heartbeat is no sign of life. Neither is the heartbeat of a
    /// leader under which nothing has moved for long although something is to be committed.
    pub(super) fn on_heartbeat<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
        body: &HeartbeatBody,
    ) {
        let now = ctx.turn.now;
        let epoch = header.epoch();
        ctx.core.observe_round(now, epoch);
        if epoch < ctx.core.acceptor.promised() {
            self.queue_refuse(ctx.core, epoch);
            return ctx.core.counters.add(Counter::FramesStale, 1);
        }
        let moved =
            (epoch, header.commit_next) > self.heartbeat_seen || header.commit_next >= header.first_seq;
        if moved {
            self.heartbeat_seen = (epoch, header.commit_next);
            self.moved_at = now;
        }
        let wedged = self.is_stuck(ctx.core, now, self.moved_at, WEDGED_TIMEOUTS);
        if header.number > self.heartbeat_number || epoch > ctx.core.followed.epoch() {
            self.heartbeat_number = header.number;
            if !wedged {
                self.on_leader_alive(ctx, epoch);
            }
        }
        if epoch == ctx.core.followed.epoch() {
            self.clock_announced = Wall(header.timestamp);
        }
        self.successors_announced = body.successors;
        self.credit_announced = body.credit_entries > 0 && body.shares_over == 0;
        ctx.core.rx.on_heartbeat(
            &mut ctx.core.followed,
            header,
            &mut ctx.core.counters,
            &mut ctx.core.events,
        );
        if epoch == ctx.core.followed.epoch() {
            ctx.core.losses.on_seen(now, header.first_seq);
        }
    }

    /// A frame, live or repaired.
    pub(super) fn on_frame<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        let now = ctx.turn.now;
        self.check_frame(ctx, frame, trailer)?;
        let epoch = frame.header.epoch();
        ctx.core.observe_round(now, epoch);
        let live = trailer.is_none();
        if live && ctx.core.acceptor.refuses(epoch) && epoch != ctx.core.followed.adopting {
            self.queue_refuse(ctx.core, epoch);
            ctx.core.counters.add(Counter::FramesStale, 1);
            return Ok(());
        }
        let listed = ctx.core.log.membership.lists(epoch.leader()) || self.role == FollowerRole::Blank;
        if planted(Mutation::UnlistedLeaderDropped) && !listed {
            return Ok(());
        }
        if live && ctx.core.is_beyond_salvage(frame) && !planted(Mutation::SalvageFromAnyEpoch) {
            return Ok(());
        }
        // Before the frame is placed: a replica log that differs from the new epoch's log is no divergence.
        ctx.core.rx.learn_start(&mut ctx.core.followed, frame, &mut ctx.core.counters, &mut ctx.core.events);
        let may_place = self.reconcile_log(ctx);
        if ctx.core.stopped {
            return Ok(());
        }
        if !may_place {
            // The journal has no room to begin the suffix replacement. A frame placed behind a log that is
            // to be replaced would be a divergence.
            ctx.core.counters.add(Counter::FramesDropped, 1);
            if live && epoch >= ctx.core.acceptor.promised() {
                self.on_leader_alive(ctx, epoch);
            }
            return Ok(());
        }
        let placement = ctx.core.rx.on_frame(
            &mut ctx.core.followed,
            frame,
            trailer,
            &mut ctx.core.counters,
            &mut ctx.core.events,
        );
        ctx.core.stop_if_diverged();
        if placement != Placement::Dropped {
            let (header, repairer) = (frame.header, trailer.map(RepairTrailer::repairer));
            ctx.core.losses.on_frame(now, header.first_seq, header.next_seq(), repairer, epoch.leader());
        }
        if live && epoch >= ctx.core.acceptor.promised() && placement != Placement::Dropped {
            self.on_leader_alive(ctx, epoch);
        }
        if let Placement::Next(next) = placement {
            // A frame that finds no room is stored when there is room, and no repairer has to send it
            // again.
            if let Err(next) = self.store_next(ctx, frame, next) {
                ctx.core.rx.buffer(&mut ctx.core.followed, next, frame, &mut ctx.core.counters);
            }
        }
        Ok(())
    }

    /// Stores the next frame in the journal. Returns the frame if there is no room for it, or if others
    /// wait for room before it.
    pub(super) fn store_next<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        frame: &FrameView<'_>,
        next: NextFrame,
    ) -> Result<(), NextFrame> {
        if ctx.core.rx.frames.has_ready() {
            return Err(next);
        }
        let admitted = ctx.core.is_admitted() || ctx.core.followed.commit.is_final(frame.header.next_seq());
        match ctx.core.log.store(&ctx.core.acceptor, admitted, ctx.tail, frame) {
            Ok(stored) => {
                ctx.core.rx.accept(&mut ctx.core.followed, next, &mut ctx.core.counters);
                self.on_stored(ctx, stored, frame.header.next_seq(), frame.header.commit_next);
                Ok(())
            }
            Err(refused) => {
                self.on_refused(ctx, refused);
                if refused == LogRefusal::Full { Err(next) } else { Ok(()) }
            }
        }
    }

    /// Frames that were buffered behind a gap follow as soon as the gap is filled.
    pub(super) fn apply_ready<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) {
        self.reconcile_log(ctx);
        let admitted = ctx.core.is_admitted();
        while let Some(frame) = ctx.core.rx.frames.front(Seq::MAX) {
            let admitted = admitted || ctx.core.followed.commit.is_final(frame.header.next_seq());
            // The tail compares the frame with its own end; the buffer lends the frame meanwhile.
            match ctx.core.log.store(&ctx.core.acceptor, admitted, ctx.tail, &frame) {
                Ok(stored) => {
                    let (next, committed) = (frame.header.next_seq(), frame.header.commit_next);
                    ctx.core.rx.frames.pop_front();
                    self.on_stored(ctx, stored, next, committed);
                }
                Err(refused) => return self.on_refused(ctx, refused),
            }
        }
    }

    /// A frame that ends before `next` is in the journal. Its leader had counted everything below
    /// `committed` as committed.
    fn on_stored<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, stored: StoreOutcome, next: Seq, committed: Seq) {
        let now = ctx.turn.now;
        ctx.core.counters.add(Counter::FramesAccepted, 1);
        ctx.core.on_journal_free(next);
        self.advanced_at = now;
        let end = ctx.tail.end();
        if let StoreOutcome::Replaced { from, old } = stored {
            ctx.core.counters.add(Counter::SuffixReplacements, 1);
            let (old_epoch, old_next) = (old.epoch, old.next);
            ctx.core.events.push(ReplicaEvent::SuffixReplaced {
                from,
                epoch: end.epoch,
                old_epoch,
                old_next,
            });
        }
        if stored != StoreOutcome::Staged {
            if let Some((seq, before)) = ctx.core.log.change {
                ctx.core.followed.commit.on_membership(seq, before, ctx.core.log.membership);
            }
            ctx.core.followed.on_stored(&end);
            // It is in the log now, and so is everything that precedes it in its epoch's log (S6),
            // whichever epoch is followed.
            ctx.core.followed.commit.on_final(committed);
            let was_blank = self.role == FollowerRole::Blank;
            ctx.core.report_history();
            self.assign_role(ctx.core, &end);
            if was_blank {
                ctx.promise(ctx.core.followed.epoch());
                ctx.core.followed.raise_floor(ctx.core.acceptor.promised());
            }
        }
    }

    /// Called where the membership at the log's end has changed: may this node vote? A new member may once
    /// the entry is in its log, a leaving member until the entry is committed (MEMBER-1).
    #[inline]
    pub(super) fn assign_role(&mut self, core: &mut ReplicaCore, end: &LogEnd) {
        let by = (core.log.membership.seq, core.log.change.is_some());
        if by != core.standing.listed_by {
            core.standing.listed_by = by;
            self.assign_new_role(core, end);
        }
    }

    #[cold]
    fn assign_new_role(&mut self, core: &mut ReplicaCore, end: &LogEnd) {
        let me = core.identity();
        // S12: what it reads below the founding of its history lists voters of a former one.
        let is_copied =
            core.followed.lineage().is_before_founding(end.next) && !planted(Mutation::VotesBelowFounding);
        let listed = core.counts(me) && !core.standing.is_archiver && !is_copied;
        core.standing.may_lead = !core.standing.is_archiver && core.log.membership.may_lead(me);
        core.standing.is_witness = core.log.membership.is_witness(me);
        let others = core.log.membership;
        let stores = |member: &&MemberBody| member.identity() != me && !member.is_witness();
        let others = others.members().iter().filter(stores);
        core.rx.requests.add_repairers(others.filter_map(|member| {
            member.address().map(|address| Repairer::replica(member.identity().replica, address))
        }));
        let role = if listed { FollowerRole::Standby } else { FollowerRole::Learner };
        if role != self.role {
            self.transition(core, role, end);
        }
    }

    pub(super) fn on_refused<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, refused: LogRefusal) {
        match refused {
            LogRefusal::Rule => ctx.core.counters.add(Counter::FramesStale, 1),
            LogRefusal::Full => {
                self.waits_for_room = true;
                ctx.core.on_journal_full(ctx.tail.end().next);
            }
            LogRefusal::Overrun => {
                ctx.core.events.push(ReplicaEvent::Overrun {
                    from: ctx.core.commit_next(),
                    oldest: ctx.tail.oldest_seq(),
                });
                ctx.core.stopped = true;
            }
        }
    }

    /// A repairer's refusal. If a witness that holds the best log has dropped what a candidate lacks, only
    /// a replica that stored it can help. The operator is notified which replica the takeover waits for.
    pub(super) fn on_answer<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
        body: &RepairRejectBody,
    ) {
        let now = ctx.turn.now;
        let (by, holder) = (header.identity(), ctx.core.followed.adopting.leader());
        // A range that a witness holds and leaves to others to repair is not lost.
        let is_there = body.reason == RepairReject::Referred as u32;
        let waits = (body.reason == RepairReject::TooOld as u32
            || is_there && planted(Mutation::WaitsForRemembered))
            && ctx.core.log.membership.is_witness(by)
            && ctx.core.election.ballot().is_some()
            && ctx.core.followed.adopting != Epoch::NONE
            && self.takeover_wait_reported != ctx.core.followed.adopting;
        if waits {
            self.takeover_wait_reported = ctx.core.followed.adopting;
            let (from, oldest) = (body.range.from, body.oldest_seq);
            ctx.core.events.push(ReplicaEvent::TakeoverWaits { from, oldest, witness: by, holder });
        }
        if body.reason == RepairReject::Ahead as u32 {
            ctx.core.losses.on_ahead();
        }
        ctx.core.rx.on_repair_reject(&mut ctx.core.followed, now, header, body, &mut ctx.core.counters);
        self.try_other_epoch(ctx, header);
    }

    /// A node that stores nothing has been refused for long: the nodes that knew of the epoch that it
    /// follows, or waits for, may all be gone. For a while it follows only the log of the node that
    /// answers; then it checks again.
    fn try_other_epoch<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, header: &Header) {
        let now = ctx.turn.now;
        let long = BLANK_TIMEOUTS * ctx.core.failure_detector.timeout_ns();
        let epoch = header.epoch();
        let tries =
            self.role == FollowerRole::Blank && epoch.round() > 0 && epoch >= ctx.core.acceptor.promised();
        if !tries || header.history != ctx.core.followed.history() || now < self.advanced_at + long {
            return;
        }
        self.advanced_at = now;
        if ctx.core.followed.adopting == Epoch::NONE
            && (epoch != ctx.core.followed.epoch() || ctx.core.followed.awaits_start())
        {
            ctx.core.rx.follow_only(&mut ctx.core.followed, epoch, header.first_seq);
            self.reconciling_epoch = Epoch::NONE;
        } else {
            ctx.core.followed.raise_floor(ctx.core.acceptor.promised());
        }
    }
}

impl ReplicaCore {
    #[cold]
    pub(super) fn on_journal_full(&mut self, seq: Seq) {
        if !self.conditions.holds(Condition::JournalFull) {
            self.set_condition(Condition::JournalFull, true, self.turns.polled_at, (seq, 0));
        }
    }

    #[inline]
    pub(super) fn on_journal_free(&mut self, seq: Seq) {
        if self.conditions.holds(Condition::JournalFull) {
            self.set_condition(Condition::JournalFull, false, self.turns.polled_at, (seq, 0));
        }
    }

    pub(super) fn stop_if_diverged(&mut self) {
        if self.rx.divergence.is_proven() {
            self.stopped = true;
        }
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// A datagram from the groups. Returns the leader's commit if it was a heartbeat.
    fn on_standby_datagram(&mut self, role: &mut RoleState, bytes: &[u8]) -> Result<Option<Seq>, Reject> {
        let now = self.turn.now;
        let RoleState::Following(following) = role else { return Ok(None) };
        match Datagram::decode(bytes, &self.core.limits.receiver.keys)? {
            Datagram::Frame(frame, trailer) => {
                let (first, me) = (frame.header.first_seq, self.core.identity());
                let repairs = &mut self.core.repairs;
                let is_own = trailer.is_some_and(|trailer| repairs.on_shared(now, first, &trailer, me));
                if !is_own {
                    following.on_frame(self, &frame, trailer.as_ref())?;
                    if trailer.is_none() && frame.header.epoch() == self.core.followed.epoch() {
                        self.core.on_multicast_received(now);
                    }
                }
            }
            Datagram::Heartbeat(header, body) => {
                self.check_group(following.role.into(), header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    following.on_heartbeat(self, header, &body);
                    if header.epoch() == self.core.followed.epoch() {
                        self.core.on_multicast_received(now);
                    }
                    self.core.stop_if_diverged();
                    return Ok(Some(header.commit_next));
                }
            }
            Datagram::Submission(header, entries) => {
                let mut submitter = following.memory.key_limits.submitter(self.core.keys(), header);
                let is_of_history = header.history == 0 || header.history == self.core.followed.history();
                if is_of_history && submitter.is_admissible(&self.core.log.publishers, entries) {
                    self.core.pending_submissions.push(bytes, now);
                }
            }
            Datagram::Ack(header, body) => {
                self.check_group(following.role.into(), header)?;
                if !self.core.is_own_identity(header, body.process_nonce) {
                    self.core.observe_round(now, header.epoch());
                    self.core.rx.on_ack(
                        &mut self.core.followed,
                        header,
                        &mut self.core.counters,
                        &mut self.core.events,
                    );
                    self.core.clocks.on_ack(&self.core.log.membership, now, header);
                }
            }
            datagram => self.on_election(role, &datagram)?,
        }
        Ok(None)
    }
}
