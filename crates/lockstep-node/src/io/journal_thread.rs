//! The side thread of a journal: a thread, a clock and the state that other threads read. Its work, and the
//! order of it, is in `journal/side`.

use crate::io::mender::Mender;
use crate::io::room::{Low, RoomSeen, RoomValues, RoomWatch};
use crate::io::tail::TailReader;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_core::proto::lineage::Lineage;
use lockstep_io::clock::Utc;
use lockstep_io::{IoError, capabilities};
use lockstep_replica::journal::ports::{Store, StoreFault, TailSource, Word};
use lockstep_replica::journal::segment_index::Written;
use lockstep_replica::journal::side::{Inputs, SideEvent, SideStep, SideThread};
use lockstep_replica::journal::{Checkpoint, SegmentWriter, Superblock};
use lockstep_wire::{Nanos, Seq};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

pub use lockstep_replica::journal::side::SideSettings as ThreadSettings;

/// Temporary causes that prevent a journal from writing its files.
const STUCK: [StoreFault; 4] =
    [StoreFault::NoSpace, StoreFault::Descriptors, StoreFault::Memory, StoreFault::Passing];
/// The failure of a thread that broke an invariant.
const GONE: &str = "the journal's side thread panicked; nothing is written any more, the stop is not clean";
/// The most remarks that wait to be taken; older ones are dropped.
const EVENTS_MAX: usize = 64;
/// Pause before another attempt to store a checkpoint that found no room.
const BASE_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Shared {
    /// 1: stop in order; 2: stop as if killed.
    stop: AtomicU64,
    written_seq: AtomicU64,
    /// The end of the tail's log at the last turn.
    stored_seq: AtomicU64,
    /// 0, or the index in [`STUCK`], plus 1, of the cause that prevents writing.
    stuck: AtomicU64,
    /// The number of damaged sealed segments, and the first seq that the oldest of them lacks.
    damage_count: AtomicU64,
    damage_seq: AtomicU64,
    lineage: Mutex<Lineage>,
    committed: AtomicU64,
    leads: AtomicBool,
    written: Mutex<Written>,
    ring_only: AtomicBool,
    device: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
    /// The checkpoint with which the journal is to begin, until it is stored.
    base: Mutex<Option<Checkpoint>>,
    begins: AtomicBool,
    events: Mutex<Vec<String>>,
    room: RoomSeen,
}

impl Shared {
    fn event(&self, text: String) {
        let mut remarks = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if remarks.len() >= EVENTS_MAX {
            remarks.remove(0);
        }
        remarks.push(text);
    }

    fn fail(&self, why: String) {
        self.event(why.clone());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.failed.store(true, Ordering::Release);
    }
}

/// The side thread, as other threads see it. Dropped without [`Handle::stop`] it ends as if killed.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Superblock, String>>>,
}

impl Handle {
    /// The exclusive bound of the frames in segments.
    pub fn written_seq(&self) -> Seq {
        self.shared.written_seq.load(Ordering::Acquire)
    }

    /// The temporary cause that prevents writing at the moment.
    pub fn stuck(&self) -> Option<StoreFault> {
        let place = self.shared.stuck.load(Ordering::Acquire).checked_sub(1)?;
        STUCK.get(place as usize).copied()
    }

    /// Whether the disk has no room at the moment.
    pub fn disk_full(&self) -> bool {
        self.stuck() == Some(StoreFault::NoSpace)
    }

    /// The number of damaged sealed segments, and the first seq that the oldest of them lacks (0: unknown).
    pub fn damaged(&self) -> (u64, Seq) {
        let count = self.shared.damage_count.load(Ordering::Acquire);
        (count, self.shared.damage_seq.load(Ordering::Acquire))
    }

    /// The room of the journal and of this process: values of `room::ROOM_ROWS`.
    pub fn room(&self) -> RoomValues {
        self.shared.room.values()
    }

    /// The resource that runs out first, if little is left of it; `None` while a lack already prevents
    /// writing.
    pub fn room_low(&self) -> Option<Low> {
        self.shared.room.low().filter(|_| self.stuck().is_none())
    }

    /// Why nothing is written any more; `None` without a failure. A replica with a failure sends nothing
    /// more.
    pub fn failure(&self) -> Option<String> {
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_gone = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        failure.or_else(|| is_gone.then(|| GONE.to_string()))
    }

    /// Whether nothing is written any more, without the reason: for the hot thread.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Events since the last call, for the log.
    pub fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the history of the log when it becomes known or changes: the superblock records it, and the
    /// replay server uses its ancestors.
    pub fn set_lineage(&self, lineage: Lineage) {
        *self.shared.lineage.lock().unwrap_or_else(PoisonError::into_inner) = lineage;
    }

