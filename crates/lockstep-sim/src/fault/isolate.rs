//! A replica is cut off.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::FaultNode;
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::wire::{ALL_TRAFFIC, Broken};
use crate::world::World;
use lockstep_wire::Nanos;

/// A replica is cut off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IsolateFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// Nothing reaches it.
    pub deaf: bool,
    /// It reaches nobody.
    pub mute: bool,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for IsolateFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, deaf, mute, lasting } = self;
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(target) else { return Ok(()) };
        let (one, until) = (1 << index, ctx.now + lasting);
        let cut = |from, to| Broken { from, to, traffic: ALL_TRAFFIC, until, clogged: false };
        ctx.count(if deaf && mute { Event::Partitions } else { Event::PartitionsOneWay });
        if deaf {
            ctx.network.break_path(cut(!one, one));
        }
        if mute {
            ctx.network.break_path(cut(one, !one));
        }
        ctx.tell(index, || Happening::Fault(format!("isolated (deaf {deaf}, mute {mute}) {}", ms(lasting))));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl IsolateFault {
    /// In both directions, or in one of them.
    pub(crate) fn draw(rng: &mut Rng, target: FaultNode, lasting: Nanos) -> Self {
        let (deaf, mute) = match rng.below(3) {
            0 => (true, true),
            1 => (true, false),
            _ => (false, true),
        };
        Self { target, deaf, mute, lasting }
    }
}
