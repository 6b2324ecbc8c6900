//! `lockstep status`: how the cluster does, in its first line and its exit code; who leads and since when,
//! and where each replica stands. One look.

use super::Failure;
use super::args::StatusArgs;
use super::expiry::Expiry;
use super::failure::{DEGRADED, NOT_READY};
use super::membership::{address_of, member_json, role_name};
use super::operator::{CommandClient, age};
use lockstep_client::internal::{
    ActiveCondition, ClusterHealth, Health, MemberStatus, NodeRelease, NodeStatus, QueryResult, Reason,
    leader_of,
};
use lockstep_io::clock::Utc;
use lockstep_wire::LeaderLossReason;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddrV4;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.status/2";

/// How long nodes that have answered may take to tell their release: an older one does not tell it.
const RELEASE_WAIT: Duration = Duration::from_millis(200);

/// Prints how things stand, and exits with the code of the cluster's health.
pub fn run(args: &StatusArgs) -> Result<u8, Failure> {
    let mut operator = CommandClient::open(&args.cluster, args.timeout)?;
    let statuses = operator.look_for_leader()?;
    let asked = operator.asked(&statuses);
    let health = Health::judge(&asked);
    let expiry = Expiry::of(&args.cluster)?;
    let version = LogVersion::ask(&mut operator, &statuses);
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", as_json(&health, (expiry, &version), &asked, &statuses))?,
        false => as_text(&mut out, &health, (expiry, &version), &operator.addresses, &statuses)?,
    }
    Ok(match health.health {
        ClusterHealth::Healthy if expiry.is_some_and(|expiry| expiry.is_over()) => DEGRADED,
        ClusterHealth::Healthy => 0,
        ClusterHealth::Degraded => DEGRADED,
        ClusterHealth::NoLeader | ClusterHealth::NoQuorum | ClusterHealth::NoHistory => NOT_READY,
    })
}

/// The version of the log, as its leader tells it, or else the node that answers.
struct LogVersion {
    in_force: Option<u8>,
    /// Whether the nodes that answer are of different releases: then an upgrade is under way.
    differ: bool,
}

impl LogVersion {
    /// Asks the nodes that have told their status.
    fn ask(operator: &mut CommandClient, statuses: &[Option<NodeStatus>]) -> Self {
        let leader = leader_of(statuses).map(|leader| leader.address);
        let here: Vec<_> = statuses.iter().flatten().map(|status| status.address).collect();
        let releases = operator.questioner.releases(&here, RELEASE_WAIT);
        let of_leader = here.iter().position(|address| Some(*address) == leader);
        let first = releases.iter().flatten().next();
        let answer = of_leader.and_then(|place| releases[place].as_ref()).or(first);
        let name = |release: &Option<NodeRelease>| release.as_ref().map(|known| known.release.clone());
        let differ = releases.windows(2).any(|pair| name(&pair[0]) != name(&pair[1]));
        Self { in_force: answer.and_then(|answer| answer.in_force), differ }
    }
}

