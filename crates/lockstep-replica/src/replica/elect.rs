//! The half of a replica that finds out that the leader is gone, votes, and takes over.
//!
//! What is owed to somebody is remembered during a turn and said at its end: a promise only once it is
//! stored (S2), and one answer for many copies of a question.

use super::{ReplicaCore, ReplicaEngine, send_small};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use crate::ports::Ports;
use crate::replica::own_log::frames;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role, StepDownReason};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::proto::accept::PrepareOutcome;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::election::{BallotRequest, ElectionStep, Promise, Why};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::rounds;
use lockstep_core::proto::sequence::{Leadership, Sequencer};
use lockstep_core::proto::suspect;
use lockstep_wire::{
    BallotBody, Condition, Datagram, DeathNoticeBody, EPOCHS_MAX, Entries, Epoch, HEADER_LEN, Header,
    Identity, IdentityProbeBody, Kind, MEMBERS_MAX, Nanos, ROUND_MAX, Reject, SMALL_LEN_MAX, Seq,
    StepDownBody, write_presence,
};

/// A leader that stamps nothing of what is heard, for this many timeouts, is deaf.
const DEAF_PATIENCE: u64 = 10;
/// So many epochs of the log without a commit are an alarm: half of what an epoch's start can list.
const EPOCHS_ALARM: usize = EPOCHS_MAX / 2;

/// What a replica owes to others at the end of its turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct PendingReplies {
    /// Our promise, once it is stored.
    promise: bool,
    /// A refusal of this epoch.
    refuse: Option<Epoch>,
    /// A grant to who asked about this (ballot, epoch).
    grant: Option<(Epoch, Epoch)>,
    /// What we hold beyond the log of this candidate.
    salvage: Option<Header>,
    /// A question to whoever lives under our identity, ...
    pub(super) probe_due: Option<IdentityProbeBody>,
    /// ... and our answer to one.
    pub(super) probe_reply_due: Option<IdentityProbeBody>,
}

/// When and why a leader was last missed, for who asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CurrentSuspicion {
    /// The epoch whose leader was missed.
    pub epoch: Epoch,
    /// Why.
    pub why: Why,
    /// When, on the node's own clock.
    pub at: Nanos,
}

