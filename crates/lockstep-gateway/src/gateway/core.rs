//! The gateway without its sockets: connections, logins, the stream in and out.
//!
//! ```text
//!  client bytes ─▶ soup ─▶ login: user ─▶ password ─▶ open entry ─ delivered ─▶ accepted at its number
//!                     └──▶ message ─▶ publisher's window ─▶ stream ─▶ ledger ─▶ receivers ─▶ soup ─▶ bytes
//! ```
//! The owner passes in bytes, events of its two handles and results of password checks, all with `now`; and
//! takes out bytes, and the passwords to check. A connection's index is used again once it is closed, so each
//! connection has a number too.

mod fix;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod guessers;
mod invariants;
mod leaderless;
mod login;
mod lost;
#[cfg(test)]
mod model;
mod own;
mod sending;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod work;

use super::allowance::Allowance;
use super::audit::{Audit, Audited};
use super::conn::{Conn, Phase};
use super::ledger::Ledger;
use super::locks::Locks;
use super::pending::Pending;
use super::per_address::PerAddress;
use super::protocol::Protocol;
use super::users::Users;
use crate::fix::client::FixClient;
use crate::fix::session::FixClocks;
use leaderless::FollowedLeader;
use lockstep_core::engine::clients::{Clients, DisconnectReason};
use lockstep_core::engine::networks::Networks;
use lockstep_core::engine::ports::Backlog;
use lockstep_core::engine::publisher::PublishError;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use lost::LostGateways;
use own::GatewayName;
use sending::stamp_disconnects;
pub use settings::{GatewayCounts, GatewayError, GatewayLimits};
use soupbintcp::{Event, Server, Text};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use work::TurnWork;

/// The most bytes of one connection that wait to be sent; the rest stays in the ledger.
const OUT_MAX: usize = 64 << 10;
/// How long a closed connection may take to send its last bytes.
const LINGER_NS: Nanos = 1_000_000_000;
/// Sent to clients when the day has outgrown the spool.
const FULL: &str = "the gateway has no room for more of this day: log in at another one";
/// Sent to clients that request a session that is over, or never existed.
const OTHER_DAY: &str = "that session is not the open trading day: leave it blank";
/// Sent to a client when its user has logged in anew.
const SUPERSEDED: &str = "another connection has logged in as this user";

/// The stream through which the core publishes: the handle, or a test's.
pub trait GatewayStream {
    /// See [`PublisherCore::open`](lockstep_core::engine::publisher::PublisherCore::open).
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize>;
    /// See [`PublisherCore::try_publish`](lockstep_core::engine::publisher::PublisherCore::try_publish).
    fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError>;
    /// See [`PublisherCore::try_close`](lockstep_core::engine::publisher::PublisherCore::try_close).
    fn close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError>;
    /// Random words.
    fn draw(&mut self) -> [u64; 2];
}

/// A password to check. It is never printed.
#[derive(Clone)]
pub struct Check {
    /// The connection's index and number.
    pub conn: (usize, u64),
    /// The client's address.
    pub address: IpAddr,
    /// The user's name, in lower case.
    pub user: String,
    /// The password that was sent, in lower case.
    pub password: Vec<u8>,
    /// The user's hash; `None` for an unknown user: then the check fails, and takes as long.
    pub hash: Option<String>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("conn", &self.conn).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A client whose connection has ended and whose disconnect is not stamped yet.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    publisher: PublisherId,
    nonce: [u64; 2],
    /// Whether the open entry with that nonce was delivered.
    seen: bool,
    /// Whether the handle has reported a later open of its name, which a close would end.
    fenced: bool,
    /// Whether its close is under way.
    closing: bool,
    due: Nanos,
    reason: DisconnectReason,
    cancels: bool,
}

/// The purpose of an open.
#[derive(Clone, Copy, Debug)]
enum OpenFor {
    Own,
    /// The login of the connection with this index and number.
    Login(usize, u64),
    /// The disconnect of a client whose gateway is lost.
    Reap {
        cancels: bool,
    },
}

