//! # glimpse: the session of a reader who comes late, without IO
//!
//! A GLIMPSE 5.0 session is a SoupBinTCP session: a login, the market as messages of ITCH 5.0 in sequenced
//! data, the message that says where the feed continues, and the end of the session.
//!
//! ```text
//!   login ─▶ owner: password, snapshot ─▶ begin ─▶ fill, fill, … ─▶ 'G' ─▶ 'Z'
//!                       └─────────────▶ refuse ─▶ 'J' and a text
//! ```
//!
//! The owner has the socket and two buffers, as of [`soupbintcp::Server`], and a snapshot: the answer of an
//! [`ExchangeMachine`](crate::ExchangeMachine) to the query `glimpse`. Each session has a stream of its own,
//! which begins at 1: nobody resumes in the middle of another one's snapshot. A client sends nothing but its
//! login, heartbeats, debug texts and its logout. Anything else ends its session, with a text that says why.

use soupbintcp::{
    End, Event, LoginRequest, Packet, Refused, RejectReason, Server, ServerLimits, Session, begin_at,
};
use std::fmt;
use std::sync::Arc;

/// Bytes of a message's length in a snapshot.
const LENGTH_LEN: usize = 2;
/// A session's first message.
const FIRST: u64 = 1;
const NO_MESSAGES: &str = "a GLIMPSE session takes no messages: log in, and read";

/// Why a snapshot cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GlimpseError {
    /// The snapshot ends inside of a message: this byte is the first of it.
    Torn {
        /// Where its length stands.
        at: usize,
    },
    /// The session does not take it.
    Session(Refused),
}

impl fmt::Display for GlimpseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { at } => write!(f, "the snapshot ends inside of the message at byte {at}"),
            Self::Session(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for GlimpseError {}

impl From<Refused> for GlimpseError {
    fn from(refused: Refused) -> Self {
        Self::Session(refused)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct GlimpseSession {
    server: Server,
    /// Messages behind their lengths; none before the login is accepted.
    snapshot: Option<Arc<[u8]>>,
    /// The bytes of it that were sent.
    sent: usize,
}

impl GlimpseSession {
    /// A client has connected.
    pub fn new(now: u64, limits: ServerLimits) -> Self {
        Self { server: Server::new(now, limits), snapshot: None, sent: 0 }
    }

    /// Why it is over, if it is: then what is left is sent, and the connection closed.
    pub fn ended(&self) -> Option<End> {
        self.server.ended()
    }

    /// Takes what came, up to a login. The bytes to drop, and the login to decide about: by
    /// [`Self::begin`] or [`Self::refuse`].
    pub fn on_bytes(&mut self, now: u64, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<LoginRequest>) {
        let mut len = 0;
        loop {
            let taken = self.server.on_bytes(now, &bytes[len..]);
            len += taken.len;
            match taken.event {
                Some(Event::Login(login)) => return (len, Some(login)),
                Some(Event::Message(_)) => {
                    explain(NO_MESSAGES, out);
                    self.server.close();
                }
                Some(Event::Fault(fault)) => explain(&fault.to_string(), out),
                Some(Event::Debug(_) | Event::Logout) => {}
                None => return (len, None),
            }
        }
    }

    /// Whether a login asks for what there is: this session or any, from its first message.
    ///
    /// # Errors
    /// It asks for another session, or for a message behind the first.
    pub fn is_available(login: &LoginRequest, session: &Session) -> Result<(), RejectReason> {
        if !login.session.is_blank() && !login.session.is_same_name(session) {
            return Err(RejectReason::SessionNotAvailable);
        }
        begin_at(login.seq, FIRST, FIRST).map(|_| ())
    }

    /// Refuses the login that came, and says why: the letter first, as some clients read no further.
    ///
    /// # Errors
    /// No login waits.
    pub fn refuse(&mut self, reason: RejectReason, why: &str, out: &mut Vec<u8>) -> Result<(), GlimpseError> {
        self.server.reject(reason, out)?;
        explain(why, out);
        Ok(())
    }

    /// Accepts the login that came. The snapshot follows by [`Self::fill`].
    ///
    /// # Errors
    /// No login waits.
    pub fn begin(
        &mut self,
        now: u64,
        session: Session,
        snapshot: Arc<[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), GlimpseError> {
        self.server.accept(now, session, FIRST, out)?;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Appends messages of the snapshot until `out` has at least `len` bytes, and behind the last one the end
    /// of the session. Nothing while no login is accepted.
    ///
    /// # Errors
    /// The snapshot is torn; the session is over without its end, so that nobody takes it for whole.
    pub fn fill(&mut self, now: u64, len: usize, out: &mut Vec<u8>) -> Result<(), GlimpseError> {
        let Some(snapshot) = self.snapshot.clone().filter(|_| self.ended().is_none()) else { return Ok(()) };
        while out.len() < len {
            let rest = &snapshot[self.sent..];
            let Some((length, rest)) = rest.split_first_chunk::<LENGTH_LEN>() else { break };
            let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { break };
            self.server.sequenced(now, message, out)?;
            self.sent += LENGTH_LEN + message.len();
        }
        if self.sent == snapshot.len() && self.sent > 0 {
            self.server.end_session(now, out)?;
        } else if out.len() < len {
            self.server.close();
            return Err(GlimpseError::Torn { at: self.sent });
        }
        Ok(())
    }

    /// Ends what is late or silent, and appends a heartbeat if one is due.
    pub fn on_timer(&mut self, now: u64, out: &mut Vec<u8>) -> Option<End> {
        self.server.on_timer(now, out)
    }

    /// The owner closes, or has seen that the client did.
    pub fn close(&mut self) {
        self.server.close();
    }
}

/// Text for humans, at whatever state: it is the last that is sent.
fn explain(why: &str, out: &mut Vec<u8>) {
    // Too long for a packet is none of these texts.
    let _ = Packet::Debug(why.as_bytes()).append(out);
}
