//! Memory beside a network: a datagram for a group goes both ways; local members receive it by memory and
//! remote ones by the network. The network does not return our own host's datagrams (`multicast_loop` is
//! off), so no member receives anything twice. The loopback is the exception: it returns everything and
//! reaches no other host, so nothing is sent to groups there. Unicast goes by memory to the processes that
//! memory reaches, and by the network to all others.
//!
//! Polling the network is a system call, some twenty times as expensive as polling the memory. So it is
//! polled once in two microseconds and not at every turn. That delays remote datagrams by one microsecond on
//! average, and local ones hardly at all. A slow process polls the network at every turn.

use super::HostMemory;
use crate::clock::Clock;
use crate::fault_injection::Time;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::Nanos;
use std::net::SocketAddrV4;

/// The interval between two polls of the network.
const NETWORK_NS: Nanos = 2_000;

/// The state of one kind of receive.
#[derive(Clone, Copy, Default, Debug)]
struct Received {
    /// The number of datagrams that memory lends; the network's follow them.
    by_memory: usize,
    /// When the network was polled last.
    asked_at: Nanos,
}

impl Received {
    /// Receives from both: `network` is called if it is due.
    #[inline]
    fn take(&mut self, by_memory: usize, now: Nanos, network: impl FnOnce() -> usize) -> usize {
        self.by_memory = by_memory;
        if now < self.asked_at + NETWORK_NS {
            return by_memory;
        }
        self.asked_at = now;
        by_memory + network()
    }
}

/// Memory and a network.
pub struct Beside<N, T = Clock> {
    memory: HostMemory,
    network: N,
    /// Whether the network reaches other hosts.
    leaves_host: bool,
    time: T,
    groups: Received,
    unicast: Received,
}

impl<N: Net> Beside<N> {
    /// Memory beside `network`, with the same unicast address; group datagrams are sent on the network if it
    /// reaches other hosts.
    pub fn new(memory: HostMemory, network: N, leaves_host: bool) -> Self {
        Self::timed(memory, network, leaves_host, Clock::start())
    }
}

impl<N: Net, T: Time> Beside<N, T> {
    /// As [`new`](Self::new), by this clock.
    pub fn timed(memory: HostMemory, network: N, leaves_host: bool, time: T) -> Self {
        Self { memory, network, leaves_host, time, groups: Received::default(), unicast: Received::default() }
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The memory.
    pub fn memory(&self) -> &HostMemory {
        &self.memory
    }
}

impl<N: Net, T: Time> Net for Beside<N, T> {
    #[inline]
    fn recv_groups(&mut self) -> usize {
        let by_memory = self.memory.recv_groups();
        self.groups.take(by_memory, self.time.now(), || self.network.recv_groups())
    }

    #[inline]
    fn is_drained(&self) -> bool {
        self.memory.is_drained() && self.network.is_drained()
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match index.checked_sub(self.groups.by_memory) {
            None => self.memory.group_datagram(index),
            Some(index) => self.network.group_datagram(index),
        }
    }

    #[inline]
    fn recv_unicast(&mut self) -> usize {
        let by_memory = self.memory.recv_unicast();
        self.unicast.take(by_memory, self.time.now(), || self.network.recv_unicast())
    }

    #[inline]
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match index.checked_sub(self.unicast.by_memory) {
            None => self.memory.unicast_datagram(index),
            Some(index) => self.network.unicast_datagram(index),
        }
    }

    /// Memory first: it is faster. A datagram that memory took counts as sent; the network's copy may be
    /// lost.
    #[inline]
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let by_memory = self.memory.send_group(group, bursts);
        if !self.leaves_host {
            return by_memory;
        }
        self.network.send_group(group, bursts).max(by_memory)
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        if self.memory.reaches(to) {
            self.memory.send_unicast(to, parts)
        } else {
            self.network.send_unicast(to, parts)
        }
    }

    #[inline]
    fn dropped(&self) -> u64 {
        self.memory.dropped() + self.network.dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.memory.set_joined(group, joined);
        self.network.set_joined(group, joined);
    }
}
