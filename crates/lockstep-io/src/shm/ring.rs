//! A ring of datagrams with one writer and many readers: none waits for another.
//!
//! ```text
//!   claimed │ block 0 … block 15 │        positions count words and never go back; a mask makes places
//!             record, record, …, pad      no record lies across the end of a block
//!             head │ prefix │ bytes │ …   a record begins on a cache line
//! ```
//!
//! **Publishing.** A record's first word, its head, is stored last. Before that the place of the next head is
//! cleared, so a reader that has read everything finds 0 there until there is more: a waiting reader polls
//! one cache line, which is that of the next record itself. Nothing that an older lap has left there is ever
//! taken for a head, and a writer that dies half-way has published nothing.
//!
//! **Overwriting.** Before a writer enters a block, it claims it: the previous lap's records there are void.
//! A reader copies first and checks the claim afterwards; data that was claimed meanwhile is discarded unread
//! (a seqlock, with one version for sixteen blocks, so that the claim's line changes rarely). Such a reader
//! continues half a ring behind the writer, and computes its loss from the numbers in the heads.
//!
//! Both sides run in different processes, so every word is atomic. The pairs that matter: a head is stored
//! with release and loaded with acquire; the claim is stored before a release fence and loaded after an
//! acquire fence.

#[cfg(test)]
mod tests;

use super::inbox::ShmInbox;
use crate::sync::{AtomicU64, Ordering, fence};
use std::array;
use std::ops::Deref;

/// Words of a cache line.
const LINE: u64 = 8;
/// Words before the first block: the claim, on two lines of its own, because CPUs fetch lines in pairs.
const CONTROL: usize = 16;
/// Blocks of a ring.
const BLOCKS: u64 = 16;
/// Most words of a ring's blocks: 1 GiB.
const CAPACITY_MAX: u64 = 1 << 27;

/// Padding that fills the rest of a block.
const PAD: u8 = u8::MAX;
/// Records are numbered by the bits that a head has room for; the count wraps.
const NUMBER_MASK: u64 = (1 << 40) - 1;

/// How often a new reader tries to reach the end of a ring before it takes the next records that come.
const WALKS_MAX: usize = 64;

/// Words of a record of `len` bytes, in whole lines.
const fn record_words<const PREFIX: usize>(len: usize) -> u64 {
    ((1 + PREFIX + len.div_ceil(8)) as u64).next_multiple_of(LINE)
}

/// Words of a ring that holds at least `bytes` and records of `len_max` bytes.
pub(super) fn ring_words<const PREFIX: usize>(bytes: usize, len_max: usize) -> usize {
    // A record leaves a line for the padding behind it.
    let block = (record_words::<PREFIX>(len_max) + LINE).next_power_of_two();
    let capacity =
        (bytes as u64 / 8).next_power_of_two().clamp(BLOCKS * block, CAPACITY_MAX.max(BLOCKS * block));
    CONTROL + capacity as usize
}

/// Whether [`ring_words`] may have made a ring of `words`.
pub(super) fn is_ring(words: u64) -> bool {
    let capacity = words.wrapping_sub(CONTROL as u64);
    capacity.is_power_of_two() && (BLOCKS * 2 * LINE..=CAPACITY_MAX).contains(&capacity)
}

/// The words of a ring: the same for both ends.
#[derive(Debug)]
struct Ring<M> {
    memory: M,
    /// Words of all blocks minus one.
    mask: u64,
    /// Words of a block.
    block: u64,
}

impl<M: Deref<Target = [AtomicU64]>> Ring<M> {
    fn new(memory: M) -> Self {
        assert!(is_ring(memory.len() as u64), "a ring of {} words", memory.len());
        let capacity = (memory.len() - CONTROL) as u64;
        Self { memory, mask: capacity - 1, block: capacity / BLOCKS }
    }

    /// Positions below this one, less a ring, are void.
    fn claimed(&self) -> &AtomicU64 {
        &self.memory[0]
    }

