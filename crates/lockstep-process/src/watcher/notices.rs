//! The prepared datagram that the stamping thread leaves for its watcher: two of them, and a version whose
//! lowest bit names the one in force. One thread writes, and may die between any two instructions; a reader
//! always gets a whole notice.

use lockstep_io::sync::{AtomicU64, Ordering, fence};

/// A datagram that is ready to be sent, of up to `WORDS` words.
#[repr(C)]
struct Notice<const WORDS: usize> {
    len: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// See the module.
#[repr(C)]
pub(super) struct Notices<const WORDS: usize> {
    /// Counts notices; the lowest bit is the number of the one in force.
    version: AtomicU64,
    notices: [Notice<WORDS>; 2],
}

impl<const WORDS: usize> Notices<WORDS> {
    /// Puts a notice in force; an empty one says that there is nothing to announce. Longer ones than fit
    /// become empty. One thread writes.
    #[inline]
    pub fn set(&self, bytes: &[u8]) {
        let version = self.version.load(Ordering::Relaxed) + 1;
        let notice = &self.notices[(version & 1) as usize];
        let len = if bytes.len() <= WORDS * 8 { bytes.len() } else { 0 };
        // A reader that still reads this notice sees by the version that it was overtaken.
        fence(Ordering::Release);
        notice.len.store(len as u64, Ordering::Relaxed);
        for (word, chunk) in notice.words.iter().zip(bytes[..len].chunks(8)) {
            let mut whole = [0; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
        self.version.store(version, Ordering::Release);
    }

    /// Copies the notice in force into `out`, which has room for `WORDS` words, and returns its length; 0 is
    /// "nothing to announce". Whole, whenever it is read.
    pub fn get(&self, out: &mut [u8]) -> usize {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let notice = &self.notices[(version & 1) as usize];
            let len = notice.len.load(Ordering::Relaxed) as usize;
            for (chunk, word) in out.chunks_exact_mut(8).zip(&notice.words) {
                chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            fence(Ordering::Acquire);
            // One version on, the other notice was written; two on, this one. A writer that began the second
            // had stored the first before.
            if self.version.load(Ordering::Relaxed) == version {
                return if len <= WORDS * 8 { len } else { 0 };
            }
        }
    }
}

impl<const WORDS: usize> Default for Notices<WORDS> {
    fn default() -> Self {
        let zeros = || Notice { len: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) };
        Self { version: AtomicU64::new(0), notices: [zeros(), zeros()] }
    }
}
