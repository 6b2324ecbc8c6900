//! Replays between machines: frames that are in no ring any more are read from the segments of another
//! machine.
//!
//! The code that serves, the rules that request and those that receive are production's. Between them a
//! connection is reliable: it lives while both run and neither direction is broken, and nothing is altered
//! on the way (the disk may have altered it before). It is answered after a while, in some runs after a long
//! one.

use crate::check::{Violation, on_storing};
use crate::context::RunContext;
use crate::coverage::Event;
use crate::disk::DiskFault;
use crate::keys;
use crate::machine::storage::Flushed;
use crate::machine::{Machine, MachineState};
use crate::machines::MachineNode;
use crate::machines::Machines;
use crate::story::Happening;
use crate::wire::NodeSet;
use lockstep_core::engine::replay::{ReplayItem, ReplayLimits, ReplayReader, ReplayStep, piece};
use lockstep_replica::journal::Checkpoint;
use lockstep_replica::journal::base::offered;
use lockstep_replica::journal::packed::read_segment;
use lockstep_replica::journal::ports::{FileName, Store, TailSource, Word};
use lockstep_replica::journal::segment_index::{SegmentIndex, SegmentIndexError, Written};
use lockstep_replica::replica::{CatchUpPlan, CatchUpRequest};
use lockstep_wire::{FrameView, Identity, Keys, Nanos, ReplayBody, ReplayEndReason, Seq, chain_after};
use std::net::{Ipv4Addr, SocketAddrV4};

/// About so many bytes are read at once.
const STRETCH_LEN: u64 = 4 << 10;
/// Runs are short: a wait of seconds takes milliseconds here.
const AGAIN_NS: Nanos = 1_000_000;
const AGAIN_NS_MAX: Nanos = 4_000_000;
/// A source that has not answered for so long is abandoned.
const SILENCE_NS: Nanos = 200_000_000;

/// The replay that a machine reads from others.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    order: CatchUpPlan,
    replay: ReplayReader,
    /// The replay source.
    repairer: usize,
    /// The time at which that source answers.
    answered_at: Nanos,
    /// Every source has removed what follows the own log.
    pub(crate) is_overtaken: bool,
    /// The checkpoint that came, until it is on the disk, which may be full for a while.
    base: Option<Box<Checkpoint>>,
}

/// The address under which a node's journal is read: only its last number counts.
fn address(node: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, node as u8), 1)
}

impl Fetching {
    fn new(
        (me, keys): (Identity, &Keys),
        order: CatchUpPlan,
        nodes: impl Iterator<Item = usize>,
        first: u32,
    ) -> Self {
        let limits = ReplayLimits {
            first,
            retry_ns_min: AGAIN_NS,
            retry_ns_max: AGAIN_NS_MAX,
            silence_ns: SILENCE_NS,
            ..ReplayLimits::new(keys.clone(), me, nodes.map(address).collect())
        };
        let replay = ReplayReader::new(limits);
        Self { order, replay, repairer: 0, answered_at: 0, is_overtaken: false, base: None }
    }

    /// Where all sources have refused: the other form of the request, at once if that is for a checkpoint.
    fn ask_otherwise(&mut self, now: Nanos) {
        let Some(failed) = self.replay.failed() else { return };
        // A refusal of the other form says nothing against it.
        self.is_overtaken |= failed.why == Some(ReplayEndReason::TooOld);
        self.order = self.order.otherwise(failed.oldest_seq);
        self.replay.finish();
        let pause = if self.order.checkpoint_until.is_some() { 0 } else { AGAIN_NS_MAX };
        self.replay.begin(now + pause);
    }

    /// Applies its rules to the source's reply.
    fn on_chunk(&mut self, now: Nanos, chunk: &Option<ReplayChunk>) {
        let (body, is_empty) = match chunk {
            None => return self.replay.on_lost(now),
            Some(ReplayChunk::Denied(why, seq)) => (denial(self.order.from, *why, *seq), true),
            Some(ReplayChunk::Frames(bytes)) => (answer(self.order.from), bytes.is_empty()),
            Some(ReplayChunk::Base(_)) => (answer(self.order.from), false),
        };
        if !self.replay.is_reading() {
            self.replay.on_answer(now, &body);
        }
        if is_empty {
            self.replay.on_mark(now, &body);
        }
    }
}

/// The replay server of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayServing {
    pub(crate) segment_index: SegmentIndex,
    pub(crate) written: Written,
}

/// A reply of a source.
pub(crate) enum ReplayChunk {
    /// Frames from there on, perhaps none at present.
    Frames(Vec<u8>),
    /// It cannot help; with the oldest seq that it has, or where its history begins with
    /// [`ReplayEndReason::BeyondCommit`].
    Denied(ReplayEndReason, Seq),
    /// The tables at which its journal begins, for a node that has no record.
    Base(Box<Checkpoint>),
}

/// The body of an answer to a request for what begins at `from`: frames follow.
pub(crate) fn answer(from: Seq) -> ReplayBody {
    ReplayBody { next: from, oldest_seq: 0, end: 0, reserved: 0 }
}

