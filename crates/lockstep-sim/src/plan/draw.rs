//! Draws the faults of a seed: their kinds, targets and times.

use super::{DAY_MS, DAY_NS, DiskPlan, EndPlan, Fault, FaultKind, FaultNode, Plan, PlannedFault, WALL_NS};
use crate::disk::DiskFault;
use crate::edge;
use crate::rng::Rng;
use crate::wire::{ALL_TRAFFIC, NodeSet};
use lockstep_replica::journal::Retention;
use lockstep_wire::VERSION_MIN;

impl Plan {
    /// The chores of side threads beside writing; none in most runs.
    pub(super) fn draw_chores(&mut self, rng: &mut Rng) {
        if rng.below(4) == 0 {
            self.scrub_bytes_per_s = rng.pick(&[1 << 20, 16 << 20]);
        }
        if rng.below(6) > 0 {
            return;
        }
        self.archivers = 1;
        self.replicas += 1;
        self.packs = rng.below(3) > 0;
        self.segment_len = 32 << 10;
        if rng.below(3) > 0 {
            let bytes_max = rng.pick(&[0, 1, 64 << 10]);
            let age_ns_max = if bytes_max == 0 { 1_000_000 } else { rng.pick(&[0, 5_000_000]) };
            self.retention = Retention { bytes_max, age_ns_max };
            // Retention may remove segments older than the day, which turns in the middle of the fault
            // phase.
            self.wall_ns = WALL_NS - WALL_NS % DAY_NS - self.fault_phase_ns / 2;
        }
    }

    /// Retention beside an edge, whose copies need what it would remove: an archiver has the rest.
    pub(super) fn draw_retention(&mut self, rng: &mut Rng) {
        self.archivers = 1;
        self.replicas += 1;
        self.segment_len = 32 << 10;
        self.retention = Retention { bytes_max: rng.pick(&[1, 32 << 10, 64 << 10, 96 << 10]), age_ns_max: 0 };
        let day_turns = self.fault_phase_ns * rng.pick(&[1, 2, 3]) / 4;
        self.wall_ns = WALL_NS - WALL_NS % DAY_NS - day_turns;
    }