    /// The words from `position` to the end of its block.
    fn from(&self, position: u64) -> &[AtomicU64] {
        let at = (position & self.mask) as usize;
        let len = (self.block - (position & (self.block - 1))) as usize;
        &self.memory[CONTROL + at..][..len]
    }

    /// The end of the block that holds `position`.
    fn block_end(&self, position: u64) -> u64 {
        (position | (self.block - 1)).wrapping_add(1)
    }
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Writer<M, const PREFIX: usize> {
    ring: Ring<M>,
    /// The position of the next head, where 0 stands.
    next: u64,
    /// The end of the block that is being written.
    claimed: u64,
    /// The number of the next record.
    number: u64,
}

impl<M: Deref<Target = [AtomicU64]>, const PREFIX: usize> Writer<M, PREFIX> {
    /// The writer of a new ring: `memory` is all zeros, and as long as [`ring_words`] returns.
    pub fn new(memory: M) -> Self {
        let ring = Ring::new(memory);
        let claimed = ring.block;
        ring.claimed().store(claimed, Ordering::Release);
        Self { ring, next: 0, claimed, number: 0 }
    }

    /// Publishes one record of `kind` (neither 0 nor 255) with the bytes of both parts. Returns false if the
    /// record is too long for the ring.
    #[inline]
    pub fn push(&mut self, kind: u8, prefix: [u64; PREFIX], parts: [&[u8]; 2]) -> bool {
        let len = parts[0].len() + parts[1].len();
        let words = record_words::<PREFIX>(len);
        if len > usize::from(u16::MAX) || words + LINE > self.ring.block {
            return false;
        }
        if self.next + words >= self.claimed {
            self.turn_over();
        }
        let place = self.ring.from(self.next);
        let head = u64::from(kind) | (len as u64) << 8 | self.number << 24;
        for (word, value) in place[1..].iter().zip(prefix) {
            word.store(value, Ordering::Relaxed);
        }
        write(&place[1 + PREFIX..], parts);
        place[words as usize].store(0, Ordering::Relaxed);
        place[0].store(head, Ordering::Release);
        self.next += words;
        self.number = (self.number + 1) & NUMBER_MASK;
        true
    }

    /// Leaves the rest of the block, and claims the next one.
    #[cold]
    fn turn_over(&mut self) {
        let (pad, next) = (self.next, self.claimed);
        self.claimed += self.ring.block;
        // A reader that sees this claim sees all of the older blocks ...
        self.ring.claimed().store(self.claimed, Ordering::Release);
        // ... and a reader that sees anything stored from here on sees this claim.
        fence(Ordering::Release);
        self.ring.from(next)[0].store(0, Ordering::Relaxed);
        self.ring.from(pad)[0].store(u64::from(PAD), Ordering::Release);
        self.next = next;
    }
}

/// Stores both parts, one behind the other, in whole words.
#[inline]
fn write(mut words: &[AtomicU64], [first, mut second]: [&[u8]; 2]) {
    let (whole, rest) = first.as_chunks::<8>();
    store(words, whole);
    words = &words[whole.len()..];
    if !rest.is_empty() {
        let mut seam = [0; 8];
        let more = second.len().min(8 - rest.len());
        seam[..rest.len()].copy_from_slice(rest);
        seam[rest.len()..][..more].copy_from_slice(&second[..more]);
        store(words, &[seam]);
        (words, second) = (&words[1..], &second[more..]);
    }
    let (whole, rest) = second.as_chunks::<8>();
    store(words, whole);
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        store(&words[whole.len()..], &[last]);
    }
}

#[inline]
fn store(words: &[AtomicU64], chunks: &[[u8; 8]]) {
    for (word, chunk) in words[..chunks.len()].iter().zip(chunks) {
        word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
    }
}

/// A reading end.
#[derive(Debug)]
pub(super) struct Reader<M, const PREFIX: usize> {
    ring: Ring<M>,
    /// The position of the next head.
    next: u64,
    /// The number that the next record should have; `None` until the first is known.
    number: Option<u64>,
    /// Whether the ring's content is inconsistent: it is not read any more.
    is_broken: bool,
}

