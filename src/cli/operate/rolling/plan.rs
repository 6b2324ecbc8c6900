//! The steps of a rolling change: which nodes, in which order, and the commands of each.

use crate::cli::shared::remote::{RemoteHosts, filled};
use lockstep_client::internal::{NodeStatus, QueryResult};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

/// A kind of rolling change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RollingKind {
    /// Each node is another process afterwards.
    Restart,
    /// Each process has read its files again.
    Reload,
    /// Each node is another process, of another release.
    Upgrade,
}

impl RollingKind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
        }
    }
}

/// The work at each node.
#[derive(Clone, Debug)]
pub struct RollingWork {
    /// Of which kind it is.
    pub kind: RollingKind,
    /// The commands on its host, one after another, with words in braces.
    pub commands: Vec<String>,
    /// The release that it is to have afterwards.
    pub release: Option<String>,
}

/// A replica or an archiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RollingNode {
    /// Its number.
    pub number: u32,
    is_archiver: bool,
    /// Where it answers.
    pub address: SocketAddrV4,
}

impl RollingNode {
    fn name(&self) -> String {
        format!("{} {}", if self.is_archiver { "archiver" } else { "replica" }, self.number)
    }

    /// The unit of systemd that runs it.
    fn unit(&self) -> String {
        format!("lockstep-{}@{}", if self.is_archiver { "archiver" } else { "sequencer" }, self.number)
    }
}

/// One step: nodes of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RollingStep {
    /// Several where the daemons of a host are reloaded, else one.
    pub nodes: Vec<RollingNode>,
    /// Their host.
    pub host: String,
    /// The commands there.
    pub commands: Vec<String>,
}

impl RollingStep {
    /// Its nodes, for people.
    pub fn name(&self) -> String {
        self.nodes.iter().map(RollingNode::name).collect::<Vec<_>>().join(", ")
    }

    /// Whether this replica is one of its nodes.
    pub fn has(&self, replica: u32) -> bool {
        self.nodes.iter().any(|node| node.number == replica)
    }

    /// The values of the words in braces.
    pub fn values(&self) -> [(&'static str, String); 2] {
        let node = &self.nodes[0];
        [("replica", node.number.to_string()), ("unit", node.unit())]
    }
}

/// All steps, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RollingPlan {
    /// At least one.
    pub steps: Vec<RollingStep>,
}

impl RollingPlan {
    /// The steps for these nodes, or for those of `only`: archivers first, as no commit waits for them, then
    /// those that follow, and the leader last.
    ///
    /// # Errors
    /// A number is no node's, in words.
    pub fn new(
        work: &RollingWork,
        asked: Vec<QueryResult>,
        leader: &NodeStatus,
        hosts: &RemoteHosts,
        only: &[u32],
    ) -> Result<Self, String> {
        let mut nodes: Vec<_> = asked.iter().filter_map(node_of).collect();
        nodes.sort_by_key(|node| (!node.is_archiver, node.number == leader.identity.replica, node.number));
        let known: BTreeSet<_> = nodes.iter().map(|node| node.number).collect();
        let flags = only.iter().map(|number| ("--only", *number));
        let mut named = flags.chain(hosts.nodes().map(|number| ("--hosts", number)));
        if let Some((flag, number)) = named.find(|(_, number)| !known.contains(number)) {
            let all: Vec<_> = known.iter().map(u32::to_string).collect();
            let all = all.join(", ");
            return Err(format!("{flag} {number}: no member or archiver has this number; there are {all}"));
        }
        nodes.retain(|node| only.is_empty() || only.contains(&node.number));
        let mut steps: Vec<RollingStep> = Vec::new();
        for node in nodes {
            let host = hosts.of(node.number, *node.address.ip());
            let mut of_step = Vec::new();
            // The daemons of a host read their files at once; it comes where its last node stands.
            if let Some(place) = steps.iter().position(|step| step.host == host)
                && work.kind == RollingKind::Reload
            {
                of_step = steps.remove(place).nodes;
            }
            of_step.push(node);
            steps.push(RollingStep { nodes: of_step, host, commands: Vec::new() });
        }
        for step in &mut steps {
            let own = step.values();
            let release = work.release.as_deref().unwrap_or_default();
            let mut values = vec![("host", &*step.host), ("release", release)];
            values.extend(own.iter().map(|(name, value)| (*name, &**value)));
            step.commands = work.commands.iter().map(|command| filled(command, &values)).collect();
        }
        Ok(Self { steps })
    }

