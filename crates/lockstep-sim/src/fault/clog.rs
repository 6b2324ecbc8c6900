//! Packets of a path are delayed.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::wire::{ALL_TRAFFIC, Broken, NodeSet};
use crate::world::World;
use lockstep_wire::Nanos;

/// Packets of a path are delayed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClogFault {
    /// Datagrams of these ...
    pub from: NodeSet,
    /// ... to these wait, and then come all at once.
    pub to: NodeSet,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for ClogFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { from, to, lasting } = self;
        let ctx = &mut world.ctx;
        ctx.count(Event::Clogs);
        let until = ctx.now + lasting;
        ctx.network.break_path(Broken { from, to, traffic: ALL_TRAFFIC, until, clogged: true });
        ctx.tell(0, || Happening::Fault(format!("clogged {from:#b} ▶ {to:#b} {}", ms(lasting))));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl ClogFault {
    /// Any paths among these nodes.
    pub(crate) fn draw(rng: &mut Rng, all: NodeSet, lasting: Nanos) -> Self {
        Self { from: rng.next_u64() as NodeSet & all, to: rng.next_u64() as NodeSet & all, lasting }
    }
}
