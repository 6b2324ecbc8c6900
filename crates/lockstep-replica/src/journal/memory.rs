//! The journal's ports in plain memory, for the simulator and for property tests. A store is a plain value:
//! it can be cloned, compared, hashed, cut at any byte and made to fail.

use crate::journal::BLOCK_LEN;
use crate::journal::layout::TailLabel;
use crate::journal::ports::{FileName, Store, StoreError, StoreFault, TailMemory, TailSource, Word};
use lockstep_wire::Seq;
use std::collections::BTreeMap;

/// A ring in a `Vec`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MemoryTail {
    ring: Vec<u8>,
    slots: Vec<(Seq, u64)>,
    words: [u64; Word::COUNT],
    label: Option<TailLabel>,
}

impl std::fmt::Debug for MemoryTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = (&self.words, &self.label);
        write!(
            f,
            "MemoryTail({} bytes, {words:?}, crc {:#x})",
            self.ring.len(),
            lockstep_wire::crc::crc32c(&self.ring)
        )
    }
}

impl MemoryTail {
    /// An empty ring of `ring_len` bytes, rounded up to whole blocks.
    pub fn new(ring_len: usize) -> Self {
        let blocks = ring_len.div_ceil(BLOCK_LEN);
        Self {
            ring: vec![0; blocks * BLOCK_LEN],
            slots: vec![(0, 0); blocks],
            words: [0; Word::COUNT],
            label: None,
        }
    }

    /// The ring's bytes, to be damaged.
    pub fn ring_mut(&mut self) -> &mut [u8] {
        &mut self.ring
    }

    fn place(&self, pos: u64, len: usize) -> std::ops::Range<usize> {
        let at = (pos % self.ring.len() as u64) as usize;
        at..at + len
    }
}

impl TailSource for MemoryTail {
    fn ring_len(&self) -> u64 {
        self.ring.len() as u64
    }

    fn label(&self) -> Option<TailLabel> {
        self.label
    }

    fn read(&self, pos: u64, len: usize) -> &[u8] {
        &self.ring[self.place(pos, len)]
    }

    fn word(&self, word: Word) -> u64 {
        self.words[word as usize]
    }

    fn set_word(&mut self, word: Word, value: u64) {
        self.words[word as usize] = value;
    }
}

impl TailMemory for MemoryTail {
    fn write(&mut self, pos: u64, len: usize) -> &mut [u8] {
        let (published, written) = (self.word(Word::PublishedPos), self.word(Word::WrittenPos));
        assert!(
            pos >= published && pos + len as u64 <= written + self.ring.len() as u64,
            "a write at {pos} of {len} bytes would overwrite what no segment holds ({written}..{published})"
        );
        let place = self.place(pos, len);
        &mut self.ring[place]
    }

    fn slot(&self, block: usize) -> (Seq, u64) {
        self.slots[block]
    }

    fn set_slot(&mut self, block: usize, slot: (Seq, u64)) {
        self.slots[block] = slot;
    }

    fn reset(&mut self) {
        self.label = None;
        self.words = [0; Word::COUNT];
        self.slots.fill((0, 0));
        self.ring.fill(0);
    }

    fn set_label(&mut self, label: TailLabel) {
        self.label = Some(label);
    }
}

/// A directory in a map.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MemoryStore {
    files: BTreeMap<FileName, Vec<u8>>,
    capacity_bytes: u64,
    failing: bool,
    writes_left: u64,
    unlisted: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            capacity_bytes: u64::MAX,
            failing: false,
            writes_left: u64::MAX,
            unlisted: false,
        }
    }
}

impl MemoryStore {
    /// The device holds this many bytes from now on; the existing files stay.
    pub fn set_capacity_bytes(&mut self, capacity_bytes: u64) {
        self.capacity_bytes = capacity_bytes;
    }

