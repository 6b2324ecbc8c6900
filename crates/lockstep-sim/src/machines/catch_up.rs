//! A replica catches up: its process reads what is in no ring any more from the journals of others.

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::disk::DiskFault;
use crate::machine::replay::{Fetching, ReplayChunk, behind, is_bare, is_overtaken};
use crate::machine::storage::Flushed;
use crate::machines::{MachineNode, Machines};
use crate::story::Happening;
use crate::wire::NodeSet;
use lockstep_core::engine::replay::{ReplayItem, ReplayStep, piece};
use lockstep_replica::journal::Checkpoint;
use lockstep_replica::journal::segment_index::SegmentIndex;
use lockstep_replica::replica::{CatchUpPlan, CatchUpRequest};
use lockstep_wire::{ReplayEndReason, Seq};

impl Machines {
    /// A replica's replay continues, if it has one or needs one. Returns the work that was done.
    pub(crate) fn replay(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        draw: u64,
    ) -> Result<usize, Violation> {
        let now = ctx.now;
        let Some((machine, keys)) = self.with_keys(index) else { return Ok(0) };
        let supply = machine.fetching.as_ref().map(|fetching| fetching.replay.supply());
        let (shown, me) = (machine.clock.at(now), machine.identity);
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        match replica.poll_catch_up(shown, supply) {
            CatchUpRequest::Begin(order) => {
                let others = (0..ctx.plan.replicas).filter(|node| *node != index);
                let fetching = machine
                    .fetching
                    .get_or_insert_with(|| Fetching::new((me, &keys.replica), order, others, draw as u32));
                fetching.order = order;
                fetching.is_overtaken &= !fetching.replay.restart(now);
                ctx.count(Event::Replays);
                ctx.tell(index, || Happening::Note(format!("wants a replay: {order:?}")));
            }
            CatchUpRequest::End => machine.fetching = None,
            CatchUpRequest::GoOn => {}
        }
        let Some(machine) = self.get_mut(index) else { return Ok(0) };
        let Some(mut fetching) = machine.fetching.take() else { return Ok(0) };
        let work = self.fetch(ctx, index, &mut fetching);
        if let Some(machine) = self.get_mut(index) {
            machine.fetching = Some(fetching);
        }
        work
    }

    fn fetch(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        fetching: &mut Fetching,
    ) -> Result<usize, Violation> {
        let now = ctx.now;
        if let Some(checkpoint) = fetching.base.take() {
            return self.try_installing(ctx, index, fetching, checkpoint);
        }
        if let Some(ReplayStep::Open(to)) = fetching.replay.poll(now) {
            fetching.repairer = usize::from(to.ip().octets()[3]);
            fetching.answered_at = now + ctx.plan.replay_opens_ns;
        }
        fetching.ask_otherwise(now);
        if !(fetching.replay.is_reading() || fetching.replay.is_opening() && now >= fetching.answered_at) {
            return Ok(0);
        }
        let repairer = fetching.repairer;
        let chunk = self.ask(ctx, index, repairer, &fetching.order);
        fetching.on_chunk(now, &chunk);
        if let Some(ReplayChunk::Base(checkpoint)) = chunk {
            fetching.replay.finish();
            fetching.base = Some(checkpoint);
            return Ok(1);
        }
        let Some(ReplayChunk::Frames(bytes)) = chunk else {
            if let Some(ReplayChunk::Denied(why, oldest)) = chunk {
                ctx.count(Event::ReplaysDenied);
                ctx.tell(index, || {
                    Happening::Note(format!("seat {repairer} gives no replay: {} ({oldest})", why.name()))
                });
            }
            return Ok(0);
        };
        let Some(machine) = self.get(repairer) else { return Ok(0) };
        let by = (machine.identity, machine.replica().map_or(0, |replica| replica.core.lineage().history()));
        let Some((machine, keys)) = self.with_keys(index) else { return Ok(0) };
        let shown = machine.clock.at(now);
        let Some(replica) = machine.replica_mut() else { return Ok(0) };
        let (mut at, mut taken) = (0, 0);
        while at < bytes.len() {
            // The receiver detects a frame that the source's disk has damaged.
            let Ok(Some((ReplayItem::Frame(frame), len))) = piece(&bytes[at..], &keys.replica) else {
                fetching.replay.on_lost(now);
                break;
            };
            if !(fetching.replay.on_frame(now) && replica.on_replayed(shown, by, &frame)) {
                break;
            }
            (fetching.order, fetching.is_overtaken) = (behind(&frame), false);
            (at, taken) = (at + len, taken + 1);
            ctx.count(Event::ReplayedFrames);
        }
        Ok(taken)
    }

