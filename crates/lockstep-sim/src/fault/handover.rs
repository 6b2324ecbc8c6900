//! The leader is commanded to hand over.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::rng::Rng;
use crate::story::Happening;
use crate::world::World;

/// The leader is commanded to hand over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HandoverFault {
    /// To this replica; or to the one with the longest log.
    pub to: Option<usize>,
}

impl Strike for HandoverFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(FaultNode::Leader) else { return Ok(()) };
        let to = self.to.and_then(|to| machines.get(to)).map(|machine| machine.identity);
        if let Some(machine) = machines.get_mut(index)
            && let now = machine.clock.at(ctx.now)
            && let Some(replica) = machine.replica_mut()
            && replica.start_handover(now, to)
        {
            machines.nodes[index].watch_handover(ctx, index, to);
            ctx.count(Event::Handovers);
            ctx.tell(index, || Happening::Fault(format!("is to hand over to {to:?}")));
        }
        Ok(())
    }
}

impl HandoverFault {
    /// To one of so many replicas, or to none of them by name.
    pub(crate) fn draw(rng: &mut Rng, replicas: usize) -> Self {
        let to = rng.below(replicas as u64 + 1) as usize;
        Self { to: (to < replicas).then_some(to) }
    }
}
