//! # device: the sending and receiving end of a process
//!
//! A device is a transport, a transport behind fault injection, or two of either, one for each line. Or it is
//! shared memory, with faults or not, beside any of these or alone. The choice is made when it is opened: an
//! ordinary process pays for it with a branch that always goes the same way.

use crate::choose_instructions;
use crate::fanout::FanoutCounts;
use crate::fault_injection::{FaultCounts, FaultInjector, FaultSettings};
use crate::lines::{Addresses, LineCounts, TwoLines};
use crate::shm::{Beside, HostMemory, Shm, ShmCounts, ShmSettings, is_unused};
use crate::transport::{Transport, TransportSettings};
use crate::udp::{UdpCounts, UdpSettings, address_of};
use crate::xdp::XdpCounts;
use crate::{Effective, IoError};
use lockstep_core::engine::ports::{Burst, Group, Net};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// How to open a [`Device`].
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// The sockets of the first line.
    pub udp: UdpSettings,
    /// The transport of the first line.
    pub transport: TransportSettings,
    /// The settings of the second line, if there is one.
    pub second: Option<SecondLine>,
    /// The injected faults; usually none.
    pub fault_injection: Option<FaultSettings>,
    /// Whether memory carries datagrams between the processes of this host.
    pub memory: MemorySharing,
}

/// The use of a host's shared memory. All processes of a cluster on one host must use it alike: processes
/// with different settings do not receive each other's datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum MemorySharing {
    /// Not used: the network carries everything, also between processes of this host.
    #[default]
    Off,
    /// Memory reaches this host's processes, and the network the others.
    Beside,
    /// Memory carries everything: every process of the cluster is on this host.
    Alone,
}

/// The second of two lines.
#[derive(Clone, Debug)]
pub struct SecondLine {
    /// Its sockets, which join the same groups as the first line's.
    pub udp: UdpSettings,
    /// Its transport.
    pub transport: TransportSettings,
    /// The addresses of the nodes that answer by unicast on both lines.
    pub nodes: Vec<Addresses>,
}

/// A device of production.
#[allow(clippy::large_enum_variant, reason = "one per process, and the plain one is the rule")]
pub enum Device {
    /// The network as it is.
    Plain(Transport),
    /// A network with injected faults.
    FaultInjected(Box<FaultInjector<Transport>>),
    /// Two devices, neither of which is again two lines.
    Lines(Box<TwoLines<Device>>),
    /// Memory for this host, and one of the above for the others.
    Beside(Box<Beside<Device>>),
    /// Memory alone.
    Memory(Box<HostMemory>),
}

impl Device {
    /// Opens the sockets of each line, and puts fault injection around them if it is configured. Its losses
    /// follow from the seed and the port, so that two devices of a host, and two lines, lose independently of
    /// each other.
    ///
    /// # Errors
    /// As [`Transport::open`] and [`Shm::open`].
    pub fn open(settings: DeviceSettings) -> Result<Self, IoError> {
        choose_instructions();
        let udp = settings.udp.clone();
        let group = SocketAddrV4::new(udp.groups[0], udp.port);
        let fault_injection = settings.fault_injection;
        let memory = |address| -> Result<HostMemory, IoError> {
            let shm = Shm::open(ShmSettings {
                joins: udp.joins.clone(),
                datagram_len_max: udp.datagram_len_max,
                ring_bytes: udp.receive_buffer_bytes,
                ..ShmSettings::new(group, address)
            })?;
            Ok(HostMemory::new(shm, fault_injection))
        };
        Ok(match settings.memory {
            MemorySharing::Off => {
                is_unused(group)?;
                Self::open_network(settings)?
            }
            MemorySharing::Beside => {
                // The network must not bring the datagrams that memory brings to this host's processes.
                let quiet = |udp: &UdpSettings| UdpSettings { multicast_loop: false, ..udp.clone() };
                let second = settings.second.as_ref();
                let mut leaves_host = !address_of(&udp.interface)?.is_loopback();
                if let Some(second) = second {
                    leaves_host |= !address_of(&second.udp.interface)?.is_loopback();
                }
                let network = Self::open_network(DeviceSettings {
                    udp: quiet(&udp),
                    second: second.map(|second| SecondLine { udp: quiet(&second.udp), ..second.clone() }),
                    ..settings
                })?;
                Self::Beside(Box::new(Beside::new(memory(network.unicast_address())?, network, leaves_host)))
            }
            MemorySharing::Alone => {
                let address = SocketAddrV4::new(address_of(&udp.interface)?, udp.unicast_port);
                Self::Memory(Box::new(memory(address)?))
            }
        })
    }

    fn open_network(settings: DeviceSettings) -> Result<Self, IoError> {
        let DeviceSettings { udp, transport, second, fault_injection, memory } = settings;
        let Some(second) = second else { return Self::open_line(1, udp, transport, fault_injection, memory) };
        let joins = udp.joins.clone();
        let first = Self::open_line(1, udp, transport, fault_injection, memory)?;
        let udp = UdpSettings { joins, ..second.udp };
        let lines = [first, Self::open_line(2, udp, second.transport, fault_injection, memory)?];
        Ok(Self::Lines(Box::new(TwoLines::new(lines, second.nodes))))
    }

    fn open_line(
        line: u8,
        udp: UdpSettings,
        transport: TransportSettings,
        fault_injection: Option<FaultSettings>,
        memory: MemorySharing,
    ) -> Result<Self, IoError> {
        let datagram_len_max = udp.datagram_len_max;
        let transport = match memory {
            MemorySharing::Beside => Transport::open_shared(udp, transport)?,
            MemorySharing::Off | MemorySharing::Alone => Transport::open(udp, transport)?,
        };
        Ok(match fault_injection.filter(|fault_injection| fault_injection.injects(line)) {
            None => Self::Plain(transport),
            Some(fault_injection) => {
                let salt = u64::from(transport.unicast_address().port());
                Self::FaultInjected(Box::new(FaultInjector::new(
                    transport,
                    fault_injection,
                    salt,
                    datagram_len_max,
                )))
            }
        })
    }

