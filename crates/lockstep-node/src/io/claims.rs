//! Assigns the parts of the tail's ring to two threads, so that they share the memory without a lock.
//!
//! ```text
//!   written ─────── side reads ─────── published ─────── hot writes ─────── written + ring
//! ```
//!
//! Neither word ever falls. The thread that raises a word stores it with release after its last access to the
//! part that it gives up; the other thread loads it with acquire before its first access.

use lockstep_io::sync::{AtomicU64, Ordering};

/// Loads a word of the other thread, with everything released by it.
#[inline]
pub fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}

/// Stores a word, and gives up the part below it.
#[inline]
pub fn store(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Release);
}

/// The part that the hot thread may write.
#[derive(Debug)]
pub struct Claims {
    ring_len: u64,
    /// The word `PublishedPos`, which the hot thread alone stores.
    published: u64,
    /// The bound up to which the segments had freed the ring at the last check.
    free_until: u64,
}

impl Claims {
    /// The claims of a ring of `ring_len` bytes with these words.
    pub fn new(ring_len: u64, published: &AtomicU64, written: &AtomicU64) -> Self {
        Self { ring_len, published: load(published), free_until: load(written) + ring_len }
    }

    /// Panics unless the `len` bytes at `pos` belong to the hot thread.
    #[inline]
    pub fn judge(&mut self, written: &AtomicU64, pos: u64, len: u64) {
        let end = pos + len;
        if end > self.free_until {
            self.free_until = load(written) + self.ring_len;
        }
        assert!(
            pos >= self.published && end <= self.free_until,
            "a write at {pos} of {len} bytes is not between {} and what segments freed ({})",
            self.published,
            self.free_until
        );
    }

    /// The side thread may read everything below `value`.
    #[inline]
    pub fn publish(&mut self, published: &AtomicU64, value: u64) {
        assert!(value >= self.published, "published falls from {} to {value}", self.published);
        self.published = value;
        store(published, value);
    }
}

/// Panics unless the side thread may read the `len` bytes at `pos`.
pub fn judge_read(written: &AtomicU64, published: &AtomicU64, pos: u64, len: u64) {
    let (written, published) = (load(written), load(published));
    assert!(
        written <= pos && pos + len <= published,
        "{len} bytes at {pos} are not between written ({written}) and published ({published})"
    );
}

/// The hot thread may write everything below `value` again.
pub fn free(written: &AtomicU64, value: u64) {
    let before = load(written);
    assert!(value >= before, "written falls from {before} to {value}");
    store(written, value);
}
