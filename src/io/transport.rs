//! # transport: how one line's datagrams go
//!
//! By the kernel's sockets or past them: the datagrams are the same, so each node chooses for itself. Or by unicast
//! to each who wants them, where there is no multicast: all nodes of a line alike.

use super::auto::{self, Auto, AutoSettings};
use super::fanout::{Fanout, FanoutCounts, FanoutSettings};
use super::udp::{Udp, UdpCounts, UdpSettings};
use super::xdp::{Xdp, XdpCounts, XdpSettings};
use super::{IoError, Obtained};
use crate::engine::ports::{Burst, Group, Net};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// The choice.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum TransportSettings {
    /// The kernel's UDP.
    #[default]
    Udp,
    /// AF_XDP.
    Xdp(XdpSettings),
    /// The kernel's UDP, without multicast.
    Unicast(FanoutSettings),
    /// The best of these that works here.
    Auto(AutoSettings),
}

impl TransportSettings {
    /// Whether what is said to a group reaches anybody.
    pub fn multicasts(&self) -> bool {
        !matches!(self, Self::Unicast(_))
    }

    /// Who speaks in the place of the node at `own` tells these, where a group may not bring it to all.
    pub fn told_one_by_one(&self, own: SocketAddrV4) -> Vec<SocketAddrV4> {
        match self {
            Self::Udp | Self::Xdp(_) => Vec::new(),
            Self::Unicast(fanout) | Self::Auto(AutoSettings { fanout, .. }) => {
                let others = fanout.nodes.iter().map(|node| node.address);
                others.filter(|address| *address != own).collect()
            }
        }
    }

    /// The same for who asks, and shares the host with a node: a card has one owner. What it submits goes to each
    /// replica where multicast may not come.
    pub fn to_ask(self) -> Self {
        match self {
            Self::Xdp(_) => Self::Udp,
            Self::Auto(auto) => Self::Unicast(auto.fanout),
            other => other,
        }
    }
}

/// A line, open.
#[allow(clippy::large_enum_variant, reason = "one or two per process, and the plain one is the rule")]
pub enum Transport {
    /// The kernel's UDP.
    Udp(Udp),
    /// AF_XDP.
    Xdp(Box<Xdp>),
    /// The kernel's UDP, without multicast.
    Unicast(Box<Fanout>),
    /// One that multicasts, and leases from whom that does not come.
    Auto(Box<Auto>),
}

impl Transport {
    /// Opens it.
    ///
    /// # Errors
    /// As [`Udp::open`], [`Xdp::open`], [`Fanout::open`] and [`auto::open`].
    pub fn open(udp: UdpSettings, settings: TransportSettings) -> Result<Self, IoError> {
        match settings {
            TransportSettings::Udp => Udp::open(udp).map(Self::Udp),
            TransportSettings::Xdp(xdp) => Xdp::open(udp, xdp).map(|xdp| Self::Xdp(Box::new(xdp))),
            TransportSettings::Unicast(fanout) => {
                Fanout::open(udp, &fanout).map(|fanout| Self::Unicast(Box::new(fanout)))
            }
            TransportSettings::Auto(settings) => auto::open(udp, &settings),
        }
    }

    /// Each setting with the value in force.
    pub fn obtained(&self) -> &[Obtained] {
        match self {
            Self::Udp(udp) => udp.obtained(),
            Self::Xdp(xdp) => xdp.obtained(),
            Self::Unicast(fanout) => fanout.obtained(),
            Self::Auto(auto) => auto.obtained(),
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> UdpCounts {
        match self {
            Self::Udp(udp) => udp.counts(),
            Self::Xdp(xdp) => xdp.counts(),
            Self::Unicast(fanout) => fanout.counts(),
            Self::Auto(auto) => auto.counts(),
        }
    }

    /// What only xdp does; all zeros without it.
    pub fn xdp_counts(&self) -> XdpCounts {
        match self {
            Self::Udp(_) | Self::Unicast(_) => XdpCounts::default(),
            Self::Xdp(xdp) => xdp.xdp_counts(),
            Self::Auto(auto) => auto.line().xdp_counts(),
        }
    }

    /// What only a fan-out does; all zeros without it.
    pub fn fanout_counts(&self) -> FanoutCounts {
        match self {
            Self::Udp(_) | Self::Xdp(_) => FanoutCounts::default(),
            Self::Unicast(fanout) => fanout.fanout_counts(),
            Self::Auto(auto) => auto.fanout_counts(),
        }
    }

    /// Where others reach us.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        match self {
            Self::Udp(udp) => udp.unicast_address(),
            Self::Xdp(xdp) => xdp.unicast_address(),
            Self::Unicast(fanout) => fanout.unicast_address(),
            Self::Auto(auto) => auto.unicast_address(),
        }
    }

    /// The ordinary socket that unicast leaves by.
    pub(super) fn unicast_socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Udp(udp) => Some(udp.unicast_socket()),
            Self::Xdp(xdp) => Some(xdp.unicast_socket()),
            Self::Unicast(_) | Self::Auto(_) => None,
        }
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Udp(udp) => udp.sockets().to_vec(),
            Self::Xdp(xdp) => xdp.sockets(),
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
            Self::Unicast(fanout) => fanout.recv_groups(),
            Self::Auto(auto) => auto.recv_groups(),
        }
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match self {
            Self::Udp(udp) => udp.group_datagram(index),
            Self::Xdp(xdp) => xdp.group_datagram(index),
            Self::Unicast(fanout) => fanout.group_datagram(index),
            Self::Auto(auto) => auto.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        match self {
            Self::Udp(udp) => udp.recv_unicast(),
            Self::Xdp(xdp) => xdp.recv_unicast(),
            Self::Unicast(fanout) => fanout.recv_unicast(),
            Self::Auto(auto) => auto.recv_unicast(),
        }
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self {
            Self::Udp(udp) => udp.unicast_datagram(index),
            Self::Xdp(xdp) => xdp.unicast_datagram(index),
            Self::Unicast(fanout) => fanout.unicast_datagram(index),
            Self::Auto(auto) => auto.unicast_datagram(index),
        }
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        match self {
            Self::Udp(udp) => udp.send_group(group, bursts),
            Self::Xdp(xdp) => xdp.send_group(group, bursts),
            Self::Unicast(fanout) => fanout.send_group(group, bursts),
            Self::Auto(auto) => auto.send_group(group, bursts),
        }
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        match self {
            Self::Udp(udp) => udp.send_unicast(to, parts),
            Self::Xdp(xdp) => xdp.send_unicast(to, parts),
            Self::Unicast(fanout) => fanout.send_unicast(to, parts),
            Self::Auto(auto) => auto.send_unicast(to, parts),
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        match self {
            Self::Udp(udp) => udp.dropped(),
            Self::Xdp(xdp) => xdp.dropped(),
            Self::Unicast(fanout) => fanout.dropped(),
            Self::Auto(auto) => auto.dropped(),
        }
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        match self {
            Self::Udp(udp) => udp.set_joined(group, joined),
            Self::Xdp(xdp) => xdp.set_joined(group, joined),
            Self::Unicast(fanout) => fanout.set_joined(group, joined),
            Self::Auto(auto) => auto.set_joined(group, joined),
        }
    }
}
