//! Logs one line when a process that serves clients follows no leader any more, and one when it follows one
//! again.

use lockstep_wire::Nanos;
use std::time::Duration;

/// The log's state: see the module.
#[derive(Debug)]
pub struct FollowsLog {
    /// What the process does without a leader, for the log.
    meanwhile: &'static str,
    /// The longest time without a leader before the first one that is not logged.
    leaderless_ns_max: Nanos,
    /// Since when no leader is followed: since the first look, if there never was one.
    since: Option<Nanos>,
    ever: bool,
    is_reported: bool,
}

/// A change to log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FollowsChange {
    Lost,
    Again(Duration),
}

impl FollowsLog {
    /// The state of a process that does `meanwhile` without a leader.
    pub fn new(meanwhile: &'static str, leaderless_ns_max: Nanos) -> Self {
        Self { meanwhile, leaderless_ns_max, since: None, ever: false, is_reported: false }
    }

    /// Notes at a turn whether its handles follow a leader.
    #[inline]
    pub fn look(&mut self, now: Nanos, follows: bool) {
        if follows && self.since.is_none() {
            self.ever = true;
            return;
        }
        if let Some(change) = self.judge(now, follows) {
            self.report(change);
        }
    }

    fn judge(&mut self, now: Nanos, follows: bool) -> Option<FollowsChange> {
        // A handle that has followed a leader has waited already.
        let waits_ns = if self.ever { 0 } else { self.leaderless_ns_max };
        let since = *self.since.get_or_insert(now);
        if follows {
            (self.since, self.ever) = (None, true);
            let silent_ns = now.saturating_sub(since) + (self.leaderless_ns_max - waits_ns);
            return std::mem::take(&mut self.is_reported)
                .then(|| FollowsChange::Again(Duration::from_nanos(silent_ns)));
        }
        let is_due = !self.is_reported && now >= since.saturating_add(waits_ns);
        self.is_reported |= is_due;
        is_due.then_some(FollowsChange::Lost)
    }

    #[cold]
    fn report(&self, change: FollowsChange) {
        match change {
            FollowsChange::Lost => tracing::warn!(
                silent_ms = self.leaderless_ns_max / 1_000_000,
                "this process follows no leader: {}; `lockstep status` says whether there is one",
                self.meanwhile
            ),
            FollowsChange::Again(silent) => {
                tracing::info!("this process follows a leader again, after {silent:.1?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn silence_is_reported_once_when_it_begins_and_once_when_it_ends_with_its_duration() {
        let mut log = FollowsLog::new("no client can log in", S);
        log.look(0, true);
        // When the handle reports it, it has missed its leader for a second.
        assert_eq!(log.judge(10 * S, false), Some(FollowsChange::Lost));
        assert_eq!(log.judge(11 * S, false), None);
        assert_eq!(log.judge(12 * S, true), Some(FollowsChange::Again(Duration::from_secs(3))));
        log.look(13 * S, true);
        assert!(log.since.is_none() && !log.is_reported);
    }

    #[test]
    fn a_process_that_starts_before_the_cluster_says_so_after_the_bound() {
        let mut log = FollowsLog::new("no client can log in", S);
        assert_eq!(log.judge(5 * S, false), None, "a start takes its time");
        assert_eq!(log.judge(6 * S, false), Some(FollowsChange::Lost));
        assert_eq!(log.judge(8 * S, true), Some(FollowsChange::Again(Duration::from_secs(3))));
    }

    #[test]
    fn a_start_that_finds_a_leader_within_the_bound_is_no_news() {
        let mut log = FollowsLog::new("no client can log in", S);
        assert_eq!(log.judge(0, false), None);
        assert_eq!(log.judge(S / 2, true), None);
    }
}
