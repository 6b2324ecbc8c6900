//! # node: a replica on this machine
//!
//! Runs the engine's replica on a real device, journal and clock: one pinned thread for the duty cycle, and
//! one for the segments behind it. Opening a node sends nothing; running it does.

mod events;
#[allow(unsafe_code, clippy::disallowed_methods)]
pub mod io;
pub mod local;
mod measures;
mod messages;
mod offline;
mod older_keys;
mod recovery;
mod run;
pub mod settings;
mod start;
mod takeovers;

pub use crate::io::journal_files::{JournalError, JournalReader, RecoverySurvey};
pub use crate::io::neighbour_watch::Neighbour;
pub use events::EVENT_KINDS;
pub use messages::{JoinedMessages, joined_from};
pub use offline::{Trimmed, journal_digest, judged, trim, verify, verify_attested};
pub use recovery::{CopiedLog, found_history, found_history_on_copy, survey, survey_at};
pub use run::Node;
pub use start::counters;

use crate::io::journal_files::{self, JournalConfig, JournalFailure, OpenJournal, draw_incarnation};
use crate::io::journal_thread::{self, ThreadSettings};
use crate::io::tail::MappedTail;
use lockstep_core::engine::networks::Networks;
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::nack::NackLimits;
use lockstep_core::proto::repairers::Repairer;
use lockstep_core::proto::window::Window;
use lockstep_io::IoError;
use lockstep_io::clock::random_u64;
use lockstep_io::device::{Device, MemorySharing, SecondLine};
use lockstep_io::fault_injection::FaultSettings;
use lockstep_io::idle::Idle;
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::UdpSettings;
use lockstep_process::cpu::SchedulingClass;
use lockstep_replica::bootstrap::{bootstrap_version as bootstrap_tail, may_bootstrap};
use lockstep_replica::journal::{JournalOpenError, Retention};
use lockstep_replica::ports::Ports;
use lockstep_wire::{AgreedRow, Identity, Keys, MemberBody, Nanos, VERSION, frame_len_max};
use std::fmt;
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// The ports of a replica in production.
#[derive(Debug)]
pub struct RealPorts;

impl Ports for RealPorts {
    type Net = Device;
    type Memory = MappedTail;
}

/// How this node replays its journal to others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplaySettings {
    /// The most readers at a time.
    pub readers_max: usize,
    /// The most connections of one address that have not sent a request yet.
    pub readers_per_address: usize,
    /// The networks whose readers may connect; `None`: all.
    pub allow: Option<Networks>,
    /// Bytes per second for all readers together while the stream moves; unlimited while it is idle.
    pub rate_bytes_per_s: u64,
    /// Whether readers are served while the node leads.
    pub by_leader: bool,
}

