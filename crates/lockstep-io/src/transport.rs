//! # transport: how the datagrams of one line travel
//!
//! A transport sends by the kernel's sockets or past them: the datagrams are the same, so each node chooses
//! for itself. Or it sends by unicast to each process that wants them, where there is no multicast: then all
//! nodes of a line do.

use super::auto::{self, Auto, AutoSettings};
use super::fanout::{Fanout, FanoutCounts, FanoutSettings};
use super::shm::{RelaySettings, Relayed};
use super::udp::{Udp, UdpCounts, UdpSettings};
use super::xdp::{CardSharing, Xdp, XdpCounts, XdpSettings, card_index};
use super::{Effective, IoError};
use lockstep_core::engine::ports::{Burst, Group, Net};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// The configured transport.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum TransportSettings {
    /// The kernel's UDP.
    #[default]
    Udp,
    /// AF_XDP.
    Xdp(XdpSettings),
    /// The kernel's UDP, without multicast.
    Unicast(FanoutSettings),
    /// The best of these that works on this machine.
    Auto(AutoSettings),
}

impl TransportSettings {
    /// Whether a datagram to a group reaches any process.
    pub fn multicasts(&self) -> bool {
        !matches!(self, Self::Unicast(_))
    }

    /// The destinations of a process that sends in place of the node at `own`, where a group may not reach
    /// all.
    pub fn is_unicast_fanout(&self, own: SocketAddrV4) -> Vec<SocketAddrV4> {
        match self {
            Self::Udp | Self::Xdp(_) => Vec::new(),
            Self::Unicast(fanout) | Self::Auto(AutoSettings { fanout, .. }) => {
                let others = fanout.nodes.iter().map(|node| node.address);
                others.filter(|address| *address != own).collect()
            }
        }
    }

    /// These settings for a process that sends queries, and shares the host with a node: a card has one
    /// owner. Where multicast may not arrive, its submissions go to each replica.
    pub fn for_queries(self) -> Self {
        match self {
            Self::Xdp(_) => Self::Udp,
            Self::Auto(auto) => Self::Unicast(auto.fanout),
            other => other,
        }
    }
}

/// An open line.
#[allow(clippy::large_enum_variant, reason = "one or two per process, and the plain one is the rule")]
pub enum Transport {
    /// The kernel's UDP.
    Udp(Udp),
    /// AF_XDP.
    Xdp(Box<Xdp>),
    /// The kernel's UDP, and the datagrams that the owner of the card receives by AF_XDP.
    Relayed(Box<Served>),
    /// The kernel's UDP, without multicast.
    Unicast(Box<Fanout>),
    /// A line that multicasts, and requests leases from nodes whose multicast does not arrive.
    Auto(Box<Auto>),
}

/// A line that reads the ring of the owner of its card.
pub struct Served {
    relayed: Relayed<Udp>,
    effective: Vec<Effective>,
}

impl Served {
    /// Listens on the card of `relay`; `owner` has the card if this process tried to take it.
    fn open(udp: UdpSettings, relay: &RelaySettings, owner: Option<u32>) -> Result<Transport, IoError> {
        let udp = Udp::open(udp)?;
        let mut effective = udp.effective().to_vec();
        effective.extend(owner.map(|pid| {
            let why = format!("xdp: served by pid {pid} through shared memory; it owns the interface");
            Effective::short("transport", "xdp", "udp", why)
        }));
        let relayed = Relayed::open(relay, udp)?;
        Ok(Transport::Relayed(Box::new(Self { relayed, effective })))
    }

    fn udp(&self) -> &Udp {
        self.relayed.network()
    }

    fn counts(&self) -> UdpCounts {
        let counts = self.relayed.relay_counts();
        let own = self.udp().counts();
        UdpCounts {
            datagrams_in: own.datagrams_in + counts.datagrams_in,
            bytes_in: own.bytes_in + counts.bytes_in,
            dropped: own.dropped + counts.dropped,
            ..own
        }
    }

    fn xdp_counts(&self) -> XdpCounts {
        let counts = self.relayed.relay_counts();
        XdpCounts {
            relayed_in: counts.datagrams_in,
            relay_dropped: counts.dropped,
            owners: counts.owners,
            ..XdpCounts::default()
        }
    }
}

