//! # settings: from the cluster's file to the settings of this machine's nodes
//!
//! `lockstep_config` reads and checks the file. This is the one place that turns its values into settings of
//! nodes, which clients do not need.

#![forbid(unsafe_code)]

use crate::{Neighbour, NodeSettings, ReplaySettings};
use lockstep_config::{Compression, Config, ConfigError, Durability, KeyUse, Role, Scheduling, Transport};
use lockstep_core::proto::commit;
use lockstep_core::proto::heartbeat::HeartbeatLimits;
use lockstep_core::proto::window::Window;
use lockstep_io::device::MemorySharing;
use lockstep_process::cpu::SchedulingClass;
use lockstep_replica::journal::packed::PACKED_LEN_MAX;
use lockstep_replica::journal::{Retention, SEGMENT_LEN_MIN};
use lockstep_wire::AgreedOwner;
use std::net::SocketAddrV4;
use std::path::PathBuf;

// The reader of the file refuses what the journal could not pack.
const _: () = assert!(lockstep_config::PACKED_LEN_MAX == PACKED_LEN_MAX);

/// Settings of the nodes in a file.
pub trait NodeConfig {
    /// Settings of the node of replica `id`.
    ///
    /// # Errors
    /// There is no such replica; the error lists the existing ones.
    fn node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>>;

    /// Settings of the node of archiver `id`.
    ///
    /// # Errors
    /// There is no such archiver; the error lists the existing ones.
    fn archiver_node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>>;
}

impl NodeConfig for Config {
    fn node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>> {
        let replica = self.replica(id)?;
        let is_full = replica.role == Role::Full;
        // If no other node stores the stream, there is none to ask.
        let alone = self.storing().count() + self.archivers.len() == 1;
        Ok(NodeSettings {
            segment_bytes: match replica.role {
                Role::Full => self.journal.segment_size_bytes,
                // A witness stores a ring's worth, and segments are removed as a whole.
                Role::Witness => {
                    let quarter = (self.journal.tail_size_bytes / 4).max(SEGMENT_LEN_MIN);
                    self.journal.segment_size_bytes.min(quarter)
                }
            },
            retention: Retention {
                bytes_max: self.journal.retention_size_bytes.unwrap_or(0),
                age_ns_max: self.journal.retention_age_ns.unwrap_or(0),
            },
            journal: replica.journal.clone(),
            tail: replica.tail.clone(),
            counters: replica.counters.clone(),
            core: replica.core,
            replay: replay_settings(self, self.replay.by_leader || alone).filter(|_| is_full),
            ..any_node(self, id, (replica.unicast, replica.unicast_b), replica.transport)?
        })
    }

    fn archiver_node(&self, id: u32) -> Result<NodeSettings, Box<ConfigError>> {
        let archiver = self.archiver(id)?;
        Ok(NodeSettings {
            is_archiver: true,
            packs: archiver.compression == Compression::Lz4,
            retention: Retention {
                bytes_max: archiver.retention_size_bytes.unwrap_or(0),
                age_ns_max: archiver.retention_age_ns.unwrap_or(0),
            },
            journal: archiver.journal.clone(),
            tail: archiver.tail.clone(),
            counters: archiver.counters.clone(),
            core: archiver.core,
            ..any_node(self, id, (archiver.unicast, None), archiver.transport)?
        })
    }
}

