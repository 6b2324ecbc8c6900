//! These processes are requested to stop; each machine loses power once its process has stopped.

use super::Strike;
use crate::check::Violation;
use crate::wire::NodeSet;
use crate::world::World;
use lockstep_wire::Nanos;

/// These processes are requested to stop; each machine loses power once its process has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DarkFault {
    /// The machines.
    pub machines: NodeSet,
    /// They have no power for so long.
    pub lasting: Nanos,
}

impl Strike for DarkFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.machines.stop_and_darken(&mut world.ctx, self.machines, self.lasting);
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
