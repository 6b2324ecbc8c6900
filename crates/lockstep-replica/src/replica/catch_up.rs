//! How a replica that lies behind every ring catches up. It replays committed frames from another node's
//! journal into its own, by the rules of [`super::following`]. Until the replay has reached the frames that
//! repairers still store, the replica requests no repairs.

use super::replica_log::ReplicaLog;
use super::{Ctx, Following, ReplicaCore, ReplicaEngine, RoleState, Turn};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::receiver::Placement;
use lockstep_core::engine::replay::{SourceState, StallDetector};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Chain, FrameView, Identity, Nanos, Seq};

/// The frames that a node lacks and only journals store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CatchUpPlan {
    /// The history that is replayed; 0 for any.
    pub history: u64,
    /// The first seq.
    pub from: Seq,
    /// The chain there, where it is known.
    pub chain: Option<Chain>,
    /// Another place from which frames help, and the chain there: where the log that the node stores may be
    /// shown to be committed (S10).
    pub proof_from: Option<(Seq, Option<Chain>)>,
    /// This node has no record yet, and may begin behind a checkpoint.
    pub may_begin_behind: bool,
    /// No journal has what it lacks, and it may begin elsewhere: it asks for the checkpoint at which a
    /// journal begins, at this seq or below, and for what follows it.
    pub checkpoint_until: Option<Seq>,
}

impl CatchUpPlan {
    /// What follows `from`, and nothing else.
    pub fn new(history: u64, from: Seq, chain: Option<Chain>) -> Self {
        Self { history, from, chain, proof_from: None, may_begin_behind: false, checkpoint_until: None }
    }

    /// The request to try next where no source has what was requested, and the oldest that any gives is
    /// `oldest`. Without a record a checkpoint there, or further if none is there, and then what follows the
    /// own log again; else of the two places the other one.
    #[must_use]
    pub fn otherwise(self, oldest: Seq) -> Self {
        if self.may_begin_behind {
            let is_further = oldest > self.checkpoint_until.unwrap_or(self.from);
            let asks = is_further && !planted(Mutation::BaseNotAskedFor);
            return Self { checkpoint_until: asks.then_some(oldest), ..self };
        }
        let Some((from, chain)) = self.proof_from else { return self };
        Self { from, chain, proof_from: Some((self.from, self.chain)), ..self }
    }
}

/// The next step of a node's replay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CatchUpRequest {
    /// A replay begins, from the next source if one was under way.
    Begin(CatchUpPlan),
    /// The replay under way ends: nothing is missing any more.
    End,
    /// Everything continues unchanged.
    GoOn,
}

/// The progress of a node's replay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct CatchUp {
    stall_detector: StallDetector,
    /// The log's end at which the replay under way continues: as it was requested, or behind its last frame.
    at: Option<(Seq, Option<Chain>)>,
}

