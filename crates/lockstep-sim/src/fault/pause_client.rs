//! A publisher or subscriber is paused.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::world::World;
use lockstep_wire::Nanos;

/// A publisher or subscriber is paused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PauseClientFault {
    /// Its node.
    pub client: usize,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for PauseClientFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        world.ctx.count(Event::Pauses);
        world.pause(self.client, self.lasting);
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
