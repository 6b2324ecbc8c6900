//! Faults of machines and disks: one machine or many lose power; a process dies in a call of its disk; a
//! device fails, or is full.

use crate::context::RunContext;
use crate::coverage::Event;
use crate::disk::DiskFault;
use crate::kinds::FaultNode;
use crate::machine::MachineState;
use crate::machine::storage::StorageFault;
use crate::machines::Machines;
use crate::story::{Happening, ms};
use crate::wire::NodeSet;
use lockstep_core::engine::replay::{ReplayItem, piece};
use lockstep_replica::journal::side::SideThread;
use lockstep_replica::replica::CatchUpPlan;
use lockstep_wire::Nanos;

/// The most consecutive queries to other nodes for the missing part of one segment.
const QUERIES_MAX: u32 = 32;

impl Machines {
    /// The journal of a node is lost, if it may be; the node, if it is.
    pub(crate) fn lose_journal(&mut self, ctx: &mut RunContext, target: FaultNode) -> Option<usize> {
        let node = self.resolve(target)?;
        if self.lost >> node & 1 == 0 {
            self.forget(ctx, FaultNode::Replica(node));
        }
        (self.lost >> node & 1 == 1).then_some(node)
    }

    /// The same of one that may be a member.
    pub(crate) fn lose_members_journal(&mut self, ctx: &mut RunContext, target: FaultNode) -> Option<usize> {
        let node = self.resolve(target).filter(|node| !ctx.plan.is_archiver(*node))?;
        self.lose_journal(ctx, FaultNode::Replica(node))
    }

    /// Whether the machine may lose its memory: in `process` its identity is lost with it, unless it was
    /// stopped cleanly.
    pub(crate) fn may_forget(&self, ctx: &RunContext, index: usize) -> bool {
        let is_safe = match self.get(index) {
            Some(machine) => machine.is_on_device(),
            _ => false,
        };
        is_safe || self.may_lose(ctx, index)
    }

    /// No process runs at `index`: the next one is given the tail's other path, if that was planned.
    pub(crate) fn moved_tail(&mut self, ctx: &mut RunContext, index: usize) {
        let Some(machine) = self.get_mut(index) else { return };
        if !std::mem::take(&mut machine.moves_tail) {
            return;
        }
        machine.move_tail();
        if machine.forgot {
            self.lost |= 1 << index;
        }
        ctx.count(Event::OtherTails);
        ctx.tell(index, || Happening::Fault("its tail is to lie at the other path".to_string()));
    }

    /// The machine loses power, `within` a call of the side thread or between two; the tail is on a disk if
    /// `with_tail`.
    pub(crate) fn lose_power(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        (within, with_tail): (bool, bool),
        lasting: Nanos,
    ) {
        let is_born = ctx.oracle.facts.log_next(index) == 2 && ctx.oracle.facts.durable_next(index) == 1;
        let led = self.nodes[index].led.is_some();
        let (now, rng) = (ctx.now, &mut ctx.rng);
        let Some(machine) = self.get_mut(index) else { return };
        if machine.is_lost() {
            return;
        }
        let cached = machine.lose_power(now, now + lasting, (within, with_tail), rng);
        let has_tail = matches!(machine.state, MachineState::Down(Some(_), _));
        if machine.forgot {
            self.lost |= 1 << index;
        }
        if cached {
            ctx.count(if within { Event::TornWrites } else { Event::CachesLost });
        }
        if led {
            ctx.count(Event::LeaderCrashes);
        }
        ctx.count(Event::Reboots);
        if has_tail {
            ctx.count(Event::TailsOfOldBoots);
        }
        if is_born {
            ctx.count(Event::GenesisLost);
        }
        (self.nodes[index].led, self.nodes[index].notice) = (None, Vec::new());
        ctx.tell(index, || {
            Happening::Fault(format!(
                "loses power (within a call {within}, lost what was cached {cached}) {}",
                ms(lasting)
            ))
        });
    }

