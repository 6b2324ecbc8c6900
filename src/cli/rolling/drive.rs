//! Does one step after another, and judges the cluster between them.

use super::plan::{RollingKind, RollingPlan, RollingStep, RollingWork};
use super::{RollingFlags, SCHEMA};
use crate::cli::Failure;
use crate::cli::failure::{FAILED, NOT_READY};
use crate::cli::operator::{CommandClient, age, now, pause};
use crate::cli::remote::RemoteHosts;
use crate::cli::whole::is_whole;
use lockstep_client::internal::{Health, NodeStatus, QueryResult, leader_of};
use lockstep_process::stop::Stop;
use lockstep_wire::{Epoch, Identity};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddrV4;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the nodes may take to answer one look.
const ANSWERS: Duration = Duration::from_millis(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long all may take to be well before a step: a condition of one look may pass by itself.
const WELL_WITHIN: Duration = Duration::from_secs(5);

/// The replica that leads, and its epoch.
type Leadership = (Identity, Epoch);

/// The state of one node that its step waits for.
enum NodeState {
    /// It is as it shall be.
    Ready,
    /// It may become so.
    Waits(String),
    /// It will not become so.
    Wrong(String),
}

/// The steps of one command.
pub struct RollingDriver<'a> {
    flags: &'a RollingFlags,
    work: &'a RollingWork,
    hosts: &'a RemoteHosts,
    operator: CommandClient,
    stop: Stop,
    statuses: Vec<Option<NodeStatus>>,
    /// Steps that are done.
    done: usize,
    /// A step that was begun and did not end well.
    is_in_doubt: bool,
}

impl<'a> RollingDriver<'a> {
    /// Nothing is done yet.
    pub fn new(
        flags: &'a RollingFlags,
        work: &'a RollingWork,
        hosts: &'a RemoteHosts,
        operator: CommandClient,
        stop: Stop,
    ) -> Self {
        let (statuses, done, is_in_doubt) = (Vec::new(), 0, false);
        Self { flags, work, hosts, operator, stop, statuses, done, is_in_doubt }
    }

    /// Writes what happens, for people: on stdout, which belongs to the result where that is JSON.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        match self.flags.json {
            true => std::io::stderr().write_all(text.as_bytes())?,
            false => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// The verdict before anything is touched.
    pub fn whole_at_start(&mut self) -> Result<Health, Failure> {
        self.await_whole(WELL_WITHIN, |_, _| NodeState::Ready).map(|(health, _)| health)
    }

    /// The leader and all nodes as they answered last.
    pub fn seen(&self) -> Result<(NodeStatus, Vec<QueryResult>), Failure> {
        let asked = self.operator.nodes.asked(&self.statuses);
        let leader = leader_of(&self.statuses).cloned();
        let nobody = || Failure::new(NOT_READY, Health::judge(&asked));
        Ok((leader.ok_or_else(nobody)?, asked))
    }

    /// Does all steps.
    pub fn all(&mut self, plan: &RollingPlan, leader: &NodeStatus) -> Result<(), Failure> {
        let mut leads = (leader.identity, leader.accepted);
        let count = plan.steps.len();
        for (step, number) in plan.steps.iter().zip(1..) {
            if number > 1 {
                self.rest(self.flags.pause)?;
                self.await_same_leader(leads)?;
            }
            self.check()?;
            self.say(&format!("[{number}/{count}] {} of {}\n", self.work.kind.name(), step.name()))?;
            let begun = now();
            self.is_in_doubt = true;
            leads = self.step(step, leads)?;
            (self.is_in_doubt, self.done) = (false, self.done + 1);
            self.say(&format!("  all is well again after {}\n", age(begun.elapsed())))?;
        }
        Ok(())
    }

    /// Waits until all is well, and whoever led leads still: a leader that changes without an order is a
    /// doubt.
    fn await_same_leader(&mut self, leads: Leadership) -> Result<(), Failure> {
        let (_, leader) = self.await_whole(WELL_WITHIN, |_, _| NodeState::Ready)?;
        self.judge_leader(leads, &leader)
    }

    fn judge_leader(&self, (identity, epoch): Leadership, leader: &NodeStatus) -> Result<(), Failure> {
        if self.flags.accept_outage || (leader.identity, leader.accepted) == (identity, epoch) {
            return Ok(());
        }
        let what = format!(
            "{} leads in epoch {}, and nobody has ordered it: before, {identity} led in epoch {epoch}; `lockstep events` \
             shows why",
            leader.identity, leader.accepted
        );
        Err(Failure::new(FAILED, what))
    }

