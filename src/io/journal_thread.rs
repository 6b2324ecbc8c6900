//! The side thread of a journal: copies what the hot thread published into segments, and does all that
//! takes time: groups, roll-overs, checkpoints, retention, promises on disk, a slow scrub.
//!
//! What may pass by itself (no room) is tried again until there is room. What may not (a device that
//! fails, memory that was damaged) ends the writing: the replica must fall silent, and
//! [`Handle::failure`] says why.

use crate::io::IoError;
use crate::journal::ports::{Store, StoreError, StoreFault, TailSource, Word};
use crate::journal::segments::RUN_LEN_MAX;
use crate::journal::shelf::Written;
use crate::journal::{Damage, Retention, Scrub, SegmentWriter, Superblock, WriteError, copy_behind};
use crate::wire::{Nanos, Seq};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How the side thread works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadSettings {
    /// Durability `power`: groups are on the device when written, and acks wait for them.
    pub power: bool,
    /// Longest pause when there is nothing to copy, in nanoseconds. In `power` it is part of every ack. In
    /// `process` nobody waits for it, and each wake-up takes a core from somebody; it is shorter only
    /// while the ring fills fast.
    pub idle_ns: Nanos,
    /// What is kept.
    pub retention: Retention,
    /// Whether sealed segments are packed.
    pub packs: bool,
    /// Bytes of sealed segments that are read again per second.
    pub scrub_bytes_per_s: u64,
}

impl ThreadSettings {
    /// The usual ones: lazy in `process`, prompt in `power`; nothing is removed; 4 MiB/s of scrub (100 GB
    /// in 7 hours).
    pub fn new(power: bool) -> Self {
        let idle_ns = if power { 20_000 } else { 20_000_000 };
        Self { power, idle_ns, retention: Retention::default(), packs: false, scrub_bytes_per_s: 4 << 20 }
    }
}

/// Zeros that are written in an idle turn, in bytes: an ack in `power` may wait behind them.
const IDLE_ZEROS_LEN: u64 = 64 << 10;
/// Shorter pauses cost more than the copying.
const PAUSE_NS_MIN: Nanos = 50_000;
/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// A trading day, as retention knows it.
const DAY_NS: Nanos = 86_400 * 1_000_000_000;
/// How often retention looks.
const RETENTION_PERIOD: Duration = Duration::from_secs(1);
/// Between two segments that are packed: with 64 MiB each, ten times what a busy stream fills.
const PACK_PERIOD: Duration = Duration::from_millis(250);
/// What is said about a thread that broke an invariant.
const GONE: &str = "the journal's side thread panicked; nothing is written any more, the stop is not clean";
/// Remarks that wait to be taken; older ones are dropped.
const REMARKS_MAX: usize = 64;

#[derive(Debug, Default)]
struct Shared {
    /// 1: stop in order, 2: stop as if killed.
    stop: AtomicU64,
    written_seq: AtomicU64,
    disk_full: AtomicBool,
    damage_count: AtomicU64,
    history: AtomicU64,
    committed: AtomicU64,
    leads: AtomicBool,
    written: Mutex<Written>,
    ring_only: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
    remarks: Mutex<Vec<String>>,
}

impl Shared {
    fn remark(&self, text: String) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        if remarks.len() >= REMARKS_MAX {
            remarks.remove(0);
        }
        remarks.push(text);
    }

    fn fail(&self, why: String) {
        self.remark(why.clone());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.failed.store(true, Ordering::Release);
    }
}

/// The side thread, as others see it. Dropped without [`Handle::stop`] it ends as if killed.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Superblock, String>>>,
}

impl Handle {
    /// Exclusive bound of what segments hold.
    pub fn written_seq(&self) -> Seq {
        self.shared.written_seq.load(Ordering::Acquire)
    }

