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
