//! A replica is to leave the membership.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::world::World;

/// A replica is to leave the membership.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RemoveFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for RemoveFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.operator.remove(&mut world.ctx, &world.machines, self.target);
        Ok(())
    }
}