    /// The journal, which is empty, is to begin behind `checkpoint`. As long as [`Handle::begins_behind`] is
    /// true the hot thread stores nothing.
    pub fn begin_behind(&self, checkpoint: Checkpoint) {
        *self.shared.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        self.shared.begins.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether a checkpoint is still being written to the device.
    pub fn begins_behind(&self) -> bool {
        self.shared.begins.load(Ordering::Acquire)
    }

    /// Sets whether segments of committed frames are retained only for as many bytes as the ring has; nothing
    /// else is removed. For a witness.
    pub fn set_ring_only(&self, ring_only: bool) {
        self.shared.ring_only.store(ring_only, Ordering::Release);
    }

    /// The ends of the log in the segments and in the tail: exclusive bounds, as of the side thread's last
    /// turn.
    pub fn progress(&self) -> impl Fn() -> (Seq, Seq) + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let written = shared.written_seq.load(Ordering::Acquire);
            (written, shared.stored_seq.load(Ordering::Acquire).max(written))
        }
    }

    /// Sets whether the followed epoch requires durability `power`, whatever is configured here: its acks
    /// wait for the device.
    pub fn set_device(&self, device: bool) {
        self.shared.device.store(device, Ordering::Release);
    }

    /// Sets how far the log in the tail is committed, and whether this node leads: for the replay server.
    pub fn set_committed(&self, commit_next: Seq, leads: bool) {
        self.shared.committed.store(commit_next, Ordering::Release);
        self.shared.leads.store(leads, Ordering::Release);
    }

    /// The written and committed positions, for a thread that replays. Two threads off the hot path share
    /// them.
    pub fn written(&self) -> impl Fn() -> Written + Send + 'static {
        written(&self.shared)
    }

    /// Copies the rest, marks the stop as clean, and ends. The hot thread must have published its last
    /// record. An error means that the stop was not clean.
    pub fn stop(mut self) -> Result<Superblock, String> {
        self.shared.stop.store(1, Ordering::Release);
        self.join()
    }

    /// Ends a pause.
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn join(&mut self) -> Result<Superblock, String> {
        self.wake();
        let gone = || Err(GONE.to_string());
        self.thread.take().map_or_else(gone, |thread| thread.join().unwrap_or_else(|_| gone()))
    }
}

fn written(shared: &Arc<Shared>) -> impl Fn() -> Written + Send + 'static {
    let shared = Arc::clone(shared);
    move || {
        let written = *shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        Written { leads: shared.leads.load(Ordering::Acquire), ..written }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.stop.store(2, Ordering::Release);
            // The result of the stop does not matter here.
            let _ = self.join();
        }
    }
}

/// A side thread that waits for its journal: all steps of starting a thread that may fail have succeeded.
#[derive(Debug)]
pub struct Waiting<S> {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Superblock, String>>,
    journal: mpsc::SyncSender<Thread<S>>,
    settings: ThreadSettings,
    mender: Option<Mender>,
    room: Option<RoomWatch>,
}

impl<S: Store> Waiting<S> {
    /// The written and committed positions, for a replay thread: nothing yet.
    pub fn written(&self) -> impl Fn() -> Written + Send + 'static {
        written(&self.shared)
    }

    /// Sets the sources from which the missing parts of damaged segments are fetched.
    #[must_use]
    pub fn mended_from(self, limits: ReplayLimits) -> Self {
        Self { mender: Some(Mender::new(limits)), ..self }
    }

    /// Watches the room on disk, in memory and of descriptors.
    #[must_use]
    pub fn watching(self, room: RoomWatch) -> Self {
        Self { room: Some(room), ..self }
    }

    /// Passes the journal to the thread.
    pub fn begin(
        self,
        store: S,
        source: TailReader,
        writer: SegmentWriter,
        superblock: Superblock,
    ) -> Handle {
        let Self { shared, thread, journal, settings, mender, room } = self;
        let thread_of = Thread {
            store,
            source,
            side: SideThread::new(writer, superblock, settings),
            shared: Arc::clone(&shared),
            begun: Instant::now(),
            remarks: Vec::new(),
            mender,
            room,
        };
        thread_of.report();
        thread_of.source.wakes(thread.thread().clone());
        // The thread waits for nothing else.
        let _ = journal.send(thread_of);
        Handle { shared, thread: Some(thread) }
    }
}

/// Starts a side thread that waits for its journal. It ends if it never receives one.
///
/// # Errors
/// The system starts no further thread.
pub fn prepare<S: Store + Send + 'static>(settings: ThreadSettings) -> Result<Waiting<S>, IoError> {
    let (journal, comes) = mpsc::sync_channel::<Thread<S>>(1);
    let builder = std::thread::Builder::new().name("journal".to_string());
    let work = move || comes.recv().map_or_else(|_| Err("never used".to_string()), Thread::run);
    let thread = capabilities::spawn(builder, work)
        .map_err(|e| IoError::new("starting the journal's side thread", e))?;
    Ok(Waiting { shared: Arc::default(), thread, journal, settings, mender: None, room: None })
}

