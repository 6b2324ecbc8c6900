//! A bit of a sealed segment changes while its replica runs.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::story::Happening;
use crate::world::World;

/// A bit of a sealed segment changes while its replica runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RotFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for RotFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(self.target).filter(|index| machines.may_lose(ctx, *index)) else {
            return Ok(());
        };
        let Some(number) = machines.get_mut(index).and_then(|machine| machine.rot(&mut ctx.rng)) else {
            return Ok(());
        };
        // It may be read before it is mended, and then the replica may refuse to continue.
        world.on_changed(index, Event::Rot);
        world.ctx.tell(index, || Happening::Fault(format!("a bit of its segment {number} changes")));
        Ok(())
    }
}
