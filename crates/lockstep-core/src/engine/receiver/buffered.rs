//! Frames that a receiver buffers: those that follow its log and wait for the owner (`ready`, in front), and
//! those that wait for a frame that is missing before them.

use super::{NextFrame, Receiver, ReceiverLimits};
use crate::engine::counters::{Counter, Counters};
use crate::engine::followed::Followed;
use crate::engine::store::FrameStore;
use crate::proto::follow::Follow;
use crate::proto::log::LogMismatch;
use crate::proto::membership::change_in;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{FrameView, Seq, SeqRange};

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BufferedFrames {
    store: FrameStore,
    /// Frames at the front that the log contains already.
    ready: usize,
}

impl BufferedFrames {
    pub(super) fn new(limits: &ReceiverLimits) -> Self {
        Self { store: FrameStore::new(limits.store_bytes, limits.frame_len_max), ready: 0 }
    }

    /// Holds always. Panics with the rule that is broken.
    pub(super) fn invariants(&self) {
        self.store.invariants();
        let (ready, stored) = (self.ready, self.store.len());
        assert!(ready <= stored, "{ready} frames follow at once, and {stored} are kept");
    }

    /// Whether the next frame could be buffered: there is room, or a frame that cannot be used yet makes it.
    #[inline]
    pub fn has_spare(&self) -> bool {
        self.store.has_room() || self.has_later()
    }

    /// Whether frames of the log wait for the owner.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// The first frame of the log that ends at or below `bound`.
    #[inline]
    pub fn front(&self, bound: Seq) -> Option<FrameView<'_>> {
        let is_there = self.ready > 0 && self.store.first_next().is_some_and(|next| next <= bound);
        is_there.then(|| self.store.get(0)).flatten()
    }

    /// The owner is done with [`BufferedFrames::front`].
    pub fn pop_front(&mut self) {
        self.store.remove(0);
        self.ready -= 1;
    }

    /// Whether frames wait for a frame that is missing before them.
    #[inline]
    pub(super) fn has_later(&self) -> bool {
        self.store.len() > self.ready
    }

    /// Buffers a frame behind the ready ones. Returns whether it did.
    pub(super) fn insert(&mut self, frame: &FrameView<'_>) -> bool {
        self.store.insert(frame, self.ready)
    }

    /// What a frame that was not buffered counts as.
    pub(super) fn refusal(&self) -> Counter {
        if self.store.has_room() { Counter::FramesDuplicate } else { Counter::FramesDropped }
    }

    /// The ranges that are missing from `from` to `bound`.
    pub(super) fn missing(&self, from: Seq, bound: Seq) -> impl Iterator<Item = SeqRange> + '_ {
        self.store.missing(self.ready, from, bound)
    }

    /// While this stays the same, so do the frames.
    pub(super) fn version(&self) -> (u64, usize) {
        (self.store.version(), self.ready)
    }

    /// The log was cut at `next`: frames of it that end above that are ready no more.
    pub(super) fn cut(&mut self, next: Seq) {
        self.ready = self.store.ending_below(self.ready, next);
    }

    /// The owner has taken another log: no frame is ready.
    pub(super) fn unready(&mut self) {
        self.ready = 0;
    }

    /// Forgets the frames behind the ready ones whose epoch does not own their seqs.
    pub(super) fn retain_owned(&mut self, follow: &Follow) {
        let all = planted(Mutation::BufferedFramesStay);
        self.store.retain(self.ready, |first, epoch| all || follow.owner(first) == Some(epoch));
    }
}

impl Receiver {
    /// Buffers the next frame, behind the ready ones; those that follow it are ready as well. Returns whether
    /// there was room.
    pub fn buffer(
        &mut self,
        followed: &mut Followed,
        next: NextFrame,
        frame: &FrameView<'_>,
        counters: &mut Counters,
    ) -> bool {
        let inserted = self.frames.insert(frame);
        if inserted {
            self.frames.ready += 1;
            self.accept(followed, next, counters);
        } else {
            counters.add(Counter::FramesDropped, 1);
        }
        inserted
    }

    /// Takes buffered frames into the log for as long as they follow its end.
    #[inline]
    pub(super) fn extend(&mut self, followed: &mut Followed, counters: &mut Counters) {
        if self.frames.has_later() {
            counters.add(Counter::FramesDuplicate, self.advance(followed));
        }
    }

    /// The same. Returns how many were of no use.
    pub(super) fn advance(&mut self, followed: &mut Followed) -> u64 {
        let mut useless = 0;
        while let (Some(end), Some(frame)) = (followed.end, self.frames.store.get(self.frames.ready)) {
            match end.follow(&frame) {
                Ok(end) => {
                    let change = change_in(&frame);
                    self.frames.ready += 1;
                    followed.learn_change(change);
                    self.pass(followed, end);
                }
                Err(LogMismatch::Ahead) => break,
                Err(_) => {
                    useless += 1;
                    self.frames.store.remove(self.frames.ready);
                }
            }
        }
        useless
    }

    /// Forgets the frames that wait behind the log and whose epoch does not own their seqs, and whatever
    /// was asked for before. A leader stamps the seqs behind its log itself.
    pub fn drop_buffered(&mut self, followed: &Followed) {
        self.frames.retain_owned(&followed.epochs);
        self.requests.restart();
    }
}
