//! A process dies, and its journal is damaged before it is started again.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::{FaultKind, FaultNode};
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::world::World;
use lockstep_wire::Nanos;

/// A process dies, and its journal is damaged before it is started again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DamageFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The damage.
    pub disk_fault: FaultKind,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for DamageFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, disk_fault, lasting } = self;
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(target).filter(|index| machines.may_lose(ctx, *index)) else {
            return Ok(());
        };
        let until = ctx.now + lasting;
        let Some(machine) = machines.get_mut(index) else { return Ok(()) };
        machine.kill_if_up(until);
        let harmed = machine.inject(disk_fault, &mut ctx.rng);
        machines.announce_death(ctx, index);
        if harmed {
            let event = if disk_fault == FaultKind::StaleBlock { Event::StaleBlocks } else { Event::Damages };
            world.on_changed(index, event);
            world.ctx.tell(index, || Happening::Fault(format!("killed, {disk_fault:?} {}", ms(lasting))));
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl DamageFault {
    /// One with this target.
    pub(crate) fn draw(rng: &mut Rng, target: FaultNode, lasting: Nanos) -> Self {
        let disk_fault =
            rng.pick(&[FaultKind::TailBit, FaultKind::TailBit, FaultKind::SegmentBit, FaultKind::StaleBlock]);
        Self { target, disk_fault, lasting }
    }
}

impl World {
    /// Something in the journal of this replica has changed: detected or not, it may be lost.
    pub(super) fn on_changed(&mut self, index: usize, event: Event) {
        self.machines.lost |= 1 << index;
        self.ctx.count(event);
        // A witness has what it acknowledged for as long as its ring does.
        let (witnesses, commit_next) = (self.electorate().witnesses(), self.ctx.oracle.facts.commit_next());
        let has_all = |other: &usize| {
            self.machines.get(*other).is_some_and(|machine| {
                !witnesses.contains(&machine.identity)
                    && !machine.is_damaged()
                    && self.machines.stored_next(&self.ctx.oracle, *other) >= commit_next
            })
        };
        let mut left = (0..self.ctx.plan.replicas).filter(|other| self.machines.lost >> other & 1 == 0);
        if !left.any(|other| has_all(&other)) {
            self.ctx.count(Event::LastCopies);
        }
    }
}
