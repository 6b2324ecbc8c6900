//! The server's side of one connection (SoupBinTCP 4.1 "Protocol Flow").
//!
//! The owner hands over what came ([`Server::on_bytes`], until it takes nothing more), answers a login when
//! it has decided, writes through the machine into its own buffer, and asks [`Server::on_timer`] when
//! [`Server::next_deadline`] has come, after it has read what is there. Once [`Server::ended`] says why, it
//! sends what is left and closes.
//!
//! Before the login's answer a client may send debug packets, heartbeats (the specification has them after
//! it; some clients begin early) and its logout. Nothing of this prolongs the time that a login may take.

use super::packet::{LoginRequest, Packet, RejectReason, SoupError, Timeout, data_header, kind};
use crate::field::{Session, shown};
use std::fmt;

const SECOND: u64 = 1_000_000_000;
/// Told to a client whose login is being decided: see `waits_at`.
const LOGIN_WAITS: &[u8] = b"your login is being decided: wait";

/// The timers of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerLimits {
    /// From the connection to a whole login request; "typically" 30 s ("Protocol Flow").
    pub login_ns: u64,
    /// Silence after which a client is gone, where it names no time itself; 15 s ("Heartbeats").
    pub silence_ns: u64,
    /// Least silence that a client of 4.1 may name: a second and a half lets it live by one heartbeat a
    /// second.
    pub silence_ns_min: u64,
    /// A heartbeat follows when nothing was sent for longer than this; 1 s ("Server Heartbeat").
    pub heartbeat_ns: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            login_ns: 30 * SECOND,
            silence_ns: 15 * SECOND,
            silence_ns_min: SECOND + SECOND / 2,
            heartbeat_ns: SECOND,
        }
    }
}

/// Where the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Connected; the login request is not whole yet.
    AwaitingLogin,
    /// The owner decides about the login. It takes the time that it needs, and meanwhile the client is told
    /// that it waits, by the one packet that may stand before the login's answer: text for humans ("Debug").
    LoginPending,
    /// Logged in.
    Open,
    /// Over: close the connection.
    Ended(End),
}

/// Why a connection is over. The first reason stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The client asked for it.
    Logout,
    /// No whole login request in time, whatever else came.
    LoginLate,
    /// Nothing came for as long as the client may be silent.
    Silent,
    /// The login was refused.
    Rejected(RejectReason),
    /// The session is over; the client was told.
    EndOfSession,
    /// The client broke the protocol.
    Fault(Fault),
    /// The owner closed the connection, or found it closed.
    Closed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logout => f.write_str("the client logged out"),
            Self::LoginLate => f.write_str("no login request in time: the client must send one at once"),
            Self::Silent => f.write_str("the client was silent: it must send a heartbeat every second"),
            Self::Rejected(reason) => write!(f, "login rejected: {reason}"),
            Self::EndOfSession => f.write_str("the session is over"),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Closed => f.write_str("the connection was closed"),
        }
    }
}

/// What a client did against the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Bytes that are no packet.
    Packet(SoupError),
    /// A message before its login was accepted.
    MessageBeforeLogin,
    /// A login request behind another.
    SecondLogin,
    /// A packet that only servers send.
    Direction {
        /// Its letter.
        kind: u8,
    },
    /// Bytes behind a logout request.
    AfterLogout,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(error) => write!(f, "from the client: {error}"),
            Self::MessageBeforeLogin => {
                f.write_str("a message before the login was accepted: wait for Login Accepted")
            }
            Self::SecondLogin => f.write_str("a second login request: one connection, one login"),
            Self::Direction { kind } => {
                let letter = char::from(shown(*kind));
                write!(f, "packet {letter:?} from a client: only servers send it")
            }
            Self::AfterLogout => f.write_str("bytes behind a logout request: log out last"),
        }
    }
}

impl std::error::Error for Fault {}

/// What the owner asked for and the machine refuses; nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Not in this state.
    State(State),
    /// It is no packet.
    Packet(SoupError),
    /// Message numbers begin at 1 and end below 2^64.
    Number,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => {
                write!(f, "not while {state:?}: messages go out between the login accepted and the end")
            }
            Self::Packet(error) => write!(f, "to the client: {error}"),
            Self::Number => {
                f.write_str("message numbers begin at 1 and end below 2^64: begin another session")
            }
        }
    }
}

impl std::error::Error for Refused {}

impl From<SoupError> for Refused {
    fn from(error: SoupError) -> Self {
        Self::Packet(error)
    }
}

