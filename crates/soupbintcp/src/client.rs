//! The client's side of one connection (SoupBinTCP 4.1 "Protocol Flow").
//!
//! It logs in, counts the sequenced messages, keeps the connection alive and notices when the server does
//! not. For the next connection [`Client::next_login`] says what to log in with: the same session from the
//! next number, so that a broken connection loses and doubles nothing.

use super::packet::{LoginRequest, Packet, RejectReason, SoupError};
use super::server::Taken;
use crate::field::{Session, shown};
use std::fmt;

const SECOND: u64 = 1_000_000_000;

/// The timers of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// From the login request to its answer; 10 s. No version names a number.
    pub answer_ns: u64,
    /// Silence after which the server is gone; 15 s, as the server bears it. No version names a number.
    pub silence_ns: u64,
    /// A heartbeat follows when nothing was sent for longer than this; 1 s ("Client Heartbeat").
    pub heartbeat_ns: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { answer_ns: 10 * SECOND, silence_ns: 15 * SECOND, heartbeat_ns: SECOND }
    }
}

/// Where the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientState {
    /// Connected; nothing was sent.
    Fresh,
    /// The login's answer is awaited.
    LoginSent,
    /// Logged in.
    Open,
    /// Over: close the connection.
    Ended(ClientEnd),
}

/// Why a connection is over. The first reason stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEnd {
    /// The login was refused: the same one will be refused again.
    Rejected(RejectReason),
    /// The session is over for good.
    EndOfSession,
    /// The login was not answered in time.
    AnswerLate,
    /// The server was silent for too long.
    Silent,
    /// The server broke the protocol.
    Fault(ClientFault),
    /// We logged out.
    Logout,
    /// The owner closed the connection, or found it closed.
    Closed,
}

impl fmt::Display for ClientEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(reason) => write!(f, "login rejected: {reason}"),
            Self::EndOfSession => {
                f.write_str("the session is over: log in with a blank session for the next")
            }
            Self::AnswerLate => f.write_str("no answer to the login: is this a SoupBinTCP server?"),
            Self::Silent => f.write_str("the server was silent: connect again and resume"),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Logout => f.write_str("logged out"),
            Self::Closed => f.write_str("the connection was closed: connect again and resume"),
        }
    }
}

/// What a server did against the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientFault {
    /// Bytes that are no packet.
    Packet(SoupError),
    /// A packet before the login's answer that is neither debug nor heartbeat.
    BeforeAnswer {
        /// Its letter.
        kind: u8,
    },
    /// A second answer to the one login.
    SecondAnswer,
    /// A packet that only clients send; some servers log out at their end instead of ending the session.
    Direction {
        /// Its letter.
        kind: u8,
    },
    /// Message numbers begin at 1 and end below 2^64.
    Number,
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(error) => write!(f, "from the server: {error}"),
            Self::BeforeAnswer { kind } => {
                let letter = char::from(shown(*kind));
                write!(f, "packet {letter:?} before the login's answer: the server must answer first")
            }
            Self::SecondAnswer => f.write_str("a second answer to one login: connect again"),
            Self::Direction { kind } => {
                let letter = char::from(shown(*kind));
                write!(f, "packet {letter:?} from a server: only clients send it; connect again")
            }
            Self::Number => f.write_str("a message number of 0 or beyond u64: numbers begin at 1"),
        }
    }
}

impl std::error::Error for ClientFault {}

/// What the owner asked for and the machine refuses; nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientRefused {
    /// Not in this state.
    State(ClientState),
    /// It is no packet.
    Packet(SoupError),
}

impl fmt::Display for ClientRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "not while {state:?}: log in first, and write before the end"),
            Self::Packet(error) => write!(f, "to the server: {error}"),
        }
    }
}

impl std::error::Error for ClientRefused {}

impl From<SoupError> for ClientRefused {
    fn from(error: SoupError) -> Self {
        Self::Packet(error)
    }
}

/// How the server's number stands to the requested one. The server's is what counts; the specification does
/// not say what a server does that is asked for numbers which it does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// As requested, or any number was.
    AsRequested,
    /// Below: what follows up to the requested number was had before, or is of another stream.
    Below,
    /// Above: what lies between will not come.
    Above,
}

