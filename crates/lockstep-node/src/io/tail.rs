//! The tail's ring in a file on tmpfs or hugetlbfs: memory that outlives the process and that no
//! writeback touches. Populated once, mapped for life, never flushed.
//!
//! ```text
//!  0             4096                 ring_at                          file's end
//!  │ label, words │ slots (16 B/block) │ ring                                   │
//! ```
//!
//! Two handles share the mapping. [`MappedTail`] (the hot thread) alone writes the ring, and only from
//! `published` up to what `written` has freed; [`TailReader`] (the side thread) reads only from `written` to
//! `published`. Both check that themselves, so the two never touch the same bytes.

use super::claims::{self, Claims};
use lockstep_core::ring::place_in;
use lockstep_io::host::FileSystem;
use lockstep_io::sync::{AtomicU64, Ordering};
use lockstep_io::{IoError, lock, private};
use lockstep_replica::journal::ports::{TailMemory, TailSource, Word};
use lockstep_replica::journal::{BLOCK_LEN, TAIL_MAGIC, TailLabel, WORD_STRIDE, WORDS_AT};
use lockstep_wire::Seq;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

const SLOTS_AT: usize = BLOCK_LEN;

/// The mapping, and the ring's place in it.
#[derive(Debug)]
struct Mapping {
    map: MmapRaw,
    ring_at: usize,
    ring_len: usize,
    /// The side thread, which is woken when much data waits for it.
    side: OnceLock<Thread>,
    /// Holds the lock: no other process maps this file.
    _file: File,
}

/// The offset of the ring in a file for `ring_len` bytes.
fn ring_at(ring_len: u64) -> usize {
    SLOTS_AT + (ring_len as usize / BLOCK_LEN * 16).next_multiple_of(BLOCK_LEN)
}

impl Mapping {
    #[inline]
    fn atomic(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.ring_at);
        // SAFETY: inside the mapping (asserted), aligned because the mapping is page-aligned and `at` a
        // multiple of 8; bytes before the ring are accessed as atomics only, label aside (see `label`).
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    #[inline]
    fn word(&self, word: Word) -> &AtomicU64 {
        self.atomic(WORDS_AT + word as usize * WORD_STRIDE)
    }

    /// The address of `len` bytes at `pos`, inside the ring.
    #[inline]
    fn place(&self, pos: u64, len: usize) -> *mut u8 {
        let at = place_in(self.ring_len as u64, pos) as usize;
        assert!(at + len <= self.ring_len, "{len} bytes at position {pos} cross the ring's end");
        // SAFETY: inside the mapping: the ring lies there and the range inside the ring (asserted).
        unsafe { self.map.as_mut_ptr().add(self.ring_at + at) }
    }

    fn label(&self) -> Option<TailLabel> {
        let mut bytes = [0; lockstep_replica::journal::LABEL_LEN];
        for (chunk, at) in bytes.chunks_exact_mut(8).zip((0..).step_by(8)) {
            chunk.copy_from_slice(&self.atomic(at).load(Ordering::Relaxed).to_ne_bytes());
        }
        let (label, ring_len) = TailLabel::from_bytes(&bytes)?;
        (ring_len == self.ring_len as u64).then_some(label)
    }
}

/// The ring as the hot thread uses it.
#[derive(Debug)]
pub struct MappedTail {
    mapping: Arc<Mapping>,
    /// The part that this handle may write; it alone stores `PublishedPos`.
    claims: Claims,
    /// A record that is published at or behind this position may have to wake the side thread.
    wakes_at: u64,
    /// Prevents use by two threads at a time.
    _not_sync: PhantomData<Cell<()>>,
}

/// The ring as the side thread uses it.
#[derive(Debug)]
pub struct TailReader {
    mapping: Arc<Mapping>,
}

/// The kind of a file, by its first bytes.
enum Is {
    /// A tail of ours that was never used, or was abandoned.
    Unlabelled,
    /// A tail of ours with a ring of this many bytes.
    Labelled(u64),
}

