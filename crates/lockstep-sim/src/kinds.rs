//! The kinds of things that a plan names: faults, files, attackers, clocks, and the configuration of a
//! process. They know nothing of the world in which they happen.

use lockstep_core::engine::ports::Group;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::window::Window;
use lockstep_wire::Nanos;

/// The greatest error of a clock in millionths, where nothing is broken.
pub const PPM_MAX: i64 = 200;
/// One whole.
const PPM_ONE: i128 = 1_000_000;

/// A machine's monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SimClock {
    /// So many millionths too fast, or too slow.
    ppm: i64,
}

impl SimClock {
    /// One that runs so many millionths too fast, or too slow.
    pub fn of_ppm(ppm: i64) -> Self {
        Self { ppm }
    }

    /// Its reading at a time of the run.
    pub fn at(self, now: Nanos) -> Nanos {
        if self.ppm == 0 || now == Nanos::MAX {
            return now;
        }
        scaled(now, PPM_ONE + i128::from(self.ppm), PPM_ONE) as Nanos
    }

    /// The time of the run at which it reads `shown`, or a moment later.
    pub fn reaches(self, shown: Nanos) -> Nanos {
        if self.ppm == 0 || shown == Nanos::MAX {
            return shown;
        }
        let now = scaled(shown, PPM_ONE, PPM_ONE + i128::from(self.ppm)) + 1;
        Nanos::try_from(now).unwrap_or(Nanos::MAX)
    }

    /// Whether it is broken.
    pub(crate) fn is_broken(self) -> bool {
        self.ppm.abs() > PPM_MAX
    }

    /// Whether it runs at the run's rate.
    pub(crate) fn is_exact(self) -> bool {
        self.ppm == 0
    }
}

/// A time by a fraction, rounded down. Divisions of 128 bits are slow, and most times need 64.
fn scaled(at: Nanos, by: i128, over: i128) -> i128 {
    let product = i128::from(at) * by;
    match (i64::try_from(product), i64::try_from(over)) {
        (Ok(product), Ok(over)) => i128::from(product / over),
        _ => product / over,
    }
}

/// The configuration of one process of a replica.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Configured {
    /// The durability that an ack stands for.
    pub durability: Durability,
    /// Bytes of the tail's ring.
    pub ring_bytes: usize,
    /// Bytes of a segment.
    pub segment_len: u64,
    /// The window.
    pub window: Window,
    /// The heartbeats while it leads.
    pub heartbeat: HeartbeatLimits,
    /// The longest silence of a leader.
    pub timeout_ns: Nanos,
    /// The bound up to which false suspicions double it.
    pub timeout_ns_max: Nanos,
    /// Most names of publishers.
    pub publishers_max: u32,
    /// Most submissions that wait for an earlier one of their publisher.
    pub hold_back: u16,
}

/// The kind of a suspension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Suspension {
    /// All processes are suspended, and their timers are due at once when they continue.
    Asleep,
    /// All replicas are killed.
    Killed,
    /// All replicas are stopped cleanly.
    Stopped,
    /// They are stopped cleanly, and then without power.
    Dark,
}

/// The fault of a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeviceFault {
    /// A send call takes no more than so many datagrams; of none, it reports that it has no buffers.
    Takes(usize),
    /// The group is not joined.
    Unjoined(Group),
    /// So many datagrams that arrive next are dropped.
    Drops(u32),
    /// It is a ring in memory of so many datagrams: a reader that is overrun has lost them all.
    Ring(usize),
}

/// The file that vanishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VanishedFile {
    /// A sealed segment.
    Sealed,
    /// The newest segment.
    Newest,
    /// The index of a sealed segment.
    Index,
    /// The checkpoint at the end of a sealed segment.
    Checkpoint,
    /// The checkpoint with which the oldest segment begins, where the beginning was removed.
    Base,
    /// A copy of the superblock.
    Superblock,
}

/// An attacker, by what it has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Attacker {
    /// No key.
    Unkeyed,
    /// A reader's key.
    Reader,
    /// A publisher's key.
    Publisher,
    /// A key that was retired.
    Retired,
    /// What it has recorded.
    Recorder,
    /// An operator's key.
    Operator,
}

/// A step of a rotation of keys at one node. Each of them takes a step before any takes the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RotationStep {
    /// What this generation seals is opened.
    Accept(u8),
    /// It seals.
    Seal(u8),
    /// What this one seals is opened no more, but for frames of a replay.
    Retire(u8),
    /// Nor are those: its keys are overwritten.
    Forget(u8),
}

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
