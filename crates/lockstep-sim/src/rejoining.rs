//! Replicas that rejoin by themselves (REJOIN-1). A member's journal is lost; its process looks at the
//! cluster by the status of whoever leads, gives the journal up once the rule lets it, and asks for its own
//! dead place when it has caught up. Several do so at the same time, while leaders die and networks are cut.
//!
//! ```text
//!   journal lost ─ looks ─ looks ─ REJOIN-1 ─▶ formatted anew ─ catches up ─▶ Replace ─▶ member
//! ```

use lockstep_core::engine::event::Role;
use lockstep_core::proto::rejoin::{RejoinEvidence, RejoinWatch, SeenMember};
use lockstep_wire::{AGE_NEVER, Header, Identity, Nanos, StatusBody, StatusMember, StatusMembers};
use std::collections::BTreeMap;

/// So many timeouts of silence are death here: two seconds are longer than most runs.
const DEAD_TIMEOUTS: u64 = 3;

/// The cluster by the last status of one that led.
#[derive(Clone, Debug)]
struct SeenCluster {
    at: Nanos,
    leader: Identity,
    is_stable: bool,
    members: Vec<SeenMember>,
}

/// What the processes of replicas without a journal have seen.
#[derive(Clone, Default)]
pub(super) struct Rejoiners {
    cluster: Option<SeenCluster>,
    /// By node.
    watches: BTreeMap<usize, RejoinWatch>,
}

impl Rejoiners {
    /// A status arrives.
    pub(super) fn note(&mut self, now: Nanos, header: &Header, body: &StatusBody, rows: StatusMembers<'_>) {
        if Role::from_u32(u32::from(body.role)) != Some(Role::Leader) {
            return;
        }
        let seen = |row: StatusMember| {
            let silent = (row.acked_age_ns != AGE_NEVER).then_some(row.acked_age_ns);
            SeenMember { identity: row.member.identity(), silent }
        };
        self.cluster = Some(SeenCluster {
            at: now,
            leader: header.identity(),
            is_stable: header.commit_next > body.membership_seq,
            members: rows.iter().map(seen).collect(),
        });
    }

    /// Whether the replica at this node gives its journal up now.
    pub(super) fn may_begin(&mut self, node: usize, now: Nanos, timeout_ns: Nanos) -> bool {
        let patience = DEAD_TIMEOUTS * timeout_ns;
        // An old answer tells nothing of now.
        let seen = self.cluster.as_ref().filter(|seen| seen.at + patience >= now);
        let seen = seen.map(|seen| RejoinEvidence {
            replica: node as u32 + 1,
            is_proven: true,
            leader: seen.leader,
            members: &seen.members,
            is_stable: seen.is_stable,
            patience,
        });
        matches!(self.watches.entry(node).or_default().look(now, seen.as_ref()), Some(Ok(_)))
    }
}
