//! A command of the past arrives again.

use super::Strike;
use crate::check::Violation;
use crate::world::World;

/// A command of the past arrives again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LateOrderFault;

impl Strike for LateOrderFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.operator.command_late(&mut world.ctx);
        Ok(())
    }
}