impl Transport {
    /// Opens the transport.
    ///
    /// # Errors
    /// As [`Udp::open`], [`Xdp::open`], [`Fanout::open`] and [`auto::open`].
    pub fn open(udp: UdpSettings, settings: TransportSettings) -> Result<Self, IoError> {
        Self::open_with(udp, settings, None)
    }

    /// As [`open`](Self::open), where the processes of a host share memory: the owner of a card relays the
    /// datagrams that it receives, and all others read them, whether they requested xdp or not.
    ///
    /// # Errors
    /// As [`Transport::open`], and those of the memory.
    pub fn open_shared(udp: UdpSettings, settings: TransportSettings) -> Result<Self, IoError> {
        // The loopback never has a program.
        let Some(card) = card_index(&udp.interface)? else { return Self::open(udp, settings) };
        let relay = RelaySettings {
            joins: udp.joins.clone(),
            datagram_len_max: udp.datagram_len_max,
            ring_bytes: udp.receive_buffer_bytes,
            ..RelaySettings::new(card, SocketAddrV4::new(udp.groups[0], udp.port))
        };
        Self::open_with(udp, settings, Some(&relay))
    }

    /// Opens either; with a `relay` the processes of this host share memory.
    pub(super) fn open_with(
        udp: UdpSettings,
        settings: TransportSettings,
        relay: Option<&RelaySettings>,
    ) -> Result<Self, IoError> {
        match (settings, relay) {
            (TransportSettings::Udp, None) => Udp::open(udp).map(Self::Udp),
            (TransportSettings::Udp, Some(relay)) => Served::open(udp, relay, None),
            (TransportSettings::Xdp(xdp), None) => Xdp::open(udp, xdp).map(|xdp| Self::Xdp(Box::new(xdp))),
            (TransportSettings::Xdp(xdp), Some(relay)) => match Xdp::open_shared(udp.clone(), xdp, relay)? {
                CardSharing::Own(xdp) => Ok(Self::Xdp(xdp)),
                CardSharing::Served(pid) => Served::open(udp, relay, Some(pid)),
            },
            (TransportSettings::Unicast(fanout), _) => {
                Fanout::open(udp, &fanout).map(|fanout| Self::Unicast(Box::new(fanout)))
            }
            (TransportSettings::Auto(settings), relay) => auto::open(udp, &settings, relay),
        }
    }

    /// Each setting with the value in force.
    pub fn effective(&self) -> &[Effective] {
        match self {
            Self::Udp(udp) => udp.effective(),
            Self::Xdp(xdp) => xdp.effective(),
            Self::Relayed(served) => &served.effective,
            Self::Unicast(fanout) => fanout.effective(),
            Self::Auto(auto) => auto.effective(),
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> UdpCounts {
        match self {
            Self::Udp(udp) => udp.counts(),
            Self::Xdp(xdp) => xdp.counts(),
            Self::Relayed(served) => served.counts(),
            Self::Unicast(fanout) => fanout.counts(),
            Self::Auto(auto) => auto.counts(),
        }
    }

    /// The counts of xdp alone; all zeros without it.
    pub fn xdp_counts(&self) -> XdpCounts {
        match self {
            Self::Udp(_) | Self::Unicast(_) => XdpCounts::default(),
            Self::Xdp(xdp) => xdp.xdp_counts(),
            Self::Relayed(served) => served.xdp_counts(),
            Self::Auto(auto) => auto.line().xdp_counts(),
        }
    }

    /// The counts of a fan-out alone; all zeros without it.
    pub fn fanout_counts(&self) -> FanoutCounts {
        match self {
            Self::Udp(_) | Self::Xdp(_) | Self::Relayed(_) => FanoutCounts::default(),
            Self::Unicast(fanout) => fanout.fanout_counts(),
            Self::Auto(auto) => auto.fanout_counts(),
        }
    }

    /// The address at which other nodes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        match self {
            Self::Udp(udp) => udp.unicast_address(),
            Self::Xdp(xdp) => xdp.unicast_address(),
            Self::Relayed(served) => served.udp().unicast_address(),
            Self::Unicast(fanout) => fanout.unicast_address(),
            Self::Auto(auto) => auto.unicast_address(),
        }
    }