impl CatchUp {
    /// Whether the replay under way can still bring what the log lacks that ends at `end`. A takeover may
    /// have cut the log since the replay was requested, or dropped frames of it that waited for room.
    fn brings(&self, end: Option<(Seq, Option<Chain>)>, supply: SourceState) -> bool {
        match supply {
            SourceState::AtEnd => false,
            SourceState::Sending => end.map(|(next, _)| next) >= self.at.map(|(next, _)| next),
            // The sources refuse a chain that is no longer this log's, each time anew.
            SourceState::Awaited => end == self.at,
        }
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// Whether a replay begins or ends. `supply` is the state of the replay under way, if there is one.
    /// While it delivers frames, the replica requests no repairs: what remains at its end is young enough
    /// for the repairers. If it is not, the replica asks the next source. It waits for a source that has
    /// not answered yet, and begins again where the replay is past what is missing.
    pub fn poll_catch_up(&mut self, now: Nanos, supply: Option<SourceState>) -> CatchUpRequest {
        let leads = self.role.leading().is_some();
        let may_begin_behind = self.is_installable();
        let (core, tail) = (&mut self.core, &self.tail);
        let next = core.followed.end().map_or(0, |end| end.next);
        let brings =
            supply.is_none_or(|supply| core.catch_up.brings(core.rx.replay_from(&core.followed), supply));
        let stands_still = core.catch_up.stall_detector.look(now, next, brings);
        let is_whole = core.rx.is_whole(&core.followed);
        if leads || core.stopped || is_whole {
            core.rx.set_replaying(false);
            // A candidate lacks nothing of its own log until a promise tells of a longer one. A replay that
            // ended there would never be opened where that takes longer than a candidacy.
            let goes_on = is_whole && !leads && !core.stopped && core.election.ballot().is_some();
            return match supply {
                Some(_) if !goes_on => CatchUpRequest::End,
                _ => CatchUpRequest::GoOn,
            };
        }
        let wanted =
            if supply.is_some() { stands_still } else { core.rx.needs_replay(&core.followed).is_some() };
        let Some((from, chain)) = core.rx.replay_from(&core.followed).filter(|_| wanted) else {
            core.rx.set_replaying(supply == Some(SourceState::Sending));
            return CatchUpRequest::GoOn;
        };
        core.counters.add(Counter::Replays, 1);
        core.rx.set_replaying(true);
        core.catch_up.at = Some((from, chain));
        let proof_from = ReplicaLog::proof_from(tail, &core.followed.epochs).filter(|(seq, _)| *seq > from);
        let plan = CatchUpPlan::new(core.followed.history(), from, chain);
        CatchUpRequest::Begin(CatchUpPlan { proof_from, may_begin_behind, ..plan })
    }

    /// A frame of a replay, from `repairer` of `history`. Returns whether it was processed; if not, the
    /// journal has no room for it now, and the caller offers it again.
    pub fn on_replayed(
        &mut self,
        now: Nanos,
        (repairer, history): (Identity, u64),
        frame: &FrameView<'_>,
    ) -> bool {
        let (mut ctx, _, role) = self.parts(Turn::of_replay(now));
        let RoleState::Following(following) = role else { return true };
        let is_processed = following.on_replayed(&mut ctx, repairer, history, frame);
        if is_processed {
            ctx.core.catch_up.at = Some((frame.header.next_seq(), Some(frame.chain_after())));
        }
        is_processed
    }
}

impl Following {
    fn on_replayed<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        repairer: Identity,
        history: u64,
        frame: &FrameView<'_>,
    ) -> bool {
        if ctx.core.stopped {
            return true;
        }
        ctx.core.followed.adopt_history(history);
        if let Err(reject) = self.check_replayed(ctx, frame, history) {
            ctx.core.reject(reject);
            return true;
        }
        ctx.core.rx.learn_start(&mut ctx.core.followed, frame, &mut ctx.core.counters, &mut ctx.core.events);
        let may_place = self.reconcile_log(ctx);
        if ctx.core.stopped {
            return true;
        }
        if !may_place {
            return false; // the caller offers it again when the journal has room
        }
        self.retain_proven(ctx, frame);
        if ctx.core.stopped {
            return true;
        }
        let placement = ctx.core.rx.on_replayed(
            &mut ctx.core.followed,
            frame,
            &mut ctx.core.counters,
            &mut ctx.core.events,
        );
        ctx.core.stop_if_diverged();
        if placement != Placement::Dropped {
            let header = frame.header;
            let leader = header.epoch().leader();
            ctx.core.losses.on_frame(
                ctx.turn.now,
                header.first_seq,
                header.next_seq(),
                Some(repairer),
                leader,
            );
        }
        let Placement::Next(next) = placement else { return true };
        match self.store_next(ctx, frame, next) {
            Ok(()) => true,
            // If others wait for room before it, it is buffered with them; otherwise its source retains it
            // and offers it again.
            Err(next) => {
                ctx.core.rx.frames.has_ready()
                    && ctx.core.rx.buffer(&mut ctx.core.followed, next, frame, &mut ctx.core.counters)
            }
        }
    }
}

impl ReplicaCore {
    /// This node is an archiver: it stores, repairs and replays, and never votes, whatever a membership
    /// lists.
    pub fn become_archiver(&mut self) {
        self.standing.is_archiver = true;
        self.check_durability();
    }
}
