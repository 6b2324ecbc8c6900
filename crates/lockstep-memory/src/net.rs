//! The device of a process: the datagrams that have arrived, and those that it has sent in this turn.

use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::{Header, Kind};
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// The destination of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum To {
    /// To all members of a group.
    Group(Group),
    /// To one process.
    Unicast(SocketAddrV4),
}

/// The device of one process: the datagrams that have arrived, and those that it has sent in this turn.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SimNet {
    /// Arrived on groups, not yet received.
    pub groups: VecDeque<Vec<u8>>,
    /// Arrived on the unicast port, not yet received.
    pub unicast: VecDeque<(Vec<u8>, Option<SocketAddrV4>)>,
    lent_groups: Vec<Vec<u8>>,
    lent_unicast: Vec<(Vec<u8>, Option<SocketAddrV4>)>,
    /// Sent and not yet taken by the network.
    pub sent: Vec<(To, Vec<u8>)>,
    /// Receive calls of this turn.
    pub receives: u32,
    /// Group send calls of this turn.
    pub sends: u32,
    /// Those of them to the data group, repairs left out.
    pub data_sends: u32,
    /// Datagrams that a send call takes at most.
    pub takes: usize,
    /// Some were refused.
    pub refused: bool,
    joined: [bool; 3],
    /// Whether the last receive drained the socket.
    drained: bool,
    /// Where that was one datagram at most, the next receive asks for one only, as that of `io::udp` does.
    sparing: bool,
    /// The next receive does so.
    quiet: bool,
    /// The longest datagram, in bytes.
    datagram_len_max: usize,
}

/// The longest datagram of UDP.
const DATAGRAM_LEN_MAX: usize = 65_535 - 28;
/// The most datagrams that one receive call lends.
const BATCH: usize = 16;
/// The most datagrams that wait on one socket; the kernel drops the others.
const SOCKET_DATAGRAMS: usize = 512;

impl Default for SimNet {
    /// A device that receives all groups.
    fn default() -> Self {
        Self {
            groups: VecDeque::new(),
            unicast: VecDeque::new(),
            lent_groups: Vec::new(),
            lent_unicast: Vec::new(),
            sent: Vec::new(),
            receives: 0,
            sends: 0,
            data_sends: 0,
            takes: usize::MAX,
            refused: false,
            joined: [true; 3],
            drained: true,
            sparing: false,
            quiet: false,
            datagram_len_max: DATAGRAM_LEN_MAX,
        }
    }
}

impl SimNet {
    /// A device that receives the stream and the replicas, but no submissions.
    pub fn of_client() -> Self {
        Self { joined: [false, true, true], ..Self::default() }
    }

    /// The same, asking for no more than one datagram where there was no more than one.
    pub fn sparing(self) -> Self {
        Self { sparing: true, ..self }
    }

    /// A device of a network that carries datagrams of so many bytes at most.
    pub fn carrying(datagram_len_max: usize) -> Self {
        Self { datagram_len_max, ..Self::default() }
    }

    /// Whether it receives a group.
    pub fn joins(&self, group: Group) -> bool {
        self.joined[group as usize]
    }

    /// Whether anything waits to be received.
    pub fn has_arrivals(&self) -> bool {
        !self.groups.is_empty() || !self.unicast.is_empty()
    }

    /// A datagram arrives. Returns whether the socket took it.
    pub fn arrive(&mut self, bytes: Vec<u8>, from: Option<SocketAddrV4>, group: Option<Group>) -> bool {
        match group {
            Some(group) if !self.joins(group) => false,
            Some(_) if self.groups.len() < SOCKET_DATAGRAMS => {
                self.groups.push_back(bytes);
                true
            }
            None if self.unicast.len() < SOCKET_DATAGRAMS => {
                self.unicast.push_back((bytes, from));
                true
            }
            _ => false,
        }
    }
}

/// Whether a datagram is a frame and a repairer's trailer.
fn is_repair(datagram: &[u8]) -> bool {
    Header::peek(datagram)
        .is_some_and(|header| header.kind == Kind::Frame as u8 && datagram.len() > header.length as usize)
}

impl Net for SimNet {
    fn recv_groups(&mut self) -> usize {
        self.receives += 1;
        self.lent_groups.clear();
        let asked = if self.quiet { 1 } else { BATCH };
        let count = self.groups.len().min(asked);
        self.drained = count < asked;
        self.quiet = self.sparing && self.drained && count <= 1;
        self.lent_groups.extend(self.groups.drain(..count));
        count
    }

    fn is_drained(&self) -> bool {
        self.drained
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.lent_groups[index]
    }

    fn recv_unicast(&mut self) -> usize {
        self.lent_unicast.clear();
        let count = self.unicast.len().min(BATCH);
        self.lent_unicast.extend(self.unicast.drain(..count));
        count
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let (bytes, from) = &self.lent_unicast[index];
        (bytes, from.unwrap_or(SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0)))
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        self.sends += 1;
        let frames =
            bursts.iter().any(|burst| !is_repair(&burst.bytes[..burst.stride.min(burst.bytes.len())]));
        self.data_sends += u32::from(group == Group::Data && frames);
        let mut taken = 0;
        for burst in bursts.iter().filter(|burst| !burst.bytes.is_empty()) {
            if burst.stride == 0 || burst.stride.min(burst.bytes.len()) > self.datagram_len_max {
                break;
            }
            for datagram in burst.bytes.chunks(burst.stride) {
                if taken == self.takes {
                    self.refused = true;
                    return taken;
                }
                self.sent.push((To::Group(group), datagram.to_vec()));
                taken += 1;
            }
        }
        taken
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        if parts[0].len() + parts[1].len() > self.datagram_len_max {
            return false;
        }
        if self.takes == 0 {
            self.refused = true;
            return false;
        }
        self.sent.push((To::Unicast(to), parts.concat()));
        true
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.joined[group as usize] = joined;
    }
}