/// Starts the side thread of a journal.
///
/// # Errors
/// As [`prepare`].
pub fn spawn<S: Store + Send + 'static>(
    store: S,
    source: TailReader,
    writer: SegmentWriter,
    superblock: Superblock,
    settings: ThreadSettings,
) -> Result<Handle, IoError> {
    Ok(prepare(settings)?.begin(store, source, writer, superblock))
}

#[derive(Debug)]
struct Thread<S> {
    store: S,
    source: TailReader,
    side: SideThread,
    shared: Arc<Shared>,
    begun: Instant,
    remarks: Vec<SideEvent>,
    mender: Option<Mender>,
    room: Option<RoomWatch>,
}

impl<S: Store> Thread<S> {
    fn run(mut self) -> Result<Superblock, String> {
        loop {
            let stop = self.shared.stop.load(Ordering::Acquire);
            if stop == 2 {
                return Err("ended without a clean stop".to_string());
            }
            if self.shared.begins.load(Ordering::Acquire) && stop == 0 {
                self.begin_behind()?;
                continue;
            }
            let inputs = self.inputs(stop == 1);
            let next = self.side.turn(&mut self.store, &mut self.source, &inputs, &mut self.remarks);
            // A thread that sees a flag or a count must also find the text.
            for remark in self.remarks.drain(..) {
                match remark {
                    SideEvent::Packed { .. }
                    | SideEvent::Mended(_)
                    | SideEvent::Back(_)
                    | SideEvent::RetainedFor { .. } => tracing::info!("{remark}"),
                    SideEvent::Damaged(_)
                    | SideEvent::Derived(_)
                    | SideEvent::NotMended { .. }
                    | SideEvent::NeedLapsed { .. } => tracing::warn!("{remark}"),
                    _ => {}
                }
                if !matches!(remark, SideEvent::Packed { .. }) {
                    self.shared.event(remark.to_string());
                }
            }
            if let Some(mender) = &mut self.mender {
                mender.turn(&mut self.side, inputs.now);
            }
            self.look_at_room(inputs.now);
            self.report();
            match next {
                SideStep::Again => {}
                SideStep::Pause(pause_ns) => park_timeout(Duration::from_nanos(pause_ns)),
                SideStep::Stopped => return Ok(self.side.superblock()),
                SideStep::Failed(error) => {
                    self.shared.fail(error.to_string());
                    return Err(error.to_string());
                }
            }
        }
    }

    fn look_at_room(&mut self, now: Nanos) {
        let sealed_bytes = self.side.sealed_bytes().unwrap_or(0);
        let look = self.room.as_mut().and_then(|room| room.look(now, sealed_bytes));
        if let Some((values, low)) = look {
            self.shared.room.store(&values, low);
        }
    }

    /// One attempt to store the checkpoint with which the journal begins. A temporary error is retried.
    fn begin_behind(&mut self) -> Result<(), String> {
        let wanted = self.shared.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(checkpoint) = wanted else { return Ok(()) };
        match self.side.begin_behind(&mut self.store, &mut self.source, checkpoint) {
            Ok(()) => {
                *self.shared.base.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.report();
                self.shared.begins.store(false, Ordering::Release);
            }
            Err(error) if error.passing().is_some() => {
                let place = error.passing().and_then(|fault| STUCK.iter().position(|known| *known == fault));
                self.shared.stuck.store(place.map_or(0, |place| place as u64 + 1), Ordering::Release);
                std::thread::sleep(BASE_PAUSE);
            }
            Err(error) => {
                self.shared.fail(error.to_string());
                return Err(error.to_string());
            }
        }
        Ok(())
    }

    fn inputs(&self, stop: bool) -> Inputs {
        Inputs {
            now: self.begun.elapsed().as_nanos() as Nanos,
            wall: Utc::now().0,
            stop,
            lineage: *self.shared.lineage.lock().unwrap_or_else(PoisonError::into_inner),
            committed: self.shared.committed.load(Ordering::Acquire),
            ring_only: self.shared.ring_only.load(Ordering::Acquire),
            device: self.shared.device.load(Ordering::Acquire),
        }
    }

    /// Stores the state that other threads read.
    fn report(&self) {
        self.shared.written_seq.store(self.side.written_seq(), Ordering::Release);
        self.shared.stored_seq.store(self.source.word(Word::HighSeq), Ordering::Release);
        let place = self.side.stuck().and_then(|fault| STUCK.iter().position(|known| *known == fault));
        self.shared.stuck.store(place.map_or(0, |place| place as u64 + 1), Ordering::Release);
        let (damaged, first) = self.side.damaged();
        self.shared.damage_seq.store(first, Ordering::Release);
        self.shared.damage_count.store(damaged, Ordering::Release);
        *self.shared.written.lock().unwrap_or_else(PoisonError::into_inner) = self.side.written();
    }
}
