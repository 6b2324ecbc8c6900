//! A takeover, as in the Synod protocol (Lamport, "The Part-Time Parliament", 1998): a standby asks for
//! promises, fetches the best log that they describe, and leads. The first steps of a leader are in
//! [`super::epoch_start`].

use super::replica_log::frames;
use super::{Ctx, Following, Leading, RoleState};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{ReplicaEvent, Role};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::proto::election::{BallotRequest, ElectionStep, Promise};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::sequence::Leadership;
use lockstep_wire::{EPOCHS_MAX, Epoch, Kind, Seq};

impl Following {
    /// A takeover, one step at a turn, as in the Synod protocol. Returns the right to lead once it is won.
    ///
    /// ```text
    ///   pre-vote granted ─▶ 1a: promise stored, Prepare ─▶ 1b: quorum of promises ─▶ best log fetched ─▶ won
    /// ```
    #[cold]
    pub(super) fn poll_takeover<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        net: &mut P::Net,
    ) -> Option<(Leadership, Seq)> {
        let drained = ctx.turn.drained;
        // Promises that came with this turn count before the election timeout is checked.
        if let Some(won) = self.count_promises(ctx) {
            return Some(won);
        }
        ctx.count_declared_dead();
        if drained || ctx.is_overdue() {
            self.ask_for_votes(ctx, net);
        }
        self.count_promises(ctx)
    }

    /// Sends the requests of the candidacy that are due now: for grants of a pre-vote, or for promises
    /// (phase 1a).
    fn ask_for_votes<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) {
        let now = ctx.turn.now;
        if ctx.core.election.is_calm() {
            return;
        }
        let rank = self.rank(ctx.core);
        let (promised, membership) = (ctx.core.acceptor.promised(), ctx.core.log.membership);
        match ctx.core.election.poll(now, promised, &membership, rank, ctx.tail.has_room()) {
            None => {}
            Some(BallotRequest::PreVote(ballot)) => {
                let about = ctx.core.followed.epoch();
                ctx.send_ballot(net, Kind::PreVote, ballot, about);
            }
            Some(BallotRequest::Prepare(ballot)) => {
                if ballot > promised {
                    ctx.core.events.push(ReplicaEvent::Candidate { ballot });
                    ctx.core.counters.add(Counter::Candidacies, 1);
                    ctx.promise(ballot);
                    ctx.follow_replica_log();
                    self.reconciling_epoch = ctx.tail.end().epoch;
                }
                if ctx.is_promise_stored() {
                    ctx.send_ballot(net, Kind::Prepare, ballot, Epoch::NONE);
                }
            }
        }
    }

    /// Phase 1b, with the promises received: wait for more, fetch the best log that they describe, or lead.
    fn count_promises<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) -> Option<(Leadership, Seq)> {
        let now = ctx.turn.now;
        if ctx.core.election.ballot()? != ctx.core.acceptor.promised() {
            return None;
        }
        if !ctx.is_promise_stored() {
            ctx.core.election.on_progress(now);
            return None;
        }
        match ctx.core.election.assess(&ctx.tail.end(), ctx.core.commit_next(), &ctx.core.log.electorate()) {
            ElectionStep::Wait => {}
            ElectionStep::Unlisted => {
                let rank = self.rank(ctx.core);
                ctx.core.election.on_failed(now, rank);
            }
            ElectionStep::Adopt(best) => self.adopt_log(ctx, &best),
            ElectionStep::Won { leadership, commit_next } => {
                let was_handed_over = ctx.core.leaders_missed.handed_over == ctx.tail.end().epoch;
                let counter =
                    if was_handed_over { Counter::TakeoversRequested } else { Counter::TakeoversFailed };
                ctx.core.counters.add(counter, 1);
                return Some((leadership, commit_next));
            }
        }
        None
    }

    /// The log that a promise describes is better than ours: it is followed up to the promised position.
    fn adopt_log<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, best: &Promise) {
        let member = ctx.core.log.membership.members().iter().find(|member| member.identity() == best.by);
        ctx.core.rx.requests.prefer = member.and_then(|member| member.address());
        ctx.core.followed.adopting = best.accepted;
        ctx.core.rx.on_announced_end(&mut ctx.core.followed, best.accepted, best.next);
        let progress = ctx.tail.staged_end().unwrap_or_else(|| ctx.tail.end());
        if self.fetched != (progress.epoch, progress.next) {
            self.fetched = (progress.epoch, progress.next);
            ctx.core.election.on_progress(ctx.turn.now);
        }
    }
}

impl RoleState {
    /// Phase 2 begins (S5): our log survives, and is ours to extend. The epoch's start is the first entry
    /// that is stamped.
    pub(super) fn become_leader<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        net: &mut P::Net,
        leadership: Leadership,
        commit_won: Seq,
    ) {
        let now = ctx.turn.now;
        let ends = planted(Mutation::TableEnds) && ctx.core.log.uncommitted_epochs() + 1 >= EPOCHS_MAX;
        if !ctx.tail.has_room() || ends {
            // The epoch's start would find no room either.
            let rank = self.rank(ctx.core);
            return ctx.core.election.on_failed(now, rank);
        }
        let Self::Following(following) = self.take() else {
            unreachable!("S1: a leader begins another epoch without stepping down")
        };
        ctx.follow_replica_log();
        ctx.core.rx.requests.prefer = None;
        if planted(Mutation::AdoptedForgotten) {
            let adopted: Vec<_> =
                frames(ctx.tail, ctx.core.commit_next()).flat_map(|frame| frame.entries()).collect();
            ctx.core.log.publishers.on_cut(ctx.core.commit_next(), adopted.into_iter());
        }
        let commit_won = if planted(Mutation::PromisedCommitLost) { 1 } else { commit_won };
        ctx.core.led = leadership.epoch();
        let leading = Leading::new(ctx.core, ctx.tail, following.memory, leadership, now, commit_won);
        ctx.core.election.on_started();
        net.set_joined(Group::Data, false);
        ctx.core.on_role_changed(following.role.into(), Role::Leader, &ctx.tail.end());
        *self = Self::Leading(leading);
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// Whether a candidate has waited long enough for its socket to be drained. The waiting datagrams may
    /// contain the leader's sign of life, or a Prepare of the candidate that goes first; two candidates at
    /// once are slower than one.
    fn is_overdue(&self) -> bool {
        let due = self.core.election.next_deadline();
        due.is_some_and(|due| self.turn.now >= due + self.core.limits.election.stagger_ns)
    }

    /// A candidate follows only its own log, and the logs that promises describe. Frames of that log's
    /// epoch which are still under way extend it (salvage).
    pub(super) fn follow_replica_log(&mut self) {
        let end = self.tail.end();
        self.core.log.abandon();
        let table = self.core.log.table(self.core.commit_next());
        self.core.followed.restore(&table, self.core.log.membership, self.core.log.durability);
        self.core.rx.follow_replica_log(&mut self.core.followed, end);
    }
}
