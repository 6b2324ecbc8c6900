//! # transport: how one line's datagrams go
//!
//! By the kernel's sockets or past them. The datagrams are the same, so each node chooses for itself.

use super::udp::{Udp, UdpCounts, UdpSettings};
use super::xdp::{Xdp, XdpCounts, XdpSettings};
use super::{IoError, Obtained};
use crate::engine::ports::{Burst, Group, Net};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// The choice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TransportSettings {
    /// The kernel's UDP.
    #[default]
    Udp,
    /// AF_XDP.
    Xdp(XdpSettings),
}

/// A line, open.
#[allow(clippy::large_enum_variant, reason = "one or two per process, and the plain one is the rule")]
pub enum Transport {
    /// The kernel's UDP.
    Udp(Udp),
    /// AF_XDP.
    Xdp(Box<Xdp>),
}

impl Transport {
    /// Opens it.
    ///
    /// # Errors
    /// As [`Udp::open`] and [`Xdp::open`].
    pub fn open(udp: UdpSettings, settings: TransportSettings) -> Result<Self, IoError> {
        match settings {
            TransportSettings::Udp => Udp::open(udp).map(Self::Udp),
            TransportSettings::Xdp(xdp) => Xdp::open(udp, xdp).map(|xdp| Self::Xdp(Box::new(xdp))),
        }
    }

    /// Each setting with the value in force.
    pub fn obtained(&self) -> &[Obtained] {
        match self {
            Self::Udp(udp) => udp.obtained(),
            Self::Xdp(xdp) => xdp.obtained(),
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> UdpCounts {
        match self {
            Self::Udp(udp) => udp.counts(),
            Self::Xdp(xdp) => xdp.counts(),
        }
    }

    /// What only xdp does; all zeros without it.
    pub fn xdp_counts(&self) -> XdpCounts {
        match self {
            Self::Udp(_) => XdpCounts::default(),
            Self::Xdp(xdp) => xdp.xdp_counts(),
        }
    }

    /// Where others reach us.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        match self {
            Self::Udp(udp) => udp.unicast_address(),
            Self::Xdp(xdp) => xdp.unicast_address(),
        }
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Udp(udp) => udp.sockets().to_vec(),
            Self::Xdp(xdp) => xdp.sockets(),
        }
    }
}

impl Net for Transport {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        match self {
            Self::Udp(udp) => udp.recv_groups(),
            Self::Xdp(xdp) => xdp.recv_groups(),
        }
    }

    #[inline]
    fn is_drained(&self) -> bool {
        match self {
            Self::Udp(udp) => udp.is_drained(),
            Self::Xdp(xdp) => xdp.is_drained(),
        }
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match self {
            Self::Udp(udp) => udp.group_datagram(index),
            Self::Xdp(xdp) => xdp.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        match self {
            Self::Udp(udp) => udp.recv_unicast(),
            Self::Xdp(xdp) => xdp.recv_unicast(),
        }
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self {
            Self::Udp(udp) => udp.unicast_datagram(index),
            Self::Xdp(xdp) => xdp.unicast_datagram(index),
        }
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        match self {
            Self::Udp(udp) => udp.send_group(group, bursts),
            Self::Xdp(xdp) => xdp.send_group(group, bursts),
        }
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        match self {
            Self::Udp(udp) => udp.send_unicast(to, parts),
            Self::Xdp(xdp) => xdp.send_unicast(to, parts),
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        match self {
            Self::Udp(udp) => udp.dropped(),
            Self::Xdp(xdp) => xdp.dropped(),
        }
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        match self {
            Self::Udp(udp) => udp.set_joined(group, joined),
            Self::Xdp(xdp) => xdp.set_joined(group, joined),
        }
    }
}
