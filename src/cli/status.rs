//! `lockstep status`: who leads and since when, and where each replica stands. One look.

use super::Failure;
use super::args::OperatorArgs;
use super::failure::NOT_READY;
use super::membership::{address_of, member_json, role_name, tolerates};
use super::operator::{Operator, age};
use crate::client::{Amiss, MemberStatus, NodeStatus, leader_of};
use crate::wire::Suspicion;
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddrV4;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.status/2";

/// Prints how things stand. Exits 4 if no replica answers, or nobody leads.
pub fn run(args: &OperatorArgs) -> Result<u8, Failure> {
    let mut operator = Operator::open(&args.cluster, args.timeout)?;
    // Whoever leads answers at the first look, unless it is just being replaced.
    let found = operator.wait("no leader was found", |_, statuses| {
        Ok(leader_of(statuses).is_some().then(|| statuses.to_vec()))
    });
    let (statuses, failure) = match found {
        Ok(statuses) => (statuses, None),
        Err(failure) if failure.code() == NOT_READY => (operator.look(), Some(failure)),
        Err(failure) => return Err(failure),
    };
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", as_json(&operator.addresses, &statuses))?,
        false => as_text(&mut out, &operator.addresses, &statuses)?,
    }
    failure.map_or(Ok(0), Err)
}

fn as_text(
    out: &mut impl Write,
    addresses: &[SocketAddrV4],
    statuses: &[Option<NodeStatus>],
) -> std::io::Result<()> {
    let leader = leader_of(statuses);
    match leader {
        Some(leader) => {
            let since = leads_for(leader).map_or_else(String::new, |time| format!(" for {}", age(time)));
            writeln!(out, "leader   {}  epoch {}{since}", leader.identity, leader.accepted)?;
            let (count, history) = (leader.members.len(), leader.history);
            let open = if leader.is_settled() { "" } else { ", the last change is not committed yet" };
            let may_crash = tolerates(count);
            writeln!(out, "history  {history:016x}")?;
            writeln!(out, "members  {count}, of which {may_crash} may crash{open}")?;
        }
        None => writeln!(out, "leader   none")?,
    }
    let wide = "identity    role      accept_next  commit_next       lag  acknowledged       address";
    writeln!(out, "\n{wide}")?;
    for (address, status) in addresses.iter().zip(statuses) {
        let Some(status) = status else {
            let who = listed_at(leader, *address)
                .map_or_else(|| "?".to_owned(), |listed| listed.member.identity().to_string());
            writeln!(out, "{who:<11} does not answer at {address}")?;
            continue;
        };
        let behind = leader.map_or(0, |leader| leader.accept_next.saturating_sub(status.accept_next));
        let seen = leader.and_then(|leader| {
            leader.members.iter().find(|listed| listed.member.identity() == status.identity)
        });
        let acknowledged = match seen {
            Some(listed) => {
                listed.heard_ago.map_or_else(|| "never".to_owned(), |ago| format!("{} ago", age(ago)))
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
    for status in statuses.iter().flatten() {
        for amiss in &status.conditions {
            writeln!(out, "\n{} for {}: {amiss} ({})", status.identity, age(amiss.age), amiss.code())?;
        }
    }
    for (status, suspected) in suspicions(statuses) {
        let (whom, why, ago) = (suspected.identity, suspicion(suspected.why), age(suspected.ago));
        writeln!(out, "\n{} missed the leader {whom} {ago} ago: {why}", status.identity)?;
    }
    Ok(())
}

/// A member that the leader lists at this address.
fn listed_at(leader: Option<&NodeStatus>, address: SocketAddrV4) -> Option<&MemberStatus> {
    leader?.members.iter().find(|listed| listed.member.address() == Some(address))
}

fn suspicions(
    statuses: &[Option<NodeStatus>],
) -> impl Iterator<Item = (&NodeStatus, crate::client::Suspected)> {
    statuses.iter().flatten().filter_map(|status| Some((status, status.suspected?)))
}

/// How long the leader's epoch lasts, by our clock and the leader's.
fn leads_for(leader: &NodeStatus) -> Option<Duration> {
    #[allow(clippy::disallowed_methods)] // only shown
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let since = Duration::from_nanos(leader.epoch_since);
    (!since.is_zero()).then(|| now.saturating_sub(since))
}

fn suspicion(why: Suspicion) -> &'static str {
    match why {
        Suspicion::None => "none",
        Suspicion::Down => "its watcher announced its death",
        Suspicion::StepDown => "it stepped down",
        Suspicion::Silence => "it was silent",
        Suspicion::Deaf => "it was heard, and made no progress",
        Suspicion::Refused => "a member had promised a higher epoch",
    }
}

fn suspicion_word(why: Suspicion) -> &'static str {
    match why {
        Suspicion::None => "none",
        Suspicion::Down => "down",
        Suspicion::StepDown => "step_down",
        Suspicion::Silence => "silence",
        Suspicion::Deaf => "deaf",
        Suspicion::Refused => "refused",
    }
}

fn as_json(addresses: &[SocketAddrV4], statuses: &[Option<NodeStatus>]) -> Value {
    let leader = leader_of(statuses);
    let replicas: Vec<_> = addresses
        .iter()
        .zip(statuses)
        .map(|(address, status)| match status {
            Some(status) => replica_json(leader, *address, status),
            None => json!({ "address": address.to_string(), "answers": false }),
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "leader": leader.map(|leader| leader.identity.to_string()),
        "epoch": leader.map(|leader| leader.accepted.to_string()),
        "epoch_since_ns": leader.map(|leader| leader.epoch_since),
        "history": leader.map(|leader| format!("{:016x}", leader.history)),
        "membership_seq": leader.map(|leader| leader.membership_seq),
        "membership_committed": leader.map(NodeStatus::is_settled),
        "members": leader.map(|leader| {
            leader.members.iter().map(|listed| member_json(&listed.member)).collect::<Vec<_>>()
        }),
        "may_crash": leader.map(|leader| tolerates(leader.members.len())),
        "replicas": replicas,
    })
}

fn amiss_json(amiss: &Amiss) -> Value {
    json!({
        "name": amiss.condition.name(),
        "code": amiss.code(),
        "age_s": amiss.age.as_secs(),
        "what": amiss.what(),
        "advice": amiss.advice(),
        "a": amiss.a,
        "b": amiss.b,
    })
}

fn replica_json(leader: Option<&NodeStatus>, address: SocketAddrV4, status: &NodeStatus) -> Value {
    let seen = leader
        .and_then(|leader| leader.members.iter().find(|listed| listed.member.identity() == status.identity));
    let suspected = status.suspected.map(|suspected| {
        json!({
            "identity": suspected.identity.to_string(),
            "why": suspicion_word(suspected.why),
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
        "acked_ago_ns": seen.and_then(|listed| listed.heard_ago).map(|ago| ago.as_nanos() as u64),
        "conditions": status.conditions.iter().map(amiss_json).collect::<Vec<_>>(),
        "suspected": suspected,
    })
}
