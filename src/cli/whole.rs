//! Whether all of a cluster is well, and with it what may be touched and what has come back.

use super::Failure;
use super::failure::{FAILED, NOT_READY};
use super::operator::{CommandClient, now, pause};
use super::wait::{Answers, WaitGoal};
use lockstep_client::internal::{ClusterHealth, Health, NodeStatus, QueryResult, leader_of};
use lockstep_daemon::config::Config;
use lockstep_process::stop::Stop;
use lockstep_wire::{Condition, Seq};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the nodes may take to answer one look.
pub const ANSWERS: Duration = Duration::from_millis(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long all may take to be well before a step.
const WELL_WITHIN: Duration = Duration::from_secs(5);

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

/// The answers without what programs do wrong: a step at a node waits for no program.
fn without_programs(mut asked: Vec<QueryResult>) -> Vec<QueryResult> {
    for status in asked.iter_mut().filter_map(|node| node.status.as_mut()) {
        status.conditions.retain(|active| active.condition != Condition::OlderKeys);
    }
    asked
}

/// The verdict where every member has what was committed at the look before and there is no problem.
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
    let health = Health::judge(&without_programs(asked));
    if health.health == ClusterHealth::Healthy { Ok(health) } else { Err(health.to_string()) }
}

/// The state that a step waits for, beside a cluster that is well.
pub enum AwaitedState {
    /// It is as it shall be.
    Ready,
    /// It may become so.
    Waits(String),
    /// It will not become so.
    Wrong(String),
}

/// A cluster between the steps of a change.
pub struct AwaitedCluster {
    /// Asks its nodes.
    pub operator: CommandClient,
    stop: Stop,
    /// The answers to the last look.
    statuses: Vec<Option<NodeStatus>>,
}

impl AwaitedCluster {
    /// It was not looked at yet. `stop` ends every wait.
    pub fn new(operator: CommandClient, stop: Stop) -> Self {
        Self { operator, stop, statuses: Vec::new() }
    }

    /// Looks until all is well and `state` agrees.
    ///
    /// # Errors
    /// What is amiss, when the time is over; or a signal.
    pub fn await_whole(
        &mut self,
        within: Duration,
        mut state: impl FnMut(&mut CommandClient, &NodeStatus) -> AwaitedState,
    ) -> Result<(Health, NodeStatus), Failure> {
        let (begun, mut committed) = (now(), None);
        loop {
            self.check()?;
            self.statuses = self.operator.nodes.look(ANSWERS);
            let whole = is_whole(&self.operator, &self.statuses, &mut committed);
            let why = match (whole, leader_of(&self.statuses).cloned()) {
                (Ok(health), Some(leader)) => match state(&mut self.operator, &leader) {
                    AwaitedState::Ready => return Ok((health, leader)),
                    AwaitedState::Waits(why) => why,
                    AwaitedState::Wrong(why) => return Err(Failure::new(FAILED, why)),
                },
                (Ok(health), None) => health.to_string(),
                (Err(why), _) => why,
            };
            if begun.elapsed() >= within {
                return Err(Failure::new(NOT_READY, format!("{why} (waited {within:?})")));
            }
            pause(LOOK);
        }
    }

    /// The verdict before a step: a condition of one look may pass by itself.
    pub fn well(&mut self) -> Result<(Health, NodeStatus), Failure> {
        self.await_whole(WELL_WITHIN, |_, _| AwaitedState::Ready)
    }

    /// The leader and all nodes as they answered last.
    pub fn seen(&self) -> Result<(NodeStatus, Vec<QueryResult>), Failure> {
        let asked = self.operator.nodes.asked(&self.statuses);
        let leader = leader_of(&self.statuses).cloned();
        let none = || Failure::new(NOT_READY, Health::judge(&asked));
        Ok((leader.ok_or_else(none)?, asked))
    }

    /// Lets time pass.
    pub fn rest(&self, time: Duration) -> Result<(), Failure> {
        let begun = now();
        while begun.elapsed() < time {
            self.check()?;
            pause(LOOK.min(time));
        }
        Ok(())
    }

    /// Fails if a signal asks to stop.
    pub fn check(&self) -> Result<(), Failure> {
        match self.stop.flag().load(Ordering::Acquire) {
            true => Err(Failure::new(FAILED, "a signal has stopped it")),
            false => Ok(()),
        }
    }
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
