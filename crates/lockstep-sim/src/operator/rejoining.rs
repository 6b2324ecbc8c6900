//! Replicas that rejoin by themselves (REJOIN-1). A member's journal is lost; its process looks at the
//! cluster by the status of whoever leads, gives the journal up once the rule lets it, and asks for its own
//! dead place when it has caught up. Several do so at the same time, while leaders die and networks are cut.
//! Some begin on a host that has no replica's keys yet, and wait for the operator to bring them.
//!
//! ```text
//!   journal lost ─ looks ─ looks ─ REJOIN-1 ─▶ formatted anew ─ catches up ─▶ Replace ─▶ member
//! ```

use crate::check::{RejoinClaim, Violation};
use crate::rng::Rng;
use lockstep_core::engine::event::Role;
use lockstep_core::proto::rejoin::{RejoinEvidence, RejoinWatch, SeenMember};
use lockstep_wire::{AGE_NEVER, Header, Identity, Nanos, Seq, StatusBody, StatusMember, StatusMembers};
use std::collections::BTreeMap;

/// So many timeouts of silence are death here: two seconds are longer than most runs.
const DEAD_TIMEOUTS: u64 = 3;

/// One in so many rejoins on a host without a replica's keys at first, drawn from this stream.
const KEYLESS_SELDOM: u64 = 3;
const KEYLESS_STREAM: u64 = 0x6e15;

/// The cluster by the last status of one that led.
#[derive(Clone, Debug)]
struct SeenCluster {
    at: Nanos,
    leader: Identity,
    /// The last change of the members, and what was committed.
    changed_at: Seq,
    commit_next: Seq,
    members: Vec<SeenMember>,
}

/// What the processes of replicas without a journal have seen.
#[derive(Clone, Default)]
pub(crate) struct Rejoiners {
    cluster: Option<SeenCluster>,
    /// By node.
    watches: BTreeMap<usize, RejoinWatch>,
    /// By node: when the host gets the keys of a replica.
    keys_at: BTreeMap<usize, Nanos>,
}

impl Rejoiners {
    /// A status arrives.
    pub(crate) fn note(&mut self, now: Nanos, header: &Header, body: &StatusBody, rows: StatusMembers<'_>) {
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
            changed_at: body.membership_seq,
            commit_next: header.commit_next,
            members: rows.iter().map(seen).collect(),
        });
    }

    /// The journal at this node is lost now: when its host has the keys of a replica.
    pub(crate) fn on_lost(&mut self, node: usize, now: Nanos, seed: u64, timeout_ns: Nanos) {
        let mut rng = Rng::new(seed ^ KEYLESS_STREAM ^ (node as u64) << 32);
        let waits = rng.below(KEYLESS_SELDOM) == 0;
        self.keys_at.insert(node, now + if waits { rng.log_uniform(timeout_ns, 32 * timeout_ns) } else { 0 });
    }

    /// Whether the replica at this node gives its journal up now.
    pub(crate) fn may_begin(
        &mut self,
        node: usize,
        now: Nanos,
        timeout_ns: Nanos,
    ) -> Result<bool, Violation> {
        let patience = DEAD_TIMEOUTS * timeout_ns;
        let replica = node as u32 + 1;
        let has_keys = self.keys_at.get(&node).is_some_and(|at| *at <= now);
        // An old answer tells nothing of now.
        let Some(cluster) = self.cluster.as_ref().filter(|seen| seen.at + patience >= now) else {
            self.watches.entry(node).or_default().look(now, None);
            return Ok(false);
        };
        let seen = RejoinEvidence {
            replica,
            is_proven: has_keys,
            leader: cluster.leader,
            members: &cluster.members,
            is_stable: cluster.commit_next > cluster.changed_at,
            patience,
        };
        if !matches!(self.watches.entry(node).or_default().look(now, Some(&seen)), Some(Ok(_))) {
            return Ok(false);
        }
        let claim = RejoinClaim {
            replica,
            has_keys,
            leader: cluster.leader,
            members: cluster.members.iter().map(|seen| (seen.identity, seen.silent)).collect(),
            changed_at: cluster.changed_at,
            commit_next: cluster.commit_next,
            death: patience,
        };
        claim.check().map(|()| true)
    }
}
