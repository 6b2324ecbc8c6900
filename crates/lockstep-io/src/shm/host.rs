//! The memory of a host as engines use it: plain, or behind fault injection that loses, repeats and reorders.
//! The choice is made when it is opened, as with sockets (`io/device`).

use super::{Shm, ShmCounts};
use crate::Effective;
use crate::fault_injection::{FaultCounts, FaultInjector, FaultSettings};
use lockstep_core::engine::ports::{Burst, Group, Net};
use std::net::SocketAddrV4;

/// Separates the random draws of memory from those of the sockets, which differ by their ports.
const SALT: u64 = 1 << 16;

/// Memory with or without injected faults.
#[allow(clippy::large_enum_variant, reason = "one per process, and the plain one is the rule")]
pub enum HostMemory {
    /// As it is.
    Plain(Shm),
    /// Memory with injected faults.
    FaultInjected(Box<FaultInjector<Shm>>),
}

impl HostMemory {
    /// `shm`, behind fault injection if it includes memory.
    pub fn new(shm: Shm, fault_injection: Option<FaultSettings>) -> Self {
        match fault_injection.filter(FaultSettings::injects_memory) {
            None => Self::Plain(shm),
            Some(fault_injection) => {
                let salt = SALT | u64::from(shm.unicast_address().port());
                let datagram_len_max = shm.datagram_len_max;
                Self::FaultInjected(Box::new(FaultInjector::new(
                    shm,
                    fault_injection,
                    salt,
                    datagram_len_max,
                )))
            }
        }
    }

    #[inline]
    fn shm(&self) -> &Shm {
        match self {
            Self::Plain(shm) => shm,
            Self::FaultInjected(injector) => injector.inner(),
        }
    }

    /// Each setting with the value in force; fault injection is one of them.
    pub fn effective(&self) -> Vec<Effective> {
        let mut effective = self.shm().effective().to_vec();
        if let Self::FaultInjected(injector) = self {
            effective.push(injector.effective());
        }
        effective
    }

    /// The counts of shared memory.
    pub fn counts(&self) -> ShmCounts {
        self.shm().counts()
    }

    /// The injected faults; zeros without fault injection.
    pub fn faulty(&self) -> FaultCounts {
        match self {
            Self::Plain(_) => FaultCounts::default(),
            Self::FaultInjected(injector) => injector.counts(),
        }
    }

    /// The address at which other processes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.shm().unicast_address()
    }

    /// Whether a process with this address reads our rings.
    #[inline]
    pub fn reaches(&self, address: SocketAddrV4) -> bool {
        self.shm().reaches(address)
    }
}

impl Net for HostMemory {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        match self {
            Self::Plain(shm) => shm.recv_groups(),
            Self::FaultInjected(injector) => injector.recv_groups(),
        }
    }

    #[inline]
    fn is_drained(&self) -> bool {
        match self {
            Self::Plain(shm) => shm.is_drained(),
            Self::FaultInjected(injector) => injector.is_drained(),
        }
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match self {
            Self::Plain(shm) => shm.group_datagram(index),
            Self::FaultInjected(injector) => injector.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        match self {
            Self::Plain(shm) => shm.recv_unicast(),
            Self::FaultInjected(injector) => injector.recv_unicast(),
        }
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self {
            Self::Plain(shm) => shm.unicast_datagram(index),
            Self::FaultInjected(injector) => injector.unicast_datagram(index),
        }
    }

    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        match self {
            Self::Plain(shm) => shm.send_group(group, bursts),
            Self::FaultInjected(injector) => injector.send_group(group, bursts),
        }
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        match self {
            Self::Plain(shm) => shm.send_unicast(to, parts),
            Self::FaultInjected(injector) => injector.send_unicast(to, parts),
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        self.shm().dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        match self {
            Self::Plain(shm) => shm.set_joined(group, joined),
            Self::FaultInjected(injector) => injector.set_joined(group, joined),
        }
    }
}
