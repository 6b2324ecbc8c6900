//! # accept: what a standby takes into its log, and what it may say of it
//!
//! ```text
//!   frame below promised ──▶ refused           (S2)
//!   frame that follows the log's end ──▶ taken (S7, by the tail), then acknowledged in its epoch (S3)
//! ```

use super::commit::Durability;
use super::log::LogEnd;
use super::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Seq};

/// The answer to a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PrepareOutcome {
    /// A promise that must be stored first.
    Promise,
    /// The promise that it has already: its copy was lost.
    Repeat,
    /// A higher promise was given.
    Refuse {
        /// It.
        promised: Epoch,
    },
}

/// What an ack rests on, for S9 as for S4: the stronger of what is configured at this replica, by which its
/// next start is judged, and of what acks mean in the epoch (S4).
#[inline]
pub fn rests_on(configured: Durability, epochs: Durability) -> Durability {
    if planted(Mutation::OwnDurabilityIgnored) { epochs } else { configured.max(epochs) }
}

/// The bound of an ack that acknowledges no entry.
pub const NOTHING: Seq = 1;

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

    /// Whether nothing of this epoch is taken, unless it belongs to the log of a higher one.
    #[inline]
    pub fn refuses(&self, epoch: Epoch) -> bool {
        epoch < self.promised && !planted(Mutation::FollowsLowerEpoch)
    }

    /// S2 (nothing below the promise): whether a frame of `epoch` is taken, if it follows the log's end. One
    /// of an epoch below the promise is taken only where `owned` says that the log of an epoch at or above
    /// the promise contains it: as it does whatever is committed.
    #[inline]
    pub fn takes(&self, epoch: Epoch, owned: bool) -> bool {
        owned || !self.refuses(epoch)
    }

    /// The promise (S2): what a candidate that asks for `ballot` is answered. Only a higher ballot than
    /// any before is promised, and a candidate is told again what it was told before.
    pub fn judge_prepare(&self, ballot: Epoch) -> PrepareOutcome {
        match ballot.cmp(&self.promised) {
            std::cmp::Ordering::Greater => PrepareOutcome::Promise,
            std::cmp::Ordering::Equal => PrepareOutcome::Repeat,
            std::cmp::Ordering::Less if planted(Mutation::PromisesLower) => PrepareOutcome::Promise,
            std::cmp::Ordering::Less => PrepareOutcome::Refuse { promised: self.promised },
        }
    }

    /// S3 (what an ack means): the epoch and bound that may be acknowledged for a log that ends at `end`,
    /// stored up to `stored_next`. Nothing in an epoch below the promise, and nothing of round 0, whose
    /// entries nobody leads. A member that lacks the log of the epoch that it promised and follows holds
    /// nothing of it, and says so with a bound of 1: its leader is to know that it is heard.
    pub fn ack(&self, end: &LogEnd, stored_next: Seq, followed: Epoch) -> Option<(Epoch, Seq)> {
        if planted(Mutation::AckByLength) {
            return Some((self.promised.max(end.epoch), stored_next.min(end.next)));
        }
        let below = end.epoch < self.promised && !planted(Mutation::AckBelowPromise);
        if !below && end.epoch.round() > 0 {
            return Some((end.epoch, stored_next.min(end.next)));
        }
        (below && followed == self.promised).then_some((followed, NOTHING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::{begun, epoch};

    #[test]
    fn s2_below_the_promise_nothing_is_accepted() {
        assert!(Acceptor::new(epoch(1, 1)).takes(epoch(1, 1), false));
        assert!(!Acceptor::new(epoch(2, 3)).takes(epoch(1, 1), false));
    }

    #[test]
    fn s2_the_log_of_the_promised_epoch_is_accepted_with_its_older_frames() {
        assert!(Acceptor::new(epoch(2, 3)).takes(epoch(1, 1), true));
    }

    #[test]
    fn s2_only_a_higher_ballot_is_promised_and_the_same_candidate_is_told_again() {
        let acceptor = Acceptor::new(epoch(2, 2));
        assert_eq!(acceptor.judge_prepare(epoch(2, 3)), PrepareOutcome::Promise);
        assert_eq!(acceptor.judge_prepare(epoch(2, 2)), PrepareOutcome::Repeat);
        let promised = epoch(2, 2);
        assert_eq!(acceptor.judge_prepare(epoch(2, 1)), PrepareOutcome::Refuse { promised });
        assert_eq!(acceptor.judge_prepare(epoch(1, 9)), PrepareOutcome::Refuse { promised });
    }

    #[test]
    fn s2_a_promise_rises() {
        let mut acceptor = Acceptor::new(epoch(1, 1));
        acceptor.on_promised(epoch(2, 1));
        acceptor.on_promised(epoch(2, 1));
        assert_eq!(acceptor.promised(), epoch(2, 1));
    }

    #[test]
    #[should_panic(expected = "a promise never falls")]
    fn s2_a_promise_never_falls() {
        Acceptor::new(epoch(2, 1)).on_promised(epoch(1, 3));
    }

    #[test]
    fn an_ack_rests_on_the_stronger_durability_for_s9_as_for_s4() {
        use Durability::{Power, Process};
        assert_eq!(rests_on(Process, Process), Process);
        assert_eq!(
            [(Process, Power), (Power, Process), (Power, Power)].map(|(a, b)| rests_on(a, b)),
            [Power; 3]
        );
    }

    #[test]
    fn s3_an_ack_names_the_logs_own_epoch_and_what_is_stored_of_it() {
        let end = begun();
        let acceptor = Acceptor::new(Epoch::NONE);
        assert_eq!(acceptor.ack(&end, end.next, end.epoch), Some((epoch(1, 1), end.next)));
        assert_eq!(
            acceptor.ack(&end, end.next - 1, end.epoch),
            Some((epoch(1, 1), end.next - 1)),
            "not yet on the device"
        );
        assert_eq!(
            acceptor.ack(&end, end.next + 5, end.epoch),
            Some((epoch(1, 1), end.next)),
            "never past the log"
        );
    }

    #[test]
    fn s3_nothing_is_acknowledged_below_the_promise_or_before_the_first_epoch() {
        let end = begun();
        assert_eq!(Acceptor::new(epoch(2, 2)).ack(&end, end.next, end.epoch), None);
        let born = LogEnd { epoch: epoch(0, 1), ..end };
        assert_eq!(Acceptor::new(Epoch::NONE).ack(&born, end.next, born.epoch), None);
        assert_eq!(Acceptor::new(Epoch::NONE).ack(&LogEnd::BLANK, 1, Epoch::NONE), None);
    }

    #[test]
    fn s3_who_follows_the_promised_epoch_and_lacks_its_log_acknowledges_nothing_of_it() {
        let (end, promised) = (begun(), epoch(2, 2));
        assert_eq!(Acceptor::new(promised).ack(&end, end.next, promised), Some((promised, NOTHING)));
        assert_eq!(Acceptor::new(epoch(3, 1)).ack(&end, end.next, promised), None, "it promised another one");
    }
}