/// The file at `path`, locked, and its kind; `None` if there is none. A file that is not a tail of ours is
/// not touched.
fn inspect(path: &Path) -> Result<Option<(File, Is)>, IoError> {
    let shown = path.display();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            let doing = format!(
                "opening the tail {shown}: it is a symbolic link, which any user may have made; name the \
                 file itself (`replicas.N.tail`)"
            );
            return Err(IoError::new(doing, error));
        }
        opened => opened.map_err(|e| {
            IoError::new(format!("opening the tail {shown} (a file on tmpfs or hugetlbfs)"), e)
        })?,
    };
    lock(&file, path)?;
    let looking = |e| IoError::new(format!("looking at the tail {shown}"), e);
    let meta = file.metadata().map_err(looking)?;
    let mut bytes = [0; lockstep_replica::journal::LABEL_LEN];
    let is = match meta.is_file() {
        true if meta.len() == 0 => Some(Is::Unlabelled),
        true if meta.len() >= bytes.len() as u64 => {
            file.read_exact_at(&mut bytes, 0).map_err(looking)?;
            let ours = bytes[..size_of::<u64>()] == TAIL_MAGIC.to_le_bytes();
            let labelled = TailLabel::from_bytes(&bytes).map(|(_, ring_len)| Is::Labelled(ring_len));
            labelled.or(ours.then_some(Is::Unlabelled))
        }
        _ => None,
    };
    let Some(is) = is else {
        return Err(IoError::because(
            format!(
                "looking at the tail {shown}: it is no tail of lockstep, and stays as it is: name another path \
                 (`replicas.N.tail`)"
            ),
            ErrorKind::AlreadyExists,
            "another file",
        ));
    };
    private::check(&meta, path, private::OTHERS_WRITE)?;
    Ok(Some((file, is)))
}

impl MappedTail {
    /// Maps the ring at `path` without changing it; `None` if there is no usable one.
    ///
    /// # Errors
    /// The file is not ours, another process has it, or it cannot be opened.
    pub fn existing(path: &Path) -> Result<Option<Self>, IoError> {
        let Some((file, Is::Labelled(ring_len))) = inspect(path)? else { return Ok(None) };
        let looking = |e| IoError::new(format!("looking at the tail {}", path.display()), e);
        let len = file.metadata().map_err(looking)?.len();
        let whole = len == file_len(ring_len, &FileSystem::of(&file, path)?);
        whole.then(|| Self::map(file, path, ring_len)).transpose()
    }

    /// Makes an empty ring of `ring_len` bytes at `path`, in place of a tail of ours at that path. The file
    /// gets its name when it is complete.
    ///
    /// # Errors
    /// The file there is not ours, the file system has not enough room, or it cannot be written.
    pub fn create(path: &Path, ring_len: u64) -> Result<Self, IoError> {
        let shown = path.display();
        if let Some((previous, _)) = inspect(path)? {
            // Its memory may be needed for the new one; it is removed only if that suffices.
            let fs = FileSystem::of(&previous, path)?;
            let meta =
                previous.metadata().map_err(|e| IoError::new(format!("looking at the tail {shown}"), e))?;
            has_room(path, file_len(ring_len, &fs), fs.free_bytes + meta.blocks() * 512)?;
            std::fs::remove_file(path)
                .map_err(|e| IoError::new(format!("removing the former tail {shown}"), e))?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        // The remains of an interrupted start.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(IoError::new(format!("removing {}", new.display()), error));
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(|e| {
                IoError::new(format!("creating the tail {} (a file on tmpfs or hugetlbfs)", new.display()), e)
            })?;
        let made = Self::fill(file, &new, ring_len).and_then(|tail| {
            std::fs::rename(&new, path)
                .map_err(|e| IoError::new(format!("naming the tail {shown}"), e))
                .map(|()| tail)
        });
        if made.is_err() {
            // It is ours and useless; it does not matter whether the removal succeeds.
            let _ = std::fs::remove_file(&new);
        }
        made
    }

    /// Sets the length of a new file and allocates its memory.
    fn fill(file: File, path: &Path, ring_len: u64) -> Result<Self, IoError> {
        let shown = path.display();
        lock(&file, path)?;
        let fs = FileSystem::of(&file, path)?;
        let len = file_len(ring_len, &fs);
        has_room(path, len, fs.free_bytes)?;
        file.set_len(len).map_err(|e| IoError::new(format!("sizing the tail {shown}"), e))?;
        // SAFETY: a plain call on an open descriptor; no memory is involved.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len as libc::off_t) } != 0 {
            let error = std::io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EOPNOTSUPP) {
                return Err(IoError::new(format!("reserving {len} bytes for the tail {shown}"), error));
            }
        }
        let tail = Self::map(file, path, ring_len)?;
        // From now on it is recognised as a tail of ours.
        tail.mapping.atomic(0).store(TAIL_MAGIC, Ordering::Relaxed);
        Ok(tail)
    }

    fn map(file: File, path: &Path, ring_len: u64) -> Result<Self, IoError> {
        let len = file_len(ring_len, &FileSystem::of(&file, path)?);
        let map = MmapOptions::new()
            .len(len as usize)
            .map_raw(&file)
            .map_err(|e| IoError::new(format!("mapping the tail {}", path.display()), e))?;
        if map.advise(Advice::PopulateWrite).is_err() {
            touch(&map);
        }
        let mapping = Mapping {
            map,
            ring_at: ring_at(ring_len),
            ring_len: ring_len as usize,
            side: OnceLock::new(),
            _file: file,
        };
        let (published, written) = (mapping.word(Word::PublishedPos), mapping.word(Word::WrittenPos));
        let claims = Claims::new(ring_len, published, written);
        Ok(Self { mapping: Arc::new(mapping), claims, wakes_at: 0, _not_sync: PhantomData })
    }

    /// The handle for the side thread. There is at most one: a second call panics.
    pub fn reader(&self) -> TailReader {
        assert_eq!(Arc::strong_count(&self.mapping), 1, "one side thread copies a tail");
        TailReader { mapping: Arc::clone(&self.mapping) }
    }

    /// The side thread rests while little happens, and a burst may fill a small ring meanwhile. So it is
    /// woken when a quarter of the ring waits, and at each further sixteenth. Before a quarter can wait,
    /// nothing is checked.
    #[cold]
    fn wake_side(&mut self, published: u64) {
        let ring_len = self.mapping.ring_len as u64;
        let quarter_at = self.word(Word::WrittenPos) + ring_len / 4;
        self.wakes_at = quarter_at.max(published + ring_len / 16);
        if published >= quarter_at
            && let Some(side) = self.mapping.side.get()
        {
            side.unpark();
        }
    }
}

