//! What a seed means: who takes part, the weather, and every fault with its time. The faults are a list
//! that is drawn before the run, so that a failing run can be tried again with a shorter one.

mod draw;

use super::clock::SimClock;
use super::configured::Configured;
use super::days::Suspension;
use super::device::DeviceFault;
use super::disk::DiskFault;
use super::edge::{EdgeFault, EdgePlan};
use super::rng::Rng;
use super::wire::{NetworkModel, NodeSet, Traffic};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::window::Window;
use lockstep_replica::journal::Retention;
use lockstep_wire::{Identity, MemberBody, Nanos};
use std::net::SocketAddrV4;

/// The year 2023, where wall clocks begin.
const WALL_NS: Nanos = 1_700_000_000_000_000_000;
/// A trading day.
pub(super) const DAY_NS: Nanos = 86_400_000_000_000;

/// The same, in milliseconds.
pub(super) const DAY_MS: i64 = (DAY_NS / 1_000_000) as i64;

/// Which replica a fault is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultTargetNode {
    /// The leader at that time.
    Leader,
    /// This one.
    Replica(usize),
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndPlan {
    /// Between two turns.
    Clean,
    /// Within a turn: only so many of its last datagrams had been handed out.
    MidTurn(u32),
    /// Half a frame lies behind the tail's end.
    TornTail,
    /// In order, by request: the journal is marked clean.
    Stopped,
}

/// What of a machine is lost with its memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskPlan {
    /// Nothing.
    Kept,
    /// Some sectors of what was being written.
    Torn,
    /// Nothing, and the tail lay on a disk: it is there again, as it was before this boot or torn.
    WithTail,
}

/// The damage of a journal that was damaged while nobody looked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// A bit of the tail's memory.
    TailBit,
    /// A bit of a segment.
    SegmentBit,
    /// A block of a segment is what lies elsewhere.
    StaleBlock,
}

/// One fault. Times that begin with `for` are how long it lasts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultTarget {
    /// A process dies and is started again.
    Crash(FaultTargetNode, EndPlan, Nanos),
    /// A machine dies, and its memory with it.
    Reboot(FaultTargetNode, DiskPlan, Nanos),
    /// A journal is gone.
    Amnesia(FaultTargetNode, Nanos),
    /// A process dies, and its journal is damaged before it is started again.
    Damage(FaultTargetNode, FaultKind, Nanos),
    /// A process stands still.
    Pause(FaultTargetNode, Nanos),
    /// A publisher or subscriber stands still.
    PauseClient(usize, Nanos),
    /// A path is broken; both ways, if the last says so.
    Cut(NodeSet, NodeSet, Traffic, bool, Nanos),
    /// The leader is cut off; both ways, or only what it hears, or only what it says.
    Isolate(FaultTargetNode, bool, bool, Nanos),
    /// Packets of a path wait.
    Clog(NodeSet, NodeSet, Nanos),
    /// A disk has no room.
    DiskFull(FaultTargetNode, Nanos),
    /// The power goes on all of these machines at once.
    Power(NodeSet, Nanos),
    /// A process dies, or is stopped in order, and the next one is configured so.
    Reconfigure(FaultTargetNode, Configured, EndPlan, Nanos),
    /// A process dies, or is stopped in order, and the next one is given the tail's other path.
    OtherTail(FaultTargetNode, EndPlan, Nanos),
    /// These processes are told to stop; the power of each goes when it has.
    Dark(NodeSet, Nanos),
    /// After so many calls of its disk a process dies within the next one, and the machine with it if so.
    Last(FaultTargetNode, u64, bool, Nanos),
    /// After so many calls a device fails one.
    DiskFails(FaultTargetNode, DiskFault, u64, Nanos),
    /// A bit of a sealed segment changes while its replica runs.
    Rot(FaultTargetNode),
    /// A disk takes nothing for a while.
    SlowFlush(FaultTargetNode, Nanos),
    /// A wall clock jumps by so many milliseconds.
    ClockStep(FaultTargetNode, i64),
    /// The replica at this seat is to be a member: a witness or not, once it has caught up or at once.
    Add(usize, bool, bool),
    /// This one is to be no member any more.
    Remove(FaultTargetNode),
    /// The journal of this one is gone; its next incarnation takes its place.
    Replace(FaultTargetNode),
    /// One is to join and one is to leave at the same moment.
    TwoOrders(usize, FaultTargetNode),
    /// An order of the past comes again.
    LateOrder,
    /// Of two members the first or the other is told that its peer is dead; which is so, or is only cut off.
    RemoveDeclaredDead(bool, bool),
    /// The leader is told to hand over, to this replica or to whoever holds most.
    Handover(Option<usize>),
    /// A watcher's notice of an epoch of the past, or of one that is led, comes again.
    OldDown,
    /// Somebody announces the leader's death without knowing its secret.
    ForgedDown,
    /// So many datagrams of the past come again.
    Replay(u64),
    /// A publisher or subscriber dies and is started again.
    ClientCrash(usize),
    /// Somebody else opens a publisher's name.
    Fence(usize),
    /// A publisher closes its name, and opens it again.
    Close(usize),
    /// Something of the edge.
    Edge(EdgeFault),
    /// The device at this seat fails.
    Ail(usize, DeviceFault, Nanos),
    /// So many datagrams of the past come back to who sent them.
    Echo(u64),
    /// So many datagrams of the past come as another cluster's.
    OtherCluster(u64),
    /// The journals of the first are gone for good, the second lose their power; and the operator recovers.
    QuorumLoss(NodeSet, NodeSet),
    /// Everything stands still.
    LongSuspension(Suspension, Nanos),
    /// The folder of a journal is copied.
    Copy(FaultTargetNode),
    /// A process dies, and its journal is the copy that was made last.
    RollBack(FaultTargetNode, Nanos),
    /// A journal and its tail are copied for another machine; once more if the process is stopped in order.
    Carry(FaultTargetNode),
    /// A second process begins on what was copied for another machine: with the tail or without it, under a
    /// wall clock that is ahead by so many milliseconds.
    Second(FaultTargetNode, bool, i64),
}

