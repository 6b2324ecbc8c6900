//! A process dies or is stopped, and the next one starts with another configuration.

use super::{CrashFault, Strike};
use crate::check::Violation;
use crate::kinds::{Configured, EndPlan, FaultNode};
use crate::story::Happening;
use crate::world::World;
use lockstep_wire::Nanos;

/// A process dies or is stopped, and the next one starts with another configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReconfigureFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// That configuration.
    pub configured: Configured,
    /// The way in which the process ends.
    pub end: EndPlan,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for ReconfigureFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, configured, end, lasting } = self;
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(target) else { return Ok(()) };
        if let Some(machine) = machines.get_mut(index) {
            machine.next_configured = Some(configured);
        }
        ctx.tell(index, || Happening::Fault(format!("is to be configured with {configured:?}")));
        CrashFault { target: FaultNode::Replica(index), end, lasting }.apply(world)
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