    /// Does one step. Returns who leads behind it.
    fn step(&mut self, step: &RollingStep, mut leads: Leadership) -> Result<Leadership, Failure> {
        let restarts = self.work.kind != RollingKind::Reload;
        if restarts && step.has(leads.0.replica) {
            leads = self.hand_over(leads)?;
        }
        let address = step.nodes[0].address;
        let before = self.process_at(address).filter(|_| restarts);
        let values = step.values();
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, &**value)).collect();
        for command in &step.commands {
            self.say(&format!("  on {}: {command}\n", step.host))?;
            self.hosts.run(&step.host, command, &values, self.flags.timeout)?;
        }
        let timeout = self.flags.timeout;
        let (_, leader) = self.await_whole(timeout, |driver, _| driver.state_of(address, before))?;
        self.judge_leader(leads, &leader)?;
        Ok((leader.identity, leader.accepted))
    }

    /// Another replica takes the place of the leader, if there is another.
    fn hand_over(&mut self, leads: Leadership) -> Result<Leadership, Failure> {
        let (leader, _) = self.seen()?;
        if leader.members.len() < 2 || leader.identity != leads.0 {
            return Ok(leads);
        }
        self.operator.order_handover(&leader, None, self.flags.timeout)?;
        let (_, leader) = self.await_whole(self.flags.timeout, |_, now| match now.accepted > leads.1 {
            true => NodeState::Ready,
            false => NodeState::Waits(format!("{} leads still", now.identity)),
        })?;
        if leader.identity == leads.0 {
            let what = format!("{} was told to hand over, and leads again", leader.identity);
            return Err(Failure::new(FAILED, what));
        }
        self.say(&format!("  {} leads, epoch {}\n", leader.identity, leader.accepted))?;
        Ok((leader.identity, leader.accepted))
    }

    /// The id of the process that answers there: of its ring of events, which each start draws anew. `None`
    /// where a release does not tell it.
    fn process_at(&mut self, address: SocketAddrV4) -> Option<u64> {
        let answer = self.operator.nodes.client.events(&[(address, u64::MAX)], ANSWERS).pop().flatten();
        answer.map(|answer| answer.page.ring)
    }

    /// Whether the node is another process than `before`, and has the release that it is to have.
    fn state_of(&mut self, address: SocketAddrV4, before: Option<u64>) -> NodeState {
        let after = self.process_at(address);
        let release = self.operator.nodes.client.releases(&[address], ANSWERS).pop().flatten();
        if let Some(before) = before {
            match after {
                Some(after) if after == before => {
                    return NodeState::Waits(format!("the process at {address} is the one from before"));
                }
                // Of a release that tells neither.
                None if release.is_some() => {
                    return NodeState::Waits(format!("{address} does not say which process it is"));
                }
                _ => {}
            }
        }
        match (&self.work.release, release) {
            (None, _) => NodeState::Ready,
            (Some(wanted), Some(has)) if has.release == *wanted => NodeState::Ready,
            (Some(wanted), Some(has)) => NodeState::Wrong(format!(
                "the node at {address} has release {}, and not {wanted}",
                has.release
            )),
            (Some(wanted), None) => {
                NodeState::Waits(format!("the node at {address} does not say that it has release {wanted}"))
            }
        }
    }

    /// Looks until all is well and `state` agrees.
    ///
    /// # Errors
    /// What is amiss, when the time is over; or a signal.
    fn await_whole(
        &mut self,
        within: Duration,
        mut state: impl FnMut(&mut Self, &NodeStatus) -> NodeState,
    ) -> Result<(Health, NodeStatus), Failure> {
        let (begun, mut committed) = (now(), None);
        loop {
            self.check()?;
            self.statuses = self.operator.nodes.look(ANSWERS);
            let whole = is_whole(&self.operator, &self.statuses, &mut committed);
            let why = match (whole, leader_of(&self.statuses).cloned()) {
                (Ok(health), Some(leader)) => match state(self, &leader) {
                    NodeState::Ready => return Ok((health, leader)),
                    NodeState::Waits(why) => why,
                    NodeState::Wrong(why) => return Err(Failure::new(FAILED, why)),
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

    fn rest(&self, time: Duration) -> Result<(), Failure> {
        let begun = now();
        while begun.elapsed() < time {
            self.check()?;
            pause(LOOK.min(time));
        }
        Ok(())
    }

    /// Fails if somebody asked to stop.
    fn check(&self) -> Result<(), Failure> {
        match self.stop.flag().load(Ordering::Acquire) {
            true => Err(Failure::new(FAILED, "a signal has stopped it")),
            false => Ok(()),
        }
    }

    /// The names of the steps that are done, that are in doubt, and that were not begun.
    fn parts(&self, plan: &RollingPlan) -> [Vec<String>; 3] {
        let names: Vec<_> = plan.steps.iter().map(RollingStep::name).collect();
        let begun = self.done + usize::from(self.is_in_doubt);
        [names[..self.done].to_vec(), names[self.done..begun].to_vec(), names[begun..].to_vec()]
    }

    /// What was done, what was not, and how to go on.
    pub fn stopped(&self, plan: &RollingPlan, why: &Failure) -> Failure {
        let [done, doubt, left] = self.parts(plan);
        let kind = self.work.kind.name();
        let place = doubt.first().map_or_else(String::new, |name| format!(" at {name}"));
        let mut text = format!("the {kind} stopped{place}: {why}");
        for (word, names) in [("done", &done), ("in doubt", &doubt), ("not touched", &left)] {
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            text += &format!("\n  {word}: {names}");
        }
        let rest = plan.steps[self.done..].iter().flat_map(|step| &step.nodes);
        let rest: Vec<_> = rest.map(|node| node.number.to_string()).collect();
        text += &format!(
            "\n  to go on: `lockstep why` shows what mends the cluster; then the same command with --only {}",
            rest.join(",")
        );
        Failure::new(why.code(), text)
    }

    /// The result, for programs.
    pub fn json(&self, plan: &RollingPlan, reason: Option<String>) -> Value {
        let [done, doubt, left] = self.parts(plan);
        let result = if reason.is_none() { "done" } else { "stopped" };
        json!({
            "schema": SCHEMA, "kind": self.work.kind.name(), "result": result, "reason": reason,
            "done": done, "in_doubt": doubt, "not_touched": left,
        })
    }

    /// The last words where all is done.
    pub fn end(&self, plan: &RollingPlan) -> Result<(), Failure> {
        let count: usize = plan.steps.iter().map(|step| step.nodes.len()).sum();
        let nodes = if count == 1 { "node" } else { "nodes" };
        let more = match &self.work.release {
            Some(release) => format!(
                ", which have release {release}: `lockstep upgrade` shows what every node speaks, and until `lockstep upgrade \
                 --finish` each of them can go back"
            ),
            None => String::new(),
        };
        self.say(&format!("done: {} of {count} {nodes}{more}\n", self.work.kind.name()))
    }
}