/// Settings of a node that answers at these addresses, one for each line. `chosen` is its own transport, if
/// it has one. The paths are still to be set.
fn any_node(
    config: &Config,
    id: u32,
    (unicast, unicast_b): (SocketAddrV4, Option<SocketAddrV4>),
    chosen: Option<Transport>,
) -> Result<NodeSettings, Box<ConfigError>> {
    let keys = config.keys(KeyUse::Node)?;
    Ok(NodeSettings {
        replica: id,
        is_archiver: false,
        udp: config.udp(),
        transport: config.transport(0, chosen, true, &keys),
        second: config.second(unicast_b, chosen, true, &keys),
        keys,
        fault_injection: config.fault_injection(),
        memory: config.memory(),
        mtu: config.mtu(),
        unicast,
        neighbours: neighbours(config, unicast),
        agreed: config.agreed(),
        peers: config.repairers().filter(|other| other.address != unicast).collect(),
        sources: config.sources().filter(|other| *other != unicast).collect(),
        replay: replay_settings(config, true),
        journal: PathBuf::new(),
        tail: PathBuf::new(),
        tail_bytes: config.journal.tail_size_bytes,
        segment_bytes: config.journal.segment_size_bytes,
        retention: Retention::default(),
        packs: false,
        flush_interval_ns: config.journal.flush_interval_ns,
        durability: match config.stream.durability {
            Durability::Process => commit::Durability::Process,
            Durability::Power => commit::Durability::Power,
        },
        window: Window { entries: config.stream.window_entries, bytes: config.stream.window_bytes as u32 },
        publishers_max: config.stream.publishers_max,
        heartbeat: HeartbeatLimits {
            first_ns: config.timing.heartbeat_first_ns,
            interval_ns: config.timing.heartbeat_interval_ns,
        },
        failure_timeout_ns: config.timing.failure_timeout_ns,
        failure_timeout_ns_max: config.timing.failure_timeout_max_ns,
        nack: config.nack(),
        counters: PathBuf::new(),
        core: None,
        scheduling: match config.runtime.scheduling {
            Scheduling::Other => SchedulingClass::Other,
            Scheduling::Fifo(priority) => SchedulingClass::Fifo(priority),
        },
        lock_memory: config.runtime.mlock,
        timer_slack_ns: config.runtime.timer_slack_ns,
        idle: config.idle(),
    })
}

/// The nodes of the file beside the one at `own`. Processes that exchange datagrams by memory alone have no
/// network by which to ask them.
fn neighbours(config: &Config, own: SocketAddrV4) -> Vec<Neighbour> {
    let of = |number, is_archiver, address| Neighbour { owner: AgreedOwner { number, is_archiver }, address };
    let replicas = config.replicas.iter().map(|replica| of(replica.id, false, replica.unicast));
    let archivers = config.archivers.iter().map(|archiver| of(archiver.id, true, archiver.unicast));
    let has_network = config.memory() != MemorySharing::Alone;
    replicas.chain(archivers).filter(|other| has_network && other.address != own).collect()
}

/// What one address may have of `all`: as many as its key says, or an eighth.
pub fn share_of_address(all: u32, key: Option<u32>) -> usize {
    key.unwrap_or(all.div_ceil(8)) as usize
}

fn replay_settings(config: &Config, by_leader: bool) -> Option<ReplaySettings> {
    let replay = &config.replay;
    let of_address = share_of_address(replay.readers_max, replay.readers_per_address);
    (replay.readers_max > 0).then_some(ReplaySettings {
        readers_max: replay.readers_max as usize,
        readers_per_address: of_address,
        allow: replay.allow.clone(),
        rate_bytes_per_s: replay.rate_bytes_per_s,
        by_leader,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const FILE: &str = r#"cluster = 7
profile = "shared"
security.mode = "none"
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
[[replicas]]
id = 1
unicast = "127.0.0.1:7701"
journal = "/j/1"
[[replicas]]
id = 2
unicast = "127.0.0.1:7702"
journal = "/j/2"
[[archivers]]
id = 9
unicast = "127.0.0.1:7799"
journal = "/tmp/a"
retention_age = "10d"
compression = "lz4"
"#;

    #[test]
    fn an_archivers_node_packs_asks_the_replicas_and_is_a_source_of_theirs() {
        let config =
            Config::parse(Path::new("c.toml"), FILE, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let node = config.archiver_node(9).expect("it is there");
        assert!(node.is_archiver && node.packs && node.replica == 9);
        assert_eq!(node.retention.age_ns_max, 10 * 86_400 * 1_000_000_000);
        assert_eq!(node.peers.len(), config.replicas.len(), "it asks the replicas, and not itself");
        assert!(config.node(1).expect("a replica").sources.contains(&node.unicast));
    }
}
