//! The clocks. The run has a time of its own, which no process sees. Each machine's monotonic clock began
//! with it and runs at a rate of its own: the crystals of two machines differ by up to 200 ppm, and in some
//! runs one of them is broken and differs by 5 %. Wall clocks follow that rate, and are stepped besides.
//!
//! Only one machine's own times are ever compared with one another, so nothing may depend on the rates but
//! patience.

use crate::fault::{ClockStepFault, Fault, PlannedFault};
use crate::kinds::{FaultNode, PPM_MAX, SimClock};
use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_wire::Nanos;

/// One that is broken: 5 %.
pub const PPM_BROKEN: i64 = 50_000;
/// By so much clocks are wrong: an hour, a day, fifteen years, ahead and behind.
const WRONG_MS: [i64; 5] = [3_600_000, 86_400_000, 15 * 365 * 86_400_000, -3_600_000, -86_400_000];
impl Plan {
    /// The clock of each node; exact ones in most runs.
    pub(crate) fn draw_clocks(&mut self, rng: &mut Rng) {
        self.clocks = vec![SimClock::default(); self.nodes()];
        if rng.below(3) > 0 {
            return;
        }
        let broken = rng.below(4) == 0;
        for clock in &mut self.clocks {
            let most = if broken && rng.below(2) == 0 { PPM_BROKEN } else { PPM_MAX };
            *clock = SimClock::of_ppm(rng.below(2 * most as u64 + 1) as i64 - most);
        }
    }

    /// The clocks of one replica, of a minority or of all are wrong for some time, in some runs from the
    /// beginning on.
    pub(crate) fn draw_wrong_clocks(&mut self, rng: &mut Rng) {
        if rng.below(8) > 0 {
            return;
        }
        let by_ms = rng.pick(&WRONG_MS);
        let count = match rng.below(3) {
            0 => 1,
            1 => (self.replicas - 1) / 2,
            _ => self.replicas,
        };
        let first = rng.below(self.replicas as u64) as usize;
        let from = if rng.below(2) == 0 { 0 } else { rng.below(self.fault_phase_ns) };
        let until = from + rng.below(self.fault_phase_ns - from);
        self.set_clocks((first, count), by_ms, (from, until));
    }

    /// The clocks of so many replicas, from the `first` on, are wrong by so much between these times of the
    /// run.
    pub(crate) fn set_clocks(
        &mut self,
        (first, count): (usize, usize),
        by_ms: i64,
        (from, until): (Nanos, Nanos),
    ) {
        for (at_ns, by_ms) in [(from, by_ms), (until, -by_ms)].into_iter().filter(|(_, by_ms)| *by_ms != 0) {
            self.faults.extend((0..count).map(|place| {
                let target = FaultNode::Replica((first + place) % self.replicas);
                PlannedFault { at_ns, what: Fault::ClockStep(ClockStepFault { target, by_ms }) }
            }));
        }
    }

    /// The clock of a node.
    pub(crate) fn clock(&self, node: usize) -> SimClock {
        self.clocks.get(node).copied().unwrap_or_default()
    }
}
