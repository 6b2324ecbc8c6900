//! A fault of the edge.

use super::Strike;
use crate::check::Violation;
use crate::edge::EdgeFault;
use crate::world::World;

impl Strike for EdgeFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        if let Some(edge) = &mut world.edge {
            edge.befall(&mut world.ctx, self);
        }
        Ok(())
    }
}