impl FaultTarget {
    /// How long it lasts, where it does.
    pub(super) fn lasting_mut(&mut self) -> Option<&mut Nanos> {
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
            | Self::Ail(.., lasting)
            | Self::LongSuspension(.., lasting)
            | Self::RollBack(.., lasting) => Some(lasting),
            Self::Rot(_)
            | Self::ClockStep(..)
            | Self::Add(..)
            | Self::Remove(_)
            | Self::Replace(_)
            | Self::TwoOrders(..)
            | Self::LateOrder
            | Self::RemoveDeclaredDead(..)
            | Self::Handover(_)
            | Self::OldDown
            | Self::ForgedDown
            | Self::Replay(_)
            | Self::ClientCrash(_)
            | Self::Fence(_)
            | Self::Close(_)
            | Self::Edge(_)
            | Self::Echo(_)
            | Self::OtherCluster(_)
            | Self::QuorumLoss(..)
            | Self::Copy(_)
            | Self::Carry(_)
            | Self::Second(..) => None,
        }
    }
}

/// A fault and when it strikes, in nanoseconds from the beginning; nights are not counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlannedFault {
    /// When.
    pub at_ns: Nanos,
    /// What.
    pub what: FaultTarget,
}

/// What one seed means.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Members when the history begins: the first of the replicas.
    pub founders: usize,
    /// Replicas in all, 1 to 7; those that are no members learn.
    pub replicas: usize,
    /// Whether the last founder is a witness.
    pub witness: bool,
    /// The last of the replicas, which are never members.
    pub archivers: usize,
    /// Publishers.
    pub publishers: usize,
    /// Subscribers.
    pub subscribers: usize,
    /// Messages of each publisher; a few more follow when the faults are over.
    pub messages: u64,
    /// What an ack means.
    pub durability: Durability,
    /// Bytes of each tail's ring.
    pub ring_bytes: usize,
    /// Bytes of a segment.
    pub segment_len: u64,
    /// What replicas keep of their journals; archivers keep all of it.
    pub retention: Retention,
    /// Whether archivers pack what they keep.
    pub packs: bool,
    /// Bytes of sealed segments that each replica reads again, per second.
    pub scrub_bytes_per_s: u64,
    /// What wall clocks show when the run's own is 0, in nanoseconds since the Unix epoch.
    pub wall_ns: Nanos,
    /// The window.
    pub window: Window,
    /// While faults are on.
    pub network: NetworkModel,
    /// A process that has something to do is called again after at most this.
    pub turn_ns: Nanos,
    /// Whether senders hear themselves.
    pub loopback: bool,
    /// How long a leader may be silent.
    pub timeout_ns: Nanos,
    /// How long faults go on; nights are not counted.
    pub fault_phase_ns: Nanos,
    /// So many times slower than usual everything is that is configured; 1 in most runs.
    pub pace: u64,
    /// Whether readers read journals where no ring helps.
    pub replays: bool,
    /// What a connection to a journal takes until it is answered.
    pub replay_opens_ns: Nanos,
    /// What each replica is configured with when it begins; what stands above is the cluster's.
    pub configured: Vec<Configured>,
    /// Each seat's clock.
    pub clocks: Vec<SimClock>,
    /// When the world is copied, and looked ahead from, in nanoseconds from the beginning.
    pub moments: Vec<Nanos>,
    /// What surrounds the core.
    pub edges: Option<EdgePlan>,
    /// From then on nothing happens for which a leader may be missed, in a quiet run.
    pub quiet_from: Option<Nanos>,
    /// Whether a process looks, before it votes, for another one of its identity, as every real one does. In
    /// most runs it votes at once, and what follows a restart comes sooner.
    pub looks: bool,
    /// The faults, by time.
    pub faults: Vec<PlannedFault>,
}

