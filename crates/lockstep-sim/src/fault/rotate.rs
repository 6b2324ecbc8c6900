//! Nodes take a step of a rotation of keys.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::RotationStep;
use crate::story::Happening;
use crate::wire::NodeSet;
use crate::world::World;

/// Nodes take a step of a rotation of keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RotateFault {
    /// The nodes.
    pub nodes: NodeSet,
    /// The step.
    pub step: RotationStep,
}

impl Strike for RotateFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { nodes, step } = self;
        let hosts = (0..world.count_nodes()).filter(|node| nodes >> node & 1 == 1);
        let taken = hosts.map(|node| world.node(node).host().keys.take(step)).count();
        (0..taken).for_each(|_| world.ctx.count(Event::KeysRotated));
        world.ctx.tell(0, || Happening::Fault(format!("{taken} nodes: {step:?}")));
        Ok(())
    }
}
