//! Another process opens a publisher's name.

use super::Strike;
use crate::check::Violation;
use crate::world::World;

/// Another process opens a publisher's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FenceFault {
    /// The node of that publisher.
    pub publisher: usize,
}

impl Strike for FenceFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.clients.start_rival(&mut world.ctx);
        Ok(())
    }
}
