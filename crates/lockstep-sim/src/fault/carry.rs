//! A journal and its tail are copied for another machine; once more if the process stops cleanly.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::world::World;

/// A journal and its tail are copied for another machine; once more if the process stops cleanly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CarryFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for CarryFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, .. } = world;
        if let Some(index) = machines.resolve(self.target) {
            machines.nodes[index].carry(ctx, index);
        }
        Ok(())
    }
}
