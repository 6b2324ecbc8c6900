//! Which versions the nodes speak, and the end of an upgrade that was made node by node.
//!
//! ```text
//!   all nodes of the old release ─▶ one after another of the new one ─▶ `upgrade --finish`: the log rises
//!   log of version n−1 ............................................... │ log of version n
//!   any node may go back to the old release                            │ none may
//! ```

use super::{CommandClient, describe};
use crate::OperationError;
use lockstep_client::internal::{NodeRelease, NodeStatus, leader_of};
use lockstep_wire::{Seq, VERSION_MIN};
use std::net::SocketAddrV4;
use std::time::Duration;

/// How long the nodes may take to tell their release: one of an older release does not tell it.
const ASK_FOR: Duration = Duration::from_millis(500);

/// One node, and what it tells of its release.
#[derive(Clone, Debug)]
pub struct NodeVersions {
    /// Its identity, or its address where it does not answer.
    pub name: String,
    /// Whether it answers at all.
    pub answers: bool,
    /// What it tells; an older release tells nothing.
    pub release: Option<NodeRelease>,
}

/// What the nodes allow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Upgradable {
    /// The log has the newest version that any of them speaks.
    Done,
    /// All of them speak this newer version.
    Ready(u8),
    /// Some speak this newer version, and these reasons forbid it.
    Hindered(u8, Vec<String>),
}

/// What all nodes speak, and the version of the log.
#[derive(Clone, Debug)]
pub struct ClusterVersions {
    /// Every replica and archiver, those of the file and those of the membership.
    pub nodes: Vec<NodeVersions>,
    /// The leader.
    pub leader: NodeStatus,
    /// The version of its log.
    pub in_force: u8,
    /// Whether that may rise.
    pub upgradable: Upgradable,
}

impl ClusterVersions {
    /// Asks the nodes.
    ///
    /// # Errors
    /// Nobody leads in time.
    pub fn ask(operator: &mut CommandClient) -> Result<Self, OperationError> {
        let (leader, statuses) = operator.leader_and_all()?;
        let nodes = ask(operator, &statuses);
        let in_force = version_of(&nodes, &leader);
        let upgradable = judge(&nodes, in_force);
        Ok(Self { nodes, leader, in_force, upgradable })
    }
}

/// Asks every replica and archiver, those of the file and those of the membership; `statuses` are their
/// answers to a look.
fn ask(operator: &mut CommandClient, statuses: &[Option<NodeStatus>]) -> Vec<NodeVersions> {
    let releases = operator.nodes.client.releases(&operator.nodes.addresses, ASK_FOR);
    let node = |((address, status), release): ((&SocketAddrV4, &Option<NodeStatus>), Option<NodeRelease>)| {
        let name = status.as_ref().map_or_else(|| address.to_string(), |status| status.identity.to_string());
        NodeVersions { name, answers: status.is_some() || release.is_some(), release }
    };
    operator.nodes.addresses.iter().zip(statuses).zip(releases).map(node).collect()
}

/// The releases of the nodes that answer, in one line, and whether they differ; `statuses` are their answers
/// to a look.
pub fn releases(operator: &mut CommandClient, statuses: &[Option<NodeStatus>]) -> (String, bool) {
    let nodes: Vec<_> = ask(operator, statuses).into_iter().filter(|node| node.answers).collect();
    let text = |node: &NodeVersions| match &node.release {
        Some(NodeRelease { release, oldest, newest, .. }) => {
            format!("{release} (speaks {oldest} to {newest})")
        }
        None => "an older release (speaks 3 at most)".to_owned(),
    };
    let texts: Vec<_> = nodes.iter().map(text).collect();
    match texts.first() {
        Some(first) if texts.iter().all(|text| text == first) => {
            (format!("all that answer have {first}"), false)
        }
        None => ("no node answers".to_owned(), false),
        Some(_) => {
            let each: Vec<_> =
                nodes.iter().zip(&texts).map(|(node, text)| format!("{} {text}", node.name)).collect();
            (each.join("; "), true)
        }
    }
}

/// The version of the leader's log. A leader that does not tell it speaks the oldest one alone.
fn version_of(nodes: &[NodeVersions], leader: &NodeStatus) -> u8 {
    let name = leader.identity.to_string();
    let answer = nodes.iter().find(|node| node.name == name).and_then(|node| node.release.as_ref());
    answer.and_then(|release| release.in_force).unwrap_or(VERSION_MIN)
}

