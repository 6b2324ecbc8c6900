//! # lockstep-config: text → validated values
//!
//! One TOML file describes the whole cluster and is the same on every machine. This crate reads and checks
//! it, so that no program checks it again: a [`Config`] that exists is correct.
//!
//! ```text
//!  file ─ value (judged alone) ─┐
//!  LOCKSTEP_… ──────────────────┼─ layers ─▶ one value per key ─ relations ─▶ Config
//!  flags ───────────────────────┘                                    └──────▶ ConfigErrors: all at once
//! ```
//!
<<<<<<< HEAD
//! * `tables` declares each key once, with its field, kind, default and meaning; any other key is unknown.
=======
//! * `schema` is the one table of keys; a key that it does not list is unknown.
>>>>>>> d23bc7cc769677fede582f0c341f0af1b16ec12e
//! * The strongest layer wins: flag > variable > file > default. Every value knows its [`Origin`].
//! * `network` turns the values into settings of devices. Settings of handles alone are in
//!   `lockstep-client` (feature `config`), those of nodes alone in the program.
//!
//! It reads one given file and the variables of the process, and no socket or clock.

#![forbid(unsafe_code)]

mod build;
mod choices;
mod environment;
mod file;
mod layers;
mod network;
mod problem;
mod relations;
mod schema;
mod tables;
mod topology;
mod units;
mod value;

pub use choices::{
    Compression, Delivery, Durability, Gso, Idle, InterfaceSetting, LogFormat, LogLevel, Profile, Role,
    Scheduling, Transport, XdpMode,
};
pub use environment::{from_environment, from_this_process, variable};
pub use problem::{Code, ConfigError, ConfigErrors};
pub use schema::{key_paths, reference};
pub use tables::{
    Archiver, Channel, FaultInjection, GatewayConfig, JournalSection, LineConfig, LogConfig, NetworkConfig,
    PublisherConfig, ReplayConfig, ReplicaConfig, RuntimeConfig, StreamConfig, SubscriberConfig,
    TimingConfig,
};

pub use relations::PACKED_LEN_MAX;

use layers::Layers;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The origin of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It was not set; the text names the keys that it follows from, if any.
    Default(String),
    /// The file, at this line and column (from 1; columns count characters).
    File {
        /// The file as it was named.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// A variable, by its whole name.
    Env(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(why) if why.is_empty() => f.write_str("default"),
            Self::Default(why) => write!(f, "default ({why})"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A flag or variable that sets a key: the key (e.g. `stream.durability`, `replicas.2.core`), the text, and
/// its origin.
pub type Override = (String, String, Origin);

/// A cluster's configuration. It is made by [`Config::load`] and [`Config::parse`] only, so its user need
/// not check it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Number of the cluster, from 1.
    pub cluster: u64,
    /// The kind of these machines.
    pub profile: Profile,
    /// The networks, one or two, with distinct groups and one MTU.
    pub lines: Vec<LineConfig>,
    /// The transports beside them.
    pub network: NetworkConfig,
    /// The replicas in the order of the file, 1 to 7, with distinct ids.
    pub replicas: Vec<ReplicaConfig>,
    /// The archivers in the order of the file, with ids of their own.
    pub archivers: Vec<Archiver>,
    /// The channels that feeds carry, in the order of the file, with distinct ids.
    pub channels: Vec<Channel>,
    /// The promises about the stream.
    pub stream: StreamConfig,
    /// Times of the protocol.
    pub timing: TimingConfig,
    /// Sizes and times of the journal.
    pub journal: JournalSection,
    /// How journals are replayed.
    pub replay: ReplayConfig,
    /// Limits of a publisher.
    pub publisher: PublisherConfig,
    /// Limits of a subscriber.
    pub subscriber: SubscriberConfig,
    /// Limits of a gateway.
    pub gateway: GatewayConfig,
    /// How the pinned thread runs.
    pub runtime: RuntimeConfig,
    /// The injected faults; none by default.
    pub fault_injection: FaultInjection,
    /// The log: what it contains, and how.
    pub log: LogConfig,
    effective: Vec<(String, String, Origin)>,
}

<<<<<<< HEAD
=======
/// One network.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LineConfig {
    /// Group of submissions. All three groups have the same port and different addresses.
    pub submit: SocketAddrV4,
    /// Group of frames and heartbeats.
    pub data: SocketAddrV4,
    /// Group of acknowledgements.
    pub control: SocketAddrV4,
    /// The network interface of all groups.
    pub interface: InterfaceSetting,
    /// Routers that a datagram may pass, plus one.
    pub ttl: u8,
    /// Bytes of the largest IP packet, 1100 to 9000.
    pub mtu: u16,
    /// Kernel memory of a receiving socket.
    pub receive_buffer_bytes: u64,
    /// Kernel memory of a sending socket.
    pub send_buffer_bytes: u64,
    /// How long a receive call polls the device; whole microseconds, 0 is off.
    pub busy_poll_ns: u64,
    /// Whether bursts leave as one segmented send.
    pub gso: Gso,
    /// How datagrams go.
    pub transport: Transport,
    /// Most members beside those of the file that a node sends to by unicast.
    pub fanout_members: u32,
    /// How xdp uses the card.
    pub xdp_mode: XdpMode,
    /// The only queue that xdp uses; none is all.
    pub xdp_queue: Option<u32>,
}

/// The settings common to all lines.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// Whether the processes of one host exchange datagrams by memory.
    pub shm: bool,
}

