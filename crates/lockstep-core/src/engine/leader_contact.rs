//! Whether a handle follows a leader: it has received from one not long ago. A takeover is shorter than the
//! bound, so it ends nothing; no quorum, a cluster that is stopped and a host that is cut off do.

use lockstep_wire::Nanos;

/// Shortest bound: takeovers of hosts that are busy end within it.
const LEADERLESS_NS_MIN: Nanos = 1_000_000_000;
/// So many heartbeats of an idle leader, ...
const HEARTBEATS: u64 = 10;
/// ... and so many of the silences after which it is suspected.
const FAILURE_TIMEOUTS: u64 = 4;

/// How long no leader may be received where an idle one beats once in `heartbeat_interval_ns` and is
/// suspected after `failure_timeout_ns`.
pub fn leaderless_ns_max(heartbeat_interval_ns: Nanos, failure_timeout_ns: Nanos) -> Nanos {
    let heartbeats = heartbeat_interval_ns.saturating_mul(HEARTBEATS);
    LEADERLESS_NS_MIN.max(heartbeats).max(failure_timeout_ns.saturating_mul(FAILURE_TIMEOUTS))
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaderContact {
    leaderless_ns_max: Nanos,
    /// When a leader was received last; 0: never.
    contact_at: Nanos,
    /// When the handle last received.
    received_at: Nanos,
}

impl LeaderContact {
    /// None was received yet.
    pub fn new(leaderless_ns_max: Nanos) -> Self {
        Self { leaderless_ns_max, contact_at: 0, received_at: 0 }
    }

    /// A leader was received: its frame or its heartbeat.
    #[inline]
    pub fn on_leader(&mut self, now: Nanos) {
        self.contact_at = now.max(1);
    }

    /// The handle has received what had come. A handle that does not is no witness of silence.
    #[inline]
    pub fn on_received(&mut self, now: Nanos) {
        self.received_at = now;
    }

    /// Whether a leader is followed.
    pub fn follows(&self) -> bool {
        self.contact_at > 0 && self.received_at < self.contact_at.saturating_add(self.leaderless_ns_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn a_leader_is_followed_from_its_first_voice_until_it_is_silent_for_the_bound() {
        let mut contact = LeaderContact::new(S);
        contact.on_received(0);
        assert!(!contact.follows(), "none was heard");
        contact.on_leader(5);
        contact.on_received(5);
        assert!(contact.follows());
        contact.on_received(S + 4);
        assert!(contact.follows(), "a takeover is shorter than the bound");
        contact.on_received(S + 5);
        assert!(!contact.follows());
        contact.on_leader(9 * S);
        contact.on_received(9 * S);
        assert!(contact.follows());
    }

    #[test]
    fn who_receives_nothing_by_its_own_will_does_not_take_that_for_silence() {
        let mut contact = LeaderContact::new(S);
        contact.on_leader(1);
        contact.on_received(1);
        // A minute in which the application took nothing.
        contact.on_leader(60 * S);
        contact.on_received(60 * S);
        assert!(contact.follows());
    }

    #[test]
    fn the_bound_is_a_second_ten_heartbeats_and_four_failure_timeouts_at_least() {
        assert_eq!(leaderless_ns_max(1_000_000, 7_000_000), S);
        assert_eq!(leaderless_ns_max(300_000_000, S), 4 * S);
        assert_eq!(leaderless_ns_max(S, S), 10 * S);
    }
}
