//! What the networks with sockets share: groups, settings, and a stranger.

use super::promises::{BUFFER_BYTES, LEN_MAX};
use lockstep_io::clock::random_u64;
use lockstep_io::udp::{Interface, UdpSettings};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, UdpSocket};

/// The port of groups, and the least port of unicast.
pub const PORT: u16 = 7700;
pub const UNICAST_PORT: u16 = 7701;

pub fn groups() -> [Ipv4Addr; 3] {
    let [a, b, ..] = random_u64().expect("random bits").to_le_bytes();
    [1, 2, 3].map(|last| Ipv4Addr::new(239, a, b, last))
}

pub fn settings(interface: Interface, port: u16, unicast_port: u16, groups: [Ipv4Addr; 3]) -> UdpSettings {
    UdpSettings {
        unicast_port,
        datagram_len_max: LEN_MAX,
        receive_buffer_bytes: BUFFER_BYTES,
        send_buffer_bytes: BUFFER_BYTES,
        ..UdpSettings::new(interface, port, groups)
    }
}

/// An ordinary socket that sends to groups by the card with this address.
pub fn outsider(address: Ipv4Addr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_multicast_if_v4(&address).expect("IP_MULTICAST_IF");
    socket.into()
}
