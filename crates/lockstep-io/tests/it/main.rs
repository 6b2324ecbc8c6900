//! The kernel's sockets, memory and files behind the ports, on the loopback.
//!
//! A test that ends a process runs in a child: this program again, by `lockstep_testkit::child`.

// Threads and sleeps belong to io and the command line; here they stand for the latter.
#![allow(clippy::disallowed_methods)]

mod beside;
mod conformance;
mod machine;
mod records;
mod relay;
mod shm;
mod udp;

use lockstep_core::engine::ports::{Burst, Net};
use lockstep_io::clock;
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use std::net::Ipv4Addr;

pub(crate) const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A node's settings on the loopback, with groups and a port that no other test has.
pub(crate) fn settings() -> UdpSettings {
    let random = clock::random_u64().expect("random bits").to_le_bytes();
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, random[0], random[1], last));
    let port = free_port(LOCALHOST).expect("a free port");
    UdpSettings { ttl: 0, ..UdpSettings::new(Interface::Address(LOCALHOST), port, groups) }
}

pub(crate) fn open(settings: &UdpSettings) -> Udp {
    Udp::open(settings.clone()).expect("a socket on the loopback")
}

/// All group datagrams that wait at `udp`: the loopback delivers within the send.
pub(crate) fn received(udp: &mut Udp) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let count @ 1.. = udp.recv_groups() {
        all.extend((0..count).map(|index| udp.group_datagram(index).to_vec()));
    }
    all
}

pub(crate) fn single(bytes: &[u8]) -> [Burst<'_>; 1] {
    [Burst { bytes, stride: bytes.len() }]
}

/// Contiguous datagrams of `stride` bytes, each filled with its number, the last one shorter.
pub(crate) fn burst(count: usize, stride: usize) -> Vec<u8> {
    (0..count * stride - stride / 2).map(|at| (at / stride) as u8).collect()
}
