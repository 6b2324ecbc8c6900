//! A process dies and is started again.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::{EndPlan, FaultNode};
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::world::World;
use lockstep_wire::Nanos;

/// A process dies and is started again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CrashFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The way in which it ends.
    pub end: EndPlan,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for CrashFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, end, lasting } = self;
        let Some(index) = world.machines.resolve(target) else { return Ok(()) };
        if !world.node(index).runs() {
            return Ok(());
        }
        let led = world.machines.leads(index).is_some();
        if let EndPlan::MidTurn(count) = end {
            world.turn(index)?;
            world.send(index, count as usize)?;
            world.ctx.count(Event::MidTurnCrashes);
            // It may have died within that turn, in a call of its disk.
            if !world.node(index).runs() {
                return Ok(());
            }
        }
        world.ctx.count(Event::Crashes);
        if led {
            world.ctx.count(Event::LeaderCrashes);
        }
        let until = world.ctx.now + lasting;
        let (now, rng) = (world.ctx.now, &mut world.ctx.rng);
        let Some(machine) = world.machines.get_mut(index) else { return Ok(()) };
        match end {
            EndPlan::Stopped => {
                let shown = machine.clock.at(now);
                if let Some(replica) = machine.replica_mut() {
                    replica.start_drain(shown);
                    machine.stopping = Some((now + 20 * world.ctx.plan.timeout_ns, until));
                    world.machines.nodes[index].watch_handover(&mut world.ctx, index, None);
                }
                world.ctx.tell(index, || Happening::Fault(format!("is to stop, {}", ms(lasting))));
                return Ok(());
            }
            EndPlan::TornTail => {
                machine.kill(until, Some(rng));
                world.ctx.count(Event::TornTails);
            }
            _ => machine.kill(until, None),
        }
        if machine.led {
            world.ctx.count(Event::LeaderRestarts);
        }
        world.machines.announce_death(&mut world.ctx, index);
        world.ctx.tell(index, || Happening::Fault(format!("killed ({end:?}) {}", ms(lasting))));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl CrashFault {
    /// One with this target.
    pub(crate) fn draw(rng: &mut Rng, target: FaultNode, lasting: Nanos) -> Self {
        let end = match rng.below(6) {
            0 | 1 => EndPlan::Clean,
            2 | 3 => EndPlan::MidTurn(rng.below(4) as u32),
            4 => EndPlan::TornTail,
            _ => EndPlan::Stopped,
        };
        Self { target, end, lasting }
    }
}