/// What came of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEvent<'a> {
    /// Logged in.
    Accepted {
        /// As the server wrote it; blank from servers that echo a blank request.
        session: Session,
        /// Number of the message that comes next.
        next_seq: u64,
        /// What this is of the requested number.
        position: Position,
        /// Another session than the requested one.
        is_other_session: bool,
    },
    /// A sequenced message.
    Message {
        /// Its number, as counted.
        seq: u64,
        /// May be empty.
        bytes: &'a [u8],
    },
    /// A message without a number.
    Unsequenced(&'a [u8]),
    /// Text for humans: show it as [`Text`](crate::Text).
    Debug(&'a [u8]),
    /// The connection has ended; nothing more comes.
    Ended(ClientEnd),
}

/// When bytes came last. Bytes that were offered before are no sign of life.
#[derive(Clone, Copy, Debug)]
struct LastReceived {
    at: u64,
    /// Bytes that were offered and not taken.
    left: usize,
}

impl LastReceived {
    fn new(at: u64) -> Self {
        Self { at, left: 0 }
    }

    fn on_offered(&mut self, now: u64, len: usize) {
        if len > self.left {
            self.at = self.at.max(now);
        }
        self.left = len;
    }

    fn on_taken(&mut self, len: usize) {
        self.left = self.left.saturating_sub(len);
    }
}

/// One connection's machine.
#[derive(Clone, Debug)]
pub struct Client {
    limits: ClientLimits,
    login: LoginRequest,
    state: ClientState,
    last_received: LastReceived,
    login_at: u64,
    sent_at: u64,
    /// The session once one is known, and the number of the next message in it.
    session: Session,
    next_seq: u64,
}

impl Client {
    /// A connection that will log in like this.
    pub fn new(now: u64, login: LoginRequest, limits: ClientLimits) -> Self {
        let (state, last_received) = (ClientState::Fresh, LastReceived::new(now));
        let (session, next_seq) = (login.session, login.seq);
        Self { limits, login, state, last_received, login_at: now, sent_at: now, session, next_seq }
    }

    /// Where the connection stands.
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// Why it is over, if it is.
    pub fn ended(&self) -> Option<ClientEnd> {
        match self.state {
            ClientState::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// The session; blank as long as none is known.
    pub fn session(&self) -> Session {
        self.session
    }

    /// Number of the next sequenced message; before the login's answer the requested one.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What the next connection logs in with: the session and the number where this one stopped; after the
    /// end of a session the next session from its first message. `None` if the login was refused: somebody
    /// must change it.
    pub fn next_login(&self) -> Option<LoginRequest> {
        match self.state {
            ClientState::Ended(ClientEnd::Rejected(_)) => None,
            ClientState::Ended(ClientEnd::EndOfSession) => {
                Some(LoginRequest { session: Session::BLANK, seq: 1, ..self.login })
            }
            _ => Some(LoginRequest { session: self.session, seq: self.next_seq, ..self.login }),
        }
    }

    fn only(&self, allowed: ClientState) -> Result<(), ClientRefused> {
        if self.state == allowed { Ok(()) } else { Err(ClientRefused::State(self.state)) }
    }

    fn end(&mut self, end: ClientEnd) {
        if self.ended().is_none() {
            self.state = ClientState::Ended(end);
        }
    }

    fn write(&mut self, now: u64, packet: Packet<'_>, out: &mut Vec<u8>) -> Result<(), ClientRefused> {
        packet.append(out)?;
        self.sent_at = self.sent_at.max(now);
        Ok(())
    }

    /// Sends the login request: at once, as servers do not wait long for it.
    pub fn login(&mut self, now: u64, out: &mut Vec<u8>) -> Result<(), ClientRefused> {
        self.only(ClientState::Fresh)?;
        self.write(now, Packet::LoginRequest(self.login), out)?;
        (self.state, self.login_at) = (ClientState::LoginSent, now);
        Ok(())
    }

    /// Sends a message. It has no number and may be lost: the protocol above must make it known again by
    /// itself.
    pub fn unsequenced(&mut self, now: u64, message: &[u8], out: &mut Vec<u8>) -> Result<(), ClientRefused> {
        self.only(ClientState::Open)?;
        self.write(now, Packet::Unsequenced(message), out)
    }

    /// Sends text for humans.
    pub fn debug(&mut self, now: u64, text: &str, out: &mut Vec<u8>) -> Result<(), ClientRefused> {
        match self.state {
            ClientState::Ended(_) => Err(ClientRefused::State(self.state)),
            _ => self.write(now, Packet::Debug(text.as_bytes()), out),
        }
    }

    /// Asks the server to close.
    pub fn logout(&mut self, now: u64, out: &mut Vec<u8>) -> Result<(), ClientRefused> {
        self.only(ClientState::Open)?;
        self.write(now, Packet::LogoutRequest, out)?;
        self.end(ClientEnd::Logout);
        Ok(())
    }

    /// The owner closes, or has seen that the server did.
    pub fn close(&mut self) {
        self.end(ClientEnd::Closed);
    }

    /// Takes the first packet of what came and was not taken yet; heartbeats are taken along. Behind the end
    /// what comes is dropped.
    pub fn on_bytes<'a>(&mut self, now: u64, bytes: &'a [u8]) -> Taken<ClientEvent<'a>> {
        self.last_received.on_offered(now, bytes.len());
        let mut len = 0;
        let mut event = None;
        while event.is_none() {
            if self.ended().is_some() {
                len = bytes.len();
                break;
            }
            let packet = match Packet::decode(&bytes[len..]) {
                Ok(None) => break,
                Ok(Some((packet, taken))) => {
                    len += taken;
                    self.on_packet(packet)
                }
                Err(error) => Err(ClientFault::Packet(error)),
            };
            event = packet.unwrap_or_else(|fault| Some(self.ends(ClientEnd::Fault(fault))));
        }
        self.last_received.on_taken(len);
        Taken { len, event }
    }

    fn ends<'a>(&mut self, end: ClientEnd) -> ClientEvent<'a> {
        self.end(end);
        ClientEvent::Ended(end)
    }

    fn on_packet<'a>(&mut self, packet: Packet<'a>) -> Result<Option<ClientEvent<'a>>, ClientFault> {
        let is_open = self.state == ClientState::Open;
        Ok(match packet {
            Packet::Debug(text) => Some(ClientEvent::Debug(text)),
            // Before the answer too: some servers begin early, and it says nothing.
            Packet::ServerHeartbeat => None,
            Packet::LoginRequest(_) | Packet::ClientHeartbeat | Packet::LogoutRequest => {
                return Err(ClientFault::Direction { kind: packet.kind() });
            }
            Packet::LoginAccepted { .. } | Packet::LoginRejected(_) if is_open => {
                return Err(ClientFault::SecondAnswer);
            }
            // An answer to what was not asked.
            _ if self.state == ClientState::Fresh => {
                return Err(ClientFault::BeforeAnswer { kind: packet.kind() });
            }
            Packet::LoginAccepted { session, next_seq } => Some(self.on_accepted(session, next_seq)?),
            Packet::LoginRejected(reason) => Some(self.ends(ClientEnd::Rejected(reason))),
            _ if !is_open => return Err(ClientFault::BeforeAnswer { kind: packet.kind() }),
            Packet::Sequenced(bytes) => {
                let seq = self.next_seq;
                self.next_seq = seq.checked_add(1).ok_or(ClientFault::Number)?;
                Some(ClientEvent::Message { seq, bytes })
            }
            Packet::Unsequenced(bytes) => Some(ClientEvent::Unsequenced(bytes)),
            Packet::EndOfSession => Some(self.ends(ClientEnd::EndOfSession)),
        })
    }

    fn on_accepted<'a>(&mut self, session: Session, next_seq: u64) -> Result<ClientEvent<'a>, ClientFault> {
        if next_seq == 0 {
            return Err(ClientFault::Number);
        }
        let position = match self.login.seq {
            0 => Position::AsRequested,
            seq if next_seq < seq => Position::Below,
            seq if next_seq > seq => Position::Above,
            _ => Position::AsRequested,
        };
        let asked = self.login.session;
        let is_other_session = !asked.is_blank() && !session.is_blank() && asked != session;
        if !session.is_blank() {
            self.session = session;
        }
        (self.state, self.next_seq) = (ClientState::Open, next_seq);
        Ok(ClientEvent::Accepted { session, next_seq, position, is_other_session })
    }

    /// When [`Client::on_timer`] has something to do; `u64::MAX` if never.
    pub fn next_deadline(&self) -> u64 {
        match self.state {
            ClientState::LoginSent => self.login_at.saturating_add(self.limits.answer_ns),
            ClientState::Open => self.silent_at().min(self.heartbeat_at()),
            ClientState::Fresh | ClientState::Ended(_) => u64::MAX,
        }
    }

    fn silent_at(&self) -> u64 {
        self.last_received.at.saturating_add(self.limits.silence_ns)
    }

    /// MORE than the interval must have passed.
    fn heartbeat_at(&self) -> u64 {
        self.sent_at.saturating_add(self.limits.heartbeat_ns).saturating_add(1)
    }

    /// Ends what is late or silent, and appends a heartbeat if one is due. Why the connection is over, if it
    /// is.
    pub fn on_timer(&mut self, now: u64, out: &mut Vec<u8>) -> Option<ClientEnd> {
        match self.state {
            ClientState::LoginSent if now >= self.next_deadline() => self.end(ClientEnd::AnswerLate),
            ClientState::Open if now >= self.silent_at() => self.end(ClientEnd::Silent),
            // A heartbeat is always a packet.
            ClientState::Open if now >= self.heartbeat_at() => {
                let _ = self.write(now, Packet::ClientHeartbeat, out);
            }
            _ => {}
        }
        self.ended()
    }
}