impl TailReader {
    /// Wakes this thread, which has the reader, from a pause (`std::thread::park_timeout`) when a quarter of
    /// the ring waits for it.
    pub fn wakes(&self, side: Thread) {
        assert!(self.mapping.side.set(side).is_ok(), "one side thread copies a tail");
    }
}

/// No other process can map this file as long as we hold the lock.
fn lock(file: &File, path: &Path) -> Result<(), IoError> {
    lock::lock(file, || None).map_err(|error| {
        let doing = format!("locking the tail {}: another node uses it, give each its own", path.display());
        IoError::new(doing, error.into())
    })
}

fn has_room(path: &Path, needed: u64, free: u64) -> Result<(), IoError> {
    if needed <= free {
        return Ok(());
    }
    let doing = format!(
        "the tail {} needs {needed} bytes and there are {free} free: make its file system larger, or the tail smaller",
        path.display()
    );
    Err(IoError::because(doing, ErrorKind::StorageFull, "not enough room"))
}

/// Bytes of a file for a ring of `ring_len`.
fn file_len(ring_len: u64, fs: &FileSystem) -> u64 {
    (ring_at(ring_len) as u64 + ring_len).next_multiple_of(page_len(fs))
}

/// For older kernels: a write to each page that changes nothing.
fn touch(map: &MmapRaw) {
    for at in (0..map.len()).step_by(BLOCK_LEN) {
        // SAFETY: inside the mapping and aligned; no other reference to it exists yet. An atomic
        // read-modify-write that changes nothing cannot be optimised away.
        let word = unsafe { AtomicU64::from_ptr(map.as_mut_ptr().add(at).cast()) };
        word.fetch_or(0, Ordering::Relaxed);
    }
}

/// Free bytes in the file system of `folder`.
///
/// # Errors
/// There is no such folder.
pub fn free_bytes(folder: &Path) -> Result<u64, IoError> {
    Ok(FileSystem::of_folder(folder)?.free_bytes)
}

/// The page size of its files in bytes.
fn page_len(fs: &FileSystem) -> u64 {
    if fs.is_huge { fs.block_len } else { BLOCK_LEN as u64 }
}

impl TailSource for MappedTail {
    fn ring_len(&self) -> u64 {
        self.mapping.ring_len as u64
    }

    fn label(&self) -> Option<TailLabel> {
        self.mapping.label()
    }

