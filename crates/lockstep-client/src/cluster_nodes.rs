//! The nodes of a cluster, for programs that query all of them: the addresses, and each node's answer.

use super::health::QueryResult;
use super::queries::{NodeRelease, QueryClient};
use super::status::{NodeStatus, leader_of};
use lockstep_config::Config;
use lockstep_wire::AgreedRow;
use std::net::SocketAddrV4;
use std::time::Duration;

/// How long nodes that have answered may take to report their release: an older one does not report it.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(200);

/// Queries the nodes of a cluster: those of its file, and those of the memberships that were received.
pub struct ClusterNodes {
    /// The query client.
    pub client: QueryClient,
    /// The addresses of the nodes: the replicas of the file, its archivers, and members that memberships have
    /// added.
    pub addresses: Vec<SocketAddrV4>,
    /// Numbers of the archivers, which are never members.
    pub archivers: Vec<u32>,
    /// Numbers of the nodes of the file, in the order in which `addresses` begins.
    numbers: Vec<u32>,
    /// The keys that all files must have alike, as the file has them.
    file: Vec<AgreedRow>,
}

/// The version of the log, as its leader reports it, or else a node that answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogVersion {
    /// `None` while the log is empty, and if no node reports it.
    pub in_force: Option<u8>,
    /// Whether the nodes that answer are of different releases: then an upgrade is under way.
    pub releases_differ: bool,
}

impl ClusterNodes {
    /// The nodes of the file.
    pub fn new(client: QueryClient, config: &Config) -> Self {
        let replicas = config.replicas.iter().map(|replica| (replica.id, replica.unicast));
        let archivers = config.archivers.iter().map(|archiver| (archiver.id, archiver.unicast));
        let (numbers, addresses) = replicas.chain(archivers.clone()).unzip();
        Self {
            client,
            addresses,
            archivers: archivers.map(|(number, _)| number).collect(),
            numbers,
            file: config.agreed(),
        }
    }

    /// Queries every node, and at once those that a membership names for the first time; waits at most `wait`
    /// for each of both rounds. The answers are in the order of `addresses`.
    pub fn look(&mut self, wait: Duration) -> Vec<Option<NodeStatus>> {
        let mut statuses = self.client.statuses(&self.addresses, wait);
        let before = self.addresses.len();
        self.note_members(&statuses);
        if self.addresses.len() > before {
            statuses.extend(self.client.statuses(&self.addresses[before..], wait));
        }
        statuses
    }

    /// Queries every node by one datagram each, and waits at most `wait`. Addresses that a membership names
    /// are queried from the next time on.
    pub fn look_once(&mut self, wait: Duration) -> Vec<Option<NodeStatus>> {
        let statuses = self.client.statuses_once(&self.addresses, wait);
        self.note_members(&statuses);
        statuses
    }

    /// Adds addresses that these memberships name.
    fn note_members(&mut self, statuses: &[Option<NodeStatus>]) {
        for status in statuses.iter().flatten() {
            for address in status.members.iter().filter_map(|listed| listed.member.address()) {
                if !self.addresses.contains(&address) {
                    self.addresses.push(address);
                }
            }
        }
    }

    /// The address of this replica or archiver in the file.
    pub fn address_of(&self, number: u32) -> Option<SocketAddrV4> {
        let place = self.numbers.iter().position(|known| *known == number)?;
        self.addresses.get(place).copied()
    }

    /// The queried nodes, with their answers.
    pub fn asked(&self, statuses: &[Option<NodeStatus>]) -> Vec<QueryResult> {
        let node = |(place, (address, status)): (usize, (&SocketAddrV4, &Option<NodeStatus>))| {
            let number = self.numbers.get(place).copied();
            QueryResult {
                address: *address,
                number,
                is_archiver: number.is_some_and(|number| self.archivers.contains(&number)),
                status: status.clone(),
                asker_file: self.file.clone(),
            }
        };
        self.addresses.iter().zip(statuses).enumerate().map(node).collect()
    }

    /// Queries the version of the log from the nodes that have reported their status.
    pub fn log_version(&mut self, statuses: &[Option<NodeStatus>]) -> LogVersion {
        let leader = leader_of(statuses).map(|leader| leader.address);
        let here: Vec<_> = statuses.iter().flatten().map(|status| status.address).collect();
        let releases = self.client.releases(&here, RELEASE_TIMEOUT);
        let of_leader = here.iter().position(|address| Some(*address) == leader);
        let first = releases.iter().flatten().next();
        let answer = of_leader.and_then(|place| releases[place].as_ref()).or(first);
        let name = |release: &Option<NodeRelease>| release.as_ref().map(|known| known.release.clone());
        let releases_differ = releases.windows(2).any(|pair| name(&pair[0]) != name(&pair[1]));
        LogVersion { in_force: answer.and_then(|answer| answer.in_force), releases_differ }
    }
}
