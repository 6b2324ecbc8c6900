//! A replica is paused.

use super::Strike;
use crate::check::Violation;
use crate::clients::ClientProcess;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::story::{Happening, ms};
use crate::world::World;
use lockstep_wire::Nanos;

/// A replica is paused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PauseFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for PauseFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Some(index) = world.machines.resolve(self.target) else { return Ok(()) };
        world.ctx.count(Event::Pauses);
        if world.machines.leads(index).is_some() {
            world.ctx.count(Event::LeaderPauses);
        }
        world.pause(index, self.lasting);
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl World {
    /// The process at a node gets no turn for so long.
    pub(super) fn pause(&mut self, index: usize, lasting: Nanos) {
        let (until, takeovers) = (self.ctx.now + lasting, self.ctx.takeovers());
        let host = self.node_mut(index).host_mut();
        host.paused_until = host.paused_until.max(until);
        if let Some(reading) = self.clients.get_mut(index).and_then(ClientProcess::reading_mut) {
            reading.slept.begin(takeovers);
        }
        self.ctx.tell(index, || Happening::Fault(format!("paused {}", ms(lasting))));
    }
}
