//! While the gateway follows no leader: logins are refused, and each client that is there is notified.

use super::OUT_MAX;
use crate::gateway::conn::{Conn, Phase};
use lockstep_wire::Nanos;
use std::collections::BTreeSet;

/// The reason of a reject; for FIX, where a logon waits, the log's alone.
pub(super) const NO_LEADER: &str = "the gateway follows no leader: try again in a moment";
/// For clients that are logged in, or are about to be.
const BEGUN: &str = "the gateway follows no leader: what you send waits";
const ENDED: &str = "the gateway follows a leader again";

/// Whether the gateway's handles follow a leader, and what clients know of it.
#[derive(Clone, Copy, Debug)]
pub struct FollowedLeader {
    /// Whether they do.
    pub follows: bool,
    reported: bool,
}

impl Default for FollowedLeader {
    /// They do, until the owner reports something else.
    fn default() -> Self {
        Self { follows: true, reported: true }
    }
}

impl FollowedLeader {
    /// The reason of a gateway that is not ready: this one, or another.
    pub(super) fn or(self, other: &'static str) -> &'static str {
        if self.follows { other } else { NO_LEADER }
    }

    /// Clients are notified of a change, if there was one; `ready` has those that have something to send.
    #[inline]
    pub(super) fn report(
        &mut self,
        now: Nanos,
        conns: &mut [Option<(u64, Conn)>],
        ready: &mut BTreeSet<usize>,
    ) {
        if std::mem::replace(&mut self.reported, self.follows) != self.follows {
            tell(now, if self.follows { ENDED } else { BEGUN }, conns, ready);
        }
    }
}

#[cold]
fn tell(now: Nanos, text: &str, conns: &mut [Option<(u64, Conn)>], ready: &mut BTreeSet<usize>) {
    for (index, place) in conns.iter_mut().enumerate() {
        let Some((_, conn)) = place else { continue };
        let is_here = matches!(conn.phase, Phase::Checking(_) | Phase::Opening { .. } | Phase::Open { .. });
        if is_here && !conn.protocol.is_fix() && conn.waiting() < OUT_MAX {
            conn.protocol.debug(now, text, &mut conn.out);
            ready.insert(index);
        }
    }
}
