//! A journal is rolled back under a ring that stays: an operator copies the folder of a running replica, and
//! restores the copy after a kill, in the same boot of the machine. The ring is newer than the copy, or has
//! everything that the copy lacks: so the replica refuses to start, or returns whole (S9). Without a ring an
//! older copy cannot be told from the newest (`docs/RECOVER.md`), and no such case is drawn.
//!
//! ```text
//!   run 1 ── copy ──────── killed ─▶ copy put back, ring of run 1 there: whole, or refused
//!   run 1 ── copy ─ killed ─ run 2 ─ killed ─▶ copy put back, ring of run 2 there: refused
//! ```

use crate::check::Violation;
use crate::coverage::Event;
use crate::disk::SimDisk;
use crate::plan::{EndPlan, Fault, FaultNode, Plan, PlannedFault};
use crate::rng::Rng;
use crate::story::Happening;
use crate::world::World;
use lockstep_wire::{Identity, Nanos};

/// One seed in so many has journals that are rolled back.
const SELDOM: u64 = 48;

/// A copy of a journal's folder, with its owner and boot.
#[derive(Clone, Debug)]
pub(crate) struct JournalCopy {
    files: SimDisk,
    identity: Identity,
    boot: u64,
}

impl Plan {
    /// Whether a journal is rolled back.
    pub fn rolls_back(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::RollBack(..)))
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
            self.faults.push(PlannedFault { at_ns: copied, what: Fault::Copy(target) });
            self.faults.push(PlannedFault { at_ns: put_back, what: Fault::RollBack(target, lasting) });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}

impl World {
    /// The folder of a journal is copied while its replica runs.
    pub(crate) fn copy_journal(&mut self, target: FaultNode) {
        let Some(index) = self.machines.resolve(target) else { return };
        let Some(machine) = self.machines.get_mut(index) else { return };
        if machine.replica().is_none() || machine.may_refuse() || machine.store.is_armed() {
            return;
        }
        let (files, identity, boot) = (machine.store.clone(), machine.identity, machine.boot);
        machine.copy = Some(JournalCopy { files, identity, boot });
        self.ctx.tell(index, || Happening::Fault("its journal is copied".to_string()));
    }

    /// The process is killed, and its journal is replaced by the copy; its ring stays.
    pub(crate) fn roll_back(&mut self, target: FaultNode, lasting: Nanos) -> Result<(), Violation> {
        let Some(index) =
            self.machines.resolve(target).filter(|index| self.machines.may_lose(&self.ctx, *index))
        else {
            return Ok(());
        };
        let Some(machine) = self.machines.get_mut(index) else { return Ok(()) };
        let is_of_this_boot = |copy: &JournalCopy| {
            (copy.identity, copy.boot) == (machine.identity, machine.boot) && machine.has_one_tail()
        };
        let runs = machine.replica().is_some() && !machine.may_refuse() && !machine.store.is_armed();
        let Some(copy) = machine.copy.clone().filter(|copy| runs && is_of_this_boot(copy)) else {
            return Ok(());
        };
        self.crash(FaultNode::Replica(index), EndPlan::Clean, lasting)?;
        let Some(machine) = self.machines.get_mut(index) else { return Ok(()) };
        machine.store = copy.files;
        (machine.forgot, machine.rolled_back) = (true, true);
        // Detected or not, no check relies on it any more.
        self.machines.lost |= 1 << index;
        self.ctx.count(Event::RolledBack);
        self.ctx.tell(index, || Happening::Fault("its journal is what was copied".to_string()));
        Ok(())
    }
}