/// Whether a log of version `in_force` may rise, and to which version: a node that does not answer may be of
/// any release.
fn judge(nodes: &[NodeVersions], in_force: u8) -> Upgradable {
    let newest = |node: &NodeVersions| node.release.as_ref().map_or(0, |release| release.newest);
    let most = nodes.iter().map(newest).max().unwrap_or(0);
    if most <= in_force {
        return Upgradable::Done;
    }
    let least = nodes.iter().map(newest).min().unwrap_or(0);
    if least > in_force {
        return Upgradable::Ready(least);
    }
    let hinders = nodes.iter().filter(|node| newest(node) < most).map(|node| match &node.release {
        Some(release) => format!("{} speaks version {} at most: upgrade it", node.name, release.newest),
        None if node.answers => {
            format!("{} does not report its release, so it speaks version 3 at most: upgrade it", node.name)
        }
        None => {
            format!("{} does not answer: start it, or take it out of the members and of the file", node.name)
        }
    });
    Upgradable::Hindered(most, hinders.collect())
}

/// Ends the upgrade: the log rises to version `to`, or to the newest one that every node speaks. Returns the
/// version and the end of what is committed in it.
///
/// # Errors
/// Nothing newer is spoken by all, `to` is none of those, or the leader does not let it rise.
pub fn finish_upgrade(
    operator: &mut CommandClient,
    versions: &ClusterVersions,
    to: Option<u8>,
) -> Result<(u8, Seq), OperationError> {
    let ClusterVersions { leader, in_force, upgradable, .. } = versions;
    let newest = match upgradable {
        Upgradable::Ready(version) => *version,
        Upgradable::Done => {
            let what =
                format!("the log is of version {in_force}, and no node speaks a newer one: nothing changes");
            return Err(OperationError::failed(what));
        }
        Upgradable::Hindered(version, reasons) => {
            let what = format!("the log stays at version {in_force}, as version {version} is not for all:");
            return Err(OperationError::not_ready(format!("{what}\n  {}", reasons.join("\n  "))));
        }
    };
    let to = to.unwrap_or(newest);
    if to <= *in_force || to > newest {
        let what = format!(
            "--to {to}: the log is of version {in_force}, and every node speaks up to {newest}; name one of {} to {newest}",
            in_force + 1
        );
        return Err(OperationError::refused(what));
    }
    let left = operator.left();
    match operator.nodes.client.send_upgrade(leader, to, left) {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            let what = format!("leader {}: {}", leader.identity, describe(why, leader.identity));
            return Err(OperationError::failed(what));
        }
        None => {
            let what = format!("leader {} did not answer; look at `lockstep upgrade`", leader.identity);
            return Err(OperationError::not_ready(what));
        }
    }
    Ok((to, wait_until_risen(operator, to)?))
}

/// Waits until a leader's log has the version, and everything in it is committed at that moment.
fn wait_until_risen(operator: &mut CommandClient, to: u8) -> Result<Seq, OperationError> {
    let mut risen: Option<Seq> = None;
    operator.wait(
        "the leader was ordered to let the log rise, and its version is not committed",
        |operator, statuses| {
            let Some(leader) = leader_of(statuses) else { return Ok(None) };
            if risen.is_none() {
                let answer = operator.nodes.client.releases(&[leader.address], ASK_FOR).pop().flatten();
                risen = answer
                    .filter(|answer| answer.in_force.is_some_and(|version| version >= to))
                    .map(|_| leader.accept_next);
            }
            Ok(risen.filter(|next| leader.commit_next >= *next))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, newest: Option<u8>) -> NodeVersions {
        let release = newest.map(|newest| NodeRelease {
            oldest: newest - 1,
            newest,
            in_force: Some(3),
            release: "0.2.0".to_owned(),
        });
        NodeVersions { name: name.to_owned(), answers: true, release }
    }

    #[test]
    fn a_log_rises_only_to_what_every_node_speaks() {
        let new = [node("1", Some(5)), node("2", Some(4)), node("3", Some(5))];
        assert_eq!(judge(&new, 3), Upgradable::Ready(4));
        let Upgradable::Hindered(5, reasons) = judge(&new, 4) else { panic!("2 speaks 4 at most") };
        assert_eq!(reasons, ["2 speaks version 4 at most: upgrade it"]);
        assert_eq!(judge(&new[1..2], 4), Upgradable::Done);
    }

    #[test]
    fn a_node_that_is_silent_or_tells_nothing_hinders_and_is_named() {
        let dead = NodeVersions { answers: false, ..node("10.0.0.3:7001", None) };
        let Upgradable::Hindered(4, reasons) = judge(&[node("1", Some(4)), node("2", None), dead], 3) else {
            panic!("two hinder")
        };
        assert!(reasons[0].starts_with("2 does not report its release"), "{reasons:?}");
        assert!(reasons[1].starts_with("10.0.0.3:7001 does not answer: start it"), "{reasons:?}");
        assert_eq!(judge(&[node("1", None)], 3), Upgradable::Done, "nobody speaks a newer one");
    }
}
