//! Reading a journal's files without its lock, while a process may be writing them. Nothing is changed.

use super::{JournalError, JournalFailure, superblock_of};
use crate::io::store::DirStore;
use lockstep_core::proto::log::LogEnd;
use lockstep_io::private;
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault};
use lockstep_replica::journal::{
    Checkpoint, CopiedSegment, CopyOwner, Damage, ExpectedSegments, Gone, JournalOpenError, LogComparison,
    SegmentOverview, StoredLog, Superblock, Verified, checkpoint_at, compare, gone, overview, read_segments,
    stored_log, verify_from,
};
use lockstep_wire::{FrameView, Seq};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often apparent damage at the log's end is read again: the process that writes the journal may have
/// been in the middle of a write.
const RETRIES: u32 = 5;
/// The pause before each time.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a lock is looked up, because the kernel may leave it out of its list.
const LOOKS_AT_LOCKS: u32 = 5;

/// The files of a journal, or of a backup of one.
#[derive(Debug)]
pub struct JournalReader {
    dir: PathBuf,
    store: DirStore,
}

impl JournalReader {
    /// The journal in `dir`.
    ///
    /// # Errors
    /// There is none.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let reader = Self { dir: dir.to_path_buf(), store: DirStore::reader(dir) };
        match private::is_there(&dir.join("segments")) {
            Ok(true) => Ok(reader),
            Ok(false) => Err(reader.error(JournalOpenError::Missing.into())),
            Err(error) => Err(reader.error(error.into())),
        }
    }

    /// The journal's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The journal's superblock; `None` if the folder has none, like a backup.
    ///
    /// # Errors
    /// It cannot be read, or neither copy is whole.
    pub fn superblock(&self) -> Result<Option<Superblock>, JournalError> {
        if !self.dir.join("superblock").exists() {
            return Ok(None);
        }
        let mut read = superblock_of(&self.store);
        for _ in 0..RETRIES {
            if !matches!(read, Err(JournalFailure::Open(JournalOpenError::Damaged(_)))) {
                break;
            }
            std::thread::sleep(PAUSE);
            read = superblock_of(&self.store);
        }
        read.map(Some).map_err(|why| self.error(why))
    }

    /// The process that has the journal open, if the kernel shows it: the kernel lists the locks of all
    /// processes a page at a time, and may leave one out when another one is released meanwhile.
    pub fn open_by(&self) -> Option<u32> {
        let lock = self.dir.join("lock");
        let pid: u32 = std::fs::read_to_string(&lock).ok()?.trim().parse().ok()?;
        let inode = std::fs::metadata(&lock).ok()?.ino();
        // "1: FLOCK  ADVISORY  WRITE 4242 08:01:131090 0 EOF"
        let is_ours = |line: &str| {
            let mut words = line.split_whitespace().skip(4);
            let owner = words.next().and_then(|word| word.parse().ok());
            let file = words.next().and_then(|word| word.rsplit(':').next()?.parse().ok());
            (owner, file) == (Some(pid), Some(inode))
        };
        let is_listed =
            |_| std::fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.lines().any(is_ours));
        (0..LOOKS_AT_LOCKS).any(is_listed).then_some(pid)
    }

    /// The segments, oldest first, each with its overview or its damage; a missing segment has a row too.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn overview(&self) -> Result<Vec<Result<SegmentOverview, Damage>>, JournalError> {
        let mut rows = self.again(|| Ok(overview(&self.store)?))?;
        let number = |row: &Result<SegmentOverview, Damage>| match row {
            Ok(row) => Some(row.number),
            Err(damage) => number_of(damage),
        };
        for gone in self.gone()? {
            let place = rows.iter().position(|row| number(row) > Some(gone.first)).unwrap_or(rows.len());
            rows.insert(place, Err(gone.damage()));
        }
        Ok(rows)
    }

    /// The log in the segments at this moment.
    ///
    /// # Errors
    /// The files cannot be read, or damage leaves no log.
    pub fn log(&self) -> Result<StoredLog, JournalError> {
        // A node may remove segments meanwhile: `gone` reads them again before it reports them.
        let read = || self.again(|| Ok(stored_log(&self.store, ExpectedSegments::default())?));
        let found = |log: &Result<StoredLog, JournalError>| match log {
            Ok(log) => log.damage.clone(),
            Err(error) => Some(Damage::new("journal", 0, 0, error)),
        };
        let mut log = read();
        for _ in 0..RETRIES {
            let Some(damage) = found(&log) else { break };
            std::thread::sleep(PAUSE);
            log = read();
            // Real damage stays in its place.
            if found(&log) == Some(damage) {
                break;
            }
        }
        Ok(StoredLog { gone: self.gone()?, ..log? })
    }

    /// The segments that should exist, and do not: neither retention nor a trim removed them.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn gone(&self) -> Result<Vec<Gone>, JournalError> {
        let mut found = self.gone_now()?;
        for _ in 0..RETRIES {
            if found.is_empty() {
                break;
            }
            // A listing takes a moment in which the node may have removed or begun a segment.
            std::thread::sleep(PAUSE);
            let again = self.gone_now()?;
            if again == found {
                break;
            }
            found = again;
        }
        Ok(found)
    }

    fn gone_now(&self) -> Result<Vec<Gone>, JournalError> {
        let expected = match self.superblock() {
            Ok(Some(superblock)) => ExpectedSegments::of(&superblock),
            // A backup's segments begin with number 1.
            Ok(None) if self.dir.join("manifest.json").exists() => {
                ExpectedSegments { oldest: 1, ..Default::default() }
            }
            // A damaged superblock is reported by the callers that need it.
            Ok(None) | Err(_) => ExpectedSegments::default(),
        };
        self.again(|| Ok(gone(&self.store, expected)?))
    }

    /// The log once it ends at `next` or behind it; waits at most `timeout` for the process that writes the
    /// journal.
    ///
    /// # Errors
    /// As [`JournalReader::log`].
    pub fn log_up_to(&self, next: Seq, timeout: Duration) -> Result<StoredLog, JournalError> {
        let began = Instant::now();
        loop {
            let log = self.log()?;
            if log.end.next >= next || began.elapsed() >= timeout {
                return Ok(log);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The tables at `end`, a position of the log.
    ///
    /// # Errors
    /// The files cannot be read, or damage hides the tables.
    pub fn checkpoint(&self, end: LogEnd) -> Result<Checkpoint, JournalError> {
        let computed = self.again(|| Ok(checkpoint_at(&self.store, end)?))?;
        computed.map_err(|damage| self.error(JournalOpenError::Damaged(damage).into()))
    }

    /// Passes the frames of the log to `on_frame`, from the one with `from` (or the oldest one) up to
    /// `to_next`, which must not exceed the end of a [`StoredLog`].
    ///
    /// # Errors
    /// Damage, or the files cannot be read; and those of `on_frame`.
    pub fn read<E: From<JournalError>>(
        &self,
        from: Seq,
        to_next: Seq,
        mut on_frame: impl FnMut(&FrameView<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        if from >= to_next {
            return Ok(());
        }
        let failed = |error: StoreError| E::from(self.error(self.explain(error)));
        let mut reader = read_segments(&self.store, from).map_err(failed)?;
        while let Some(frame) = reader.next().map_err(failed)? {
            let frame = frame.map_err(|damage| self.error(JournalOpenError::Damaged(damage).into()))?;
            if frame.header.first_seq >= to_next || on_frame(&frame)?.is_break() {
                break;
            }
            if frame.header.next_seq() >= to_next {
                break;
            }
        }
        Ok(())
    }

    /// Compares this log with another one, up to the ends of both.
    ///
    /// # Errors
    /// Damage in either log, or the files cannot be read.
    pub fn compare(&self, other: &Self, logs: [&StoredLog; 2]) -> Result<LogComparison, JournalError> {
        let compared = compare([&self.store, &other.store], logs).map_err(|e| self.error(self.explain(e)))?;
        compared.map_err(|damage| self.error(JournalOpenError::Damaged(damage).into()))
    }

    /// Reads the whole journal. Damage at the end of a growing log is reported only if it stays.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        let newest = self.newest()?;
        let mut verified = self.again(|| Ok(verify_from(&self.store, 0)?))?;
        for _ in 0..RETRIES {
            let is_early = |damage: &&Damage| number_of(damage).is_some_and(|number| number < newest);
            if verified.damage.iter().all(|damage| is_early(&damage)) {
                break;
            }
            std::thread::sleep(PAUSE);
            let again = self.again(|| Ok(verify_from(&self.store, newest)?))?;
            // A write in progress has moved on meanwhile, and may look like damage elsewhere.
            verified.damage.retain(|damage| is_early(&damage) || again.damage.contains(damage));
        }
        let gone = self.gone()?;
        verified.damage.splice(0..0, gone.iter().map(Gone::damage));
        Ok(verified)
    }

    /// Continues segment `number` of the copy in this folder, which ends at `end`.
    ///
    /// # Errors
    /// It is not whole, or cannot be read.
    pub fn resume_copy(
        &self,
        owner: CopyOwner,
        number: u64,
        end: LogEnd,
    ) -> Result<CopiedSegment, JournalError> {
        let resumed = CopiedSegment::resume(&self.store, owner, number, end);
        let resumed = resumed.map_err(|error| self.error(error.into()))?;
        resumed.map_err(|damage| self.error(JournalOpenError::Damaged(damage).into()))
    }

    fn newest(&self) -> Result<u64, JournalError> {
        let files = self.store.list().map_err(|error| self.error(error.into()))?;
        let number = |file| match file {
            FileName::Segment(number) | FileName::Packed(number) => Some(number),
            _ => None,
        };
        Ok(files.into_iter().filter_map(number).max().unwrap_or(0))
    }

    /// Carries out `work`, and repeats it if a file was removed or renamed meanwhile.
    fn again<T>(&self, work: impl Fn() -> Result<T, JournalFailure>) -> Result<T, JournalError> {
        let mut done = work();
        for _ in 0..RETRIES {
            let is_gone = match &done {
                Err(JournalFailure::Open(JournalOpenError::Store(error))) => {
                    error.fault == StoreFault::Missing
                }
                Err(JournalFailure::Open(JournalOpenError::Missing)) => true,
                _ => false,
            };
            if !is_gone {
                break;
            }
            std::thread::sleep(PAUSE);
            done = work();
        }
        done.map_err(|why| self.error(why))
    }

    /// This damage of the journal, as an error.
    pub fn damaged(&self, damage: Damage) -> JournalError {
        self.error(JournalOpenError::Damaged(damage).into())
    }

    fn explain(&self, error: StoreError) -> JournalFailure {
        if error.fault != StoreFault::Missing {
            return error.into();
        }
        let why = format!("{}; retention has removed it meanwhile: begin with a later seq", error.why);
        JournalFailure::Open(JournalOpenError::Store(StoreError { why, ..error }))
    }

    fn error(&self, why: JournalFailure) -> JournalError {
        JournalError { dir: self.dir.clone(), why }
    }
}

/// The segment whose files have the damage.
fn number_of(damage: &Damage) -> Option<u64> {
    match FileName::parse(&damage.file)? {
        FileName::Segment(number) | FileName::Packed(number) => Some(number),
        FileName::Checkpoint(number) | FileName::Index(number) => Some(number),
        _ => None,
    }
}

/// Reads everything that the journal in `dir` has on disk. A process may have it open.
///
/// # Errors
/// There is no journal, or it cannot be read.
pub fn verify(dir: &Path) -> Result<Verified, JournalError> {
    let reader = JournalReader::open(dir)?;
    if !dir.join("superblock").exists() {
        return Err(reader.error(JournalOpenError::Missing.into()));
    }
    reader.verify()
}
