//! A client that guesses passwords must wait: after some failures of a user from an address, each further
//! failure doubles the wait of that user at that address.
//!
//! Failures count by user and address together. By user alone, an attacker could lock a user out from
//! anywhere; by address alone, one client behind a tunnel could lock out all others there.

use lockstep_wire::Nanos;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The number of failures without a wait: people mistype.
const FREE: u32 = 5;
/// The most pairs of user and address that are remembered, of each kind.
const ROWS_MAX: usize = 4_096;

/// The times of a lockout.
#[derive(Clone, Copy, Debug)]
pub struct LockoutTimes {
    /// The first wait, and the longest one of a user at an address from which it has logged in.
    pub first_ns: Nanos,
    /// The longest wait.
    pub longest_ns: Nanos,
    /// Failures are forgotten after this time without another one.
    pub forgotten_ns: Nanos,
}

impl Default for LockoutTimes {
    fn default() -> Self {
        Self { first_ns: 1_000_000_000, longest_ns: 60_000_000_000, forgotten_ns: 600_000_000_000 }
    }
}

type Pair = (String, IpAddr);

#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    last: Nanos,
}

/// Failures by user and address, and the pairs that have logged in.
#[derive(Clone, Debug)]
pub struct Locks {
    times: LockoutTimes,
    failed: BTreeMap<Pair, Row>,
    /// The time of each pair's last login.
    known: BTreeMap<Pair, Nanos>,
}

impl Locks {
    /// A table without failures.
    pub fn new(times: LockoutTimes) -> Self {
        Self { times, failed: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// Sets the times from now on.
    pub fn set_times(&mut self, times: LockoutTimes) {
        self.times = times;
    }

    /// Whether a login of this user from this address is refused without a check.
    pub fn is_locked(&self, now: Nanos, user: &str, address: IpAddr) -> bool {
        let pair = (user.to_owned(), address);
        let Some(row) = self.failed.get(&pair) else { return false };
        let LockoutTimes { first_ns, longest_ns, .. } = self.times;
        let wait = match row.failures.saturating_sub(FREE) {
            0 => 0,
            _ if self.known.contains_key(&pair) => first_ns,
            beyond => first_ns.saturating_mul(1 << (beyond - 1).min(32)).min(longest_ns),
        };
        now < row.last.saturating_add(wait)
    }

    /// Whether this user has logged in from this address.
    pub fn is_known(&self, user: &str, address: IpAddr) -> bool {
        self.known.contains_key(&(user.to_owned(), address))
    }

    /// A password of this user from this address was wrong. A full table forgets the pair with the fewest
    /// failures, and of several the oldest: so invented names do not push a guesser's own row out.
    pub fn on_failure(&mut self, now: Nanos, user: &str, address: IpAddr) {
        let (pair, forgotten_ns) = ((user.to_owned(), address), self.times.forgotten_ns);
        if self.failed.len() >= ROWS_MAX && !self.failed.contains_key(&pair) {
            self.failed.retain(|_, row| now < row.last.saturating_add(forgotten_ns));
            if self.failed.len() >= ROWS_MAX {
                let least = self.failed.iter().min_by_key(|(_, row)| (row.failures, row.last));
                least.map(|(pair, _)| pair.clone()).and_then(|pair| self.failed.remove(&pair));
            }
        }
        let row = self.failed.entry(pair).or_insert(Row { failures: 0, last: now });
        if now >= row.last.saturating_add(forgotten_ns) {
            row.failures = 0;
        }
        (row.failures, row.last) = (row.failures.saturating_add(1), now);
    }

    /// A user has logged in from this address. A full table forgets the pair whose last login is the oldest.
    pub fn on_success(&mut self, now: Nanos, user: &str, address: IpAddr) {
        let pair = (user.to_owned(), address);
        self.failed.remove(&pair);
        if self.known.len() >= ROWS_MAX && !self.known.contains_key(&pair) {
            let oldest = self.known.iter().min_by_key(|(_, last)| **last).map(|(pair, _)| pair.clone());
            oldest.and_then(|pair| self.known.remove(&pair));
        }
        self.known.insert(pair, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_user_at_an_address_waits_twice_as_long_each_time_and_a_right_login_ends_it() {
        let mut locks = Locks::new(LockoutTimes::default());
        let mut now = 0;
        for _ in 0..FREE {
            locks.on_failure(now, "alice", address(1));
            assert!(!locks.is_locked(now, "alice", address(1)));
        }
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            locks.on_failure(now, "alice", address(1));
            assert!(locks.is_locked(now + wait * S - 1, "alice", address(1)));
            assert!(!locks.is_locked(now, "bob", address(1)) && !locks.is_locked(now, "alice", address(2)));
            now += wait * S;
            assert!(!locks.is_locked(now, "alice", address(1)));
        }
        locks.on_success(now, "alice", address(1));
        locks.on_failure(now, "alice", address(1));
        assert!(!locks.is_locked(now, "alice", address(1)));
    }

    #[test]
    fn failures_are_forgotten_after_their_time() {
        let mut locks = Locks::new(LockoutTimes { forgotten_ns: 100 * S, ..LockoutTimes::default() });
        (0..9).for_each(|_| locks.on_failure(0, "alice", address(1)));
        locks.on_failure(100 * S, "alice", address(1));
        assert!(!locks.is_locked(100 * S, "alice", address(1)), "it counts from one again");
    }

    #[test]
    fn the_tables_are_bounded_and_invented_names_do_not_free_a_guesser() {
        let mut locks = Locks::new(LockoutTimes::default());
        (0..12).for_each(|_| locks.on_failure(0, "alice", address(1)));
        for number in 0..3 * ROWS_MAX as u32 {
            locks.on_failure(1, &format!("u{number}"), address(1));
            locks.on_success(number.into(), "alice", address(number + 2));
        }
        assert_eq!((locks.failed.len(), locks.known.len()), (ROWS_MAX, ROWS_MAX));
        assert!(locks.is_locked(S, "alice", address(1)));
    }
}