/// A pending open: the handle has not reported the name as open yet.
#[derive(Clone, Copy, Debug)]
struct PendingOpen {
    nonce: [u64; 2],
    /// The publisher of its open entry, once that was delivered.
    delivered: Option<PublisherId>,
    whom: OpenFor,
}

impl PendingOpen {
    fn new(nonce: [u64; 2], whom: OpenFor) -> Self {
        Self { nonce, delivered: None, whom }
    }
}

/// The gateway: see the module.
#[derive(Debug)]
pub struct Gateway<B> {
    limits: GatewayLimits,
    users: Users,
    ledger: Ledger<B>,
    clients: Clients,
    /// The FIX state of each client.
    fix: BTreeMap<PublisherId, FixClient>,
    /// Stamped events that are not final yet.
    pending: Pending,
    /// The exclusive bound of the final events.
    final_next: Seq,
    conns: Vec<Option<(u64, Conn)>>,
    free: Vec<usize>,
    number: u64,
    by_publisher: BTreeMap<PublisherId, usize>,
    subscribed: BTreeMap<Destination, BTreeSet<usize>>,
    /// Connections that may have something to send; the next turn begins behind the last one that was served.
    ready: BTreeSet<usize>,
    filled: usize,
    /// The messages that the present turn has read.
    work: TurnWork,
    /// The rate of accepted connections.
    allowance: Allowance,
    opens: BTreeMap<usize, PendingOpen>,
    leaving: Vec<Leaving>,
    checks: VecDeque<Check>,
    checking: usize,
    checking_of: PerAddress,
    /// Connections, by number, that were closed while their passwords were checked: the result of the check
    /// writes their line.
    closed_early: BTreeSet<u64>,
    connected: PerAddress,
    audit: Audit,
    locks: Locks,
    own: GatewayName,
    caught_up: bool,
    /// Whether its handles follow a leader: the owner sets it before each turn.
    pub leader: FollowedLeader,
    lost: LostGateways,
    scan_at: Nanos,
    /// The message that is being read from the ledger.
    message: Vec<u8>,
    /// The counts so far.
    pub counts: GatewayCounts,
    /// The timestamp of the newest final entry, and the gateway's own clock, which the owner sets.
    pub clocks: FixClocks,
    failed: Option<GatewayError>,
}

impl<B: Backlog> Gateway<B> {
    /// The gateway of this name, which must be unique among the cluster's gateways. It has no connections.
    pub fn new(name: &str, limits: GatewayLimits, users: Users, ledger: Ledger<B>) -> Self {
        Self {
            locks: Locks::new(limits.lockout),
            limits,
            users,
            ledger,
            clients: Clients::default(),
            fix: BTreeMap::new(),
            pending: Pending::default(),
            final_next: 1,
            conns: Vec::new(),
            free: Vec::new(),
            number: 0,
            by_publisher: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            ready: BTreeSet::new(),
            filled: 0,
            work: TurnWork::default(),
            allowance: Allowance::new(0),
            opens: BTreeMap::new(),
            leaving: Vec::new(),
            checks: VecDeque::new(),
            checking: 0,
            checking_of: PerAddress::default(),
            closed_early: BTreeSet::new(),
            connected: PerAddress::default(),
            audit: Audit::default(),
            own: GatewayName::new(name),
            caught_up: false,
            leader: FollowedLeader::default(),
            lost: LostGateways::default(),
            scan_at: 0,
            message: Vec::new(),
            clocks: FixClocks::default(),
            counts: GatewayCounts::default(),
            failed: None,
        }
    }

    /// From now on these limits hold for new connections, logins and failures. The gateway's subscription,
    /// and its heartbeats to other gateways, stay as they are.
    pub fn set_limits(&mut self, limits: GatewayLimits) {
        let GatewayLimits { delivery, heartbeat_ns, lost_heartbeats, .. } = self.limits;
        self.locks.set_times(limits.lockout);
        self.limits = GatewayLimits { delivery, heartbeat_ns, lost_heartbeats, ..limits };
    }

