//! The device of a node fails.

use super::{EchoFault, Fault, OtherClusterFault, PlannedFault, Strike};
use crate::check::Violation;
use crate::kinds::DeviceFault;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::world::World;
use lockstep_core::engine::ports::Group;
use lockstep_wire::Nanos;

/// One seed in so many has devices that fail.
const SELDOM: u64 = 4;

/// The device of a node fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AilFault {
    /// The node.
    pub node: usize,
    /// The way in which it fails.
    pub device_fault: DeviceFault,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for AilFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { node, device_fault, lasting } = self;
        let until = world.ctx.now + lasting;
        world.node_mut(node).host_mut().device.fail(device_fault, until);
        world.ctx.tell(node, || Happening::Fault(format!("device: {device_fault:?} {}", ms(lasting))));
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl Plan {
    /// Devices that fail; none in most runs.
    pub(crate) fn draw_devices(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 {
            return;
        }
        for _ in 0..1 + rng.below(3) {
            let class = rng.below(6);
            for _ in 0..1 + rng.below(3) {
                let node = match rng.below(3) {
                    0 => rng.below(self.nodes() as u64) as usize,
                    _ => rng.below(self.replicas as u64) as usize,
                };
                let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
                let ail = |device_fault| Fault::Ail(AilFault { node, device_fault, lasting });
                let what = match class {
                    0 => ail(DeviceFault::Takes(rng.pick(&[0, 0, 1, 2]))),
                    1 => ail(DeviceFault::Unjoined(rng.pick(&Group::ALL))),
                    2 => ail(DeviceFault::Drops(rng.log_uniform(1, 64) as u32)),
                    3 => ail(DeviceFault::Ring(rng.pick(&[1, 2, 4, 16]))),
                    4 => Fault::Echo(EchoFault { count: 1 + rng.below(8) }),
                    _ => Fault::OtherCluster(OtherClusterFault { count: 1 + rng.below(8) }),
                };
                self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
            }
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}
