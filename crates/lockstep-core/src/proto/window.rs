//! # window: how much may be stamped and not committed
//!
//! A quorum gates the cluster, a subscriber never does. When the uncommitted part reaches the window the
//! leader takes no more; submissions stay with their publishers, who are told so by the heartbeat's credit.

use lockstep_wire::Seq;
use std::collections::VecDeque;

/// The window, a value of the cluster (it stands in the epoch start).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    /// Most entries stamped and not committed.
    pub entries: u32,
    /// The same in bytes of frames.
    pub bytes: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { entries: 1 << 16, bytes: 16 << 20 }
    }
}

impl Window {
    /// Half of it: what is taken of anybody without a look at shares.
    #[inline]
    pub fn half(&self) -> Self {
        Self { entries: self.entries / 2, bytes: self.bytes / 2 }
    }

    /// WIN-1 (when the leader stops): entries that may still be stamped, with `stamp_next` next, everything
    /// below `commit_next` committed, and `uncommitted_bytes` of frames above it.
    #[inline]
    pub fn credit(&self, stamp_next: Seq, commit_next: Seq, uncommitted_bytes: u64) -> u32 {
        if uncommitted_bytes >= u64::from(self.bytes) {
            return 0;
        }
        let used = stamp_next.saturating_sub(commit_next);
        u32::try_from(u64::from(self.entries).saturating_sub(used)).unwrap_or(u32::MAX)
    }
}

/// The frames above the commit, so that their bytes can be counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Uncommitted {
    /// (exclusive end, bytes) of each frame, oldest first.
    frames: VecDeque<(Seq, u32)>,
    bytes: u64,
}

impl Uncommitted {
    /// For a window of `entries` (a frame has one at least), and for the start of an epoch and a change of
    /// the membership beyond it. Allocated once.
    pub fn new(entries: u32) -> Self {
        // Written once: memory that is only reserved comes page by page, as faults of the hot thread.
        let mut frames = VecDeque::from(vec![(Seq::MAX, u32::MAX); entries as usize + 3]);
        frames.clear();
        Self { frames, bytes: 0 }
    }

    /// A frame was closed.
    #[inline]
    pub fn on_closed(&mut self, next: Seq, bytes: u32) {
        self.frames.push_back((next, bytes));
        self.bytes += u64::from(bytes);
    }

    /// Everything below `commit_next` is committed.
    #[inline]
    pub fn on_commit(&mut self, commit_next: Seq) {
        while let Some(&(next, bytes)) = self.frames.front()
            && next <= commit_next
        {
            self.frames.pop_front();
            self.bytes -= u64::from(bytes);
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let sum: u64 = self.frames.iter().map(|&(_, bytes)| u64::from(bytes)).sum();
        assert_eq!(sum, self.bytes, "WIN-1: the bytes of the window are those of its frames");
        let pairs = self.frames.iter().zip(self.frames.iter().skip(1));
        assert!(pairs.into_iter().all(|(a, b)| a.0 < b.0), "WIN-1: frames are in the order of the log");
    }

    /// Where the frames that are counted end.
    pub fn end(&self) -> Option<Seq> {
        self.frames.back().map(|&(next, _)| next)
    }

    /// Another log is counted from now on.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Bytes of frames above the commit.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { entries: 10, bytes: 1_000 };

    #[test]
    fn win_1_the_uncommitted_part_stops_the_leader_at_the_window_in_entries() {
        // WIN-1
        assert_eq!(WINDOW.credit(1, 1, 0), 10);
        assert_eq!(WINDOW.credit(20, 15, 0), 5);
        assert_eq!(WINDOW.credit(24, 15, 0), 1);
        assert_eq!(WINDOW.credit(25, 15, 0), 0);
        assert_eq!(WINDOW.credit(99, 15, 0), 0);
    }

    #[test]
    fn win_1_the_uncommitted_part_stops_the_leader_at_the_window_in_bytes() {
        // WIN-1
        assert_eq!(WINDOW.credit(16, 15, 999), 9);
        assert_eq!(WINDOW.credit(16, 15, 1_000), 0);
    }

    #[test]
    fn frames_leave_the_uncommitted_part_as_a_whole() {
        let mut uncommitted = Uncommitted::new(8);
        uncommitted.on_closed(5, 100);
        uncommitted.on_closed(9, 30);
        assert_eq!(uncommitted.bytes(), 130);
        uncommitted.on_commit(4);
        assert_eq!(uncommitted.bytes(), 130);
        uncommitted.on_commit(5);
        assert_eq!(uncommitted.bytes(), 30);
        uncommitted.on_commit(99);
        assert_eq!(uncommitted.bytes(), 0);
    }
}
