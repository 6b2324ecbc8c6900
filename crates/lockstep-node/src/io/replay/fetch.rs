//! A replica's own replay: a thread reads the frames that no ring has any more, and the hot thread takes them
//! from a bounded queue, a few frames a turn, without a system call.
//!
//! ```text
//!  hot thread ──order──▶ thread ──▶ ReplayConnection ◀─TCP─ a standby or archiver
//!             ◀──frames── queue ◀──────────┘     (the thread judges; the hot thread's rules judge again)
//! ```

use crossbeam::queue::ArrayQueue;
use lockstep_core::engine::replay::{ReplayItem, ReplayLimits, ReplayReader, ReplayStep, SourceState, piece};
use lockstep_io::clock::Clock;
use lockstep_io::source::{Polled, ReplayConnection};
use lockstep_io::{IoError, capabilities};
use lockstep_replica::journal::Checkpoint;
use lockstep_replica::journal::base::{CheckpointParts, is_followed_by};
use lockstep_replica::replica::CatchUpPlan;
use lockstep_wire::{Identity, Keys, Nanos, REPLAY_STAY, ReplayEndReason, SMALL_LEN_MAX, Seq, chain_after};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of whole frames that are passed on at once.
const CHUNK_LEN: usize = 64 << 10;
/// Chunks that wait for the hot thread: 4 MiB.
const CHUNKS_MAX: usize = 64;
/// Pause while nothing arrives, or the queue is full.
const PAUSE: Duration = Duration::from_micros(200);
/// The reason if all sources that answer refuse the request for a checkpoint as malformed.
const NO_TABLES: &str = "the nodes that answer have an earlier release, which sends no tables to a node \
                         without entries: upgrade one of them";
/// Pause while no replay is requested.
const QUIET: Duration = Duration::from_millis(20);

/// The numbers of orders rise from 1, so that late frames of an earlier order are recognised.
struct Shared {
    order: Mutex<(u64, Option<CatchUpPlan>)>,
    /// Whether the order was replaced or cancelled since the thread last looked.
    changed: AtomicBool,
    stop: AtomicBool,
    /// The state of the source, with the number of its order: see [`packed`].
    supply: AtomicU64,
    /// The source, in one number, and its history.
    repairer: AtomicU64,
    history: AtomicU64,
    /// Chunks with the number of their order, which may have been cancelled.
    full: ArrayQueue<(u64, Vec<u8>)>,
    empty: ArrayQueue<Vec<u8>>,
    /// A checkpoint for a node without a log, with the order that it belongs to.
    checkpoint: Mutex<Option<(u64, Checkpoint)>>,
    has_checkpoint: AtomicBool,
    /// If no journal that answers has the order: the oldest seq that one of them has, plus 1; otherwise 0.
    gone: AtomicU64,
    /// The last order that all journals that answer refused, and the reason.
    refused: Mutex<Option<(u64, &'static str)>>,
}

/// The thread, as the hot thread sees it. It ends when this is dropped.
pub struct Fetch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    ordered: bool,
    /// The number of the last order.
    number: u64,
    /// The chunk that is being taken, and the position in it.
    chunk: Vec<u8>,
    at: usize,
}

impl Shared {
    fn new() -> Self {
        Self {
            order: Mutex::new((0, None)),
            changed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            supply: AtomicU64::new(0),
            repairer: AtomicU64::new(0),
            history: AtomicU64::new(0),
            full: ArrayQueue::new(CHUNKS_MAX),
            empty: ArrayQueue::new(CHUNKS_MAX + 1),
            checkpoint: Mutex::new(None),
            has_checkpoint: AtomicBool::new(false),
            gone: AtomicU64::new(0),
            refused: Mutex::new(None),
        }
    }

    fn gone(&self) -> Option<Seq> {
        self.gone.load(Ordering::Acquire).checked_sub(1)
    }
}

impl Fetch {
    /// Starts the thread, which does nothing before the first order.
    ///
    /// # Errors
    /// The system starts no further thread.
    pub fn start(limits: ReplayLimits) -> Result<Self, IoError> {
        let shared = Arc::new(Shared::new());
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("fetch".to_string());
        let thread = capabilities::spawn(builder, move || Worker::new(limits, theirs).run())
            .map_err(|error| IoError::new("starting the thread that fetches replays", error))?;
        Ok(Self::of(shared, Some(thread)))
    }

