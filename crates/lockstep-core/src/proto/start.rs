//! # start: what a node may do when it starts
//!
//! A node speaks only after it has looked at what it holds. One leadership per history is granted without
//! an election: epoch 1, to the lowest replica number, once.

use super::membership::Membership;
use super::planted::{Mutation, planted};
use super::sequence::Leadership;
use crate::proto::log::LogEnd;
use lockstep_wire::{Epoch, Identity};

/// What a node begins as.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StartRole {
    /// It holds nothing and learns the history from the others.
    Blank,
    /// It leads this epoch, once the promise to it is stored.
    Lead(Leadership),
    /// It follows, and has a vote.
    Standby,
    /// It follows; its log's membership does not list it.
    Learner,
}

/// S12 (look before you speak): the role of `identity` whose log ends at `end` under `membership` and who
/// promised `promised`. `before` lists the members before a change that may not be committed: who leaves by
/// it votes until it is (MEMBER-1). Leading epoch 1 takes a log that holds the birth and nothing else, and no
/// promise: whoever promised may have stamped.
pub fn role(
    identity: Identity,
    end: &LogEnd,
    membership: &Membership,
    before: Option<&Membership>,
    promised: Epoch,
) -> StartRole {
    if end.next == 1 {
        return StartRole::Blank;
    }
    if !membership.lists(identity) && !before.is_some_and(|before| before.lists(identity)) {
        return StartRole::Learner;
    }
    if planted(Mutation::SameEpochAfterRestart) && end.epoch.leader() == identity && end.epoch.round() > 0 {
        return StartRole::Lead(Leadership::granted(end.epoch));
    }
    let first = membership.lowest() == Some(identity);
    if first && end.epoch.round() == 0 && promised == Epoch::NONE {
        return StartRole::Lead(Leadership::granted(Epoch::new(1, identity)));
    }
    StartRole::Standby
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::{begun, epoch, identity, membership};

    /// A log of the birth alone.
    fn born() -> LogEnd {
        LogEnd { next: 2, epoch: epoch(0, 1), chain: 1, timestamp: 1 }
    }

    fn started(number: u32, end: LogEnd, promised: Epoch) -> StartRole {
        role(identity(number), &end, &membership(3), None, promised)
    }

    #[test]
    fn s12_a_node_without_a_log_is_blank_whoever_it_is() {
        let nobody = Membership::default();
        assert_eq!(role(identity(9), &LogEnd::BLANK, &nobody, None, Epoch::NONE), StartRole::Blank);
    }

    #[test]
    fn s12_the_lowest_member_leads_epoch_1_of_a_newborn_history_and_only_it() {
        let led = started(1, born(), Epoch::NONE);
        assert_eq!(led, StartRole::Lead(Leadership::granted(epoch(1, 1))));
        assert_eq!(started(2, born(), Epoch::NONE), StartRole::Standby);
    }

    #[test]
    fn s12_an_epoch_is_led_once() {
        assert_eq!(
            started(1, born(), epoch(1, 1)),
            StartRole::Standby,
            "promised, and perhaps stamped: a new round must be won"
        );
        assert_eq!(started(1, begun(), epoch(1, 1)), StartRole::Standby);
        assert_eq!(started(1, begun(), Epoch::NONE), StartRole::Standby, "its log says so");
        assert_eq!(started(1, born(), epoch(1, 2)), StartRole::Standby, "it promised to another");
    }

    #[test]
    fn s12_a_member_with_a_log_follows() {
        assert_eq!(started(2, begun(), Epoch::NONE), StartRole::Standby);
        assert_eq!(started(3, begun(), epoch(1, 1)), StartRole::Standby);
    }

    #[test]
    fn s12_who_is_not_listed_has_no_vote() {
        assert_eq!(started(4, begun(), Epoch::NONE), StartRole::Learner);
        let reformatted = Identity { incarnation: 1, ..identity(2) };
        assert_eq!(role(reformatted, &begun(), &membership(3), None, Epoch::NONE), StartRole::Learner);
    }

    #[test]
    fn s12_who_leaves_has_a_vote_until_that_is_known_to_be_committed() {
        let (before, after) = (membership(3), membership(2));
        let started = |before| role(identity(3), &begun(), &after, before, epoch(1, 1));
        assert_eq!(started(Some(&before)), StartRole::Standby);
        assert_eq!(started(None), StartRole::Learner);
    }
}
