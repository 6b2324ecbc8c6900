//! Long runs: virtual days, in which times pass that no short run reaches. Two things make them long, and
//! both bound the number of events.
//!
//! *Pace*: leaders send heartbeats once a second instead of a thousand times, and every configured time is
//! as much longer, as `lockstep check` allows it. An idle process sleeps until its next deadline, at most
//! for as long as a parked node does: a missing deadline shows here. The actions of the cores after seconds
//! of their own (a silent repairer is asked again, a requester is sent to replay, an answer is too late, a
//! reader is certain) happen in the middle of these runs.
//!
//! *Suspensions*: nothing runs for minutes to days. Either all processes are suspended, so that every timer
//! is due at once when they continue, or all replicas end (killed, stopped cleanly, stopped and without
//! power) and start again afterwards. Days turn meanwhile, and segments older than a day may be removed.
//!
//! ```text
//!   awake ~~~~~│ suspended │~~~~~~~~~~~~~│    suspended    │~~~~~~│ suspended │ healed
//!   plan's time: at_ns counts only the time awake ─▶ a plan with one suspension less is a shorter one
//! ```

use crate::plan::{DAY_NS, Plan};
use crate::rng::Rng;
use lockstep_wire::Nanos;

/// One seed in so many is long.
const SELDOM: u64 = 64;
/// The longest time awake, ...
const AWAKE_NS_MAX: Nanos = 60_000_000_000;
/// ... and at least.
const AWAKE_NS_MIN: Nanos = 10_000_000_000;
/// The heartbeat interval of the slowest runs is just below the second that `timing.heartbeat_interval` may
/// be.
const PACE_MAX: u64 = 1_800;
/// The greatest factor of times that are no part of the cluster's timing (resends, queries).
const PATIENCE_MAX: u64 = 200;
/// The duration of a fault that lasts to the end of the fault phase: longer than any run.
const TO_THE_END: Nanos = 365 * DAY_NS;

impl Plan {
    /// Whether it lasts for days.
    pub fn is_long(&self) -> bool {
        self.pace > 1
    }

    /// A time that is no part of the cluster's timing, and still longer in long runs.
    pub(crate) fn patient(&self, ns: Nanos) -> Nanos {
        ns * self.pace.min(PATIENCE_MAX)
    }

    /// In few runs everything drawn so far becomes slower.
    pub(crate) fn draw_pace(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 || self.edges.is_some() || self.quiet_from.is_some() {
            return;
        }
        let awake_ns = rng.log_uniform(AWAKE_NS_MIN, AWAKE_NS_MAX);
        let most = (awake_ns / self.fault_phase_ns).clamp(2, PACE_MAX);
        let pace = rng.log_uniform((most / 16).max(2), most);
        let stretch = (awake_ns / (self.fault_phase_ns * pace)).max(1);
        for fault in &mut self.faults {
            fault.at_ns *= pace * stretch;
            if let Some(lasting) = fault.what.lasting_mut() {
                *lasting = if *lasting > self.fault_phase_ns { TO_THE_END } else { *lasting * pace };
            }
        }
        self.pace = pace;
        self.timeout_ns *= pace;
        self.fault_phase_ns *= pace * stretch;
    }
}