    fn of(shared: Arc<Shared>, thread: Option<JoinHandle<()>>) -> Self {
        Self { shared, thread, ordered: false, number: 0, chunk: Vec::new(), at: 0 }
    }

    /// The last source, and its history.
    pub fn source(&self) -> (Identity, u64) {
        let identity = Identity::from_packed(self.shared.repairer.load(Ordering::Acquire));
        (identity, self.shared.history.load(Ordering::Acquire))
    }

    /// The present state of the source; `None` without an order.
    pub fn supply(&self) -> Option<SourceState> {
        self.ordered.then(|| {
            let current = self.shared.supply.load(Ordering::Acquire);
            let is_taken = self.shared.full.is_empty() && self.at >= self.chunk.len();
            let all = [SourceState::Awaited, SourceState::AtEnd];
            let found = all.into_iter().find(|supply| current == packed(self.number, *supply) && is_taken);
            found.unwrap_or(SourceState::Sending)
        })
    }

    /// If no journal that answers has the order: the oldest seq that one of them has; 0 if unknown.
    pub fn gone(&self) -> Option<Seq> {
        self.shared.gone().filter(|_| self.ordered)
    }

    /// As [`gone`](Self::gone), for another thread: for the order on which the fetching thread works.
    pub fn watch_gone(&self) -> impl Fn() -> Option<Seq> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.gone()
    }

    /// The reason if all journals that answer have refused the order: none has its frames.
    pub fn refused(&self) -> Option<&'static str> {
        let refused = *self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.filter(|(number, _)| *number == self.number).map(|(_, why)| why)
    }

    /// The checkpoint with which a node without a log may begin, once one has arrived. It is returned once.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        if !self.shared.has_checkpoint.swap(false, Ordering::AcqRel) {
            return None;
        }
        let found = self.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).take();
        found.filter(|(number, _)| *number == self.number).map(|(_, checkpoint)| checkpoint)
    }

    /// Orders a replay, or cancels it. A transfer in progress is dropped.
    pub fn request(&mut self, order: Option<CatchUpPlan>) {
        (self.ordered, self.number) = (order.is_some(), self.number + 1);
        *self.shared.order.lock().unwrap_or_else(PoisonError::into_inner) = (self.number, order);
        self.shared.changed.store(true, Ordering::Release);
        self.drop_chunk();
        // Until it checks, the thread may bring more frames of the previous order.
        while let Some((_, chunk)) = self.shared.full.pop() {
            self.recycle(chunk);
        }
    }

    /// Passes at most `most` frames to `f`, which returns whether it took the frame; otherwise it gets that
    /// frame again later. Returns how many were taken.
    pub fn take(&mut self, most: usize, mut f: impl FnMut(&[u8]) -> bool) -> usize {
        let mut taken = 0;
        while taken < most {
            if self.at >= self.chunk.len() {
                self.drop_chunk();
                let Some((number, chunk)) = self.shared.full.pop() else { break };
                if number != self.number {
                    self.recycle(chunk);
                    continue;
                }
                self.chunk = chunk;
            }
            let bytes = &self.chunk[self.at..];
            let len = lockstep_wire::Header::peek(bytes).map_or(bytes.len(), |header| header.length as usize);
            if !f(&bytes[..len.min(bytes.len())]) {
                break;
            }
            self.at += len;
            taken += 1;
        }
        taken
    }

    fn drop_chunk(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.at = 0;
        if chunk.capacity() > 0 {
            self.recycle(chunk);
        }
    }

    /// Returns a chunk to the thread. There are no more chunks than the queue holds.
    fn recycle(&self, chunk: Vec<u8>) {
        let _ = self.shared.empty.push(chunk);
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panic was printed
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    replay: ReplayReader,
    source: ReplayConnection,
    keys: Keys,
    clock: Clock,
    /// The position of the next request, and the order's number.
    order: Option<CatchUpPlan>,
    number: u64,
    chunk: Vec<u8>,
    parts: CheckpointParts,
    /// A complete checkpoint, until the frame behind it has arrived.
    whole: Option<Checkpoint>,
}

impl Worker {
    fn new(limits: ReplayLimits, shared: Arc<Shared>) -> Self {
        let keys = limits.keys.clone();
        Self {
            shared,
            replay: ReplayReader::new(limits),
            source: ReplayConnection::default(),
            keys,
            clock: Clock::start(),
            order: None,
            number: 0,
            chunk: Vec::new(),
            parts: CheckpointParts::default(),
            whole: None,
        }
    }

