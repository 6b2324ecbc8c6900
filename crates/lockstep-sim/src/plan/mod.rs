//! The meaning of a seed: the nodes, the network model, and every fault with its time. The faults are a list
//! that is drawn before the run, so that a failing run can be repeated with a shorter one.

mod configured;
mod days;
mod draw;
mod joining;
mod quiet;

use crate::edge::EdgePlan;
use crate::fault::draw_rejoining;
use crate::fault::{Fault, PauseClientFault, PlannedFault};
use crate::kinds::{Configured, SimClock};
use crate::rng::Rng;
use crate::unfinished;
use crate::wire::NetworkModel;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::parts::PartsBounds;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Identity, MemberBody, Nanos, VERSION};
use std::net::SocketAddrV4;

/// The year 2023: the start of wall clocks.
pub(crate) const WALL_NS: Nanos = 1_700_000_000_000_000_000;
/// A trading day.
pub(crate) const DAY_NS: Nanos = 86_400_000_000_000;

/// The same, in milliseconds.
pub(crate) const DAY_MS: i64 = (DAY_NS / 1_000_000) as i64;

/// The meaning of one seed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Members when the history begins: the first of the replicas.
    pub founders: usize,
    /// Replicas in all, 1 to 7; those that are not members are learners.
    pub replicas: usize,
    /// The version in which the history begins.
    pub version: u8,
    /// Whether the last founder is a witness.
    pub witness: bool,
    /// The last of the replicas, which are never members.
    pub archivers: usize,
    /// Publishers.
    pub publishers: usize,
    /// Publishers that are participants: the first ones. They read as well, on the same device.
    pub participants: usize,
    /// Subscribers.
    pub subscribers: usize,
    /// Messages of each publisher; a few more follow once the faults have ended.
    pub messages: u64,
    /// The durability that an ack stands for.
    pub durability: Durability,
    /// Bytes of each tail's ring.
    pub ring_bytes: usize,
    /// Bytes of a segment.
    pub segment_len: u64,
    /// The retention of replicas.
    pub retention: Retention,
    /// Whether archivers retain no more than replicas: then nobody has the stream from its first entry on.
    pub archives_are_cut: bool,
    /// Whether archivers pack the segments that they store.
    pub packs: bool,
    /// Bytes of sealed segments that each replica reads again, per second.
    pub scrub_bytes_per_s: u64,
    /// The wall clocks at run time 0, in nanoseconds since the Unix epoch.
    pub wall_ns: Nanos,
    /// When readers discard messages that are unfinished: the protocol's bounds in most runs.
    pub parts_bounds: PartsBounds,
    /// The window.
    pub window: Window,
    /// The network model of the fault phase.
    pub network: NetworkModel,
    /// The longest time between two calls of a process with pending work.
    pub turn_ns: Nanos,
    /// Whether senders receive their own multicast.
    pub loopback: bool,
    /// The leader timeout: the longest silence of a leader.
    pub timeout_ns: Nanos,
    /// The length of the fault phase; suspensions are not counted.
    pub fault_phase_ns: Nanos,
    /// The months of a year of trading days; 0 of any other run.
    pub months: u64,
    /// The factor by which everything configured is slower than usual; 1 in most runs.
    pub pace: u64,
    /// Whether readers read journals where no ring has what they lack.
    pub replays: bool,
    /// The time that opening a connection to a journal takes.
    pub replay_opens_ns: Nanos,
    /// The first configuration of each replica; the fields above are the cluster's.
    pub configured: Vec<Configured>,
    /// The clock of each node.
    pub clocks: Vec<SimClock>,
    /// The times at which the world is copied and run ahead, in nanoseconds from the beginning.
    pub moments: Vec<Nanos>,
    /// The edge around the core.
    pub edges: Option<EdgePlan>,
    /// In a quiet run: from then on no fault makes a leader unavailable.
    pub quiet_from: Option<Nanos>,
    /// Whether a process probes, before it votes, for another process of its identity, as every real one
    /// does. In most runs it votes at once, so that the events after a restart come sooner.
    pub looks: bool,
    /// The faults, by time.
    pub faults: Vec<PlannedFault>,
}

/// Names of the fault classes that can be switched off, in the order in which a failing run is made simpler.
pub const NETWORK_MODELS: [&str; 4] = ["loss", "duplication", "lateness", "corruption"];

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

    /// Processes of all kinds.
    pub fn nodes(&self) -> usize {
        self.replicas + self.publishers + self.subscribers + self.edges.as_ref().map_or(0, EdgePlan::nodes)
    }

    /// An edge takes many nodes, and much of the time that a run may take.
    fn make_room_for_edges(&mut self) {
        if self.edges.is_some() {
            let most = |count: &mut usize, most: usize| *count = (*count).min(most);
            most(&mut self.replicas, 5);
            most(&mut self.founders, 5);
            most(&mut self.publishers, 1);
            most(&mut self.subscribers, 2);
            self.messages = self.messages.min(12);
            self.ring_bytes = self.ring_bytes.max(64 << 10);
            self.window.entries = self.window.entries.max(32);
            self.window.bytes = self.window.bytes.max(16_000);
        }
    }

    /// Whether a name may have two processes: then their payloads must differ.
    pub fn has_rivals(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::ClientCrash(_) | Fault::Fence(_)))
    }

    /// Whether the stream may continue in a history that is founded on it.
    pub fn may_found(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, Fault::QuorumLoss(_)))
    }

    /// Whether this node is an archiver.
    pub fn is_archiver(&self, node: usize) -> bool {
        (self.replicas - self.archivers..self.replicas).contains(&node)
    }

    /// The founder at a node.
    pub fn member(&self, node: usize, identity: Identity, address: SocketAddrV4) -> MemberBody {
        match self.witness && node + 1 == self.founders {
            true => MemberBody::witness(identity, address),
            false => MemberBody::full(identity, address),
        }
    }

    /// The same run without one class of network fault. Returns whether it had any.
    pub fn healed(&mut self, network_model: &str) -> bool {
        let chance = match network_model {
            "loss" => &mut self.network.loss,
            "duplication" => &mut self.network.duplication,
            "lateness" => &mut self.network.lateness,
            "corruption" => &mut self.network.corruption,
            _ => return false,
        };
        std::mem::take(chance) > 0
    }
}