impl<M: Deref<Target = [AtomicU64]>, const PREFIX: usize> Reader<M, PREFIX> {
    /// A reader of all present and future records of the ring.
    pub fn of_all(memory: M) -> Self {
        Self { ring: Ring::new(memory), next: 0, number: Some(0), is_broken: false }
    }

    /// A reader of everything that is published from now on.
    pub fn of_new(memory: M) -> Self {
        let mut reader = Self::of_all(memory);
        // The block before the one that is written is whole: its beginning leads to the end.
        let claimed = reader.ring.claimed().load(Ordering::Acquire);
        reader.next = claimed.saturating_sub(2 * reader.ring.block);
        reader.number = (reader.next == 0).then_some(0);
        let mut nothing = ShmInbox::new(0, 0);
        // Each try reads on to the end, unless the writer was a lap faster.
        for _ in 0..WALKS_MAX {
            if reader.read(|_, _| false, &mut nothing) {
                break;
            }
        }
        reader
    }

    /// Copies the records for which `wants` returns true by kind and prefix, until none is left or `inbox` is
    /// full. Returns whether none is left.
    #[inline]
    pub fn read(&mut self, wants: impl Fn(u8, [u64; PREFIX]) -> bool, inbox: &mut ShmInbox) -> bool {
        loop {
            let place = self.ring.from(self.next);
            let head = place[0].load(Ordering::Acquire);
            if head == 0 || self.is_broken {
                return true;
            }
            let (kind, len, number) = (head as u8, (head >> 8 & 0xffff) as usize, head >> 24);
            let words = record_words::<PREFIX>(len);
            // No record fills its block, and no block begins with padding.
            let fits = if kind == PAD { !self.begins_block() } else { words < place.len() as u64 };
            let mut lends = None;
            if fits && kind != PAD {
                let prefix = array::from_fn(|index| place[1 + index].load(Ordering::Relaxed));
                if wants(kind, prefix) {
                    let Some(to) = inbox.room(len) else { return false };
                    for (to, word) in to.iter_mut().zip(&place[1 + PREFIX..]) {
                        *to = word.load(Ordering::Relaxed);
                    }
                    lends = Some(prefix.first().copied().unwrap_or(0));
                }
            }
            // If data read above was stored after a claim, that claim is visible here.
            fence(Ordering::Acquire);
            let claimed = self.ring.claimed().load(Ordering::Relaxed);
            if self.is_void(claimed) {
                self.catch_up();
                return false;
            }
            if !fits || self.next >= claimed {
                self.is_broken = true;
                inbox.broken += 1;
                return true;
            }
            if kind == PAD {
                self.next = self.ring.block_end(self.next);
                continue;
            }
            self.next = self.next.wrapping_add(words);
            inbox.lost += number.wrapping_sub(self.number.unwrap_or(number)) & NUMBER_MASK;
            self.number = Some((number + 1) & NUMBER_MASK);
            if let Some(from) = lends {
                inbox.lend(len, from);
            }
        }
    }

    /// Whether there is nothing to read at this moment.
    pub fn is_read(&self) -> bool {
        self.is_broken || self.ring.from(self.next)[0].load(Ordering::Relaxed) == 0
    }

    /// Whether a block begins at our position.
    fn begins_block(&self) -> bool {
        self.next & (self.ring.block - 1) == 0
    }

    /// Whether the record at our position was overwritten, or is about to be.
    fn is_void(&self, claimed: u64) -> bool {
        claimed > self.next.saturating_add(self.ring.mask + 1)
    }

    /// Continues half a ring behind the writer: older records would be overwritten soon.
    #[cold]
    fn catch_up(&mut self) {
        let claimed = self.ring.claimed().load(Ordering::Acquire);
        self.next = claimed.saturating_sub(self.ring.block * (BLOCKS / 2));
    }

    /// Finds out whether the writer has overtaken us unnoticed: the word at our position may be 0 by chance,
    /// as long as that lap lasts. Call it now and then.
    #[inline]
    pub fn look(&mut self) {
        if self.is_void(self.ring.claimed().load(Ordering::Relaxed)) {
            self.catch_up();
        }
    }
}
