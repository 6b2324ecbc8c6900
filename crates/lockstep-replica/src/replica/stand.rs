//! The standby's half: frames into the journal, acks out.

use super::own_log::{LogRefusal, ReplicaLog, StoreOutcome};
use super::{BLANK_TIMEOUTS, ReplicaCore, ReplicaEngine, WEDGED_TIMEOUTS, send_small};
use crate::journal::ports::TailMemory;
use crate::journal::{StageError, Tail};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::engine::receiver::Placement;
use lockstep_core::proto::accept::{NOTHING, rests_on};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::repairers::Repairer;
use lockstep_wire::{
    AckBody, Condition, Datagram, EntryKind, Epoch, FrameView, Header, HeartbeatBody, Kind, MemberBody,
    Nanos, Reject, RepairReject, RepairRejectBody, RepairTrailer, SMALL_LEN_MAX, Seq, write_ack,
};

impl<P: Ports> ReplicaEngine<P> {
    /// One turn of a node that does not lead; `count` datagrams are lent.
    pub(super) fn poll_standby(&mut self, now: Nanos, wall: Nanos, count: usize, drained: bool) {
        let Self { net, tail, core, .. } = self;
        let mut beaten = None;
        core.check_journal(tail, now);
        for index in 0..count {
            match core.on_standby_datagram(tail, now, net.group_datagram(index)) {
                Ok(beat) => beaten = beat.or(beaten),
                Err(reject) => core.reject(reject),
            }
        }
        core.waits_for_room = false;
        core.apply_ready(tail, now);
        core.check_clock(tail, now, wall);
        core.log.on_commit(core.rx.commit.commit_next());
        core.assign_role(&tail.end());
        tail.pin_from(if core.is_witness { core.commit_next() } else { Seq::MAX });
        core.ack(net, tail, now, wall, beaten);
        self.poll_election(now, wall, drained);
        let Self { net, core, scratch, .. } = self;
        if !core.waits_for_room || planted(Mutation::AsksWithoutRoom) {
            let request =
                core.rx.poll_nack(now, &mut core.number, scratch, &mut core.counters, &mut core.events);
            if let Some((length, to)) = request {
                net.send_unicast(to, [&scratch[..length], &[]]);
            }
        }
        let whole_to = core.rx.is_whole().then(|| core.rx.seen_next());
        core.losses.look(now, net.dropped(), whole_to);
    }
}

