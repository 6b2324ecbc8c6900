//! The destinations of copies: nodes always, all other processes by lease.
//!
//! The table is made once. Joins, expiries and leaves write the three lists anew, in memory that is allocated
//! already. A send reads one list, nodes first: a commit waits for what replicas receive.

use crate::udp::socket_address;
use lockstep_wire::{GROUPS_ALL, Nanos};
use std::net::{Ipv4Addr, SocketAddrV4};

/// For how long a join counts.
pub const LEASE_NS: Nanos = 3_000_000_000;

/// A node of the cluster's file: it receives copies without a join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FanoutNode {
    /// Its number, which identifies its datagrams.
    pub id: u32,
    /// The address at which it answers, and at which it receives its groups.
    pub address: SocketAddrV4,
    /// Its groups, as bits of [`GROUPS_ALL`].
    pub groups: u32,
}

/// A process that has joined.
#[derive(Clone, Copy, Debug)]
struct Lease {
    address: SocketAddrV4,
    groups: u32,
    process_nonce: u64,
    ends_at: Nanos,
}

/// The effect of a join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JoinOutcome {
    /// A node, which needs no lease.
    Node,
    /// The member is new.
    New,
    /// The lease was renewed.
    Renewed,
    /// The process has left.
    Left,
    /// There is no room.
    Full,
}

/// The table.
pub(crate) struct Members {
    nodes: Vec<FanoutNode>,
    leases: Vec<Lease>,
    leases_max: usize,
    /// The host to which no copies are sent, because another transport reaches it.
    skipped: Option<Ipv4Addr>,
    /// The destinations of each group's datagrams.
    targets: [Vec<libc::sockaddr_in>; 3],
}

impl Members {
    /// A table of the nodes but `own`, with room for `leases_max` leases.
    pub fn new(
        mut nodes: Vec<FanoutNode>,
        own: SocketAddrV4,
        leases_max: usize,
        skipped: Option<Ipv4Addr>,
    ) -> Self {
        nodes.retain(|node| node.address != own);
        let room = nodes.len() + leases_max;
        let targets = || Vec::with_capacity(room);
        let leases = Vec::with_capacity(leases_max);
        let mut members =
            Self { nodes, leases, leases_max, skipped, targets: [targets(), targets(), targets()] };
        members.list();
        members
    }

    /// The destinations of a group's datagrams.
    #[inline]
    pub fn targets(&self, group: usize) -> &[libc::sockaddr_in] {
        &self.targets[group]
    }

    /// The number of nodes and leases.
    pub fn len(&self) -> usize {
        self.nodes.len() + self.leases.len()
    }

    /// The number of leases.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// The most leases.
    pub fn leases_max(&self) -> usize {
        self.leases_max
    }

    /// A process at `address` wants `groups` (0: leaves), and has proven that it receives at that address.
    pub fn on_join(
        &mut self,
        now: Nanos,
        address: SocketAddrV4,
        groups: u32,
        process_nonce: u64,
    ) -> JoinOutcome {
        if self.nodes.iter().any(|node| node.address == address) {
            return JoinOutcome::Node;
        }
        let ends_at = now + LEASE_NS;
        let groups = groups & GROUPS_ALL;
        let place = self.leases.iter().position(|lease| lease.address == address);
        match (place, groups) {
            (Some(place), 0) => {
                // A datagram of the process that had this address before does not concern the present one.
                if self.leases[place].process_nonce == process_nonce {
                    self.leases.swap_remove(place);
                    self.list();
                }
                JoinOutcome::Left
            }
            (None, 0) => JoinOutcome::Left,
            (Some(place), _) => {
                let lease = &mut self.leases[place];
                let is_new = lease.process_nonce != process_nonce;
                let is_other = lease.groups != groups;
                *lease = Lease { address, groups, process_nonce, ends_at };
                if is_other {
                    self.list();
                }
                if is_new { JoinOutcome::New } else { JoinOutcome::Renewed }
            }
            (None, _) if self.leases.len() == self.leases_max => JoinOutcome::Full,
            (None, _) => {
                self.leases.push(Lease { address, groups, process_nonce, ends_at });
                self.list();
                JoinOutcome::New
            }
        }
    }

    /// Removes expired leases. Returns their number.
    pub fn expire(&mut self, now: Nanos) -> usize {
        let before = self.leases.len();
        self.leases.retain(|lease| now < lease.ends_at);
        if self.leases.len() < before {
            self.list();
        }
        before - self.leases.len()
    }

    /// Writes the lists anew. All nodes use one order: an ack that is sent to each node then arrives after
    /// its frame everywhere, and not long before it at some.
    fn list(&mut self) {
        let Self { nodes, leases, skipped, targets, .. } = self;
        leases.sort_unstable_by_key(|lease| lease.address);
        for (group, targets) in targets.iter_mut().enumerate() {
            let nodes = nodes.iter().map(|node| (node.address, node.groups));
            let all = nodes.chain(leases.iter().map(|lease| (lease.address, lease.groups)));
            let wanted =
                all.filter(|(address, groups)| groups >> group & 1 == 1 && *skipped != Some(*address.ip()));
            targets.clear();
            targets.extend(wanted.map(|(address, _)| socket_address(address)));
        }
    }
}
