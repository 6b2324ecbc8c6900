//! The journal of a replica that is no founder is lost, and formatted anew.

use super::Strike;
use crate::check::Violation;
use crate::kinds::FaultNode;
use crate::operator::OperatorStep;
use crate::world::World;

/// The journal of a replica that is no founder is lost, and formatted anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReformatFault {
    /// The replica that it strikes.
    pub target: FaultNode,
}

impl Strike for ReformatFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let World { ctx, machines, operator, .. } = world;
        if let Some(node) = machines.lose_journal(ctx, self.target) {
            operator.order(ctx, &[OperatorStep::Renew(node)], 0);
        }
        Ok(())
    }
}
