//! Faults of machines and disks: one machine or many lose power; a process dies in a call of its disk; a
//! device fails, or is full.

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::disk::DiskFault;
use crate::fault_phase::{ms, on_changed};
use crate::machine::MachineState;
use crate::machines::Machines;
use crate::plan::{DiskPlan, EndPlan, Fault, FaultNode};
use crate::storage::StorageFault;
use crate::story::Happening;
use crate::wire::NodeSet;
use crate::world::World;
use lockstep_core::engine::replay::{ReplayItem, piece};
use lockstep_core::proto::commit::Durability;
use lockstep_replica::journal::side::SideThread;
use lockstep_replica::replica::CatchUpPlan;
use lockstep_wire::Nanos;

/// The most consecutive queries to other nodes for the missing part of one segment.
const QUERIES_MAX: u32 = 32;

impl Machines {
    /// Whether the machine may lose its memory: in `process` its identity is lost with it, unless it was
    /// stopped cleanly.
    fn may_forget(&self, ctx: &RunContext, index: usize) -> bool {
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
        let is_born = ctx.oracle.log_next(index) == 2 && ctx.oracle.durable_next(index) == 1;
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
                self.watch_handover(ctx, index, None);
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

    fn arm(
        &mut self,
        ctx: &mut RunContext,
        index: usize,
        disk_fault: DiskFault,
        calls: u64,
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

impl World {
    /// Whether the machine may lose its memory at any time from now on: all its acks and promises will be on
    /// the device.
    fn is_safe_for_good(&self, index: usize) -> bool {
        let later = self.ctx.plan.faults.iter().filter_map(|fault| match fault.what {
            Fault::Reconfigure(_, configured, ..) => Some(configured),
            _ => None,
        });
        let all_power = later.chain(self.ctx.plan.configured.get(index).copied());
        all_power.into_iter().all(|configured| configured.durability == Durability::Power)
    }

    /// A process dies or is stopped, and the next one is given the tail's other path.
    pub(crate) fn move_tail(
        &mut self,
        target: FaultNode,
        end: EndPlan,
        lasting: Nanos,
    ) -> Result<(), Violation> {
        let Some(index) = self.machines.resolve(target) else { return Ok(()) };
        if !self.node(index).runs() || end != EndPlan::Stopped && !self.machines.may_forget(&self.ctx, index)
        {
            return Ok(());
        }
        self.crash(FaultNode::Replica(index), end, lasting)?;
        let Some(machine) = self.machines.get_mut(index) else { return Ok(()) };
        machine.moves_tail = true;
        if end != EndPlan::Stopped {
            self.machines.moved_tail(&mut self.ctx, index);
        }
        Ok(())
    }

    /// The machine loses its power, and its memory with it.
    pub(crate) fn reboot(
        &mut self,
        target: FaultNode,
        disk: DiskPlan,
        lasting: Nanos,
    ) -> Result<(), Violation> {
        let Some(index) =
            self.machines.resolve(target).filter(|index| self.machines.may_forget(&self.ctx, *index))
        else {
            return Ok(());
        };
        self.machines.lose_power(
            &mut self.ctx,
            index,
            (disk == DiskPlan::Torn, disk == DiskPlan::WithTail),
            lasting,
        );
        Ok(())
    }

    /// All of these lose power at once.
    pub(crate) fn black_out(&mut self, machines: NodeSet, lasting: Nanos) {
        let mut dark = 0;
        for index in (0..self.ctx.plan.replicas).filter(|index| machines >> index & 1 == 1) {
            if self.machines.may_forget(&self.ctx, index) {
                let within = self.ctx.rng.below(2) == 0;
                let until = lasting + self.ctx.rng.below(self.ctx.plan.timeout_ns);
                self.machines.lose_power(&mut self.ctx, index, (within, false), until);
                dark += 1;
            }
        }
        if dark > 1 {
            self.ctx.count(Event::BlackOuts);
        }
        if dark == self.ctx.plan.replicas {
            self.ctx.count(Event::BlackOutsOfAll);
        }
    }

    /// The process dies in a call of its disk, and perhaps the machine with it.
    pub(crate) fn arm_death(&mut self, target: FaultNode, calls: u64, power: bool, lasting: Nanos) {
        let Some(index) = self.machines.resolve(target).filter(|index| {
            !power || self.is_safe_for_good(*index) || self.machines.may_lose(&self.ctx, *index)
        }) else {
            return;
        };
        if power && !self.is_safe_for_good(index) {
            self.machines.lost |= 1 << index;
        }
        self.machines.arm(&mut self.ctx, index, DiskFault::Death, calls, StorageFault { power, lasting });
    }

    /// The device fails a call.
    pub(crate) fn arm_failure(
        &mut self,
        target: FaultNode,
        disk_fault: DiskFault,
        calls: u64,
        lasting: Nanos,
    ) {
        // It may refuse to continue then.
        let Some(index) =
            self.machines.resolve(target).filter(|index| self.machines.may_lose(&self.ctx, *index))
        else {
            return;
        };
        self.machines.lost |= 1 << index;
        self.machines.arm(&mut self.ctx, index, disk_fault, calls, StorageFault { power: false, lasting });
    }

    /// A bit of a sealed segment changes while its replica runs.
    pub(crate) fn rot(&mut self, target: FaultNode) {
        let Some(index) =
            self.machines.resolve(target).filter(|index| self.machines.may_lose(&self.ctx, *index))
        else {
            return;
        };
        let Some(machine) = self.machines.get_mut(index) else { return };
        let Some(number) = machine.rot(&mut self.ctx.rng) else { return };
        // It may be read before it is mended, and then the replica may refuse to continue.
        on_changed(self, index, Event::Rot);
        self.ctx.tell(index, || Happening::Fault(format!("a bit of its segment {number} changes")));
    }

    /// The disk is nearly full for a while.
    pub(crate) fn fill_disk(&mut self, target: FaultNode, lasting: Nanos) {
        let Some(index) = self.machines.resolve(target) else { return };
        let now = self.ctx.now;
        if let Some(machine) = self.machines.get_mut(index) {
            machine.fill_disk(now, lasting);
        }
        self.ctx.count(Event::DisksFull);
        self.ctx.tell(index, || Happening::Fault(format!("disk full {}", ms(lasting))));
    }
}
