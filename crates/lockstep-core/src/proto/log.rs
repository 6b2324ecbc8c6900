//! # log: which frame may follow which
//!
//! A log is frames without holes. Everything that must hold between one frame and the next stands in
//! [`LogEnd::follow`]: a standby asks it before it stores, recovery asks it to find the end of what a
//! crash left, a receiver asks it before it delivers. Two logs with equal ends are equal logs.

use lockstep_wire::{Chain, EntryKind, Epoch, EpochStartView, FrameView, Nanos, Seq};

/// Where a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LogEnd {
    /// The next seq.
    pub next: Seq,
    /// The epoch of the last frame: what DESIGN calls `accepted`.
    pub epoch: Epoch,
    /// The chain before `next`.
    pub chain: Chain,
    /// The last frame's timestamp.
    pub timestamp: Nanos,
}

/// Why a frame does not follow a log's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LogMismatch {
    /// It begins behind the end: something is missing before it.
    Ahead,
    /// It begins before the end: held already, or another log's.
    Behind,
    /// The seqs fit and the chain does not: two histories.
    Chain {
        /// Ours.
        have: Chain,
        /// The frame's.
        seen: Chain,
    },
    /// Its epoch is lower than the log's.
    EpochFalls,
    /// A new epoch that does not begin with its start.
    NoStart,
    /// A start whose base, chain or table contradicts the log before it.
    StartMisfits,
}

impl Default for LogEnd {
    fn default() -> Self {
        Self::BLANK
    }
}

impl LogEnd {
    /// The end of an empty log.
    pub const BLANK: Self = Self { next: 1, epoch: Epoch::NONE, chain: 0, timestamp: 0 };

    /// S7 (where a log ends): the end behind `frame` if it continues this log, else why it does not.
    /// The log ends where the epoch falls, where an epoch begins without its start, or where a start
    /// does not fit what lies before it.
    pub fn follow(&self, frame: &FrameView<'_>) -> Result<Self, LogMismatch> {
        let header = frame.header;
        if header.first_seq > self.next {
            return Err(LogMismatch::Ahead);
        }
        if header.first_seq < self.next {
            return Err(LogMismatch::Behind);
        }
        let epoch = header.epoch();
        if epoch < self.epoch {
            return Err(LogMismatch::EpochFalls);
        }
        if header.chain != self.chain {
            return Err(LogMismatch::Chain { have: self.chain, seen: header.chain });
        }
        if epoch > self.epoch {
            self.begins(frame)?;
        }
        Ok(Self { next: header.next_seq(), epoch, chain: frame.chain_after(), timestamp: header.timestamp })
    }

    /// Whether the first entry of `frame` starts its epoch right here. Entry 1, the birth, starts the
    /// history in round 0.
    fn begins(&self, frame: &FrameView<'_>) -> Result<(), LogMismatch> {
        let epoch = frame.header.epoch();
        let first = frame.entries().next().ok_or(LogMismatch::NoStart)?;
        match first.kind() {
            EntryKind::Genesis if self.next == 1 && epoch.round() == 0 => Ok(()),
            EntryKind::EpochStart => {
                let start = EpochStartView::parse(first.payload).map_err(|_| LogMismatch::StartMisfits)?;
                let (mut before, mut last) = (None, None);
                for row in start.epochs() {
                    before = last.replace(row);
                }
                let fits = start.epoch() == epoch
                    && start.body.base == self.next
                    && start.body.chain_at_base == self.chain
                    && last.is_some_and(|row| row.epoch == epoch.0 && row.base == self.next)
                    && before.is_some_and(|row| row.epoch == self.epoch.0 && row.base < self.next);
                fits.then_some(()).ok_or(LogMismatch::StartMisfits)
            }
            _ => Err(LogMismatch::NoStart),
        }
    }
}
