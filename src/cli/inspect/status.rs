//! `lockstep status`: how the cluster does, in its first line and its exit code; who leads and since when,
//! and where each replica stands. One look.

use crate::cli::shared::operator::{Look, age, code_of, suspicion};
use clap::Args;
use lockstep_client::internal::{ClusterStatus, Health, LogVersion, MemberStatus, NodeStatus, leader_of};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_io::clock::Utc;
use lockstep_operations::key_expiry::Expiry;
use lockstep_wire::LeaderLossReason;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Flags of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How long to look for a leader; a takeover lasts some milliseconds
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = config::duration)]
    pub timeout: Duration,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints how things stand, and exits with the code of the cluster's health.
pub fn run(args: &StatusArgs) -> Result<u8, Failure> {
    let mut look = Look::take(&args.cluster, args.timeout)?;
    let version = look.operator.nodes.log_version(&look.statuses);
    let Look { asked, expiry, health, .. } = &look;
    let mut out = std::io::stdout();
    if args.json {
        let until = expiry.map(|expiry| expiry.until);
        let status = ClusterStatus::new(health, asked, version, until, Utc::now());
        writeln!(out, "{}", json!(status))?;
    } else {
        as_text(&mut out, &look, version)?;
    }
    Ok(code_of(look.health.health))
}

fn as_text(out: &mut impl Write, look: &Look, version: LogVersion) -> std::io::Result<()> {
    let Look { operator, statuses, expiry, fingerprints, health, .. } = look;
    writeln!(out, "{health}\n")?;
    write_causes(out, health)?;
    let leader = leader_of(statuses);
    // Without a leader, who is listed is what the newest list says.
    let lists = leader
        .or_else(|| statuses.iter().flatten().max_by_key(|status| (status.accepted, status.membership_seq)));
    match leader {
        Some(leader) => {
            let since = leader.epoch_age.map_or_else(String::new, |time| format!(" for {}", age(time)));
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
    writeln!(out, "keys     {}{until}", generations(statuses, fingerprints))?;
    if let LogVersion { in_force: Some(in_force), releases_differ } = version {
        let more = if releases_differ {
            ", and nodes of different releases: `lockstep upgrade` shows them"
        } else {
            ""
        };
        writeln!(out, "version  {in_force}{more}")?;
    }
    let wide = "identity    role      accept_next  commit_next       lag  acknowledged       address";
    writeln!(out, "\n{wide}")?;
    for (address, status) in operator.nodes.addresses.iter().zip(statuses) {
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
    write_remarks(out, *expiry, statuses)
}

/// Writes all causes, where the first line has no room for them.
fn write_causes(out: &mut impl Write, health: &Health) -> std::io::Result<()> {
    let (line, causes) = (health.to_string(), health.causes());
    if causes.len() > 1 || causes.iter().any(|cause| !line.contains(&cause.to_string())) {
        for cause in causes {
            writeln!(out, "cause    {cause}")?;
        }
    }
    Ok(())
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

/// The generations of keys with which the replicas seal, with their fingerprints: while keys are rotated they
/// differ.
fn generations(statuses: &[Option<NodeStatus>], fingerprints: &BTreeMap<u8, String>) -> String {
    let mut rows: BTreeMap<Option<u8>, Vec<String>> = BTreeMap::new();
    for status in statuses.iter().flatten() {
        rows.entry(status.generation).or_default().push(status.identity.to_string());
    }
    let is_one = rows.len() == 1;
    let one = |(generation, of): (&Option<u8>, &Vec<String>)| {
        let print = generation.and_then(|number| fingerprints.get(&number));
        let print = print.map_or_else(String::new, |print| format!(", fingerprint {print}"));
        let generation = generation.map_or("none".to_owned(), |number| format!("generation {number}{print}"));
        if is_one { generation } else { format!("{generation} at {}", of.join(", ")) }
    };
    rows.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A member that the leader lists at this address.
fn listed_at(leader: Option<&NodeStatus>, address: SocketAddrV4) -> Option<&MemberStatus> {
    leader?.members.iter().find(|listed| listed.member.address() == Some(address))
}

/// The leaders that were missed, and had not said that they go.
fn suspicions(
    statuses: &[Option<NodeStatus>],
) -> impl Iterator<Item = (&NodeStatus, lockstep_client::internal::SuspectedLeader)> {
    let missed = statuses.iter().flatten().filter_map(|status| Some((status, status.suspected?)));
    missed.filter(|(_, suspected)| suspected.why != LeaderLossReason::StepDown)
}
