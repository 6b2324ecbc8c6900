//! Both ends of joins and leases: how a device handles them, whatever transport its datagrams use otherwise.
//!
//! ```text
//!   joiner                              giver
//!     │ ── join, proof 0 ────────────────▶ │  the sender's address may be forged
//!     │ ◀──────────── lease: prove 0x5e… ─ │  so a proof goes to that address
//!     │ ── join, proof 0x5e… ────────────▶ │
//!     │ ◀──────────────── lease: granted ─── │  from now on, and for three seconds
//!     │ ── join, proof 0x5e… (each second)▶│
//! ```

use super::FanoutSettings;
use super::counts::FanoutCounts;
use super::joiner::{DueJoin, Joiner};
use super::members::{FanoutNode, JoinOutcome, LEASE_NS, Members};
use crate::IoError;
use crate::clock::random_u64;
use lockstep_core::engine::ports::Group;
use lockstep_wire::{
    Datagram, HEADER_LEN, Header, JoinBody, Keys, Kind, LeaseBody, LeaseReply, Nanos, write_join, write_lease,
};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of a join, and of a lease.
pub(super) const CONTROL_LEN: usize = HEADER_LEN + 32;
/// Interval between two checks for expired leases.
const POLL_NS: Nanos = 50_000_000;
/// Replicas send every few milliseconds: by this time multicast has arrived, or it does not work.
const PATIENCE_NS: Nanos = 300_000_000;
/// For how long a refused join is reported.
const REFUSING_NS: Nanos = LEASE_NS;

/// A datagram to send, and its destination.
pub(crate) struct Reply {
    pub to: SocketAddrV4,
    pub bytes: [u8; CONTROL_LEN],
}

/// Both ends of a device.
pub(crate) struct Leasing {
    keys: Keys,
    gives: bool,
    pub members: Members,
    joiner: Joiner,
    /// The wanted groups, as bits.
    wanted: u32,
    process_nonce: u64,
    /// The secret of the proofs: no other process knows it, and it ends with the process.
    proofs: RandomState,
    /// The number of the last datagram sent.
    number: u64,
    poll_at: Nanos,
    refused_at: Option<Nanos>,
    counts: FanoutCounts,
    now: Nanos,
}

/// A group as a bit of a mask.
pub fn bit(group: Group) -> u32 {
    1 << group as u32
}

impl Leasing {
    /// The state of a device at `own` that wants `joins`. It sends nothing to addresses at `skipped`.
    pub fn new(
        settings: &FanoutSettings,
        own: SocketAddrV4,
        joins: &[Group],
        skipped: Option<Ipv4Addr>,
    ) -> Result<Self, IoError> {
        Self::made(settings, own, joins, skipped, settings.nodes.clone(), 0)
    }

    /// The state of a device that multicasts: nodes receive copies by lease as well, and it requests no lease
    /// before multicast has had the time to arrive.
    pub fn beside_multicast(
        settings: &FanoutSettings,
        own: SocketAddrV4,
        joins: &[Group],
        skipped: Option<Ipv4Addr>,
    ) -> Result<Self, IoError> {
        Self::made(settings, own, joins, skipped, Vec::new(), PATIENCE_NS)
    }

    fn made(
        settings: &FanoutSettings,
        own: SocketAddrV4,
        joins: &[Group],
        skipped: Option<Ipv4Addr>,
        nodes: Vec<FanoutNode>,
        patience_ns: Nanos,
    ) -> Result<Self, IoError> {
        let leases_max = if settings.grants_leases { settings.members_max } else { 0 };
        // A node reached by memory needs no lease.
        let is_asked = |node: &FanoutNode| node.address != own && skipped != Some(*node.address.ip());
        let repairers = settings.nodes.iter().copied().filter(is_asked);
        Ok(Self {
            keys: settings.keys.clone(),
            gives: settings.grants_leases,
            joiner: Joiner::new(repairers, patience_ns),
            members: Members::new(nodes, own, leases_max, skipped),
            wanted: joins.iter().fold(0, |all, group| all | bit(*group)),
            process_nonce: random_u64()?,
            proofs: RandomState::new(),
            number: 0,
            poll_at: 0,
            refused_at: None,
            counts: FanoutCounts::default(),
            now: 0,
        })
    }

    /// The counts so far, and the present state.
    pub fn counts(&self) -> FanoutCounts {
        let of = |term| self.joiner.count(self.now, term) as u64;
        FanoutCounts {
            members: self.members.len() as u64,
            leases: self.members.leases() as u64,
            is_refusing: u64::from(self.refused_at.is_some()),
            lessors: of(LeaseReply::Granted),
            refused_by: of(LeaseReply::Full) + of(LeaseReply::Multicast),
            ..self.counts
        }
    }

    /// Counts deliveries that the device did not take.
    pub fn count_unsent(&mut self, deliveries: usize) {
        self.counts.unsent += deliveries as u64;
    }

    /// Sets the groups for which leases are wanted from now on.
    pub fn set_joined(&mut self, group: Group, joined: bool) {
        let before = self.wanted;
        self.wanted = if joined { before | bit(group) } else { before & !bit(group) };
        if self.wanted != before {
            self.joiner.hurry();
        }
    }