    /// The reply of node `repairer` to node `index`; `None` if it cannot be reached, or does not serve.
    pub(crate) fn ask(
        &mut self,
        ctx: &RunContext,
        index: usize,
        repairer: usize,
        order: &CatchUpPlan,
    ) -> Option<ReplayChunk> {
        let is_away = repairer == index || self.nodes[repairer].host.paused_until > ctx.now;
        if is_away || !ctx.network.connects(ctx.now, index, repairer) {
            return None;
        }
        let machine = self.get_mut(repairer)?;
        if machine.replica().is_none_or(|replica| replica.core.is_witness()) {
            return None;
        }
        match machine.give(order) {
            Ok(chunk) => Some(chunk),
            // It starts again with the present segments, as the replay server does.
            Err(_) => {
                machine.giving().0.segment_index = SegmentIndex::default();
                Some(ReplayChunk::Denied(ReplayEndReason::Damaged, 0))
            }
        }
    }
}

impl Machines {
    /// Frames that node `repairer` sends to node `index`, none if it refuses.
    pub(crate) fn request(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        repairer: usize,
        order: &CatchUpPlan,
    ) -> Vec<u8> {
        match self.ask(ctx, index, repairer, order) {
            Some(ReplayChunk::Frames(bytes)) => bytes,
            Some(ReplayChunk::Denied(..) | ReplayChunk::Base(_)) | None => Vec::new(),
        }
    }

    /// Up to where the log of the others may have lost its beginning for a node: one that has no record
    /// begins behind a checkpoint, wherever that is.
    pub(crate) fn joins_at(&self, ctx: &RunContext, node: usize) -> Seq {
        match self.get(node) {
            Some(machine) if ctx.plan.archives_are_cut && is_bare(machine) => Seq::MAX,
            _ => self.stored_next(&ctx.oracle, node),
        }
    }

    /// The nodes that hold no entry, and whose journal is not lost, as the faults end: they join.
    pub(crate) fn joiners(&self, ctx: &RunContext) -> NodeSet {
        let joins = |node: &usize| self.lost >> node & 1 == 0 && self.joins_at(ctx, *node) == Seq::MAX;
        (0..ctx.plan.replicas).filter(joins).fold(0, |nodes, node| nodes | 1 << node)
    }

    /// A run has ended: whoever was to join has joined, unless retention was faster.
    pub(crate) fn count_joined(&mut self, ctx: &mut RunContext) {
        for node in (0..ctx.plan.replicas).filter(|node| self.joiners >> node & 1 == 1) {
            let Some(machine) = self.get(node) else { continue };
            let event = if is_overtaken(machine) { Event::Overtaken } else { Event::JoinedCalm };
            ctx.count(event);
        }
    }

    /// The checkpoint that a node was given is stored, or waits for a disk that takes it. Returns the work
    /// that was done.
    fn try_installing(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        fetching: &mut Fetching,
        checkpoint: Box<Checkpoint>,
    ) -> Result<usize, Violation> {
        let work = self.install(ctx, index, &checkpoint)?;
        let Some(machine) = self.get(index) else { return Ok(work) };
        let waits = machine.replica().is_some_and(|replica| replica.may_begin_behind(&checkpoint));
        fetching.base = Some(checkpoint).filter(|_| work == 0 && waits);
        Ok(work)
    }

    /// A node that has no record begins with the tables that another one gave it, once they are on its disk.
    /// Returns the work that was done.
    pub(crate) fn install(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        checkpoint: &Checkpoint,
    ) -> Result<usize, Violation> {
        let MachineNode { machine, dies_installing, .. } = &mut self.nodes[index];
        let Some(replica) = machine.replica().filter(|replica| replica.may_begin_behind(checkpoint)) else {
            return Ok(0);
        };
        ctx.oracle.facts.on_storing(index, checkpoint.end)?;
        let begins_again = replica.tail().end().next > 1;
        if let Some(ordeal) = dies_installing.take_if(|_| !machine.store.is_armed()) {
            machine.arm(DiskFault::Death, 0, ordeal.lasting, ordeal);
        }
        match machine.install(checkpoint) {
            Ok(Flushed::Died) => {
                ctx.count(Event::InstallsDied);
                self.on_died(ctx, index);
            }
            Ok(Flushed::Failed(why) | Flushed::Damaged(why)) => self.on_device_failed(ctx, index, why),
            // What nobody planned is found by the next turn of the side thread.
            Ok(Flushed::GoesOn) | Err(_) => {}
        }
        let next = checkpoint.end.next;
        let Some(machine) = self.get(index) else { return Ok(0) };
        if machine.replica().is_none_or(|replica| replica.tail().end() != checkpoint.end) {
            return Ok(0);
        }
        ctx.count(Event::Installed);
        if begins_again {
            ctx.count(Event::InstalledAgain);
        }
        ctx.tell(index, || Happening::Note(format!("begins behind a checkpoint at seq {next}")));
        Ok(1)
    }
}
