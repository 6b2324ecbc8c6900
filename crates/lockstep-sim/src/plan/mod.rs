//! The meaning of a seed: the nodes, the network model, and every fault with its time. The faults are a list
//! that is drawn before the run, so that a failing run can be repeated with a shorter one.

mod configured;
mod days;
mod draw;
mod full_disks;
mod joining;
mod quiet;
mod sleeper;

use crate::edge::EdgePlan;
use crate::fault::{Fault, PlannedFault};
use crate::kinds::{Configured, SimClock};
use crate::wire::NetworkModel;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::parts::PartsBounds;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Identity, MemberBody, Nanos};
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

/// How long an operator pursues an errand. Days of a year are short, and nights interrupt it.
pub(crate) fn pursued_ns(plan: &Plan) -> Nanos {
    if plan.months > 0 { 400 * plan.timeout_ns } else { 40 * plan.timeout_ns }
}

/// The time between two moments at which a publisher hands in, which is up to three messages each time.
pub(crate) fn hand_in_every_ns(plan: &Plan) -> Nanos {
    let (awake_ns, share) =
        if plan.months == 0 { (plan.first_act_ns(), 1) } else { (plan.fault_phase_ns, 3) };
    share * awake_ns / plan.messages.max(1)
}