/// What came of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// Decide, and call [`Server::accept`] or [`Server::reject`].
    Login(LoginRequest),
    /// An unsequenced message.
    Message(&'a [u8]),
    /// Text for humans: show it as [`Text`](crate::Text).
    Debug(&'a [u8]),
    /// The connection has ended by the client's wish.
    Logout,
    /// The connection has ended by the client's fault, or had ended before ([`Fault::AfterLogout`]).
    Fault(Fault),
}

/// What [`Server::on_bytes`] took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken<E> {
    /// Bytes to drop from the front.
    pub len: usize,
    /// Call again with the rest as long as there is one; none: more bytes are needed.
    pub event: Option<E>,
}

/// With which number to begin, for a stream that has the messages from `first` up to, and without, `next`.
/// The specification says what 0 asks for and nothing of numbers that are not there. Here 0 begins with what
/// comes next, so that nobody gets a message twice; a number ahead of the stream, or no longer kept, is
/// refused, as another one in its place would be counted as what was asked for.
pub fn begin_at(requested: u64, first: u64, next: u64) -> Result<u64, RejectReason> {
    match requested {
        0 => Ok(next),
        seq if first <= seq && seq <= next => Ok(seq),
        _ => Err(RejectReason::SessionNotAvailable),
    }
}

/// One connection's machine.
#[derive(Clone, Debug)]
pub struct Server {
    limits: ServerLimits,
    state: State,
    since: u64,
    received_at: u64,
    sent_at: u64,
    silence_ns: u64,
    next_seq: u64,
    reported_after_logout: bool,
}

impl Server {
    /// A client has connected.
    pub fn new(now: u64, limits: ServerLimits) -> Self {
        let silence_ns = limits.silence_ns;
        let (state, reported_after_logout) = (State::AwaitingLogin, false);
        Self {
            limits,
            state,
            since: now,
            received_at: now,
            sent_at: now,
            silence_ns,
            next_seq: 0,
            reported_after_logout,
        }
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it is over, if it is.
    pub fn ended(&self) -> Option<End> {
        match self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Number of the next sequenced message; 0 before the login is accepted.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The silence that ends this connection: after the login the client's own, not below the minimum.
    pub fn silence_ns(&self) -> u64 {
        self.silence_ns
    }

    /// Takes the first packet of what came and was not taken yet; heartbeats are taken along. A packet is a
    /// sign of life once it is whole: what comes behind a length that is too long is none.
    pub fn on_bytes<'a>(&mut self, now: u64, bytes: &'a [u8]) -> Taken<Event<'a>> {
        let mut len = 0;
        let mut event = None;
        while event.is_none() {
            let rest = &bytes[len..];
            if let State::Ended(end) = self.state {
                // Told once: whatever else is offered is dropped without a word.
                let tells = end == End::Logout && !rest.is_empty() && !self.reported_after_logout;
                self.reported_after_logout |= tells;
                len = bytes.len();
                event = tells.then_some(Event::Fault(Fault::AfterLogout));
                break;
            }
            match Packet::decode(rest) {
                Ok(None) => break,
                Ok(Some((packet, taken))) => {
                    len += taken;
                    self.received_at = self.received_at.max(now);
                    event = self.on_packet(packet).unwrap_or_else(|fault| Some(self.fault(fault)));
                }
                Err(error) => {
                    len = bytes.len();
                    event = Some(self.fault(Fault::Packet(error)));
                }
            }
        }
        Taken { len, event }
    }

    fn fault<'a>(&mut self, fault: Fault) -> Event<'a> {
        self.end(End::Fault(fault));
        Event::Fault(fault)
    }

    fn end(&mut self, end: End) {
        if self.ended().is_none() {
            self.state = State::Ended(end);
        }
    }

