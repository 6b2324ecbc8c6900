//! A cluster on this host: folders of its own, a configuration file as an operator writes it, journals
//! formatted and a history begun. Everything is removed with it.

use crate::contestant::Contestant;
use crate::transport::Transport;
use lockstep::config::{Config, NodeConfig, SecurityMode};
use lockstep_client::Endpoint;
use lockstep_core::engine::ports::Group;
use lockstep_io::device::MemorySharing;
use lockstep_io::idle::Idle;
use lockstep_io::key_file::KeyFile;
use lockstep_io::udp::{UdpSettings, free_port};
use lockstep_node::NodeSettings;
use lockstep_wire::{Identity, MemberBody};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Bytes of a message: the size that figures of lockstep are given for where nothing else is said.
pub const MESSAGE_LEN: usize = 64;
/// The network's MTU where nothing else is said: frames of 1,424 bytes, fifteen messages of 64.
pub const MTU: usize = 1500;

/// Where a cluster's processes find each other, and how much they keep.
pub struct Site {
    /// The interface of the groups, for all alike.
    pub interface: &'static str,
    /// Routers that a datagram may pass, plus one.
    pub ttl: u8,
    /// Each replica's address, 1 first.
    pub addresses: Vec<Ipv4Addr>,
    /// Whether the journals keep everything, to be compared at the end.
    pub keeps_all: bool,
    /// Share that every process of lockstep loses of what it receives, like `1%`; empty for none.
    pub loss: String,
    /// Bytes per second for all who read a journal, like `64MiB`; empty for the usual.
    pub replay_rate: String,
    /// The network's MTU, which frames keep to.
    pub mtu: usize,
    /// How datagrams go.
    pub transport: Transport,
    /// Whether bursts leave uncut.
    pub gso: bool,
    /// Whether datagrams have a MAC.
    pub security: SecurityMode,
}

impl Site {
    /// `replicas` on this host's loopback.
    pub fn loopback(replicas: u32) -> Self {
        let addresses = vec![Ipv4Addr::LOCALHOST; replicas as usize];
        Self {
            interface: "lo",
            ttl: 0,
            addresses,
            keeps_all: false,
            loss: String::new(),
            replay_rate: String::new(),
            mtu: MTU,
            transport: Transport::Udp,
            gso: true,
            security: SecurityMode::Keys,
        }
    }
}

/// Two folders: journals lie on a disk, tails and counters in memory.
struct Folders {
    disk: TempDir,
    memory: TempDir,
}

impl Folders {
    fn new() -> Result<Self, String> {
        let make = |parent: &Path| {
            let made = TempDir::with_prefix_in("lockstep-bench-", parent);
            made.map_err(|error| format!("making a folder in {}: {error}", parent.display()))
        };
        let (disk, shm) = (std::env::temp_dir(), Path::new("/dev/shm"));
        Ok(Self { memory: make(if shm.is_dir() { shm } else { &disk })?, disk: make(&disk)? })
    }
}

/// The cluster's file, and what it stands for.
pub struct Cluster {
    folders: Folders,
    /// The configuration.
    pub config: Config,
    /// The members, by number from 1.
    pub identities: Vec<Identity>,
    /// The id of the history that was begun.
    pub history: u64,
}

impl Cluster {
    /// A cluster of `replicas`, formatted and begun, none of them running.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn new(replicas: u32, idle: Idle) -> Result<Self, String> {
        Self::on(&Site::loopback(replicas), idle)
    }

    /// The file of a cluster on `site` and nothing else of it: a floor keeps no journal.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn file(site: &Site, idle: Idle) -> Result<Self, String> {
        let folders = Folders::new()?;
        let text = text(&folders, site, idle)?;
        let path = folders.disk.path().join("lockstep.toml");
        std::fs::write(&path, &text).map_err(|error| format!("writing {}: {error}", path.display()))?;
        let config = load(&path)?;
        Ok(Self { folders, config, identities: Vec::new(), history: 0 })
    }

    /// A cluster on `site`, formatted and begun, none of it running.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn on(site: &Site, idle: Idle) -> Result<Self, String> {
        let mut cluster = Self::file(site, idle)?;
        let mut members = Vec::new();
        for replica in 1..=site.addresses.len() as u32 {
            let settings = cluster.node(replica)?;
            let identity = lockstep_node::format(&settings).map_err(|error| error.to_string())?;
            members.push(MemberBody::full(identity, settings.unicast));
            cluster.identities.push(identity);
        }
        cluster.history =
            lockstep_node::bootstrap(&cluster.node(1)?, &members).map_err(|error| error.to_string())?;
        Ok(cluster)
    }

    /// What `contestant` needs of a cluster on `site`.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn of(contestant: Contestant, site: &Site, idle: Idle) -> Result<Self, String> {
        if contestant == Contestant::Lockstep { Self::on(site, idle) } else { Self::file(site, idle) }
    }

    /// Leaves the folders where they are, and returns the one on the disk.
    pub fn keep(&mut self) -> &Path {
        let Folders { disk, memory } = &mut self.folders;
        memory.disable_cleanup(true);
        disk.disable_cleanup(true);
        disk.path()
    }

    /// The cluster's file.
    pub fn path(&self) -> PathBuf {
        self.folders.disk.path().join("lockstep.toml")
    }

    /// What the node of a replica needs to know.
    ///
    /// # Errors
    /// There is no such replica.
    pub fn node(&self, replica: u32) -> Result<NodeSettings, String> {
        self.config.node(replica).map_err(|error| error.to_string())
    }

    /// A device of this cluster's place.
    pub fn udp(&self, joins: &[Group]) -> UdpSettings {
        device(&self.config, joins)
    }
}

