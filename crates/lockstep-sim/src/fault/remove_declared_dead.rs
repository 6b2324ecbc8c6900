//! One of two members dies for long, or is cut off; and the other receives the command that it is dead.

use super::{CrashFault, Strike};
use crate::check::Violation;
use crate::kinds::{EndPlan, FaultNode};
use crate::operator::OperatorStep;
use crate::rng::Rng;
use crate::wire::{ALL_TRAFFIC, Broken};
use crate::world::World;

/// One of two members dies for long, or is cut off; and the other receives the command that it is dead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RemoveDeclaredDeadFault {
    /// The first of the two survives.
    pub first: bool,
    /// The other one is dead, and not only cut off.
    pub truly: bool,
}

impl Strike for RemoveDeclaredDeadFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { first, truly } = self;
        let members = world.machines.members_in_force(&world.ctx);
        let nodes: Vec<_> = members.iter().filter_map(|member| world.machines.node_of(*member)).collect();
        let &[one, other] = &nodes[..] else { return Ok(()) };
        let (survivor, gone) = if first { (one, other) } else { (other, one) };
        let (Some(dead), timeout_ns) = (world.machines.identity_at(gone), world.ctx.plan.timeout_ns) else {
            return Ok(());
        };
        let declare = OperatorStep::Declare { survivor, dead, truly };
        if truly {
            CrashFault { target: FaultNode::Replica(gone), end: EndPlan::Clean, lasting: 30 * timeout_ns }
                .apply(world)?;
            world.machines.lost |= 1 << gone;
            let add = OperatorStep::Add { node: gone, witness: false, patient: true };
            world.operator.order(&mut world.ctx, &[declare, OperatorStep::Renew(gone), add], 2 * timeout_ns);
            return Ok(());
        }
        let until = world.ctx.now + 12 * timeout_ns;
        let cut = |from, to| Broken { from, to, traffic: ALL_TRAFFIC, until, clogged: false };
        world.ctx.network.break_path(cut(1 << gone, !(1 << gone)));
        world.ctx.network.break_path(cut(!(1 << gone), 1 << gone));
        world.operator.order(&mut world.ctx, &[declare], 2 * timeout_ns);
        Ok(())
    }
}

impl RemoveDeclaredDeadFault {
    /// Any one of the four.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self { first: rng.below(2) == 0, truly: rng.below(2) == 0 }
    }
}
