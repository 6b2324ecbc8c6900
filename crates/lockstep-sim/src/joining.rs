//! Nodes that join where no journal has the stream from its first entry on: retention, by size or by age, has
//! removed the beginning everywhere, in archives too. Members are replaced, spare replicas and archivers lose
//! their disks, processes die while they begin behind a checkpoint, and the day turns again before a frame
//! has
//! come.
//!
//! ```text
//!   day 1: the beginning │ day 2: it is removed ─ a disk is lost ─ [dies] ─ begins behind a checkpoint ─▶ ...
//!                                                                 └ day 3: and again behind a later one
//! ```
//!
//! Once the faults have ended, whoever holds no entry is healthy, and must reach the end of the log.

use super::check::{Violation, on_storing};
use super::coverage::Event;
use super::disk::DiskFault;
use super::machine::{Machine, MachineState};
use super::operator::OperatorStep;
use super::plan::{DAY_MS, DAY_NS, FaultTarget, FaultTargetNode, Plan, PlannedFault, WALL_NS};
use super::rng::Rng;
use super::storage::{Flushed, StorageFault};
use super::story::Happening;
use super::wire::NodeSet;
use super::world::{Actor, SimNode, World};
use lockstep_replica::journal::ports::{FileName, Store, TailSource, Word};
use lockstep_replica::journal::{Checkpoint, Retention};
use lockstep_wire::{Nanos, Seq};

/// One seed in so many has joining nodes, ...
const SELDOM: u64 = 12;
/// ... and of those with retention.
const SELDOM_WITH_RETENTION: u64 = 3;

impl Plan {
    /// Whether nodes join where the beginning is gone.
    pub fn has_joiners(&self) -> bool {
        let joins =
            |fault: &PlannedFault| matches!(fault.what, FaultTarget::Replace(_) | FaultTarget::Reformat(_));
        self.archives_are_cut && self.faults.iter().any(joins)
    }

    /// Nodes that join behind retention; none in most runs.
    pub(super) fn draw_joining(&mut self, rng: &mut Rng) {
        let has_retention = self.retention != Retention::default();
        let seldom = if has_retention { SELDOM_WITH_RETENTION } else { SELDOM };
        if self.edges.is_some() || rng.below(seldom) > 0 {
            return;
        }
        self.archives_are_cut = true;
        if !has_retention {
            self.retention = match rng.below(3) {
                0 => Retention { bytes_max: 0, age_ns_max: 1_000_000 },
                1 => Retention { bytes_max: 1, age_ns_max: 0 },
                _ => Retention { bytes_max: 64 << 10, age_ns_max: 0 },
            };
            self.wall_ns = WALL_NS - WALL_NS % DAY_NS - self.fault_phase_ns * rng.pick(&[1, 2]) / 4;
        }
        (self.messages, self.ring_bytes, self.segment_len) = (150, 32 << 10, 32 << 10);
        // All sources refuse, or are found to be gone, within the time that a healed quorum has.
        self.replay_opens_ns = self.replay_opens_ns.min(1_000_000);
        for _ in 0..1 + rng.below(2) {
            self.draw_joiner(rng);
        }
        if rng.below(2) == 0 {
            // The day turns once more: what follows the first checkpoint goes as well.
            let at_ns = self.fault_phase_ns * (7 + rng.below(3)) / 10;
            for node in 0..self.replicas {
                let what = FaultTarget::ClockStep(FaultTargetNode::Replica(node), DAY_MS);
                self.faults.push(PlannedFault { at_ns, what });
            }
        }
    }

    fn draw_joiner(&mut self, rng: &mut Rng) {
        let at_ns = self.fault_phase_ns * (5 + rng.below(4)) / 10;
        let spares = self.replicas - self.archivers - self.founders;
        let node = match rng.below(4) {
            0 if self.archivers > 0 => self.replicas - 1,
            0 | 1 if spares > 0 => self.founders + rng.below(spares as u64) as usize,
            _ => rng.below(self.founders as u64) as usize,
        };
        let target = FaultTargetNode::Replica(node);
        let what = match node < self.founders {
            true => FaultTarget::Replace(target),
            false => FaultTarget::Reformat(target),
        };
        self.faults.push(PlannedFault { at_ns, what });
        if !self.is_archiver(node) && node >= self.founders {
            let what = FaultTarget::Add(node, rng.below(4) == 0, rng.below(4) > 0);
            self.faults.push(PlannedFault { at_ns: at_ns + self.timeout_ns, what });
        }
        if rng.below(2) == 0 {
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
            self.faults.push(PlannedFault { at_ns, what: FaultTarget::DiesInstalling(target, lasting) });
        }
    }
}

/// The journal of a member is lost, or was: its next incarnation takes its place.
pub(super) fn replace(world: &mut World, target: FaultTargetNode) {
    let Some(node) = world.resolve(target).filter(|node| !world.plan.is_archiver(*node)) else { return };
    if world.lost >> node & 1 == 0 {
        world.forget(target);
    }
    let Actor::Replica(machine) = &world.nodes[node].actor else { return };
    if world.lost >> node & 1 == 1 {
        let patient = world.rng.below(4) > 0;
        let old = machine.identity;
        if world.rng.below(2) == 0 {
            return world.order(&[OperatorStep::Renew(node), OperatorStep::Swap { node, patient }], 0);
        }
        let add = OperatorStep::Add { node, witness: false, patient };
        world.order(&[OperatorStep::Remove(old), OperatorStep::Renew(node), add], 0);
    }
}

