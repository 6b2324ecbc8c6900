//! While the gateway follows no leader, logins are refused, and connected clients are notified.

use super::OUT_MAX;
use super::connections::Connections;
use crate::gateway::conn::Phase;
use lockstep_wire::Nanos;

/// The reason of a reject; for FIX, where a logon waits, it is only logged.
pub(super) const NO_LEADER: &str = "the gateway follows no leader: try again in a moment";
/// Sent to clients that are logged in, or are being logged in.
const BEGUN: &str = "the gateway follows no leader: what you send waits";
const ENDED: &str = "the gateway follows a leader again";

/// Whether the gateway's handles follow a leader, and what was reported to clients.
#[derive(Clone, Copy, Debug)]
pub struct FollowedLeader {
    /// Whether they follow one.
    pub follows: bool,
    reported: bool,
}

impl Default for FollowedLeader {
    /// They follow one, until the owner reports something else.
    fn default() -> Self {
        Self { follows: true, reported: true }
    }
}

impl FollowedLeader {
    /// The reason of a gateway that is not ready: no leader, or `other`.
    pub(super) fn or(self, other: &'static str) -> &'static str {
        if self.follows { other } else { NO_LEADER }
    }

    /// Notifies the clients of a change, if there was one.
    #[inline]
    pub(super) fn report(&mut self, now: Nanos, conns: &mut Connections) {
        if std::mem::replace(&mut self.reported, self.follows) != self.follows {
            notify(now, if self.follows { ENDED } else { BEGUN }, conns);
        }
    }
}

#[cold]
fn notify(now: Nanos, text: &str, conns: &mut Connections) {
    conns.mark_ready_where(|conn| {
        let is_here = matches!(conn.phase, Phase::Checking(_) | Phase::Opening { .. } | Phase::Open { .. });
        let is_notified = is_here && !conn.protocol.is_fix() && conn.waiting() < OUT_MAX;
        if is_notified {
            conn.protocol.debug(now, text, &mut conn.out);
        }
        is_notified
    });
}
