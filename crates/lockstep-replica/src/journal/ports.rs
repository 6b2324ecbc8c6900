//! The ports of the journal: its shared words, its memory and its files. `memory` and `io` implement them.

use crate::journal::layout::TailLabel;
use lockstep_wire::Seq;
use std::fmt;

/// The counters that hot and side thread share, and that outlive the process with the tail.
/// Each has one writer. Stores are releases, loads are acquires.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Word {
    /// Hot: records below this position are complete. The high mark: raised before anything is acknowledged
    /// or sent.
    PublishedPos = 0,
    /// Hot: the next seq of the log. Never above the end of the published records, so that a lost
    /// `PublishedPos` shows.
    HighSeq = 1,
    /// Hot: the highest promised epoch.
    Promised = 2,
    /// Side: segments hold everything below this position. Stored after `WrittenSeq`, `WrittenEpoch` and
    /// `DurableSeq`.
    WrittenPos = 3,
    /// Side: the next seq of the log that segments hold.
    WrittenSeq = 4,
    /// Side: the same, confirmed by the device (`power`).
    DurableSeq = 5,
    /// Side: the highest promised epoch that a superblock holds.
    PromisedStored = 6,
    /// Side: the epoch of the log that segments hold. Stored after `WrittenSeq`: where a suffix was replaced,
    /// the two together never tell of more than the segments hold.
    WrittenEpoch = 7,
}

impl Word {
    /// How many there are.
    pub const COUNT: usize = 8;
}

/// The ring as the side thread sees it.
///
/// Places are *positions*: bytes since the ring was created. A position's place in memory is
/// `pos % ring_len`; no read or write crosses the ring's end.
pub trait TailSource {
    /// Bytes of the ring; a multiple of the block.
    fn ring_len(&self) -> u64;
    /// The owner of the ring; `None` while it has no label.
    fn label(&self) -> Option<TailLabel>;
    /// The `len` bytes at `pos`.
    fn read(&self, pos: u64, len: usize) -> &[u8];
    /// Loads a word.
    fn word(&self, word: Word) -> u64;
    /// Stores a word.
    fn set_word(&mut self, word: Word, value: u64);
}

/// The ring as the hot thread sees it.
///
/// * It is plain memory: nothing here allocates, locks or calls the system.
/// * `write` is for positions between the published end and the end of the freed space. An
///   implementation that is shared with a side thread refuses anything else.
pub trait TailMemory: TailSource {
    /// The `len` bytes at `pos`, to be written.
    fn write(&mut self, pos: u64, len: usize) -> &mut [u8];
    /// The first record that starts in the `block`th block of the ring: its first seq and position.
    fn slot(&self, block: usize) -> (Seq, u64);
    /// Stores a slot.
    fn set_slot(&mut self, block: usize, slot: (Seq, u64));
    /// Forgets everything: words and slots zero, no label.
    fn reset(&mut self);
    /// Labels the ring with its owner. Stored last when a ring is created: without a label there is no
    /// tail.
    fn set_label(&mut self, label: TailLabel);
}

impl<M: TailSource> TailSource for &mut M {
    fn ring_len(&self) -> u64 {
        (**self).ring_len()
    }

    fn label(&self) -> Option<TailLabel> {
        (**self).label()
    }

    fn read(&self, pos: u64, len: usize) -> &[u8] {
        (**self).read(pos, len)
    }

    fn word(&self, word: Word) -> u64 {
        (**self).word(word)
    }

    fn set_word(&mut self, word: Word, value: u64) {
        (**self).set_word(word, value);
    }
}

/// Memory that stays with its owner, independent of the journal that was opened on it.
impl<M: TailMemory> TailMemory for &mut M {
    fn write(&mut self, pos: u64, len: usize) -> &mut [u8] {
        (**self).write(pos, len)
    }

    fn slot(&self, block: usize) -> (Seq, u64) {
        (**self).slot(block)
    }

    fn set_slot(&mut self, block: usize, slot: (Seq, u64)) {
        (**self).set_slot(block, slot);
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn set_label(&mut self, label: TailLabel) {
        (**self).set_label(label);
    }
}

/// A file of the journal's directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileName {
    /// Two copies of the superblock.
    Superblock,
    /// A segment.
    Segment(u64),
    /// A sealed segment, compressed.
    Packed(u64),
    /// The checkpoint at its end.
    Checkpoint(u64),
    /// Its sparse index.
    Index(u64),
    /// The next segment, being written with zeros.
    Spare,
    /// The epoch start that founded this journal's history on another one, until segments hold it.
    Founding,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("superblock"),
            Self::Segment(number) => write!(f, "segments/{number:010}.seg"),
            Self::Packed(number) => write!(f, "segments/{number:010}.lz4"),
            Self::Checkpoint(number) => write!(f, "segments/{number:010}.ckp"),
            Self::Index(number) => write!(f, "segments/{number:010}.idx"),
            Self::Spare => f.write_str("segments/spare"),
            Self::Founding => f.write_str("founding"),
        }
    }
}

