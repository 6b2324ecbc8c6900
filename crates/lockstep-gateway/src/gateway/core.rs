//! The gateway without its sockets: connections, logins, the stream in and out.
//!
//! ```text
//!  client bytes ─▶ soup ─▶ login: user ─▶ password ─▶ open entry ─ delivered ─▶ accepted at its number
//!                     └──▶ message ─▶ publisher's window ─▶ stream ─▶ ledger ─▶ receivers ─▶ soup ─▶ bytes
//! ```
//! The owner passes in bytes, events of its two handles and results of password checks, all with `now`; and
//! takes out bytes, and the passwords to check. A connection's index is used again once it is closed, so each
//! connection has a number too.

mod checks;
mod connections;
mod departures;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod guessers;
mod leaderless;
mod login;
mod lost;
#[cfg(test)]
mod model;
mod opens;
mod own;
mod sessions;
mod settings;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod work;

use super::allowance::Allowance;
use super::audit::Audited;
use super::conn::Phase;
use super::ledger::Ledger;
use super::pending::Pending;
use super::protocol::Protocol;
use super::users::Users;
use crate::fix::session::{FixEvent, FixSession, FixSessionLimits};
pub use checks::Check;
use checks::PasswordChecks;
use leaderless::FollowedLeader;
use lockstep_core::engine::clients::{Clients, DisconnectReason};
use lockstep_core::engine::ports::Backlog;
use lockstep_core::engine::publisher::PublishError;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use lost::LostGateways;
use opens::PendingOpens;
use own::{GatewayName, OwnTurn};
use sessions::Sessions;
pub use settings::{GatewayCounts, GatewayError, GatewayLimits};
use soupbintcp::{Event, Server, Text};
use state::StreamState;
use std::net::SocketAddr;
use work::TurnReader;

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

/// The gateway: see the module.
#[derive(Debug)]
pub struct Gateway<B> {
    limits: GatewayLimits,
    users: Users,
    sessions: Sessions,
    state: StreamState<B>,
    /// Stamped events that are not final yet.
    pending: Pending,
    /// The exclusive bound of the final events.
    final_next: Seq,
    /// Reads the ledger for the clients of the present turn.
    reader: TurnReader,
    /// The rate of accepted connections.
    allowance: Allowance,
    opens: PendingOpens,
    checks: PasswordChecks,
    own: GatewayName,
    /// Whether its handles follow a leader: the owner sets it before each turn.
    pub leader: FollowedLeader,
    lost: LostGateways,
    scan_at: Nanos,
    failed: Option<GatewayError>,
}

impl<B: Backlog> Gateway<B> {
    /// The gateway of this name, which must be unique among the cluster's gateways. It has no connections.
    pub fn new(name: &str, limits: GatewayLimits, users: Users, ledger: Ledger<B>) -> Self {
        Self {
            checks: PasswordChecks::new(limits.lockout),
            limits,
            users,
            sessions: Sessions::default(),
            state: StreamState::new(ledger),
            pending: Pending::default(),
            final_next: 1,
            reader: TurnReader::default(),
            allowance: Allowance::new(0),
            opens: PendingOpens::default(),
            own: GatewayName::new(name),
            leader: FollowedLeader::default(),
            lost: LostGateways::default(),
            scan_at: 0,
            failed: None,
        }
    }

    /// From now on these limits hold for new connections, logins and failures. The gateway's subscription,
    /// and its heartbeats to other gateways, stay as they are.
    pub fn set_limits(&mut self, limits: GatewayLimits) {
        let GatewayLimits { delivery, heartbeat_ns, lost_heartbeats, .. } = self.limits;
        self.checks.locks.set_times(limits.lockout);
        self.limits = GatewayLimits { delivery, heartbeat_ns, lost_heartbeats, ..limits };
    }

    /// The gateway's own clock, for the timestamps of FIX.
    pub fn set_clock(&mut self, wall: Nanos) {
        self.state.clocks.gateway = wall;
    }

    /// Whether logins can be decided: the stream was read, our own name is open, and a leader is followed.
    pub fn is_ready(&self) -> bool {
        self.leader.follows && self.state.caught_up && self.own.id.is_some()
    }

    /// The clients in the stream.
    pub fn clients(&self) -> &Clients {
        &self.state.clients
    }

    /// The messages in the stream for its clients.
    pub fn ledger(&self) -> &Ledger<B> {
        &self.state.ledger
    }

    /// The number of logged-in connections.
    pub fn open_count(&self) -> usize {
        self.sessions.open_count()
    }

    /// The counts so far. Only the owner knows the gauges of its sockets.
    pub fn counts(&self) -> GatewayCounts {
        GatewayCounts { ready: u64::from(self.is_ready()), ..self.sessions.counts }
    }

    /// The gateway's id, while its name is open.
    pub fn own(&self) -> Option<PublisherId> {
        self.own.id
    }

    /// Whether the gateway listens for another one of the same name.
    pub fn is_listening(&self) -> bool {
        self.own.is_listening()
    }

    /// Why the gateway must end, if it must.
    pub fn take_failure(&mut self) -> Option<GatewayError> {
        self.failed.take()
    }

