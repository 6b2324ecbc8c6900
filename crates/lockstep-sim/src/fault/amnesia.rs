//! A journal is lost.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::world::World;
use lockstep_wire::Nanos;

/// A journal is lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AmnesiaFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// Drawn as for other faults; what is lost stays lost.
    pub lasting: Nanos,
}

impl Strike for AmnesiaFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.machines.forget(&mut world.ctx, self.target);
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