/// All settings of a node. `Config::node` makes them from the cluster's file.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The replica's or archiver's number.
    pub replica: u32,
    /// Whether it stores the stream and never votes, whatever a membership says.
    pub is_archiver: bool,
    /// The cluster, and the keys of a replica.
    pub keys: Keys,
    /// The sockets of the line; the role determines which groups they join.
    pub udp: UdpSettings,
    /// The transport of the line.
    pub transport: TransportSettings,
    /// The second line, if there is one.
    pub second: Option<SecondLine>,
    /// The injected faults, if there are any.
    pub fault_injection: Option<FaultSettings>,
    /// The use of this host's shared memory.
    pub memory: MemorySharing,
    /// The MTU of the line.
    pub mtu: usize,
    /// The unicast address of this replica.
    pub unicast: SocketAddrV4,
    /// The unicast addresses of the others.
    pub peers: Vec<Repairer>,
    /// The other nodes of the file, which are asked all the time; empty if no datagrams go by a network.
    pub neighbours: Vec<Neighbour>,
    /// The keys that all files must have alike.
    pub agreed: Vec<AgreedRow>,
    /// The addresses at which journals are replayed, archivers first, without this node.
    pub sources: Vec<SocketAddrV4>,
    /// How this journal is replayed to others; `None`: it is not.
    pub replay: Option<ReplaySettings>,
    /// Directory of superblock and segments.
    pub journal: PathBuf,
    /// File of the tail, on tmpfs or hugetlbfs.
    pub tail: PathBuf,
    /// Bytes of the tail's ring.
    pub tail_bytes: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// The retention of the journal.
    pub retention: Retention,
    /// Whether sealed segments are packed.
    pub packs: bool,
    /// The longest time for which frames are gathered for one write; `None` chooses by the durability.
    pub flush_interval_ns: Option<Nanos>,
    /// The durability that an ack means.
    pub durability: Durability,
    /// The most entries and bytes that may be stamped and not committed.
    pub window: Window,
    /// The most names of publishers.
    pub publishers_max: u32,
    /// The leader's heartbeat interval.
    pub heartbeat: HeartbeatLimits,
    /// Silence after which a leader is suspected.
    pub failure_timeout_ns: Nanos,
    /// Upper bound of its doubling after false suspicions.
    pub failure_timeout_ns_max: Nanos,
    /// Timers of requests.
    pub nack: NackLimits,
    /// File of the counters.
    pub counters: PathBuf,
    /// The core of the duty cycle; `None` leaves it to the kernel.
    pub core: Option<usize>,
    /// Scheduling class of the duty cycle.
    pub scheduling: SchedulingClass,
    /// Whether memory is locked.
    pub lock_memory: bool,
    /// How late the kernel may wake the duty cycle.
    pub timer_slack_ns: u64,
    /// How the duty cycle waits without work.
    pub idle: Idle,
}

impl NodeSettings {
    fn journal_config(&self) -> JournalConfig {
        JournalConfig {
            dir: self.journal.clone(),
            tail: self.tail.clone(),
            tail_len: self.tail_bytes,
            segment_len: self.segment_bytes,
            cluster: self.keys.cluster(),
            replica: self.replica,
            power: self.durability == Durability::Power,
            frame_len_max: frame_len_max(self.mtu),
        }
    }
}

/// Why a node does not start, or stopped.
#[derive(Debug)]
pub enum NodeError {
    /// The journal could not be opened or created.
    Journal(JournalError),
    /// A system call failed.
    Io(IoError),
    /// The node must not start, or had to stop; the reason.
    Refused(String),
    /// The journal is damaged; a text with file, offset and seq.
    Damaged(String),
    /// The journal cannot prove that it has everything that was acknowledged (S9), or is damaged: its replica
    /// must not vote under its identity.
    Unproven {
        /// The reason.
        why: String,
        /// What an operator may do; empty if the reason says it.
        remedy: &'static str,
    },
}

impl NodeError {
    /// Whether the node's journal cannot prove that it has everything that was acknowledged, or is damaged.
    pub fn is_unproven(&self) -> bool {
        match self {
            Self::Unproven { .. } => true,
            Self::Journal(JournalError { why: JournalFailure::Open(error), .. }) => {
                matches!(error, JournalOpenError::Damaged(_) | JournalOpenError::Incomplete(_))
            }
            _ => false,
        }
    }

    /// Whether there is no journal.
    pub fn is_missing(&self) -> bool {
        let Self::Journal(JournalError { why, .. }) = self else { return false };
        matches!(why, JournalFailure::Open(JournalOpenError::Missing))
    }

    /// The process's exit code: 1 failure, 2 usage, 3 integrity.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(JournalError { why: JournalFailure::Open(error), .. }) => match error {
                JournalOpenError::Damaged(_) | JournalOpenError::Incomplete(_) => 3,
                JournalOpenError::Store(_) => 1,
                _ => 2,
            },
            Self::Journal(_) | Self::Io(_) => 1,
            Self::Refused(_) | Self::Damaged(_) | Self::Unproven { .. } => 3,
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Refused(what) | Self::Damaged(what) => f.write_str(what),
            Self::Unproven { why, remedy } => write!(f, "{why}{remedy}"),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<IoError> for NodeError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

