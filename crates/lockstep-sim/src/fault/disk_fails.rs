//! After so many calls a device fails one call.

use super::Strike;
use crate::check::Violation;
use crate::disk::DiskFault;
use crate::kinds::FaultNode;
use crate::machine::storage::StorageFault;
use crate::rng::Rng;
use crate::world::World;
use lockstep_wire::Nanos;

/// After so many calls a device fails one call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DiskFailsFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The way in which it fails.
    pub disk_fault: DiskFault,
    /// The calls before that.
    pub calls: u64,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for DiskFailsFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, disk_fault, calls, lasting } = self;
        let World { ctx, machines, .. } = world;
        // It may refuse to continue then.
        if let Some(index) = machines.resolve(target).filter(|index| machines.may_lose(ctx, *index)) {
            machines.lost |= 1 << index;
            machines.arm(ctx, index, (disk_fault, calls), StorageFault { power: false, lasting });
        }
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl DiskFailsFault {
    /// One with this target.
    pub(crate) fn draw(rng: &mut Rng, target: FaultNode, calls: u64, lasting: Nanos) -> Self {
        let disk_fault = rng.pick(&[DiskFault::ReadError, DiskFault::WriteError, DiskFault::SyncError]);
        Self { target, disk_fault, calls, lasting }
    }
}
