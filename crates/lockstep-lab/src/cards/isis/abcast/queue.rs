//! The priority queue of ABCAST, and what a coordinator collects.

use crate::{Pid, Pids};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A number, and the process that assigned it: no two messages have the same one.
pub(super) type Priority = (u8, Pid);

/// A round of a message: those that its coordinator has observed to fail, and the coordinator. Of two that
/// take over at once the one goes on that has observed more failures, and of equals the lower one.
pub(super) type Round = (Pids, Pid);

pub(super) fn rank((failed, coordinator): Round) -> (usize, Reverse<Pid>) {
    (failed.len(), Reverse(coordinator))
}

/// How far a message has come at a recipient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Tag {
    Undeliverable,
    /// Of the uniform one: the final priority is here.
    Final,
    Deliverable,
    Delivered,
}

/// A message in the priority queue. It stays there once it is delivered: a process that takes over asks for
/// it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Queued {
    pub priority: Priority,
    pub tag: Tag,
    /// The round that this process answered last: the final priority comes from its coordinator.
    pub round: Round,
    /// Whether that one waits for a Fixed.
    pub is_owing: bool,
}

/// The answers that a coordinator has collected.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(super) struct Collected {
    pub failed: Pids,
    pub answers: BTreeMap<Pid, (Priority, bool)>,
    /// Of the uniform one: the final priority is sent, and these have it.
    pub is_final: bool,
    pub fixed: Pids,
}