    // ------------------------------------------------------------------------ connections

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
        self.sessions.accept(now, peer, Protocol::Soup(server), &self.limits)
    }

    /// A FIX client has connected, to the gateway with this CompID: as [`Gateway::accept`].
    pub fn accept_fix(&mut self, now: Nanos, peer: SocketAddr, comp_id: &str) -> Option<(usize, u64)> {
        let limits = FixSessionLimits { login_ns: self.limits.soup.login_ns, ..self.limits.fix };
        let session = Protocol::Fix(Box::new(FixSession::new(now, limits, comp_id)));
        self.sessions.accept(now, peer, session, &self.limits)
    }

    /// Closes a connection that never became a client's, such as a tunnel's without a header.
    pub fn on_turned_away(&mut self, now: Nanos, peer: SocketAddr, why: &str) {
        self.sessions.audit_closed(now, Audited::NoLogin, ("", peer.ip()), why);
    }

    /// Bytes have arrived; they are taken as far as possible.
    pub fn on_bytes(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize, bytes: &[u8]) {
        if let Some(conn) = self.sessions.conns.get_mut(index)
            && !conn.is_over()
        {
            conn.inbox.extend_from_slice(bytes);
            (conn.has_spoken, conn.shakes_hands) = (true, false);
            self.take(now, stream, index);
        }
    }

    /// Whether the owner should read this connection's socket.
    pub fn wants(&self, index: usize) -> bool {
        self.sessions.conns.get(index).is_some_and(|conn| !conn.blocked && !conn.is_over())
    }

    /// The bytes to send.
    pub fn out(&self, index: usize) -> &[u8] {
        self.sessions.conns.get(index).map_or(&[], |conn| conn.unsent())
    }

    /// `len` of these bytes were sent.
    pub fn on_sent(&mut self, now: Nanos, index: usize, len: usize) {
        if let Some(conn) = self.sessions.conns.get_mut(index) {
            let all = conn.waiting();
            conn.on_sent(now, if planted(Mutation::PartialSendLost) { all } else { len });
            if conn.waiting() < OUT_MAX / 2 {
                self.sessions.conns.mark_ready(index);
            }
        }
    }

    /// The socket accepts nothing more: its client has closed it without reading everything. The kernel still
    /// has what the client had sent before, so the owner reads on until the socket ends, and then closes it.
    pub fn on_output_broken(&mut self, index: usize) {
        if let Some(conn) = self.sessions.conns.get_mut(index) {
            conn.drop_output();
        }
    }

    /// Whether the connection must be closed now.
    pub fn is_done(&self, now: Nanos, index: usize) -> bool {
        match self.sessions.conns.get(index) {
            Some(conn) => match conn.phase {
                Phase::Over { since } => conn.waiting() == 0 || now >= since + LINGER_NS,
                _ => false,
            },
            None => true,
        }
    }

    /// The socket is closed: by the client, or by the owner on the gateway's request.
    pub fn on_closed(&mut self, now: Nanos, index: usize) {
        if let Some(number) = self.sessions.on_closed(now, index) {
            self.checks.on_closed(number);
        }
    }

    /// A connection has sent bytes of another protocol: the owner closes it.
    pub fn on_fault(&mut self, now: Nanos, index: usize, what: &str) {
        self.sessions.end(now, index, DisconnectReason::Fault, what);
    }

    /// The TLS handshake of a connection begins or ends.
    pub fn on_handshake(&mut self, index: usize, goes_on: bool) {
        if let Some(conn) = self.sessions.conns.get_mut(index) {
            conn.shakes_hands = goes_on;
        }
    }

    // ------------------------------------------------------------------------ what clients send

    /// Takes the bytes in a connection's inbox.
    fn take(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Some(conn) = self.sessions.conns.get_mut(index) else { return };
        let mut inbox = std::mem::take(&mut conn.inbox);
        conn.blocked = false;
        let at = if conn.protocol.is_fix() {
            self.take_fix(now, stream, index, &inbox)
        } else {
            self.take_soup(now, stream, index, &inbox)
        };
        if let Some(conn) = self.sessions.conns.get_mut(index) {
            inbox.drain(..at.min(inbox.len()));
            conn.inbox = inbox;
        }
    }

    /// Takes packets of SoupBinTCP, as far as possible. Returns how many bytes were taken.
    fn take_soup(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        index: usize,
        inbox: &[u8],
    ) -> usize {
        let mut at = 0;
        while let Some(conn) = self.sessions.conns.get_mut(index)
            && !conn.is_over()
        {
            let Some(server) = conn.protocol.soup() else { break };
            let taken = server.on_bytes(now, &inbox[at..]);
            let Some(event) = taken.event else { return at + taken.len };
            match event {
                Event::Message(message) => {
                    if !self.sessions.publish(now, stream, (index, message), &self.state) {
                        self.sessions.counts.blocked += 1;
                        if let Some(conn) = self.sessions.conns.get_mut(index) {
                            conn.blocked = true;
                        }
                        return if planted(Mutation::BlockedForgotten) { inbox.len() } else { at };
                    }
                }
                Event::Login(request) => self.on_login(now, index, &request),
                Event::Debug(text) => tracing::debug!(text = %Text(text), "a client says"),
                Event::Logout => self.sessions.end(now, index, DisconnectReason::Logout, ""),
                Event::Fault(fault) => {
                    self.sessions.end(now, index, DisconnectReason::Fault, &fault.to_string());
                }
            }
            at += taken.len;
        }
        at
    }

    /// As [`take_soup`](Self::take_soup), for messages of FIX.
    fn take_fix(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize, inbox: &[u8]) -> usize {
        let mut at = 0;
        while at < inbox.len() && !self.sessions.is_blocked_fix(now, stream, index, &self.state) {
            let next = self.sessions.next_fix(now, index, &inbox[at..], &self.state);
            let Some((len, event)) = next else { break };
            at += len;
            match event {
                None => break,
                Some(FixEvent::Logon(logon)) => self.on_fix_logon(now, index, *logon),
                Some(FixEvent::Taken { is_answered }) => self.sessions.on_taken_fix(index, is_answered),
                Some(FixEvent::Cut(why)) => self.sessions.end(now, index, DisconnectReason::Fault, &why),
            }
        }
        self.sessions.publish_fix(now, stream, index, &self.state);
        at
    }

    // ------------------------------------------------------------------------ settings and time

    /// The users' file was read again.
    pub fn set_users(&mut self, now: Nanos, users: Users) {
        self.users = users;
        self.state.list_fix_users(&self.users);
        for index in self.sessions.conns.indexes() {
            let gone = self.sessions.conns.get(index).is_some_and(|conn| {
                let known = conn.user.as_ref().map(|user| self.users.get(&user.name));
                known.is_some_and(|user| user.is_none_or(|user| user.disabled))
            });
            if gone {
                self.sessions.cut(now, index, DisconnectReason::Disabled, "this user was disabled");
            }
        }
    }

    /// The gateway stops: all clients leave, and log in elsewhere; then its name is closed.
    pub fn stop(&mut self, now: Nanos) {
        self.own.stops = true;
        for index in self.sessions.conns.indexes() {
            let why = "the gateway stops: log in at another one";
            self.sessions.end(now, index, DisconnectReason::Stopped, why);
        }
    }

    /// Whether every disconnect was delivered, and the end of a gateway that stops.
    pub fn has_left(&self) -> bool {
        self.sessions.have_left() && !(self.own.stops && self.own.id.is_some())
    }

    /// Does what is due: sends, timers, disconnects. Connections with something to send or to close are added
    /// to `touched`.
    pub fn turn(&mut self, now: Nanos, stream: &mut impl GatewayStream, touched: &mut Vec<usize>) {
        self.reader.begin_turn();
        self.leader.report(now, &mut self.sessions.conns);
        for index in self.sessions.conns.take_ready() {
            if self.reader.is_over() {
                self.sessions.conns.mark_ready(index);
                continue;
            }
            self.reader.begin_client();
            self.sessions.conns.begin_serving(index);
            if let Err(error) = self.sessions.fill(now, index, &self.state, &mut self.reader) {
                self.failed = Some(GatewayError::Backlog(error));
            }
            touched.push(index);
        }
        if now < self.scan_at {
            return;
        }
        self.scan_at = now + self.limits.scan_ns;
        for index in self.sessions.conns.indexes() {
            self.scan(now, stream, index);
            touched.push(index);
        }
        self.sessions.departures.stamp(now, stream, &self.state.clients);
        self.turn_own(now, stream);
        self.reap(now, stream);
    }

    /// The timers of a connection.
    fn scan(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Some(conn) = self.sessions.conns.get(index).filter(|conn| !conn.is_over()) else { return };
        let stall_ns = self.limits.stall_ns;
        let is_slow = conn.is_open() && conn.waiting() > 0 && now >= conn.stalled_at + stall_ns;
        let takes_again = if conn.protocol.is_fix() {
            self.scan_deferred(now, index);
            self.sessions.turn_fix(now, stream, (index, is_slow), &self.state)
        } else {
            self.sessions.turn_soup(now, index, is_slow)
        };
        if takes_again {
            self.take(now, stream, index);
        }
    }

    /// Opens the gateway's own name, sends a heartbeat, or closes the name: whatever is due.
    fn turn_own(&mut self, now: Nanos, stream: &mut impl GatewayStream) {
        let turn = OwnTurn {
            may_open: self.state.caught_up && self.failed.is_none(),
            may_close: self.sessions.departures.is_empty() && self.opens.is_empty(),
            heartbeat_ns: self.limits.heartbeat_ns,
            clients: &self.state.clients,
        };
        self.own.turn(now, stream, &turn, &mut self.opens);
    }

    /// When [`Gateway::turn`] is due next without an event.
    pub fn next_deadline(&self) -> Nanos {
        if self.sessions.conns.has_ready() { 0 } else { self.scan_at }
    }

    /// Panics with the rule that is broken. All rules hold at any time.
    pub fn invariants(&self) {
        self.sessions.invariants(self.limits.clients_max);
        self.checks.invariants(self.limits.checks_max);
        self.reader.invariants();
        self.pending.invariants();
    }
}
