//! `--kill-leader`: takes the leader away while orders flow, by turns with SIGKILL and with SIGSTOP, waits
//! until another one leads, brings the first one back, waits until all follow, and begins anew.
//!
//! ```text
//!   Calm ──pause over──▶ Struck ──another leads──▶ Back ──all follow──▶ Calm
//! ```

use crate::say;
use lockstep_client::Endpoint;
use lockstep_client::internal::NodeState;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::clock::Clock;
use lockstep_process::signal::Signal;
use lockstep_trial::process::TrialProcess;
use lockstep_trial::queries::{ReplicaQueries, leader, leader_of_whole};
use lockstep_wire::{Epoch, Nanos};
use std::time::Duration;

/// Between all being well and the next strike.
const PAUSE_NS: Nanos = 300_000_000;
/// Between two rounds of queries to the replicas.
const QUERY_NS: Nanos = 20_000_000;
/// How long a round waits for the last answer.
const QUERY_ROUND: Duration = Duration::from_millis(20);
/// No takeover and no return takes nearly so long.
const PATIENCE_NS: Nanos = 60_000_000_000;
/// A standby that is no further behind follows.
const BEHIND_MAX: u64 = 20_000;

/// A strike against a leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// SIGKILL; started anew.
    Killed,
    /// SIGSTOP; resumed as a leader that does not know yet.
    Stopped,
}

impl How {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
        }
    }
}

/// A strike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InjectedFailure {
    /// The leader.
    pub leader: u32,
    /// What was done to it.
    pub how: How,
    /// When, by the monotonic clock.
    pub at: Nanos,
    /// Its epoch.
    pub epoch: Epoch,
    /// The next leader's epoch.
    pub next: Option<Epoch>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Calm { until: Nanos },
    Struck { since: Nanos },
    Back { since: Nanos },
}

/// See the module.
pub struct FailureDriver {
    left: u32,
    phase: Phase,
    strikes: Vec<InjectedFailure>,
    queries: ReplicaQueries,
    clock: Clock,
    asked_at: Nanos,
}

impl FailureDriver {
    /// One that strikes so many times.
    pub fn new(endpoint: &Endpoint, times: u32) -> Result<Self, Failure> {
        let (clock, queries) = (Clock::start(), ReplicaQueries::open(endpoint, QUERY_ROUND)?);
        let phase = Phase::Calm { until: clock.now() + PAUSE_NS };
        Ok(Self { left: times, phase, strikes: Vec::new(), queries, clock, asked_at: 0 })
    }

    /// Whether all strikes are done, and everybody follows again.
    pub fn is_done(&self) -> bool {
        self.left == 0 && matches!(self.phase, Phase::Calm { .. })
    }

    /// What was done.
    pub fn into_strikes(self) -> Vec<InjectedFailure> {
        self.strikes
    }

    /// Goes on as far as it can without waiting for long.
    pub fn step(&mut self, replicas: &mut [TrialProcess]) -> Result<(), Failure> {
        let now = self.clock.now();
        if self.is_done() || now < self.asked_at + QUERY_NS {
            return Ok(());
        }
        match self.phase {
            Phase::Calm { until } if now < until => Ok(()),
            Phase::Calm { until } => {
                self.check(until, "one of the replicas leads")?;
                self.strike(replicas)
            }
            Phase::Struck { since } => {
                self.check(since, "another replica leads")?;
                self.revive(replicas)
            }
            Phase::Back { since } => {
                self.check(since, "all replicas follow again")?;
                let states = self.ask();
                if leader_of_whole(&states, BEHIND_MAX).is_some() {
                    self.phase = Phase::Calm { until: self.clock.now() + PAUSE_NS };
                }
                Ok(())
            }
        }
    }

    fn check(&self, since: Nanos, what: &str) -> Result<(), Failure> {
        if self.clock.now() < since + PATIENCE_NS {
            return Ok(());
        }
        let last = self.strikes.last();
        let last = last.map_or_else(String::new, |strike| {
            format!(" behind epoch {}, whose leader was {}", strike.epoch, strike.how.name())
        });
        Err(Failure::new(
            NOT_READY,
            format!(
                "{} s were not enough until {what}{last}; --keep keeps the logs",
                PATIENCE_NS / 1_000_000_000
            ),
        ))
    }

    fn ask(&mut self) -> Vec<Option<NodeState>> {
        let states = self.queries.ask();
        self.asked_at = self.clock.now();
        states
    }

    fn strike(&mut self, replicas: &mut [TrialProcess]) -> Result<(), Failure> {
        let states = self.ask();
        let Some(leader) = leader_of_whole(&states, BEHIND_MAX) else { return Ok(()) };
        let id = leader.identity.replica;
        let process = process(replicas, id)?;
        let how = if self.strikes.len().is_multiple_of(2) { How::Killed } else { How::Stopped };
        // Before it is done: the next epoch may have begun when the call returns.
        let at = self.clock.now();
        process.strike(if how == How::Killed { Signal::Kill } else { Signal::Stop })?;
        self.strikes.push(InjectedFailure { leader: id, how, at, epoch: leader.accepted, next: None });
        self.left -= 1;
        self.phase = Phase::Struck { since: at };
        Ok(())
    }

    fn revive(&mut self, replicas: &mut [TrialProcess]) -> Result<(), Failure> {
        let states = self.ask();
        let Some(strike) = self.strikes.last_mut() else { return Ok(()) };
        let Some(next) = leader(&states).filter(|next| next.accepted > strike.epoch) else { return Ok(()) };
        strike.next = Some(next.accepted);
        let (id, now) = (next.identity.replica, self.clock.now());
        let ms = (now - strike.at) as f64 / 1e6;
        say(&format!(
            "replica {} {}, replica {id} led when asked {ms:.0} ms later",
            strike.leader,
            strike.how.name()
        ));
        process(replicas, strike.leader)?.revive()?;
        self.phase = Phase::Back { since: now };
        Ok(())
    }
}

fn process(replicas: &mut [TrialProcess], id: u32) -> Result<&mut TrialProcess, Failure> {
    replicas.get_mut(id as usize - 1).ok_or_else(|| Failure::new(FAILED, format!("there is no replica {id}")))
}
