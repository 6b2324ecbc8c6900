//! A second process starts on the copy that was made for another machine.

use super::{CarryFault, CrashFault, Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::kinds::{EndPlan, FaultNode};
use crate::plan::{DAY_MS, Plan};
use crate::rng::Rng;
use crate::world::World;

/// One seed in so many has a second process of an identity.
const SELDOM: u64 = 24;

/// A second process starts on the copy that was made for another machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SecondFault {
    /// The replica that it strikes.
    pub target: FaultNode,
    /// With its tail.
    pub with_ring: bool,
    /// Its wall clock is ahead by so many milliseconds.
    pub ahead_ms: i64,
}

impl Strike for SecondFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { target, with_ring, ahead_ms } = self;
        let World { ctx, machines, second_process, .. } = world;
        second_process.begin(ctx, machines, target, with_ring, ahead_ms)
    }
}

impl Plan {
    /// Whether a second process of an identity begins.
    pub fn has_second(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::Second(_)))
    }

    /// Copies for another machine, and the times at which they are started there.
    pub(crate) fn draw_seconds(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 || self.edges.is_some() || self.may_found() {
            return;
        }
        self.looks = true;
        for _ in 0..1 + rng.below(4) {
            let target = FaultNode::Replica(rng.below(self.replicas as u64) as usize);
            let carried = rng.below(self.fault_phase_ns);
            let begins = match rng.below(3) {
                0 => carried,
                1 => carried + rng.below(self.fault_phase_ns - carried),
                _ => {
                    let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 2);
                    let what = Fault::Crash(CrashFault { target, end: EndPlan::Stopped, lasting });
                    self.faults.push(PlannedFault { at_ns: carried, what });
                    carried + lasting + (2 + rng.below(8)) * self.timeout_ns
                }
            };
            let with_ring = rng.below(2) == 0;
            let ahead_ms = rng.pick(&[0, -DAY_MS, -1_000, -1, 1, DAY_MS]);
            self.faults.push(PlannedFault { at_ns: carried, what: Fault::Carry(CarryFault { target }) });
            self.faults.push(PlannedFault {
                at_ns: begins,
                what: Fault::Second(SecondFault { target, with_ring, ahead_ms }),
            });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}