    fn run(mut self) {
        lockstep_process::cpu::yield_to_others();
        while !self.shared.stop.load(Ordering::Acquire) {
            if self.shared.changed.swap(false, Ordering::AcqRel) {
                self.begin();
            }
            let pause = if self.order.is_none() { QUIET } else { PAUSE };
            if !self.turn() {
                std::thread::sleep(pause);
            }
        }
    }

    fn begin(&mut self) {
        (self.number, self.order) = *self.shared.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.source.close();
        self.chunk.clear();
        match self.order {
            None => {
                self.shared.gone.store(0, Ordering::Release);
                self.replay.finish();
            }
            // If a source lies behind the log, the next one is asked: that says nothing about what is gone.
            Some(CatchUpPlan { from, .. }) => {
                if self.replay.restart(self.clock.now()) {
                    self.shared.gone.store(0, Ordering::Release);
                    tracing::info!(
                        from,
                        "the missing entries have left every ring: they are read from a journal"
                    );
                }
            }
        }
    }

    /// Returns whether it did anything.
    fn turn(&mut self) -> bool {
        let Some(order) = self.order else { return false };
        let now = self.clock.now();
        match self.replay.poll(now) {
            Some(ReplayStep::Open(to)) => {
                let mut request = [0; SMALL_LEN_MAX];
                (self.parts, self.whole) = (CheckpointParts::default(), None);
                let len = match order.checkpoint_until {
                    Some(until) => self.replay.write_checkpoint_request(&mut request, order.history, until),
                    None => {
                        let from = (order.from, order.chain);
                        self.replay.write_request(&mut request, order.history, from, REPLAY_STAY)
                    }
                };
                if self.source.open(to, &request[..len]).is_err() {
                    self.replay.on_lost(now);
                }
            }
            Some(ReplayStep::Close) => self.source.close(),
            None => {}
        }
        if !self.chunk.is_empty() && !self.hand_over() {
            return false;
        }
        let Self { replay, source, keys, chunk, order, shared, parts, whole, .. } = self;
        let mut followed = false;
        let polled = source.poll(|bytes| {
            let mut at = 0;
            while chunk.len() < CHUNK_LEN && replay.is_active() && !followed {
                let Ok(found) = piece(&bytes[at..], keys) else {
                    replay.on_lost(now);
                    return bytes.len();
                };
                let Some((piece, len)) = found else { break };
                at += len;
                if order.is_some_and(|order| order.checkpoint_until.is_some()) {
                    followed |= take_part(replay, now, piece, parts, whole);
                } else {
                    take_piece(replay, now, shared, piece, chunk, order);
                }
            }
            at
        });
        if followed {
            self.hand_over_checkpoint();
            return true;
        }
        if polled == Polled::Lost {
            self.source.close();
            self.replay.on_lost(now);
        }
        let handed = self.chunk.is_empty() || self.hand_over();
        let supply = if handed { self.replay.supply() } else { SourceState::Sending };
        self.shared.supply.store(packed(self.number, supply), Ordering::Release);
        self.check_failure(now);
        matches!(polled, Polled::Bytes(_)) && handed
    }

    /// Puts the chunk into the queue; false while that is full.
    fn hand_over(&mut self) -> bool {
        if self.shared.full.is_full() {
            return false;
        }
        let mut next = self.shared.empty.pop().unwrap_or_else(|| Vec::with_capacity(2 * CHUNK_LEN));
        next.clear();
        let full = std::mem::replace(&mut self.chunk, next);
        let _ = self.shared.full.push((self.number, full)); // there is room: only this thread pushes
        true
    }

    /// The checkpoint is complete, and a frame follows it: the hot thread takes it, and orders what follows.
    fn hand_over_checkpoint(&mut self) {
        let (Some(checkpoint), Some(order)) = (self.whole.take(), self.order.take()) else { return };
        tracing::warn!(
            missing = order.from,
            from = checkpoint.end.next,
            oldest = order.checkpoint_until,
            "no journal that answers has the entries that are missing here: this one begins with the tables \
             of the oldest retained entry, and holds no earlier one"
        );
        self.replay.finish();
        self.source.close();
        let mut handed = self.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        *handed = Some((self.number, checkpoint));
        self.shared.has_checkpoint.store(true, Ordering::Release);
    }

