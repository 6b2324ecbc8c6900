//! All of these machines lose power at once.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::wire::NodeSet;
use crate::world::World;
use lockstep_wire::Nanos;

/// All of these machines lose power at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PowerFault {
    /// The machines.
    pub machines: NodeSet,
    /// They have no power for so long, and a little longer.
    pub lasting: Nanos,
}

impl Strike for PowerFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { machines: struck, lasting } = self;
        let World { ctx, machines, .. } = world;
        let mut dark = 0;
        for index in (0..ctx.plan.replicas).filter(|index| struck >> index & 1 == 1) {
            if machines.may_forget(ctx, index) {
                let within = ctx.rng.below(2) == 0;
                let lasting = lasting + ctx.rng.below(ctx.plan.timeout_ns);
                machines.lose_power(ctx, index, (within, false), lasting);
                dark += 1;
            }
        }
        if dark > 1 {
            ctx.count(Event::BlackOuts);
        }
        if dark == ctx.plan.replicas {
            ctx.count(Event::BlackOutsOfAll);
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}