    /// Whether logins can be decided: the stream was read, our own name is open, and a leader is followed.
    pub fn is_ready(&self) -> bool {
        self.leader.follows && self.caught_up && self.own.id.is_some()
    }

    /// The clients in the stream.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The messages in the stream for its clients.
    pub fn ledger(&self) -> &Ledger<B> {
        &self.ledger
    }

    /// The number of logged-in connections.
    pub fn open_count(&self) -> usize {
        self.by_publisher.len()
    }

    /// Why the gateway must end, if it must.
    pub fn take_failure(&mut self) -> Option<GatewayError> {
        self.failed.take()
    }

    /// Whether the next connection may be accepted now; then it is counted. Others wait in the kernel's
    /// queue, so that new connections do not delay logged-in clients.
    pub fn may_accept(&mut self, now: Nanos) -> bool {
        self.allowance.take(now, self.limits.accepts)
    }

    /// There was no connection to accept.
    pub fn stop_accepting(&mut self) {
        self.allowance.give_back();
    }

    /// A client has connected. Returns its index and number; `None`: its address may not connect, or there
    /// are too many connections, in all or of its address.
    pub fn accept(&mut self, now: Nanos, peer: SocketAddr) -> Option<(usize, u64)> {
        let server = Server::new(now, self.limits.soup);
        self.accept_conn(now, peer, Protocol::Soup(server))
    }

    fn accept_conn(&mut self, now: Nanos, peer: SocketAddr, protocol: Protocol) -> Option<(usize, u64)> {
        if !Networks::allow(self.limits.allow.as_ref(), peer.ip()) {
            self.counts.address_refused += 1;
            let why = "its address is in no network of gateway.allow";
            self.audit.tell(&mut self.counts, now, Audited::AddressRefused, ("", peer.ip()), why);
            return None;
        }
        let (connected, of_address) = (self.conns.len() - self.free.len(), self.connected.of(peer.ip()));
        if connected >= self.limits.clients_max || of_address >= self.limits.clients_per_address {
            self.counts.turned_away += 1;
            let why = match connected >= self.limits.clients_max {
                true => "the limit gateway.clients is reached",
                false => "its address has reached the limit gateway.clients_per_address",
            };
            self.audit.tell(&mut self.counts, now, Audited::TurnedAway, ("", peer.ip()), why);
            return None;
        }
        self.connected.take(peer.ip());
        self.number += 1;
        let conn = Some((self.number, Conn::new(now, peer, protocol)));
        let index = match self.free.pop() {
            Some(index) => {
                self.conns[index] = conn;
                index
            }
            None => {
                self.conns.push(conn);
                self.conns.len() - 1
            }
        };
        Some((index, self.number))
    }

    fn conn(&mut self, index: usize) -> Option<&mut Conn> {
        self.conns.get_mut(index)?.as_mut().map(|(_, conn)| conn)
    }

    /// Bytes have arrived; they are taken as far as possible.
    pub fn on_bytes(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize, bytes: &[u8]) {
        if let Some(conn) = self.conn(index)
            && !conn.is_over()
        {
            conn.inbox.extend_from_slice(bytes);
            (conn.has_spoken, conn.shakes_hands) = (true, false);
            self.take(now, stream, index);
        }
    }

    /// Whether the owner should read this connection's socket.
    pub fn wants(&self, index: usize) -> bool {
        let conn = self.conns.get(index).and_then(Option::as_ref);
        conn.is_some_and(|(_, conn)| !conn.blocked && !conn.is_over())
    }

    /// The bytes to send.
    pub fn out(&self, index: usize) -> &[u8] {
        let conn = self.conns.get(index).and_then(Option::as_ref);
        conn.map_or(&[], |(_, conn)| conn.unsent())
    }

    /// `len` of these bytes were sent.
    pub fn on_sent(&mut self, now: Nanos, index: usize, len: usize) {
        if let Some(conn) = self.conn(index) {
            let all = conn.waiting();
            conn.on_sent(now, if planted(Mutation::PartialSendLost) { all } else { len });
            if conn.waiting() < OUT_MAX / 2 {
                self.ready.insert(index);
            }
        }
    }