/// The body of a refusal of that request, as a node's server sends it: a history that was founded on an
/// earlier seq is named by that one.
pub(crate) fn denial(from: Seq, end: ReplayEndReason, seq: Seq) -> ReplayBody {
    let (next, oldest_seq) = if end == ReplayEndReason::BeyondCommit { (seq, 0) } else { (from, seq) };
    ReplayBody { next, oldest_seq, end: end as u32, reserved: 0 }
}

/// The request that follows a frame.
fn behind(frame: &FrameView<'_>) -> CatchUpPlan {
    let header = frame.header;
    CatchUpPlan::new(header.history, header.next_seq(), Some(chain_after(header)))
}

/// The request that follows the frames in `bytes`; `None` if there is none.
pub(crate) fn next_request(bytes: &[u8]) -> Option<CatchUpPlan> {
    let (mut at, mut order) = (0, None);
    while let Ok(Some((ReplayItem::Frame(frame), len))) = piece(&bytes[at..], keys::judge()) {
        (at, order) = (at + len, Some(behind(&frame)));
    }
    order
}

impl Machine {
    /// Committed frames from the requested seq on, as the replay server sends them.
    fn give(&mut self, order: &CatchUpPlan) -> Result<ReplayChunk, SegmentIndexError> {
        let (ReplayServing { segment_index, written }, store) = self.giving();
        segment_index.refresh(store, written)?;
        let bound = written.commit_next.min(segment_index.end().next);
        if let Err((why, at)) = written.admits(order.history, order.from) {
            return Ok(ReplayChunk::Denied(why, at));
        }
        let oldest = segment_index.oldest_seq();
        if let Some(until) = order.checkpoint_until {
            return Ok(match offered(store, segment_index, until, bound)? {
                Ok(checkpoint) => ReplayChunk::Base(Box::new(checkpoint)),
                Err(oldest) => ReplayChunk::Denied(ReplayEndReason::TooOld, oldest),
            });
        }
        let from = if order.from == 0 { oldest } else { order.from };
        let spot = match segment_index.begin(store, from, order.chain, bound)? {
            Ok(Some(spot)) => spot,
            Ok(None) => return Ok(ReplayChunk::Frames(Vec::new())),
            Err(why) => return Ok(ReplayChunk::Denied(why, oldest)),
        };
        let place = (spot.number, spot.offset);
        let Some(found) = segment_index.stretch(store, place, spot.first_seq, bound, STRETCH_LEN)? else {
            return Ok(ReplayChunk::Frames(Vec::new()));
        };
        let mut bytes = vec![0; found.len as usize];
        let read = read_segment(store, found.number, found.offset, &mut bytes)?
            .map_err(SegmentIndexError::Damage)?;
        bytes.truncate(read);
        Ok(ReplayChunk::Frames(bytes))
    }
}

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
                ctx.oracle.coverage.count(Event::Replays);
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
                ctx.oracle.coverage.count(Event::ReplaysDenied);
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
            ctx.oracle.coverage.count(Event::ReplayedFrames);
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
        let Some(machine) = self.get_mut(repairer) else { return None };
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

    /// Up to where the log of the others may have lost its beginning for a node: one that has no record begins
    /// behind a checkpoint, wherever that is.
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
            ctx.oracle.coverage.count(event);
        }
    }

    /// The checkpoint that a node was given is stored, or waits for a disk that takes it. Returns the work that
    /// was done.
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
        on_storing(&mut ctx.oracle, index, checkpoint.end)?;
        let begins_again = replica.tail().end().next > 1;
        if let Some(ordeal) = dies_installing.take_if(|_| !machine.store.is_armed()) {
            machine.arm(DiskFault::Death, 0, ordeal.lasting, ordeal);
        }
        match machine.install(checkpoint) {
            Ok(Flushed::Died) => {
                ctx.oracle.coverage.count(Event::InstallsDied);
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
        ctx.oracle.coverage.count(Event::Installed);
        if begins_again {
            ctx.oracle.coverage.count(Event::InstalledAgain);
        }
        ctx.tell(index, || Happening::Note(format!("begins behind a checkpoint at seq {next}")));
        Ok(1)
    }
}

/// Whether a machine's journal has no record, so that it may begin behind a checkpoint.
fn is_bare(machine: &Machine) -> bool {
    match &machine.state {
        MachineState::Up(replica) => replica.is_installable(),
        MachineState::Down(memory, _) => {
            let is_segment = |file: &FileName| matches!(file, FileName::Segment(_) | FileName::Packed(_));
            let published = memory.as_ref().map_or(0, |memory| memory.word(Word::PublishedPos));
            published == 0 && machine.store.list().is_ok_and(|files| !files.iter().any(is_segment))
        }
        MachineState::Lost => false,
    }
}

/// Whether retention has removed what follows the log of a node while it was reading: it has records, and
/// none has what comes next. It says so (LS1107), and its operator formats it again.
pub(crate) fn is_overtaken(machine: &Machine) -> bool {
    let has_records = machine.replica().is_some_and(|replica| !replica.tail().is_untouched());
    has_records && machine.fetching.as_ref().is_some_and(|fetching| fetching.is_overtaken)
}