/// The journal of one that is no founder is lost, and formatted anew.
pub(super) fn reformat(world: &mut World, target: FaultTargetNode) {
    let Some(node) = world.resolve(target) else { return };
    if world.lost >> node & 1 == 0 {
        world.forget(target);
    }
    if world.lost >> node & 1 == 1 {
        world.order(&[OperatorStep::Renew(node)], 0);
    }
}

/// The next process that begins behind a checkpoint here dies in the call that stores it.
pub(super) fn die_installing(world: &mut World, target: FaultTargetNode, lasting: Nanos) {
    if let Some(node) = world.resolve(target) {
        world.nodes[node].dies_installing = Some(StorageFault { power: false, lasting });
    }
}

/// Whether a machine's journal has no record, so that it may begin behind a checkpoint.
fn is_bare(machine: &Machine) -> bool {
    match &machine.state {
        MachineState::Up(replica) => replica.is_installable(),
        MachineState::Down(memory, _) => {
            let is_segment = |file: &FileName| matches!(file, FileName::Segment(_) | FileName::Packed(_));
            let published = memory.as_ref().map_or(0, |memory| memory.word(Word::PublishedPos));
            published == 0 && machine.store.list().is_ok_and(|files| !files.iter().any(is_segment))
        }
        MachineState::Lost => false,
    }
}

/// Whether retention has removed what follows the log of a node while it was reading: it has records, and
/// none
/// has what comes next. It says so (LS1107), and its operator formats it again.
pub(super) fn is_overtaken(machine: &Machine) -> bool {
    let has_records = machine.replica().is_some_and(|replica| !replica.tail().is_untouched());
    has_records && machine.fetching.as_ref().is_some_and(|fetching| fetching.is_overtaken)
}

/// Up to where the log of the others may have lost its beginning for a node: one that has no record begins
/// behind a checkpoint, wherever that is.
pub(super) fn joins_at(world: &World, node: usize) -> Seq {
    match &world.nodes[node].actor {
        Actor::Replica(machine) if world.plan.archives_are_cut && is_bare(machine) => Seq::MAX,
        _ => world.stored_next(node),
    }
}

/// The nodes that hold no entry, and whose journal is not lost, as the faults end: they join.
pub(super) fn joiners(world: &World) -> NodeSet {
    let joins = |node: &usize| world.lost >> node & 1 == 0 && joins_at(world, *node) == Seq::MAX;
    (0..world.plan.replicas).filter(joins).fold(0, |nodes, node| nodes | 1 << node)
}

/// A run has ended: whoever was to join has joined, unless retention was faster.
pub(super) fn count_joined(world: &mut World) {
    for node in (0..world.plan.replicas).filter(|node| world.joiners >> node & 1 == 1) {
        let Actor::Replica(machine) = &world.nodes[node].actor else { continue };
        let event = if is_overtaken(machine) { Event::Overtaken } else { Event::JoinedCalm };
        world.oracle.coverage.count(event);
    }
}

/// A node that has no record begins with the tables that another one gave it, once they are on its disk.
/// Returns the work that was done.
pub(super) fn install(world: &mut World, index: usize, checkpoint: &Checkpoint) -> Result<usize, Violation> {
    let SimNode { actor, dies_installing, .. } = &mut world.nodes[index];
    let Actor::Replica(machine) = actor else { return Ok(0) };
    let Some(replica) = machine.replica().filter(|replica| replica.may_begin_behind(checkpoint)) else {
        return Ok(0);
    };
    on_storing(&mut world.oracle, index, checkpoint.end)?;
    let begins_again = replica.tail().end().next > 1;
    if let Some(ordeal) = dies_installing.take_if(|_| !machine.store.is_armed()) {
        machine.arm(DiskFault::Death, 0, ordeal.lasting, ordeal);
    }
    match machine.install(checkpoint) {
        Ok(Flushed::Died) => {
            world.oracle.coverage.count(Event::InstallsDied);
            world.on_died(index);
        }
        Ok(Flushed::Failed(why) | Flushed::Damaged(why)) => world.on_device_failed(index, why),
        // What nobody planned is found by the next turn of the side thread.
        Ok(Flushed::GoesOn) | Err(_) => {}
    }
    let next = checkpoint.end.next;
    let Actor::Replica(machine) = &world.nodes[index].actor else { return Ok(0) };
    if machine.replica().is_none_or(|replica| replica.tail().end() != checkpoint.end) {
        return Ok(0);
    }
    world.oracle.coverage.count(Event::Installed);
    if begins_again {
        world.oracle.coverage.count(Event::InstalledAgain);
    }
    world.tell(index, || Happening::Note(format!("begins behind a checkpoint at seq {next}")));
    Ok(1)
}