    /// The socket accepts nothing more: its client has closed it without reading everything. The kernel still
    /// has what the client had sent before, so the owner reads on until the socket ends, and then closes it.
    pub fn on_output_broken(&mut self, index: usize) {
        if let Some(conn) = self.conn(index) {
            conn.drop_output();
        }
    }

    /// Whether the connection must be closed now.
    pub fn is_done(&self, now: Nanos, index: usize) -> bool {
        match self.conns.get(index).and_then(Option::as_ref) {
            Some((_, conn)) => match conn.phase {
                Phase::Over { since } => conn.waiting() == 0 || now >= since + LINGER_NS,
                _ => false,
            },
            None => true,
        }
    }

    /// The socket is closed: by the client, or by the owner on the gateway's request.
    pub fn on_closed(&mut self, now: Nanos, index: usize) {
        self.leave(now, index, DisconnectReason::Broken, "");
        self.tell_closed(now, index);
        if let Some((_, conn)) = self.conns.get_mut(index).and_then(Option::take) {
            self.connected.give_back(conn.peer.ip());
            if !planted(Mutation::PlaceLeaks) {
                self.free.push(index);
            }
            self.ready.remove(&index);
        }
    }

    /// Takes the bytes in a connection's inbox.
    fn take(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Some(conn) = self.conn(index) else { return };
        if conn.protocol.is_fix() {
            return self.take_fix(now, stream, index);
        }
        let mut inbox = std::mem::take(&mut conn.inbox);
        conn.blocked = false;
        let mut at = 0;
        while let Some(conn) = self.conn(index)
            && !conn.is_over()
        {
            let Some(server) = conn.protocol.soup() else { break };
            let taken = server.on_bytes(now, &inbox[at..]);
            let Some(event) = taken.event else {
                at += taken.len;
                break;
            };
            match event {
                Event::Message(message) => {
                    if !self.on_message(now, stream, index, message) {
                        self.counts.blocked += 1;
                        if let Some(conn) = self.conn(index) {
                            conn.blocked = true;
                        }
                        if planted(Mutation::BlockedForgotten) {
                            at = inbox.len();
                        }
                        break;
                    }
                }
                Event::Login(request) => self.on_login(now, index, &request),
                Event::Debug(text) => tracing::debug!(text = %Text(text), "a client says"),
                Event::Logout => self.end(now, index, DisconnectReason::Logout, ""),
                Event::Fault(fault) => self.end(now, index, DisconnectReason::Fault, &fault.to_string()),
            }
            at += taken.len;
        }
        if let Some(conn) = self.conn(index) {
            inbox.drain(..at);
            conn.inbox = inbox;
        }
    }

    /// Ends a connection, and sends the reason.
    fn end(&mut self, now: Nanos, index: usize, reason: DisconnectReason, why: &str) {
        if self.part_fix(now, index, reason, why) {
            return;
        }
        self.leave(now, index, reason, why);
        if let Some(conn) = self.conn(index).filter(|conn| !conn.is_open() && !conn.is_over()) {
            let shakes_hands = std::mem::take(&mut conn.shakes_hands) && reason == DisconnectReason::Broken;
            let why = if shakes_hands { "its TLS handshake was not over in time" } else { why };
            self.tell(now, index, Audited::NoLogin, why);
        }
        if let Some(conn) = self.conn(index)
            && !conn.is_over()
        {
            if !why.is_empty() && conn.waiting() < OUT_MAX {
                conn.protocol.last_words(why, &mut conn.out);
            }
            conn.protocol.close();
            conn.phase = Phase::Over { since: now };
        }
    }

    /// Writes a line of the audit log about a connection.
    fn tell(&mut self, now: Nanos, index: usize, what: Audited, why: &str) {
        if let Some((_, conn)) = self.conns.get(index).and_then(Option::as_ref) {
            self.audit.tell(&mut self.counts, now, what, conn.client(), why);
        }
    }

