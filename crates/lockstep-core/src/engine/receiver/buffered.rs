//! Frames that a receiver buffers: what follows its log and waits for the owner (`ready`, in front), and
//! what waits for something that is missing before it.

use super::{NextFrame, Receiver};
use crate::engine::counters::{Counter, Counters};
use crate::proto::log::LogMismatch;
use crate::proto::membership::change_in;
use lockstep_wire::{FrameView, Seq};

impl Receiver {
    /// Keeps the next frame for later, behind the ready ones; those that follow it are ready as well. Returns
    /// whether there was room.
    pub fn buffer(&mut self, next: NextFrame, frame: &FrameView<'_>, counters: &mut Counters) -> bool {
        let inserted = self.store.insert(frame, self.ready);
        if inserted {
            self.ready += 1;
            self.accept(next, counters);
        } else {
            counters.add(Counter::FramesDropped, 1);
        }
        inserted
    }

    /// Whether the next frame could be buffered: there is room, or a frame that cannot be used yet makes
    /// it.
    #[inline]
    pub fn has_spare(&self) -> bool {
        self.store.has_room() || self.store.len() > self.ready
    }

    /// Takes buffered frames into the log for as long as they follow its end.
    #[inline]
    pub(super) fn extend(&mut self, counters: &mut Counters) {
        if self.store.len() > self.ready {
            counters.add(Counter::FramesDuplicate, self.advance());
        }
    }

    /// The same. Returns how many were of no use.
    pub(super) fn advance(&mut self) -> u64 {
        let mut useless = 0;
        while let (Some(end), Some(frame)) = (self.end, self.store.get(self.ready)) {
            match end.follow(&frame) {
                Ok(end) => {
                    let change = change_in(&frame);
                    self.ready += 1;
                    self.learn_change(change);
                    self.pass(end);
                }
                Err(LogMismatch::Ahead) => break,
                Err(_) => {
                    useless += 1;
                    self.store.remove(self.ready);
                }
            }
        }
        useless
    }

    /// Whether buffered frames of the log wait for the owner.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// The first buffered frame of the log that ends at or below `bound`.
    #[inline]
    pub fn front(&self, bound: Seq) -> Option<FrameView<'_>> {
        let is_there = self.ready > 0 && self.store.first_next().is_some_and(|next| next <= bound);
        is_there.then(|| self.store.get(0)).flatten()
    }

    /// The owner is done with [`Receiver::front`].
    pub fn pop_front(&mut self) {
        self.store.remove(0);
        self.ready -= 1;
    }
}