    /// Whether the disk has no room at the moment.
    pub fn disk_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Acquire)
    }

    /// Damage that the scrub has found.
    pub fn damage_count(&self) -> u64 {
        self.shared.damage_count.load(Ordering::Acquire)
    }

    /// Why nothing is written any more; `None` while all is well. A replica with a failure falls silent.
    pub fn failure(&self) -> Option<String> {
        let said = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_gone = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        said.or_else(|| is_gone.then(|| GONE.to_string()))
    }

    /// Whether nothing is written any more, without looking why: for the hot thread.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// What happened since the last call, for the log.
    pub fn take_remarks(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The history became known: the superblock takes note.
    pub fn set_history(&self, history: u64) {
        self.shared.history.store(history, Ordering::Release);
    }

    /// Whether segments are kept for a ring's worth of bytes only, of what is committed: nothing else is
    /// removed. For a witness.
    pub fn set_ring_only(&self, ring_only: bool) {
        self.shared.ring_only.store(ring_only, Ordering::Release);
    }

    /// How far the log is committed that the tail holds, and whether this node leads: for those who replay.
    pub fn set_committed(&self, commit_next: Seq, leads: bool) {
        self.shared.committed.store(commit_next, Ordering::Release);
        self.shared.leads.store(leads, Ordering::Release);
    }

    /// What is written and committed, for a thread that replays. Two threads off the hot path share it.
    pub fn written(&self) -> impl Fn() -> Written + Send + 'static {
        written(&self.shared)
    }

    /// Copies what is left, marks the stop as clean, and ends. The hot thread has published its last
    /// record. Errors in words if that was not possible: then the stop was not clean.
    pub fn stop(mut self) -> Result<Superblock, String> {
        self.shared.stop.store(1, Ordering::Release);
        self.join()
    }

    fn join(&mut self) -> Result<Superblock, String> {
        let gone = || Err(GONE.to_string());
        self.thread.take().map_or_else(gone, |thread| thread.join().unwrap_or_else(|_| gone()))
    }
}

fn written(shared: &Arc<Shared>) -> impl Fn() -> Written + Send + 'static {
    let shared = Arc::clone(shared);
    move || {
        let told = *shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        Written { leads: shared.leads.load(Ordering::Acquire), ..told }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.stop.store(2, Ordering::Release);
            // Whether it could be stopped well was not asked.
            let _ = self.join();
        }
    }
}

/// A side thread that waits for its journal: what may fail about a thread has not.
#[derive(Debug)]
pub struct Waiting<S, T> {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Superblock, String>>,
    journal: mpsc::SyncSender<Side<S, T>>,
    settings: ThreadSettings,
}

impl<S: Store, T: TailSource> Waiting<S, T> {
    /// What is written and committed, for a thread that replays: nothing yet.
    pub fn written(&self) -> impl Fn() -> Written + Send + 'static {
        written(&self.shared)
    }

    /// Here is the journal.
    pub fn begin(self, store: S, source: T, writer: SegmentWriter, superblock: Superblock) -> Handle {
        let Self { shared, thread, journal, settings } = self;
        shared.written_seq.store(writer.end().next, Ordering::Release);
        let side = Side {
            store,
            source,
            writer,
            superblock,
            settings,
            copied: 0,
            pause_ns: 0,
            shared: Arc::clone(&shared),
            scrub: Scrub::default(),
            scrub_due: Instant::now(),
            retention_due: Instant::now(),
            pack_due: Instant::now(),
            oldest: 0,
            pending: None,
        };
        side.tell_written(1);
        // It waits for nothing else.
        let _ = journal.send(side);
        Handle { shared, thread: Some(thread) }
    }
}

/// Starts a side thread that waits for its journal.
///
/// # Errors
/// There is no room for another thread.
pub fn prepare<S, T>(settings: ThreadSettings) -> Result<Waiting<S, T>, IoError>
where
    S: Store + Send + 'static,
    T: TailSource + Send + 'static,
{
    let shared = Arc::new(Shared::default());
    let (journal, comes) = mpsc::sync_channel::<Side<S, T>>(1);
    let thread = std::thread::Builder::new()
        .name("journal".to_string())
        .spawn(move || comes.recv().map_or_else(|_| Err("never used".to_string()), Side::run))
        .map_err(|e| IoError::new("starting the journal's side thread", e))?;
    Ok(Waiting { shared, thread, journal, settings })
}

/// Starts the side thread of a journal.
///
/// # Errors
/// As [`prepare`].
pub fn spawn<S, T>(
    store: S,
    source: T,
    writer: SegmentWriter,
    superblock: Superblock,
    settings: ThreadSettings,
) -> Result<Handle, IoError>
where
    S: Store + Send + 'static,
    T: TailSource + Send + 'static,
{
    Ok(prepare(settings)?.begin(store, source, writer, superblock))
}

