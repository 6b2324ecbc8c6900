//! The sockets of a probe: like those of a node, on other groups and ports.

use lockstep_config::Config;
use lockstep_io::IoError;
use lockstep_io::udp::{Udp, UdpSettings};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::io::Read;
use std::net::Ipv4Addr;

/// The distance between the groups of a probe and those of the file, in the last byte of the address.
const GROUP_STEP: u8 = 128;
/// The distance between its ports and those of the file.
const PORT_STEP: u16 = 20;

/// The addresses of a probe on a line: the same on all hosts, because they are derived from the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeAddresses {
    /// Its groups, beside those of submissions, data and control.
    pub groups: [Ipv4Addr; 3],
    /// The port of its groups.
    pub group_port: u16,
    /// The port of its unicast.
    pub unicast_port: u16,
}

impl ProbeAddresses {
    /// The addresses for line `place`: they contain no group and no port of the file.
    pub fn new(config: &Config, place: usize) -> Self {
        let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
        let mut ports: BTreeSet<u16> = config.metrics.listen.iter().map(|address| address.port()).collect();
        for line in &config.lines {
            taken.extend([line.submit, line.data, line.control].map(|group| *group.ip()));
            ports.insert(line.data.port());
        }
        ports.extend(config.replicas.iter().map(|replica| replica.unicast.port()));
        ports.extend(
            config.replicas.iter().filter_map(|replica| replica.unicast_b).map(|address| address.port()),
        );
        ports.extend(config.archivers.iter().map(|archiver| archiver.unicast.port()));
        let mut free_ports =
            (1..u16::MAX).map(|step| config.lines[0].data.port().wrapping_add(PORT_STEP + step));
        let mut port = || free_ports.find(|port| *port > 1023 && !ports.contains(port)).unwrap_or(u16::MAX);
        // lines share no port, as they share no group
        let mut all: Vec<Self> = Vec::new();
        for line in &config.lines {
            let groups = [line.submit, line.data, line.control].map(|group| {
                let [a, b, c, d] = group.ip().octets();
                let beside = (0..=u8::MAX)
                    .map(|more| Ipv4Addr::new(a, b, c, d.wrapping_add(GROUP_STEP).wrapping_add(more)));
                let free = beside.into_iter().find(|group| !taken.contains(group)).unwrap_or(*group.ip());
                taken.insert(free);
                free
            });
            all.push(Self { groups, group_port: port(), unicast_port: port() });
        }
        all[place]
    }
}

/// The sockets of a probe.
pub struct ProbeDevice {
    /// Groups and unicast.
    pub net: Udp,
    /// Its own address.
    pub own: Ipv4Addr,
    /// The bytes of its receive buffer that the kernel granted.
    pub receive_buffer: u64,
    igmp: Option<Socket>,
}

impl ProbeDevice {
    /// Opens the sockets of line `place` at the address `own`, if the line is named by an interface. The
    /// kernel chooses the unicast port: a probe that only listens to itself needs no known one.
    ///
    /// # Errors
    /// Those of a node, whose settings the sockets have.
    pub fn open(config: &Config, place: usize, own: Option<Ipv4Addr>) -> Result<Self, IoError> {
        Self::with_port(config, place, own, None)
    }

    /// Opens them on the unicast port that the other hosts know.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), or another probe of this host uses the port.
    pub fn open_for_peers(config: &Config, place: usize, own: Option<Ipv4Addr>) -> Result<Self, IoError> {
        Self::with_port(config, place, own, Some(ProbeAddresses::new(config, place).unicast_port))
    }

    fn with_port(
        config: &Config,
        place: usize,
        own: Option<Ipv4Addr>,
        port: Option<u16>,
    ) -> Result<Self, IoError> {
        let addresses = ProbeAddresses::new(config, place);
        let line = config.udp_of_line(place);
        let interface = match own {
            Some(own) => line.interface.clone().at(own),
            None => line.interface.clone(),
        };
        let settings = UdpSettings {
            interface,
            groups: addresses.groups,
            port: addresses.group_port,
            unicast_port: port.unwrap_or(0),
            ..line
        };
        let net = Udp::open(settings)?;
        let own = *net.unicast_address().ip();
        let granted = net.effective().iter().find(|setting| setting.what == "group receive_buffer");
        let granted = granted.and_then(|setting| setting.got.strip_suffix(" B")?.parse().ok());
        Ok(Self { own, receive_buffer: granted.unwrap_or(0), igmp: None, net })
    }

    /// Also listens to the queries of an IGMP querier; returns whether this process is permitted to.
    pub fn listen_for_queriers(&mut self, interface: &str) -> bool {
        let open = || {
            let igmp = Protocol::from(libc::IPPROTO_IGMP);
            let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(igmp))?;
            socket.bind_device(Some(interface.as_bytes()))?;
            Ok::<_, std::io::Error>(socket)
        };
        self.igmp = open().ok();
        self.igmp.is_some()
    }

    /// The querier whose query has arrived, if one has.
    pub fn querier(&mut self) -> Option<Ipv4Addr> {
        let mut socket = self.igmp.as_ref()?;
        let mut room = [0; 2048];
        let mut found = None;
        while let Ok(count) = socket.read(&mut room) {
            found = querier_of(&room[..count]).or(found);
        }
        found
    }
}

/// The sender of an IP packet that is a general query of IGMP.
pub fn querier_of(packet: &[u8]) -> Option<Ipv4Addr> {
    const QUERY: u8 = 0x11;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let is_query = packet.get(header) == Some(&QUERY) && packet.get(9) == Some(&2);
    let sender: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    is_query.then(|| Ipv4Addr::from(sender))
}