    fn check_failure(&mut self, now: Nanos) {
        if let Some(failed) = self.replay.failed() {
            let next = self.order.map(|order| order.otherwise(failed.oldest_seq));
            if next.is_some_and(|order| order.checkpoint_until.is_some()) {
                // At once: what all refuse may be available in another form.
                (self.order, self.chunk) = (next, Vec::new());
                self.replay.finish();
                self.source.close();
                self.replay.begin(now);
                return;
            }
            use ReplayEndReason::{IsLeader, Malformed, TooOld};
            if matches!(failed.why, Some(TooOld | Malformed | IsLeader)) {
                self.shared.gone.store(failed.oldest_seq.saturating_add(1), Ordering::Release);
            }
            if let Some(why) = failed.why {
                let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
                *refused = Some((self.number, why.name()));
            }
            let wants_tables = self.order.is_some_and(|order| order.checkpoint_until.is_some());
            let why = match failed.why {
                Some(Malformed) if wants_tables => NO_TABLES,
                why => why.map_or("no journal can be reached", ReplayEndReason::name),
            };
            let from = self.order.map_or(0, |order| order.from);
            tracing::error!(
                from,
                oldest = failed.oldest_seq,
                "no journal supplies the entries that are missing here: {why}; another attempt follows"
            );
            self.order = next;
            self.replay.finish();
            self.source.close();
            self.replay.begin(now + super::AGAIN_NS);
        }
    }
}

/// The state of the source of that order, in one word.
fn packed(order: u64, supply: SourceState) -> u64 {
    order << 2 | supply as u64
}

/// Puts frames into the chunk; answers and marks set the state.
fn take_piece(
    replay: &mut ReplayReader,
    now: Nanos,
    shared: &Shared,
    piece: ReplayItem<'_>,
    chunk: &mut Vec<u8>,
    order: &mut Option<CatchUpPlan>,
) {
    match piece {
        ReplayItem::Answer(header, body) => {
            // It may lie behind, and send nothing.
            if replay.on_answer(now, &body) {
                shared.repairer.store(header.identity().packed(), Ordering::Release);
                shared.history.store(header.history, Ordering::Release);
            }
        }
        ReplayItem::Mark(_, body) => replay.on_mark(now, &body),
        ReplayItem::Frame(frame) if replay.on_frame(now) => {
            chunk.extend_from_slice(frame.bytes);
            shared.gone.store(0, Ordering::Release);
            // If this source is lost, the next one continues here.
            let (history, from) = (frame.header.history, frame.header.next_seq());
            *order = Some(CatchUpPlan::new(history, from, Some(chain_after(frame.header))));
        }
        ReplayItem::Frame(_) => {}
        // It was not requested.
        ReplayItem::Checkpoint(..) => replay.on_lost(now),
    }
}

/// Handles a part of a checkpoint, and what follows it: a frame, or the source's mark that nothing behind it
/// is committed yet. Returns whether the checkpoint is complete.
fn take_part(
    replay: &mut ReplayReader,
    now: Nanos,
    piece: ReplayItem<'_>,
    parts: &mut CheckpointParts,
    whole: &mut Option<Checkpoint>,
) -> bool {
    match piece {
        ReplayItem::Answer(_, body) => {
            replay.on_answer(now, &body);
        }
        ReplayItem::Mark(_, body) => {
            replay.on_mark(now, &body);
            let is_behind = whole.as_ref().is_some_and(|whole| whole.end.next == body.next);
            return is_behind && replay.is_at_end();
        }
        ReplayItem::Checkpoint(header, body, part) if replay.on_frame(now) && whole.is_none() => {
            match parts.take(&header, &body, part) {
                Ok(done) => *whole = done,
                Err(why) => {
                    tracing::warn!("a checkpoint is refused: {why}; the next journal is asked");
                    replay.on_lost(now);
                }
            }
        }
        ReplayItem::Frame(frame) if whole.as_ref().is_some_and(|whole| is_followed_by(whole, &frame)) => {
            return true;
        }
        // A frame without its checkpoint, or one that does not follow it.
        ReplayItem::Checkpoint(..) | ReplayItem::Frame(_) => replay.on_lost(now),
    }
    false
}

#[cfg(test)]
mod tests;
