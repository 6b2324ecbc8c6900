//! Faults strike; then most of them end.

use crate::check::Violation;
use crate::context::{BEGIN_NS, RunContext, RunPhase};
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::machines::Machines;

use crate::machine::storage::Flushed;
use crate::story::Happening;
use crate::world::World;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Identity, Nanos};

impl World {
    /// The time of the next fault, or of the end of the fault phase.
    pub(crate) fn next_fault_at(&self) -> Nanos {
        if self.ctx.phase != RunPhase::Storm {
            return Nanos::MAX;
        }
        let fault = self.ctx.plan.faults.get(self.next_fault);
        let awake =
            fault.map_or(self.ctx.plan.fault_phase_ns, |fault| fault.at_ns.min(self.ctx.plan.fault_phase_ns));
        (BEGIN_NS + self.ctx.slept_ns + awake).min(self.operator.next_at())
    }

    /// The next fault strikes, or the fault phase ends.
    pub(crate) fn strike(&mut self) -> Result<(), Violation> {
        if self.operator.next_at() <= self.ctx.now {
            return self.operator.operate(&mut self.ctx, &mut self.machines);
        }
        let Some(fault) = self.ctx.plan.faults.get(self.next_fault).copied() else {
            return self.heal_cluster();
        };
        self.next_fault += 1;
        fault.what.apply(self)
    }
}

impl Machines {
    /// The process of `index` has ended: its watcher may announce it.
    pub(crate) fn announce_death(&mut self, ctx: &mut RunContext, index: usize) {
        let notice = std::mem::take(&mut self.nodes[index].notice);
        if self.nodes[index].led.take().is_some() {
            self.leaders_ended += 1;
            ctx.tell(index, || Happening::Leads(None));
        }
        if !notice.is_empty() && ctx.rng.below(4) > 0 {
            ctx.count(Event::Downs);
            let after_ns = 40_000 + ctx.rng.below(80_000);
            ctx.announce_truly(index, &notice, after_ns);
        }
        if !notice.is_empty() {
            self.old_notices.push((index, notice));
        }
    }

    /// A process that was requested to stop does so when its duties are done, or after a while.
    pub(crate) fn stop_if_drained(&mut self, ctx: &mut RunContext, index: usize) -> Result<(), Violation> {
        let now = ctx.now;
        let Some(machine) = self.get_mut(index) else { return Ok(()) };
        let Some((deadline, until)) = machine.stopping else { return Ok(()) };
        if machine.replica().is_some_and(|replica| replica.is_drained()) {
            machine.stopping = None;
            match machine.stop(now, until.max(now))? {
                Flushed::GoesOn => {
                    ctx.oracle.coverage.count(Event::CleanStops);
                    self.carry_stopped(ctx, index);
                    self.moved_tail(ctx, index);
                    self.darken(ctx, index);
                }
                Flushed::Died => {
                    self.on_died(ctx, index);
                    return Ok(());
                }
                Flushed::Failed(why) => {
                    self.on_device_failed(ctx, index, why);
                    return Ok(());
                }
                Flushed::Damaged(_) => machine.kill(until.max(now), None),
            }
        } else if now >= deadline {
            machine.stopping = None;
            machine.kill(until.max(now), None);
        } else {
            return Ok(());
        }
        self.announce_death(ctx, index);
        ctx.tell(index, || Happening::Note("has stopped".to_string()));
        Ok(())
    }

    /// Whether one more identity may be lost.
    pub(crate) fn may_lose(&self, ctx: &RunContext, index: usize) -> bool {
        // Only the archiver has what replicas have removed.
        if ctx.plan.is_archiver(index)
            && ctx.plan.retention != Retention::default()
            && !ctx.plan.archives_are_cut
        {
            return false;
        }
        let members = self.members_in_force(ctx);
        let is_lost = |member: &&Identity| self.node_of(**member).is_none_or(|node| node == index);
        let lost = members.iter().filter(is_lost).count();
        lost < members.len().div_ceil(2)
    }

    pub(crate) fn forget(&mut self, ctx: &mut RunContext, target: FaultNode) {
        let Some(index) = self.resolve(target).filter(|index| self.may_lose(ctx, *index)) else { return };
        self.lost |= 1 << index;
        if let Some(machine) = self.get_mut(index) {
            machine.forget();
            ctx.oracle.on_forgotten(machine.identity);
        }
        self.announce_death(ctx, index);
        ctx.count(Event::Amnesia);
        ctx.tell(index, || Happening::Fault("its journal is gone".to_string()));
    }
}
