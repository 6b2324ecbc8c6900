//! A publisher or subscriber dies and is started again.

use super::Strike;
use crate::check::Violation;
use crate::world::World;

/// A publisher or subscriber dies and is started again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientCrashFault {
    /// Its node.
    pub client: usize,
}

impl Strike for ClientCrashFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.clients.crash(&mut world.ctx, self.client);
        Ok(())
    }
}