    /// Each step with its commands, for people.
    pub fn text(&self, work: &RollingWork, leader: &NodeStatus) -> String {
        let mut text = String::new();
        let count = self.steps.len();
        for (step, number) in self.steps.iter().zip(1..) {
            text += &format!("[{number}/{count}] {} of {}\n", work.kind.name(), step.name());
            if work.kind != RollingKind::Reload && step.has(leader.identity.replica) {
                text += "  lockstep handover\n";
            }
            for command in &step.commands {
                text += &format!("  on {}: {command}\n", step.host);
            }
        }
        text
    }
}

/// A node by its answer, or by the file.
fn node_of(asked: &QueryResult) -> Option<RollingNode> {
    let number = asked.status.as_ref().map(|status| status.identity.replica).or(asked.number)?;
    Some(RollingNode { number, is_archiver: asked.is_archiver, address: asked.address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shared::remote::RemoteArgs;
    use lockstep_operations::samples::{answer, cluster};

    fn work(kind: RollingKind, command: &str) -> RollingWork {
        RollingWork { kind, commands: vec![command.to_owned()], release: Some("0.3.0".to_owned()) }
    }

    fn hosts(names: &[&str]) -> RemoteHosts {
        let named = names.iter().map(|name| name.parse().expect("a host")).collect();
        RemoteHosts::new(&RemoteArgs { hosts: named, reach_with: None }).expect("hosts")
    }

    fn planned(work: &RollingWork, names: &[&str], only: &[u32]) -> Result<Vec<String>, String> {
        let mut asked = cluster(3, &[]);
        let leader = answer(&mut asked, 1).clone();
        let mut archiver = asked[2].clone();
        archiver.status = None;
        (archiver.number, archiver.is_archiver) = (Some(101), true);
        asked.push(archiver);
        let plan = RollingPlan::new(work, asked, &leader, &hosts(names), only)?;
        let row = |step: &RollingStep| format!("{} on {}: {}", step.name(), step.host, step.commands[0]);
        Ok(plan.steps.iter().map(row).collect())
    }

    #[test]
    fn archivers_come_first_and_the_leader_last_each_with_its_own_names() {
        let restart = work(RollingKind::Restart, "x {unit} {replica} {release}");
        let rows = planned(&restart, &["1=seq-a", "101=arch"], &[]).expect("a plan");
        let expected = [
            "archiver 101 on arch: x lockstep-archiver@101 101 0.3.0",
            "replica 2 on 10.0.0.2: x lockstep-sequencer@2 2 0.3.0",
            "replica 3 on 10.0.0.3: x lockstep-sequencer@3 3 0.3.0",
            "replica 1 on seq-a: x lockstep-sequencer@1 1 0.3.0",
        ];
        assert_eq!(rows, expected);
        let rest = planned(&restart, &[], &[1, 3]).expect("a plan");
        assert!(rest.len() == 2 && rest[0].starts_with("replica 3 ") && rest[1].starts_with("replica 1 "));
        let wrong = planned(&restart, &["7=seq-g"], &[]).expect_err("there is no 7");
        assert_eq!(wrong, "--hosts 7: no member or archiver has this number; there are 1, 2, 3, 101");
        assert!(planned(&restart, &[], &[9]).expect_err("nor a 9").starts_with("--only 9: "));
    }

    #[test]
    fn the_daemons_of_a_host_are_reloaded_once_where_its_last_node_stands() {
        let reload = work(RollingKind::Reload, "lockstep reload");
        let rows = planned(&reload, &["101=seq-a", "1=seq-a"], &[]).expect("a plan");
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2], "archiver 101, replica 1 on seq-a: lockstep reload");
    }
}
