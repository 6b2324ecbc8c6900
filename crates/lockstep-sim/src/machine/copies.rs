//! Copies of a journal that an operator makes while the process runs: of its folder, which is put back later,
//! and of all that it has, for another machine.

use crate::disk::SimDisk;
use crate::machine::{Machine, MachineState};
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_wire::Identity;

/// A copy of a journal's folder, with its owner and boot.
#[derive(Clone, Debug)]
pub(crate) struct JournalCopy {
    files: SimDisk,
    identity: Identity,
    boot: u64,
}

/// A copy of a journal and its tail, with its identity.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) files: SimDisk,
    pub(crate) ring: Option<MemoryTail>,
    pub(crate) identity: Identity,
}

impl Machine {
    /// Copies the folder of its journal, if a process runs on it without damage. Returns whether there is a
    /// new copy.
    pub(crate) fn copy_journal(&mut self) -> bool {
        if !self.is_sound() {
            return false;
        }
        let (files, identity, boot) = (self.store.clone(), self.identity, self.boot);
        self.copy = Some(JournalCopy { files, identity, boot });
        true
    }

    /// The files of its copy, if that may be put back now: under the ring of the same boot.
    pub(crate) fn files_to_put_back(&self) -> Option<SimDisk> {
        let is_of_this_boot = |copy: &&JournalCopy| {
            (copy.identity, copy.boot) == (self.identity, self.boot) && self.has_one_tail()
        };
        let copy = self.copy.as_ref().filter(|_| self.is_sound());
        copy.filter(is_of_this_boot).map(|copy| copy.files.clone())
    }

    /// Whether its process runs, and no fault has touched its journal.
    fn is_sound(&self) -> bool {
        self.replica().is_some() && !self.may_refuse() && !self.store.is_armed()
    }
}

impl Machine {
    /// Makes a copy for another machine, if its journal has no damage.
    pub(crate) fn carry(&mut self) -> bool {
        if self.may_refuse() || self.store.is_armed() {
            return false;
        }
        let ring = match &mut self.state {
            MachineState::Up(replica) => Some(replica.tail_mut().memory_mut().clone()),
            MachineState::Down(memory, _) => memory.clone(),
            MachineState::Lost => return false,
        };
        let (files, identity) = (self.store.clone(), self.identity);
        self.carried = Some(Box::new(Carried { files, ring, identity }));
        true
    }
}
