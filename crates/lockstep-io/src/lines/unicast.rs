//! Unicast on two lines: a node with an address on both receives on both, and a sender that reached us by
//! the second line alone is answered there. Received datagrams are reported under one address, the one on
//! the first line.

use super::CopyFilter;
use lockstep_wire::Nanos;
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// Where a node answers: its address on the first line, and the one on the second.
pub type Addresses = (SocketAddrV4, SocketAddrV4);

/// Handles whose last datagram came by the second line: more than ask in one heartbeat interval; one that
/// was dropped from the table asks again.
pub(super) const ASKERS_MAX: usize = 64;

/// Which unicast goes where.
#[derive(Debug)]
pub(super) struct UnicastRoutes {
    nodes: Vec<Addresses>,
    /// Addresses on the second line of processes that are no nodes, newest last.
    requesters: VecDeque<SocketAddrV4>,
    /// Second copies end here, as those of the groups do; nothing of it is counted as the lines' own.
    copies: CopyFilter,
    /// Line and index of the lent datagrams, and the address under which each is reported.
    lent: Vec<(u8, u16, SocketAddrV4)>,
}

/// Where one datagram is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UnicastRoute {
    /// To this address on the first line, ...
    pub first: Option<SocketAddrV4>,
    /// ... and to this one on the second.
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

    /// `line` brought this. The first copy is lent.
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

    /// How `to` is reached. A first line that brings us nothing would not bring its answer either.
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
