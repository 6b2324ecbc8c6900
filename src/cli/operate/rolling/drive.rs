//! Does one step after another, and judges the cluster between them.

use super::plan::{RollingKind, RollingPlan, RollingStep, RollingWork};
use super::{RollingFlags, SCHEMA};
use crate::cli::shared::operator::{CommandClient, age, now};
use crate::cli::shared::remote::RemoteHosts;
use lockstep_client::internal::NodeStatus;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::FAILED;
use lockstep_operations::awaited::{ANSWERS, AwaitedCluster, AwaitedState};
use lockstep_wire::{Epoch, Identity};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddrV4;

/// The replica that leads, and its epoch.
type Leadership = (Identity, Epoch);

/// The steps of one command.
pub struct RollingDriver<'a> {
    flags: &'a RollingFlags,
    work: &'a RollingWork,
    hosts: &'a RemoteHosts,
    /// The cluster.
    pub cluster: AwaitedCluster,
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
        cluster: AwaitedCluster,
    ) -> Self {
        Self { flags, work, hosts, cluster, done: 0, is_in_doubt: false }
    }

    /// Writes what happens, for people: on stdout, which belongs to the result where that is JSON.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        if self.flags.json {
            std::io::stderr().write_all(text.as_bytes())?;
        } else {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }

    /// Does all steps.
    pub fn all(&mut self, plan: &RollingPlan, leader: &NodeStatus) -> Result<(), Failure> {
        let mut leads = (leader.identity, leader.accepted);
        let count = plan.steps.len();
        for (step, number) in plan.steps.iter().zip(1..) {
            if number > 1 {
                self.cluster.rest(self.flags.pause)?;
                self.await_same_leader(leads)?;
            }
            self.cluster.check()?;
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
        let (_, leader) = self.cluster.well()?;
        self.judge_leader(leads, &leader)
    }

    fn judge_leader(&self, (identity, epoch): Leadership, leader: &NodeStatus) -> Result<(), Failure> {
        if self.flags.accept_outage || (leader.identity, leader.accepted) == (identity, epoch) {
            return Ok(());
        }
        let what = format!(
            "{} leads in epoch {}, without an order of this command: before, {identity} led in epoch \
             {epoch}; `lockstep events` shows why",
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
        let before = process_at(&mut self.cluster.operator, address).filter(|_| restarts);
        let values = step.values();
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, &**value)).collect();
        for command in &step.commands {
            self.say(&format!("  on {}: {command}\n", step.host))?;
            self.hosts.run(&step.host, command, &values, self.flags.timeout)?;
        }
        let release = self.work.release.as_deref();
        let state =
            |operator: &mut CommandClient, _: &NodeStatus| state_of(operator, address, before, release);
        let (_, leader) = self.cluster.await_whole(self.flags.back_within, state)?;
        self.judge_leader(leads, &leader)?;
        Ok((leader.identity, leader.accepted))
    }

    /// Another replica takes the place of the leader, if there is another.
    fn hand_over(&mut self, leads: Leadership) -> Result<Leadership, Failure> {
        let (leader, _) = self.cluster.seen()?;
        if leader.members.len() < 2 || leader.identity != leads.0 {
            return Ok(leads);
        }
        self.cluster.operator.order_handover(&leader, None, self.flags.timeout)?;
        let (_, leader) =
            self.cluster.await_whole(self.flags.back_within, |_, now| match now.accepted > leads.1 {
                true => AwaitedState::Ready,
                false => AwaitedState::Waits(format!("{} leads still", now.identity)),
            })?;
        if leader.identity == leads.0 {
            let what = format!("{} was ordered to hand over, and leads again", leader.identity);
            return Err(Failure::new(FAILED, what));
        }
        self.say(&format!("  {} leads, epoch {}\n", leader.identity, leader.accepted))?;
        Ok((leader.identity, leader.accepted))
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

/// The id of the process that answers there: of its ring of events, which each start draws anew. `None`
/// where a release does not tell it.
fn process_at(operator: &mut CommandClient, address: SocketAddrV4) -> Option<u64> {
    let answer = operator.nodes.client.events(&[(address, u64::MAX)], ANSWERS).pop().flatten();
    answer.map(|answer| answer.page.ring)
}

/// Whether the node there is another process than `before`, and has the release that it is to have.
fn state_of(
    operator: &mut CommandClient,
    address: SocketAddrV4,
    before: Option<u64>,
    wanted: Option<&str>,
) -> AwaitedState {
    let after = process_at(operator, address);
    let release = operator.nodes.client.releases(&[address], ANSWERS).pop().flatten();
    match (before, after) {
        (Some(before), Some(after)) if after == before => {
            return AwaitedState::Waits(format!("the process at {address} is the one from before"));
        }
        // A release that tells neither has to be believed.
        (Some(_), None) if release.is_some() => {
            return AwaitedState::Waits(format!("{address} does not say which process it is"));
        }
        _ => {}
    }
    let Some(wanted) = wanted else { return AwaitedState::Ready };
    match release {
        Some(has) if has.release == wanted => AwaitedState::Ready,
        Some(has) => {
            let has = has.release;
            AwaitedState::Wrong(format!("the node at {address} has release {has}, and not {wanted}"))
        }
        None => {
            AwaitedState::Waits(format!("the node at {address} does not say that it has release {wanted}"))
        }
    }
}
