//! A cluster on this host: folders of its own, a configuration file as an operator writes it, journals
//! formatted and a history begun. Everything is removed with it.

use crate::contestant::Contestant;
use crate::transport::Transport;
use lockstep::config::{Config, NodeConfig, SecurityMode};
use lockstep_client::Endpoint;
use lockstep_core::engine::ports::Group;
use lockstep_io::IoError;
use lockstep_io::device::MemorySharing;
use lockstep_io::idle::Idle;
use lockstep_io::udp::{UdpSettings, free_port};
use lockstep_node::NodeSettings;
use lockstep_node::local::{ClusterFile, Folders, KEYS, Line, Replica, found, node_keys};
use lockstep_wire::Identity;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

pub use lockstep_instructions::{MESSAGE_LEN, MTU};

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
    /// Where the first replica has its page of metrics.
    pub metrics: Option<SocketAddr>,
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
            metrics: None,
        }
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
        let fails = |error: IoError| error.to_string();
        let folders = Folders::create("lockstep-bench").map_err(fails)?;
        folders.write_config(&text(&folders, site, idle).map_err(fails)?).map_err(fails)?;
        let config = load(&folders.config())?;
        Ok(Self { folders, config, identities: Vec::new(), history: 0 })
    }

    /// A cluster on `site`, formatted and begun, none of it running.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn on(site: &Site, idle: Idle) -> Result<Self, String> {
        let mut cluster = Self::file(site, idle)?;
        let ids = 1..=site.addresses.len() as u32;
        let nodes = ids.map(|replica| cluster.node(replica)).collect::<Result<Vec<_>, _>>()?;
        (cluster.identities, cluster.history) = found(&nodes).map_err(|error| error.to_string())?;
        Ok(cluster)
    }

    /// What `contestant` needs of a cluster on `site`.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn of(contestant: Contestant, site: &Site, idle: Idle) -> Result<Self, String> {
        if contestant == Contestant::Lockstep { Self::on(site, idle) } else { Self::file(site, idle) }
    }

    /// Adds archiver `id` to the file, and formats it; its sealed segments are packed.
    ///
    /// # Errors
    /// In words, what could not be made.
    pub fn add_archiver(&mut self, id: u32) -> Result<(), String> {
        let fails = |error: IoError| error.to_string();
        let path = self.path();
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let unicast = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST).map_err(fails)?);
        let keys = node_keys(id, unicast, self.folders.disk(), self.folders.memory());
        let more = "compression = \"lz4\"\nretention_size = \"512MiB\"\n";
        self.folders.write_config(&format!("{text}\n[[archivers]]\n{keys}{more}")).map_err(fails)?;
        self.config = load(&path)?;
        let node = self.config.archiver_node(id).map_err(|error| error.to_string())?;
        lockstep_node::format(&node).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Leaves the folders where they are, and returns the one on the disk.
    pub fn keep(&mut self) -> &Path {
        self.folders.keep();
        self.folders.disk()
    }

    /// The cluster's file.
    pub fn path(&self) -> PathBuf {
        self.folders.config()
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
fn text(folders: &Folders, site: &Site, idle: Idle) -> Result<String, IoError> {
    let mut line = format!("mtu = {}\nreceive_buffer = \"4MiB\"\nsend_buffer = \"4MiB\"\n", site.mtu);
    if site.transport.of_line() != Transport::default().of_line() {
        line += &format!("transport = \"{}\"\n", site.transport.of_line());
    }
    line += if site.gso { "" } else { "gso = \"off\"\n" };
    let network = match site.transport.memory() {
        MemorySharing::Off => "",
        _ => "\n[network]\nshm = true\n",
    };
    let retention = if site.keeps_all { "" } else { "retention_size = \"512MiB\"" };
    let mut tables = format!(
        r#"{network}
[security]
mode = "{}"
keys = {:?}

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
"#,
        site.security,
        folders.disk().join(KEYS).display().to_string()
    );
    if !site.loss.is_empty() {
        tables += &format!("\n[fault_injection]\nloss = \"{}\"\n", site.loss);
    }
    if !site.replay_rate.is_empty() {
        tables += &format!("\n[replay]\nrate = \"{}\"\n", site.replay_rate);
    }
    if let Some(address) = site.metrics {
        tables += &format!("\n[metrics]\nlisten = \"{address}\"\n");
    }
    let replica = |&address: &Ipv4Addr| Replica { address, second: None, more: String::new() };
    let file = ClusterFile {
        lines: vec![Line { interface: site.interface, ttl: site.ttl, more: line }],
        replicas: site.addresses.iter().map(replica).collect(),
        disk: folders.disk(),
        memory: folders.memory(),
        tables,
    };
    file.text()
}
