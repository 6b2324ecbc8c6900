//! How the datagrams of a measurement go, those of lockstep and those of its floors alike.

use crate::contestant::Contestant;
use clap::ValueEnum;
use lockstep::config::{Config, KeyUse};
use lockstep_io::device::{Device, DeviceSettings, MemorySharing};
use lockstep_io::transport::TransportSettings;
use lockstep_io::udp::UdpSettings;
use std::os::fd::BorrowedFd;

/// The choice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, ValueEnum)]
pub enum Transport {
    /// The kernel's UDP, multicast.
    #[default]
    Udp,
    /// The kernel's UDP, a datagram for each receiver.
    Unicast,
    /// AF_XDP.
    Xdp,
    /// Shared memory and nothing else.
    Shm,
    /// Shared memory, and the network is asked as well, as `network.shm = true` has it.
    ShmBeside,
}

impl Transport {
    /// As flags and tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Unicast => "unicast",
            Self::Xdp => "xdp",
            Self::Shm => "shm",
            Self::ShmBeside => "shm-beside",
        }
    }

    /// The word for a line of a cluster's file.
    pub fn of_line(self) -> &'static str {
        match self {
            Self::Udp | Self::Shm | Self::ShmBeside => "udp",
            Self::Unicast => "unicast",
            Self::Xdp => "xdp",
        }
    }

    /// What memory is used for.
    pub fn memory(self) -> MemorySharing {
        match self {
            Self::Udp | Self::Unicast | Self::Xdp => MemorySharing::Off,
            Self::Shm => MemorySharing::Alone,
            Self::ShmBeside => MemorySharing::Beside,
        }
    }

    /// The measures that take turns on it. A plain forwarder is one of the kernel's sockets; past them there
    /// is lockstep's own device alone, and for each receiver of unicast lockstep's own device needs somebody
    /// who says who they are.
    pub fn contestants(self) -> &'static [Contestant] {
        match self {
            Self::Udp => &Contestant::ALL,
            Self::Unicast => &[Contestant::Plain, Contestant::Lockstep],
            Self::Xdp | Self::Shm | Self::ShmBeside => &[Contestant::Io, Contestant::Lockstep],
        }
    }

    /// What a contestant is called on it.
    pub fn words(self, contestant: Contestant) -> String {
        match (self, contestant) {
            (Self::Udp, _) => contestant.name().to_owned(),
            (_, Contestant::Lockstep) => format!("lockstep, {}", self.name()),
            (_, Contestant::Plain) => format!("floor ({}: recv, sendto)", self.name()),
            (_, Contestant::Io) => format!("floor ({})", self.name()),
        }
    }

    /// Lockstep's own device with these sockets, in the place that `config` names.
    ///
    /// # Errors
    /// In words, what could not be opened.
    pub fn open(self, config: &Config, udp: UdpSettings) -> Result<Device, String> {
        let transport = match self {
            Self::Udp | Self::Shm | Self::ShmBeside => TransportSettings::Udp,
            Self::Unicast | Self::Xdp => {
                let keys = config.keys(KeyUse::Handle).map_err(|error| error.to_string())?;
                config.transport(0, None, false, &keys)
            }
        };
        let settings =
            DeviceSettings { udp, transport, second: None, fault_injection: None, memory: self.memory() };
        Device::open(settings).map_err(|error| error.to_string())
    }
}

/// A device whose sockets wake a thread that sleeps.
pub trait Wakes {
    /// Those sockets.
    fn sockets(&self) -> Vec<BorrowedFd<'_>>;
}

impl Wakes for Device {
    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        Self::sockets(self)
    }
}
