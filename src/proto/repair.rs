//! # repair: what a replica gives to whom
//!
//! Up to its own commit anyone repairs to anyone. Above it, a frame is given only to who follows exactly
//! the epoch of the giver's log: to anybody else it might be a frame that never came to be.

use crate::proto::log::LogEnd;
use crate::wire::{Epoch, Refusal, Seq, SeqRange};

/// What the giver has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Holdings {
    /// Where its log ends.
    pub end: LogEnd,
    /// Its commit.
    pub commit_next: Seq,
    /// Its oldest seq in memory.
    pub oldest_seq: Seq,
}

/// S11 (who gets what): the part of `range` that may be given to a requester that follows `epoch`, or the
/// reason why there is none.
pub fn grant(holdings: &Holdings, epoch: Epoch, range: SeqRange) -> Result<SeqRange, Refusal> {
    let same_log = epoch == holdings.end.epoch;
    let bound = if same_log { holdings.end.next } else { holdings.commit_next };
    if range.from >= holdings.end.next {
        return Err(Refusal::Ahead);
    }
    if range.from >= bound {
        return Err(Refusal::OtherEpoch);
    }
    if range.from < holdings.oldest_seq {
        return Err(Refusal::TooOld);
    }
    Ok(SeqRange { from: range.from, to: range.to.min(bound) })
}
