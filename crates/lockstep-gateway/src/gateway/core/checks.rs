//! Passwords that wait to be checked or are being checked, and the waits of those who failed.

use super::GatewayLimits;
use crate::gateway::locks::{LockoutTimes, Locks};
use crate::gateway::per_address::PerAddress;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Nanos;
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

/// A password to check. It is never printed.
#[derive(Clone)]
pub struct Check {
    /// The connection's index and number.
    pub conn: (usize, u64),
    /// The client's address.
    pub address: IpAddr,
    /// The user's name, in lower case.
    pub user: String,
    /// The password that was sent, in lower case.
    pub password: Vec<u8>,
    /// The user's hash; `None` for an unknown user: then the check fails, and takes as long.
    pub hash: Option<String>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("conn", &self.conn).field("user", &self.user).finish_non_exhaustive()
    }
}

/// The checks: see the module.
#[derive(Debug)]
pub(super) struct PasswordChecks {
    pub locks: Locks,
    waiting: VecDeque<Check>,
    /// Checks without a result, those that wait among them.
    pending: usize,
    pending_of: PerAddress,
    /// Connections, by number, that were closed while their passwords were checked: the result of the check
    /// writes their line of the audit log.
    closed_early: BTreeSet<u64>,
}

impl PasswordChecks {
    pub fn new(times: LockoutTimes) -> Self {
        Self {
            locks: Locks::new(times),
            waiting: VecDeque::new(),
            pending: 0,
            pending_of: PerAddress::default(),
            closed_early: BTreeSet::new(),
        }
    }

    /// Whether there is room for another check.
    pub fn has_room(&self, limits: &GatewayLimits) -> bool {
        self.pending < limits.checks_max
    }

    /// Whether this address has its share of the checks.
    pub fn is_crowded(&self, limits: &GatewayLimits, address: IpAddr) -> bool {
        self.pending_of.of(address) >= limits.checks_per_address
    }

    /// Adds a check, before others if its user has logged in from this address before.
    pub fn add(&mut self, check: Check) {
        self.pending += 1;
        self.pending_of.take(check.address);
        if self.locks.is_known(&check.user, check.address) {
            self.waiting.push_front(check);
        } else {
            self.waiting.push_back(check);
        }
    }

    /// The next one to check.
    pub fn next(&mut self) -> Option<Check> {
        self.waiting.pop_front()
    }

    /// The connection with this number was closed while its password was checked.
    pub fn on_closed(&mut self, number: u64) {
        self.closed_early.insert(number);
    }

    /// Whether the connection with this number was closed meanwhile; it is forgotten.
    pub fn take_closed(&mut self, number: u64) -> bool {
        self.closed_early.remove(&number)
    }

    /// A password was checked. A wrong one counts for a closed connection too.
    pub fn on_result(&mut self, now: Nanos, check: &Check, is_right: bool) {
        self.pending = self.pending.saturating_sub(usize::from(!planted(Mutation::CheckLeaks)));
        self.pending_of.give_back(check.address);
        if !is_right {
            self.locks.on_failure(now, &check.user, check.address);
        }
    }

    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.pending
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Panics with the rule that is broken.
    pub fn invariants(&self, checks_max: usize) {
        let (waiting, pending) = (self.waiting.len(), self.pending);
        assert!(
            waiting <= pending && pending <= checks_max,
            "{waiting} passwords wait, {pending} are checked, at most {checks_max}"
        );
        let of_addresses = self.pending_of.total();
        assert!(of_addresses <= pending, "{pending} checks, and {of_addresses} of all addresses");
        assert!(self.closed_early.len() <= pending, "{:?} are of {pending} checks", self.closed_early);
    }
}
