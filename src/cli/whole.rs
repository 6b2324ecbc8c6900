//! Whether all of a cluster is well, and with it what may be touched and what has come back.

use super::operator::CommandClient;
use super::wait::{Answers, WaitGoal};
use lockstep_client::internal::{ClusterHealth, Health, NodeStatus, QueryResult, leader_of};
use lockstep_daemon::config::Config;
use lockstep_wire::Seq;

/// Whether the membership lists this replica; of a stream without a leader, the file alone is known.
fn is_member(leader: Option<&NodeStatus>, replica: u32) -> bool {
    leader.is_none_or(|leader| leader.members.iter().any(|listed| listed.member.replica == replica))
}

/// The configuration with those replicas alone that are members: one that the file names and that was never
/// added is no part of the stream.
pub fn members_of(config: &Config, leader: Option<&NodeStatus>) -> Config {
    let mut config = config.clone();
    config.replicas.retain(|replica| is_member(leader, replica.id));
    config
}

/// The answers of members and archivers.
pub fn of_members(asked: Vec<QueryResult>, leader: Option<&NodeStatus>) -> Vec<QueryResult> {
    let counts = |node: &QueryResult| {
        let number = node.status.as_ref().map(|status| status.identity.replica).or(node.number);
        node.is_archiver || number.is_none_or(|number| is_member(leader, number))
    };
    asked.into_iter().filter(counts).collect()
}

/// The verdict where every member has what was committed at the look before and nothing is amiss.
///
/// # Errors
/// A member lacks entries, or something is amiss, in words.
pub fn is_whole(
    operator: &CommandClient,
    statuses: &[Option<NodeStatus>],
    committed: &mut Option<Seq>,
) -> Result<Health, String> {
    let leader = leader_of(statuses);
    let asked = of_members(operator.nodes.asked(statuses), leader);
    let answers = Answers { asked: &asked, leader, committed: *committed };
    let caught_up = answers.judge(&WaitGoal::CaughtUp, None);
    *committed = leader.map(|leader| leader.commit_next).or(*committed);
    caught_up?;
    let health = Health::judge(&asked);
    if health.health == ClusterHealth::Healthy { Ok(health) } else { Err(health.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{answer, cluster};

    #[test]
    fn a_replica_of_the_file_that_was_never_added_is_no_obstacle_whether_it_answers_or_not() {
        for silent in [&[3][..], &[]] {
            let mut asked = cluster(3, silent);
            let leader = answer(&mut asked, 1);
            leader.members.truncate(2);
            let leader = leader.clone();
            let judged = of_members(asked.clone(), Some(&leader));
            assert_eq!(judged.len(), 2);
            assert_eq!(Health::judge(&judged).health, ClusterHealth::Healthy);
            assert_ne!(Health::judge(&asked).health, ClusterHealth::Healthy);
            // A member that does not answer is one.
            asked[1].status = None;
            assert_eq!(Health::judge(&of_members(asked, Some(&leader))).health, ClusterHealth::Degraded);
        }
        assert_eq!(of_members(cluster(3, &[1, 2, 3]), None).len(), 3, "without a leader all of them count");
    }
}
