//! The status of the cluster, as one node reports it.

use super::conditions::ActiveCondition;
use lockstep_core::engine::event::Role;
use lockstep_core::proto::commit::Durability;
use lockstep_wire::{
    AGE_NEVER, AgreedRow, CommandReject, Condition, ConditionRow, Datagram, Epoch, Identity,
    LeaderLossReason, MemberBody, Nanos, Seq, StatusMember, WayRow,
};
use std::net::SocketAddrV4;
use std::time::Duration;

/// A node's answer about itself and the members that it sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// The address from which it answered.
    pub address: SocketAddrV4,
    /// Its identity.
    pub identity: Identity,
    /// The history of its log; 0 if it is blank.
    pub history: u64,
    /// Its role.
    pub role: Role,
    /// The leader that it follows, or itself if it leads.
    pub leader: Option<Identity>,
    /// The epoch of its log.
    pub accepted: Epoch,
    /// When the start of the epoch that it follows was stamped, nanoseconds since the Unix epoch; 0: unknown.
    pub epoch_since: Nanos,
    /// How long ago that was, by the answering node's clock; `None`: unknown, or the stream's time is ahead
    /// of that clock.
    pub epoch_age: Option<Duration>,
    /// The promise to refuse epochs below this one.
    pub promised: Epoch,
    /// The end of its log.
    pub accept_next: Seq,
    /// How far it knows the log to be committed.
    pub commit_next: Seq,
    /// Seq of the entry that set the members at its log's end.
    pub membership_seq: Seq,
    /// The generation of keys with which it seals; `None` without keys.
    pub generation: Option<u8>,
    /// Those members.
    pub members: Vec<MemberStatus>,
    /// The failures that an ack of the followed epoch survives.
    pub durability: Durability,
    /// Conditions that hold at it, the gravest first; at most
    /// [`STATUS_CONDITIONS_MAX`](lockstep_wire::STATUS_CONDITIONS_MAX).
    pub conditions: Vec<ActiveCondition>,
    /// The keys that all files must have alike, as its process has them; `None` if its release does not
    /// report them.
    pub agreed: Option<Vec<AgreedRow>>,
    /// What it receives from each of the others; empty if its release does not ask them.
    pub ways: Vec<WayRow>,
    /// The leader that it suspected last.
    pub suspected: Option<SuspectedLeader>,
    /// The last change of the membership that it refused as the leader.
    pub denied: Option<RejectedCommand>,
}

/// A member, as a node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberStatus {
    /// Identity, address and role.
    pub member: MemberBody,
    /// The greatest bound that it acknowledged in this epoch; 0 if no ack arrived.
    pub acked_next: Seq,
    /// Time since its last datagram; only the leader reports it.
    pub last_contact: Option<Duration>,
}

/// A suspicion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SuspectedLeader {
    /// The suspected leader.
    pub identity: Identity,
    /// The reason.
    pub why: LeaderLossReason,
    /// Its age.
    pub ago: Duration,
}

/// A change that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RejectedCommand {
    /// The node that the command concerned.
    pub identity: Identity,
    /// The reason.
    pub why: CommandReject,
    /// Its age.
    pub ago: Duration,
}

fn epoch_age(now: Nanos, since: Nanos) -> Option<Duration> {
    (since > 0).then(|| now.checked_sub(since)).flatten().map(Duration::from_nanos)
}

impl NodeStatus {
    pub(super) fn read(datagram: &Datagram<'_>, from: SocketAddrV4) -> Option<(u64, Self)> {
        let Datagram::Status(header, body, members, active, parts) = datagram else { return None };
        let identity = |packed| (packed != 0).then(|| Identity::from_packed(packed));
        let member = |row: StatusMember| MemberStatus {
            member: row.member,
            acked_next: row.acked_next,
            last_contact: ago(row.acked_age_ns),
        };
        let suspected = || {
            let why = LeaderLossReason::from_u8(body.suspicion)?;
            Some(SuspectedLeader {
                identity: identity(body.suspected)?,
                why,
                ago: ago(body.suspected_age_ns)?,
            })
        };
        let denied = || {
            let why = CommandReject::from_u32(body.denied)?;
            Some(RejectedCommand {
                identity: identity(body.rejected_member)?,
                why,
                ago: ago(body.rejected_age_ns)?,
            })
        };
        let status = Self {
            address: from,
            identity: header.identity(),
            history: header.history,
            role: Role::from_u32(u32::from(body.role))?,
            leader: identity(body.leader),
            accepted: header.epoch(),
            epoch_since: body.epoch_since,
            epoch_age: epoch_age(header.timestamp, body.epoch_since),
            promised: Epoch(body.promised),
            accept_next: header.first_seq,
            commit_next: header.commit_next,
            membership_seq: body.membership_seq,
            members: members.iter().map(member).collect(),
            generation: header.key_generation(),
            durability: if body.durability == 0 { Durability::Process } else { Durability::Power },
            conditions: conditions(active.iter().chain(parts.conditions())),
            agreed: parts.agreed().map(Iterator::collect),
            ways: parts.ways().into_iter().flatten().collect(),
            suspected: suspected(),
            denied: denied(),
        };
        Some((body.token, status))
    }

    /// The condition as the node reported it, if it holds there.
    pub fn conditions(&self, condition: Condition) -> Option<&ActiveCondition> {
        self.conditions.iter().find(|active| active.condition == condition)
    }

    /// The listed member with this replica number.
    pub fn member(&self, replica: u32) -> Option<&MemberStatus> {
        self.members.iter().find(|listed| listed.member.replica == replica)
    }

    /// Whether `identity` is listed.
    pub fn lists(&self, identity: Identity) -> bool {
        self.members.iter().any(|listed| listed.member.identity() == identity)
    }

    /// Whether its log has everything that `leader` reports as committed, in the same history.
    pub fn holds_what_is_committed(&self, leader: &Self) -> bool {
        self.history == leader.history && self.accept_next >= leader.commit_next
    }

    /// Whether the list is final: the entry that set it is committed.
    pub fn is_stable(&self) -> bool {
        self.commit_next > self.membership_seq
    }
}

/// The conditions that this release knows, the gravest first.
fn conditions(rows: impl Iterator<Item = ConditionRow>) -> Vec<ActiveCondition> {
    let mut conditions: Vec<_> = rows.filter_map(ActiveCondition::read).collect();
    conditions.sort_by_key(|active| active.condition.index());
    conditions
}

fn ago(age_ns: Nanos) -> Option<Duration> {
    (age_ns != AGE_NEVER).then(|| Duration::from_nanos(age_ns))
}

/// Of several nodes' reports, that of the node that leads in the highest epoch.
pub fn leader_of(statuses: &[Option<NodeStatus>]) -> Option<&NodeStatus> {
    let leads = |status: &&NodeStatus| status.role == Role::Leader;
    statuses.iter().flatten().filter(leads).max_by_key(|status| status.accepted)
}
