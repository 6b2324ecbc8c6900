//! A takeover, as in the Synod protocol (Lamport, "The Part-Time Parliament", 1998): a standby asks for
//! promises, fetches the best log that they describe, and leads. The first steps of a leader are in
//! [`super::epoch_start`].

use super::replica_log::frames;
use super::{Following, Leading, ReplicaCore, RoleState, Turn};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::proto::election::{BallotRequest, ElectionStep, Promise};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::sequence::Leadership;
use lockstep_wire::{EPOCHS_MAX, Epoch, Kind, Nanos, Seq};

impl Following {
    /// A takeover, one step at a turn, as in the Synod protocol. Returns the right to lead once it is won.
    ///
    /// ```text
    ///   pre-vote granted ─▶ 1a: promise stored, Prepare ─▶ 1b: quorum of promises ─▶ best log fetched ─▶ won
    /// ```
    #[cold]
    pub(super) fn poll_takeover<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        turn: &Turn,
    ) -> Option<(Leadership, Seq)> {
        let Turn { now, drained, .. } = *turn;
        // Promises that came with this turn count before the election timeout is checked.
        if let Some(won) = self.count_promises(core, tail, now) {
            return Some(won);
        }
        core.count_declared_dead();
        if drained || core.is_overdue(now) {
            self.ask_for_votes(core, net, tail, turn);
        }
        self.count_promises(core, tail, now)
    }

    /// Sends the requests of the candidacy that are due now: for grants of a pre-vote, or for promises
    /// (phase 1a).
    fn ask_for_votes<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        turn: &Turn,
    ) {
        let Turn { now, wall, .. } = *turn;
        if core.election.is_calm() {
            return;
        }
        let rank = self.rank(core);
        let (promised, membership) = (core.acceptor.promised(), core.log.membership);
        match core.election.poll(now, promised, &membership, rank, tail.has_room()) {
            None => {}
            Some(BallotRequest::PreVote(ballot)) => {
                let about = core.followed.epoch();
                core.send_ballot(net, tail, wall, Kind::PreVote, ballot, about);
            }
            Some(BallotRequest::Prepare(ballot)) => {
                if ballot > promised {
                    core.events.push(ReplicaEvent::Candidate { ballot });
                    core.counters.add(Counter::Candidacies, 1);
                    core.promise(tail, ballot);
                    core.follow_replica_log(tail);
                    self.reconciling_epoch = tail.end().epoch;
                }
                if core.is_promise_stored(tail) {
                    core.send_ballot(net, tail, wall, Kind::Prepare, ballot, Epoch::NONE);
                }
            }
        }
    }

    /// Phase 1b, with the promises received: wait for more, fetch the best log that they describe, or lead.
    fn count_promises<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &Tail<M>,
        now: Nanos,
    ) -> Option<(Leadership, Seq)> {
        if core.election.ballot()? != core.acceptor.promised() {
            return None;
        }
        if !core.is_promise_stored(tail) {
            core.election.on_progress(now);
            return None;
        }
        match core.election.assess(&tail.end(), core.commit_next(), &core.log.electorate()) {
            ElectionStep::Wait => {}
            ElectionStep::Unlisted => {
                let rank = self.rank(core);
                core.election.on_failed(now, rank);
            }
            ElectionStep::Adopt(best) => self.adopt_log(core, tail, now, &best),
            ElectionStep::Won { leadership, commit_next } => {
                let was_handed_over = core.leaders_missed.handed_over == tail.end().epoch;
                let counter =
                    if was_handed_over { Counter::TakeoversRequested } else { Counter::TakeoversFailed };
                core.counters.add(counter, 1);
                return Some((leadership, commit_next));
            }
        }
        None
    }

    /// The log that a promise describes is better than ours: it is followed up to the promised position.
    fn adopt_log<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &Tail<M>,
        now: Nanos,
        best: &Promise,
    ) {
        let member = core.log.membership.members().iter().find(|member| member.identity() == best.by);
        core.rx.requests.prefer = member.and_then(|member| member.address());
        core.followed.adopting = best.accepted;
        core.rx.on_announced_end(&mut core.followed, best.accepted, best.next);
        let progress = tail.staged_end().unwrap_or_else(|| tail.end());
        if self.fetched != (progress.epoch, progress.next) {
            self.fetched = (progress.epoch, progress.next);
            core.election.on_progress(now);
        }
    }
}

impl RoleState {
    /// Phase 2 begins (S5): our log survives, and is ours to extend. The epoch's start is the first entry
    /// that is stamped.
    pub(super) fn become_leader<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &Tail<M>,
        now: Nanos,
        leadership: Leadership,
        commit_won: Seq,
    ) {
        let ends = planted(Mutation::TableEnds) && core.log.uncommitted_epochs() + 1 >= EPOCHS_MAX;
        if !tail.has_room() || ends {
            // The epoch's start would find no room either.
            let rank = self.rank(core);
            return core.election.on_failed(now, rank);
        }
        let Self::Following(following) = self.take() else {
            unreachable!("S1: a leader begins another epoch without stepping down")
        };
        core.follow_replica_log(tail);
        core.rx.requests.prefer = None;
        if planted(Mutation::AdoptedForgotten) {
            let adopted: Vec<_> =
                frames(tail, core.commit_next()).flat_map(|frame| frame.entries()).collect();
            core.log.publishers.on_cut(core.commit_next(), adopted.into_iter());
        }
        let commit_won = if planted(Mutation::PromisedCommitLost) { 1 } else { commit_won };
        core.led = leadership.epoch();
        let leading = Leading::new(core, tail, following.memory, leadership, (now, commit_won));
        core.election.on_started();
        net.set_joined(Group::Data, false);
        core.on_role_changed(following.role.into(), Role::Leader, &tail.end());
        *self = Self::Leading(leading);
    }
}

impl ReplicaCore {
    /// Whether a candidate has waited long enough for its socket to be drained. The waiting datagrams may
    /// contain the leader's sign of life, or a Prepare of the candidate that goes first; two candidates at
    /// once are slower than one.
    fn is_overdue(&self, now: Nanos) -> bool {
        let due = self.election.next_deadline();
        due.is_some_and(|due| now >= due + self.limits.election.stagger_ns)
    }

    /// A candidate follows only its own log, and the logs that promises describe. Frames of that log's
    /// epoch which are still under way extend it (salvage).
    pub(super) fn follow_replica_log<M: TailMemory>(&mut self, tail: &Tail<M>) {
        let end = tail.end();
        self.log.abandon();
        let table = self.log.table(self.commit_next());
        self.followed.restore(&table, self.log.membership, self.log.durability);
        self.rx.follow_replica_log(&mut self.followed, end);
    }
}
