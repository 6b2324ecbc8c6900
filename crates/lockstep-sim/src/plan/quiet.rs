//! Quiet runs: nothing fails, and no leadership may end. In some of them the operator has the leader hand
//! over once, early; then the network repeats old datagrams, and forged death notices arrive: they must have
//! no effect.
//!
//! ```text
//!   ──── handed over, or not ────│── old datagrams, forged notices ──▶ one leader, which no replica suspects
//!                           quiet_from
//! ```

use crate::fault::{Fault, ForgedDownFault, HandoverFault, PlannedFault, ReplayFault};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::wire::NetworkModel;

/// One of so many seeds is quiet.
const SELDOM: u64 = 64;
/// Times in timeouts: the length of such a run, the command to hand over, and the moment from which no
/// leadership may end. A handover is abandoned after 16 of them, and a follower leads within a few more.
const LONG: u64 = 60;
const HANDOVER_AT: u64 = 4;
const HANDED_OVER_AT: u64 = 32;
/// The number of times that old datagrams arrive, and of datagrams each time.
const REPLAYS: u64 = 12;
const REPLAYED: u64 = 64;

impl Plan {
    /// A quiet run instead of everything else, in few runs.
    pub(crate) fn draw_quiet(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0
            || self.founders < 3
            || self.founders != self.replicas
            || self.edges.is_some()
        {
            return;
        }
        self.network =
            NetworkModel { delay_ns: self.network.delay_ns.min(20_000), ..NetworkModel::default() };
        self.fault_phase_ns = LONG * self.timeout_ns;
        self.faults.clear();
        let hands_over = rng.below(2) == 0;
        let from = if hands_over { HANDED_OVER_AT * self.timeout_ns } else { 0 };
        if hands_over {
            let what = Fault::Handover(HandoverFault { to: None });
            self.faults.push(PlannedFault { at_ns: HANDOVER_AT * self.timeout_ns, what });
        }
        for _ in 0..REPLAYS {
            let at_ns = from + rng.below(self.fault_phase_ns - from);
            let what = if rng.below(3) == 0 {
                Fault::ForgedDown(ForgedDownFault)
            } else {
                Fault::Replay(ReplayFault { count: REPLAYED })
            };
            self.faults.push(PlannedFault { at_ns, what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
        self.quiet_from = Some(from);
    }
}
