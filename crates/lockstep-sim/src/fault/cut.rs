//! A path is cut.

use super::Strike;
use crate::check::Violation;
use crate::coverage::Event;
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::wire::{ALL_TRAFFIC, Broken, NodeSet, Traffic};
use crate::world::World;
use lockstep_wire::Nanos;

/// A path is cut.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CutFault {
    /// Datagrams of these ...
    pub from: NodeSet,
    /// ... to these ...
    pub to: NodeSet,
    /// ... of this kind are lost, ...
    pub traffic: Traffic,
    /// ... and those the other way, with this.
    pub both: bool,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for CutFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { from, to, traffic, both, lasting } = self;
        let ctx = &mut world.ctx;
        ctx.count(match (traffic, both) {
            (ALL_TRAFFIC, _) if from.count_ones() == 1 && to.count_ones() == 1 => Event::PartitionsPartial,
            (ALL_TRAFFIC, true) => Event::Partitions,
            (ALL_TRAFFIC, false) => Event::PartitionsOneWay,
            _ => Event::HalfDeaf,
        });
        let until = ctx.now + lasting;
        ctx.network.break_path(Broken { from, to, traffic, until, clogged: false });
        if both {
            ctx.network.break_path(Broken { from: to, to: from, traffic, until, clogged: false });
        }
        ctx.tell(0, || {
            let how = format!("({traffic:#b}, both {both}) {}", ms(lasting));
            Happening::Fault(format!("cut {from:#b} ▶ {to:#b} {how}"))
        });
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl CutFault {
    /// Some nodes from all others.
    pub(crate) fn draw_partition(rng: &mut Rng, all: NodeSet, lasting: Nanos) -> Self {
        let side = rng.next_u64() as NodeSet & all;
        let both = rng.below(3) > 0;
        Self { from: side, to: all & !side, traffic: ALL_TRAFFIC, both, lasting }
    }

    /// Between two of them only, and perhaps only one group: a partial partition.
    pub(crate) fn draw_partial(rng: &mut Rng, replicas: usize, all: NodeSet, lasting: Nanos) -> Self {
        let to = 1 << rng.below(replicas as u64);
        let from = if rng.below(2) == 0 { 1 << rng.below(replicas as u64) } else { all };
        let traffic = if rng.below(2) == 0 { ALL_TRAFFIC } else { 1 << rng.below(4) };
        Self { from, to, traffic, both: rng.below(2) == 0, lasting }
    }
}
