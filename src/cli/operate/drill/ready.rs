//! Whether a drill may begin, and whether all is well behind a fault and at its end.

use super::process::LocalProcess;
use crate::cli::shared::operator::{CommandClient, grouped, pause};
use lockstep_client::internal::{ClusterHealth, Health, NodeStatus, QueryResult, Reason, leader_of};
use lockstep_daemon::Failure;
use lockstep_daemon::config::{Config, Role};
use lockstep_daemon::failure::INTEGRITY;
use lockstep_node::JournalReader;
use lockstep_operations::goals::{members_of, of_members};
use lockstep_operations::health::lag_behind;
use lockstep_replica::journal::LogComparison;
use std::time::Duration;

/// A member that lacks more entries than this, at two looks, is slow.
const LAG_MAX: u64 = 1_000;
/// Between these looks; a watcher may take as long to be started again.
const LOOKS_APART: Duration = Duration::from_millis(500);

/// The local processes of the file's replicas, with their numbers.
fn local_processes(config: &Config) -> Vec<(u32, LocalProcess)> {
    let process = |replica: u32| Some((replica, LocalProcess::of_replica(config, replica)?));
    config.replicas.iter().filter_map(|replica| process(replica.id)).collect()
}

/// Why a drill may not begin, each in a sentence. None: it may. A condition of one look may pass by itself,
/// so that the second one decides.
pub fn obstacles(
    config: &Config,
    operator: &mut CommandClient,
    allows_no_watcher: bool,
) -> Result<Vec<String>, Failure> {
    let mut all = || -> Result<Vec<String>, Failure> {
        let statuses = operator.look_for_leader()?;
        let asked = of_members(operator.nodes.asked(&statuses), leader_of(&statuses));
        let members = members_of(config, leader_of(&statuses));
        let mut found = look(&members, &asked);
        found.extend(missing_watchers(&members, allows_no_watcher));
        Ok(found)
    };
    if all()?.is_empty() {
        return Ok(Vec::new());
    }
    pause(LOOKS_APART);
    all()
}

fn look(config: &Config, asked: &[QueryResult]) -> Vec<String> {
    let statuses: Vec<_> = asked.iter().map(|node| node.status.clone()).collect();
    let health = Health::judge(asked);
    let locals = local_processes(config);
    let mut found: Vec<String> =
        health.reasons.iter().map(|reason| with_process(reason, asked, &locals)).collect();
    if health.health >= ClusterHealth::NoLeader {
        found.insert(0, health.to_string());
    }
    if let Some(leader) = leader_of(&statuses) {
        let slow = statuses.iter().flatten().filter_map(|status| slow(leader, status));
        found.extend(slow);
        if health.may_crash() == 0 {
            let (available, quorum) = (health.there, health.quorum());
            found.push(format!(
                "no quorum to spare: {available} members hold the log, and {quorum} are needed"
            ));
        }
    }
    found
}

/// A reason, and how the process stands if it is a silent one of this host.
fn with_process(reason: &Reason, asked: &[QueryResult], locals: &[(u32, LocalProcess)]) -> String {
    let Reason::Silent { identity, number, address, .. } = reason else { return reason.to_string() };
    let in_file = asked.iter().find(|node| node.address == *address).and_then(|node| node.number);
    let replica = identity.map(|identity| identity.replica).or(*number).or(in_file);
    let process = locals.iter().find(|(id, _)| Some(*id) == replica).map(|(_, process)| process);
    match process {
        Some(process) if process.is_frozen() => {
            format!("{reason}: its process {} stands still (SIGSTOP): `kill -CONT` it", process.pid)
        }
        Some(process) => format!("{reason}, although its process {} runs: it is slow, or hangs", process.pid),
        None => format!("{reason}: it is down, or cut off"),
    }
}

fn slow(leader: &NodeStatus, status: &NodeStatus) -> Option<String> {
    let lag = lag_behind(leader, status);
    let counts = leader.lists(status.identity) && status.history == leader.history && lag > LAG_MAX;
    counts.then(|| format!("{} is slow: it lacks {} entries", status.identity, grouped(lag)))
}

