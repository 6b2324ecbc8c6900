//! The meaning of a seed: the nodes, the network model, and every fault with its time. The faults are a list
//! that is drawn before the run, so that a failing run can be repeated with a shorter one.

mod draw;

pub use draw::has_rejoiners;

use crate::disk::DiskFault;
use crate::edge::{EdgeFault, EdgePlan};
use crate::kinds::{Attacker, Configured, DeviceFault, RotationStep, SimClock, Suspension, VanishedFile};
use crate::rng::Rng;
use crate::unfinished;
use crate::wire::{NetworkModel, NodeSet, Tampering, Traffic};
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

/// The replica that a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultNode {
    /// The leader at that time.
    Leader,
    /// This one.
    Replica(usize),
}

/// The way in which a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndPlan {
    /// Between two turns.
    Clean,
    /// Within a turn: only so many of its last datagrams were sent.
    MidTurn(u32),
    /// Half a frame lies behind the tail's end.
    TornTail,
    /// By a clean stop: the journal is marked clean.
    Stopped,
}

/// The part of a machine that is lost with its memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskPlan {
    /// Nothing.
    Intact,
    /// Some sectors of the write under way.
    Torn,
    /// Nothing, and the tail was on a disk: it is there again, as it was before this boot or torn.
    WithTail,
}

/// The damage of a journal while its process was down.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// A bit of the tail's memory.
    TailBit,
    /// A bit of a segment.
    SegmentBit,
    /// A block of a segment holds the content of another place.
    StaleBlock,
}

/// One fault. A `Nanos` in it is its duration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// A process dies and is started again.
    Crash(FaultNode, EndPlan, Nanos),
    /// A machine loses its power, and its memory with it.
    Reboot(FaultNode, DiskPlan, Nanos),
    /// A journal is lost.
    Amnesia(FaultNode, Nanos),
    /// A process dies, and its journal is damaged before it is started again.
    Damage(FaultNode, FaultKind, Nanos),
    /// A process is paused.
    Pause(FaultNode, Nanos),
    /// A publisher or subscriber is paused.
    PauseClient(usize, Nanos),
    /// A path is cut; in both directions if the flag is set.
    Cut(NodeSet, NodeSet, Traffic, bool, Nanos),
    /// The leader is cut off: in both directions, or only what it receives, or only what it sends.
    Isolate(FaultNode, bool, bool, Nanos),
    /// Packets of a path are delayed.
    Clog(NodeSet, NodeSet, Nanos),
    /// A disk is full.
    DiskFull(FaultNode, Nanos),
    /// All of these machines lose power at once.
    Power(NodeSet, Nanos),
    /// A process dies or is stopped, and the next one starts with this configuration.
    Reconfigure(FaultNode, Configured, EndPlan, Nanos),
    /// A process dies or is stopped, and the next one is given the tail's other path.
    OtherTail(FaultNode, EndPlan, Nanos),
    /// These processes are requested to stop; each machine loses power once its process has stopped.
    Dark(NodeSet, Nanos),
    /// After so many calls of its disk a process dies within the next one, and with the flag the machine
    /// too.
    Last(FaultNode, u64, bool, Nanos),
    /// After so many calls a device fails one call.
    DiskFails(FaultNode, DiskFault, u64, Nanos),
    /// A bit of a sealed segment changes while its replica runs.
    Rot(FaultNode),
    /// This file of a journal vanishes; with the flag while no process runs, which is started again later.
    Vanish(FaultNode, VanishedFile, bool, Nanos),
    /// A disk accepts no write for a while.
    SlowFlush(FaultNode, Nanos),
    /// A wall clock jumps by so many milliseconds.
    ClockStep(FaultNode, i64),
    /// The replica at this node is to become a member: as a witness or not, once it has caught up or at
    /// once.
    Add(usize, bool, bool),
    /// This one is to leave the membership.
    Remove(FaultNode),
    /// The journal of this one is lost; its next incarnation takes its place.
    Replace(FaultNode),
    /// The journal of this one is lost; the command that replaces it dies after so many steps, and is given
    /// again after a while, or never.
    Halved(FaultNode, u64, Nanos),
    /// The journal of a member is lost, and it rejoins by itself.
    Rejoin(FaultNode),
    /// The journal of this one, which is no founder, is lost, and formatted anew.
    Reformat(FaultNode),
    /// The next process that begins behind a checkpoint at this node dies in the call that stores it.
    DiesInstalling(FaultNode, Nanos),
    /// One is to join and one is to leave at the same moment.
    TwoOrders(usize, FaultNode),
    /// A command of the past arrives again.
    LateOrder,
    /// One of two members receives the command that its peer is dead. The flags choose the member, and
    /// whether the peer is dead or only cut off.
    RemoveDeclaredDead(bool, bool),
    /// The leader is commanded to hand over, to this replica or to the one with the longest log.
    Handover(Option<usize>),
    /// The operator orders the log to rise to the newest version.
    Upgrade,
    /// The operator orders the stream's time back, which ran ahead or did not.
    TimeOrder,
    /// These nodes take a step of a rotation of keys.
    Rotate(NodeSet, RotationStep),
    /// A watcher's notice of a past epoch, or of the present one, arrives again.
    OldDown,
    /// A node announces the leader's death without knowing its secret.
    ForgedDown,
    /// So many datagrams of the past arrive again.
    Replay(u64),
    /// A publisher or subscriber dies and is started again.
    ClientCrash(usize),
    /// Another process opens a publisher's name.
    Fence(usize),
    /// A publisher closes its name, and opens it again.
    Close(usize),
    /// A fault of the edge.
    Edge(EdgeFault),
    /// The device of this node fails.
    Ail(usize, DeviceFault, Nanos),
    /// So many datagrams of the past return to their senders.
    Echo(u64),
    /// So many datagrams of the past arrive as another cluster's.
    OtherCluster(u64),
    /// So many datagrams of an attacker.
    Attack(Attacker, u64),
    /// An attacker on the path does this to datagrams of these kinds, by bit.
    Tamper(NodeSet, NodeSet, u32, Tampering, Nanos),
    /// The journals of the first are lost for good, the second lose their power; and the operator recovers.
    QuorumLoss(NodeSet, NodeSet),
    /// All processes are suspended.
    LongSuspension(Suspension, Nanos),
    /// The folder of a journal is copied.
    Copy(FaultNode),
    /// A process dies, and its journal is the copy that was made last.
    RollBack(FaultNode, Nanos),
    /// A journal and its tail are copied for another machine; once more if the process stops cleanly.
    Carry(FaultNode),
    /// A second process starts on the copy that was made for another machine: with the tail or without it,
    /// under a wall clock that is ahead by so many milliseconds.
    Second(FaultNode, bool, i64),
}

