//! One is to join and one is to leave at the same moment.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::operator::OperatorStep;
use crate::world::World;

/// One is to join and one is to leave at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TwoOrdersFault {
    /// The one that is to join.
    pub node: usize,
    /// The one that is to leave.
    pub target: FaultNode,
}

impl Strike for TwoOrdersFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { node, target } = self;
        let World { ctx, machines, operator, .. } = world;
        ctx.count(Event::OrdersTwo);
        operator.order(ctx, &[OperatorStep::Add { node, witness: false, patient: false }], 0);
        operator.remove(ctx, machines, target);
        Ok(())
    }
}
