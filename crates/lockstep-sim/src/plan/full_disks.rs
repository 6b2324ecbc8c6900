//! Full disks: the disks of a majority are full for long, and the replica that has room leads, dies, and
//! leads again. Nothing is committed, and each leadership adds an epoch to its log. Then there is room, and
//! the cluster continues by itself.
//!
//! ```text
//!   room for one:   leads ─ dies ─ leads ─ dies ─ leads ─ …           (an epoch each, without a commit)
//!   full, the rest: ── promise, receive, store nothing, suspect nobody ─ room ─▶ a commit
//! ```

use crate::fault::{CrashFault, DiskFullFault, Fault, PlannedFault};
use crate::kinds::{EndPlan, FaultNode};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::wire::NetworkModel;
use lockstep_core::proto::window::Window;
use lockstep_wire::Nanos;

/// One seed in so many has full disks.
const SELDOM: u64 = 128;
/// The deaths of leaders in it: more than an epoch's start can list.
const DEATHS: u64 = 28;
/// The time between two deaths, in timeouts: the others suspect the leader, and elect it again.
const APART: u64 = 14;
/// The rings of the replicas with full disks take the frames that are stamped until then.
const FILLED_NS: Nanos = 60_000_000;

impl Plan {
    /// Whether disks are full for twice as long as the fault phase lasts: nothing else draws that.
    pub fn has_full_disks(&self) -> bool {
        self.faults.iter().any(
            |fault| matches!(fault.what, Fault::DiskFull(DiskFullFault { lasting, .. }) if lasting == 2 * self.fault_phase_ns),
        )
    }

    /// Full disks instead of everything else, in few runs. Returns whether this is one.
    pub(crate) fn draw_full_disks(&mut self, rng: &mut Rng) -> bool {
        if rng.below(SELDOM) > 0 || self.founders < 3 || self.founders != self.replicas || self.witness {
            return false;
        }
        (self.messages, self.ring_bytes, self.publishers) = (150, 32 << 10, 2);
        // An uncommitted entry stays in the ring, whichever replica leads: no repairer has what has left it.
        self.window = Window { entries: 32, bytes: 2_000 };
        self.network = NetworkModel { delay_ns: self.network.delay_ns, ..NetworkModel::default() };
        self.fault_phase_ns = FILLED_NS + (DEATHS + 2) * APART * self.timeout_ns;
        self.faults.clear();
        let lucky = rng.below(self.replicas as u64) as usize;
        for index in (0..self.replicas).filter(|index| *index != lucky) {
            let what = Fault::DiskFull(DiskFullFault {
                target: FaultNode::Replica(index),
                lasting: 2 * self.fault_phase_ns,
            });
            self.faults.push(PlannedFault { at_ns: 0, what });
        }
        for death in 0..DEATHS {
            let at_ns = FILLED_NS + death * APART * self.timeout_ns + rng.below(self.timeout_ns);
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
            let end = if rng.below(4) == 0 { EndPlan::MidTurn(rng.below(4) as u32) } else { EndPlan::Clean };
            self.faults.push(PlannedFault {
                at_ns,
                what: Fault::Crash(CrashFault { target: FaultNode::Leader, end, lasting }),
            });
        }
        true
    }
}
