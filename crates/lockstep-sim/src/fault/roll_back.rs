//! A journal is rolled back under a ring that stays: an operator copies the folder of a running replica, and
//! restores the copy after a kill, in the same boot of the machine. The ring is newer than the copy, or has
//! everything that the copy lacks: so the replica refuses to start, or returns whole (S9). Without a ring an
//! older copy cannot be told from the newest (`docs/RECOVER.md`), and no such case is drawn.
//!
//! ```text
//!   run 1 ── copy ──────── killed ─▶ copy put back, ring of run 1 there: whole, or refused
//!   run 1 ── copy ─ killed ─ run 2 ─ killed ─▶ copy put back, ring of run 2 there: refused
//! ```

use super::{CopyFault, CrashFault, Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::coverage::Event;
use crate::kinds::{EndPlan, FaultNode};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::story::Happening;
use crate::world::World;
use lockstep_wire::Nanos;

/// One seed in so many has journals that are rolled back.
const SELDOM: u64 = 48;

/// A process is killed, and its journal is replaced by the copy that was made last; its ring stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RollBackFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for RollBackFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, lasting } = self;
        let World { ctx, machines, .. } = &mut *world;
        let index = machines.resolve(target).filter(|index| machines.may_lose(ctx, *index));
        let Some((index, machine)) = index.and_then(|index| Some((index, machines.get(index)?))) else {
            return Ok(());
        };
        let Some(files) = machine.files_to_put_back() else { return Ok(()) };
        CrashFault { target: FaultNode::Replica(index), end: EndPlan::Clean, lasting }.apply(world)?;
        let World { ctx, machines, .. } = world;
        let Some(machine) = machines.get_mut(index) else { return Ok(()) };
        machine.store = files;
        (machine.forgot, machine.rolled_back) = (true, true);
        // Detected or not, no check relies on it any more.
        machines.lost |= 1 << index;
        ctx.count(Event::RolledBack);
        ctx.tell(index, || Happening::Fault("its journal is what was copied".to_string()));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl Plan {
    /// Whether a journal is rolled back.
    pub fn rolls_back(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::RollBack(_)))
    }

    /// Copies of journals, and the times at which they are restored.
    pub(crate) fn draw_copies(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 || self.replicas < 3 || self.edges.is_some() || self.may_found() {
            return;
        }
        for _ in 0..1 + rng.below(3) {
            let target = FaultNode::Replica(rng.below(self.replicas as u64) as usize);
            let copied = rng.below(self.fault_phase_ns);
            let put_back = copied + rng.below(self.fault_phase_ns - copied);
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
            self.faults.push(PlannedFault { at_ns: copied, what: Fault::Copy(CopyFault { target }) });
            self.faults.push(PlannedFault {
                at_ns: put_back,
                what: Fault::RollBack(RollBackFault { target, lasting }),
            });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}
