//! The clients' sessions: a connection that logs in becomes a user's, receives what that user hears, and ends
//! for one reason, which the client and the audit log are given.

mod fix;
mod stream;
mod traffic;

use super::connections::Connections;
use super::departures::{Departure, Departures};
use super::state::StreamState;
use super::{GatewayCounts, GatewayLimits, OUT_MAX, SUPERSEDED};
use crate::gateway::audit::{Audit, Audited};
use crate::gateway::conn::{Conn, Phase};
use crate::gateway::protocol::Protocol;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::engine::networks::Networks;
use lockstep_core::engine::ports::Backlog;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Destination, Nanos, PublisherId};
use soupbintcp::RejectReason;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// For the audit log alone.
pub(super) const CLOSED_EARLY: &str = "it closed the connection before its login was decided";
const CLOSED_WITHIN: &str = "it closed the connection before its login was whole";

/// The sessions: see the module.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub conns: Connections,
    pub departures: Departures,
    pub counts: GatewayCounts,
    /// The connection of each client that is logged in.
    by_publisher: BTreeMap<PublisherId, usize>,
    /// The connections that receive the messages of each destination.
    subscribed: BTreeMap<Destination, BTreeSet<usize>>,
    audit: Audit,
}

impl Sessions {
    /// A client has connected, and speaks this protocol. Returns its index and number; `None`: its address
    /// may not connect, or there are too many connections, in all or of its address.
    pub fn accept(
        &mut self,
        now: Nanos,
        peer: SocketAddr,
        protocol: Protocol,
        limits: &GatewayLimits,
    ) -> Option<(usize, u64)> {
        if !Networks::allow(limits.allow.as_ref(), peer.ip()) {
            self.counts.address_refused += 1;
            let why = "its address is in no network of gateway.allow";
            self.audit.tell(&mut self.counts, now, Audited::AddressRefused, ("", peer.ip()), why);
            return None;
        }
        let (connected, of_address) = self.conns.count(peer.ip());
        if connected >= limits.clients_max || of_address >= limits.clients_per_address {
            self.counts.turned_away += 1;
            let why = if connected >= limits.clients_max {
                "the limit gateway.clients is reached"
            } else {
                "its address has reached the limit gateway.clients_per_address"
            };
            self.audit.tell(&mut self.counts, now, Audited::TurnedAway, ("", peer.ip()), why);
            return None;
        }
        Some(self.conns.add(Conn::new(now, peer, protocol)))
    }

    /// The connection of this client, if it is logged in here.
    pub fn index_of(&self, publisher: PublisherId) -> Option<usize> {
        self.by_publisher.get(&publisher).copied()
    }

    /// The number of logged-in connections.
    pub fn open_count(&self) -> usize {
        self.by_publisher.len()
    }

    /// Writes a line of the audit log about a connection.
    pub fn audit(&mut self, now: Nanos, index: usize, what: Audited, why: &str) {
        if let Some(conn) = self.conns.get(index) {
            self.audit.tell(&mut self.counts, now, what, conn.client(), why);
        }
    }

    /// Writes a line of the audit log about a client whose connection is closed, or never became one.
    pub fn audit_closed(&mut self, now: Nanos, what: Audited, client: (&str, std::net::IpAddr), why: &str) {
        self.audit.tell(&mut self.counts, now, what, client, why);
    }

    // ------------------------------------------------------------------------ logins

    /// Refuses a login.
    pub fn reject(&mut self, now: Nanos, index: usize, reason: RejectReason, why: &str) {
        self.reject_as(now, index, reason, why, why);
    }

    /// Refuses a login. The audit log has a reason of its own, which the client does not learn.
    pub fn reject_as(&mut self, now: Nanos, index: usize, reason: RejectReason, why: &str, audited: &str) {
        self.counts.rejected += 1;
        self.audit(now, index, Audited::Refused, audited);
        let Some(conn) = self.conns.get_mut(index) else { return };
        if !why.is_empty() {
            conn.protocol.debug(now, why, &mut conn.out); // the reject itself has only a letter
        }
        conn.protocol.reject(reason, &mut conn.out);
        conn.phase = Phase::Over { since: now };
    }