    fn on_packet<'a>(&mut self, packet: Packet<'a>) -> Result<Option<Event<'a>>, Fault> {
        match (packet, self.state) {
            (Packet::Debug(text), _) => Ok(Some(Event::Debug(text))),
            (Packet::ClientHeartbeat, _) => Ok(None),
            (Packet::LogoutRequest, _) => {
                self.end(End::Logout);
                Ok(Some(Event::Logout))
            }
            (Packet::LoginRequest(request), State::AwaitingLogin) => {
                self.state = State::LoginPending;
                self.sent_at = self.sent_at.max(self.received_at);
                if let Timeout::Ms(ms) = request.timeout {
                    self.silence_ns = (u64::from(ms) * 1_000_000).max(self.limits.silence_ns_min);
                }
                Ok(Some(Event::Login(request)))
            }
            (Packet::LoginRequest(_), _) => Err(Fault::SecondLogin),
            (Packet::Unsequenced(message), State::Open) => Ok(Some(Event::Message(message))),
            (Packet::Unsequenced(_), _) => Err(Fault::MessageBeforeLogin),
            (packet, _) => Err(Fault::Direction { kind: packet.kind() }),
        }
    }

    fn only(&self, allowed: State) -> Result<(), Refused> {
        if self.state == allowed { Ok(()) } else { Err(Refused::State(self.state)) }
    }

    fn write(&mut self, now: u64, packet: Packet<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
        packet.append(out)?;
        self.sent_at = self.sent_at.max(now);
        Ok(())
    }

    /// The login holds: the session, and the number of the message that is sent next. That number is what
    /// counts, whatever was requested ("Login Accepted"). The client's silence is measured from here.
    pub fn accept(
        &mut self,
        now: u64,
        session: Session,
        next_seq: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        self.only(State::LoginPending)?;
        if next_seq == 0 {
            return Err(Refused::Number);
        }
        self.write(now, Packet::LoginAccepted { session, next_seq }, out)?;
        self.received_at = self.received_at.max(now);
        (self.state, self.next_seq) = (State::Open, next_seq);
        Ok(())
    }

    /// The login is refused, and the connection over.
    pub fn reject(&mut self, reason: RejectReason, out: &mut Vec<u8>) -> Result<(), Refused> {
        self.only(State::LoginPending)?;
        Packet::LoginRejected(reason).append(out)?;
        self.end(End::Rejected(reason));
        Ok(())
    }

    /// Sends a sequenced message; its number.
    pub fn sequenced(&mut self, now: u64, message: &[u8], out: &mut Vec<u8>) -> Result<u64, Refused> {
        let header = self.sequenced_header(now, message.len())?;
        out.extend_from_slice(&header);
        out.extend_from_slice(message);
        Ok(self.next_seq - 1)
    }

    /// The same for an owner who sends the message from where it lies: it is counted, and must follow these
    /// bytes.
    pub fn sequenced_header(&mut self, now: u64, message_len: usize) -> Result<[u8; 3], Refused> {
        self.only(State::Open)?;
        let after = self.next_seq.checked_add(1).ok_or(Refused::Number)?;
        let header = data_header(kind::SEQUENCED, message_len)?;
        self.next_seq = after;
        self.sent_at = self.sent_at.max(now);
        Ok(header)
    }

    /// Sends a message that has no number ("Unsequenced Data", 4.0): it may be lost with the connection.
    pub fn unsequenced(&mut self, now: u64, message: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        self.only(State::Open)?;
        self.write(now, Packet::Unsequenced(message), out)
    }

    /// Sends text for humans, at any time before the end.
    pub fn debug(&mut self, now: u64, text: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
        match self.state {
            State::Ended(_) => Err(Refused::State(self.state)),
            _ => self.write(now, Packet::Debug(text.as_bytes()), out),
        }
    }

    /// The session is over for good ("End of Session"); so is the connection.
    pub fn end_session(&mut self, now: u64, out: &mut Vec<u8>) -> Result<(), Refused> {
        self.only(State::Open)?;
        self.write(now, Packet::EndOfSession, out)?;
        self.end(End::EndOfSession);
        Ok(())
    }

    /// The owner closes, or has seen that the client did.
    pub fn close(&mut self) {
        self.end(End::Closed);
    }

    /// When [`Server::on_timer`] has something to do; `u64::MAX` if never.
    pub fn next_deadline(&self) -> u64 {
        match self.state {
            State::AwaitingLogin => self.since.saturating_add(self.limits.login_ns),
            State::Open => self.silent_at().min(self.heartbeat_at()),
            State::LoginPending => self.waits_at(),
            State::Ended(_) => u64::MAX,
        }
    }

    fn silent_at(&self) -> u64 {
        self.received_at.saturating_add(self.silence_ns)
    }

    /// MORE than the interval must have passed.
    fn heartbeat_at(&self) -> u64 {
        self.sent_at.saturating_add(self.limits.heartbeat_ns).saturating_add(1)
    }

    /// When a client whose login is being decided needs a sign of life: three times in the silence that it
    /// bears. Not with each heartbeat, for clients in the field take a Debug before the answer for a refusal.
    fn waits_at(&self) -> u64 {
        self.sent_at.saturating_add(self.limits.heartbeat_ns.max(self.silence_ns / 3)).saturating_add(1)
    }

    /// Ends what is late or silent, and appends a heartbeat if one is due. Why the connection is over, if it
    /// is.
    pub fn on_timer(&mut self, now: u64, out: &mut Vec<u8>) -> Option<End> {
        match self.state {
            State::AwaitingLogin if now >= self.next_deadline() => self.end(End::LoginLate),
            State::Open if now >= self.silent_at() => self.end(End::Silent),
            State::LoginPending if now >= self.waits_at() => {
                let _ = self.write(now, Packet::Debug(LOGIN_WAITS), out); // it is short
            }
            // A heartbeat is always a packet.
            State::Open if now >= self.heartbeat_at() => {
                let _ = self.write(now, Packet::ServerHeartbeat, out);
            }
            _ => {}
        }
        self.ended()
    }
}
