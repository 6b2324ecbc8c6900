//! The standby's half: it stores received frames in the journal and sends acks.

use super::replica_log::{LogRefusal, StoreOutcome};
use super::{
    BLANK_TIMEOUTS, FollowerRole, Following, ReplicaCore, ReplicaEngine, RoleState, Turn, WEDGED_TIMEOUTS,
    reject_datagram,
};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::engine::ports::Net;
use lockstep_core::engine::receiver::{NextFrame, Placement};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::repairers::Repairer;
use lockstep_wire::{
    Condition, Datagram, Epoch, FrameView, Header, HeartbeatBody, MemberBody, Nanos, Reject, RepairReject,
    RepairRejectBody, RepairTrailer, Seq,
};

impl<P: Ports> ReplicaEngine<P> {
    /// One turn of a node that does not lead. It borrows `count` datagrams.
    pub(super) fn poll_standby(&mut self, count: usize, turn: &Turn) {
        let now = turn.now;
        let Self { net, tail, core, role, .. } = self;
        let mut beaten = None;
        if let RoleState::Following(following) = role {
            following.check_journal(core, tail, now);
        }
        for index in 0..count {
            match core.on_standby_datagram(role, tail, now, net.group_datagram(index)) {
                Ok(heartbeat) => beaten = heartbeat.or(beaten),
                Err(reject) => reject_datagram(core, reject, net.group_datagram(index), None),
            }
        }
        if let RoleState::Following(following) = role {
            following.waits_for_room = false;
            following.apply_ready(core, tail, now);
            let stream = tail.end().timestamp.max(following.clock_announced);
            core.check_clock(stream, turn, false);
            core.log.on_commit(core.followed.commit.commit_next());
            following.assign_role(core, &tail.end());
            tail.pin_from(if core.standing.is_witness { core.commit_next() } else { Seq::MAX });
            following.ack(core, net, tail, turn, beaten);
        }
        self.poll_election(turn);
        let Self { net, core, role, scratch, .. } = self;
        let waits_for_room = matches!(role, RoleState::Following(following) if following.waits_for_room);
        if !waits_for_room || planted(Mutation::RequestsWithoutRoom) {
            let request = core.rx.poll_nack(
                &mut core.followed,
                now,
                &mut core.outbox.number,
                scratch,
                &mut core.counters,
                &mut core.events,
            );
            if let Some((length, to)) = request {
                net.send_unicast(to, [&scratch[..length], &[]]);
            }
        }
        let whole_to = core.rx.is_whole(&core.followed).then(|| core.followed.seen_next());
        core.losses.look(now, net.dropped(), whole_to);
    }
}

impl Following {
    /// A leader's heartbeat. A repeated heartbeat is no sign of life. Neither is the heartbeat of a
    /// leader under which nothing has moved for long although something is to be committed.
    pub(super) fn on_heartbeat(
        &mut self,
        core: &mut ReplicaCore,
        now: Nanos,
        header: &Header,
        body: &HeartbeatBody,
    ) {
        let epoch = header.epoch();
        core.observe_round(now, epoch);
        if epoch < core.acceptor.promised() {
            self.queue_refuse(core, epoch);
            return core.counters.add(Counter::FramesStale, 1);
        }
        let moved =
            (epoch, header.commit_next) > self.heartbeat_seen || header.commit_next >= header.first_seq;
        if moved {
            self.heartbeat_seen = (epoch, header.commit_next);
            self.moved_at = now;
        }
        let wedged = self.is_stuck(core, now, self.moved_at, WEDGED_TIMEOUTS);
        if header.number > self.heartbeat_number || epoch > core.followed.epoch() {
            self.heartbeat_number = header.number;
            if !wedged {
                self.on_leader_alive(core, now, epoch);
            }
        }
        if epoch == core.followed.epoch() {
            self.clock_announced = header.timestamp;
        }
        self.successors_announced = body.successors;
        self.credit_announced = body.credit_entries > 0 && body.shares_over == 0;
        core.rx.on_heartbeat(&mut core.followed, header, &mut core.counters, &mut core.events);
        if epoch == core.followed.epoch() {
            core.losses.on_seen(now, header.first_seq);
        }
    }

