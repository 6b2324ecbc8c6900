//! # repair: what a replica gives to whom
//!
//! Up to its own commit anyone repairs to anyone. Above it, a frame is given only to who follows exactly
//! the epoch of the giver's log: to anybody else it might be a frame that never came to be.

use super::planted::{Mutation, planted};
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
    let same_log = epoch == holdings.end.epoch || planted(Mutation::RepairOfOtherEpoch);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::epoch;

    /// Holds 10 to 29 of epoch 2, committed up to 19.
    fn holdings() -> Holdings {
        let end = LogEnd { next: 30, epoch: epoch(2, 1), chain: 1, timestamp: 1 };
        Holdings { end, commit_next: 20, oldest_seq: 10 }
    }

    fn granted(epoch: Epoch, from: Seq, to: Seq) -> Result<(Seq, Seq), Refusal> {
        grant(&holdings(), epoch, SeqRange { from, to }).map(|range| (range.from, range.to))
    }

    #[test]
    fn s11_up_to_the_givers_commit_anyone_repairs_to_anyone() {
        for follower in [Epoch::NONE, epoch(1, 1), epoch(2, 1), epoch(3, 3)] {
            assert_eq!(granted(follower, 12, 20), Ok((12, 20)), "{follower}");
        }
    }

    #[test]
    fn s11_above_the_commit_only_who_follows_exactly_the_givers_epoch_is_given_frames() {
        assert_eq!(granted(epoch(2, 1), 12, 28), Ok((12, 28)));
        assert_eq!(granted(epoch(2, 1), 25, 99), Ok((25, 30)), "no further than the log");
        for other in [Epoch::NONE, epoch(1, 1), epoch(2, 2), epoch(3, 3)] {
            assert_eq!(granted(other, 12, 28), Ok((12, 20)), "{other}: the committed part");
            assert_eq!(granted(other, 20, 28), Err(Refusal::OtherEpoch), "{other}");
        }
    }

    #[test]
    fn s11_every_refusal_names_its_reason() {
        assert_eq!(granted(epoch(2, 1), 30, 31), Err(Refusal::Ahead));
        assert_eq!(granted(epoch(1, 1), 30, 31), Err(Refusal::Ahead));
        assert_eq!(granted(epoch(2, 1), 9, 12), Err(Refusal::TooOld));
        assert_eq!(granted(epoch(1, 1), 20, 21), Err(Refusal::OtherEpoch));
        let blank = Holdings { end: LogEnd::BLANK, commit_next: 1, oldest_seq: 1 };
        assert_eq!(grant(&blank, epoch(1, 1), SeqRange { from: 1, to: 2 }), Err(Refusal::Ahead));
    }
}