/// Reads a cluster's file.
///
/// # Errors
/// What is wrong with it.
pub fn load(path: &Path) -> Result<Config, String> {
    Config::load(Some(path), &[]).map_err(|errors| errors.to_string())
}

/// How handles reach the cluster of `config`.
///
/// # Errors
/// Its keys cannot be read.
pub fn endpoint(config: &Config) -> Result<Endpoint, String> {
    Endpoint::from_config(config).map_err(|errors| errors.to_string())
}

/// How the operator of the cluster of `config` reaches it.
///
/// # Errors
/// Its keys cannot be read.
pub fn operator(config: &Config) -> Result<Endpoint, String> {
    Endpoint::for_operator(config).map_err(|errors| errors.to_string())
}

/// A device in the place that `config` names, on any unicast port.
pub fn device(config: &Config, joins: &[Group]) -> UdpSettings {
    UdpSettings { joins: joins.to_vec(), unicast_port: 0, ..config.udp() }
}

/// The file: the values of configs/demo.toml, in a place of its own, with wider windows.
fn text(folders: &Folders, site: &Site, idle: Idle) -> Result<String, String> {
    let mut ports = Vec::new();
    while ports.len() <= site.addresses.len() {
        let port = free_port(Ipv4Addr::LOCALHOST).map_err(|error| error.to_string())?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let (port, block) = (ports[0], std::process::id() as u8);
    let mut text = format!(
        r#"cluster = {port}
profile = "shared"

[[lines]]
submit = "239.77.{block}.1:{port}"
data = "239.77.{block}.2:{port}"
control = "239.77.{block}.3:{port}"
interface = "{}"
ttl = {}
mtu = {}
receive_buffer = "4MiB"
send_buffer = "4MiB"
"#,
        site.interface, site.ttl, site.mtu
    );
    if site.transport.of_line() != Transport::default().of_line() {
        writeln!(text, "transport = \"{}\"", site.transport.of_line()).map_err(|error| error.to_string())?;
    }
    if !site.gso {
        text.push_str("gso = \"off\"\n");
    }
    if site.transport.memory() != MemorySharing::Off {
        text.push_str("\n[network]\nshm = true\n");
    }
    let keys = folders.disk.path().join("keys");
    KeyFile::draw(port.into())
        .and_then(|file| file.write_folder(&keys))
        .map_err(|error| error.to_string())?;
    let mode = site.security;
    write!(text, "\n[security]\nmode = \"{mode}\"\nkeys = {:?}\n", keys.display().to_string())
        .map_err(|error| error.to_string())?;
    let (disk, memory) = (folders.disk.path().display(), folders.memory.path().display());
    for (replica, address) in (1..).zip(&site.addresses) {
        let port: u16 = ports[replica];
        write!(
            text,
            r#"
[[replicas]]
id = {replica}
unicast = "{address}:{port}"
role = "full"
journal = "{disk}/{replica}"
tail = "{memory}/{replica}.tail"
counters = "{memory}/{replica}.counters"
"#
        )
        .map_err(|error| error.to_string())?;
    }
    let retention = if site.keeps_all { "" } else { "retention_size = \"512MiB\"" };
    write!(
        text,
        r#"
[stream]
durability = "process"
window_entries = 65536
window_bytes = "8MiB"

[journal]
tail_size = "64MiB"
segment_size = "64MiB"
{retention}

[publisher]
window = 16384
buffer = "16MiB"

[subscriber]
buffer = "8MiB"

[runtime]
idle = "{idle}"
"#
    )
    .map_err(|error| error.to_string())?;
    if !site.loss.is_empty() {
        write!(text, "\n[fault_injection]\nloss = \"{}\"\n", site.loss).map_err(|error| error.to_string())?;
    }
    if !site.replay_rate.is_empty() {
        write!(text, "\n[replay]\nrate = \"{}\"\n", site.replay_rate).map_err(|error| error.to_string())?;
    }
    Ok(text)
}
