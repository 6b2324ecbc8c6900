//! After so many calls of its disk a process dies within the next one.

use super::{Fault, ReconfigureFault, Strike};
use crate::check::Violation;
use crate::disk::DiskFault;
use crate::kinds::FaultNode;
use crate::machine::storage::StorageFault;
use crate::plan::Plan;
use crate::world::World;
use lockstep_core::proto::commit::Durability;
use lockstep_wire::Nanos;

/// After so many calls of its disk a process dies within the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LastFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// The calls before that.
    pub calls: u64,
    /// The machine loses its power with it.
    pub power: bool,
    /// The process is started again after this.
    pub lasting: Nanos,
}

impl Strike for LastFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, calls, power, lasting } = self;
        let World { ctx, machines, .. } = world;
        let Some(index) = machines.resolve(target) else { return Ok(()) };
        let is_safe = is_safe_for_good(&ctx.plan, index);
        if power && !is_safe {
            if !machines.may_lose(ctx, index) {
                return Ok(());
            }
            machines.lost |= 1 << index;
        }
        machines.arm(ctx, index, (DiskFault::Death, calls), StorageFault { power, lasting });
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

/// Whether the machine may lose its memory at any time from now on: all its acks and promises will be on
/// the device.
fn is_safe_for_good(plan: &Plan, index: usize) -> bool {
    let later = plan.faults.iter().filter_map(|fault| match fault.what {
        Fault::Reconfigure(ReconfigureFault { configured, .. }) => Some(configured),
        _ => None,
    });
    let mut all = later.chain(plan.configured.get(index).copied());
    all.all(|configured| configured.durability == Durability::Power)
}