    /// A login is accepted: from here on its connection is the user's; in case of a refusal, until its Logout
    /// is sent.
    pub fn on_accepted<B: Backlog>(
        &mut self,
        now: Nanos,
        index: usize,
        publisher: PublisherId,
        refusal: Option<&str>,
        state: &StreamState<B>,
    ) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        conn.is_refused = refusal.is_some();
        match refusal {
            None => self.counts.accepted += 1,
            Some(_) => self.counts.rejected += 1,
        }
        let what = if refusal.is_none() { Audited::LoggedIn } else { Audited::Refused };
        self.audit(now, index, what, refusal.unwrap_or("logged in"));
        self.departures.remove(publisher);
        if let Some(before) = self.by_publisher.insert(publisher, index)
            && before != index
        {
            self.supersede(now, before);
        }
        self.subscribe(index, publisher, state);
        self.conns.mark_ready(index);
    }

    /// The client of an accepted login has left before it could be answered.
    pub fn on_accepted_late(&mut self, now: Nanos, index: usize, publisher: PublisherId) {
        self.by_publisher.insert(publisher, index);
        self.end(now, index, DisconnectReason::Broken, "");
    }

    /// A connection receives what its user hears, as far as the stream has it.
    pub fn subscribe<B: Backlog>(&mut self, index: usize, own: PublisherId, state: &StreamState<B>) {
        let user = self.conns.get(index).and_then(|conn| conn.user.as_ref());
        for destination in state.received_by(user, own) {
            self.subscribed.entry(destination).or_default().insert(index);
            if let Some(conn) = self.conns.get_mut(index) {
                conn.place.hear(destination);
            }
        }
    }

    // ------------------------------------------------------------------------ ends

    /// Another connection of the same user replaces this one.
    fn supersede(&mut self, now: Nanos, index: usize) {
        self.audit(now, index, Audited::Left, SUPERSEDED);
        if let Some(conn) = self.conns.get_mut(index) {
            conn.protocol.debug(now, SUPERSEDED, &mut conn.out);
            conn.protocol.close();
            conn.phase = Phase::Over { since: now };
        }
        self.subscribed.values_mut().for_each(|receivers| {
            receivers.remove(&index);
        });
        self.counts.cut += 1;
    }

    /// Another connection, here or elsewhere, has the client of this one.
    pub fn drop_superseded(&mut self, now: Nanos, index: usize) {
        self.supersede(now, index);
        self.forget(index);
    }

    /// Ends a connection, and sends the reason.
    pub fn end(&mut self, now: Nanos, index: usize, reason: DisconnectReason, why: &str) {
        if self.part_fix(now, index, reason, why) {
            return;
        }
        self.leave(now, index, reason, why);
        if let Some(conn) = self.conns.get_mut(index).filter(|conn| !conn.is_open() && !conn.is_over()) {
            let shakes_hands = std::mem::take(&mut conn.shakes_hands) && reason == DisconnectReason::Broken;
            let why = if shakes_hands { "its TLS handshake was not over in time" } else { why };
            self.audit(now, index, Audited::NoLogin, why);
        }
        if let Some(conn) = self.conns.get_mut(index)
            && !conn.is_over()
        {
            if !why.is_empty() && conn.waiting() < OUT_MAX {
                conn.protocol.last_words(why, &mut conn.out);
            }
            conn.protocol.close();
            conn.phase = Phase::Over { since: now };
        }
    }

    /// Ends a logged-in connection for a reason of the gateway's.
    pub fn cut(&mut self, now: Nanos, index: usize, reason: DisconnectReason, why: &str) {
        self.counts.cut += 1;
        self.end(now, index, reason, why);
    }

    /// A logged-in client has left: its disconnect is stamped when its grace has passed.
    fn leave(&mut self, now: Nanos, index: usize, reason: DisconnectReason, why: &str) {
        let Some(conn) = self.conns.get(index) else { return };
        let (Phase::Open { publisher, nonce }, Some(user)) = (&conn.phase, &conn.user) else { return };
        let graced = matches!(
            reason,
            DisconnectReason::Broken
                | DisconnectReason::Silent
                | DisconnectReason::Slow
                | DisconnectReason::Fault
        );
        let grace_ns = if graced { Nanos::from(user.grace_ms) * 1_000_000 } else { 0 };
        let departure = Departure {
            publisher: *publisher,
            nonce: *nonce,
            seen: true,
            due: now + grace_ns,
            reason,
            cancels: user.cancel_on_disconnect,
        };
        if !conn.is_refused {
            let is_fault = reason == DisconnectReason::Fault;
            let what = if is_fault { Audited::CutOff } else { Audited::Left };
            let more = if is_fault && !why.is_empty() { format!(": {why}") } else { String::new() };
            self.audit.tell(&mut self.counts, now, what, conn.client(), &format!("{reason}{more}"));
        }
        self.departures.add(departure);
        self.forget(index);
    }

    /// A connection is no client's any more, and receives nothing.
    fn forget(&mut self, index: usize) {
        self.by_publisher.retain(|_, served| *served != index);
        self.subscribed.retain(|_, receivers| {
            if !planted(Mutation::HearerStays) {
                receivers.remove(&index);
            }
            !receivers.is_empty()
        });
        self.conns.unmark_ready(index);
    }

    /// The socket is closed. Returns the connection's number if its password is being checked: the result of
    /// the check writes its line of the audit log.
    pub fn on_closed(&mut self, now: Nanos, index: usize) -> Option<u64> {
        self.leave(now, index, DisconnectReason::Broken, "");
        let checked = self.audit_close(now, index);
        self.conns.remove(index, planted(Mutation::PlaceLeaks));
        checked
    }

    /// One that sent no byte is only counted: so tunnels check whether a gateway is alive.
    fn audit_close(&mut self, now: Nanos, index: usize) -> Option<u64> {
        let conn = self.conns.get(index)?;
        match conn.phase {
            Phase::Open { .. } | Phase::Over { .. } => {}
            Phase::Checking(_) => return self.conns.number(index),
            Phase::New if !conn.has_spoken => self.counts.no_login += 1,
            Phase::New => self.audit(now, index, Audited::NoLogin, CLOSED_WITHIN),
            _ => self.audit(now, index, Audited::NoLogin, CLOSED_EARLY),
        }
        None
    }

    /// Whether every disconnect was delivered, and no session waits for its Logout.
    pub fn have_left(&self) -> bool {
        self.departures.is_empty() && !self.conns.iter().any(|(_, conn)| conn.is_parting())
    }

    // ------------------------------------------------------------------------ lost gateways

    /// Whether this gateway has a client, or is logging it in, by its publisher and the nonce of its open.
    pub fn served(&self) -> impl Fn(PublisherId, &[u64; 2]) -> bool {
        let (mut opening, mut opened) = (BTreeSet::new(), BTreeSet::new());
        for (_, conn) in self.conns.iter() {
            if let Phase::Opening { nonce, publisher, .. } = &conn.phase {
                opening.insert(*nonce);
                opened.extend(*publisher);
            }
        }
        move |publisher, nonce| {
            self.by_publisher.contains_key(&publisher)
                || opened.contains(&publisher)
                || opening.contains(nonce)
                || self.departures.has(publisher)
        }
    }

    #[cfg(test)]
    pub fn serves(&self, index: usize) -> bool {
        self.by_publisher.values().any(|served| *served == index)
    }

    /// Panics unless each client has one connection, which is logged in, and no other one receives messages.
    #[cfg(test)]
    pub fn assert_served(&self) {
        let served: BTreeSet<usize> = self.by_publisher.values().copied().collect();
        assert_eq!(served.len(), self.by_publisher.len(), "one client, one connection");
        let is_open = |index: &usize| self.conns.get(*index).is_some_and(|conn| conn.is_open());
        assert!(served.iter().all(is_open), "each client's connection is logged in: {served:?}");
        let mut receivers = self.subscribed.values().flatten();
        assert!(receivers.all(|index| served.contains(index)), "clients alone receive: {served:?}");
    }

    /// Panics with the rule that is broken.
    pub fn invariants(&self, clients_max: usize) {
        self.conns.invariants(clients_max);
        for (destination, receivers) in &self.subscribed {
            let hears =
                |index: &usize| self.conns.get(*index).is_some_and(|conn| conn.place.receives(*destination));
            assert!(
                receivers.iter().all(hears),
                "{receivers:?} receive {destination}, and one of them is closed"
            );
        }
        for (publisher, index) in &self.by_publisher {
            let serves = self.conns.get(*index).is_some_and(|conn| match conn.phase {
                Phase::Open { publisher: own, .. } => own == *publisher,
                Phase::Opening { publisher: own, .. } => own == Some(*publisher),
                Phase::New | Phase::Deferred { .. } | Phase::Checking(_) | Phase::Over { .. } => false,
            });
            assert!(serves, "no client here is {publisher}");
        }
    }
}