    /// Every write fails from now on (or works again).
    pub fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// So many writes, removals and syncs succeed from now on; those behind them fail.
    pub fn set_writes_left(&mut self, writes: u64) {
        self.writes_left = writes;
    }

    /// Listing fails for want of a descriptor from now on (or works again); open files stay open.
    pub fn set_unlisted(&mut self, unlisted: bool) {
        self.unlisted = unlisted;
    }

    /// A file's bytes, to be damaged, cut or inspected.
    pub fn file_mut(&mut self, file: FileName) -> Option<&mut Vec<u8>> {
        self.files.get_mut(&file)
    }

    fn used_bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum()
    }

    fn error(doing: &str, file: FileName, fault: StoreFault, why: &str) -> StoreError {
        StoreError { doing: format!("{doing} {file}"), fault, why: why.to_string() }
    }

    /// One more write, removal or sync.
    fn spend(&mut self, doing: &str, file: FileName) -> Result<(), StoreError> {
        if self.failing || self.writes_left == 0 {
            return Err(Self::error(doing, file, StoreFault::Failed, "the device fails (as told)"));
        }
        if self.writes_left < u64::MAX {
            self.writes_left -= 1;
        }
        Ok(())
    }

    fn grow(&mut self, doing: &str, file: FileName, len: u64) -> Result<&mut Vec<u8>, StoreError> {
        self.spend(doing, file)?;
        let present = self.files.get(&file).map_or(0, |bytes| bytes.len() as u64);
        let more = len.saturating_sub(present);
        if more > 0 && self.used_bytes() + more > self.capacity_bytes {
            return Err(Self::error(doing, file, StoreFault::NoSpace, "no space left on device"));
        }
        let bytes = self.files.entry(file).or_default();
        bytes.resize(present.max(len) as usize, 0);
        Ok(bytes)
    }

    fn present(&self, doing: &str, file: FileName) -> Result<&Vec<u8>, StoreError> {
        self.files.get(&file).ok_or_else(|| Self::error(doing, file, StoreFault::Missing, "no such file"))
    }
}

impl Store for MemoryStore {
    fn write_at(&mut self, file: FileName, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        assert!(offset.is_multiple_of(BLOCK_LEN as u64), "writes start at a block, not at {offset}");
        assert!(bytes.len().is_multiple_of(BLOCK_LEN), "writes are whole blocks, not {} bytes", bytes.len());
        let content = self.grow("writing", file, offset + bytes.len() as u64)?;
        content[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        let content = self.present("reading", file)?;
        let content = content.get(offset as usize..).unwrap_or_default();
        let taken = content.len().min(out.len());
        out[..taken].copy_from_slice(&content[..taken]);
        Ok(taken)
    }

    fn reserve(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        self.grow("reserving room for", file, len).map(|_| ())
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        Ok(self.present("looking at", file)?.len() as u64)
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        if self.unlisted {
            let (doing, why) = ("listing the segments".to_string(), "too many open files".to_string());
            return Err(StoreError { doing, fault: StoreFault::Descriptors, why });
        }
        Ok(self.files.keys().copied().collect())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<(), StoreError> {
        self.present("renaming", from)?;
        if let Some(bytes) = self.files.remove(&from) {
            self.files.insert(to, bytes);
        }
        Ok(())
    }

    fn truncate(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        self.present("cutting", file)?;
        let content = self.grow("cutting", file, len)?;
        content.truncate(len as usize);
        Ok(())
    }

    fn replace(&mut self, file: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let content = self.grow("writing", file, bytes.len() as u64)?;
        content.clear();
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        self.present("removing", file)?;
        if self.writes_left < u64::MAX {
            self.spend("removing", file)?;
        }
        self.files.remove(&file);
        Ok(())
    }

    fn sync(&mut self, file: FileName) -> Result<(), StoreError> {
        self.spend("syncing", file)
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.capacity_bytes.saturating_sub(self.used_bytes()))
    }
}
