//! One round after the other: a fault at the leader, its cost, its mending, and the return of all.

use super::faults::DrillKind;
use super::load::DrillLoad;
use super::report::DrillRound;
use super::{DrillArgs, SharedFaults, lock};
use crate::cli::shared::operator::{CommandClient, now, pause, short, suspicion};
use lockstep_client::internal::{NodeStatus, leader_of};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::clock::{Clock, Utc};
use lockstep_operations::goals::is_whole;
use lockstep_process::stop::Stop;
use lockstep_wire::{Epoch, Identity};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two looks at the reader.
const LOOK: Duration = Duration::from_millis(1);
/// Between two looks at all replicas, and how long one waits for answers.
const LOOK_ALL: Duration = Duration::from_millis(50);

/// What every round needs.
pub struct RoundDriver<'a> {
    pub args: &'a DrillArgs,
    pub operator: &'a mut CommandClient,
    pub faults: &'a SharedFaults,
    pub load: DrillLoad,
    pub stop: &'a Stop,
}

impl RoundDriver<'_> {
    /// One round. Its row stands among `rows` as far as it came.
    pub fn run(&mut self, number: u32, kind: DrillKind, rows: &mut Vec<DrillRound>) -> Result<(), Failure> {
        self.rest(self.args.pause)?;
        let leader = self.leader()?;
        let (begun, clock, replica) = (now(), Clock::start(), leader.identity.replica);
        rows.push(DrillRound {
            number,
            kind,
            replica,
            begun: Utc::now().to_string(),
            new_leader: None,
            epoch: None,
            cost: self.load.timeline().cost(clock.now()),
            seen_by: None,
            whole_ns: None,
        });
        self.load.timeline().begin(clock.now(), leader.accepted);
        let outcome = self.fault_and_return(kind, &leader, begun, rows);
        let row = &mut rows[number as usize - 1];
        row.cost = self.load.timeline().cost(clock.now());
        outcome.map_err(|failure| {
            let what = format!("{failure}, in round {number} ({} of replica {replica})", kind.name());
            Failure::new(failure.code(), what)
        })?;
        row.whole_ns = Some(begun.elapsed().as_nanos() as u64);
        let leads = row.cost.leader_ns.map_or_else(|| "?".to_owned(), short);
        let name = kind.name();
        eprintln!(
            "round {number}: {name} of replica {replica}: {} leads after {leads}, gap {}, all whole after {}",
            row.new_leader.map_or_else(|| "?".to_owned(), |id| format!("replica {id}")),
            short(row.cost.gap_ns),
            row.whole_ns.map_or_else(|| "?".to_owned(), short),
        );
        Ok(())
    }

    fn fault_and_return(
        &mut self,
        kind: DrillKind,
        leader: &NodeStatus,
        begun: Instant,
        rows: &mut [DrillRound],
    ) -> Result<(), Failure> {
        match kind {
            DrillKind::Handover => self.operator.order_handover(leader, None, self.args.timeout)?,
            _ => lock(self.faults).inflict(kind, leader.identity.replica)?,
        }
        while !self.load.timeline().is_led_again() {
            self.check()?;
            if begun.elapsed() > self.args.timeout {
                let what = format!("no other leader within {:?}", self.args.timeout);
                return Err(Failure::new(NOT_READY, what));
            }
            pause(LOOK);
        }
        let statuses = self.operator.nodes.look_once(LOOK_ALL);
        if let Some(row) = rows.last_mut() {
            row.seen_by = noticed(&statuses, leader.identity, begun.elapsed());
        }
        if matches!(kind, DrillKind::Freeze | DrillKind::Cut) {
            self.rest(self.args.freeze_for.saturating_sub(begun.elapsed()))?;
        }
        lock(self.faults).mend()?;
        let leads = self.await_whole(leader.accepted)?;
        if let Some(row) = rows.last_mut() {
            (row.new_leader, row.epoch) = (Some(leads.identity.replica), Some(leads.accepted.to_string()));
        }
        Ok(())
    }

    /// The leader, once all is well.
    fn leader(&mut self) -> Result<NodeStatus, Failure> {
        self.await_whole(Epoch::NONE)
    }

    /// Waits until a leader after `epoch` leads, every member has what is committed, and no problem is left.
    fn await_whole(&mut self, epoch: Epoch) -> Result<NodeStatus, Failure> {
        let (begun, mut committed) = (now(), None);
        loop {
            self.check()?;
            let statuses = self.operator.nodes.look_once(LOOK_ALL);
            let whole = is_whole(self.operator, &statuses, &mut committed);
            match (whole, leader_of(&statuses)) {
                (Ok(_), Some(leader)) if leader.accepted > epoch => return Ok(leader.clone()),
                (whole, _) if begun.elapsed() > self.args.timeout => {
                    let why = whole.err().unwrap_or_else(|| "no other leader".to_owned());
                    let ended =
                        lock(self.faults).ended().map_or_else(String::new, |ended| format!("; {ended}"));
                    let what = format!("not all were back within {:?}: {why}{ended}", self.args.timeout);
                    return Err(Failure::new(NOT_READY, what));
                }
                _ => pause(LOOK_ALL),
            }
        }
    }

    fn rest(&mut self, time: Duration) -> Result<(), Failure> {
        let begun = now();
        while begun.elapsed() < time {
            self.check()?;
            pause(LOOK_ALL.min(time));
        }
        Ok(())
    }

    /// Fails if somebody asked to stop, or if the load has failed.
    fn check(&mut self) -> Result<(), Failure> {
        if self.stop.flag().load(Ordering::Acquire) {
            return Err(Failure::new(FAILED, "stopped by a signal before the end"));
        }
        lock(self.faults).collect();
        self.load.check()
    }
}

/// How the others learned that `leader` does not lead any more, within the time since the fault.
fn noticed(statuses: &[Option<NodeStatus>], leader: Identity, within: Duration) -> Option<String> {
    let suspected = statuses.iter().flatten().filter_map(|status| status.suspected);
    let newest = suspected.filter(|it| it.identity == leader && it.ago <= within).max_by_key(|it| it.ago);
    newest.map(|it| suspicion(it.why).to_owned())
}