impl From<JournalError> for NodeError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Creates the journal of a replica. Its identity is drawn here, and never again.
///
/// # Errors
/// The directory cannot be written, or is not empty.
pub fn format(settings: &NodeSettings) -> Result<Identity, NodeError> {
    let identity = Identity { replica: settings.replica, incarnation: draw_incarnation()? };
    Ok(journal_files::format(&settings.journal, settings.keys.cluster(), identity)?.identity)
}

/// Moves this replica's journal into its folder `aside`, and makes a blank one of a new identity, which asks
/// to replace `dead` ([`rejoining`]).
///
/// # Errors
/// The journal is in use or another replica's, its owner is unknown, or the files fail.
pub fn renew(settings: &NodeSettings, dead: Identity) -> Result<Identity, NodeError> {
    Ok(journal_files::renew(&settings.journal, settings.keys.cluster(), settings.replica, dead)?)
}

/// The identity that this replica's journal asks to replace since it was renewed.
pub fn rejoining(settings: &NodeSettings) -> Option<Identity> {
    journal_files::rejoining(&settings.journal)
}

/// This replica's journal does not ask to replace an identity any more.
///
/// # Errors
/// Those of the files.
pub fn rejoined(settings: &NodeSettings) -> Result<(), NodeError> {
    Ok(journal_files::rejoined(&settings.journal)?)
}

/// No other journal has what this replica's journal lacks: its next start gives it up ([`renew`]).
///
/// # Errors
/// Those of the files.
pub fn overtake(settings: &NodeSettings) -> Result<(), NodeError> {
    Ok(journal_files::overtake(&settings.journal)?)
}

/// Whether this replica's journal has that mark.
pub fn is_overtaken(settings: &NodeSettings) -> bool {
    journal_files::is_overtaken(&settings.journal)
}

/// The identity that `format` gave to this replica's journal. Another process may have it open.
///
/// # Errors
/// There is no journal, or it is another's.
pub fn identity(settings: &NodeSettings) -> Result<Identity, NodeError> {
    Ok(journal_files::identity(&settings.journal)?)
}

/// Begins a history with these members on this replica's journal, once, in the newest version. Returns its
/// id, drawn at random.
///
/// # Errors
/// The journal has a history already, or cannot be opened.
pub fn bootstrap(settings: &NodeSettings, members: &[MemberBody]) -> Result<u64, NodeError> {
    bootstrap_version(settings, members, VERSION)
}

/// As [`bootstrap`], with a log of this version.
///
/// # Errors
/// As [`bootstrap`]; and if this release does not write that version.
pub fn bootstrap_version(
    settings: &NodeSettings,
    members: &[MemberBody],
    version: u8,
) -> Result<u64, NodeError> {
    let refused =
        |what: String| NodeError::Refused(format!("journal {}: {what}", settings.journal.display()));
    let history = random_u64()?.max(1);
    // It is reported once the device has stored it, whatever the configuration is.
    let inspected = journal_files::look(&JournalConfig { power: true, ..settings.journal_config() })?;
    let (journal, side) = inspected.start(|inspected| {
        may_bootstrap(&inspected.end(), inspected.superblock().identity, members).map_err(refused)?;
        Ok::<_, NodeError>(journal_thread::prepare(ThreadSettings::new(true))?)
    })?;
    let OpenJournal { mut opened, reader, store, lock: _lock, .. } = journal;
    bootstrap_tail(&mut opened.tail, &settings.keys, (history, version), members).map_err(refused)?;
    let side = side.begin(store, reader, opened.writer, opened.superblock);
    side.set_lineage(Lineage::of(history));
    side.stop().map_err(NodeError::Refused)?;
    Ok(history)
}