    /// A frame, live or repaired.
    pub(super) fn on_frame<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        now: Nanos,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        self.check_frame(core, tail, frame, trailer)?;
        let epoch = frame.header.epoch();
        core.observe_round(now, epoch);
        let live = trailer.is_none();
        if live && core.acceptor.refuses(epoch) && epoch != core.followed.adopting {
            self.queue_refuse(core, epoch);
            core.counters.add(Counter::FramesStale, 1);
            return Ok(());
        }
        let listed = core.log.membership.lists(epoch.leader()) || self.role == FollowerRole::Blank;
        if planted(Mutation::UnlistedLeaderDropped) && !listed {
            return Ok(());
        }
        if live && core.is_beyond_salvage(frame) && !planted(Mutation::SalvageFromAnyEpoch) {
            return Ok(());
        }
        // Before the frame is placed: a replica log that differs from the new epoch's log is no divergence.
        core.rx.learn_start(&mut core.followed, frame, &mut core.counters, &mut core.events);
        let may_place = self.reconcile_log(core, tail, now);
        if core.stopped {
            return Ok(());
        }
        if !may_place {
            // The journal has no room to begin the suffix replacement. A frame placed behind a log that is
            // to be replaced would be a divergence.
            core.counters.add(Counter::FramesDropped, 1);
            if live && epoch >= core.acceptor.promised() {
                self.on_leader_alive(core, now, epoch);
            }
            return Ok(());
        }
        let placement =
            core.rx.on_frame(&mut core.followed, frame, trailer, &mut core.counters, &mut core.events);
        core.stop_if_diverged();
        if placement != Placement::Dropped {
            let (header, repairer) = (frame.header, trailer.map(RepairTrailer::repairer));
            core.losses.on_frame(now, header.first_seq, header.next_seq(), repairer, epoch.leader());
        }
        if live && epoch >= core.acceptor.promised() && placement != Placement::Dropped {
            self.on_leader_alive(core, now, epoch);
        }
        if let Placement::Next(next) = placement {
            // A frame that finds no room is stored when there is room, and no repairer has to send it
            // again.
            if let Err(next) = self.store_next(core, tail, now, frame, next) {
                core.rx.buffer(&mut core.followed, next, frame, &mut core.counters);
            }
        }
        Ok(())
    }

    /// Stores the next frame in the journal. Returns the frame if there is no room for it, or if others
    /// wait for room before it.
    pub(super) fn store_next<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        now: Nanos,
        frame: &FrameView<'_>,
        next: NextFrame,
    ) -> Result<(), NextFrame> {
        if core.rx.frames.has_ready() {
            return Err(next);
        }
        let admitted = core.is_admitted() || core.followed.commit.is_final(frame.header.next_seq());
        match core.log.store(&core.acceptor, admitted, tail, frame) {
            Ok(stored) => {
                core.rx.accept(&mut core.followed, next, &mut core.counters);
                self.on_stored(core, tail, now, stored, frame.header.next_seq(), frame.header.commit_next);
                Ok(())
            }
            Err(refused) => {
                self.on_refused(core, tail, refused);
                if refused == LogRefusal::Full { Err(next) } else { Ok(()) }
            }
        }
    }

    /// Frames that were buffered behind a gap follow as soon as the gap is filled.
    pub(super) fn apply_ready<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        now: Nanos,
    ) {
        self.reconcile_log(core, tail, now);
        let admitted = core.is_admitted();
        while let Some(frame) = core.rx.frames.front(Seq::MAX) {
            let admitted = admitted || core.followed.commit.is_final(frame.header.next_seq());
            // The tail compares the frame with its own end; the buffer lends the frame meanwhile.
            match core.log.store(&core.acceptor, admitted, tail, &frame) {
                Ok(stored) => {
                    let (next, committed) = (frame.header.next_seq(), frame.header.commit_next);
                    core.rx.frames.pop_front();
                    self.on_stored(core, tail, now, stored, next, committed);
                }
                Err(refused) => return self.on_refused(core, tail, refused),
            }
        }
    }

    /// A frame that ends before `next` is in the journal. Its leader had counted everything below
    /// `committed` as committed.
    fn on_stored<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        now: Nanos,
        stored: StoreOutcome,
        next: Seq,
        committed: Seq,
    ) {
        core.counters.add(Counter::FramesAccepted, 1);
        core.on_journal_free(next);
        self.advanced_at = now;
        let end = tail.end();
        if let StoreOutcome::Replaced { from, old } = stored {
            core.counters.add(Counter::SuffixReplacements, 1);
            let (old_epoch, old_next) = (old.epoch, old.next);
            core.events.push(ReplicaEvent::SuffixReplaced { from, epoch: end.epoch, old_epoch, old_next });
        }
        if stored != StoreOutcome::Staged {
            if let Some((seq, before)) = core.log.change {
                core.followed.commit.on_membership(seq, before, core.log.membership);
            }
            core.followed.on_stored(&end);
            // It is in the log now, and so is everything that precedes it in its epoch's log (S6),
            // whichever epoch is followed.
            core.followed.commit.on_final(committed);
            let was_blank = self.role == FollowerRole::Blank;
            core.report_history();
            self.assign_role(core, &end);
            if was_blank {
                core.promise(tail, core.followed.epoch());
                core.followed.raise_floor(core.acceptor.promised());
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

    pub(super) fn on_refused<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &Tail<M>,
        refused: LogRefusal,
    ) {
        match refused {
            LogRefusal::Rule => core.counters.add(Counter::FramesStale, 1),
            LogRefusal::Full => {
                self.waits_for_room = true;
                core.on_journal_full(tail.end().next);
            }
            LogRefusal::Overrun => {
                core.events
                    .push(ReplicaEvent::Overrun { from: core.commit_next(), oldest: tail.oldest_seq() });
                core.stopped = true;
            }
        }
    }

    /// A repairer's refusal. If a witness that holds the best log has dropped what a candidate lacks, only
    /// a replica that stored it can help. The operator is notified which replica the takeover waits for.
    pub(super) fn on_answer(
        &mut self,
        core: &mut ReplicaCore,
        now: Nanos,
        header: &Header,
        body: &RepairRejectBody,
    ) {
        let (by, holder) = (header.identity(), core.followed.adopting.leader());
        // A range that a witness holds and leaves to others to repair is not lost.
        let is_there = body.reason == RepairReject::Referred as u32;
        let waits = (body.reason == RepairReject::TooOld as u32
            || is_there && planted(Mutation::WaitsForRemembered))
            && core.log.membership.is_witness(by)
            && core.election.ballot().is_some()
            && core.followed.adopting != Epoch::NONE
            && self.takeover_wait_reported != core.followed.adopting;
        if waits {
            self.takeover_wait_reported = core.followed.adopting;
            let (from, oldest) = (body.range.from, body.oldest_seq);
            core.events.push(ReplicaEvent::TakeoverWaits { from, oldest, witness: by, holder });
        }
        if body.reason == RepairReject::Ahead as u32 {
            core.losses.on_ahead();
        }
        core.rx.on_repair_reject(&mut core.followed, now, header, body, &mut core.counters);
        self.try_other_epoch(core, now, header);
    }

    /// A node that stores nothing has been refused for long: the nodes that knew of the epoch that it
    /// follows, or waits for, may all be gone. For a while it follows only the log of the node that
    /// answers; then it checks again.
    fn try_other_epoch(&mut self, core: &mut ReplicaCore, now: Nanos, header: &Header) {
        let long = BLANK_TIMEOUTS * core.failure_detector.timeout_ns();
        let epoch = header.epoch();
        let tries =
            self.role == FollowerRole::Blank && epoch.round() > 0 && epoch >= core.acceptor.promised();
        if !tries || header.history != core.followed.history() || now < self.advanced_at + long {
            return;
        }
        self.advanced_at = now;
        if core.followed.adopting == Epoch::NONE
            && (epoch != core.followed.epoch() || core.followed.awaits_start())
        {
            core.rx.follow_only(&mut core.followed, epoch, header.first_seq);
            self.reconciling_epoch = Epoch::NONE;
        } else {
            core.followed.raise_floor(core.acceptor.promised());
        }
    }
}

impl ReplicaCore {
    /// A datagram from the groups. Returns the leader's commit if it was a heartbeat.
    fn on_standby_datagram<M: TailMemory>(
        &mut self,
        role: &mut RoleState,
        tail: &mut Tail<M>,
        now: Nanos,
        bytes: &[u8],
    ) -> Result<Option<Seq>, Reject> {
        let RoleState::Following(following) = role else { return Ok(None) };
        match Datagram::decode(bytes, &self.limits.receiver.keys)? {
            Datagram::Frame(frame, trailer) => {
                if !self.is_own_repair(now, frame.header.first_seq, trailer.as_ref()) {
                    following.on_frame(self, tail, now, &frame, trailer.as_ref())?;
                    if trailer.is_none() && frame.header.epoch() == self.followed.epoch() {
                        self.on_multicast_received(now);
                    }
                }
            }
            Datagram::Heartbeat(header, body) => {
                self.check_group(following.role.into(), header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    following.on_heartbeat(self, now, header, &body);
                    if header.epoch() == self.followed.epoch() {
                        self.on_multicast_received(now);
                    }
                    self.stop_if_diverged();
                    return Ok(Some(header.commit_next));
                }
            }
            Datagram::Submission(header, entries) => {
                let mut submitter = following.memory.key_limits.submitter(self.keys(), header);
                let is_of_history = header.history == 0 || header.history == self.followed.history();
                if is_of_history && submitter.is_admissible(&self.log.publishers, entries) {
                    self.pending_submissions.push(bytes, now);
                }
            }
            Datagram::Ack(header, body) => {
                self.check_group(following.role.into(), header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    self.observe_round(now, header.epoch());
                    self.rx.on_ack(&mut self.followed, header, &mut self.counters, &mut self.events);
                    self.clocks.on_ack(&self.log.membership, now, header);
                }
            }
            datagram => self.on_election(role, tail, now, &datagram)?,
        }
        Ok(None)
    }

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