    /// These are requested to stop, and each loses power once it has.
    pub(crate) fn stop_and_darken(&mut self, ctx: &mut RunContext, machines: NodeSet, lasting: Nanos) {
        let (now, deadline) = (ctx.now, ctx.now + 20 * ctx.plan.timeout_ns);
        for index in (0..ctx.plan.replicas).filter(|index| machines >> index & 1 == 1) {
            let Some(machine) = self.get_mut(index) else { continue };
            let shown = machine.clock.at(now);
            if let Some(replica) = machine.replica_mut() {
                replica.start_drain(shown);
                machine.stopping = Some((deadline, now + lasting));
                machine.darkens = Some(lasting);
                self.nodes[index].watch_handover(ctx, index, None);
            }
        }
        ctx.tell(0, || {
            Happening::Fault(format!("to stop, and then without power: {machines:#b} {}", ms(lasting)))
        });
    }

    /// A machine was stopped cleanly: it loses power, if that was planned.
    pub(crate) fn darken(&mut self, ctx: &mut RunContext, index: usize) {
        let Some(machine) = self.get_mut(index) else { return };
        if let Some(lasting) = machine.darkens.take() {
            self.lose_power(ctx, index, (false, false), lasting);
            ctx.count(Event::DarkenedClean);
        }
    }

    /// Its disk fails, or its process dies, in the call after so many.
    pub(crate) fn arm(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        (disk_fault, calls): (DiskFault, u64),
        ordeal: StorageFault,
    ) {
        let salt = ctx.rng.next_u64();
        if let Some(machine) = self.get_mut(index)
            && !machine.is_lost()
        {
            machine.arm(disk_fault, calls, salt, ordeal);
            ctx.tell(index, || Happening::Fault(format!("{disk_fault:?} after {calls} calls, {ordeal:?}")));
        }
    }

    /// The process died in a call of its disk.
    pub(crate) fn on_died(&mut self, ctx: &mut RunContext, index: usize) {
        let now = ctx.now;
        let Some(machine) = self.get_mut(index) else { return };
        let ordeal = machine.ordeal.take().unwrap_or(StorageFault { power: false, lasting: 0 });
        let until = now + ordeal.lasting;
        machine.end(until);
        ctx.count(Event::DeathsInCalls);
        if ordeal.power {
            self.lose_power(ctx, index, (false, false), ordeal.lasting);
        } else {
            self.announce_death(ctx, index);
        }
        ctx.tell(index, || Happening::Note("dies in a call of its disk".to_string()));
    }

    /// The device failed a call: the replica has become silent, and is started again later.
    pub(crate) fn on_device_failed(&mut self, ctx: &mut RunContext, index: usize, why: String) {
        let now = ctx.now;
        let Some(machine) = self.get_mut(index) else { return };
        let lasting = machine.ordeal.take().map_or(0, |ordeal| ordeal.lasting);
        machine.end(now + lasting);
        self.announce_death(ctx, index);
        ctx.count(Event::DeviceFailures);
        ctx.tell(index, || Happening::Note(format!("stops: {why}")));
    }

    /// Fetches the missing part of a damaged segment from another machine, if one sends it.
    pub(crate) fn bring(&mut self, ctx: &mut RunContext, index: usize) {
        let side = self.get(index).and_then(|machine| machine.side.as_ref());
        let Some(wanted) = side.and_then(SideThread::missing) else { return };
        let repairer = ctx.rng.below(ctx.plan.replicas as u64) as usize;
        let order = CatchUpPlan::new(0, wanted.from, Some(wanted.chain));
        let bytes = self.request(ctx, index, repairer, &order);
        let Some((machine, keys)) = self.with_keys(index) else { return };
        let Some(side) = &mut machine.side else { return };
        machine.asked += 1;
        let (mut at, mut from) = (0, wanted.from);
        while at < bytes.len()
            && side.missing().is_some_and(|missing| missing.from == from)
            && let Ok(Some((ReplayItem::Frame(frame), len))) = piece(&bytes[at..], &keys.replica)
        {
            if !side.bring(frame.bytes) {
                break;
            }
            (at, from, machine.asked) = (at + len, frame.header.next_seq(), 0);
        }
        if machine.asked > QUERIES_MAX {
            machine.asked = 0;
            side.bring_nothing("nobody gives it".to_string());
        }
    }
}
