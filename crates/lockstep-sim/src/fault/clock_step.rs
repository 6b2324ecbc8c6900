//! A wall clock jumps.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::plan::{DAY_MS, DAY_NS};
use crate::rng::Rng;
use crate::story::Happening;
use crate::world::World;

/// A wall clock jumps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClockStepFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// By so many milliseconds.
    pub by_ms: i64,
}

impl Strike for ClockStepFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, by_ms } = self;
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(target) else { return Ok(()) };
        if let Some(machine) = machines.get_mut(index) {
            machine.wall_ahead += by_ms * 1_000_000;
        }
        ctx.count(Event::ClockSteps);
        if by_ms.unsigned_abs() * 1_000_000 >= DAY_NS {
            ctx.count(Event::ClockStepsOfDays);
        }
        ctx.tell(index, || Happening::Fault(format!("clock steps by {by_ms} ms")));
        Ok(())
    }
}

impl ClockStepFault {
    /// One with this target: up to a day.
    pub(crate) fn draw(rng: &mut Rng, target: FaultNode) -> Self {
        let by_ms = rng.pick(&[-DAY_MS, -3_600_000, -1_000, -1, 1, 1_000, 3_600_000, DAY_MS]);
        Self { target, by_ms }
    }
}