fn as_text(
    out: &mut impl Write,
    health: &Health,
    (expiry, version): (Option<Expiry>, &LogVersion),
    addresses: &[SocketAddrV4],
    statuses: &[Option<NodeStatus>],
) -> std::io::Result<()> {
    writeln!(out, "{health}\n")?;
    let leader = leader_of(statuses);
    // Without a leader, who is listed is what the newest list says.
    let lists = leader
        .or_else(|| statuses.iter().flatten().max_by_key(|status| (status.accepted, status.membership_seq)));
    match leader {
        Some(leader) => {
            let since = leads_for(leader).map_or_else(String::new, |time| format!(" for {}", age(time)));
            writeln!(out, "leader   {}  epoch {}{since}", leader.identity, leader.accepted)?;
            let (history, Health { listed, there, .. }) = (leader.history, health);
            writeln!(out, "history  {history:016x}")?;
            let (quorum, may_crash) = (health.quorum(), health.may_crash());
            writeln!(
                out,
                "members  {listed}, {there} available, {quorum} are a quorum, {may_crash} may crash"
            )?;
        }
        None => writeln!(out, "leader   none")?,
    }
    let until = expiry.map_or_else(String::new, |expiry| format!(", until {}", expiry.until.date()));
    writeln!(out, "keys     {}{until}", generations(statuses))?;
    if let LogVersion { in_force: Some(in_force), differ } = version {
        let more =
            if *differ { ", and nodes of different releases: `lockstep upgrade` shows them" } else { "" };
        writeln!(out, "version  {in_force}{more}")?;
    }
    let wide = "identity    role      accept_next  commit_next       lag  acknowledged       address";
    writeln!(out, "\n{wide}")?;
    for (address, status) in addresses.iter().zip(statuses) {
        let Some(status) = status else {
            let who = listed_at(lists, *address)
                .map_or_else(|| "?".to_owned(), |listed| listed.member.identity().to_string());
            writeln!(out, "{who:<11} does not answer at {address}")?;
            continue;
        };
        let behind = leader.map_or(0, |leader| leader.accept_next.saturating_sub(status.accept_next));
        let seen = lists.and_then(|lists| {
            lists.members.iter().find(|listed| listed.member.identity() == status.identity)
        });
        let acknowledged = match seen {
            Some(listed) => {
                listed.last_contact.map_or_else(|| "never".to_owned(), |ago| format!("{} ago", age(ago)))
            }
            None => "no member".to_owned(),
        };
        let role = match seen {
            Some(listed) if listed.member.is_witness() => "witness",
            _ => status.role.name(),
        };
        writeln!(
            out,
            "{:<11} {role:<8} {:>12} {:>12} {behind:>9}  {acknowledged:<17}  {address}",
            status.identity.to_string(),
            status.accept_next,
            status.commit_next
        )?;
    }
    write_remarks(out, expiry, statuses)
}

/// Writes remarks: conditions of replicas, keys that are to be replaced, leaders that were missed.
fn write_remarks(
    out: &mut impl Write,
    expiry: Option<Expiry>,
    statuses: &[Option<NodeStatus>],
) -> std::io::Result<()> {
    for status in statuses.iter().flatten() {
        for active in &status.conditions {
            writeln!(out, "\n{} for {}: {active} ({})", status.identity, age(active.age), active.code())?;
        }
    }
    if let Some(expiry) = expiry.filter(Expiry::is_near) {
        writeln!(out, "\n{expiry}")?;
    }
    for (status, suspected) in suspicions(statuses) {
        let (whom, why, ago) = (suspected.identity, suspicion(suspected.why), age(suspected.ago));
        writeln!(out, "\n{} missed the leader {whom} {ago} ago: {why}", status.identity)?;
    }
    Ok(())
}

/// The generations of keys with which the replicas seal: while keys are rotated they differ.
fn generations(statuses: &[Option<NodeStatus>]) -> String {
    let mut rows: BTreeMap<Option<u8>, Vec<String>> = BTreeMap::new();
    for status in statuses.iter().flatten() {
        rows.entry(status.generation).or_default().push(status.identity.to_string());
    }
    let is_one = rows.len() == 1;
    let one = |(generation, of): (&Option<u8>, &Vec<String>)| {
        let generation = generation.map_or("none".to_owned(), |number| format!("generation {number}"));
        if is_one { generation } else { format!("{generation} at {}", of.join(", ")) }
    };
    rows.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A member that the leader lists at this address.
fn listed_at(leader: Option<&NodeStatus>, address: SocketAddrV4) -> Option<&MemberStatus> {
    leader?.members.iter().find(|listed| listed.member.address() == Some(address))
}

fn suspicions(
    statuses: &[Option<NodeStatus>],
) -> impl Iterator<Item = (&NodeStatus, lockstep_client::internal::SuspectedLeader)> {
    statuses.iter().flatten().filter_map(|status| Some((status, status.suspected?)))
}

/// How long the leader's epoch lasts, by our clock and the leader's.
pub fn leads_for(leader: &NodeStatus) -> Option<Duration> {
    let now = Duration::from_nanos(Utc::now().0);
    let since = Duration::from_nanos(leader.epoch_since);
    (!since.is_zero()).then(|| now.saturating_sub(since))
}

/// Why a leader was missed, in words.
pub fn suspicion(why: LeaderLossReason) -> &'static str {
    match why {
        LeaderLossReason::Down => "its watcher announced its death",
        LeaderLossReason::StepDown => "it stepped down",
        LeaderLossReason::Silence => "it was silent",
        LeaderLossReason::NoProgress => "it made no progress",
        LeaderLossReason::Refused => "a member had promised a higher epoch",
    }
}