impl Fault {
    /// The duration, of a fault that has one.
    pub(crate) fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        match self {
            Self::Crash(.., lasting)
            | Self::Reboot(.., lasting)
            | Self::Amnesia(.., lasting)
            | Self::Damage(.., lasting)
            | Self::Pause(.., lasting)
            | Self::PauseClient(.., lasting)
            | Self::Cut(.., lasting)
            | Self::Isolate(.., lasting)
            | Self::Clog(.., lasting)
            | Self::DiskFull(.., lasting)
            | Self::Power(.., lasting)
            | Self::Reconfigure(.., lasting)
            | Self::OtherTail(.., lasting)
            | Self::Dark(.., lasting)
            | Self::Last(.., lasting)
            | Self::DiskFails(.., lasting)
            | Self::SlowFlush(.., lasting)
            | Self::Vanish(.., lasting)
            | Self::Halved(.., lasting)
            | Self::Ail(.., lasting)
            | Self::Tamper(.., lasting)
            | Self::LongSuspension(.., lasting)
            | Self::DiesInstalling(.., lasting)
            | Self::RollBack(.., lasting) => Some(lasting),
            Self::Rot(_)
            | Self::ClockStep(..)
            | Self::Add(..)
            | Self::Remove(_)
            | Self::Replace(_)
            | Self::Rejoin(_)
            | Self::Reformat(_)
            | Self::TwoOrders(..)
            | Self::LateOrder
            | Self::RemoveDeclaredDead(..)
            | Self::Handover(_)
            | Self::Upgrade
            | Self::TimeOrder
            | Self::Rotate(..)
            | Self::OldDown
            | Self::ForgedDown
            | Self::Replay(_)
            | Self::ClientCrash(_)
            | Self::Fence(_)
            | Self::Close(_)
            | Self::Edge(_)
            | Self::Echo(_)
            | Self::OtherCluster(_)
            | Self::Attack(..)
            | Self::QuorumLoss(..)
            | Self::Copy(_)
            | Self::Carry(_)
            | Self::Second(..) => None,
        }
    }
}

/// A fault and its time, in nanoseconds from the beginning; suspensions are not counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlannedFault {
    /// The time.
    pub at_ns: Nanos,
    /// The fault.
    pub what: Fault,
}

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
            plan.faults.push(PlannedFault { at_ns, what: Fault::PauseClient(sleeper, plan.fault_phase_ns) });
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
        draw::rejoining(&mut plan);
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
        self.faults.iter().any(|fault| matches!(fault.what, Fault::QuorumLoss(..)))
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
