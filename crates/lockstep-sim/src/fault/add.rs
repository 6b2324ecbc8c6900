//! The replica at a node is to become a member.

use super::Strike;
use crate::check::Violation;
use crate::operator::OperatorStep;
use crate::rng::Rng;
use crate::world::World;

/// The replica at a node is to become a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddFault {
    /// The node.
    pub node: usize,
    /// As a witness.
    pub witness: bool,
    /// Once it has caught up, and not at once.
    pub patient: bool,
}

impl Strike for AddFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { node, witness, patient } = self;
        if !world.ctx.plan.is_archiver(node) {
            world.operator.order(&mut world.ctx, &[OperatorStep::Add { node, witness, patient }], 0);
        }
        Ok(())
    }
}

impl AddFault {
    /// The replica at this node.
    pub(crate) fn draw(rng: &mut Rng, node: usize) -> Self {
        Self { node, witness: rng.below(4) == 0, patient: rng.below(4) > 0 }
    }
}
