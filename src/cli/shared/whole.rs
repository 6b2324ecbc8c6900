//! Whether all of a cluster is well, and with it what may be touched and what has come back.

use crate::cli::shared::operator::{CommandClient, now, pause};
use lockstep_client::internal::{Health, NodeStatus, QueryResult, leader_of};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_operations::goals::whole;
pub use lockstep_operations::goals::{members_of, of_members};
use lockstep_process::stop::Stop;
use lockstep_wire::Seq;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the nodes may take to answer one look.
pub const ANSWERS: Duration = Duration::from_millis(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long all may take to be well before a step.
const WELL_WITHIN: Duration = Duration::from_secs(5);

/// The verdict where every member has what was committed at the look before and nothing is amiss.
///
/// # Errors
/// A member lacks entries, or something is amiss, in words.
pub fn is_whole(
    operator: &CommandClient,
    statuses: &[Option<NodeStatus>],
    committed: &mut Option<Seq>,
) -> Result<Health, String> {
    whole(&operator.nodes, statuses, committed)
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
