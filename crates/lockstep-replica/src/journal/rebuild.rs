//! # rebuild: the meaning of a sequence of records
//!
//! One state machine serves both directions: the tail feeds it the records that it writes, recovery those
//! that it reads. So a log that was written and a log that is read back cannot differ.
//!
//! ```text
//!            Stage               Switch: the staged frames are the log
//!  following ─────▶ Staging ──────────────────────────────────────────▶ following
//!      ▲            │ ▲  │ Stage: another staging, the first is void
//!      └────────────┘ └──┘
//!         Abandon: the log is what it was
//! ```
//!
//! S7: nothing is cut before its replacement is whole. Until the Switch the log is the old one, from
//! the Switch on the new one, and a record is sealed, so there is no state between.

use crate::journal::extents::Extents;
use crate::journal::record::Record;
use lockstep_core::proto::log::{LogEnd, LogMismatch};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Epoch, FrameView, Seq};

/// Frames staged beside the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Staging<P> {
    /// The log before the first of them.
    pub base: LogEnd,
    /// The epoch that will adopt them.
    pub epoch: Epoch,
    /// The common end of log and staged frames.
    pub end: LogEnd,
    /// Where the first one lies; `None` while there is none.
    pub first: Option<P>,
}

/// The effect of a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RebuildStep {
    /// The log grew by this frame.
    Grown,
    /// A frame was staged.
    Staged,
    /// A staging began or was given up: the log is unchanged.
    Marked,
    /// The staged frames replaced the log's frames from here on.
    Switched {
        /// The first replaced seq.
        from: Seq,
    },
}

/// Why a record is invalid at its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Misplaced {
    /// The frame follows neither the log nor the staged frames.
    Frame(LogMismatch),
    /// A Stage begins where the log has no such end.
    Stage,
    /// A Switch without a staging, or one of other frames.
    Switch,
    /// A lost part that begins behind the end of what is before it.
    Lost,
}

impl std::fmt::Display for Misplaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(misfit) => write!(f, "a frame that does not follow the one before it ({misfit:?})"),
            Self::Stage => f.write_str("a stage record behind the end of the log"),
            Self::Switch => f.write_str("a switch record that does not fit what is staged"),
            Self::Lost => f.write_str("a lost part that does not fit what is before it"),
        }
    }
}

/// A log and the places of its frames.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LogRebuild<P> {
    /// The log's end.
    pub end: LogEnd,
    /// The frames staged beside it.
    pub staging: Option<Staging<P>>,
    /// The places of its frames.
    pub runs: Extents<P>,
}

impl<P: Copy + Ord> LogRebuild<P> {
    /// A log that ends at `end`; `runs` limits the places that are remembered.
    pub fn from_end(end: LogEnd, runs: Extents<P>) -> Self {
        Self { end, staging: None, runs }
    }

    /// The same log, remembering the newest `limit` runs.
    pub fn bounded(self, limit: usize) -> Self {
        Self { runs: self.runs.bound(limit), ..self }
    }

    /// Reads the record at `at`.
    pub fn on_record(&mut self, at: P, record: &Record<'_>) -> Result<RebuildStep, Misplaced> {
        match *record {
            Record::Frame(frame) => self.on_frame(at, &frame),
            Record::Stage { base, .. } if base.next > self.end.next => Err(Misplaced::Stage),
            Record::Stage { base, epoch } => {
                self.on_stage(at, base, epoch);
                Ok(RebuildStep::Marked)
            }
            Record::Abandon => {
                self.on_abandon();
                Ok(RebuildStep::Marked)
            }
            Record::Switch { from, end } => {
                let fits = |staging: &Staging<P>| staging.base.next == from && staging.end == end;
                if !self.staging.as_ref().is_some_and(|s| fits(s) && s.first.is_some()) {
                    return Err(Misplaced::Switch);
                }
                self.on_switch();
                Ok(RebuildStep::Switched { from })
            }
            Record::Lost { from, end } => self.on_lost(at, from, end).map(|()| RebuildStep::Marked),
        }
    }

    /// What stood at `at` is lost: it led from `from` to `end`. A later Switch goes back to `from` or below,
    /// so no later record refers to it.
    fn on_lost(&mut self, at: P, from: Seq, end: LogEnd) -> Result<(), Misplaced> {
        let (next, base) =
            self.staging.map_or((self.end.next, 1), |staging| (staging.end.next, staging.base.next));
        if from > next || from < base || end.next < from {
            return Err(Misplaced::Lost);
        }
        match &mut self.staging {
            Some(staging) => staging.end = end,
            None => {
                self.runs.replace(from, at);
                self.runs.close(at, from);
                self.end = end;
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, at: P, frame: &FrameView<'_>) -> Result<RebuildStep, Misplaced> {
        match &self.staging {
            Some(staging) => {
                let end = staging.end.follow(frame).map_err(Misplaced::Frame)?;
                self.on_staged(at, end);
                if planted(Mutation::TornReplacement) {
                    self.on_switch();
                }
                Ok(RebuildStep::Staged)
            }
            None => {
                let end = self.end.follow(frame).map_err(Misplaced::Frame)?;
                self.on_grown(at, end);
                Ok(RebuildStep::Grown)
            }
        }
    }

    /// The log grew by the frame at `at` and ends at `end` now.
    #[inline]
    pub fn on_grown(&mut self, at: P, end: LogEnd) {
        assert!(self.staging.is_none(), "the log does not grow while frames are staged beside it");
        self.runs.grow(at, self.end.next);
        self.end = end;
    }

    /// A staging behind `base` begins with the record at `at`; an older one is void.
    pub fn on_stage(&mut self, at: P, base: LogEnd, epoch: Epoch) {
        self.runs.close(at, self.end.next);
        self.staging = Some(Staging { base, epoch, end: base, first: None });
    }

    /// The frame at `at` was staged; `end` is behind it.
    pub fn on_staged(&mut self, at: P, end: LogEnd) {
        if let Some(staging) = &mut self.staging {
            staging.first.get_or_insert(at);
            staging.end = end;
        }
    }

    /// The staging is given up.
    pub fn on_abandon(&mut self) {
        self.staging = None;
    }

    /// The staged frames are the log.
    pub fn on_switch(&mut self) {
        if let Some(Staging { base, end, first: Some(first), .. }) = self.staging.take() {
            self.runs.replace(base.next, first);
            self.end = end;
        }
    }
}
