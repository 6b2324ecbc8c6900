//! Frames that a receiver buffers: some because of a gap before them, some because they are not committed
//! yet or the application paused delivery. Sorted by seq, in memory of fixed size.

use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Epoch, FrameView, Seq, SeqRange};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// The place of one buffered frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stored {
    first: Seq,
    next: Seq,
    epoch: Epoch,
    slot: u32,
}

/// The frames. Two stores are equal if they hold the same frames, wherever in memory.
#[derive(Clone, Debug)]
pub struct FrameStore {
    memory: Vec<u8>,
    stride: usize,
    free: Vec<u32>,
    order: VecDeque<Stored>,
    /// Rises with each change.
    version: u64,
}

impl PartialEq for FrameStore {
    fn eq(&self, other: &Self) -> bool {
        self.order.len() == other.order.len() && self.stored().eq(other.stored())
    }
}

impl Eq for FrameStore {}

impl Hash for FrameStore {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order.len().hash(state);
        self.stored().for_each(|bytes| bytes.hash(state));
    }
}

/// Memory that is there from the start: zeroed pages would come one by one, each at its first use, as a
/// fault of the hot thread.
pub fn touched(bytes: usize) -> Vec<u8> {
    vec![0xa5; bytes]
}

impl FrameStore {
    /// Room for as many frames of at most `frame_len_max` bytes as `bytes` holds, at least 16.
    pub fn new(bytes: usize, frame_len_max: usize) -> Self {
        let slots = (bytes / frame_len_max).max(16);
        Self {
            memory: touched(slots * frame_len_max),
            stride: frame_len_max,
            free: (0..slots as u32).rev().collect(),
            order: VecDeque::with_capacity(slots),
            version: 0,
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let slots = self.memory.len() / self.stride;
        let places = self.order.iter().map(|stored| stored.slot).chain(self.free.iter().copied());
        let mut left = vec![true; slots];
        let once = places.into_iter().all(|place| std::mem::take(&mut left[place as usize]));
        let all = self.order.len() + self.free.len() == slots;
        assert!(once && all, "each of {slots} places for frames is free or taken, once");
        let pairs = self.order.iter().zip(self.order.iter().skip(1));
        assert!(
            pairs.into_iter().all(|(a, b)| a.next <= b.first),
            "frames are kept in order, and none twice"
        );
    }

    fn stored(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.order.len()).filter_map(|index| self.get(index)).map(|frame| frame.bytes)
    }

    /// The number of buffered frames.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Rises whenever a frame is stored or forgotten.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether no frame is buffered.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether one more would fit.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Keeps a frame. Returns whether it was new and there was room. A frame that overlaps another is
    /// not new: frames are atoms, so an overlap is a copy. Where there is no room, the farthest frame
    /// makes it for a nearer one, as what is missed first is needed first; the `ready` ones in front stay.
    pub fn insert(&mut self, frame: &FrameView<'_>, ready: usize) -> bool {
        let (first, next) = (frame.header.first_seq, frame.header.next_seq());
        let at = match self.order.back() {
            Some(last) if last.first >= first => self.order.partition_point(|stored| stored.first < first),
            _ => self.order.len(),
        };
        let before_overlaps = at > 0 && self.order[at - 1].next > first;
        let after_overlaps = self.order.get(at).is_some_and(|stored| stored.first < next);
        if before_overlaps || after_overlaps || frame.bytes.len() > self.stride {
            return false;
        }
        if self.free.is_empty() && at < self.order.len() && self.order.len() > ready {
            self.remove(self.order.len() - 1);
        }
        let Some(slot) = self.free.pop() else { return false };
        let start = slot as usize * self.stride;
        self.memory[start..start + frame.bytes.len()].copy_from_slice(frame.bytes);
        self.order.insert(at, Stored { first, next, epoch: frame.header.epoch(), slot });
        self.version += 1;
        true
    }

    /// The `index`th frame from the front.
    pub fn get(&self, index: usize) -> Option<FrameView<'_>> {
        let stored = self.order.get(index)?;
        // It was checked when it came in.
        FrameView::known(&self.memory[stored.slot as usize * self.stride..][..self.stride])
    }

    /// Where the first frame ends.
    #[inline]
    pub fn first_next(&self) -> Option<Seq> {
        self.order.front().map(|stored| stored.next)
    }

    /// Forgets the `index`th frame.
    #[inline]
    pub fn remove(&mut self, index: usize) {
        if let Some(stored) = self.order.remove(index) {
            if !planted(Mutation::StoreLeaks) {
                self.free.push(stored.slot);
            }
            self.version += 1;
        }
    }

    /// How many of the first `count` frames end at or below `bound`.
    pub fn ending_below(&self, count: usize, bound: Seq) -> usize {
        self.order.iter().take(count).take_while(|stored| stored.next <= bound).count()
    }

    /// Forgets the frames from the `index`th on of which `keep` (first seq, epoch) says no.
    pub fn retain(&mut self, index: usize, keep: impl Fn(Seq, Epoch) -> bool) {
        let Self { order, free, version, .. } = self;
        *version += 1;
        let mut at = 0;
        order.retain(|stored| {
            let retained = at < index || keep(stored.first, stored.epoch);
            at += 1;
            if !retained && !planted(Mutation::ForgottenLeaks) {
                free.push(stored.slot);
            }
            retained
        });
    }

    /// The range missing in `from..to`, looking only at frames from the `index`th on.
    pub fn missing(&self, index: usize, from: Seq, to: Seq) -> impl Iterator<Item = SeqRange> {
        let retained = self.order.iter().skip(index).map(|stored| (stored.first, stored.next));
        let ends = retained.chain(std::iter::once((to, to)));
        ends.scan(from, move |at, (first, next)| {
            let hole = SeqRange { from: *at, to: first.min(to) };
            *at = next.max(*at);
            Some(hole)
        })
        .filter(|hole| hole.from < hole.to)
    }
}