    /// A connection has sent bytes of another protocol: the owner closes it.
    pub fn on_fault(&mut self, now: Nanos, index: usize, what: &str) {
        self.end(now, index, DisconnectReason::Fault, what);
    }

    /// The TLS handshake of a connection begins or ends.
    pub fn on_handshake(&mut self, index: usize, goes_on: bool) {
        if let Some(conn) = self.conn(index) {
            conn.shakes_hands = goes_on;
        }
    }

    /// A logged-in client has left: its disconnect is stamped when its grace has passed.
    fn leave(&mut self, now: Nanos, index: usize, reason: DisconnectReason, why: &str) {
        let Some((_, conn)) = self.conns.get(index).and_then(Option::as_ref) else { return };
        let (Phase::Open { publisher, nonce }, Some(user)) = (&conn.phase, &conn.user) else { return };
        let graced = matches!(
            reason,
            DisconnectReason::Broken
                | DisconnectReason::Silent
                | DisconnectReason::Slow
                | DisconnectReason::Fault
        );
        let grace_ns = if graced { Nanos::from(user.grace_ms) * 1_000_000 } else { 0 };
        let leaving = Leaving {
            publisher: *publisher,
            nonce: *nonce,
            seen: true,
            fenced: false,
            closing: false,
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
        self.leaving.push(leaving);
        self.forget(index);
    }

    fn forget(&mut self, index: usize) {
        self.by_publisher.retain(|_, served| *served != index);
        self.subscribed.retain(|_, hearers| {
            if !planted(Mutation::HearerStays) {
                hearers.remove(&index);
            }
            !hearers.is_empty()
        });
        self.ready.remove(&index);
    }

    /// The users' file was read again.
    pub fn set_users(&mut self, now: Nanos, users: Users) {
        self.users = users;
        self.list_fix_users();
        for index in 0..self.conns.len() {
            let gone = self.conns[index].as_ref().is_some_and(|(_, conn)| {
                let known = conn.user.as_ref().map(|user| self.users.get(&user.name));
                known.is_some_and(|user| user.is_none_or(|user| user.disabled))
            });
            if gone {
                self.counts.cut += 1;
                self.end(now, index, DisconnectReason::Disabled, "this user was disabled");
            }
        }
    }

    /// The gateway stops: all clients leave, and log in elsewhere; then its name is closed.
    pub fn stop(&mut self, now: Nanos) {
        self.own.stops = true;
        for index in 0..self.conns.len() {
            self.end(now, index, DisconnectReason::Stopped, "the gateway stops: log in at another one");
        }
    }

    /// Whether every disconnect was delivered, and the end of a gateway that stops.
    pub fn has_left(&self) -> bool {
        let parts = self.conns.iter().flatten().any(|(_, conn)| conn.is_parting());
        self.leaving.is_empty() && !parts && !(self.own.stops && self.own.id.is_some())
    }

    /// Does what is due: sends, timers, disconnects. Connections with something to send or to close are added
    /// to `touched`.
    pub fn turn(&mut self, now: Nanos, stream: &mut impl GatewayStream, touched: &mut Vec<usize>) {
        self.work = TurnWork::default();
        self.leader.report(now, &mut self.conns, &mut self.ready);
        for index in work::in_turn(std::mem::take(&mut self.ready), self.filled) {
            if self.work.is_over() {
                self.ready.insert(index);
                continue;
            }
            self.work.begin_client();
            self.filled = index;
            self.fill(now, index);
            touched.push(index);
        }
        if now < self.scan_at {
            return;
        }
        self.scan_at = now + self.limits.scan_ns;
        for index in 0..self.conns.len() {
            self.scan(now, stream, index);
            touched.push(index);
        }
        stamp_disconnects(now, stream, &mut self.leaving, &self.clients);
        self.turn_own(now, stream);
        self.reap(now, stream);
    }

    /// When [`Gateway::turn`] is due next without an event.
    pub fn next_deadline(&self) -> Nanos {
        if self.ready.is_empty() { self.scan_at } else { 0 }
    }
}