    /// Each setting with the value in force, line by line; fault injection is one of them.
    pub fn effective(&self) -> Vec<Effective> {
        match self {
            Self::Plain(transport) => transport.effective().to_vec(),
            Self::FaultInjected(injector) => {
                let mut effective = injector.inner().effective().to_vec();
                effective.push(injector.effective());
                effective
            }
            Self::Lines(lines) => lines.each().iter().flat_map(Self::effective).collect(),
            Self::Beside(beside) => {
                let mut effective = beside.network().effective();
                effective.extend(beside.memory().effective());
                effective
            }
            Self::Memory(memory) => memory.effective(),
        }
    }

    /// The counts of the sockets of both lines together; zeros without sockets.
    pub fn counts(&self) -> UdpCounts {
        match self {
            Self::Plain(transport) => transport.counts(),
            Self::FaultInjected(injector) => injector.inner().counts(),
            Self::Lines(lines) => lines.each()[0].counts().and(&lines.each()[1].counts()),
            Self::Beside(beside) => beside.network().counts(),
            Self::Memory(_) => UdpCounts::default(),
        }
    }

    /// The counts of shared memory; zeros without it.
    pub fn memory(&self) -> ShmCounts {
        match self {
            Self::Plain(_) | Self::FaultInjected(_) | Self::Lines(_) => ShmCounts::default(),
            Self::Beside(beside) => beside.memory().counts(),
            Self::Memory(memory) => memory.counts(),
        }
    }

    /// The counts of xdp alone, on both lines together.
    pub fn xdp_counts(&self) -> XdpCounts {
        match self {
            Self::Plain(transport) => transport.xdp_counts(),
            Self::FaultInjected(injector) => injector.inner().xdp_counts(),
            Self::Lines(lines) => lines.each()[0].xdp_counts().and(&lines.each()[1].xdp_counts()),
            Self::Beside(beside) => beside.network().xdp_counts(),
            Self::Memory(_) => XdpCounts::default(),
        }
    }

    /// The counts of a fan-out alone, on both lines together.
    pub fn fanout_counts(&self) -> FanoutCounts {
        match self {
            Self::Plain(transport) => transport.fanout_counts(),
            Self::FaultInjected(injector) => injector.inner().fanout_counts(),
            Self::Lines(lines) => lines.each()[0].fanout_counts().sum(&lines.each()[1].fanout_counts()),
            Self::Beside(beside) => beside.network().fanout_counts(),
            Self::Memory(_) => FanoutCounts::default(),
        }
    }

    /// The injected faults; zeros without fault injection.
    pub fn with_faults(&self) -> FaultCounts {
        match self {
            Self::Plain(_) => FaultCounts::default(),
            Self::FaultInjected(injector) => injector.counts(),
            Self::Lines(lines) => lines.each()[0].with_faults().sum(&lines.each()[1].with_faults()),
            Self::Beside(beside) => beside.network().with_faults().sum(&beside.memory().faulty()),
            Self::Memory(memory) => memory.faulty(),
        }
    }

    /// The counts of each line; all zeros where there is only one.
    pub fn lines(&self) -> [LineCounts; 2] {
        match self {
            Self::Lines(lines) => lines.counts(),
            Self::Beside(beside) => beside.network().lines(),
            _ => Default::default(),
        }
    }

    /// The address at which other nodes reach this one; with two lines, on the first one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        match self {
            Self::Plain(transport) => transport.unicast_address(),
            Self::FaultInjected(injector) => injector.inner().unicast_address(),
            Self::Lines(lines) => lines.each()[0].unicast_address(),
            Self::Beside(beside) => beside.network().unicast_address(),
            Self::Memory(memory) => memory.unicast_address(),
        }
    }

    /// Whether datagrams arrive by shared memory: then no socket signals them.
    pub fn has_memory(&self) -> bool {
        matches!(self, Self::Beside(_) | Self::Memory(_))
    }

    /// All sockets, for a `Parker` to wait on. Memory has none: a parker polls it by itself.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Plain(transport) => transport.sockets(),
            Self::FaultInjected(injector) => injector.inner().sockets().to_vec(),
            Self::Lines(lines) => lines.each().iter().flat_map(Self::sockets).collect(),
            Self::Beside(beside) => beside.network().sockets(),
            Self::Memory(_) => Vec::new(),
        }
    }
}

/// A handle may be printed; its sockets have no text.
impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("unicast_address", &self.unicast_address()).finish_non_exhaustive()
    }
}

/// The same call of whichever device it is: a branch, and no table of functions.
macro_rules! each {
    ($self:ident, $device:ident => $call:expr) => {
        match $self {
            Self::Plain($device) => $call,
            Self::FaultInjected($device) => $call,
            Self::Lines($device) => $call,
            Self::Beside($device) => $call,
            Self::Memory($device) => $call,
        }
    };
}

impl Net for Device {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        each!(self, device => device.recv_groups())
    }

    #[inline]
    fn is_drained(&self) -> bool {
        each!(self, device => device.is_drained())
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        each!(self, device => device.group_datagram(index))
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        each!(self, device => device.recv_unicast())
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        each!(self, device => device.unicast_datagram(index))
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        each!(self, device => device.send_group(group, bursts))
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        each!(self, device => device.send_unicast(to, parts))
    }

    #[inline]
    fn dropped(&self) -> u64 {
        each!(self, device => device.dropped())
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        each!(self, device => device.set_joined(group, joined))
    }
}
