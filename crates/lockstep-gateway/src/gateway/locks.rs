//! A client that guesses passwords waits: after some failures of a user or from an address, each further one
//! doubles the wait.

use lockstep_wire::Nanos;
use std::collections::BTreeMap;

/// Failures that cost nothing: a person mistypes.
const FREE: u32 = 5;
/// The first wait, ...
const WAIT_NS: Nanos = 1_000_000_000;
/// ... and the longest.
const WAIT_NS_MAX: Nanos = 60_000_000_000;
/// A client that has not failed for so long is forgotten.
const FORGOTTEN_NS: Nanos = 600_000_000_000;
/// Users and addresses that are remembered; above it, the one that failed the longest ago is forgotten.
const ROWS_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    last: Nanos,
}

impl Row {
    fn until(&self) -> Nanos {
        let beyond = self.failures.saturating_sub(FREE);
        match beyond {
            0 => 0,
            _ => self.last + (WAIT_NS << (beyond - 1).min(16)).min(WAIT_NS_MAX),
        }
    }
}

/// Failures by user and by address.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    rows: BTreeMap<String, Row>,
}

impl Locks {
    /// Whether logins of any of these keys are refused unseen.
    pub fn is_locked(&self, now: Nanos, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.rows.get(*key).is_some_and(|row| now < row.until()))
    }

    /// A login of these keys failed.
    pub fn on_failure(&mut self, now: Nanos, keys: &[&str]) {
        for key in keys {
            if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(*key) {
                self.rows.retain(|_, row| now < row.last + FORGOTTEN_NS);
                if self.rows.len() >= ROWS_MAX {
                    let oldest = self.rows.iter().min_by_key(|(_, row)| row.last).map(|(key, _)| key.clone());
                    oldest.and_then(|key| self.rows.remove(&key));
                }
            }
            let row = self.rows.entry((*key).to_owned()).or_insert(Row { failures: 0, last: now });
            if now >= row.last + FORGOTTEN_NS {
                row.failures = 0;
            }
            (row.failures, row.last) = (row.failures.saturating_add(1), now);
        }
    }

    /// A login of this key was right.
    pub fn on_success(&mut self, key: &str) {
        self.rows.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn who_guesses_waits_twice_as_long_each_time_and_a_right_login_ends_it() {
        let mut locks = Locks::default();
        let mut now = 0;
        for _ in 0..FREE {
            locks.on_failure(now, &["user alice", "address 10.0.0.1"]);
            assert!(!locks.is_locked(now, &["user alice"]));
        }
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            locks.on_failure(now, &["user alice", "address 10.0.0.1"]);
            assert!(locks.is_locked(now + wait * S - 1, &["user alice"]));
            assert!(
                locks.is_locked(now + wait * S - 1, &["user bob", "address 10.0.0.1"]),
                "whomever it tries"
            );
            now += wait * S;
            assert!(!locks.is_locked(now, &["user alice", "address 10.0.0.1"]));
        }
        assert!(!locks.is_locked(0, &["user bob", "address 10.0.0.2"]));
        locks.on_success("user alice");
        locks.on_failure(now, &["user alice"]);
        assert!(!locks.is_locked(now, &["user alice"]));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut locks = Locks::default();
        for number in 0..20_000u64 {
            locks.on_failure(number, &[&format!("address {number}")]);
        }
        assert!(locks.rows.len() <= ROWS_MAX);
    }
}
