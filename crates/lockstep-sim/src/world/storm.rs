//! Faults strike; then most of them end.

use crate::check::Violation;
use crate::context::{BEGIN_NS, RunPhase};
use crate::world::World;
use lockstep_wire::Nanos;

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
