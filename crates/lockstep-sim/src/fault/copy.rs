//! The folder of a journal is copied while its replica runs.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::machine::Machine;
use crate::story::Happening;
use crate::world::World;

/// The folder of a journal is copied while its replica runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CopyFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for CopyFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(self.target) else { return Ok(()) };
        if machines.get_mut(index).is_some_and(Machine::copy_journal) {
            ctx.tell(index, || Happening::Fault("its journal is copied".to_string()));
        }
        Ok(())
    }
}