impl FileName {
    /// The inverse of its display, for a caller that lists a directory.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "superblock" => return Some(Self::Superblock),
            "segments/spare" => return Some(Self::Spare),
            "founding" => return Some(Self::Founding),
            _ => {}
        }
        let (number, kind) = path.strip_prefix("segments/")?.split_once('.')?;
        let number = number.parse().ok()?;
        match kind {
            "seg" => Some(Self::Segment(number)),
            "lz4" => Some(Self::Packed(number)),
            "ckp" => Some(Self::Checkpoint(number)),
            "idx" => Some(Self::Index(number)),
            _ => None,
        }
    }
}

/// The kind of a store's error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreFault {
    /// No room on the device. It may pass.
    NoSpace,
    /// The file is not there.
    Missing,
    /// The file is there already.
    Exists,
    /// The directory may not be written.
    ReadOnly,
    /// The process, or the machine, may open no more files. It may pass.
    Descriptors,
    /// The kernel has no memory for it. It may pass.
    Memory,
    /// The call was interrupted, or would have had to wait. It may be tried again.
    Passing,
    /// The device failed. Earlier writes may be lost: no retry follows, the replica falls silent.
    Failed,
}

impl StoreFault {
    /// Whether the error proves nothing about the device, and may pass by itself: the call is tried again.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::NoSpace | Self::Descriptors | Self::Memory | Self::Passing)
    }
}

/// A store could not carry out a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StoreError {
    /// The attempted operation, and its file.
    pub doing: String,
    /// The kind of the error.
    pub fault: StoreFault,
    /// The system's message.
    pub why: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.why)?;
        f.write_str(match self.fault {
            StoreFault::NoSpace => "; free some space, the journal goes on by itself",
            StoreFault::Descriptors => {
                "; nothing is wrong with the device: find out who holds so many files open (/proc/PID/fd), or allow more \
                 (`ulimit -n`, LimitNOFILE= of the unit, fs.file-max); it is tried again"
            }
            StoreFault::Memory => {
                "; nothing is wrong with the device: the machine, or this process's group, is out of memory; it is tried \
                 again"
            }
            StoreFault::Passing => "; it is tried again",
            StoreFault::ReadOnly => "; make the journal's directory writable for this user",
            StoreFault::Failed => "; do not trust this device: replace it, `format`, and rejoin",
            StoreFault::Missing | StoreFault::Exists => "",
        })
    }
}

impl std::error::Error for StoreError {}

/// The files of one journal.
///
/// * Segments and the superblock are written in whole blocks at multiples of the block. A write that
///   returned is seen by every later read; in `power` it is on the device.
/// * The spare is no segment yet: writes to it need not be on the device before it is renamed.
/// * A write that failed may have written any part.
pub trait Store {
    /// Writes whole blocks; extends the file where needed, creates it if missing.
    fn write_at(&mut self, file: FileName, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;
    /// Reads up to `out.len()` bytes; fewer only at the file's end. Returns how many.
    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError>;
    /// Reserves room for `len` bytes, so that writing them later meets no full disk.
    fn reserve(&mut self, file: FileName, len: u64) -> Result<(), StoreError>;
    /// The file's bytes.
    fn len(&self, file: FileName) -> Result<u64, StoreError>;
    /// All files that the journal knows, in any order.
    fn list(&self) -> Result<Vec<FileName>, StoreError>;
    /// Gives a file another name. Atomic; an older file of that name is replaced. In `power` content and
    /// name are on the device when it returns.
    fn rename(&mut self, from: FileName, to: FileName) -> Result<(), StoreError>;
    /// Cuts or extends (with zeros) a file.
    fn truncate(&mut self, file: FileName, len: u64) -> Result<(), StoreError>;
    /// Replaces a small file as a whole, durably: its old content or its new one, never a mixture.
    fn replace(&mut self, file: FileName, bytes: &[u8]) -> Result<(), StoreError>;
    /// Removes a file.
    fn remove(&mut self, file: FileName) -> Result<(), StoreError>;
    /// Waits until the device has the file.
    fn sync(&mut self, file: FileName) -> Result<(), StoreError>;
    /// Bytes that are free for us on the device.
    fn free_bytes(&self) -> Result<u64, StoreError>;
}

/// Reads a whole (small) file.
pub(crate) fn read_whole<S: Store>(store: &S, file: FileName) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; store.len(file)? as usize];
    let taken = store.read_at(file, 0, &mut bytes)?;
    bytes.truncate(taken);
    Ok(bytes)
}

/// The bytes of a (small) file, if it is there.
pub(crate) fn present<S: Store>(store: &S, file: FileName) -> Result<Option<Vec<u8>>, StoreError> {
    match read_whole(store, file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file, if it is there. Returns whether it was.
pub(crate) fn remove_if_there<S: Store>(store: &mut S, file: FileName) -> Result<bool, StoreError> {
    match store.remove(file) {
        Ok(()) => Ok(true),
        Err(StoreError { fault: StoreFault::Missing, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes index and checkpoint of segment `number`. Returns whether one of them was there.
pub(crate) fn remove_derived<S: Store>(store: &mut S, number: u64) -> Result<bool, StoreError> {
    let index = remove_if_there(store, FileName::Index(number))?;
    Ok(remove_if_there(store, FileName::Checkpoint(number))? || index)
}
