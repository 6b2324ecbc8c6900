//! The status of a cluster as one value: `lockstep status --json` prints it, and `status` of the Python
//! package returns it. The names of the fields are those of the printed object.

use super::cluster_nodes::LogVersion;
use super::conditions::ActiveCondition;
use super::health::{Health, QueryResult, Reason};
use super::status::{MemberStatus, NodeStatus, SuspectedLeader, leader_of};
use lockstep_io::clock::Utc;
use lockstep_wire::{MemberBody, Nanos, Seq};
use serde::Serialize;
use std::time::Duration;

/// The version of the fields.
const SCHEMA: &str = "lockstep.status/2";

/// The health of the cluster and the reasons for it, its leader, its members, and each queried node. Values
/// that only the leader knows are `None` without one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClusterStatus {
    /// The version of the fields.
    pub schema: &'static str,
    /// The health in one word.
    pub health: &'static str,
    /// The health in one line.
    pub summary: String,
    /// What keeps the cluster from being healthy.
    pub reasons: Vec<String>,
    /// The day by which the sealing keys should be replaced, such as `2026-11-21`.
    pub keys_until: Option<String>,
    /// Days until then; negative once it is over.
    pub keys_days_left: Option<i64>,
    /// The version of the log.
    pub version: Option<u8>,
    /// Whether the nodes that answer are of different releases.
    pub releases_differ: bool,
    /// Members that are listed.
    pub members_listed: usize,
    /// The number of those that answer and store the log.
    pub members_available: usize,
    /// The number of listed members that commit.
    pub quorum: usize,
    /// The number of available members that may crash while the rest continues to commit.
    pub may_crash: usize,
    /// The leader's identity.
    pub leader: Option<String>,
    /// The leader's epoch.
    pub epoch: Option<String>,
    /// When the start of that epoch was stamped, in nanoseconds since the Unix epoch.
    pub epoch_since_ns: Option<Nanos>,
    /// The leader's history, in hexadecimal digits.
    pub history: Option<String>,
    /// The seq of the entry that set the members.
    pub membership_seq: Option<Seq>,
    /// Whether that entry is committed.
    pub membership_committed: Option<bool>,
    /// The members.
    pub members: Option<Vec<ListedMember>>,
    /// The queried nodes.
    pub replicas: Vec<AskedNode>,
}

/// A member of the membership.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListedMember {
    /// Replica and incarnation.
    pub identity: String,
    /// `full` or `witness`.
    pub role: &'static str,
    /// Its address, or a text that it has none.
    pub address: String,
}

/// A queried node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum AskedNode {
    /// A node that has answered.
    Answering(Box<AnsweringNode>),
    /// A node that has not answered.
    Silent(SilentNode),
}

/// A node that has answered, and what the leader knows about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AnsweringNode {
    /// The queried address.
    pub address: String,
    /// Always true.
    pub answers: bool,
    /// Replica and incarnation.
    pub identity: String,
    /// Its present role.
    pub role: &'static str,
    /// Its role in the membership; `None` if it is no member.
    pub member: Option<&'static str>,
    /// Its address in the membership.
    pub member_address: Option<String>,
    /// The epoch of its log.
    pub accepted: String,
    /// The promise to refuse epochs below this one.
    pub promised: String,
    /// The end of its log.
    pub accept_next: Seq,
    /// How far it knows the log to be committed.
    pub commit_next: Seq,
    /// Entries of the leader's log that it lacks.
    pub lag: Option<Seq>,
    /// The greatest bound that the leader knows it to have acknowledged.
    pub acked_next: Option<Seq>,
    /// Nanoseconds since the leader last received from it.
    pub acked_ago_ns: Option<Nanos>,
    /// The generation of keys with which it seals.
    pub generation: Option<u8>,
    /// Conditions that hold at it, the gravest first.
    pub conditions: Vec<ReportedCondition>,
    /// The leader that it suspected last.
    pub suspected: Option<ReportedSuspicion>,
}

/// A node that has not answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SilentNode {
    /// The queried address.
    pub address: String,
    /// Always false.
    pub answers: bool,
    /// The number under which the file has it.
    pub number: Option<u32>,
    /// The member that is listed at the address.
    pub identity: Option<String>,
    /// The role of that member.
    pub member: Option<&'static str>,
}

/// A condition that holds at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReportedCondition {
    /// Its name.
    pub name: &'static str,
    /// Its code in the log.
    pub code: String,
    /// The number of seconds for which it has held.
    pub age_s: u64,
    /// The condition in words.
    pub what: String,
    /// The remedy.
    pub advice: &'static str,
    /// The first number of its text.
    pub a: u64,
    /// The second number of its text.
    pub b: u64,
}

/// A suspicion of a leader.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReportedSuspicion {
    /// The suspected leader.
    pub identity: String,
    /// The reason in one word.
    pub why: String,
    /// The age of the suspicion in nanoseconds.
    pub ago_ns: Nanos,
}

