//! Nodes that join where no journal has the stream from its first entry on: retention, by size or by age, has
//! removed the beginning everywhere, in archives too. Members are replaced, spare replicas and archivers lose
//! their disks, processes die while they begin behind a checkpoint, and the day turns again before a frame
//! has come.
//!
//! ```text
//!   day 1: the beginning │ day 2: it is removed ─ a disk is lost ─ [dies] ─ begins behind a checkpoint ─▶ ...
//!                                                                 └ day 3: and again behind a later one
//! ```
//!
//! Once the faults have ended, whoever holds no entry is healthy, and must reach the end of the log.

use crate::fault::{
    AddFault, ClockStepFault, DiesInstallingFault, Fault, PlannedFault, ReformatFault, ReplaceFault,
};
use crate::kinds::FaultNode;
use crate::plan::{DAY_MS, DAY_NS, Plan, WALL_NS};
use crate::rng::Rng;
use lockstep_replica::journal::Retention;

/// One seed in so many has joining nodes, ...
const SELDOM: u64 = 12;
/// ... and of those with retention.
const SELDOM_WITH_RETENTION: u64 = 3;

impl Plan {
    /// Whether nodes join where the beginning is gone.
    pub fn has_joiners(&self) -> bool {
        let joins = |fault: &PlannedFault| matches!(fault.what, Fault::Replace(_) | Fault::Reformat(_));
        self.archives_are_cut && self.faults.iter().any(joins)
    }

    /// Nodes that join behind retention; none in most runs.
    pub(crate) fn draw_joining(&mut self, rng: &mut Rng) {
        let has_retention = self.retention != Retention::default();
        let seldom = if has_retention { SELDOM_WITH_RETENTION } else { SELDOM };
        if self.edges.is_some() || rng.below(seldom) > 0 {
            return;
        }
        self.archives_are_cut = true;
        if !has_retention {
            self.retention = match rng.below(3) {
                0 => Retention { bytes_max: 0, age_ns_max: 1_000_000 },
                1 => Retention { bytes_max: 1, age_ns_max: 0 },
                _ => Retention { bytes_max: 64 << 10, age_ns_max: 0 },
            };
            self.wall_ns = WALL_NS - WALL_NS % DAY_NS - self.fault_phase_ns * rng.pick(&[1, 2]) / 4;
        }
        (self.messages, self.ring_bytes, self.segment_len) = (150, 32 << 10, 32 << 10);
        // All sources refuse, or are found to be gone, within the time that a healed quorum has.
        self.replay_opens_ns = self.replay_opens_ns.min(1_000_000);
        for _ in 0..1 + rng.below(2) {
            self.draw_joiner(rng);
        }
        if rng.below(2) == 0 {
            // The day turns once more: what follows the first checkpoint goes as well.
            let at_ns = self.fault_phase_ns * (7 + rng.below(3)) / 10;
            for node in 0..self.replicas {
                let what =
                    Fault::ClockStep(ClockStepFault { target: FaultNode::Replica(node), by_ms: DAY_MS });
                self.faults.push(PlannedFault { at_ns, what });
            }
        }
    }

    fn draw_joiner(&mut self, rng: &mut Rng) {
        let at_ns = self.fault_phase_ns * (5 + rng.below(4)) / 10;
        let spares = self.replicas - self.archivers - self.founders;
        let node = match rng.below(4) {
            0 if self.archivers > 0 => self.replicas - 1,
            0 | 1 if spares > 0 => self.founders + rng.below(spares as u64) as usize,
            _ => rng.below(self.founders as u64) as usize,
        };
        let target = FaultNode::Replica(node);
        let what = match node < self.founders {
            true => Fault::Replace(ReplaceFault { target }),
            false => Fault::Reformat(ReformatFault { target }),
        };
        self.faults.push(PlannedFault { at_ns, what });
        if !self.is_archiver(node) && node >= self.founders {
            let what = Fault::Add(AddFault { node, witness: rng.below(4) == 0, patient: rng.below(4) > 0 });
            self.faults.push(PlannedFault { at_ns: at_ns + self.timeout_ns, what });
        }
        if rng.below(2) == 0 {
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
            self.faults.push(PlannedFault {
                at_ns,
                what: Fault::DiesInstalling(DiesInstallingFault { target, lasting }),
            });
        }
    }
}
