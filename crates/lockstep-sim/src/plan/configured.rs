//! The configuration of each process of a replica. Members of a cluster may differ, and a restarted one may
//! return with another configuration, or with another file for its tail: no ack and no promise depends on
//! it.
//!
//! ```text
//!   drawn by the plan ─▶ process ── killed, or stopped cleanly ───▶ process with another durability, ring,
//!                           ▲                                       segment, window, times, limits
//!                           └───────── and back again ◀───────────┘
//! ```
//!
//! A drawn configuration obeys the relations of `lockstep check`, up to a factor of size: `tests/it/seeds.rs`
//! checks each of them. A relation that is missing there would show here.

use crate::fault::{Fault, OtherTailFault, PlannedFault, RebootFault, ReconfigureFault};
use crate::kinds::{Configured, DiskPlan, EndPlan, FaultNode};
use crate::plan::Plan;
use crate::rng::Rng;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_wire::Nanos;

/// See [`Plan::heartbeat_interval_ns`]; in a run of the usual pace.
const HEARTBEAT_NS: Nanos = 500_000;
/// The greatest `timing.heartbeat_first`.
const HEARTBEAT_FIRST_NS_MAX: Nanos = 100_000_000;
/// The greatest `timing.failure_timeout_max`.
const TIMEOUT_NS_MAX: Nanos = 60_000_000_000;
/// Names that every configuration has room for.
const PUBLISHERS_MAX: u32 = 16;
/// The fewest windows that the tail has room for.
const WINDOWS_OF_A_RING: usize = 4;

impl Configured {
    /// The configuration of a plan's whole cluster.
    fn of(plan: &Plan) -> Self {
        Self {
            durability: plan.durability,
            ring_bytes: plan.ring_bytes,
            segment_len: plan.segment_len,
            window: plan.window,
            heartbeat: HeartbeatLimits {
                first_ns: (50_000 * plan.pace).min(HEARTBEAT_FIRST_NS_MAX),
                interval_ns: plan.heartbeat_interval_ns(),
            },
            timeout_ns: plan.timeout_ns,
            timeout_ns_max: (8 * plan.timeout_ns).min(TIMEOUT_NS_MAX),
            publishers_max: PUBLISHERS_MAX,
            hold_back: 32,
        }
    }

    /// Bytes of the largest window that its ring allows.
    fn window_bytes_most(&self) -> u32 {
        (self.ring_bytes / WINDOWS_OF_A_RING) as u32
    }

    /// Another configuration than `self` for the same cluster. Its ring is never smaller than the cluster's
    /// smallest, and its times are of the same order: standbys cannot wait for a leader whose heartbeats are
    /// slower than theirs allow.
    fn draw(&self, rng: &mut Rng) -> Self {
        let mut other = *self;
        for _ in 0..1 + rng.below(3) {
            match rng.below(7) {
                0 | 1 => {
                    other.durability = match other.durability {
                        Durability::Process => Durability::Power,
                        Durability::Power => Durability::Process,
                    }
                }
                2 => other.ring_bytes = self.ring_bytes << rng.below(3),
                3 => other.segment_len = rng.pick(&[32 << 10, 64 << 10, 128 << 10]),
                4 => {
                    let most = other.window_bytes_most();
                    other.window.entries = self.window.entries.max(rng.pick(&[32, 128, 1024]));
                    other.window.bytes = rng.pick(&[self.window.bytes, most / 2, most]);
                }
                5 => {
                    other.timeout_ns = self.timeout_ns * rng.pick(&[1, 2, 3]);
                    other.timeout_ns_max = (other.timeout_ns * rng.pick(&[4, 8])).min(TIMEOUT_NS_MAX);
                    let heartbeat_interval_ns = self.heartbeat.interval_ns / rng.pick(&[1, 2, 4]);
                    let first_ns =
                        rng.pick(&[10_000, 50_000, heartbeat_interval_ns]).min(HEARTBEAT_FIRST_NS_MAX);
                    other.heartbeat = HeartbeatLimits { first_ns, interval_ns: heartbeat_interval_ns };
                }
                _ => {
                    other.publishers_max = PUBLISHERS_MAX * rng.pick(&[1, 2, 64]);
                    other.hold_back = rng.pick(&[1, 8, 32]);
                }
            }
        }
        // A smaller ring may have been drawn after the window.
        other.window.bytes = other.window.bytes.min(other.window_bytes_most());
        other
    }
}

impl Plan {
    /// The heartbeat interval of an idle leader, where nothing else is configured.
    pub(crate) fn heartbeat_interval_ns(&self) -> Nanos {
        HEARTBEAT_NS * self.pace
    }

    /// Each replica's configuration; in most runs that of the cluster. In some it changes while they run.
    pub(crate) fn draw_configured(&mut self, rng: &mut Rng, is_uniform: bool) {
        let mut base = Configured::of(self);
        self.configured = vec![base; self.replicas];
        if is_uniform || rng.below(4) > 0 {
            return;
        }
        // In other runs windows are larger than any file allows, which is harder on the rings.
        base.window.bytes = base.window.bytes.min(base.window_bytes_most());
        self.configured = vec![base; self.replicas];
        // Each differs in some runs, and in the others all begin alike.
        if rng.below(3) > 0 {
            for configured in &mut self.configured {
                if rng.below(2) == 0 {
                    *configured = base.draw(rng);
                }
            }
        }
        for _ in 0..rng.below(6) {
            let at_ns = rng.below(self.fault_phase_ns);
            let any = rng.below(self.replicas as u64) as usize;
            let target = if rng.below(4) == 0 { FaultNode::Leader } else { FaultNode::Replica(any) };
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
            let end = if rng.below(2) == 0 { EndPlan::Stopped } else { EndPlan::Clean };
            let what = match rng.below(4) {
                0 => Fault::OtherTail(OtherTailFault { target, end, lasting }),
                1 => Fault::Reconfigure(ReconfigureFault { target, configured: base, end, lasting }),
                _ => {
                    Fault::Reconfigure(ReconfigureFault { target, configured: base.draw(rng), end, lasting })
                }
            };
            self.faults.push(PlannedFault { at_ns, what });
        }
        // A loss of power after the change may take what was acknowledged under the configuration before.
        for _ in 0..rng.below(3) {
            let at_ns = rng.below(self.fault_phase_ns);
            let any = rng.below(self.replicas as u64) as usize;
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
            let what = Fault::Reboot(RebootFault {
                target: FaultNode::Replica(any),
                disk: DiskPlan::Intact,
                lasting,
            });
            self.faults.push(PlannedFault { at_ns, what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }

    /// Whether its configurations are drawn, and thus allowed by `lockstep check`.
    pub fn varies(&self) -> bool {
        let is_other = |configured: &Configured| *configured != Configured::of(self);
        self.configured.iter().any(is_other)
            || self.faults.iter().any(|fault| matches!(fault.what, Fault::Reconfigure(_)))
    }

    /// The smallest ring that any replica ever has.
    pub(crate) fn smallest_ring_bytes(&self) -> usize {
        let later = self.faults.iter().filter_map(|fault| match fault.what {
            Fault::Reconfigure(ReconfigureFault { configured, .. }) => Some(configured.ring_bytes),
            _ => None,
        });
        let now = self.configured.iter().map(|configured| configured.ring_bytes);
        now.chain(later).min().unwrap_or(self.ring_bytes)
    }
}