/// One replica.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReplicaConfig {
    /// 1 to 255.
    pub id: u32,
    /// Its address for repairs and questions, never on the groups' port.
    pub unicast: SocketAddrV4,
    /// The same on the second line; without it, the failure of the first line also ends queries and
    /// repairs.
    pub unicast_b: Option<SocketAddrV4>,
    /// The role that it may take.
    pub role: Role,
    /// Directory of its segments.
    pub journal: PathBuf,
    /// File of its tail.
    pub tail: PathBuf,
    /// Core of its pinned thread; none leaves it to the kernel.
    pub core: Option<usize>,
    /// How its datagrams go; none is as its lines say.
    pub transport: Option<Transport>,
    /// File of its counters.
    pub counters: PathBuf,
}

/// One archiver: it stores the stream, repairs and replays it, and is never a member.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Archiver {
    /// 1 to 255, none of the replicas'.
    pub id: u32,
    /// Its address for repairs, questions and replays, never on the groups' port.
    pub unicast: SocketAddrV4,
    /// Directory of its segments.
    pub journal: PathBuf,
    /// File of its tail.
    pub tail: PathBuf,
    /// Core of its pinned thread; none leaves it to the kernel.
    pub core: Option<usize>,
    /// How its datagrams go; none is as its lines say.
    pub transport: Option<Transport>,
    /// File of its counters.
    pub counters: PathBuf,
    /// Oldest segments go above this; none keeps all.
    pub retention_size_bytes: Option<u64>,
    /// Segments older than this go; none keeps all.
    pub retention_age_ns: Option<u64>,
    /// How sealed segments are kept.
    pub compression: Compression,
}

/// A destination that feeds carry: what is published for it fits their datagrams.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Channel {
    /// Its number, from 0.
    pub id: u32,
    /// Bytes of the largest message for it; at most the stream's.
    pub message_len_max: u32,
}

/// The promises about the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StreamConfig {
    /// The meaning of an acknowledgement.
    pub durability: Durability,
    /// Entries that may be uncommitted.
    pub window_entries: u32,
    /// Bytes that may be uncommitted; at most a quarter of the tail.
    pub window_bytes: u64,
    /// Most publishers in the life of the stream.
    pub publishers_max: u32,
    /// Bytes of the largest message; a message that does not fit in one frame is published in parts.
    pub message_len_max: u32,
}

/// Times of the protocol, all in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TimingConfig {
    /// Between heartbeats of an idle leader.
    pub heartbeat_interval_ns: u64,
    /// Silence after which a leader is suspected.
    pub failure_timeout_ns: u64,
    /// Upper bound of its doubling.
    pub failure_timeout_max_ns: u64,
    /// From a datagram to the first heartbeat behind it; at most the heartbeat interval.
    pub heartbeat_first_ns: u64,
    /// From a gap to the first request; at most `nack_retry_min_ns`.
    pub nack_delay_ns: u64,
    /// Shortest wait between requests.
    pub nack_retry_min_ns: u64,
    /// Longest wait between requests; at least the shortest.
    pub nack_retry_max_ns: u64,
    /// Shortest wait before a submission is sent again.
    pub resend_min_ns: u64,
    /// Longest wait before a submission is sent again; at least the shortest.
    pub resend_max_ns: u64,
}

