//! Processes by their place, 0 the first.

use lockstep_wire::Identity;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where the process at place `node` answers.
pub fn address(node: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, node as u8 + 1), 7_000)
}

/// The place of an address.
pub fn node_of(address: SocketAddrV4) -> usize {
    usize::from(address.ip().octets()[3]) - 1
}

/// The replica at place `node` in its first life.
pub fn identity(node: usize) -> Identity {
    Identity { replica: node as u32 + 1, incarnation: 0x100 + node as u32 }
}
