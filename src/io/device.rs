//! # device: what a process speaks and listens through
//!
//! The kernel's UDP; the same behind a rehearsal of a bad network; or two of either, one for each line. Which
//! one it is, is decided when it is opened: an ordinary process pays for the choice with a branch that always
//! goes the same way, and with nothing else.

use crate::engine::ports::{Burst, Group, Net};
use crate::io::lines::{Addresses, LineCounts, Lines};
use crate::io::rehearse::{Rehearsal, RehearsalCounts, RehearsalSettings};
use crate::io::udp::{Udp, UdpCounts, UdpSettings};
use crate::io::{IoError, Obtained};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// How to open a [`Device`].
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// The sockets.
    pub udp: UdpSettings,
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
    /// Who answers by unicast on both lines, and where.
    pub nodes: Vec<Addresses>,
}

/// A device of the real world.
#[allow(clippy::large_enum_variant, reason = "one per process, and the plain one is the rule")]
pub enum Device {
    /// The network as it is.
    Plain(Udp),
    /// A worse one.
    Rehearsed(Box<Rehearsal<Udp>>),
    /// Two of them, neither again two.
    Lines(Box<Lines<Device>>),
}

impl Device {
    /// Opens the sockets of each line, and puts the rehearsal around them if there is one. Its losses follow from
    /// the seed and the port, so that two devices of a host, and two lines, lose independently of each other.
    ///
    /// # Errors
    /// As [`Udp::open`].
    pub fn open(settings: DeviceSettings) -> Result<Self, IoError> {
        let rehearse = settings.rehearse;
        let Some(second) = settings.second else { return Self::open_line(1, settings.udp, rehearse) };
        let udp = UdpSettings { joins: settings.udp.joins.clone(), ..second.udp };
        let lines = [Self::open_line(1, settings.udp, rehearse)?, Self::open_line(2, udp, rehearse)?];
        Ok(Self::Lines(Box::new(Lines::new(lines, second.nodes))))
    }

    fn open_line(
        line: u8,
        settings: UdpSettings,
        rehearse: Option<RehearsalSettings>,
    ) -> Result<Self, IoError> {
        let datagram_len_max = settings.datagram_len_max;
        let udp = Udp::open(settings)?;
        Ok(match rehearse.filter(|rehearse| rehearse.spoils(line)) {
            None => Self::Plain(udp),
            Some(rehearse) => {
                let salt = u64::from(udp.unicast_address().port());
                Self::Rehearsed(Box::new(Rehearsal::new(udp, rehearse, salt, datagram_len_max)))
            }
        })
    }

    /// The sockets; with two lines the first one's, which have the unicast address.
    pub fn udp(&self) -> &Udp {
        match self {
            Self::Plain(udp) => udp,
            Self::Rehearsed(rehearsal) => rehearsal.inner(),
            Self::Lines(lines) => lines.each()[0].udp(),
        }
    }

    /// Each setting with the value in force, line by line; a rehearsal is one of them.
    pub fn obtained(&self) -> Vec<Obtained> {
        if let Self::Lines(lines) = self {
            return lines.each().iter().flat_map(Self::obtained).collect();
        }
        let mut obtained = self.udp().obtained().to_vec();
        if let Self::Rehearsed(rehearsal) = self {
            obtained.push(rehearsal.obtained());
        }
        obtained
    }

    /// What the sockets have done, those of both lines together.
    pub fn counts(&self) -> UdpCounts {
        match self {
            Self::Lines(lines) => lines.each()[0].counts().and(&lines.each()[1].counts()),
            _ => self.udp().counts(),
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
        self.udp().unicast_address()
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Lines(lines) => lines.each().iter().flat_map(Self::sockets).collect(),
            _ => self.udp().sockets().to_vec(),
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
            Self::Plain(udp) => udp.recv_groups(),
            Self::Rehearsed(rehearsal) => rehearsal.recv_groups(),
            Self::Lines(lines) => lines.recv_groups(),
        }
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match self {
            Self::Plain(udp) => udp.group_datagram(index),
            Self::Rehearsed(rehearsal) => rehearsal.group_datagram(index),
            Self::Lines(lines) => lines.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        match self {
            Self::Plain(udp) => udp.recv_unicast(),
            Self::Rehearsed(rehearsal) => rehearsal.recv_unicast(),
            Self::Lines(lines) => lines.recv_unicast(),
        }
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self {
            Self::Plain(udp) => udp.unicast_datagram(index),
            Self::Rehearsed(rehearsal) => rehearsal.unicast_datagram(index),
            Self::Lines(lines) => lines.unicast_datagram(index),
        }
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        match self {
            Self::Plain(udp) => udp.send_group(group, bursts),
            Self::Rehearsed(rehearsal) => rehearsal.send_group(group, bursts),
            Self::Lines(lines) => lines.send_group(group, bursts),
        }
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        match self {
            Self::Plain(udp) => udp.send_unicast(to, parts),
            Self::Rehearsed(rehearsal) => rehearsal.send_unicast(to, parts),
            Self::Lines(lines) => lines.send_unicast(to, parts),
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        match self {
            Self::Plain(udp) => udp.dropped(),
            Self::Rehearsed(rehearsal) => rehearsal.dropped(),
            Self::Lines(lines) => lines.dropped(),
        }
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        match self {
            Self::Plain(udp) => udp.set_joined(group, joined),
            Self::Rehearsed(rehearsal) => rehearsal.set_joined(group, joined),
            Self::Lines(lines) => lines.set_joined(group, joined),
        }
    }
}
