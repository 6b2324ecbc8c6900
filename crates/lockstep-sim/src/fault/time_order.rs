//! The operator orders the stream's time back, which ran ahead or did not.

use super::{Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::plan::{DAY_MS, Plan};
use crate::rng::Rng;
use crate::world::World;
use lockstep_replica::journal::Retention;
use lockstep_wire::QueryKind;

/// The operator orders the stream's time back, which ran ahead or did not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimeOrderFault;

impl Strike for TimeOrderFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.operator.order_log(&mut world.ctx, &world.machines, QueryKind::Time);
        Ok(())
    }
}

impl Plan {
    /// One history in sixteen begins while all clocks are ahead; an operator orders its time back, and now
    /// and then that of another one: drawn beside the rest, so that no other seed changes. Where retention
    /// removes what is older than the day, no clock is wrong by days.
    pub(crate) fn draw_time_orders(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x71_3e0d);
        if rng.below(16) > 0 || self.retention != Retention::default() {
            return;
        }
        let by_ms = rng.pick(&[0, 60_000, 3_600_000, DAY_MS, 15 * 365 * DAY_MS]);
        let until = rng.below(self.fault_phase_ns / 2);
        self.set_clocks((0, self.replicas), by_ms, (0, until));
        for _ in 0..1 + rng.below(4) {
            let at_ns = rng.below(self.fault_phase_ns);
            self.faults.push(PlannedFault { at_ns, what: Fault::TimeOrder(TimeOrderFault) });
        }
    }
}