/// Words for what can be switched off, in the order in which a failing run is made simpler.
pub const NETWORK_MODELS: [&str; 4] = ["loss", "duplication", "lateness", "corruption"];

impl Plan {
    /// The mix that `seed` draws: every class of fault is off in most runs, so that others show.
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
            witness,
            archivers: 0,
            publishers: 1 + rng.below(3) as usize,
            subscribers: 2 + rng.below(3) as usize,
            messages: 5 + rng.below(40),
            durability: if rng.below(4) == 0 { Durability::Power } else { Durability::Process },
            ring_bytes: rng.pick(&[32 << 10, 32 << 10, 64 << 10, 128 << 10, 128 << 10, 128 << 10]),
            segment_len: rng.pick(&[32 << 10, 128 << 10]),
            retention: Retention::default(),
            packs: false,
            scrub_bytes_per_s: 0,
            wall_ns: WALL_NS,
            window: Window { entries: rng.pick(&[4, 32, 1024]), bytes: rng.pick(&[2_000, 16_000, 16_000]) },
            network: network_model,
            turn_ns: rng.pick(&[2_000, 8_000, 30_000]),
            loopback: rng.below(2) == 0,
            timeout_ns: rng.pick(&[2_000_000, 2_000_000, 4_000_000]),
            fault_phase_ns: 1_000_000 * rng.pick(&[5, 15, 30, 60]),
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
        // From a stream of its own, so that runs without them are what they were. An edge takes the room of
        // an archiver.
        if plan.edges.is_none() {
            plan.draw_chores(&mut Rng::new(seed ^ 0xa5c1));
        }
        if rng.below(16) == 0 {
            // A stream many times as long as the rings: who sleeps through it finds that nobody holds what
            // it missed.
            (plan.messages, plan.ring_bytes) = (150, 32 << 10);
            let sleeper = plan.replicas + rng.below(plan.publishers as u64) as usize;
            let at_ns = plan.fault_phase_ns / 8;
            plan.faults
                .push(PlannedFault { at_ns, what: FaultTarget::PauseClient(sleeper, plan.fault_phase_ns) });
        }
        if changes {
            plan.draw_changes(&mut rng);
        }
        plan.draw_faults(&mut rng);
        // From a stream of its own: what is drawn above is what it was.
        plan.draw_disks(&mut Rng::new(seed ^ 0xd15c));
        plan.faults.sort_by_key(|fault| fault.at_ns);
        plan.draw_devices(&mut Rng::new(seed ^ 0x4ac4));
        plan.draw_quorum_loss(&mut Rng::new(seed ^ 0x104a));
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

    /// An edge takes many seats, and much of the time that a run may take.
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
        self.faults
            .iter()
            .any(|fault| matches!(fault.what, FaultTarget::ClientCrash(_) | FaultTarget::Fence(_)))
    }

    /// Whether the stream may go on in a history that is founded on it.
    pub fn may_found(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, FaultTarget::QuorumLoss(..)))
    }

    /// Whether an archiver sits there.
    pub fn is_archiver(&self, node: usize) -> bool {
        (self.replicas - self.archivers..self.replicas).contains(&node)
    }

    /// The founder at a seat.
    pub fn member(&self, node: usize, identity: Identity, address: SocketAddrV4) -> MemberBody {
        match self.witness && node + 1 == self.founders {
            true => MemberBody::witness(identity, address),
            false => MemberBody::full(identity, address),
        }
    }

    /// The same run without a kind of weather. Returns whether there was any.
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