    /// The commands of the operator.
    pub(super) fn draw_changes(&mut self, rng: &mut Rng) {
        for _ in 0..1 + rng.below(4) {
            let at_ns = rng.below(self.fault_phase_ns);
            let any = rng.below(self.replicas as u64) as usize;
            let target = if rng.below(4) == 0 { FaultNode::Leader } else { FaultNode::Replica(any) };
            let spares = self.replicas - self.archivers - self.founders;
            let spare = self.founders + rng.below(spares as u64) as usize;
            let what = match rng.below(12) {
                0..4 => Fault::Add(spare, rng.below(4) == 0, rng.below(4) > 0),
                4 => Fault::Add(any, rng.below(4) == 0, rng.below(4) > 0),
                5 | 6 => Fault::Remove(target),
                7 | 8 => Fault::Replace(target),
                9 => Fault::TwoOrders(spare, target),
                10 => Fault::LateOrder,
                _ => Fault::Remove(FaultNode::Leader),
            };
            self.faults.push(PlannedFault { at_ns, what });
        }
        if self.founders == 2 && rng.below(2) == 0 {
            let what = Fault::RemoveDeclaredDead(rng.below(2) == 0, rng.below(2) == 0);
            self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns / 2), what });
        }
    }

    pub(super) fn draw_faults(&mut self, rng: &mut Rng) {
        // One seed in eight has no faults but those of the network model.
        let classes = if rng.below(8) == 0 { 0 } else { 1 + rng.below(5) };
        for _ in 0..classes {
            let class = rng.below(18);
            for _ in 0..1 + rng.below(4) {
                let at_ns = rng.below(self.fault_phase_ns);
                let what = self.draw(rng, class);
                self.faults.push(PlannedFault { at_ns, what });
            }
        }
        self.draw_edge_faults();
        self.draw_upgrades();
        self.draw_time_orders();
        self.faults.sort_by_key(|fault| fault.at_ns);
    }

    /// One history in four begins in the oldest version, and its operator orders the newest one: drawn beside
    /// the rest, so that no other seed changes.
    fn draw_upgrades(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x7e25);
        if rng.below(4) > 0 {
            return;
        }
        self.version = VERSION_MIN;
        for _ in 0..rng.below(4) {
            let at_ns = rng.below(self.fault_phase_ns);
            self.faults.push(PlannedFault { at_ns, what: Fault::Upgrade });
        }
    }

    /// One history in sixteen begins while all clocks are ahead; an operator orders its time back, and now
    /// and then that of another one: drawn beside the rest, so that no other seed changes. Where retention
    /// removes what is older than the day, no clock is wrong by days.
    fn draw_time_orders(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0x71_3e0d);
        if rng.below(16) > 0 || self.retention != Retention::default() {
            return;
        }
        let by_ms = rng.pick(&[0, 60_000, 3_600_000, DAY_MS, 15 * 365 * DAY_MS]);
        let until = rng.below(self.fault_phase_ns / 2);
        self.set_clocks((0, self.replicas), by_ms, (0, until));
        for _ in 0..1 + rng.below(4) {
            let at_ns = rng.below(self.fault_phase_ns);
            self.faults.push(PlannedFault { at_ns, what: Fault::TimeOrder });
        }
    }

    /// Faults of the edge, and names that are closed: drawn beside the rest, so that no other seed changes.
    fn draw_edge_faults(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0xfa17);
        if rng.below(6) == 0 {
            for _ in 0..1 + rng.below(3) {
                let publisher = self.replicas + rng.below(self.publishers as u64) as usize;
                self.faults.push(PlannedFault {
                    at_ns: rng.below(self.fault_phase_ns),
                    what: Fault::Close(publisher),
                });
            }
        }
        let Some(edges) = &self.edges else { return };
        for _ in 0..rng.below(5) {
            let class = rng.below(edge::CLASSES);
            for _ in 0..1 + rng.below(3) {
                let lasting = rng.log_uniform(self.timeout_ns / 8, self.timeout_ns * 8);
                let what = Fault::Edge(edges.draw(&mut rng, class, lasting));
                self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
            }
        }
    }

    /// Faults of disks, and of machines with them; none in most runs.
    pub(super) fn draw_disks(&mut self, rng: &mut Rng) {
        if rng.below(3) > 0 {
            return;
        }
        for _ in 0..1 + rng.below(2) {
            let class = rng.below(11);
            if class == 10 {
                // Only scrubbed segments are found damaged, and the open segment is not scrubbed.
                (self.scrub_bytes_per_s, self.segment_len) = (16 << 20, 32 << 10);
            }
            for _ in 0..1 + rng.below(4) {
                let at_ns = rng.below(self.fault_phase_ns);
                let what = self.draw_disk(rng, class);
                self.faults.push(PlannedFault { at_ns, what });
            }
        }
    }

    fn draw_disk(&self, rng: &mut Rng, class: u64) -> Fault {
        let target = self.draw_target(rng);
        let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
        let calls = rng.log_uniform(1, 256) - 1;
        let all = (1 << self.replicas) - 1;
        match class {
            0 | 1 => Fault::Last(target, calls, false, lasting),
            2 => Fault::Last(target, calls, true, lasting),
            3 => Fault::Power(all, lasting),
            4 => Fault::Power(rng.next_u64() as NodeSet & all, lasting),
            5 => Fault::Dark(all, lasting),
            6 => Fault::Dark(rng.next_u64() as NodeSet & all, lasting),
            7 | 8 => {
                let disk_fault =
                    rng.pick(&[DiskFault::ReadError, DiskFault::WriteError, DiskFault::SyncError]);
                Fault::DiskFails(target, disk_fault, calls, lasting)
            }
            10 => Fault::Rot(target),
            _ => Fault::DiskFull(
                target,
                rng.log_uniform(self.timeout_ns, self.fault_phase_ns.max(self.timeout_ns * 2)),
            ),
        }
    }

    /// Rare faults with a time of their own, in few runs.
    pub(super) fn draw_rare(&mut self, rng: &mut Rng) {
        let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
        if rng.below(256) == 0 {
            // The first machine dies between the genesis of the history and the first flush of it.
            let at_ns = rng.pick(&[0, 0, 5_000, 50_000]);
            let disk = rng.pick(&[DiskPlan::Intact, DiskPlan::Torn]);
            self.faults
                .push(PlannedFault { at_ns, what: Fault::Reboot(FaultNode::Replica(0), disk, lasting) });
        }
        if rng.below(12) == 0 {
            // A tail on a disk survives its boot.
            for _ in 0..1 + rng.below(2) {
                let at_ns = rng.below(self.fault_phase_ns);
                let target = self.draw_target(rng);
                self.faults
                    .push(PlannedFault { at_ns, what: Fault::Reboot(target, DiskPlan::WithTail, lasting) });
            }
        }
        if rng.below(8) == 0 {
            // Publishers open their names anew while the leader dies.
            for publisher in 0..self.publishers {
                let at_ns = rng.below(self.fault_phase_ns);
                let what = Fault::ClientCrash(self.replicas + publisher);
                self.faults.push(PlannedFault { at_ns, what });
                let at_ns = at_ns + rng.below(self.timeout_ns);
                let what = Fault::Crash(FaultNode::Leader, EndPlan::MidTurn(rng.below(4) as u32), lasting);
                self.faults.push(PlannedFault { at_ns, what });
            }
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }

    fn draw_target(&self, rng: &mut Rng) -> FaultNode {
        if rng.below(2) == 0 {
            FaultNode::Leader
        } else {
            FaultNode::Replica(rng.below(self.replicas as u64) as usize)
        }
    }

    fn draw(&self, rng: &mut Rng, class: u64) -> Fault {
        let target = self.draw_target(rng);
        let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
        let client = self.replicas + rng.below((self.publishers + self.subscribers) as u64) as usize;
        let all = (1 << self.nodes()) - 1;
        match class {
            0 | 1 => {
                let end = match rng.below(6) {
                    0 | 1 => EndPlan::Clean,
                    2 | 3 => EndPlan::MidTurn(rng.below(4) as u32),
                    4 => EndPlan::TornTail,
                    _ => EndPlan::Stopped,
                };
                Fault::Crash(target, end, lasting)
            }
            2 => Fault::Reboot(target, rng.pick(&[DiskPlan::Intact, DiskPlan::Torn]), lasting),
            3 => Fault::Amnesia(target, lasting),
            4 => {
                let disk_fault = rng.pick(&[
                    FaultKind::TailBit,
                    FaultKind::TailBit,
                    FaultKind::SegmentBit,
                    FaultKind::StaleBlock,
                ]);
                Fault::Damage(target, disk_fault, lasting)
            }
            5 => Fault::Pause(target, lasting),
            6 => Fault::PauseClient(client, lasting),
            7 => {
                let side = rng.next_u64() as NodeSet & all;
                Fault::Cut(side, all & !side, ALL_TRAFFIC, rng.below(3) > 0, lasting)
            }
            8 => match rng.below(3) {
                0 => Fault::Isolate(target, true, true, lasting),
                1 => Fault::Isolate(target, true, false, lasting),
                _ => Fault::Isolate(target, false, true, lasting),
            },
            9 => {
                // Between two of them only, and perhaps only one group: a partial partition.
                let one = 1 << rng.below(self.replicas as u64);
                let other = if rng.below(2) == 0 { 1 << rng.below(self.replicas as u64) } else { all };
                let traffic = if rng.below(2) == 0 { ALL_TRAFFIC } else { 1 << rng.below(4) };
                Fault::Cut(other, one, traffic, rng.below(2) == 0, lasting)
            }
            10 => Fault::Clog(rng.next_u64() as NodeSet & all, rng.next_u64() as NodeSet & all, lasting),
            11 => match rng.below(2) {
                0 => Fault::DiskFull(target, lasting),
                _ => Fault::SlowFlush(target, lasting),
            },
            12 => Fault::ClockStep(
                target,
                rng.pick(&[-DAY_MS, -3_600_000, -1_000, -1, 1, 1_000, 3_600_000, DAY_MS]),
            ),
            13 => Fault::Replay(1 + rng.below(8)),
            14 | 15 if rng.below(4) == 0 => Fault::OldDown,
            14 | 15 if rng.below(4) == 0 => Fault::ForgedDown,
            14 | 15 => {
                let to = rng.below(self.replicas as u64 + 1) as usize;
                Fault::Handover((to < self.replicas).then_some(to))
            }
            _ if rng.below(3) == 0 => {
                Fault::Fence(self.replicas + rng.below(self.publishers as u64) as usize)
            }
            _ => Fault::ClientCrash(client),
        }
    }
}

/// One seed in so many has replicas that rejoin by themselves, ...
const REJOINING_SELDOM: u64 = 24;
/// ... drawn from this stream. No seed that failed once, and no witness of a mutation, draws one.
const REJOINING_STREAM: u64 = 0x10e1;

/// Journals that are lost, of replicas that rejoin; none in most runs.
pub(super) fn rejoining(plan: &mut Plan) {
    let mut rng = Rng::new(plan.seed ^ REJOINING_STREAM);
    if rng.below(REJOINING_SELDOM) > 0 || plan.edges.is_some() || plan.founders < 3 {
        return;
    }
    let mut at_ns = rng.below(plan.fault_phase_ns);
    for _ in 0..1 + rng.below(4) {
        let target = FaultNode::Replica(rng.below(plan.founders as u64) as usize);
        plan.faults.push(PlannedFault { at_ns, what: Fault::Rejoin(target) });
        // At the same time, or at another one.
        if rng.below(2) == 0 {
            at_ns = rng.below(plan.fault_phase_ns);
        }
    }
}

/// Whether replicas of a plan rejoin by themselves.
pub fn has_rejoiners(plan: &Plan) -> bool {
    plan.faults.iter().any(|fault| matches!(fault.what, Fault::Rejoin(_)))
}