/// Sizes and times of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct JournalSection {
    /// Bytes of the tail, a multiple of 4096.
    pub tail_size_bytes: u64,
    /// Bytes of a segment, a multiple of 4096.
    pub segment_size_bytes: u64,
    /// Oldest segments go above this; none keeps all.
    pub retention_size_bytes: Option<u64>,
    /// Segments older than this go; none keeps all.
    pub retention_age_ns: Option<u64>,
    /// Longest time that frames are gathered for one write; none chooses by the durability.
    pub flush_interval_ns: Option<u64>,
}

/// How journals are replayed to readers.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReplayConfig {
    /// Most readers of one journal; 0 is none.
    pub readers_max: u32,
    /// Bytes per second for all of them while the stream moves; without limit while it is idle.
    pub rate_bytes_per_s: u64,
    /// Whether a replica serves them while it leads.
    pub by_leader: bool,
}

/// Limits of a publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PublisherConfig {
    /// Entries that may be uncommitted; at most the stream's.
    pub window_entries: u32,
    /// Bytes buffered for resending.
    pub buffer_bytes: u64,
}

/// Limits of a subscriber.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SubscriberConfig {
    /// Bytes of frames buffered behind a gap or before they are committed.
    pub buffer_bytes: u64,
    /// Bytes of messages larger than a frame whose parts have not all come.
    pub parts_bytes: u64,
}

/// Limits of a gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// File of the users.
    pub users: PathBuf,
    /// File of the certificate and its chain.
    pub tls_certificate: Option<PathBuf>,
    /// File of the certificate's key.
    pub tls_key: Option<PathBuf>,
    /// When clients get their messages.
    pub delivery: Delivery,
    /// Most connections.
    pub clients_max: u32,
    /// Most that are accepted in a second.
    pub accepts: u32,
    /// From a connection to its whole login request.
    pub login_timeout_ns: u64,
    /// Silence after which a client counts as disconnected.
    pub silence_ns: u64,
    /// How long a client may take none of the data that waits for it.
    pub stall_ns: u64,
    /// Time between a gateway's heartbeats in the stream.
    pub heartbeat_interval_ns: u64,
    /// Directory of the unnamed file of the day's messages.
    pub spool: PathBuf,
    /// Bytes of that file at most.
    pub spool_size_bytes: u64,
}

/// How the pinned thread runs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// Its behaviour without work.
    pub idle: Idle,
    /// Its scheduling class.
    pub scheduling: Scheduling,
    /// Whether memory is locked.
    pub mlock: bool,
    /// How late the kernel may wake a sleeping thread.
    pub timer_slack_ns: u64,
    /// Whether a watcher announces the sequencer's death.
    pub watcher: bool,
}

/// A network worse than the real one: faults are injected into what is received. Shares are millionths.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FaultInjection {
    /// How many datagrams are lost.
    pub loss_ppm: u32,
    /// The share of datagrams that arrive twice.
    pub duplication_ppm: u32,
    /// How many others pass.
    pub reordering_ppm: u32,
    /// How late each is.
    pub delay_ns: u64,
    /// Decides which they are.
    pub seed: u64,
    /// The line that the faults apply to, 1 or 2; 0 is both, and shared memory.
    pub line: u8,
}

/// The log: what it contains, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LogConfig {
    /// The format of lines.
    pub format: LogFormat,
    /// The least important line that is written.
    pub level: LogLevel,
}

>>>>>>> d23bc7cc769677fede582f0c341f0af1b16ec12e
impl LogConfig {
    /// For a process without a file.
    pub fn new(format: LogFormat, level: LogLevel) -> Self {
        Self { format, level }
    }
}

