//! Replays between machines: frames that are in no ring any more are read from the segments of another
//! machine.
//!
//! The code that serves, the rules that request and those that receive are production's. Between them a
//! connection is reliable: it lives while both run and neither direction is broken, and nothing is altered
//! on the way (the disk may have altered it before). It is answered after a while, in some runs after a long
//! one.

use crate::keys;
use crate::machine::{Machine, MachineState};
use lockstep_core::engine::replay::{ReplayItem, ReplayLimits, ReplayReader, piece};
use lockstep_replica::journal::Checkpoint;
use lockstep_replica::journal::base::offered;
use lockstep_replica::journal::packed::read_segment;
use lockstep_replica::journal::ports::{FileName, Store, TailSource, Word};
use lockstep_replica::journal::segment_index::{SegmentIndex, SegmentIndexError, Written};
use lockstep_replica::replica::CatchUpPlan;
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
    pub(crate) order: CatchUpPlan,
    pub(crate) replay: ReplayReader,
    /// The replay source.
    pub(crate) repairer: usize,
    /// The time at which that source answers.
    pub(crate) answered_at: Nanos,
    /// Every source has removed what follows the own log.
    pub(crate) is_overtaken: bool,
    /// The checkpoint that came, until it is on the disk, which may be full for a while.
    pub(crate) base: Option<Box<Checkpoint>>,
}

/// The address under which a node's journal is read: only its last number counts.
fn address(node: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, node as u8), 1)
}

impl Fetching {
    pub(crate) fn new(
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
    pub(crate) fn ask_otherwise(&mut self, now: Nanos) {
        let Some(failed) = self.replay.failed() else { return };
        // A refusal of the other form says nothing against it.
        self.is_overtaken |= failed.why == Some(ReplayEndReason::TooOld);
        self.order = self.order.otherwise(failed.oldest_seq);
        self.replay.finish();
        let pause = if self.order.checkpoint_until.is_some() { 0 } else { AGAIN_NS_MAX };
        self.replay.begin(now + pause);
    }

    /// Applies its rules to the source's reply.
    pub(crate) fn on_chunk(&mut self, now: Nanos, chunk: &Option<ReplayChunk>) {
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
pub(crate) fn behind(frame: &FrameView<'_>) -> CatchUpPlan {
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
    pub(crate) fn give(&mut self, order: &CatchUpPlan) -> Result<ReplayChunk, SegmentIndexError> {
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

/// Whether a machine's journal has no record, so that it may begin behind a checkpoint.
pub(crate) fn is_bare(machine: &Machine) -> bool {
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
