//! Datagrams of the past arrive again.

use super::Strike;
use crate::check::Violation;
use crate::world::World;

/// Datagrams of the past arrive again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReplayFault {
    /// So many.
    pub count: u64,
}

impl Strike for ReplayFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let ctx = &mut world.ctx;
        ctx.network.replay(ctx.now, self.count, &mut ctx.oracle.facts.coverage);
        Ok(())
    }
}