/// The replicas without a watcher, as far as this host shows it.
fn missing_watchers(config: &Config, allowed: bool) -> Vec<String> {
    const COST: &str =
        "its death is seen by its silence alone, which takes longer; --no-watcher accepts that";
    if allowed {
        return Vec::new();
    }
    if !config.runtime.watcher {
        return vec![format!(
            "runtime.watcher is false: no replica has a watcher; {}",
            COST.replace("its", "a replica's")
        )];
    }
    let without =
        local_processes(config).into_iter().filter(|(_, process)| process.has_watcher() == Some(false));
    without
        .map(|(id, process)| format!("the watcher of replica {id} (process {}) is gone: {COST}", process.pid))
        .collect()
}

/// What holds at the end of a drill, in lines.
///
/// # Errors
/// The replicas are not of one mind, or a process stands still.
pub fn final_checks(config: &Config, operator: &mut CommandClient) -> Result<Vec<String>, Failure> {
    let statuses = operator.look_for_leader()?;
    let leader = leader_of(&statuses);
    let mut lines = Vec::new();
    if let Some(leader) = leader {
        let members: Vec<_> =
            statuses.iter().flatten().filter(|status| leader.lists(status.identity)).collect();
        let differ = members
            .iter()
            .find(|status| (status.history, status.accepted) != (leader.history, leader.accepted));
        if let Some(status) = differ {
            let what = format!(
                "replica {} holds history {:016x} in epoch {}, and the leader {:016x} in epoch {}",
                status.identity, status.history, status.accepted, leader.history, leader.accepted
            );
            return Err(Failure::new(INTEGRITY, what));
        }
        let all = format!(
            "{} members hold history {:016x} in epoch {}",
            members.len(),
            leader.history,
            leader.accepted
        );
        let least = members.iter().map(|status| status.commit_next).min().unwrap_or(leader.commit_next);
        lines.push(format!("{all}, all committed to seq {} at least", least.saturating_sub(1)));
    }
    let members = members_of(config, leader);
    lines.push(compare_journals(&members)?);
    let frozen: Vec<_> = local_processes(&members)
        .into_iter()
        .filter(|(_, process)| process.is_frozen())
        .map(|(id, process)| format!("replica {id} stands still (process {})", process.pid))
        .collect();
    if frozen.is_empty() {
        lines.push("no process of this host stands still, and every replica answers".to_owned());
    } else {
        return Err(Failure::new(INTEGRITY, frozen.join("; ")));
    }
    Ok(lines)
}

/// Compares the journals of this host, entry by entry and by their chains.
fn compare_journals(config: &Config) -> Result<String, Failure> {
    let full = config.replicas.iter().filter(|replica| replica.role != Role::Witness);
    let journals: Vec<_> =
        full.filter_map(|replica| Some((replica.id, JournalReader::open(&replica.journal).ok()?))).collect();
    let Some(((first, reader), others)) = journals.split_first().filter(|(_, others)| !others.is_empty())
    else {
        return Ok("one journal at most lies on this host: `lockstep journal diff` compares them elsewhere"
            .to_owned());
    };
    let log = reader.log()?;
    let mut lines = Vec::new();
    for (id, other) in others {
        let other_log = other.log()?;
        match reader.compare(other, [&log, &other_log])? {
            LogComparison::Equal { from, to_next } => {
                lines.push(format!("{first} and {id} are equal from seq {from} to {}", to_next - 1));
            }
            LogComparison::Apart => lines.push(format!("{first} and {id} have no seq in common")),
            LogComparison::Parts { seq, .. } => {
                let what = format!(
                    "the journals of replicas {first} and {id} part at seq {seq}: `lockstep journal diff` shows how"
                );
                return Err(Failure::new(INTEGRITY, what));
            }
        }
    }
    Ok(format!("journals of replicas, with their chains: {}", lines.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_operations::samples::{answer, cluster, identity};

    #[test]
    fn a_member_that_lacks_many_entries_is_slow_and_one_that_lacks_some_is_not() {
        let mut asked = cluster(3, &[]);
        answer(&mut asked, 1).accept_next = 5_050;
        answer(&mut asked, 2).accept_next = 4_050;
        let leader = answer(&mut asked, 1).clone();
        assert_eq!(slow(&leader, answer(&mut asked, 2)), None);
        let expected = format!("{} is slow: it lacks 5,000 entries", identity(3));
        assert_eq!(slow(&leader, answer(&mut asked, 3)), Some(expected));
        answer(&mut asked, 3).history += 1;
        assert_eq!(slow(&leader, answer(&mut asked, 3)), None, "another history is another reason");
    }
}