impl PendingReplies {
    /// Whether nothing is owed, which is the rule.
    #[inline]
    fn is_nothing(&self) -> bool {
        let Self {
            promise,
            refuse,
            grant,
            salvage,
            probe_due: asks_presence,
            probe_reply_due: answers_presence,
        } = self;
        let votes = *promise || refuse.is_some() || grant.is_some() || salvage.is_some();
        !votes && asks_presence.is_none() && answers_presence.is_none()
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// Looks whether the leader is missed, votes, and goes on with a candidacy. `drained` says that this
    /// turn found less than was there to be found.
    pub(super) fn poll_election(&mut self, now: Nanos, wall: Nanos, drained: bool) {
        let Self { net, tail, core, .. } = self;
        if core.role == Role::Blank || !core.presence.may_vote() {
            core.failure_detector.poll(now, drained);
        } else if core.role == Role::Standby {
            // Who never leads misses the leader all the same, and grants what others ask for.
            core.poll_failure_detector(now, drained);
            if core.may_lead && (core.declared_dead.is_some() || !core.election.is_calm()) {
                core.continue_election(net, tail, now, wall, drained);
            }
        }
        core.flush_reply(net, tail, now, wall);
    }

    /// A leader owes answers as well.
    #[inline]
    pub(super) fn flush_pending_replies(&mut self, now: Nanos, wall: Nanos) {
        let Self { net, tail, core, .. } = self;
        core.flush_reply(net, tail, now, wall);
    }
}

impl ReplicaCore {
    /// What an election says, on the control group. Everybody votes by the same rules, the leader as well.
    pub(super) fn on_election<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        datagram: &Datagram<'_>,
    ) -> Result<(), Reject> {
        match datagram {
            Datagram::Prepare(header, body)
            | Datagram::Promise(header, body)
            | Datagram::Refuse(header, body)
            | Datagram::PreVote(header, body)
            | Datagram::Grant(header, body) => {
                self.rx.check_history(header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    // What is asked by a pre-vote is no ballot yet: two that miss a leader alone would drive
                    // each other's rounds up, a thousand a second, until there are none left.
                    let asks = matches!(datagram, Datagram::PreVote(..) | Datagram::Grant(..));
                    let believed = self.observe_round(now, header.epoch());
                    if !believed || !asks && !self.observe_round(now, Epoch(body.ballot)) {
                        return Ok(()); // and climbed towards it: who means it says it again
                    }
                    if self.declared_dead == Some(header.identity()) {
                        self.declared_dead = None; // it lives
                    }
                    self.on_ballot(tail, now, header, body);
                }
            }
            Datagram::DeathNotice(header, body) => {
                self.rx.check_history(header)?;
                self.on_down(now, header, body);
            }
            // Whatever history it has: it has our name.
            Datagram::IdentityProbe(header, body) => self.on_presence(header, body),
            Datagram::StepDown(header, body) => {
                self.rx.check_history(header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    self.on_step_down(now, header, body);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_ballot<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        header: &Header,
        body: &BallotBody,
    ) {
        let (from, ballot, about) = (header.identity(), Epoch(body.ballot), Epoch(body.about));
        // The ballot is nobody's news, the sender's log is: without it a quorum may never come about. It may hold
        // the very entry that lists us, or that says whose votes are enough.
        let lacks = match self.role {
            Role::Blank | Role::Learner => true,
            Role::Standby => self.election.ballot().is_none() && header.epoch() == self.rx.follow.epoch(),
            Role::Leader => false,
        };
        if lacks {
            self.rx.on_ballot(header, &mut self.counters);
        }
        match Kind::from_u8(header.kind) {
            // A ballot is asked for by nobody but the one who would lead it.
            Some(Kind::Prepare) if ballot.leader() != from => {}
            // S12: another process of this identity may live. A candidate asks again.
            Some(Kind::Prepare | Kind::PreVote) if !self.presence.may_vote() => {}
            Some(Kind::Prepare) if self.has_vote() => self.on_prepare(tail, now, ballot),
            Some(Kind::Prepare) => self.pending_replies.salvage = Some(*header),
            Some(Kind::Promise) => self.election.on_promise(
                ballot,
                Promise {
                    by: from,
                    accepted: header.epoch(),
                    next: header.first_seq,
                    chain: header.chain,
                    commit_next: header.commit_next,
                },
            ),
            Some(Kind::Refuse) if self.counts(from) => {
                self.on_refuse(tail, now, ballot, about);
            }
            Some(Kind::PreVote) if self.has_vote() && self.misses_leader() => {
                self.pending_replies.grant = Some((ballot, about));
            }
            Some(Kind::Grant) if ballot.leader() == self.identity() => self.election.on_grant(from),
            _ => {}
        }
    }

    /// Somebody speaks of an epoch. Returns whether its round is believed.
    #[inline]
    pub(super) fn observe_round(&mut self, now: Nanos, epoch: Epoch) -> bool {
        let seen = self.election.round_seen();
        let believed = self.election.on_heard(now, epoch);
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

    /// Half of all rounds are used up: the operator is told.
    fn check_rounds(&mut self, promised: Epoch) {
        let numbers = (u64::from(promised.round()), u64::from(ROUND_MAX));
        let high = promised.round() >= rounds::ALARM;
        self.set_condition(Condition::RoundsHigh, high, self.polled_at, numbers);
    }

    /// Whether `from` is a member on either side of the last change: of two, one that leaves still has to
    /// acknowledge that, and one that refuses will not.
    pub(super) fn counts(&self, from: Identity) -> bool {
        self.log.membership.lists(from) || self.log.change.is_some_and(|(_, before)| before.lists(from))
    }

    /// Whether this replica promises and grants. Who holds nothing does so if it promised before: its log never
    /// reached the device, so it acknowledged nothing of it, and its promise is all that the others need.
    pub(super) fn has_vote(&self) -> bool {
        match self.role {
            Role::Standby | Role::Leader => true,
            Role::Blank => self.acceptor.promised() > Epoch::NONE,
            Role::Learner => !self.is_archiver && self.acceptor.promised() > self.rx.follow.epoch(),
        }
    }

    /// Whether we would follow another leader: a pre-vote is granted then.
    pub(super) fn misses_leader(&self) -> bool {
        self.role != Role::Leader
            && self.has_vote()
            && (!self.election.is_calm() || self.failure_detector.is_suspected())
    }

    /// Our place among the successors, as the leader ranked them last; by membership where it did not.
    fn rank(&self) -> usize {
        let me = self.identity();
        let ranked = self.successors_announced.iter().position(|replica| u32::from(*replica) == me.replica);
        ranked.or_else(|| self.log.membership.position(me)).unwrap_or(0)
    }

    fn on_prepare<M: TailMemory>(&mut self, tail: &mut Tail<M>, now: Nanos, ballot: Epoch) {
        match self.acceptor.judge_prepare(ballot) {
            PrepareOutcome::Promise => {
                // What was handed to the network lies inside the log that the promise describes.
                if self.role == Role::Leader && !planted(Mutation::StampsAfterPromise) {
                    self.step_down(tail, now, StepDownReason::Promised);
                }
                self.promise(tail, ballot);
                self.before_led = self.before_led.max(ballot);
                let rank = self.rank();
                self.election.on_preempted(now, rank);
                self.failure_detector.restart(now);
                self.pending_replies.promise = true;
            }
            PrepareOutcome::Repeat => self.pending_replies.promise = true,
            PrepareOutcome::Refuse { .. } => self.pending_replies.refuse = Some(ballot),
        }
    }

    /// S2: the promise is a word in the tail before anything is said of it; nothing lower is followed.
    pub(super) fn promise<M: TailMemory>(&mut self, tail: &mut Tail<M>, epoch: Epoch) {
        if epoch > self.acceptor.promised() {
            if !planted(Mutation::PromiseNotStored) {
                tail.promise(epoch);
            }
            self.acceptor.on_promised(epoch);
            self.election.on_proven(epoch);
            self.check_rounds(epoch);
            if !planted(Mutation::FollowsLowerEpoch) {
                self.rx.raise_floor(epoch);
            }
        }
    }

    /// A member told that it promised `promised`, and so refuses `about`.
    fn on_refuse<M: TailMemory>(&mut self, tail: &mut Tail<M>, now: Nanos, promised: Epoch, about: Epoch) {
        let leads = self.sequencer.as_ref().is_some_and(|sequencer| sequencer.epoch() == about);
        if leads && promised > about {
            self.step_down(tail, now, StepDownReason::Refused);
        } else if self.election.ballot() == Some(about) && promised > about {
            let rank = self.rank();
            self.election.on_failed(now, rank);
        }
    }

    fn on_down(&mut self, now: Nanos, header: &Header, body: &DeathNoticeBody) {
        let follow = &self.rx.follow;
        let dead = self.role != Role::Leader
            && header.identity() == follow.epoch().leader()
            && suspect::is_down(follow.epoch(), &follow.secret_hash, header.epoch(), &body.secret);
        if dead {
            let rank = self.rank();
            self.suspect_leader(now, Why::Down, rank);
        }
    }

    fn on_step_down(&mut self, now: Nanos, header: &Header, body: &StepDownBody) {
        if self.role == Role::Leader
            || header.epoch() != self.rx.follow.epoch() && !planted(Mutation::OldStepDownObeyed)
            || header.identity() != header.epoch().leader()
        {
            return;
        }
        let successor = Identity::from_packed(body.successor);
        let rank = match () {
            () if successor == self.identity() => 0,
            // The chosen one goes first.
            () if body.successor != 0 => self.rank() + 1,
            () => self.rank(),
        };
        self.suspect_leader(now, Why::StepDown, rank);
    }

    fn suspect_leader(&mut self, now: Nanos, why: Why, rank: usize) {
        let epoch = self.rx.follow.epoch();
        if self.election.missing() != Some(why) {
            self.suspicion = Some(CurrentSuspicion { epoch, why, at: now });
            self.missed_since.get_or_insert(now);
            self.events.push(ReplicaEvent::LeaderSuspected { epoch, why });
            self.counters.add(Counter::Suspicions, 1);
        }
        self.election.on_missed(now, why, rank);
    }

    /// A sign of life of the leader of `epoch`, which we may follow. Who leads an epoch that is new to us was
    /// never missed: that its predecessor was is no mistake of ours, and doubles no timeout.
    pub(super) fn on_leader_alive(&mut self, now: Nanos, epoch: Epoch) {
        if self.no_progress {
            return;
        }
        if epoch > self.rx.follow.epoch() {
            self.failure_detector.restart(now);
        } else {
            self.failure_detector.on_life(now);
        }
        self.election.on_life();
        if self.missed_since.is_some() && self.election.is_calm() {
            self.on_leader_returned(now, epoch);
        }
    }

    /// The leader that we missed speaks, and nobody took over meanwhile.
    #[cold]
    fn on_leader_returned(&mut self, now: Nanos, epoch: Epoch) {
        let lasted = self.missed_since.take().map_or(0, |since| now.saturating_sub(since));
        self.events.push(ReplicaEvent::LeaderReturned { epoch, lasted });
    }

    /// SUSPECT-1, and the leader that is heard but deaf: it stamps nothing although we have heard, long ago,
    /// what could be stamped, and it tells no lack of credit, neither of all nor of some.
    fn poll_failure_detector(&mut self, now: Nanos, drained: bool) {
        let waits_since = self.pending_submissions.drop_committed(
            self.rx.end().map_or(1, |end| end.next),
            self.limits.receiver.cluster,
            &self.log.publishers,
        );
        let since = waits_since.map(|since| since.max(self.advanced_at));
        self.no_progress = since.is_some_and(|since| self.is_stuck(now, since, DEAF_PATIENCE))
            && self.credit_announced
            && !self.rx.is_waiting();
        let suspected = self.failure_detector.poll(now, drained);
        if self.election.is_calm() && (suspected || self.no_progress) {
            let rank = self.rank();
            self.suspect_leader(now, if suspected { Why::Silence } else { Why::NoProgress }, rank);
        }
    }

    /// Whether nothing has moved since `since`, for so many `timeouts` and longer, and that is not our own journal's doing.
    pub(super) fn is_stuck(&self, now: Nanos, since: Nanos, timeouts: u64) -> bool {
        let usual = timeouts * self.failure_detector.timeout_ns();
        suspect::is_stuck(
            now,
            since,
            self.device_blocked_at,
            suspect::patience(usual, self.log.uncommitted_epochs()),
        )
    }

    /// Looks whether our own journal keeps up with what is heard: it has no room, or its device lags. What has no commit
    /// then says nothing of the leader.
    pub(super) fn check_journal<M: TailMemory>(&mut self, tail: &Tail<M>, now: Nanos) {
        let full = self.conditions.holds(Condition::JournalFull);
        let has_room = full && tail.has_room();
        if has_room {
            self.on_journal_free(tail.end().next);
        }
        let lags = self.ack_durability() == Durability::Power
            && (tail.durable_next() < tail.end().next || !self.is_promise_stored(tail));
        if (full && !has_room || lags) && !planted(Mutation::FullMissesLeader) {
            self.device_blocked_at = now;
        }
        self.check_epochs();
    }

    /// Takeovers follow each other and nothing is committed: the operator is told.
    pub(super) fn check_epochs(&mut self) {
        let count = self.log.uncommitted_epochs();
        let holds = self.conditions.holds(Condition::EpochsUncommitted);
        if holds || count >= EPOCHS_ALARM {
            let numbers = (count as u64, self.commit_next());
            self.set_condition(Condition::EpochsUncommitted, count >= EPOCHS_ALARM, self.polled_at, numbers);
        }
    }

    #[cold]
    fn continue_election<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        now: Nanos,
        wall: Nanos,
        drained: bool,
    ) {
        // Promises that came with this turn count before their time is found to be over.
        self.count_promises(net, tail, now);
        self.count_declared_dead();
        if drained || self.is_overdue(now) {
            self.start_election(net, tail, now, wall);
        }
        self.count_promises(net, tail, now);
    }

    /// Whether a candidate has waited long enough for its socket to be drained: in what waits there may be
    /// the leader's life, or a Prepare of who goes first, and two candidates at once are slower than one.
    fn is_overdue(&self, now: Nanos) -> bool {
        let due = self.election.next_deadline();
        due.is_some_and(|due| now >= due + self.limits.election.stagger_ns)
    }

    /// Says what the candidacy asks for now.
    fn start_election<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        now: Nanos,
        wall: Nanos,
    ) {
        if self.election.is_calm() {
            return;
        }
        let rank = self.rank();
        let (promised, membership) = (self.acceptor.promised(), self.log.membership);
        match self.election.poll(now, promised, &membership, rank, tail.has_room()) {
            None => {}
            Some(BallotRequest::PreVote(ballot)) => {
                let about = self.rx.follow.epoch();
                self.send_ballot(net, tail, wall, Kind::PreVote, ballot, about);
            }
            Some(BallotRequest::Prepare(ballot)) => {
                if ballot > promised {
                    self.events.push(ReplicaEvent::Candidate { ballot });
                    self.counters.add(Counter::Candidacies, 1);
                    self.promise(tail, ballot);
                    self.follow_replica_log(tail);
                }
                if self.is_promise_stored(tail) {
                    self.send_ballot(net, tail, wall, Kind::Prepare, ballot, Epoch::NONE);
                }
            }
        }
    }

    /// A candidate follows nobody but its own log, and what promises describe. Frames of that log's epoch
    /// which are still under way extend it (salvage).
    fn follow_replica_log<M: TailMemory>(&mut self, tail: &Tail<M>) {
        let end = tail.end();
        self.log.abandon();
        let table = self.log.table(self.commit_next());
        self.rx.restore(&table, self.log.membership, self.log.durability);
        self.rx.follow_replica_log(end);
        self.reconciling_epoch = end.epoch;
    }

    /// In `power` the promise must have reached the device before anything is said in it.
    pub(super) fn is_promise_stored<M: TailMemory>(&self, tail: &Tail<M>) -> bool {
        self.limits.durability == Durability::Process || tail.promise_stored() >= self.acceptor.promised()
    }

    /// With the promises at hand: gets the best log, or leads.
    fn count_promises<M: TailMemory>(&mut self, net: &mut impl Net, tail: &mut Tail<M>, now: Nanos) {
        let Some(ballot) = self.election.ballot() else { return };
        if ballot != self.acceptor.promised() {
            return;
        }
        if !self.is_promise_stored(tail) {
            return self.election.on_progress(now);
        }
        match self.election.assess(&tail.end(), self.commit_next(), &self.log.electorate()) {
            ElectionStep::Wait => {}
            ElectionStep::Unlisted => {
                let rank = self.rank();
                self.election.on_failed(now, rank);
            }
            ElectionStep::Adopt(best) => self.adopt_log(tail, now, &best),
            ElectionStep::Won { leadership, commit_next } => {
                self.become_leader(net, tail, now, leadership, commit_next)
            }
        }
    }

    /// The log that a promise describes is better than ours: it is followed as far as that.
    fn adopt_log<M: TailMemory>(&mut self, tail: &Tail<M>, now: Nanos, best: &Promise) {
        let member = self.log.membership.members().iter().find(|member| member.identity() == best.by);
        self.rx.prefer = member.and_then(|member| member.address());
        self.rx.adopting = best.accepted;
        self.rx.on_announced_end(best.accepted, best.next);
        let progress = tail.staged_end().unwrap_or_else(|| tail.end());
        if self.fetched != (progress.epoch, progress.next) {
            self.fetched = (progress.epoch, progress.next);
            self.election.on_progress(now);
        }
    }

    /// S5: our log is the one that survives. The epoch start comes first, then what was heard already.
    fn become_leader<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        now: Nanos,
        leadership: Leadership,
        commit_next: Seq,
    ) {
        let end = tail.end();
        let ends = planted(Mutation::TableEnds) && self.log.uncommitted_epochs() + 1 >= EPOCHS_MAX;
        if !tail.has_room() || ends {
            // The epoch's start would find no room either.
            let rank = self.rank();
            return self.election.on_failed(now, rank);
        }
        self.follow_replica_log(tail);
        self.before_led = self.before_led.max(end.epoch);
        (self.led, self.won_at) = (leadership.epoch(), now);
        let limits = &self.limits.receiver;
        self.sequencer =
            Some(Sequencer::new(leadership, limits.cluster, self.rx.history(), end, tail.frame_len_max()));
        self.rx.prefer = None;
        self.commit_won = if planted(Mutation::PromisedCommitLost) { 1 } else { commit_next };
        if planted(Mutation::AdoptedForgotten) {
            let adopted: Vec<_> =
                frames(tail, self.commit_next()).flat_map(|frame| frame.entries()).collect();
            self.log.publishers.on_cut(self.commit_next(), adopted.into_iter());
        }
        if !planted(Mutation::WindowKept) {
            self.uncommitted.clear();
        }
        self.commit_seen = 0;
        for frame in frames(tail, self.commit_next()) {
            self.uncommitted.on_closed(frame.header.next_seq(), frame.header.length);
        }
        self.hold.clear();
        self.shares.clear();
        self.outgoing_frames.clear();
        self.acked = (Epoch::NONE, 0);
        self.quorum.restart(now);
        self.quorum_contacts = 0;
        self.had_quorum = false;
        (self.member_contact, self.rejected_command) = ([0; MEMBERS_MAX], None);
        self.must_drain = false;
        self.uncommitted_change = false;
        self.draining = false;
        self.handover = None;
        self.election.on_started();
        net.set_joined(Group::Data, false);
        self.transition(Role::Leader, &end);
    }

    /// Stops stamping: what is open or unsent is thrown away, and this node is a standby.
    pub(super) fn step_down<M: TailMemory>(&mut self, tail: &mut Tail<M>, now: Nanos, why: StepDownReason) {
        let Some(sequencer) = self.sequencer.take() else { return };
        let end = tail.end();
        if !sequencer.is_drained()
            && !planted(Mutation::OpenFrameKept)
            && let Ok(memory) = tail.room()
        {
            // S8: what its entries changed goes with them.
            let count = sequencer.stamp_next() - end.next;
            let open = Entries::check(&memory[HEADER_LEN..sequencer.open_len()], count as u16);
            if let Ok((entries, _)) = open {
                self.log.publishers.on_cut(end.next, entries);
            }
        }
        self.events.push(ReplicaEvent::SteppedDown { epoch: sequencer.epoch(), why, seq: end.next });
        if !planted(Mutation::OutgoingKept) {
            self.outgoing_frames.clear();
        }
        self.commit_seen = 0;
        if !planted(Mutation::HoldKept) {
            self.hold.clear();
        }
        self.shares.clear();
        self.pending_submissions.clear();
        self.handover = None;
        self.draining &= self.stopping;
        self.rejoins = true;
        self.advanced_at = now;
        self.failure_detector.restart(now);
        let rank = self.rank();
        self.election.on_failed(now, rank);
        self.transition(Role::Standby, &end);
    }

    /// Says what is owed.
    #[inline]
    fn flush_reply<M: TailMemory>(&mut self, net: &mut impl Net, tail: &Tail<M>, now: Nanos, wall: Nanos) {
        if self.rejoins || !self.pending_replies.is_nothing() {
            self.flush_all(net, tail, now, wall);
        }
    }

    #[cold]
    fn flush_all<M: TailMemory>(&mut self, net: &mut impl Net, tail: &Tail<M>, now: Nanos, wall: Nanos) {
        if std::mem::take(&mut self.rejoins) {
            net.set_joined(Group::Data, true);
        }
        self.send_identity_probe(net, tail, wall);
        let promised = self.acceptor.promised();
        if self.pending_replies.promise && self.is_promise_stored(tail) {
            self.pending_replies.promise = false;
            self.send_ballot(net, tail, wall, Kind::Promise, promised, Epoch::NONE);
        }
        if let Some(candidate) = self.pending_replies.salvage.take() {
            self.salvage(tail, wall, &candidate);
        }
        if let Some((ballot, about)) = self.pending_replies.grant.take() {
            self.send_ballot(net, tail, wall, Kind::Grant, ballot, about);
        }
        if let Some(about) = self.pending_replies.refuse.take()
            && now >= self.refused_at + self.limits.heartbeat.interval_ns
            && self.is_promise_stored(tail)
        {
            self.refused_at = now;
            self.send_ballot(net, tail, wall, Kind::Refuse, promised, about);
        }
    }

    pub(super) fn send_identity_probe<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &Tail<M>,
        wall: Nanos,
    ) {
        let owed = [self.pending_replies.probe_due.take(), self.pending_replies.probe_reply_due.take()];
        for body in owed.into_iter().flatten() {
            self.number += 1;
            let mut out = [0; SMALL_LEN_MAX];
            let length = write_presence(&mut out, self.header(Kind::IdentityProbe, wall, &tail.end()), body);
            send_small(net, Group::Control, &out[..length]);
        }
    }

    /// Somebody speaks below our promise: it is told so.
    pub(super) fn queue_refuse(&mut self, about: Epoch) {
        if self.has_vote()
            && self.presence.may_vote()
            && about < self.acceptor.promised()
            && about.round() > 0
        {
            self.pending_replies.refuse = Some(about);
        }
    }
}