impl ClusterStatus {
    /// The status at the wall time `wall`: the answers of the queried nodes, judged as `health`; the version
    /// of their log; and the day by which the keys should be replaced, if there is one.
    pub fn new(
        health: &Health,
        asked: &[QueryResult],
        version: LogVersion,
        keys_until: Option<Utc>,
        wall: Utc,
    ) -> Self {
        let statuses: Vec<_> = asked.iter().map(|node| node.status.clone()).collect();
        let leader = leader_of(&statuses);
        let members = |leader: &NodeStatus| {
            leader.members.iter().map(|listed| ListedMember::new(&listed.member)).collect()
        };
        Self {
            schema: SCHEMA,
            health: health.health.name(),
            summary: health.to_string(),
            reasons: health.reasons.iter().map(Reason::to_string).collect(),
            keys_until: keys_until.map(Utc::date),
            keys_days_left: keys_until.map(|until| wall.days_until(until)),
            version: version.in_force,
            releases_differ: version.releases_differ,
            members_listed: health.listed,
            members_available: health.there,
            quorum: health.quorum(),
            may_crash: health.may_crash(),
            leader: leader.map(|leader| leader.identity.to_string()),
            epoch: leader.map(|leader| leader.accepted.to_string()),
            epoch_since_ns: leader.map(|leader| leader.epoch_since),
            history: leader.map(|leader| format!("{:016x}", leader.history)),
            membership_seq: leader.map(|leader| leader.membership_seq),
            membership_committed: leader.map(NodeStatus::is_stable),
            members: leader.map(members),
            replicas: asked.iter().map(|node| AskedNode::new(leader, node)).collect(),
        }
    }
}

impl ListedMember {
    /// The member in words.
    pub fn new(member: &MemberBody) -> Self {
        let address = member.address().map(|address| address.to_string());
        Self {
            identity: member.identity().to_string(),
            role: role_name(member),
            address: address.unwrap_or_else(|| "no IPv4 address".to_owned()),
        }
    }
}

/// The role of a member in a word.
fn role_name(member: &MemberBody) -> &'static str {
    if member.is_witness() { "witness" } else { "full" }
}

impl AskedNode {
    fn new(leader: Option<&NodeStatus>, node: &QueryResult) -> Self {
        let members = leader.map_or(&[][..], |leader| &leader.members);
        let find = |is_it: &dyn Fn(&MemberBody) -> bool| members.iter().find(|listed| is_it(&listed.member));
        let address = node.address.to_string();
        match &node.status {
            Some(status) => {
                let listed = find(&|member| member.identity() == status.identity);
                Self::Answering(Box::new(AnsweringNode::new(address, leader, listed, status)))
            }
            None => {
                let listed = find(&|member| member.address() == Some(node.address));
                Self::Silent(SilentNode {
                    address,
                    answers: false,
                    number: node.number,
                    identity: listed.map(|listed| listed.member.identity().to_string()),
                    member: listed.map(|listed| role_name(&listed.member)),
                })
            }
        }
    }
}

impl AnsweringNode {
    fn new(
        address: String,
        leader: Option<&NodeStatus>,
        listed: Option<&MemberStatus>,
        status: &NodeStatus,
    ) -> Self {
        let in_membership = listed.map(|listed| ListedMember::new(&listed.member));
        let nanos = |time: Duration| time.as_nanos() as Nanos;
        Self {
            address,
            answers: true,
            identity: status.identity.to_string(),
            role: status.role.name(),
            member: in_membership.as_ref().map(|member| member.role),
            member_address: in_membership.map(|member| member.address),
            accepted: status.accepted.to_string(),
            promised: status.promised.to_string(),
            accept_next: status.accept_next,
            commit_next: status.commit_next,
            lag: leader.map(|leader| leader.accept_next.saturating_sub(status.accept_next)),
            acked_next: listed.map(|listed| listed.acked_next),
            acked_ago_ns: listed.and_then(|listed| listed.last_contact).map(nanos),
            generation: status.generation,
            conditions: status.conditions.iter().map(ReportedCondition::new).collect(),
            suspected: status.suspected.as_ref().map(ReportedSuspicion::new),
        }
    }
}

impl ReportedCondition {
    fn new(active: &ActiveCondition) -> Self {
        Self {
            name: active.condition.name(),
            code: active.code(),
            age_s: active.age.as_secs(),
            what: active.what(),
            advice: active.advice(),
            a: active.a,
            b: active.b,
        }
    }
}

impl ReportedSuspicion {
    fn new(suspected: &SuspectedLeader) -> Self {
        Self {
            identity: suspected.identity.to_string(),
            why: suspected.why.name().replace(' ', "_"),
            ago_ns: suspected.ago.as_nanos() as Nanos,
        }
    }
}
