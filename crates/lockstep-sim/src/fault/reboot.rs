//! A machine loses its power, and its memory with it.

use super::Strike;
use crate::check::Violation;
use crate::kinds::{DiskPlan, FaultNode};
use crate::rng::Rng;
use crate::world::World;
use lockstep_wire::Nanos;

/// A machine loses its power, and its memory with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RebootFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// What its disk loses with it.
    pub disk: DiskPlan,
    /// It has no power for so long.
    pub lasting: Nanos,
}

impl Strike for RebootFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, disk, lasting } = self;
        let World { ctx, machines, .. } = world;
        if let Some(index) = machines.resolve(target).filter(|index| machines.may_forget(ctx, *index)) {
            let how = (disk == DiskPlan::Torn, disk == DiskPlan::WithTail);
            machines.lose_power(ctx, index, how, lasting);
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl RebootFault {
    /// One with this target.
    pub(crate) fn draw(rng: &mut Rng, target: FaultNode, lasting: Nanos) -> Self {
        Self { target, disk: rng.pick(&[DiskPlan::Intact, DiskPlan::Torn]), lasting }
    }
}
