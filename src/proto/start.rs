//! # start: what a node may do when it starts
//!
//! A node speaks only after it has looked at what it holds. Until takeover exists, one leadership is
//! granted per history: epoch 1, to the lowest replica number, once.

use super::membership::Membership;
use super::sequence::Leadership;
use crate::proto::log::LogEnd;
use crate::wire::{Epoch, Identity};

/// What a node begins as.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StartRole {
    /// It holds nothing and learns the history from the others.
    Blank,
    /// It leads this epoch, once the promise to it is stored.
    Lead(Leadership),
    /// It follows.
    Standby,
    /// It led before it stopped. An epoch is led once, so somebody must take over in a new round.
    AwaitTakeover,
}

/// The membership of the log does not list this node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NotListed;

/// S12 (look before you speak): the role of `identity` whose log ends at `end` under `membership` and who
/// promised `promised`. Leading epoch 1 takes a log that holds the birth and nothing else, and no promise:
/// whoever promised may have stamped.
pub fn role(
    identity: Identity,
    end: &LogEnd,
    membership: &Membership,
    promised: Epoch,
) -> Result<StartRole, NotListed> {
    if end.next == 1 {
        return Ok(StartRole::Blank);
    }
    if membership.position(identity).is_none() {
        return Err(NotListed);
    }
    let first = membership.lowest() == Some(identity);
    if first && end.epoch.round() == 0 && promised == Epoch::NONE {
        return Ok(StartRole::Lead(Leadership::granted(Epoch::new(1, identity))));
    }
    let led = end.epoch.leader() == identity && end.epoch.round() > 0 || promised.leader() == identity;
    Ok(if led { StartRole::AwaitTakeover } else { StartRole::Standby })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::{begun, epoch, identity, membership};

    /// A log of the birth alone.
    fn born() -> LogEnd {
        LogEnd { next: 2, epoch: epoch(0, 1), chain: 1, timestamp: 1 }
    }

    fn started(number: u32, end: LogEnd, promised: Epoch) -> Result<StartRole, NotListed> {
        role(identity(number), &end, &membership(3), promised)
    }

    #[test]
    fn s12_a_node_without_a_log_is_blank_whoever_it_is() {
        let nobody = Membership::default();
        assert_eq!(role(identity(9), &LogEnd::BLANK, &nobody, Epoch::NONE), Ok(StartRole::Blank));
    }

    #[test]
    fn s12_the_lowest_member_leads_epoch_1_of_a_newborn_history_and_only_it() {
        let led = started(1, born(), Epoch::NONE);
        assert_eq!(led, Ok(StartRole::Lead(Leadership::granted(epoch(1, 1)))));
        assert_eq!(started(2, born(), Epoch::NONE), Ok(StartRole::Standby));
    }

    #[test]
    fn s12_an_epoch_is_led_once() {
        assert_eq!(
            started(1, born(), epoch(1, 1)),
            Ok(StartRole::AwaitTakeover),
            "promised, and perhaps stamped"
        );
        assert_eq!(started(1, begun(), epoch(1, 1)), Ok(StartRole::AwaitTakeover));
        assert_eq!(started(1, begun(), Epoch::NONE), Ok(StartRole::AwaitTakeover), "its log says so");
        assert_eq!(started(1, born(), epoch(1, 2)), Ok(StartRole::Standby), "it promised to another");
    }

    #[test]
    fn s12_a_member_with_a_log_follows() {
        assert_eq!(started(2, begun(), Epoch::NONE), Ok(StartRole::Standby));
        assert_eq!(started(3, begun(), epoch(1, 1)), Ok(StartRole::Standby));
    }

    #[test]
    fn s12_who_is_not_listed_does_not_start() {
        assert_eq!(started(4, begun(), Epoch::NONE), Err(NotListed));
        let reformatted = Identity { incarnation: 1, ..identity(2) };
        assert_eq!(role(reformatted, &begun(), &membership(3), Epoch::NONE), Err(NotListed));
    }
}
