//! The hosts of a measurement: this one, or namespaces of our own with a cable between them.
//!
//! ```text
//!   loopback   everybody on this host
//!   veth       leader eth0 ═════ eth0 client                    two hosts: one cable, nothing in between
//!              leader, standby, client on a bridge of 3 ports   three hosts
//! ```
//!
//! The namespaces have no names and are held by children that end with this process, however it ends: nothing
//! is left to be cleaned up. The one who measures is a thread of this process that enters the client's
//! namespace.

use crate::cluster::{Cluster, Site};
use crate::node::Role;
use crate::transport::Transport;
use clap::ValueEnum;
use lockstep_core::engine::ports::Group;
use lockstep_io::idle::Idle;
use lockstep_testkit::netns::{Namespace, Network, unsupported};
use nix::sched::{CloneFlags, setns};
use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;

/// The card of every host behind a cable.
const CARD: &str = "eth0";

/// What joins the hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Over {
    /// All are one host.
    Loopback,
    /// A direct veth pair between leader and client; a bridge where there are three.
    Veth,
}

/// See the module. Leader, standby if there is one, client.
#[derive(Debug)]
pub struct Hosts {
    joined: Joined,
}

#[derive(Debug)]
enum Joined {
    Here,
    Pair(Box<[Namespace; 2]>),
    Bridge(Network),
}

impl Hosts {
    /// This host alone.
    pub fn here() -> Self {
        Self { joined: Joined::Here }
    }

    /// Hosts for leader, client, and a standby if there is to be one.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn new(over: Over, has_standby: bool) -> Result<Self, String> {
        if over == Over::Loopback {
            return Ok(Self::here());
        }
        if let Some(reason) = unsupported() {
            return Err(reason);
        }
        if has_standby {
            return Ok(Self { joined: Joined::Bridge(Network::new(3)) });
        }
        let ends = [Namespace::of_network(), Namespace::of_network()];
        let far = ends[1].holder();
        ends[0].shell(&format!("ip link add {CARD} type veth peer name {CARD} netns {far}"));
        for (number, end) in (1..).zip(&ends) {
            let address = Network::address(number);
            end.shell(&format!("ip addr add {address}/24 dev {CARD} && ip link set {CARD} up"));
        }
        Ok(Self { joined: Joined::Pair(Box::new(ends)) })
    }

    /// What joins them, in words.
    pub fn words(&self) -> &'static str {
        match self.joined {
            Joined::Here => "loopback",
            Joined::Pair(_) => "veth",
            Joined::Bridge(_) => "bridge of 3 ports",
        }
    }

    /// Whether each process has a host of its own.
    pub fn are_apart(&self) -> bool {
        !matches!(self.joined, Joined::Here)
    }

    /// The place of a cluster of `replicas`. Replicas that never run have addresses that nobody has.
    pub fn site(&self, replicas: u32) -> Site {
        if !self.are_apart() {
            return Site::loopback(replicas);
        }
        let nobodys = 200;
        let address = |replica: usize| match (replica, &self.joined) {
            (1, _) | (2, Joined::Bridge(_)) => Network::address(replica),
            _ => Network::address(nobodys + replica),
        };
        let addresses = (1..=replicas as usize).map(address).collect();
        Site { interface: CARD, ttl: 1, addresses, ..Site::loopback(0) }
    }

    fn host(&self, role: Role) -> Option<&Namespace> {
        match (&self.joined, role) {
            (Joined::Here, _) => None,
            (Joined::Pair(ends), Role::Leader) => Some(&ends[0]),
            (Joined::Pair(ends), Role::Standby) => Some(&ends[1]),
            (Joined::Bridge(network), Role::Leader) => Some(network.node(1)),
            (Joined::Bridge(network), Role::Standby) => Some(network.node(2)),
        }
    }

    fn of_client(&self) -> Option<&Namespace> {
        match &self.joined {
            Joined::Here => None,
            Joined::Pair(ends) => Some(&ends[1]),
            Joined::Bridge(network) => Some(network.node(3)),
        }
    }

    /// The client's address.
    pub fn client_address(&self) -> Ipv4Addr {
        match &self.joined {
            Joined::Here => Ipv4Addr::LOCALHOST,
            Joined::Pair(_) => Network::address(2),
            Joined::Bridge(_) => Network::address(3),
        }
    }

    /// `program` on the host of a role, without arguments yet.
    pub fn command(&self, role: Role, program: impl AsRef<OsStr>) -> Command {
        match self.host(role) {
            None => Command::new(program),
            Some(host) => host.place().command(program),
        }
    }

    /// Whether the client's host has a transport: a device is opened there, and closed.
    ///
    /// # Errors
    /// Why not.
    pub fn try_transport(&self, transport: Transport) -> Result<(), String> {
        let cluster = Cluster::file(&Site { transport, ..self.site(1) }, Idle::Spin)?;
        let _entered = self.enter()?;
        transport.open(&cluster.config, cluster.udp(&[Group::Data])).map(|_| ())
    }

    /// This thread on the client's host, until what is returned is dropped.
    ///
    /// # Errors
    /// In words, what the kernel refused.
    pub fn enter(&self) -> Result<Entered, String> {
        self.of_client().map_or(Ok(Entered { from: None }), enter)
    }
}

/// This thread in a namespace, until what is returned is dropped; threads that it starts stay there.
///
/// # Errors
/// In words, what the kernel refused.
pub fn enter(host: &Namespace) -> Result<Entered, String> {
    let open = |path: &str| File::open(path).map_err(|error| format!("opening {path}: {error}"));
    let from = open("/proc/thread-self/ns/net")?;
    let to = open(&format!("/proc/{}/ns/net", host.holder()))?;
    setns(&to, CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("entering the client's namespace: {error}"))?;
    Ok(Entered { from: Some(from) })
}

/// A thread away from home.
#[derive(Debug)]
pub struct Entered {
    from: Option<File>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.from.take().map(|from| setns(from, CloneFlags::CLONE_NEWNET)) {
            eprintln!("lockstep-bench: leaving the client's namespace: {error}");
        }
    }
}