    /// Checks now and then for expired leases. Returns a join that is due; there may be another one. A node
    /// for whose number `is_received` returns true needs none.
    #[inline]
    pub fn poll(&mut self, now: Nanos, is_received: impl Fn(u32) -> bool) -> Option<Reply> {
        if now >= self.poll_at {
            self.look(now);
        }
        if self.wanted == 0 {
            return None;
        }
        let due = self.joiner.poll(now, is_received)?;
        Some(self.join(due))
    }

    #[cold]
    fn look(&mut self, now: Nanos) {
        (self.now, self.poll_at) = (now, now + POLL_NS);
        self.counts.expired += self.members.expire(now) as u64;
        self.refused_at = self.refused_at.filter(|at| now < at + REFUSING_NS);
    }

    /// The datagrams that notify the nodes that send copies to us when we leave.
    pub fn leave(&mut self) -> Vec<Reply> {
        let granted: Vec<DueJoin> = self.joiner.granted(self.now).collect();
        granted.into_iter().map(|due| self.join(due)).collect()
    }

    /// Whether the node at `address` sends copies to us.
    pub fn is_granted_by(&self, address: SocketAddrV4) -> bool {
        self.joiner.has_lease_from(self.now, address)
    }

    /// The addresses of the nodes that send copies to us.
    pub fn granted(&self) -> impl Iterator<Item = SocketAddrV4> {
        self.joiner.granted(self.now).map(|due| due.to)
    }

    /// Handles a join or a lease. Returns the answer to a join.
    #[cold]
    pub fn on_datagram(&mut self, now: Nanos, bytes: &[u8], from: SocketAddrV4) -> Option<Reply> {
        match Datagram::decode(bytes, &self.keys) {
            Ok(Datagram::Join(_, body)) if self.gives => Some(self.on_join(now, &body, from)),
            Ok(Datagram::Lease(_, body)) if body.process_nonce == self.process_nonce => {
                self.on_lease(now, &body, from);
                None
            }
            _ => {
                self.counts.unexpected += 1;
                None
            }
        }
    }

    fn on_join(&mut self, now: Nanos, body: &JoinBody, from: SocketAddrV4) -> Reply {
        let proof = self.proofs.hash_one((u32::from(*from.ip()), from.port())) | 1;
        let term = if body.proof != proof {
            self.counts.unproven += 1;
            LeaseReply::Prove
        } else {
            match self.members.on_join(now, from, body.groups, body.process_nonce) {
                JoinOutcome::Node | JoinOutcome::Renewed => LeaseReply::Granted,
                JoinOutcome::New => {
                    self.counts.joins += 1;
                    LeaseReply::Granted
                }
                JoinOutcome::Left => {
                    self.counts.leaves += 1;
                    LeaseReply::Granted
                }
                JoinOutcome::Full => {
                    self.counts.refused += 1;
                    self.refused_at = Some(now);
                    LeaseReply::Full
                }
            }
        };
        let lasts_ns = if term == LeaseReply::Granted && body.groups != 0 { LEASE_NS } else { 0 };
        let body = LeaseBody {
            term: term as u32,
            lasts_ms: (lasts_ns / 1_000_000) as u32,
            process_nonce: body.process_nonce,
            proof,
            members: self.members.leases() as u32,
            members_max: self.members.leases_max() as u32,
        };
        let mut reply = Reply { to: from, bytes: [0; CONTROL_LEN] };
        let header = self.header(Kind::Lease);
        write_lease(&mut reply.bytes, &self.keys, header, body);
        reply
    }

    fn on_lease(&mut self, now: Nanos, body: &LeaseBody, from: SocketAddrV4) {
        let Some(term) = LeaseReply::from_u32(body.term) else { return };
        let lasts_ns = Nanos::from(body.lasts_ms) * 1_000_000;
        let news = self.joiner.on_lease(now, from, term, body.proof, lasts_ns);
        let why = match news {
            Some(LeaseReply::Full) => {
                let most = body.members_max;
                format!("it has its {most} members by lease; raise `fanout_members`, or read through a feed")
            }
            Some(LeaseReply::Multicast) => {
                "it sends by multicast alone; write one `transport` for all processes of the line".to_owned()
            }
            _ => return,
        };
        self.counts.refusals += 1;
        // A node's log is written by its side thread.
        if !self.gives {
            warn_of_refusal(from, &why);
        }
    }

    fn join(&mut self, due: DueJoin) -> Reply {
        let groups = if due.leaves { 0 } else { self.wanted };
        let (process_nonce, proof) = (self.process_nonce, due.proof);
        let body = JoinBody { groups, reserved: 0, process_nonce, proof, padding: 0 };
        let mut reply = Reply { to: due.to, bytes: [0; CONTROL_LEN] };
        let header = self.header(Kind::Join);
        write_join(&mut reply.bytes, &self.keys, header, body);
        reply
    }

    fn header(&mut self, kind: Kind) -> Header {
        self.number += 1;
        Header {
            cluster: self.keys.cluster(),
            sender: (self.process_nonce >> 32) as u32 | 1 << 31,
            incarnation: self.process_nonce as u32,
            number: self.number,
            ..Header::new(kind)
        }
    }
}

#[cfg(feature = "tracing")]
fn warn_of_refusal(from: SocketAddrV4, why: &str) {
    tracing::warn!("the node at {from} refuses to send to us: {why}");
}

/// Only the counter of refusals reports it.
#[cfg(not(feature = "tracing"))]
fn warn_of_refusal(_: SocketAddrV4, _: &str) {}
