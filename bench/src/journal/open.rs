//! The real journal, and the plain memory beside it.

use crate::cluster::MTU;
use lockstep_instructions::frames::{CLUSTER, Frame, HISTORY};
use lockstep_node::io::journal_files::{self, JournalConfig, Lock, OpenJournal};
use lockstep_node::io::journal_thread::{Handle, ThreadSettings, spawn};
use lockstep_node::io::tail::MappedTail;
use lockstep_replica::journal::Tail;
use lockstep_testkit::processes::memory_folder;
use lockstep_wire::{Identity, Seq, frame_len_max};
use std::fmt::Display;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Bytes of the tail's ring, and of the floor's memory.
pub const TAIL_LEN: u64 = 64 << 20;
const FOLDER: &str = "journal";
const SEGMENT_LEN: u64 = 64 << 20;
/// Whose it is.
pub const ME: Identity = Identity { replica: 1, incarnation: 1 };
/// No step takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The side that takes frames.
pub trait Takes {
    /// Takes a frame; none where there is no room now.
    fn take(&mut self, frame: &Frame) -> bool;
    /// Passes time, untimed, until there is room for many frames like this one.
    ///
    /// # Errors
    /// There is none after a long time, or never will be.
    fn make_room(&mut self, frame: &Frame) -> Result<(), String>;
}

/// A journal as a replica has it. Its files vanish with it.
pub struct Journal {
    /// The hot thread's end.
    pub tail: Tail<MappedTail>,
    /// The side thread.
    pub handle: Handle,
    _lock: Lock,
    disk: TempDir,
    _memory: TempDir,
}

impl Journal {
    /// Makes a journal with segments below `folder`, which are packed once they are full if `packs` says so.
    /// The side thread that it starts runs where this thread may run.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn make(folder: &Path, power: bool, packs: bool) -> Result<Self, String> {
        let text = |error: &dyn Display| format!("making a journal in {}: {error}", folder.display());
        let disk =
            TempDir::with_prefix_in("lockstep-bench-journal-", folder).map_err(|error| text(&error))?;
        let memory = memory_folder();
        let config = JournalConfig {
            dir: disk.path().join(FOLDER),
            tail: memory.path().join("tail"),
            tail_len: TAIL_LEN,
            segment_len: SEGMENT_LEN,
            cluster: CLUSTER,
            replica: ME.replica,
            power,
            frame_len_max: frame_len_max(MTU),
        };
        journal_files::format(&config.dir, CLUSTER, ME).map_err(|error| text(&error))?;
        let OpenJournal { opened, reader, store, lock, .. } =
            journal_files::open(&config).map_err(|error| text(&error))?;
        let settings = ThreadSettings { packs, ..ThreadSettings::new(power) };
        let handle =
            spawn(store, reader, opened.writer, opened.superblock, settings).map_err(|error| text(&error))?;
        handle.set_lineage(lockstep_core::proto::lineage::Lineage::of(HISTORY));
        Ok(Self { tail: opened.tail, handle, _lock: lock, disk, _memory: memory })
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> PathBuf {
        self.disk.path().join(FOLDER)
    }

    /// Whether it still works.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self) -> Result<(), String> {
        self.handle.failure().map_or(Ok(()), |why| Err(format!("the journal failed: {why}")))
    }

    /// Waits until the segments hold all below `next`.
    ///
    /// # Errors
    /// They do not, after a long time.
    pub fn wait_written(&self, next: Seq) -> Result<(), String> {
        let began = Instant::now();
        while self.handle.written_seq() < next {
            self.check()?;
            if began.elapsed() > PATIENCE {
                let written = self.handle.written_seq();
                return Err(format!("the segments hold all below seq {written} and not {next}"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Takes for Journal {
    #[inline]
    fn take(&mut self, frame: &Frame) -> bool {
        let Ok(room) = self.tail.room() else { return false };
        room[..frame.bytes.len()].copy_from_slice(&frame.bytes);
        self.tail.pin(&frame.header);
        true
    }

    fn make_room(&mut self, frame: &Frame) -> Result<(), String> {
        // At most three quarters of the ring wait for the segments.
        let frames = TAIL_LEN / 4 * 3 / frame.bytes.len() as u64;
        let waiting = frames * u64::from(frame.header.count);
        self.wait_written(self.tail.end().next.saturating_sub(waiting))
    }
}

/// As much plain memory, all of it touched.
pub struct Memory {
    bytes: Vec<u8>,
    at: usize,
}

impl Memory {
    /// As long as the journal's ring.
    pub fn touched() -> Self {
        Self { bytes: vec![1; TAIL_LEN as usize], at: 0 }
    }
}

impl Takes for Memory {
    #[inline]
    fn take(&mut self, frame: &Frame) -> bool {
        let len = frame.bytes.len();
        if self.at + len > self.bytes.len() {
            self.at = 0;
        }
        let place = &mut self.bytes[self.at..self.at + len];
        place.copy_from_slice(&frame.bytes);
        black_box(place);
        self.at += len;
        true
    }

    fn make_room(&mut self, _frame: &Frame) -> Result<(), String> {
        Ok(())
    }
}
