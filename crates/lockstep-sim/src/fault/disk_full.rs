//! A disk is nearly full for a while.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::story::{Happening, ms};
use crate::world::World;
use lockstep_wire::Nanos;

/// A disk is nearly full for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DiskFullFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for DiskFullFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, lasting } = self;
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(target) else { return Ok(()) };
        if let Some(machine) = machines.get_mut(index) {
            machine.fill_disk(ctx.now, lasting);
        }
        ctx.count(Event::DisksFull);
        ctx.tell(index, || Happening::Fault(format!("disk full {}", ms(lasting))));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
