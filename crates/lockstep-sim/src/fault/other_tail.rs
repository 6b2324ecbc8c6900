//! A process dies or is stopped, and the next one is given the tail's other path.

use super::{CrashFault, Strike};
use crate::check::Violation;
use crate::kinds::{EndPlan, FaultNode};
use crate::world::World;
use lockstep_wire::Nanos;

/// A process dies or is stopped, and the next one is given the tail's other path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OtherTailFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The way in which the process ends.
    pub end: EndPlan,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for OtherTailFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, end, lasting } = self;
        let Some(index) = world.machines.resolve(target) else { return Ok(()) };
        let may_forget = |world: &World| world.machines.may_forget(&world.ctx, index);
        if !world.node(index).runs() || end != EndPlan::Stopped && !may_forget(world) {
            return Ok(());
        }
        CrashFault { target: FaultNode::Replica(index), end, lasting }.apply(world)?;
        let World { ctx, machines, .. } = world;
        if let Some(machine) = machines.get_mut(index) {
            machine.moves_tail = true;
        }
        if end != EndPlan::Stopped {
            machines.moved_tail(ctx, index);
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
