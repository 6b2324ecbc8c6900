//! The journal of a member is lost, or was: its next incarnation takes its place.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::operator::OperatorStep;
use crate::world::World;

/// The journal of a member is lost, or was: its next incarnation takes its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReplaceFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for ReplaceFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, operator, .. } = world;
        let Some(node) = machines.lose_members_journal(ctx, self.target) else { return Ok(()) };
        let Some(old) = machines.get(node).map(|machine| machine.identity) else { return Ok(()) };
        let patient = ctx.rng.below(4) > 0;
        if ctx.rng.below(2) == 0 {
            let swap = OperatorStep::Swap { node, patient };
            operator.order(ctx, &[OperatorStep::Renew(node), swap], 0);
        } else {
            let add = OperatorStep::Add { node, witness: false, patient };
            operator.order(ctx, &[OperatorStep::Remove(old), OperatorStep::Renew(node), add], 0);
        }
        Ok(())
    }
}
