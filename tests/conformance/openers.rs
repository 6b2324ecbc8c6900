//! The networks of this host: where devices are opened, and by whom strangers speak.

use super::promises::{BUFFER_BYTES, Ether, KIND_AT, LEN_MAX, NODES};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::IoError;
use lockstep_io::clock::random_u64;
use lockstep_io::fanout::{Fanout, FanoutNode, FanoutSettings};
use lockstep_io::shm::{Shm, ShmSettings};
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use lockstep_io::xdp::{Mode, Xdp, XdpSettings};
use lockstep_sim::net::{SimNet, To};
use lockstep_testkit::netns::{Network, unsupported};
use lockstep_wire::GROUPS_ALL;
use socket2::{Domain, Socket, Type};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn groups() -> [Ipv4Addr; 3] {
    let [a, b, ..] = random_u64().expect("random bits").to_le_bytes();
    [1, 2, 3].map(|last| Ipv4Addr::new(239, a, b, last))
}

fn settings(interface: Interface, port: u16, unicast_port: u16, groups: [Ipv4Addr; 3]) -> UdpSettings {
    UdpSettings {
        unicast_port,
        datagram_len_max: LEN_MAX,
        receive_buffer_bytes: BUFFER_BYTES,
        send_buffer_bytes: BUFFER_BYTES,
        ..UdpSettings::new(interface, port, groups)
    }
}

/// An ordinary socket that sends to groups by the card with this address.
fn outsider(address: Ipv4Addr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_multicast_if_v4(&address).expect("IP_MULTICAST_IF");
    socket.into()
}

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

/// Groups by unicast, on the loopback. The file of each seat names those below it: what they are told goes
/// there for ever, and to those above it by lease.
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
    /// It sorts what comes by its kind.
    const LEN_MIN: usize = KIND_AT + 1;

    fn open(&mut self, node: usize) -> Fanout {
        self.try_open(node, LEN_MAX).unwrap_or_else(|error| panic!("{error}"))
    }

    fn address(&self, net: &Fanout) -> SocketAddrV4 {
        net.unicast_address()
    }

    /// A join is sent, answered, proven and given by turns of both, until nothing more is said.
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

    /// To each, as a group's datagram would go.
    fn outsider_says(&mut self, bytes: &[u8]) {
        for node in 0..NODES {
            self.outsider.send_to(bytes, self.at(node)).expect("sent");
        }
    }
}

/// A card by AF_XDP in a namespace of each seat, a bridge between them, and one more for a stranger.
pub struct Cards {
    network: Network,
    mode: Mode,
    groups: [Ipv4Addr; 3],
    outsider: UdpSocket,
}

const PORT: u16 = 7700;
const UNICAST_PORT: u16 = 7701;

impl Cards {
    pub fn new(mode: Mode) -> Option<Self> {
        if let Some(reason) = unsupported() {
            println!("SKIPPED: {reason}");
            return None;
        }
        let network = Network::new(NODES + 1);
        let far = NODES + 1;
        let outsider = network.node(far).within(move || outsider(Network::address(far)));
        Some(Self { network, mode, groups: groups(), outsider })
    }

    fn try_open(&self, node: usize, datagram_len_max: usize) -> Result<Xdp, String> {
        let udp = UdpSettings {
            datagram_len_max,
            ..settings(Interface::Name("eth0".into()), PORT, UNICAST_PORT, self.groups)
        };
        let xdp = XdpSettings { mode: Some(self.mode), queue: None };
        let opened = self.network.node(node + 1).within(move || Xdp::open(udp, xdp));
        opened.map_err(|error| error.to_string())
    }
}

impl Ether for Cards {
    type Net = Xdp;

    fn open(&mut self, node: usize) -> Xdp {
        self.try_open(node, LEN_MAX).unwrap_or_else(|error| panic!("{error}"))
    }

    fn address(&self, net: &Xdp) -> SocketAddrV4 {
        net.unicast_address()
    }

    fn refusal(&mut self, datagram_len_max: usize) -> Option<String> {
        Some(self.try_open(0, datagram_len_max).err().unwrap_or_default())
    }

    fn outsider_says(&mut self, bytes: &[u8]) {
        self.outsider.send_to(bytes, (self.groups[Group::Data as usize], PORT)).expect("sent");
    }
}

/// Shared memory. What a stranger could do to it, its own tests do.
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

/// A packet on its way to a seat of the simulator's network.
type Letters = VecDeque<(Option<Group>, SocketAddrV4, Vec<u8>)>;

/// The simulator's devices, with nothing between them.
#[derive(Default)]
pub struct SimEther(Rc<RefCell<Vec<(SocketAddrV4, Letters)>>>);

/// One of them: what it sends goes to all others, and what has come to it arrives when it looks.
pub struct SimNode {
    net: SimNet,
    address: SocketAddrV4,
    wire: Rc<RefCell<Vec<(SocketAddrV4, Letters)>>>,
}

impl SimNode {
    fn arrive(&mut self) {
        let mut wire = self.wire.borrow_mut();
        let own = wire.iter_mut().find(|(address, _)| *address == self.address).expect("an open device");
        for (group, from, bytes) in own.1.drain(..) {
            self.net.arrive(bytes, Some(from), group);
        }
    }

    fn leave(&mut self) {
        for (to, bytes) in self.net.sent.drain(..) {
            for (address, letters) in
                self.wire.borrow_mut().iter_mut().filter(|(address, _)| *address != self.address)
            {
                match to {
                    To::Group(group) => letters.push_back((Some(group), self.address, bytes.clone())),
                    To::Unicast(to) if to == *address => {
                        letters.push_back((None, self.address, bytes.clone()))
                    }
                    To::Unicast(_) => {}
                }
            }
        }
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.wire.borrow_mut().retain(|(address, _)| *address != self.address);
    }
}

impl Net for SimNode {
    fn recv_groups(&mut self) -> usize {
        self.arrive();
        self.net.recv_groups()
    }

    fn is_drained(&self) -> bool {
        self.net.is_drained()
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        self.net.group_datagram(index)
    }

    fn recv_unicast(&mut self) -> usize {
        self.arrive();
        self.net.recv_unicast()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        self.net.unicast_datagram(index)
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let sent = self.net.send_group(group, bursts);
        self.leave();
        sent
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let sent = self.net.send_unicast(to, parts);
        self.leave();
        sent
    }

    fn dropped(&self) -> u64 {
        self.net.dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        // What came before was for the groups of then.
        self.arrive();
        self.net.set_joined(group, joined);
    }
}

impl Ether for SimEther {
    type Net = SimNode;
    /// The simulator counts losses where it makes them.
    const COUNTS_LOSSES: bool = false;

    fn open(&mut self, node: usize) -> SimNode {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1 + node as u16);
        self.0.borrow_mut().push((address, Letters::new()));
        SimNode { net: SimNet::carrying(LEN_MAX), address, wire: self.0.clone() }
    }

    fn address(&self, net: &SimNode) -> SocketAddrV4 {
        net.address
    }

    fn outsider_says(&mut self, bytes: &[u8]) {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        for (_, letters) in self.0.borrow_mut().iter_mut().filter(|_| bytes.len() <= LEN_MAX) {
            letters.push_back((Some(Group::Data), nobody, bytes.to_vec()));
        }
    }
}
