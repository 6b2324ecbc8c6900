//! What the port [`Net`](lockstep_core::engine::ports::Net) promises, held by cards: `docs/PORTS.md` has it
//! in words, and the tests of `lockstep-io` hold the other transports to it.

#[path = "../../crates/lockstep-io/tests/it/conformance/promises.rs"]
mod promises;
#[path = "../../crates/lockstep-io/tests/it/conformance/sockets.rs"]
mod sockets;

use lockstep_core::engine::ports::Group;
use lockstep_io::udp::{Interface, UdpSettings};
use lockstep_io::xdp::{Mode, Xdp, XdpSettings};
use lockstep_testkit::netns::{Network, unsupported};
use promises::{Ether, LEN_MAX, NODES, keeps_its_promises};
use sockets::{PORT, UNICAST_PORT, groups, outsider, settings};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

/// A card by AF_XDP in a namespace of each seat, a bridge between them, and one more for a stranger.
pub struct Cards {
    network: Network,
    mode: Mode,
    groups: [Ipv4Addr; 3],
    outsider: UdpSocket,
}

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

keeps_its_promises!(xdp_native, Cards::new(Mode::Native));
keeps_its_promises!(xdp_generic, Cards::new(Mode::Generic));
