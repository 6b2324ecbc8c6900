//! The operator orders the log to rise to the newest version.

use super::{Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::World;
use lockstep_wire::{QueryKind, VERSION_MIN};

/// The operator orders the log to rise to the newest version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UpgradeFault;

impl Strike for UpgradeFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.operator.order_log(&mut world.ctx, &world.machines, QueryKind::Upgrade);
        Ok(())
    }
}

impl Plan {
    /// One history in four begins in the oldest version, and its operator orders the newest one: drawn beside
    /// the rest, so that no other seed changes.
    pub(crate) fn draw_upgrades(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x7e25);
        if rng.below(4) > 0 {
            return;
        }
        self.version = VERSION_MIN;
        for _ in 0..rng.below(4) {
            let at_ns = rng.below(self.fault_phase_ns);
            self.faults.push(PlannedFault { at_ns, what: Fault::Upgrade(UpgradeFault) });
        }
    }
}
