//! Draws the faults of a seed: their kinds, targets and times.

use super::{DAY_NS, Plan, WALL_NS};
use crate::edge::EdgePlan;
use crate::fault::{
    AddFault, AmnesiaFault, ClientCrashFault, ClockStepFault, ClogFault, CloseFault, CrashFault, CutFault,
    DamageFault, DarkFault, DiskFailsFault, DiskFullFault, Fault, FenceFault, ForgedDownFault, HandoverFault,
    IsolateFault, LastFault, LateOrderFault, OldDownFault, PauseClientFault, PauseFault, PlannedFault,
    PowerFault, RebootFault, RemoveDeclaredDeadFault, RemoveFault, ReplaceFault, ReplayFault, RotFault,
    SlowFlushFault, TwoOrdersFault, draw_rejoining,
};
use crate::kinds::{DiskPlan, EndPlan, FaultNode};
use crate::rng::Rng;
use crate::wire::{NetworkModel, NodeSet};
use crate::{edge, unfinished};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::parts::PartsBounds;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Retention;
use lockstep_wire::VERSION;

impl Plan {
    /// The mix that `seed` draws: every class of fault is off in most runs, so that the others show.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let replicas = rng.pick(&[1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7]);
        // One run in three changes its members.
        let changes = rng.below(3) == 0;
        let founders = if changes { rng.pick(&[1, 2, 2, 2, 3, 3, 3, 4, 5]) } else { replicas };
        let replicas = if changes { founders + 1 + rng.below(2) as usize } else { replicas };
        let witness = changes && founders > 1 && rng.below(4) == 0;
        let network_model = NetworkModel {
            loss: rng.pick(&[0, 0, 1_000, 20_000, 150_000]),
            duplication: rng.pick(&[0, 0, 1_000, 50_000, 200_000]),
            lateness: rng.pick(&[0, 10_000, 100_000, 300_000]),
            late_ns: rng.pick(&[20_000, 100_000, 500_000, 2_000_000]),
            delay_ns: rng.pick(&[1_000, 5_000, 20_000, 80_000]),
            corruption: rng.pick(&[0, 0, 0, 1_000, 20_000]),
        };
        let mut plan = Self {
            seed,
            founders,
            replicas,
            version: VERSION,
            witness,
            archivers: 0,
            publishers: 1 + rng.below(3) as usize,
            participants: Rng::new(seed ^ 0x9a47).pick(&[0, 0, 0, 1, 3]),
            subscribers: 2 + rng.below(3) as usize,
            messages: 5 + rng.below(40),
            durability: if rng.below(4) == 0 { Durability::Power } else { Durability::Process },
            ring_bytes: rng.pick(&[32 << 10, 32 << 10, 64 << 10, 128 << 10, 128 << 10, 128 << 10]),
            segment_len: rng.pick(&[32 << 10, 128 << 10]),
            retention: Retention::default(),
            archives_are_cut: false,
            packs: false,
            scrub_bytes_per_s: 0,
            wall_ns: WALL_NS,
            parts_bounds: PartsBounds::default(),
            window: Window { entries: rng.pick(&[4, 32, 1024]), bytes: rng.pick(&[2_000, 16_000, 16_000]) },
            network: network_model,
            turn_ns: rng.pick(&[2_000, 8_000, 30_000]),
            loopback: rng.below(2) == 0,
            timeout_ns: rng.pick(&[2_000_000, 2_000_000, 4_000_000]),
            fault_phase_ns: 1_000_000 * rng.pick(&[5, 15, 30, 60]),
            months: 0,
            pace: 1,
            replays: Rng::new(seed ^ 0x4ead).below(2) == 0,
            replay_opens_ns: 1_000_000
                * Rng::new(seed ^ 0x0be4).pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 5, 5, 20, 70]),
            configured: Vec::new(),
            clocks: Vec::new(),
            moments: Vec::new(),
            edges: EdgePlan::of_seed(seed),
            quiet_from: None,
            looks: Rng::new(seed ^ 0x100c).below(4) == 0,
            faults: Vec::new(),
        };
        plan.make_room_for_edges();
        // From RNG streams of their own, so that runs without them stay as they were.
        if plan.edges.is_none() {
            plan.draw_chores(&mut Rng::new(seed ^ 0xa5c1));
        } else if (!changes || plan.founders < plan.replicas) && Rng::new(seed ^ 0xa4c4).below(8) == 0 {
            // Where no replica is spare the operator would add the archiver, which no configuration allows.
            plan.draw_retention(&mut Rng::new(seed ^ 0x4e7a));
        }
        if rng.below(16) == 0 {
            // A stream many times as long as the rings: after a long pause a reader finds that no ring has
            // what it lacks.
            (plan.messages, plan.ring_bytes) = (150, 32 << 10);
            let sleeper = plan.replicas + rng.below(plan.publishers as u64) as usize;
            let at_ns = plan.fault_phase_ns / 8;
            plan.faults.push(PlannedFault {
                at_ns,
                what: Fault::PauseClient(PauseClientFault { client: sleeper, lasting: plan.fault_phase_ns }),
            });
        }
        if changes {
            plan.draw_changes(&mut rng);
        }
        plan.draw_faults(&mut rng);
        // From RNG streams of their own: the draws above stay as they were.
        plan.draw_joining(&mut Rng::new(seed ^ 0x701e));
        plan.draw_disks(&mut Rng::new(seed ^ 0xd15c));
        plan.draw_wrong_clocks(&mut Rng::new(seed ^ 0xc1a5));
        plan.draw_vanished();
        plan.draw_halved();
        unfinished::draw(&mut plan);
        draw_rejoining(&mut plan);
        plan.faults.sort_by_key(|fault| fault.at_ns);
        plan.draw_devices(&mut Rng::new(seed ^ 0x4ac4));
        plan.draw_attacks(&mut Rng::new(seed ^ 0xa77a));
        plan.draw_tampering(&mut Rng::new(seed ^ 0x9a74));
        plan.draw_quorum_loss(&mut Rng::new(seed ^ 0x104a));
        plan.draw_late_restore();
        plan.draw_copies(&mut Rng::new(seed ^ 0xc09e));
        plan.draw_sleeper(&mut Rng::new(seed ^ 0x51ee));
        let has_full_disks = plan.draw_full_disks(&mut Rng::new(seed ^ 0xd407));
        plan.draw_quiet(&mut Rng::new(seed ^ 0x91e7));
        let is_quiet = plan.quiet_from.is_some();
        plan.draw_pace(&mut Rng::new(seed ^ 0x9ace));
        plan.draw_configured(&mut Rng::new(seed ^ 0xc0f1), has_full_disks || is_quiet);
        plan.draw_clocks(&mut Rng::new(seed ^ 0xc10c));
        if !has_full_disks && !is_quiet {
            plan.draw_rare(&mut Rng::new(seed ^ 0x4a4e));
        }
        if !has_full_disks && !is_quiet {
            plan.draw_seconds(&mut Rng::new(seed ^ 0x2bad));
        }
        if !is_quiet {
            plan.draw_moments(&mut Rng::new(seed ^ 0xa4ea));
        }
        plan.draw_suspensions(&mut Rng::new(seed ^ 0x0197));
        plan
    }

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
                0..4 => Fault::Add(AddFault::draw(rng, spare)),
                4 => Fault::Add(AddFault::draw(rng, any)),
                5 | 6 => Fault::Remove(RemoveFault { target }),
                7 | 8 => Fault::Replace(ReplaceFault { target }),
                9 => Fault::TwoOrders(TwoOrdersFault { node: spare, target }),
                10 => Fault::LateOrder(LateOrderFault),
                _ => Fault::Remove(RemoveFault { target: FaultNode::Leader }),
            };
            self.faults.push(PlannedFault { at_ns, what });
        }
        if self.founders == 2 && rng.below(2) == 0 {
            let what = Fault::RemoveDeclaredDead(RemoveDeclaredDeadFault::draw(rng));
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

    /// Faults of the edge, and names that are closed: drawn beside the rest, so that no other seed changes.
    fn draw_edge_faults(&mut self) {
        let mut rng = Rng::new(self.seed ^ 0xfa17);
        if rng.below(6) == 0 {
            for _ in 0..1 + rng.below(3) {
                let publisher = self.replicas + rng.below(self.publishers as u64) as usize;
                self.faults.push(PlannedFault {
                    at_ns: rng.below(self.fault_phase_ns),
                    what: Fault::Close(CloseFault { publisher }),
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
            0 | 1 => Fault::Last(LastFault { target, calls, power: false, lasting }),
            2 => Fault::Last(LastFault { target, calls, power: true, lasting }),
            3 => Fault::Power(PowerFault { machines: all, lasting }),
            4 => Fault::Power(PowerFault { machines: rng.next_u64() as NodeSet & all, lasting }),
            5 => Fault::Dark(DarkFault { machines: all, lasting }),
            6 => Fault::Dark(DarkFault { machines: rng.next_u64() as NodeSet & all, lasting }),
            7 | 8 => Fault::DiskFails(DiskFailsFault::draw(rng, target, calls, lasting)),
            10 => Fault::Rot(RotFault { target }),
            _ => {
                let most = self.fault_phase_ns.max(self.timeout_ns * 2);
                Fault::DiskFull(DiskFullFault { target, lasting: rng.log_uniform(self.timeout_ns, most) })
            }
        }
    }

    /// Rare faults with a time of their own, in few runs.
    pub(super) fn draw_rare(&mut self, rng: &mut Rng) {
        let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
        if rng.below(256) == 0 {
            // The first machine dies between the genesis of the history and the first flush of it.
            let at_ns = rng.pick(&[0, 0, 5_000, 50_000]);
            let disk = rng.pick(&[DiskPlan::Intact, DiskPlan::Torn]);
            self.faults.push(PlannedFault {
                at_ns,
                what: Fault::Reboot(RebootFault { target: FaultNode::Replica(0), disk, lasting }),
            });
        }
        if rng.below(12) == 0 {
            // A tail on a disk survives its boot.
            for _ in 0..1 + rng.below(2) {
                let at_ns = rng.below(self.fault_phase_ns);
                let target = self.draw_target(rng);
                self.faults.push(PlannedFault {
                    at_ns,
                    what: Fault::Reboot(RebootFault { target, disk: DiskPlan::WithTail, lasting }),
                });
            }
        }
        if rng.below(8) == 0 {
            // Publishers open their names anew while the leader dies.
            for publisher in 0..self.publishers {
                let at_ns = rng.below(self.fault_phase_ns);
                let what = Fault::ClientCrash(ClientCrashFault { client: self.replicas + publisher });
                self.faults.push(PlannedFault { at_ns, what });
                let at_ns = at_ns + rng.below(self.timeout_ns);
                let what = Fault::Crash(CrashFault {
                    target: FaultNode::Leader,
                    end: EndPlan::MidTurn(rng.below(4) as u32),
                    lasting,
                });
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
            0 | 1 => Fault::Crash(CrashFault::draw(rng, target, lasting)),
            2 => Fault::Reboot(RebootFault::draw(rng, target, lasting)),
            3 => Fault::Amnesia(AmnesiaFault { target, lasting }),
            4 => Fault::Damage(DamageFault::draw(rng, target, lasting)),
            5 => Fault::Pause(PauseFault { target, lasting }),
            6 => Fault::PauseClient(PauseClientFault { client, lasting }),
            7 => Fault::Cut(CutFault::draw_partition(rng, all, lasting)),
            8 => Fault::Isolate(IsolateFault::draw(rng, target, lasting)),
            9 => Fault::Cut(CutFault::draw_partial(rng, self.replicas, all, lasting)),
            10 => Fault::Clog(ClogFault::draw(rng, all, lasting)),
            11 => match rng.below(2) {
                0 => Fault::DiskFull(DiskFullFault { target, lasting }),
                _ => Fault::SlowFlush(SlowFlushFault { target, lasting }),
            },
            12 => Fault::ClockStep(ClockStepFault::draw(rng, target)),
            13 => Fault::Replay(ReplayFault { count: 1 + rng.below(8) }),
            14 | 15 if rng.below(4) == 0 => Fault::OldDown(OldDownFault),
            14 | 15 if rng.below(4) == 0 => Fault::ForgedDown(ForgedDownFault),
            14 | 15 => Fault::Handover(HandoverFault::draw(rng, self.replicas)),
            _ if rng.below(3) == 0 => {
                let publisher = self.replicas + rng.below(self.publishers as u64) as usize;
                Fault::Fence(FenceFault { publisher })
            }
            _ => Fault::ClientCrash(ClientCrashFault { client }),
        }
    }
}