/// Why the thread does not go on.
enum Ended {
    Failed(String),
    NoSpace(String),
}

impl From<WriteError> for Ended {
    fn from(error: WriteError) -> Self {
        if error.is_no_space() { Self::NoSpace(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        if error.fault == StoreFault::NoSpace { Self::NoSpace(text) } else { Self::Failed(text) }
    }
}

#[derive(Debug)]
struct Side<S, T> {
    store: S,
    source: T,
    writer: SegmentWriter,
    superblock: Superblock,
    settings: ThreadSettings,
    /// Bytes copied since the last pause, and how long that one was.
    copied: u64,
    pause_ns: Nanos,
    shared: Arc<Shared>,
    scrub: Scrub,
    scrub_due: Instant,
    retention_due: Instant,
    pack_due: Instant,
    /// Retention has removed the segments below.
    oldest: u64,
    /// A commit that may be told once the segments reach this position: everything that was published when
    /// it was read, and so the log in which it is one.
    pending: Option<(Seq, u64)>,
}

impl<S: Store, T: TailSource> Side<S, T> {
    fn run(mut self) -> Result<Superblock, String> {
        loop {
            let stop = self.shared.stop.load(Ordering::Acquire);
            if stop == 2 {
                return Err("ended without a clean stop".to_string());
            }
            let turn = self.turn(stop == 1);
            let was_full = self.shared.disk_full.load(Ordering::Acquire);
            let full = matches!(turn, Err(Ended::NoSpace(_)));
            // Whoever sees the flag finds the words.
            match &turn {
                Err(Ended::NoSpace(why)) if !was_full => self.shared.remark(why.clone()),
                _ if was_full && !full => {
                    self.shared.remark("the disk has room again: the journal goes on".to_string());
                }
                _ => {}
            }
            self.shared.disk_full.store(full, Ordering::Release);
            match turn {
                Ok(0) if stop == 1 => return self.stop_clean(),
                Ok(bytes) => {
                    self.copied += bytes;
                    // What came in while a group was written is a small one. In `power` somebody waits for
                    // it; else it may grow.
                    let is_small = if self.settings.power { bytes == 0 } else { bytes < RUN_LEN_MAX / 2 };
                    if is_small && stop == 0 {
                        self.pause();
                    }
                }
                Err(Ended::NoSpace(why)) if stop == 1 => return Err(why),
                Err(Ended::NoSpace(_)) => self.make_room(),
                Err(Ended::Failed(why)) => {
                    self.shared.fail(why.clone());
                    return Err(why);
                }
            }
        }
    }

    /// One turn: promises first, then records, then what is not urgent.
    /// Returns how many bytes were copied.
    fn turn(&mut self, stopping: bool) -> Result<u64, Ended> {
        self.store_words()?;
        let copied = copy_behind(&mut self.source, &mut self.writer, &mut self.store, self.settings.power)?;
        self.shared.written_seq.store(self.writer.end().next, Ordering::Release);
        self.take_commit();
        if !stopping {
            self.other_work(copied == 0)?;
        }
        Ok(copied)
    }

    /// A commit is told to those who replay when the segments hold the log of which it was said: records that
    /// were published before it was read, an exchange of the log's end among them.
    fn take_commit(&mut self) {
        let mut commit_next = 1;
        if let Some((pending, pos)) = self.pending
            && self.writer.pos() >= pos
        {
            commit_next = pending;
            self.pending = None;
        }
        if self.pending.is_none() {
            let committed = self.shared.committed.load(Ordering::Acquire);
            self.pending = Some((committed, self.source.word(Word::PublishedPos)));
        }
        self.tell_written(commit_next);
    }

    fn tell_written(&self, commit_next: Seq) {
        let (number, offset) = self.writer.place();
        let mut written = self.shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        let commit_next = written.commit_next.max(commit_next);
        let history = self.superblock.history;
        *written = Written { number, offset, commit_next, history, leads: false, oldest: self.oldest };
    }

    /// What the superblock must know: promise and history.
    fn store_words(&mut self) -> Result<(), Ended> {
        let mut wanted = self.superblock;
        wanted.promised.0 = wanted.promised.0.max(self.source.word(Word::Promised));
        let history = self.shared.history.load(Ordering::Acquire);
        wanted.history = if history == 0 { wanted.history } else { history };
        if wanted != self.superblock {
            wanted.store(&mut self.store)?;
            self.superblock = wanted;
            self.source.set_word(Word::PromisedStored, wanted.promised.0);
        }
        Ok(())
    }

    /// What is not urgent; the next segment becomes so when this one is half full.
    fn other_work(&mut self, idle: bool) -> Result<(), Ended> {
        let now = Instant::now();
        if idle || self.writer.is_spare_due() {
            // Under load as much as one group may be: so it is ready when this one is full.
            let len = if idle { IDLE_ZEROS_LEN } else { RUN_LEN_MAX };
            let prepared = match self.settings.power {
                true => self.writer.prepare(&mut self.store, len).map(|_ready| ()),
                false => self.writer.reserve(&mut self.store),
            };
            match prepared {
                // It is not needed yet: no room for it is no trouble yet.
                Err(StoreError { fault: StoreFault::NoSpace, .. }) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if now >= self.retention_due {
            self.retention_due = now + RETENTION_PERIOD;
            self.retain()?;
        }
        if self.settings.packs && now >= self.pack_due {
            self.pack_due = now + PACK_PERIOD;
            self.pack()?;
        }
        if now >= self.scrub_due && self.settings.scrub_bytes_per_s > 0 {
            self.scrub_due = now + Duration::from_millis(100);
            let mut found: Vec<Damage> = Vec::new();
            let budget = self.settings.scrub_bytes_per_s / 10;
            self.scrub.step(&self.store, self.writer.number(), budget, &mut found)?;
            let count = found.len() as u64;
            // Whoever sees the count finds the words.
            found.into_iter().for_each(|damage| self.shared.remark(damage.to_string()));
            self.shared.damage_count.fetch_add(count, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Packs one sealed segment. It takes some hundredths of a second, in which the ring fills a little. No room
    /// for it is no trouble: it is tried again.
    fn pack(&mut self) -> Result<(), Ended> {
        match self.writer.pack(&mut self.store) {
            Ok(Some((number, plain, packed))) => {
                tracing::info!("segment {number} was packed: {plain} bytes are {packed}");
                Ok(())
            }
            Ok(None) | Err(StoreError { fault: StoreFault::NoSpace, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sleeps until there is probably something to copy again: half as long as before while a sixteenth of
    /// the ring comes in between two pauses, so that segments never lag by much of it, else twice as long.
    fn pause(&mut self) {
        let fast = std::mem::take(&mut self.copied) > self.source.ring_len() / 16;
        self.pause_ns = if fast { self.pause_ns / 2 } else { self.pause_ns.max(PAUSE_NS_MIN / 2) * 2 };
        // And never so long that a burst of 1 GB/s would fill a quarter of the ring meanwhile.
        let longest = self.settings.idle_ns.min(self.source.ring_len() / 4);
        self.pause_ns = self.pause_ns.clamp(PAUSE_NS_MIN.min(longest), longest);
        std::thread::sleep(Duration::from_nanos(self.pause_ns));
    }

    fn retain(&mut self) -> Result<(), Ended> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos);
        // The open trading day is the UTC day of the newest frame, until entries of the stream delimit days.
        let newest = self.writer.end().timestamp;
        let (retention, keep_from) = if self.shared.ring_only.load(Ordering::Acquire) {
            let ring = Retention { bytes_max: self.source.ring_len(), age_ns_max: 0 };
            (ring, self.shared.committed.load(Ordering::Acquire))
        } else {
            let today = self.writer.first_seq_since(&self.store, newest - newest % DAY_NS)?;
            (self.settings.retention, today)
        };
        for number in self.writer.retain(&mut self.store, retention, now, keep_from)? {
            self.shared.remark(format!("segment {number} was removed by retention"));
            self.oldest = number + 1;
        }
        Ok(())
    }

    /// No room: what retention may remove goes at once, then a pause.
    fn make_room(&mut self) {
        if let Err(Ended::Failed(why)) = self.retain() {
            self.shared.remark(why);
        }
        std::thread::sleep(FULL_PAUSE);
    }

    fn stop_clean(mut self) -> Result<Superblock, String> {
        let marked = self.writer.mark_clean(&mut self.store, &mut self.superblock);
        marked.map(|()| self.superblock).map_err(|error| error.to_string())
    }
}