fn suspicion_name(why: LeaderLossReason) -> &'static str {
    match why {
        LeaderLossReason::Down => "down",
        LeaderLossReason::StepDown => "step_down",
        LeaderLossReason::Silence => "silence",
        LeaderLossReason::NoProgress => "no_progress",
        LeaderLossReason::Refused => "refused",
    }
}

fn as_json(
    health: &Health,
    (expiry, version): (Option<Expiry>, &LogVersion),
    asked: &[QueryResult],
    statuses: &[Option<NodeStatus>],
) -> Value {
    let leader = leader_of(statuses);
    let replicas: Vec<_> = asked
        .iter()
        .map(|node| match &node.status {
            Some(status) => replica_json(leader, node.address, status),
            None => {
                let listed = listed_at(leader, node.address).map(|listed| &listed.member);
                json!({
                    "address": node.address.to_string(),
                    "answers": false,
                    "number": node.number,
                    "identity": listed.map(|member| member.identity().to_string()),
                    "member": listed.map(role_name),
                })
            }
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "health": health.health.name(),
        "summary": health.to_string(),
        "reasons": health.reasons.iter().map(Reason::to_string).collect::<Vec<_>>(),
        "keys_until": expiry.map(|expiry| expiry.until.date()),
        "keys_days_left": expiry.map(|expiry| expiry.days_left),
        "version": version.in_force,
        "releases_differ": version.differ,
        "members_listed": health.listed,
        "members_available": health.there,
        "quorum": health.quorum(),
        "may_crash": health.may_crash(),
        "leader": leader.map(|leader| leader.identity.to_string()),
        "epoch": leader.map(|leader| leader.accepted.to_string()),
        "epoch_since_ns": leader.map(|leader| leader.epoch_since),
        "history": leader.map(|leader| format!("{:016x}", leader.history)),
        "membership_seq": leader.map(|leader| leader.membership_seq),
        "membership_committed": leader.map(NodeStatus::is_stable),
        "members": leader.map(|leader| {
            leader.members.iter().map(|listed| member_json(&listed.member)).collect::<Vec<_>>()
        }),
        "replicas": replicas,
    })
}

fn conditions_json(active: &ActiveCondition) -> Value {
    json!({
        "name": active.condition.name(),
        "code": active.code(),
        "age_s": active.age.as_secs(),
        "what": active.what(),
        "advice": active.advice(),
        "a": active.a,
        "b": active.b,
    })
}

fn replica_json(leader: Option<&NodeStatus>, address: SocketAddrV4, status: &NodeStatus) -> Value {
    let seen = leader
        .and_then(|leader| leader.members.iter().find(|listed| listed.member.identity() == status.identity));
    let suspected = status.suspected.map(|suspected| {
        json!({
            "identity": suspected.identity.to_string(),
            "why": suspicion_name(suspected.why),
            "ago_ns": suspected.ago.as_nanos() as u64,
        })
    });
    json!({
        "address": address.to_string(),
        "answers": true,
        "identity": status.identity.to_string(),
        "role": status.role.name(),
        "member": seen.map(|listed| role_name(&listed.member)),
        "member_address": seen.map(|listed| address_of(&listed.member)),
        "accepted": status.accepted.to_string(),
        "promised": status.promised.to_string(),
        "accept_next": status.accept_next,
        "commit_next": status.commit_next,
        "lag": leader.map(|leader| leader.accept_next.saturating_sub(status.accept_next)),
        "acked_next": seen.map(|listed| listed.acked_next),
        "acked_ago_ns": seen.and_then(|listed| listed.last_contact).map(|ago| ago.as_nanos() as u64),
        "generation": status.generation,
        "conditions": status.conditions.iter().map(conditions_json).collect::<Vec<_>>(),
        "suspected": suspected,
    })
}