impl Config {
    /// Reads and checks the file at `path`, with `overrides` (flags before variables) laid over it. All
    /// problems are returned at once. It reads no environment: [`Config::from_env`] does.
    pub fn load(path: Option<&Path>, overrides: &[Override]) -> Result<Self, ConfigErrors> {
        let unreadable = |path: &Path, rule: String, hint: &str| {
            let hint = hint.to_string();
            let (key, value) = (String::new(), path.display().to_string());
            let code = Code::Unreadable;
            let error =
                ConfigError { code, key, value, rule, hint, origin: None, span: None, related: Vec::new() };
            ConfigErrors::new(path.to_path_buf(), String::new(), vec![error])
        };
        let Some(path) = path else {
            let rule = "no configuration file was named".into();
            return Err(unreadable(
                Path::new("(no file)"),
                rule,
                "give one with --config FILE or LOCKSTEP_CONFIG",
            ));
        };
        match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => Self::parse(path, &text, overrides),
            Ok(Err(error)) => {
                let rule = format!("byte {} is not UTF-8, as TOML demands", error.utf8_error().valid_up_to());
                Err(unreadable(path, rule, "save the file as UTF-8"))
            }
            Err(source) => {
                let rule = format!("reading the configuration failed: {source}");
                Err(unreadable(
                    path,
                    rule,
                    "name a readable file by LOCKSTEP_CONFIG or --config; `lockstep dev` runs a cluster to try and prints its file",
                ))
            }
        }
    }

    /// Checks `text` as [`Config::load`] does. `path` is its name in messages.
    pub fn parse(path: &Path, text: &str, overrides: &[Override]) -> Result<Self, ConfigErrors> {
        let mut layers = Layers::from_file(path, text);
        if layers.is_sound() {
            layers.lay_over(overrides);
            layers.fill_in();
            relations::check(&mut layers);
        }
        if layers.problems.is_empty() {
            return Ok(build::config(&layers));
        }
        Err(ConfigErrors::new(path.to_path_buf(), text.to_string(), layers.problems))
    }

    /// Every key with its value and origin, in the order of the reference. Optional keys without a
    /// value are not listed.
    pub fn effective(&self) -> &[(String, String, Origin)] {
        &self.effective
    }

    /// The replica with this id, or an error that lists those there are.
    pub fn replica(&self, id: u32) -> Result<&ReplicaConfig, Box<ConfigError>> {
        let ids = self.replicas.iter().map(|replica| replica.id);
        self.replicas.iter().find(|replica| replica.id == id).ok_or_else(|| {
            let hint = match self.archivers.iter().any(|archiver| archiver.id == id) {
                true => "name one of these with --replica; this number is an archiver's: --archiver",
                false => "name one of these with --replica",
            };
            unknown("replica", id, ids, hint)
        })
    }

    /// The channel with this number, if the file has it.
    pub fn channel(&self, id: u32) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.id == id)
    }

    /// The archiver with this id, or an error that lists those there are.
    pub fn archiver(&self, id: u32) -> Result<&Archiver, Box<ConfigError>> {
        let ids = self.archivers.iter().map(|archiver| archiver.id);
        self.archivers.iter().find(|archiver| archiver.id == id).ok_or_else(|| {
            let hint = match self.archivers.is_empty() {
                true => "add [[archivers]] to the file, one for each",
                false => "name one of these with --archiver",
            };
            unknown("archiver", id, ids, hint)
        })
    }
}

fn unknown(what: &str, id: u32, ids: impl Iterator<Item = u32>, hint: &str) -> Box<ConfigError> {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    let has = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
    Box::new(ConfigError {
        code: Code::Replicas,
        key: String::new(),
        value: id.to_string(),
        rule: format!("no {what} {id}; the file has {has}"),
        hint: hint.into(),
        origin: None,
        span: None,
        related: Vec::new(),
    })
}

/// Reads a duration as the file spells it (`"5ms"`), for flags that are no keys.
///
/// # Errors
/// The problem, and what to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let read = units::duration_ns(value::Raw::Loose(text));
    read.map(Duration::from_nanos).map_err(|value::Complaint(_, rule, hint)| format!("{rule}; {hint}"))
}

/// Checks that `text` is a share as the file spells it (`"1%"`), for flags that are no keys, and returns it
/// as the file prints it.
///
/// # Errors
/// The problem, and what to write instead.
pub fn share(text: &str) -> Result<String, String> {
    let read = value::Kind::Share(1_000_000).parse(value::Raw::Loose(text));
    read.map(|share| share.to_string()).map_err(|value::Complaint(_, rule, hint)| format!("{rule}; {hint}"))
}
