//! Where the processes of a cluster run, and by which addresses they find each other.

use crate::netns::Place;
use std::net::Ipv4Addr;

/// Where a cluster's processes run, and by which addresses they find each other.
pub struct Ground {
    /// The interface of the groups, for all alike.
    pub interface: String,
    /// The interface of the second line and each replica's address there, if there is one.
    pub second: Option<(String, Vec<Ipv4Addr>)>,
    /// Routers that a datagram may pass, plus one.
    pub ttl: u8,
    /// Each replica's address, 1 first.
    pub addresses: Vec<Ipv4Addr>,
    /// Where each replica runs, 1 first.
    pub places: Vec<Place>,
    /// Where everybody else runs, ...
    pub clients: Place,
    /// ... and by which address.
    pub clients_address: Ipv4Addr,
    /// Whether the replicas use xdp; everybody else uses the kernel's sockets.
    pub by_xdp: bool,
    /// Whether all send to each member alone, and none multicasts.
    pub by_unicast: bool,
    /// Whether the processes of one place exchange datagrams by memory.
    pub has_memory: bool,
}

impl Ground {
    /// All on this host's loopback.
    pub fn loopback(replicas: u32) -> Self {
        let count = replicas as usize;
        Self {
            interface: "127.0.0.1".into(),
            second: None,
            ttl: 0,
            addresses: vec![Ipv4Addr::LOCALHOST; count],
            places: vec![Place::host(); count],
            clients: Place::host(),
            clients_address: Ipv4Addr::LOCALHOST,
            by_xdp: false,
            by_unicast: false,
            has_memory: false,
        }
    }

    /// The same with xdp for the replicas.
    pub fn by_xdp(self) -> Self {
        Self { by_xdp: true, ..self }
    }

    /// The same without multicast.
    pub fn by_unicast(self) -> Self {
        Self { by_unicast: true, ..self }
    }

    /// The same with shared memory for the processes of each place.
    pub fn with_memory(self) -> Self {
        Self { has_memory: true, ..self }
    }
}
