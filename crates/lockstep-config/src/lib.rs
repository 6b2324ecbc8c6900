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
//! * `tables` declares each key once, with its field, kind, default and meaning; any other key is unknown.
//! * The strongest layer wins: flag > variable > file > default. Every value knows its [`Origin`].
//! * `network` turns the values into settings of devices. Settings of handles alone are in
//!   `lockstep-client` (feature `config`), those of nodes alone in the program.
//!
//! It reads one given file and the variables of the process, and no socket or clock.

#![forbid(unsafe_code)]

mod build;
mod change;
mod choices;
mod coordinators;
mod environment;
mod file;
mod layers;
mod network;
mod problem;
mod relations;
mod schema;
mod security;
mod set;
mod set_stream;
mod tables;
mod topology;
mod units;
mod value;

pub use change::{ChangeNeed, KeyChange};
pub use choices::{
    Compression, Delivery, Durability, Gso, HostNames, Idle, InterfaceSetting, LogFormat, LogLevel, Profile,
    Rejoin, Role, Scheduling, SecurityMode, Transport, XdpMode,
};
pub use environment::{
    file_of_this_process, from_environment, from_this_process, is_service_link, left_out_of_this_process,
    variable,
};
pub use problem::{Code, ConfigError, ConfigErrors};
pub use schema::{key_paths, reference};
pub use security::KeyUse;
pub use set_stream::SetStream;
pub use tables::{
    Archiver, Channel, CoordinatorConfig, FaultInjection, FeedConfig, GatewayConfig, JournalSection,
    LineConfig, LogConfig, MetricsConfig, NetworkConfig, PublisherConfig, ReplayConfig, ReplicaConfig,
    RuntimeConfig, SecurityConfig, SetPlace, StreamConfig, SubscriberConfig, TimingConfig,
};

pub use relations::PACKED_LEN_MAX;
pub use units::grouped;

use layers::Layers;
use lockstep_wire::AgreedRow;
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
    /// The proof of each datagram's sender.
    pub security: SecurityConfig,
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
    /// Limits of a feed.
    pub feed: FeedConfig,
    /// How the pinned thread runs.
    pub runtime: RuntimeConfig,
    /// The injected faults; none by default.
    pub fault_injection: FaultInjection,
    /// The log: what it contains, and how.
    pub log: LogConfig,
    /// The page of a daemon that Prometheus reads.
    pub metrics: MetricsConfig,
    /// The set that the stream belongs to, and its place there; none where the file describes one cluster.
    pub set: Option<SetPlace>,
    effective: Vec<(String, String, Origin)>,
}

impl MetricsConfig {
    /// The names by which the page may be asked for.
    pub fn hosts(&self) -> &[String] {
        self.hosts.as_ref().map_or(&[], |hosts| &hosts.0)
    }
}

impl LogConfig {
    /// For a process without a file.
    pub fn new(format: LogFormat, level: LogLevel) -> Self {
        Self { format, level }
    }
}

impl Config {
    /// Reads and checks the file at `path`, with `overrides` (flags before variables) laid over it. All
    /// problems are returned at once. It reads no environment: [`Config::from_env`] does.
    ///
    /// Of a file that describes a set of streams it is the stream that an override of the key `stream` names
    /// (`--stream NAME`, `LOCKSTEP_STREAM=NAME`).
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
                    "name a readable file (as argument, by --config or LOCKSTEP_CONFIG); `lockstep dev` runs a cluster to try and prints its file",
                ))
            }
        }
    }

    /// Checks `text` as [`Config::load`] does. `path` is its name in messages.
    pub fn parse(path: &Path, text: &str, overrides: &[Override]) -> Result<Self, ConfigErrors> {
        let (chosen, overrides) = set::choice(overrides);
        let mut layers = judged(path, text, chosen, &overrides);
        if let Some(own) = layers.place.filter(|_| layers.problems.is_empty()) {
            let before = layers.set[..own].iter().map(|other| other.name.clone());
            let of = |name: String| {
                let other = judged(path, text, Some(&Self::choice_of_stream(&name)), &[]);
                (name, other)
            };
            let others: Vec<_> = before.map(of).collect();
            let name = layers.set[own].name.clone();
            set::check_apart(&mut layers, &name, &others);
        }
        if layers.problems.is_empty() {
            return Ok(build::config(&layers));
        }
        Err(ConfigErrors::new(path.to_path_buf(), text.to_string(), layers.problems))
    }

    /// The name of the stream in its set; empty of a file that describes one cluster.
    pub fn stream_name(&self) -> &str {
        self.set.as_ref().map_or("", |set| &set.stream().name)
    }

    /// What chooses this stream of a set's file, as `--stream` does.
    pub fn choice_of_stream(name: &str) -> Override {
        (set::CHOICE.to_owned(), name.to_owned(), Origin::Flag("--stream".to_owned()))
    }

    /// The names of the streams that the file at `path` describes together, in its order. None where it
    /// describes one cluster; also where it cannot be read, which [`Config::load`] reports.
    pub fn streams_in(path: &Path) -> Vec<String> {
        let text =
            std::fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let layers = Layers::from_file(path, &text, None);
        layers.set.iter().map(|stream| stream.name.clone()).collect()
    }

    /// Every key with its value and origin, in the order of the reference. Optional keys without a
    /// value are not listed.
    pub fn effective(&self) -> &[(String, String, Origin)] {
        &self.effective
    }

    /// The keys that all files of the cluster must have alike, with their values here.
    #[doc(hidden)]
    pub fn agreed(&self) -> Vec<AgreedRow> {
        self.effective.iter().filter_map(|(key, value, _)| AgreedRow::new(key, value)).collect()
    }

    /// The replica with this id, or an error that lists those there are.
    pub fn replica(&self, id: u32) -> Result<&ReplicaConfig, Box<ConfigError>> {
        let ids = self.replicas.iter().map(|replica| replica.id);
        self.replicas.iter().find(|replica| replica.id == id).ok_or_else(|| {
            let hint = if self.archivers.iter().any(|archiver| archiver.id == id) {
                "name one of these with --replica; this number is an archiver's: --archiver"
            } else {
                "name one of these with --replica"
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
            let hint = if self.archivers.is_empty() {
                "add [[archivers]] to the file, one for each"
            } else {
                "name one of these with --archiver"
            };
            unknown("archiver", id, ids, hint)
        })
    }
}

/// The layers of the file, or of one stream of it, with `overrides` laid over them, defaults, and all
/// relations within one stream checked.
fn judged<'a>(
    path: &'a Path,
    text: &'a str,
    chosen: Option<&Override>,
    overrides: &[Override],
) -> Layers<'a> {
    let mut layers = Layers::from_file(path, text, chosen);
    if layers.is_sound() {
        layers.lay_over(overrides);
        layers.fill_in();
        relations::check(&mut layers);
    }
    layers
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

/// Reads a size as the file spells it (`"64MiB"`), for flags that are no keys.
///
/// # Errors
/// The problem, and what to write instead.
pub fn size(text: &str) -> Result<u64, String> {
    let read = units::size_bytes(value::Raw::Loose(text));
    read.map_err(|value::Complaint(_, rule, hint)| format!("{rule}; {hint}"))
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
