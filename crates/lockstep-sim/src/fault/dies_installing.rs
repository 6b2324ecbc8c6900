//! The next process that begins behind a checkpoint dies in the call that stores it.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::machine::storage::StorageFault;
use crate::world::World;
use lockstep_wire::Nanos;

/// The next process that begins behind a checkpoint dies in the call that stores it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DiesInstallingFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for DiesInstallingFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        if let Some(node) = world.machines.resolve(self.target) {
            let ordeal = StorageFault { power: false, lasting: self.lasting };
            world.machines.nodes[node].dies_installing = Some(ordeal);
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