    /// The ordinary socket by which unicast leaves.
    pub(super) fn unicast_socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Udp(udp) => Some(udp.unicast_socket()),
            Self::Xdp(xdp) => Some(xdp.unicast_socket()),
            Self::Relayed(served) => Some(served.udp().unicast_socket()),
            Self::Unicast(_) | Self::Auto(_) => None,
        }
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Udp(udp) => udp.sockets().to_vec(),
            Self::Xdp(xdp) => xdp.sockets(),
            Self::Relayed(served) => served.udp().sockets().to_vec(),
            Self::Unicast(fanout) => fanout.sockets(),
            Self::Auto(auto) => auto.sockets(),
        }
    }
}

impl Net for Transport {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        match self {
            Self::Udp(udp) => udp.recv_groups(),
            Self::Xdp(xdp) => xdp.recv_groups(),
            Self::Relayed(served) => served.relayed.recv_groups(),
            Self::Unicast(fanout) => fanout.recv_groups(),
            Self::Auto(auto) => auto.recv_groups(),
        }
    }

    #[inline]
    fn is_drained(&self) -> bool {
        match self {
            Self::Udp(udp) => udp.is_drained(),
            Self::Xdp(xdp) => xdp.is_drained(),
            Self::Relayed(served) => served.relayed.is_drained(),
            Self::Unicast(fanout) => fanout.is_drained(),
            Self::Auto(auto) => auto.is_drained(),
        }
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match self {
            Self::Udp(udp) => udp.group_datagram(index),
            Self::Xdp(xdp) => xdp.group_datagram(index),
            Self::Relayed(served) => served.relayed.group_datagram(index),
            Self::Unicast(fanout) => fanout.group_datagram(index),
            Self::Auto(auto) => auto.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        match self {
            Self::Udp(udp) => udp.recv_unicast(),
            Self::Xdp(xdp) => xdp.recv_unicast(),
            Self::Relayed(served) => served.relayed.recv_unicast(),
            Self::Unicast(fanout) => fanout.recv_unicast(),
            Self::Auto(auto) => auto.recv_unicast(),
        }
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self {
            Self::Udp(udp) => udp.unicast_datagram(index),
            Self::Xdp(xdp) => xdp.unicast_datagram(index),
            Self::Relayed(served) => served.relayed.unicast_datagram(index),
            Self::Unicast(fanout) => fanout.unicast_datagram(index),
            Self::Auto(auto) => auto.unicast_datagram(index),
        }
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        match self {
            Self::Udp(udp) => udp.send_group(group, bursts),
            Self::Xdp(xdp) => xdp.send_group(group, bursts),
            Self::Relayed(served) => served.relayed.send_group(group, bursts),
            Self::Unicast(fanout) => fanout.send_group(group, bursts),
            Self::Auto(auto) => auto.send_group(group, bursts),
        }
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        match self {
            Self::Udp(udp) => udp.send_unicast(to, parts),
            Self::Xdp(xdp) => xdp.send_unicast(to, parts),
            Self::Relayed(served) => served.relayed.send_unicast(to, parts),
            Self::Unicast(fanout) => fanout.send_unicast(to, parts),
            Self::Auto(auto) => auto.send_unicast(to, parts),
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        match self {
            Self::Udp(udp) => udp.dropped(),
            Self::Xdp(xdp) => xdp.dropped(),
            Self::Relayed(served) => served.relayed.dropped(),
            Self::Unicast(fanout) => fanout.dropped(),
            Self::Auto(auto) => auto.dropped(),
        }
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        match self {
            Self::Udp(udp) => udp.set_joined(group, joined),
            Self::Xdp(xdp) => xdp.set_joined(group, joined),
            Self::Relayed(served) => served.relayed.set_joined(group, joined),
            Self::Unicast(fanout) => fanout.set_joined(group, joined),
            Self::Auto(auto) => auto.set_joined(group, joined),
        }
    }
}
