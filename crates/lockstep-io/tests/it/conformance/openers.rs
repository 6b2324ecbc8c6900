//! The networks of one host: where devices are opened, and how a stranger sends.

use super::promises::{BUFFER_BYTES, Ether, KIND_AT, LEN_MAX, NODES};
use super::sockets::{PORT, UNICAST_PORT, groups, outsider, settings};
use lockstep_core::engine::ports::{Group, Net};
use lockstep_io::IoError;
use lockstep_io::fanout::{Fanout, FanoutNode, FanoutSettings};
use lockstep_io::shm::{Shm, ShmSettings};
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use lockstep_wire::GROUPS_ALL;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The kernel's UDP on the loopback.
pub struct Kernel {
    port: u16,
    unicast: Vec<u16>,
    groups: [Ipv4Addr; 3],
    outsider: UdpSocket,
}

impl Kernel {
    pub fn new() -> Self {
        let port = || free_port(Ipv4Addr::LOCALHOST).expect("a free port");
        Self {
            port: port(),
            unicast: (0..NODES).map(|_| port()).collect(),
            groups: groups(),
            outsider: outsider(Ipv4Addr::LOCALHOST),
        }
    }

    fn settings(&self, node: usize) -> UdpSettings {
        let interface = Interface::Address(Ipv4Addr::LOCALHOST);
        UdpSettings { ttl: 0, ..settings(interface, self.port, self.unicast[node], self.groups) }
    }
}

impl Ether for Kernel {
    type Net = Udp;

    fn open(&mut self, node: usize) -> Udp {
        Udp::open(self.settings(node)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn address(&self, net: &Udp) -> SocketAddrV4 {
        net.unicast_address()
    }

    fn refusal(&mut self, datagram_len_max: usize) -> Option<String> {
        let refused = Udp::open(UdpSettings { datagram_len_max, ..self.settings(0) });
        Some(refused.err().map(|error| error.to_string()).unwrap_or_default())
    }

    fn outsider_says(&mut self, bytes: &[u8]) {
        self.outsider.send_to(bytes, (self.groups[Group::Data as usize], self.port)).expect("sent");
    }
}

/// Groups by unicast, on the loopback. The file of each seat names those below it: they always receive its
/// datagrams, and those above it receive them by lease.
pub struct Copies {
    ports: Vec<u16>,
    outsider: UdpSocket,
}

impl Copies {
    pub fn new() -> Self {
        let ports = (0..NODES).map(|_| free_port(Ipv4Addr::LOCALHOST).expect("a free port")).collect();
        Self { ports, outsider: outsider(Ipv4Addr::LOCALHOST) }
    }

    fn at(&self, node: usize) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.ports[node])
    }

    fn try_open(&self, node: usize, datagram_len_max: usize) -> Result<Fanout, IoError> {
        let udp = UdpSettings {
            datagram_len_max,
            ..settings(Interface::Address(Ipv4Addr::LOCALHOST), PORT, self.ports[node], groups())
        };
        let listed = |index| FanoutNode { id: index as u32, address: self.at(index), groups: GROUPS_ALL };
        let nodes = (0..node).map(listed).collect();
        Fanout::open(
            udp,
            &FanoutSettings {
                keys: lockstep_wire::Keyring::none(1).into(),
                nodes,
                members_max: NODES,
                grants_leases: true,
            },
        )
    }
}

impl Ether for Copies {
    type Net = Fanout;
    /// It sorts datagrams by their kind.
    const LEN_MIN: usize = KIND_AT + 1;

    fn open(&mut self, node: usize) -> Fanout {
        self.try_open(node, LEN_MAX).unwrap_or_else(|error| panic!("{error}"))
    }

    fn address(&self, net: &Fanout) -> SocketAddrV4 {
        net.unicast_address()
    }

    /// Both turn until a join is sent, answered, proven and granted.
    fn settle(&self, one: &mut Fanout, other: &mut Fanout) {
        let mut last = (0, Instant::now());
        while last.1.elapsed() < Duration::from_millis(30) {
            for net in [&mut *one, &mut *other] {
                assert_eq!((net.recv_groups(), net.recv_unicast()), (0, 0), "nothing was said");
            }
            let sent = one.counts().datagrams_in + other.counts().datagrams_in;
            if sent != last.0 {
                last = (sent, Instant::now());
            }
        }
    }

    fn refusal(&mut self, datagram_len_max: usize) -> Option<String> {
        let refused = self.try_open(0, datagram_len_max);
        Some(refused.err().map(|error| error.to_string()).unwrap_or_default())
    }

    /// Sends to each device, as a datagram for a group would go.
    fn outsider_says(&mut self, bytes: &[u8]) {
        for node in 0..NODES {
            self.outsider.send_to(bytes, self.at(node)).expect("sent");
        }
    }
}

/// Shared memory. Its own tests check what a stranger could do to it.
pub struct Host {
    parent: TempDir,
}

impl Host {
    pub fn new() -> Self {
        Self { parent: TempDir::new().expect("a temporary folder") }
    }

    fn settings(&self, node: usize) -> ShmSettings {
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, 3), PORT);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, UNICAST_PORT + node as u16);
        ShmSettings {
            parent: self.parent.path().into(),
            datagram_len_max: LEN_MAX,
            // Unicast has a quarter.
            ring_bytes: 4 * BUFFER_BYTES,
            ..ShmSettings::new(group, address)
        }
    }
}

impl Ether for Host {
    type Net = Shm;

    fn open(&mut self, node: usize) -> Shm {
        Shm::open(self.settings(node)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn address(&self, net: &Shm) -> SocketAddrV4 {
        net.unicast_address()
    }

    fn refusal(&mut self, datagram_len_max: usize) -> Option<String> {
        let refused = Shm::open(ShmSettings { datagram_len_max, ..self.settings(0) });
        Some(refused.err().map(|error| error.to_string()).unwrap_or_default())
    }
}
