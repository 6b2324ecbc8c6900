//! The joins of a device that wants groups: when each is sent, to which nodes, and the leases in their
//! answers.

use super::FanoutNode;
use lockstep_wire::{LeaseReply, Nanos};
use std::net::SocketAddrV4;

/// The interval between joins of a recipient of copies: three in the time of a lease.
const RENEW_NS: Nanos = 1_000_000_000;
/// A node that did not answer is asked again after this time, then after twice that, up to [`RENEW_NS`]: a
/// node that is starting has its members a moment later.
const AGAIN_NS: Nanos = 20_000_000;
const AGAIN_NS_MAX: Nanos = 100_000_000;
/// The interval between checks of a node that is received without a lease.
const RECEIVED_NS: Nanos = 250_000_000;

/// A node and the lease that it grants.
#[derive(Clone, Copy, Debug)]
struct Lessor {
    id: u32,
    address: SocketAddrV4,
    /// The proof that the node wants back.
    proof: u64,
    /// Its last answer.
    term: Option<LeaseReply>,
    due: Nanos,
    wait_ns: Nanos,
    /// The time at which its last answer expires.
    reported_until: Nanos,
}

/// A join that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DueJoin {
    pub to: SocketAddrV4,
    pub proof: u64,
    /// Whether it ends a lease instead of requesting one.
    pub leaves: bool,
}

/// The joins to all nodes.
pub(super) struct Joiner {
    lessors: Vec<Lessor>,
    /// No join is due before this time.
    next: Nanos,
    /// No node is asked before this time has passed since the first check.
    patience_ns: Nanos,
    has_begun: bool,
}

impl Joiner {
    /// A joiner that has asked no node yet.
    pub fn new(nodes: impl Iterator<Item = FanoutNode>, patience_ns: Nanos) -> Self {
        let repairer = |FanoutNode { id, address, .. }| Lessor {
            id,
            address,
            proof: 0,
            term: None,
            due: 0,
            wait_ns: AGAIN_NS,
            reported_until: 0,
        };
        Self { lessors: nodes.map(repairer).collect(), next: 0, patience_ns, has_begun: false }
    }

    /// The wanted groups have changed: all nodes are notified at once.
    pub fn hurry(&mut self) {
        self.next = 0;
        self.lessors.iter_mut().for_each(|repairer| repairer.due = 0);
    }

    /// A join that is due, if there is one; call it until there is none. A node for whose number
    /// `is_received` returns true needs no lease, and its lease is returned.
    #[inline]
    pub fn poll(&mut self, now: Nanos, is_received: impl Fn(u32) -> bool) -> Option<DueJoin> {
        if now < self.next { None } else { self.poll_all(now, is_received) }
    }

    #[cold]
    fn poll_all(&mut self, now: Nanos, is_received: impl Fn(u32) -> bool) -> Option<DueJoin> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.lessors.iter_mut().for_each(|repairer| repairer.due = now + self.patience_ns);
        }
        while let Some(repairer) = self.lessors.iter_mut().find(|repairer| repairer.due <= now) {
            let (to, proof) = (repairer.address, repairer.proof);
            if !is_received(repairer.id) {
                let longest = if repairer.term_at(now).is_some() { RENEW_NS } else { AGAIN_NS_MAX };
                repairer.due = now + repairer.wait_ns.min(longest);
                repairer.wait_ns = (repairer.wait_ns * 2).min(longest);
                return Some(DueJoin { to, proof, leaves: false });
            }
            (repairer.due, repairer.wait_ns) = (now + RECEIVED_NS, AGAIN_NS);
            if repairer.term.take() == Some(LeaseReply::Granted) {
                return Some(DueJoin { to, proof, leaves: true });
            }
        }
        self.next = self.lessors.iter().map(|repairer| repairer.due).min().unwrap_or(Nanos::MAX);
        None
    }

    /// Handles a node's answer. Returns the answer if it has changed.
    pub fn on_lease(
        &mut self,
        now: Nanos,
        from: SocketAddrV4,
        term: LeaseReply,
        proof: u64,
        lasts_ns: Nanos,
    ) -> Option<LeaseReply> {
        let repairer = self.lessors.iter_mut().find(|repairer| repairer.address == from)?;
        let is_news = repairer.term_at(now) != Some(term);
        repairer.term = Some(term);
        repairer.reported_until = now + lasts_ns.max(2 * RENEW_NS);
        if term != LeaseReply::Prove {
            (repairer.due, repairer.wait_ns) = (now + RENEW_NS, RENEW_NS);
        } else if proof != repairer.proof {
            // The proof is shown at once. If the node asks for the same proof again, it is under way already.
            (repairer.due, repairer.wait_ns) = (now, AGAIN_NS);
        }
        repairer.proof = proof;
        self.next = self.next.min(repairer.due);
        is_news.then_some(term)
    }

    /// The number of nodes whose answer is `term` at present.
    pub fn count(&self, now: Nanos, term: LeaseReply) -> usize {
        self.lessors.iter().filter(|repairer| repairer.term_at(now) == Some(term)).count()
    }

    /// Whether the node at `address` grants us a lease at present.
    pub fn has_lease_from(&self, now: Nanos, address: SocketAddrV4) -> bool {
        let granted = |repairer: &Lessor| repairer.term_at(now) == Some(LeaseReply::Granted);
        self.lessors.iter().any(|repairer| repairer.address == address && granted(repairer))
    }

    /// A join for each node that sends copies to us, to notify it when we leave.
    pub fn granted(&self, now: Nanos) -> impl Iterator<Item = DueJoin> {
        let granted =
            self.lessors.iter().filter(move |repairer| repairer.term_at(now) == Some(LeaseReply::Granted));
        granted.map(|repairer| DueJoin { to: repairer.address, proof: repairer.proof, leaves: true })
    }
}

impl Lessor {
    /// The node's answer, until it expires.
    fn term_at(&self, now: Nanos) -> Option<LeaseReply> {
        self.term.filter(|_| now < self.reported_until)
    }
}
