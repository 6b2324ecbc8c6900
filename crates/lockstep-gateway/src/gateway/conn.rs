//! One client's connection: bytes that are not taken yet, bytes that wait to be sent, and the state of its
//! login.

use super::allowance::Allowance;
use super::ledger::DeliveryPlace;
use super::protocol::Protocol;
use super::users::User;
use crate::fix::session::FixLogon;
use lockstep_wire::{Nanos, PublisherId};
use soupbintcp::Session;
use std::net::{IpAddr, SocketAddr};

/// The messages of a session, such as Test Requests, that are answered in a second: each answer is an entry
/// of the stream.
const ANSWERS: u32 = 10;

/// The request of a login that is being decided.
#[derive(Clone, Debug)]
pub(super) struct LoginAttempt {
    pub user: String,
    pub session: Session,
    pub seq: u64,
}

impl LoginAttempt {
    /// Whether it is for this trading day; a blank session means the open one.
    pub fn fits(&self, day: &str) -> bool {
        self.session.is_blank() || self.session.as_bytes().eq_ignore_ascii_case(day.as_bytes())
    }
}

/// The state of a login.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// No login request has arrived yet.
    New,
    /// A FIX logon that arrived, at `since`, before the gateway can decide any: FIX has no answer without a
    /// number.
    Deferred { logon: Box<FixLogon>, since: Nanos },
    /// Its password is being checked.
    Checking(LoginAttempt),
    /// Its open is under way: it is accepted once the publisher may publish and the entry was delivered.
    Opening {
        asked: LoginAttempt,
        ticket: usize,
        nonce: [u64; 2],
        publisher: Option<PublisherId>,
        /// Its place in the sequence, its first number and its last number, as of its open entry.
        begins: Option<(DeliveryPlace, u64, u64)>,
    },
    /// Logged in.
    Open { publisher: PublisherId, nonce: [u64; 2] },
    /// The bytes in `out` are sent, and then it is closed.
    Over { since: Nanos },
}

/// A connection: see the module.
#[derive(Debug)]
pub(super) struct Conn {
    pub protocol: Protocol,
    pub peer: SocketAddr,
    pub phase: Phase,
    /// The user, as the users' file had it at the login.
    pub user: Option<User>,
    /// Bytes of the client that are not taken yet.
    pub inbox: Vec<u8>,
    /// Bytes to send; those before `sent` are sent.
    pub out: Vec<u8>,
    pub sent: usize,
    /// Whether its socket accepts nothing more; what its client had sent before may still be read.
    pub takes_nothing: bool,
    /// The time since which the socket has accepted nothing of `out`.
    pub stalled_at: Nanos,
    pub place: DeliveryPlace,
    /// The last number that this connection accepted, if its user numbers messages.
    pub last_number: u64,
    /// The messages that its user's rate allows.
    pub allowance: Allowance,
    /// The answers that a FIX session may give to messages of the session.
    pub answers: Allowance,
    /// Whether an answer was given that is not counted yet.
    pub answer_uncounted: bool,
    /// Whether a message waits in `inbox` for room in the window, or for its turn.
    pub blocked: bool,
    /// Whether the day is over: the session ends behind its last message.
    pub day_is_over: bool,
    /// Whether bytes of the client have arrived.
    pub has_spoken: bool,
    /// Whether its TLS handshake is in progress.
    pub shakes_hands: bool,
    /// Whether its login was refused by a Logout, which is sent before the end; the audit log has the reason.
    pub is_refused: bool,
    /// The reason last reported to the client, so that a repeated reason is reported once.
    pub reported: Option<&'static str>,
}

impl Conn {
    pub fn new(now: Nanos, peer: SocketAddr, protocol: Protocol) -> Self {
        Self {
            protocol,
            peer,
            phase: Phase::New,
            user: None,
            inbox: Vec::new(),
            out: Vec::new(),
            sent: 0,
            takes_nothing: false,
            stalled_at: now,
            place: DeliveryPlace::default(),
            last_number: 0,
            allowance: Allowance::new(now),
            answers: Allowance::new(now),
            answer_uncounted: false,
            blocked: false,
            day_is_over: false,
            has_spoken: false,
            shakes_hands: false,
            is_refused: false,
            reported: None,
        }
    }

    /// The user's name, if it has sent one, and the client's address.
    pub fn client(&self) -> (&str, IpAddr) {
        let asked = match &self.phase {
            Phase::Deferred { logon, .. } => logon.user.as_str(),
            Phase::Checking(asked) | Phase::Opening { asked, .. } => asked.user.as_str(),
            _ => "",
        };
        (self.user.as_ref().map_or(asked, |user| &user.name), self.peer.ip())
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// The bytes that wait to be sent.
    pub fn unsent(&self) -> &[u8] {
        if self.takes_nothing { &[] } else { &self.out[self.sent..] }
    }

    /// The number of bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.unsent().len()
    }

    /// Drops present and future output: its socket has broken.
    pub fn drop_output(&mut self) {
        self.takes_nothing = true;
        self.out = Vec::new();
        self.sent = 0;
    }

    /// Whether another answer is allowed: each answer of a session is an entry of the stream.
    pub fn may_be_answered(&mut self, now: Nanos) -> bool {
        self.answer_uncounted = self.answer_uncounted && !self.answers.take_up_to(now, ANSWERS, ANSWERS);
        !self.answer_uncounted
    }

    /// Whether its session waits until its Logout is stamped and sent.
    pub fn is_parting(&self) -> bool {
        match &self.protocol {
            Protocol::Fix(session) => self.is_open() && session.leaving().is_some(),
            Protocol::Soup(_) => false,
        }
    }

    /// Whether its user's rate allows another message now; then it is counted.
    pub fn takes_credit(&mut self, now: Nanos) -> bool {
        self.user.as_ref().is_some_and(|user| self.allowance.take(now, user.rate))
    }

    /// The first `len` of the waiting bytes have been sent.
    pub fn on_sent(&mut self, now: Nanos, len: usize) {
        self.sent = (self.sent + len).min(self.out.len());
        if len > 0 {
            self.stalled_at = now;
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }
}
