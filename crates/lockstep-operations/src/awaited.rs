//! A cluster between the steps of a change: whether all of it is well, and with it what may be touched and
//! what has come back.

use crate::OperationError;
use crate::commands::CommandClient;
use crate::goals::is_whole;
use lockstep_client::internal::{Health, NodeStatus, QueryResult, leader_of};
use lockstep_process::stop::Stop;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the nodes may take to answer one look.
pub const ANSWERS: Duration = Duration::from_millis(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long all may take to be well before a step.
const WELL_WITHIN: Duration = Duration::from_secs(5);

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
    /// The obstacle, when the time is over; or a signal.
    pub fn await_whole(
        &mut self,
        within: Duration,
        mut state: impl FnMut(&mut CommandClient, &NodeStatus) -> AwaitedState,
    ) -> Result<(Health, NodeStatus), OperationError> {
        let (begun, mut committed) = (Instant::now(), None);
        loop {
            self.check()?;
            self.statuses = self.operator.nodes.look(ANSWERS);
            let whole = is_whole(&self.operator, &self.statuses, &mut committed);
            let why = match (whole, leader_of(&self.statuses).cloned()) {
                (Ok(health), Some(leader)) => match state(&mut self.operator, &leader) {
                    AwaitedState::Ready => return Ok((health, leader)),
                    AwaitedState::Waits(why) => why,
                    AwaitedState::Wrong(why) => return Err(OperationError::failed(why)),
                },
                (Ok(health), None) => health.to_string(),
                (Err(why), _) => why,
            };
            if begun.elapsed() >= within {
                return Err(OperationError::not_ready(format!("{why} (waited {within:?})")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The verdict before a step: a condition of one look may pass by itself.
    ///
    /// # Errors
    /// The obstacle; or a signal.
    pub fn well(&mut self) -> Result<(Health, NodeStatus), OperationError> {
        self.await_whole(WELL_WITHIN, |_, _| AwaitedState::Ready)
    }

    /// The leader and all nodes as they answered last.
    ///
    /// # Errors
    /// Nobody led.
    pub fn seen(&self) -> Result<(NodeStatus, Vec<QueryResult>), OperationError> {
        let asked = self.operator.nodes.asked(&self.statuses);
        let leader = leader_of(&self.statuses).cloned();
        let none = || OperationError::not_ready(Health::judge(&asked));
        Ok((leader.ok_or_else(none)?, asked))
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A signal asks to stop.
    pub fn rest(&self, time: Duration) -> Result<(), OperationError> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.check()?;
            std::thread::sleep(LOOK.min(time));
        }
        Ok(())
    }

    /// Fails if a signal asks to stop.
    ///
    /// # Errors
    /// It does.
    pub fn check(&self) -> Result<(), OperationError> {
        if self.stop.flag().load(Ordering::Acquire) {
            Err(OperationError::failed("a signal has stopped it"))
        } else {
            Ok(())
        }
    }
}
