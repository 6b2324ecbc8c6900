//! The part of the cluster's file that concerns this host: its nodes, lines and interfaces.

use crate::parse::{self, RouteRow};
use lockstep_config::{Archiver, Config, InterfaceSetting, LineConfig, ReplicaConfig, Role, Transport};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// A replica or archiver of this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalNode {
    /// `replica 1`, `archiver 101`.
    pub name: String,
    /// The table of its keys in the file: `replicas.1`.
    pub table: String,
    /// The command that runs it: `sequencer` or `archiver`.
    pub role: &'static str,
    /// Its number.
    pub id: u32,
    /// Its address.
    pub unicast: SocketAddrV4,
    /// The core of its pinned thread.
    pub core: Option<usize>,
    /// The folder of its journal.
    pub journal: PathBuf,
    /// Its memory files, and the bytes of each.
    pub memory: [(PathBuf, u64); 2],
    /// The transport that is configured for this node alone.
    pub transport: Option<Transport>,
    /// The oldest segments are deleted when the journal is larger; `None` if all are retained.
    pub retention_bytes: Option<u64>,
    /// Bytes of a segment.
    pub segment_bytes: u64,
}

/// Bytes of a counters file: its table of names and meanings, and the values.
const COUNTERS_BYTES: u64 = 1 << 20;

impl LocalNode {
    fn of_replica(config: &Config, replica: &ReplicaConfig) -> Self {
        let tail = config.journal.tail_size_bytes;
        let is_witness = replica.role == Role::Witness;
        Self {
            name: format!("replica {}", replica.id),
            table: format!("replicas.{}", replica.id),
            role: "sequencer",
            id: replica.id,
            unicast: replica.unicast,
            core: replica.core,
            journal: replica.journal.clone(),
            memory: [(replica.tail.clone(), tail), (replica.counters.clone(), COUNTERS_BYTES)],
            transport: replica.transport,
            retention_bytes: if is_witness { Some(tail) } else { config.journal.retention_size_bytes },
            segment_bytes: config.journal.segment_size_bytes,
        }
    }

    fn of_archiver(config: &Config, archiver: &Archiver) -> Self {
        let tail = config.journal.tail_size_bytes;
        Self {
            name: format!("archiver {}", archiver.id),
            table: format!("archivers.{}", archiver.id),
            role: "archiver",
            id: archiver.id,
            unicast: archiver.unicast,
            core: archiver.core,
            journal: archiver.journal.clone(),
            memory: [(archiver.tail.clone(), tail), (archiver.counters.clone(), COUNTERS_BYTES)],
            transport: archiver.transport,
            retention_bytes: archiver.retention_size_bytes,
            segment_bytes: config.journal.segment_size_bytes,
        }
    }
}

/// A line of the file, and this host's interface of it.
#[derive(Clone, Debug)]
pub struct LocalLine<'a> {
    /// `lines.1`.
    pub table: String,
    /// Its number, from 0.
    pub place: usize,
    /// Its keys.
    pub line: &'a LineConfig,
    /// The interface by name, if this host has it.
    pub interface: Option<String>,
    /// The transport of this host's nodes on this line.
    pub transport: Transport,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The file.
    pub config: &'a Config,
    /// The nodes of this host; none where only clients run.
    pub nodes: Vec<LocalNode>,
    /// The lines.
    pub lines: Vec<LocalLine<'a>>,
    /// The routes of this host.
    pub routes: Vec<RouteRow>,
}

/// Which node of the file this host runs, if its addresses do not show it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ChosenNode {
    /// Those whose addresses this host has.
    #[default]
    ByAddress,
    /// This replica.
    Replica(u32),
    /// This archiver.
    Archiver(u32),
}

impl<'a> Scope<'a> {
    /// The scope of a host whose `/proc/net/fib_trie` and `/proc/net/route` have these texts.
    pub fn new(config: &'a Config, chosen: ChosenNode, trie: &str, routes: &str) -> Self {
        let own = parse::own_addresses(trie);
        let is_ours = |address: &SocketAddrV4| address.ip().is_loopback() || own.contains(address.ip());
        let replicas = config.replicas.iter().filter(|replica| match chosen {
            ChosenNode::ByAddress => is_ours(&replica.unicast),
            ChosenNode::Replica(id) => replica.id == id,
            ChosenNode::Archiver(_) => false,
        });
        let archivers = config.archivers.iter().filter(|archiver| match chosen {
            ChosenNode::ByAddress => is_ours(&archiver.unicast),
            ChosenNode::Replica(_) => false,
            ChosenNode::Archiver(id) => archiver.id == id,
        });
        let nodes: Vec<_> = replicas
            .map(|replica| LocalNode::of_replica(config, replica))
            .chain(archivers.map(|archiver| LocalNode::of_archiver(config, archiver)))
            .collect();
        let routes = parse::routes(routes);
        let line = |(place, line): (usize, &'a LineConfig)| LocalLine {
            table: format!("lines.{}", place + 1),
            place,
            line,
            interface: interface_name(&line.interface, &routes),
            transport: nodes.iter().find_map(|node| node.transport).unwrap_or(line.transport),
        };
        let lines = config.lines.iter().enumerate().map(line).collect();
        Self { config, nodes, lines, routes }
    }

    /// The cores of this host's pinned threads, each with its node.
    pub fn cores(&self) -> impl Iterator<Item = (usize, &LocalNode)> {
        self.nodes.iter().filter_map(|node| Some((node.core?, node)))
    }

    /// The addresses of the file's nodes on a line, each once.
    pub fn hosts(&self, place: usize) -> Vec<Ipv4Addr> {
        hosts(self.config, place)
    }
}

/// The addresses of the file's nodes on a line, each once: archivers use the first line only.
pub fn hosts(config: &Config, place: usize) -> Vec<Ipv4Addr> {
    let replicas = config.replicas.iter();
    let replicas =
        replicas.filter_map(|replica| if place == 0 { Some(replica.unicast) } else { replica.unicast_b });
    let archivers = config.archivers.iter().filter(|_| place == 0).map(|archiver| archiver.unicast);
    let mut hosts: Vec<_> = replicas.chain(archivers).map(|address| *address.ip()).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn interface_name(interface: &InterfaceSetting, routes: &[RouteRow]) -> Option<String> {
    match interface {
        InterfaceSetting::Name(name) => Some(name.clone()),
        InterfaceSetting::Address(address) if address.is_loopback() => Some("lo".to_owned()),
        InterfaceSetting::Address(address) => {
            parse::route_to(routes, *address).map(|route| route.interface.clone())
        }
    }
}