impl ReplicaCore {
    /// A datagram from the groups. Returns the leader's commit if it was a heartbeat.
    fn on_standby_datagram<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        bytes: &[u8],
    ) -> Result<Option<Seq>, Reject> {
        match Datagram::decode(bytes, self.limits.receiver.cluster)? {
            Datagram::Frame(frame, trailer) => {
                if !self.is_own_repair(now, frame.header.first_seq, trailer.as_ref()) {
                    self.on_frame(tail, now, &frame, trailer.as_ref())?;
                    if trailer.is_none() && frame.header.epoch() == self.rx.follow.epoch() {
                        self.on_multicast_received(now);
                    }
                }
            }
            Datagram::Heartbeat(header, body) => {
                self.check_group(header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    self.on_heartbeat(now, header, &body);
                    if header.epoch() == self.rx.follow.epoch() {
                        self.on_multicast_received(now);
                    }
                    self.stop_if_diverged();
                    return Ok(Some(header.commit_next));
                }
            }
            Datagram::Submission(header, _) => {
                if header.history == 0 || header.history == self.rx.history() {
                    self.pending_submissions.push(bytes, now);
                }
            }
            Datagram::Ack(header, body) => {
                self.check_group(header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    self.observe_round(now, header.epoch());
                    self.rx.on_ack(header, &mut self.counters, &mut self.events);
                }
            }
            datagram => self.on_election(tail, now, &datagram)?,
        }
        Ok(None)
    }

    /// A leader's heartbeat. A repeated one is no sign of life, and neither is one of a leader under whom
    /// nothing has moved for long although there is something to commit.
    pub(super) fn on_heartbeat(&mut self, now: Nanos, header: &Header, body: &HeartbeatBody) {
        let epoch = header.epoch();
        self.observe_round(now, epoch);
        if epoch < self.acceptor.promised() {
            self.queue_refuse(epoch);
            return self.counters.add(Counter::FramesStale, 1);
        }
        let moved =
            (epoch, header.commit_next) > self.heartbeat_seen || header.commit_next >= header.first_seq;
        if moved {
            self.heartbeat_seen = (epoch, header.commit_next);
            self.moved_at = now;
        }
        let wedged = self.is_stuck(now, self.moved_at, WEDGED_TIMEOUTS);
        if header.number > self.heartbeat_number || epoch > self.rx.follow.epoch() {
            self.heartbeat_number = header.number;
            if !wedged {
                self.on_leader_alive(now, epoch);
            }
        }
        if epoch == self.rx.follow.epoch() {
            self.clock_announced = header.timestamp;
        }
        self.successors_announced = body.successors;
        self.credit_announced = body.credit_entries > 0 && body.shares_over == 0;
        self.rx.on_heartbeat(header, &mut self.counters, &mut self.events);
        if epoch == self.rx.follow.epoch() {
            self.losses.on_seen(now, header.first_seq);
        }
    }

    /// A frame, live or repaired.
    pub(super) fn on_frame<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        frame: &FrameView<'_>,
        trailer: Option<&RepairTrailer>,
    ) -> Result<(), Reject> {
        self.check_frame(tail, frame, trailer)?;
        let epoch = frame.header.epoch();
        self.observe_round(now, epoch);
        let live = trailer.is_none();
        if live && self.acceptor.refuses(epoch) && epoch != self.rx.adopting {
            self.queue_refuse(epoch);
            self.counters.add(Counter::FramesStale, 1);
            return Ok(());
        }
        let listed = self.log.membership.lists(epoch.leader()) || self.role == Role::Blank;
        if planted(Mutation::UnlistedLeaderDropped) && !listed {
            return Ok(());
        }
        if live && self.is_beyond_salvage(frame) && !planted(Mutation::SalvageFromAnyEpoch) {
            return Ok(());
        }
        // Before the frame is placed: an own log that parts from the new epoch's is no divergence.
        self.rx.learn_start(frame, &mut self.counters, &mut self.events);
        let may_place = self.reconcile_log(tail, now);
        if self.stopped {
            return Ok(());
        }
        if !may_place {
            // The journal has no room to begin the exchange. What is placed behind a log that is to go would be a divergence.
            self.counters.add(Counter::FramesDropped, 1);
            if live && epoch >= self.acceptor.promised() {
                self.on_leader_alive(now, epoch);
            }
            return Ok(());
        }
        let placement = self.rx.on_frame(frame, trailer, &mut self.counters, &mut self.events);
        self.stop_if_diverged();
        if placement != Placement::Dropped {
            let (header, giver) = (frame.header, trailer.map(RepairTrailer::giver));
            self.losses.on_frame(now, header.first_seq, header.next_seq(), giver, epoch.leader());
        }
        if live && epoch >= self.acceptor.promised() && placement != Placement::Dropped {
            self.on_leader_alive(now, epoch);
        }
        if let Placement::Next(end) = placement
            && !self.store_next(tail, now, frame, end)
            && !self.rx.has_ready()
        {
            // It is stored when there is room, and nobody has to give it again.
            self.on_log_full(frame, end);
        }
        Ok(())
    }

    /// The next frame goes into the journal, or waits behind others for room there. Returns whether there was room for it.
    pub(super) fn store_next<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        frame: &FrameView<'_>,
        end: LogEnd,
    ) -> bool {
        if self.rx.has_ready() {
            // Something before it waits for room in the journal.
            return self.on_log_full(frame, end);
        }
        let admitted = self.is_admitted() || self.rx.commit.is_final(frame.header.next_seq());
        match self.log.store(&self.acceptor, admitted, tail, frame) {
            Ok(stored) => {
                self.rx.pass(end);
                self.on_stored(tail, now, stored, end.next, frame.header.commit_next);
                self.rx.extend(&mut self.counters);
                true
            }
            Err(refused) => {
                self.on_refused(tail, refused);
                refused != LogRefusal::Full
            }
        }
    }

    /// The next frame, and what follows it of those that are kept, waits for room in the journal. Returns whether it found a
    /// place to wait.
    fn on_log_full(&mut self, frame: &FrameView<'_>, end: LogEnd) -> bool {
        let kept = self.rx.buffer(frame, end, &mut self.counters);
        if kept {
            self.rx.extend(&mut self.counters);
        }
        kept
    }

    /// Salvage stops before a membership entry (S5): who elects is decided by what promises describe.
    fn is_beyond_salvage(&self, frame: &FrameView<'_>) -> bool {
        frame.header.epoch() < self.acceptor.promised()
            && frame.entries().any(|entry| entry.kind() == EntryKind::Membership)
    }

    /// Whether what is followed may enter the log: it is of the promised epoch or a higher one, or what a
    /// candidate adopts. What is committed always may: the log of every later epoch contains it.
    fn is_admitted(&self) -> bool {
        let followed = self.rx.follow.epoch();
        !self.acceptor.refuses(followed)
            || followed == self.rx.adopting
            || planted(Mutation::SalvageFromAnyEpoch)
    }

    /// The start of an epoch that is to be followed is known: where the own log and that epoch's part, the
    /// exchange begins (S7). Returns whether frames of that epoch's log may be placed: not while the journal has no
    /// room for the exchange.
    #[inline]
    pub(super) fn reconcile_log<M: TailMemory>(&mut self, tail: &mut Tail<M>, now: Nanos) -> bool {
        let followed = self.rx.follow.epoch();
        let pursued =
            followed == self.reconciling_epoch || followed <= tail.end().epoch || !self.is_admitted();
        pursued || self.reconcile_with_epoch(tail, now, followed)
    }

    #[cold]
    fn reconcile_with_epoch<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        followed: Epoch,
    ) -> bool {
        let commit_next = self.commit_next();
        let end = tail.end();
        let (cut, same_to) = match ReplicaLog::cut(tail, &self.rx.follow, commit_next) {
            Ok(None) => (end, end.next),
            Err(from) => {
                self.events.push(ReplicaEvent::CommitContradicted { from, commit_next, epoch: followed });
                self.stopped = true;
                return false;
            }
            Ok(Some(from)) => match self.log.stage(tail, from, &self.rx.follow) {
                Ok(()) => (tail.staged_end().unwrap_or(end), from),
                Err(StageError::Full(_)) => {
                    self.on_refused(tail, LogRefusal::Full);
                    return false;
                }
                Err(StageError::TooOld { .. }) => {
                    self.on_refused(tail, LogRefusal::Overrun);
                    return false;
                }
                Err(_) => {
                    self.events.push(ReplicaEvent::CommitContradicted { from, commit_next, epoch: followed });
                    self.stopped = true;
                    return false;
                }
            },
        };
        if cut == end {
            self.log.abandon();
        }
        self.reconciling_epoch = followed;
        self.check_durability();
        self.rx.cut_to(cut, same_to);
        if followed >= self.acceptor.promised() {
            // Somebody has won: nothing below is followed, or promised, any more. Who holds nothing waits with
            // that: the log that everybody else agrees on may be a lower one, and this one nowhere to be had.
            if self.role != Role::Blank {
                self.promise(tail, followed);
            }
            self.election.on_started();
            self.missed_since = None;
            self.failure_detector.restart(now);
            self.advanced_at = now;
            self.moved_at = now;
            self.heartbeat_number = 0;
        }
        true
    }

    /// Frames that were kept while something was missing follow as soon as it has come.
    pub(super) fn apply_ready<M: TailMemory>(&mut self, tail: &mut Tail<M>, now: Nanos) {
        self.reconcile_log(tail, now);
        let admitted = self.is_admitted();
        while let Some(frame) = self.rx.front(Seq::MAX) {
            let admitted = admitted || self.rx.commit.is_final(frame.header.next_seq());
            // The tail judges the frame against its own end; the store lends it meanwhile.
            match self.log.store(&self.acceptor, admitted, tail, &frame) {
                Ok(stored) => {
                    let (next, committed) = (frame.header.next_seq(), frame.header.commit_next);
                    self.rx.pop_front();
                    self.on_stored(tail, now, stored, next, committed);
                }
                Err(refused) => return self.on_refused(tail, refused),
            }
        }
    }

    /// A frame that ends before `next` is in the journal. Its leader had counted everything below `committed`.
    fn on_stored<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        stored: StoreOutcome,
        next: Seq,
        committed: Seq,
    ) {
        self.counters.add(Counter::FramesAccepted, 1);
        self.on_journal_free(next);
        self.advanced_at = now;
        let end = tail.end();
        if let StoreOutcome::Replaced { from, old } = stored {
            self.counters.add(Counter::Exchanges, 1);
            let (old_epoch, old_next) = (old.epoch, old.next);
            self.events.push(ReplicaEvent::SuffixReplaced { from, epoch: end.epoch, old_epoch, old_next });
        }
        if stored != StoreOutcome::Staged {
            if let Some((seq, before)) = self.log.change {
                self.rx.commit.on_membership(seq, before, self.log.membership);
            }
            self.rx.on_stored(&end);
            // It is in the log now, and so is all that its epoch's log has before it (S6), whichever is followed.
            self.rx.commit.on_final(committed);
            let was_blank = self.role == Role::Blank;
            self.report_history();
            self.assign_role(&end);
            if was_blank {
                self.promise(tail, self.rx.follow.epoch());
                self.rx.raise_floor(self.acceptor.promised());
            }
        }
    }

    /// Where the membership at the log's end has changed: may we vote? Who joins may once that is in its
    /// log, who leaves until it is committed (MEMBER-1).
    #[inline]
    pub(super) fn assign_role(&mut self, end: &LogEnd) {
        let by = (self.log.membership.seq, self.log.change.is_some());
        if by != self.listed_by {
            self.listed_by = by;
            self.assign_new_role(end);
        }
    }

    #[cold]
    fn assign_new_role(&mut self, end: &LogEnd) {
        let me = self.identity();
        let listed = self.counts(me) && !self.is_archiver;
        self.may_lead = !self.is_archiver && self.log.membership.may_lead(me);
        self.is_witness = self.log.membership.is_witness(me);
        let others = self.log.membership;
        let stores = |member: &&MemberBody| member.identity() != me && !member.is_witness();
        let others = others.members().iter().filter(stores);
        self.rx.add_repairers(others.filter_map(|member| {
            member.address().map(|address| Repairer::replica(member.identity().replica, address))
        }));
        let role = if listed { Role::Standby } else { Role::Learner };
        if role != self.role && self.role != Role::Leader {
            self.transition(role, end);
        }
    }

    fn on_refused<M: TailMemory>(&mut self, tail: &Tail<M>, refused: LogRefusal) {
        match refused {
            LogRefusal::Rule => self.counters.add(Counter::FramesStale, 1),
            LogRefusal::Full => {
                self.waits_for_room = true;
                self.on_journal_full(tail.end().next);
            }
            LogRefusal::Overrun => {
                self.events
                    .push(ReplicaEvent::Overrun { from: self.commit_next(), oldest: tail.oldest_seq() });
                self.stopped = true;
            }
        }
    }

    #[cold]
    pub(super) fn on_journal_full(&mut self, seq: Seq) {
        if !self.conditions.holds(Condition::JournalFull) {
            self.set_condition(Condition::JournalFull, true, self.polled_at, (seq, 0));
        }
    }

    #[inline]
    pub(super) fn on_journal_free(&mut self, seq: Seq) {
        if self.conditions.holds(Condition::JournalFull) {
            self.set_condition(Condition::JournalFull, false, self.polled_at, (seq, 0));
        }
    }

    pub(super) fn stop_if_diverged(&mut self) {
        if self.rx.has_diverged() {
            self.stopped = true;
        }
    }

    /// Says where the log stands: when something new is stored, when the leader's beat shows a commit
    /// below it (our ack may be lost), and now and then.
    fn ack<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &Tail<M>,
        now: Nanos,
        wall: Nanos,
        beaten: Option<Seq>,
    ) {
        // Who knows its removal to be committed says nothing more, but for the ack that the leader misses:
        // of two members both must have acknowledged it.
        let misses = |leaders_commit: Seq| leaders_commit <= self.log.membership.seq;
        let leaves =
            self.role == Role::Learner && self.acked.0 == tail.end().epoch && beaten.is_some_and(misses);
        if self.role != Role::Standby && !leaves || self.stopped {
            return;
        }
        let Some((epoch, next)) = self.may_ack(tail) else { return };
        let news = (epoch, next) > self.acked;
        let owed = beaten.is_some_and(|leaders_commit| leaders_commit < next);
        if !news && !owed && now < self.acked_at + self.limits.ack_again_ns {
            return;
        }
        (self.acked, self.acked_at) = ((epoch, next), now);
        let mut out = [0; SMALL_LEN_MAX];
        if let Some(length) = self.write_own_ack(tail, wall, &mut out)
            && send_small(net, Group::Control, &out[..length])
        {
            self.counters.add(Counter::AcksOut, 1);
        }
    }

    /// What may be acknowledged now: an epoch, and how far.
    fn may_ack<M: TailMemory>(&self, tail: &Tail<M>) -> Option<(Epoch, Seq)> {
        if !self.presence.may_vote() {
            return None;
        }
        let end = tail.end();
        let stored = match self.ack_durability() {
            Durability::Process => end.next,
            Durability::Power => tail.durable_next(),
        };
        let early = planted(Mutation::AcceptedBeforeLog).then(|| (self.rx.follow.epoch(), stored));
        let acked = early.or_else(|| self.acceptor.ack(&end, stored, self.rx.follow.epoch()));
        let may_say = |&(_, next): &(Epoch, Seq)| next != NOTHING || self.is_promise_stored(tail);
        acked.filter(may_say)
    }

    /// What an ack rests on.
    pub(super) fn ack_durability(&self) -> Durability {
        rests_on(self.limits.durability, self.rx.commit.durability())
    }

    /// Whether the epoch that is followed asks for the device.
    pub fn follows_power(&self) -> bool {
        self.rx.commit.durability() == Durability::Power
    }

    /// A replica that is configured otherwise than the leader whom it follows is safe, and says so.
    pub(super) fn check_durability(&mut self) {
        let (own, epochs) = (self.limits.durability, self.rx.follow.durability);
        let mixed = own != epochs && !self.is_archiver && self.rx.follow.epoch().round() > 0;
        self.set_condition(Condition::DurabilityMixed, mixed, self.polled_at, (own as u64, epochs as u64));
    }

    /// Writes our ack into `out`, if there is anything that may be acknowledged.
    pub(super) fn write_own_ack<M: TailMemory>(
        &mut self,
        tail: &Tail<M>,
        wall: Nanos,
        out: &mut [u8],
    ) -> Option<usize> {
        let (epoch, next) = self.may_ack(tail)?;
        let end = tail.end();
        self.rx.commit.on_ack(self.identity(), epoch, next);
        self.number += 1;
        // The chain is that of the log's end; below it an ack carries none.
        let chain = if next == end.next { end.chain } else { 0 };
        let header = Header { epoch: epoch.0, first_seq: next, chain, ..self.header(Kind::Ack, wall, &end) };
        Some(write_ack(out, header, AckBody { process_nonce: self.limits.process_nonce }))
    }

    /// A repairer's reason. Where a witness that holds the best log has dropped what a candidate lacks, nobody
    /// but who stored it can help: the operator is told whom the takeover waits for.
    pub(super) fn on_answer(&mut self, now: Nanos, header: &Header, body: &RepairRejectBody) {
        let (by, holder) = (header.identity(), self.rx.adopting.leader());
        // What a witness has, and leaves to others to give, is not lost.
        let is_there = body.reason == RepairReject::Referred as u32;
        let waits = (body.reason == RepairReject::TooOld as u32
            || is_there && planted(Mutation::WaitsForWhatIsThere))
            && self.log.membership.is_witness(by)
            && self.election.ballot().is_some()
            && self.rx.adopting != Epoch::NONE
            && self.takeover_wait_reported != self.rx.adopting;
        if waits {
            self.takeover_wait_reported = self.rx.adopting;
            let (from, oldest) = (body.range.from, body.oldest_seq);
            self.events.push(ReplicaEvent::TakeoverWaits { from, oldest, witness: by, holder });
        }
        if body.reason == RepairReject::Ahead as u32 {
            self.losses.on_ahead();
        }
        self.rx.on_repair_reject(now, header, body, &mut self.counters);
        self.try_other_epoch(now, header);
    }

    /// A node that holds nothing is refused for long: of the epoch that it follows, or waits for, those who have
    /// heard of it may all be gone. It follows the log of who answers, and nothing else for a while; then it
    /// looks again.
    fn try_other_epoch(&mut self, now: Nanos, header: &Header) {
        let long = BLANK_TIMEOUTS * self.failure_detector.timeout_ns();
        let epoch = header.epoch();
        let tries = self.role == Role::Blank && epoch.round() > 0 && epoch >= self.acceptor.promised();
        if !tries || header.history != self.rx.history() || now < self.advanced_at + long {
            return;
        }
        self.advanced_at = now;
        if self.rx.adopting == Epoch::NONE && (epoch != self.rx.follow.epoch() || self.rx.awaits_start()) {
            self.rx.follow_only(epoch, header.first_seq);
            self.reconciling_epoch = Epoch::NONE;
        } else {
            self.rx.raise_floor(self.acceptor.promised());
        }
    }
}
