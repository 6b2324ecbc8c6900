//! A file of a journal vanishes.

use super::{CrashFault, Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::{EndPlan, FaultNode, VanishedFile};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::world::World;
use lockstep_wire::Nanos;

/// One seed in so many loses files, ...
const SELDOM: u64 = 24;
/// ... drawn from this stream. No seed that failed once, and no witness of a mutation, draws one: their plans
/// are what they were.
const STREAM: u64 = 0x10b7;

/// A file of a journal vanishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct VanishFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The file.
    pub file: VanishedFile,
    /// While no process runs: it is killed before.
    pub stops: bool,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for VanishFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, file, stops, lasting } = self;
        let Some(index) = world.machines.resolve(target) else { return Ok(()) };
        // A file that is computed anew is no loss; without any other the journal may be refused.
        let is_derived = matches!(file, VanishedFile::Index | VanishedFile::Checkpoint);
        let may_lose = is_derived || world.machines.may_lose(&world.ctx, index);
        let Some(machine) = world.machines.get(index) else { return Ok(()) };
        let is_whole = !machine.may_refuse() && !machine.store.is_armed() && machine.replica().is_some();
        if !is_whole || !may_lose {
            return Ok(());
        }
        if stops {
            CrashFault { target: FaultNode::Replica(index), end: EndPlan::Clean, lasting }.apply(world)?;
        }
        let Some(machine) = world.machines.get_mut(index) else { return Ok(()) };
        let rng = &mut world.ctx.rng;
        let Some(file) = machine.vanished.take(&mut machine.store, file, !stops, rng) else { return Ok(()) };
        if !is_derived {
            world.machines.lost |= 1 << index;
        }
        world.ctx.count(Event::Vanished);
        world.ctx.tell(index, || Happening::Fault(format!("{file} vanishes {}", ms(lasting))));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl Plan {
    /// Whether files of journals vanish.
    pub fn loses_files(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::Vanish(_)))
    }

    /// The files that vanish; none in most runs.
    pub(crate) fn draw_vanished(&mut self) {
        let mut rng = Rng::new(self.seed ^ STREAM);
        if rng.below(SELDOM) > 0 || self.edges.is_some() {
            return;
        }
        // Enough for several segments.
        (self.messages, self.segment_len) = (150, 32 << 10);
        for _ in 0..1 + rng.below(4) {
            let at_ns = self.fault_phase_ns * (2 + rng.below(8)) / 10;
            let target = FaultNode::Replica(rng.below(self.replicas as u64) as usize);
            let file = rng.pick(&[
                VanishedFile::Sealed,
                VanishedFile::Newest,
                VanishedFile::Index,
                VanishedFile::Checkpoint,
                VanishedFile::Base,
                VanishedFile::Superblock,
            ]);
            let stops = rng.below(2) == 0;
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
            self.faults.push(PlannedFault {
                at_ns,
                what: Fault::Vanish(VanishFault { target, file, stops, lasting }),
            });
        }
    }
}