    #[inline]
    fn read(&self, pos: u64, len: usize) -> &[u8] {
        // SAFETY: inside the ring (`place` asserts). The ring is written through `write` only, which
        // takes this handle by `&mut`, and the handle is neither cloned nor shared between threads.
        unsafe { std::slice::from_raw_parts(self.mapping.place(pos, len), len) }
    }

    #[inline]
    fn word(&self, word: Word) -> u64 {
        claims::load(self.mapping.word(word))
    }

    #[inline]
    fn set_word(&mut self, word: Word, value: u64) {
        // The reader relies on this: `published` never falls, and only the reader stores `written`.
        match word {
            Word::PublishedPos => {
                self.claims.publish(self.mapping.word(word), value);
                if value >= self.wakes_at {
                    self.wake_side(value);
                }
                return;
            }
            Word::WrittenPos => {
                assert_eq!(Arc::strong_count(&self.mapping), 1, "written is the side thread's to store");
            }
            _ => {}
        }
        claims::store(self.mapping.word(word), value);
    }
}

impl TailMemory for MappedTail {
    #[inline]
    fn write(&mut self, pos: u64, len: usize) -> &mut [u8] {
        self.claims.judge(self.mapping.word(Word::WrittenPos), pos, len as u64);
        // SAFETY: inside the ring (`place` asserts), and borrowed from this handle alone. The other handle
        // reads only between `written` and `published`: in the ring these places are disjoint from `published
        // .. written + ring_len` (judged above; `written` never falls, and its acquire load orders the
        // reader's last access before this write).
        unsafe { std::slice::from_raw_parts_mut(self.mapping.place(pos, len), len) }
    }

    fn slot(&self, block: usize) -> (Seq, u64) {
        let at = SLOTS_AT + block * 16;
        let load = |at| self.mapping.atomic(at).load(Ordering::Relaxed);
        (load(at), load(at + 8))
    }

    fn set_slot(&mut self, block: usize, (seq, pos): (Seq, u64)) {
        let at = SLOTS_AT + block * 16;
        self.mapping.atomic(at).store(seq, Ordering::Relaxed);
        self.mapping.atomic(at + 8).store(pos, Ordering::Relaxed);
    }

    fn reset(&mut self) {
        assert_eq!(Arc::strong_count(&self.mapping), 1, "a tail is not forgotten while a thread copies it");
        // It stays recognisable as a tail of ours.
        for at in (8..self.mapping.ring_at).step_by(8) {
            self.mapping.atomic(at).store(0, Ordering::Relaxed);
        }
        let (published, written) =
            (self.mapping.word(Word::PublishedPos), self.mapping.word(Word::WrittenPos));
        self.claims = Claims::new(self.mapping.ring_len as u64, published, written);
        self.wakes_at = 0;
    }

    fn set_label(&mut self, label: TailLabel) {
        let bytes = label.to_bytes(self.ring_len());
        for (chunk, at) in bytes.as_chunks::<8>().0.iter().zip((0..).step_by(8)) {
            self.mapping.atomic(at).store(u64::from_ne_bytes(*chunk), Ordering::Release);
        }
    }
}

impl TailSource for TailReader {
    fn ring_len(&self) -> u64 {
        self.mapping.ring_len as u64
    }

    fn label(&self) -> Option<TailLabel> {
        self.mapping.label()
    }

    fn read(&self, pos: u64, len: usize) -> &[u8] {
        let (written, published) =
            (self.mapping.word(Word::WrittenPos), self.mapping.word(Word::PublishedPos));
        claims::judge_read(written, published, pos, len as u64);
        // SAFETY: inside the ring (`place` asserts), below `published`, whose acquire load orders the hot
        // thread's writes before this read, and not below `written`: the hot thread writes there again only
        // after this handle has raised `written`, which takes `&mut`.
        unsafe { std::slice::from_raw_parts(self.mapping.place(pos, len), len) }
    }

    fn word(&self, word: Word) -> u64 {
        claims::load(self.mapping.word(word))
    }

    fn set_word(&mut self, word: Word, value: u64) {
        let ours = matches!(
            word,
            Word::WrittenPos
                | Word::WrittenSeq
                | Word::WrittenEpoch
                | Word::DurableSeq
                | Word::PromisedStored
        );
        assert!(ours, "{word:?} is the hot thread's to store");
        match word {
            Word::WrittenPos => claims::free(self.mapping.word(word), value),
            _ => claims::store(self.mapping.word(word), value),
        }
    }
}
