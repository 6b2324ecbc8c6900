//! # device: what a process speaks and listens through
//!
//! A transport; the same behind a rehearsal of a bad network; or two of either, one for each line. Which
//! one it is, is decided when it is opened: an ordinary process pays for the choice with a branch that always
//! goes the same way, and with nothing else.

use crate::engine::ports::{Burst, Group, Net};
use crate::io::lines::{Addresses, LineCounts, Lines};
use crate::io::rehearse::{Rehearsal, RehearsalCounts, RehearsalSettings};
use crate::io::transport::{Transport, TransportSettings};
use crate::io::udp::{UdpCounts, UdpSettings};
use crate::io::xdp::XdpCounts;
use crate::io::{IoError, Obtained};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// How to open a [`Device`].
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// The sockets.
    pub udp: UdpSettings,
    /// How their datagrams go.
    pub transport: TransportSettings,
    /// Those of the second line, if there is one.
    pub second: Option<SecondLine>,
    /// What is rehearsed; nothing, as a rule.
    pub rehearse: Option<RehearsalSettings>,
}

/// The second of two lines.
#[derive(Clone, Debug)]
pub struct SecondLine {
    /// Its sockets; they join what the first line's join.
    pub udp: UdpSettings,
    /// How its datagrams go.
    pub transport: TransportSettings,
    /// Who answers by unicast on both lines, and where.
    pub nodes: Vec<Addresses>,
}

/// A device of the real world.
#[allow(clippy::large_enum_variant, reason = "one per process, and the plain one is the rule")]
pub enum Device {
    /// The network as it is.
    Plain(Transport),
    /// A worse one.
    Rehearsed(Box<Rehearsal<Transport>>),
    /// Two of them, neither again two.
    Lines(Box<Lines<Device>>),
}

impl Device {
    /// Opens the sockets of each line, and puts the rehearsal around them if there is one. Its losses follow from
    /// the seed and the port, so that two devices of a host, and two lines, lose independently of each other.
    ///
    /// # Errors
    /// As [`Transport::open`].
    pub fn open(settings: DeviceSettings) -> Result<Self, IoError> {
        let DeviceSettings { udp, transport, second, rehearse } = settings;
        let Some(second) = second else { return Self::open_line(1, udp, transport, rehearse) };
        let joins = udp.joins.clone();
        let first = Self::open_line(1, udp, transport, rehearse)?;
        let udp = UdpSettings { joins, ..second.udp };
        let lines = [first, Self::open_line(2, udp, second.transport, rehearse)?];
        Ok(Self::Lines(Box::new(Lines::new(lines, second.nodes))))
    }

    fn open_line(
        line: u8,
        udp: UdpSettings,
        transport: TransportSettings,
        rehearse: Option<RehearsalSettings>,
    ) -> Result<Self, IoError> {
        let datagram_len_max = udp.datagram_len_max;
        let transport = Transport::open(udp, transport)?;
        Ok(match rehearse.filter(|rehearse| rehearse.spoils(line)) {
            None => Self::Plain(transport),
            Some(rehearse) => {
                let salt = u64::from(transport.unicast_address().port());
                Self::Rehearsed(Box::new(Rehearsal::new(transport, rehearse, salt, datagram_len_max)))
            }
        })
    }

    /// The transport; with two lines the first one's, which has the unicast address.
    fn transport(&self) -> &Transport {
        match self {
            Self::Plain(transport) => transport,
            Self::Rehearsed(rehearsal) => rehearsal.inner(),
            Self::Lines(lines) => lines.each()[0].transport(),
        }
    }

    /// Each setting with the value in force, line by line; a rehearsal is one of them.
    pub fn obtained(&self) -> Vec<Obtained> {
        if let Self::Lines(lines) = self {
            return lines.each().iter().flat_map(Self::obtained).collect();
        }
        let mut obtained = self.transport().obtained().to_vec();
        if let Self::Rehearsed(rehearsal) = self {
            obtained.push(rehearsal.obtained());
        }
        obtained
    }

    /// What the sockets have done, those of both lines together.
    pub fn counts(&self) -> UdpCounts {
        match self {
            Self::Lines(lines) => lines.each()[0].counts().and(&lines.each()[1].counts()),
            _ => self.transport().counts(),
        }
    }

    /// What only xdp does, on both lines together.
    pub fn xdp_counts(&self) -> XdpCounts {
        match self {
            Self::Lines(lines) => lines.each()[0].xdp_counts().and(&lines.each()[1].xdp_counts()),
            _ => self.transport().xdp_counts(),
        }
    }

    /// What was spoilt on purpose; nothing without a rehearsal.
    pub fn rehearsed(&self) -> RehearsalCounts {
        match self {
            Self::Plain(_) => RehearsalCounts::default(),
            Self::Rehearsed(rehearsal) => rehearsal.counts(),
            Self::Lines(lines) => lines.each()[0].rehearsed().and(&lines.each()[1].rehearsed()),
        }
    }

    /// What each line has done; all zeros where there is one only.
    pub fn lines(&self) -> [LineCounts; 2] {
        match self {
            Self::Lines(lines) => lines.counts(),
            _ => Default::default(),
        }
    }

    /// Where others reach us.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.transport().unicast_address()
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Lines(lines) => lines.each().iter().flat_map(Self::sockets).collect(),
            _ => self.transport().sockets(),
        }
    }
}

/// A handle may be printed; its sockets have nothing to show.
impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("unicast_address", &self.unicast_address()).finish_non_exhaustive()
    }
}

impl Net for Device {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        match self {
            Self::Plain(transport) => transport.recv_groups(),
            Self::Rehearsed(rehearsal) => rehearsal.recv_groups(),
            Self::Lines(lines) => lines.recv_groups(),
        }
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match self {
            Self::Plain(transport) => transport.group_datagram(index),
            Self::Rehearsed(rehearsal) => rehearsal.group_datagram(index),
            Self::Lines(lines) => lines.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        match self {
            Self::Plain(transport) => transport.recv_unicast(),
            Self::Rehearsed(rehearsal) => rehearsal.recv_unicast(),
            Self::Lines(lines) => lines.recv_unicast(),
        }
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self {
            Self::Plain(transport) => transport.unicast_datagram(index),
            Self::Rehearsed(rehearsal) => rehearsal.unicast_datagram(index),
            Self::Lines(lines) => lines.unicast_datagram(index),
        }
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        match self {
            Self::Plain(transport) => transport.send_group(group, bursts),
            Self::Rehearsed(rehearsal) => rehearsal.send_group(group, bursts),
            Self::Lines(lines) => lines.send_group(group, bursts),
        }
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        match self {
            Self::Plain(transport) => transport.send_unicast(to, parts),
            Self::Rehearsed(rehearsal) => rehearsal.send_unicast(to, parts),
            Self::Lines(lines) => lines.send_unicast(to, parts),
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        match self {
            Self::Plain(transport) => transport.dropped(),
            Self::Rehearsed(rehearsal) => rehearsal.dropped(),
            Self::Lines(lines) => lines.dropped(),
        }
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        match self {
            Self::Plain(transport) => transport.set_joined(group, joined),
            Self::Rehearsed(rehearsal) => rehearsal.set_joined(group, joined),
            Self::Lines(lines) => lines.set_joined(group, joined),
        }
    }
}
