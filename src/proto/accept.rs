//! # accept: what a standby takes into its log, and what it may say of it
//!
//! ```text
//!   frame below promised ──▶ refused           (S2)
//!   frame that follows the log's end ──▶ taken (S7), then acknowledged in its epoch (S3)
//! ```

use super::log::{LogEnd, Misfit};
use crate::wire::{Epoch, FrameView, Seq};

/// Why a frame is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// Its epoch is below the promise.
    Stale {
        /// The promise.
        promised: Epoch,
    },
    /// It does not follow the log's end.
    Misfit(Misfit),
}

/// The acceptor's one memory beside its log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Acceptor {
    promised: Epoch,
}

impl Acceptor {
    /// With the promise that the superblock holds.
    pub fn new(promised: Epoch) -> Self {
        Self { promised }
    }

    /// The vow to refuse lower epochs.
    pub fn promised(&self) -> Epoch {
        self.promised
    }

    /// A higher promise, which the superblock holds already.
    pub fn on_promised(&mut self, epoch: Epoch) {
        assert!(epoch >= self.promised, "a promise never falls: {epoch} after {}", self.promised);
        self.promised = epoch;
    }

    /// S2 (nothing below the promise): where the log ends with `frame`, if it is taken. A frame of an
    /// epoch below the promise is taken only where `owned` says that the log of an epoch at or above the
    /// promise contains it.
    pub fn judge(&self, frame: &FrameView<'_>, end: &LogEnd, owned: bool) -> Result<LogEnd, Refused> {
        if frame.header.epoch() < self.promised && !owned {
            return Err(Refused::Stale { promised: self.promised });
        }
        end.follow(frame).map_err(Refused::Misfit)
    }

    /// S3 (what an ack means): the epoch and bound that may be acknowledged for a log that ends at `end`,
    /// stored up to `stored_next`. Nothing in an epoch below the promise, and nothing of round 0, whose
    /// entries nobody leads.
    pub fn ack(&self, end: &LogEnd, stored_next: Seq) -> Option<(Epoch, Seq)> {
        let may = end.epoch >= self.promised && end.epoch.round() > 0;
        may.then(|| (end.epoch, stored_next.min(end.next)))
    }
}
