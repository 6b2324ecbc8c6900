//! Unicast on two lines: a node with an address on both receives on both, and a sender that reached us only
//! by the second line is answered there. A received datagram is reported under one address, the one on the
//! first line.

use super::CopyFilter;
use lockstep_wire::Nanos;
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// A node's address on the first line, and the one on the second.
pub type Addresses = (SocketAddrV4, SocketAddrV4);

/// Handles whose last datagram came by the second line: more than ask within one heartbeat interval. One that
/// was dropped from the table asks again.
pub(super) const ASKERS_MAX: usize = 64;

/// The routes of unicast datagrams.
#[derive(Debug)]
pub(super) struct UnicastRoutes {
    nodes: Vec<Addresses>,
    /// Addresses on the second line of processes that are no nodes, newest last.
    requesters: VecDeque<SocketAddrV4>,
    /// Drops second copies, as for groups; it does not count for the lines.
    copies: CopyFilter,
    /// Line and index of the lent datagrams, and the address under which each is reported.
    lent: Vec<(u8, u16, SocketAddrV4)>,
}

/// The destinations of one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UnicastRoute {
    /// The address on the first line.
    pub first: Option<SocketAddrV4>,
    /// The address on the second line.
    pub second: Option<SocketAddrV4>,
}

impl UnicastRoutes {
    pub(super) fn new(nodes: Vec<Addresses>) -> Self {
        let askers = VecDeque::with_capacity(ASKERS_MAX);
        Self {
            nodes,
            requesters: askers,
            copies: CopyFilter::default(),
            lent: Vec::with_capacity(super::LENT_MAX),
        }
    }

    /// A new receive: earlier loans have ended.
    pub(super) fn begin(&mut self, now: Nanos) {
        self.lent.clear();
        self.copies.look(now);
    }

    /// Handles a datagram from `line`. The first copy is lent.
    pub(super) fn on_datagram(
        &mut self,
        line: usize,
        now: Nanos,
        bytes: &[u8],
        index: usize,
        from: SocketAddrV4,
    ) {
        if !self.copies.judge(line, now, bytes) || self.lent.len() >= super::LENT_MAX {
            return;
        }
        let node = self.nodes.iter().find(|(_, second)| *second == from && line == 1);
        if line == 1 && node.is_none() && !self.requesters.contains(&from) {
            if self.requesters.len() >= ASKERS_MAX {
                self.requesters.pop_front();
            }
            self.requesters.push_back(from);
        }
        self.lent.push((line as u8, index as u16, node.map_or(from, |(first, _)| *first)));
    }

    pub(super) fn len(&self) -> usize {
        self.lent.len()
    }

    /// Line, index and address of the lent datagrams.
    pub(super) fn lent(&self, index: usize) -> Option<(usize, usize, SocketAddrV4)> {
        self.lent.get(index).map(|(line, index, from)| (usize::from(*line), usize::from(*index), *from))
    }

    /// The route to `to`. If the first line receives nothing, it would not receive the answer either.
    pub(super) fn to(&self, to: SocketAddrV4, first_is_down: bool) -> UnicastRoute {
        let node = self.nodes.iter().find(|(first, _)| *first == to);
        match node {
            Some((first, second)) => {
                UnicastRoute { first: (!first_is_down).then_some(*first), second: Some(*second) }
            }
            None if self.requesters.contains(&to) => UnicastRoute { first: None, second: Some(to) },
            None => UnicastRoute { first: Some(to), second: None },
        }
    }
}
