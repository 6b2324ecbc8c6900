//! One client's connection: what came and is not taken yet, what waits to be sent, and how far its login is.

use super::allowance::Allowance;
use super::ledger::DeliveryPlace;
use super::protocol::Protocol;
use super::users::User;
use crate::fix::session::FixLogon;
use lockstep_wire::{Nanos, PublisherId};
use soupbintcp::Session;
use std::net::{IpAddr, SocketAddr};

/// Messages of a session's own, such as Test Requests, that are answered in a second: each answer is an entry
/// of the stream.
const ANSWERS: u32 = 10;

/// The request in a login that is being decided.
#[derive(Clone, Debug)]
pub(super) struct LoginAttempt {
    pub user: String,
    pub session: Session,
    pub seq: u64,
}

impl LoginAttempt {
    /// Whether it is for this trading day; a blank session is for the one that is open.
    pub fn fits(&self, day: &str) -> bool {
        self.session.is_blank() || self.session.as_bytes().eq_ignore_ascii_case(day.as_bytes())
    }
}

/// How far a login is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// No login request yet.
    New,
    /// A logon of FIX that came before the gateway can decide any, since then: FIX has no word for that
    /// without a number.
    Deferred { logon: Box<FixLogon>, since: Nanos },
    /// Its password is being checked.
    Checking(LoginAttempt),
    /// Its open is under way: it is accepted once the publisher may publish and the entry was delivered.
    Opening {
        asked: LoginAttempt,
        ticket: usize,
        nonce: [u64; 2],
        publisher: Option<PublisherId>,
        /// Where it begins, and its last number, as of its open entry.
        begins: Option<(DeliveryPlace, u64, u64)>,
    },
    /// Logged in.
    Open { publisher: PublisherId, nonce: [u64; 2] },
    /// It gets what is in `out`, and is closed.
    Over { since: Nanos },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Conn {
    pub protocol: Protocol,
    pub peer: SocketAddr,
    pub phase: Phase,
    /// The user, as its file had it when it logged in.
    pub user: Option<User>,
    /// Bytes of the client's that are not taken yet.
    pub inbox: Vec<u8>,
    /// Bytes that are to be sent; those before `sent` are.
    pub out: Vec<u8>,
    pub sent: usize,
    /// Its socket takes nothing more, and what its client had sent before may still be read.
    pub takes_nothing: bool,
    /// Since when nothing of `out` was taken.
    pub stalled_at: Nanos,
    pub place: DeliveryPlace,
    /// The last number that this connection took, if its user numbers messages.
    pub last_number: u64,
    /// Messages that its user's rate allows.
    pub allowance: Allowance,
    /// Answers that a session of FIX gives to messages of its own; ...
    pub answers: Allowance,
    /// ... one was given, and is not counted yet.
    pub answer_uncounted: bool,
    /// A message waits in `inbox` for room in the window, or for its turn.
    pub blocked: bool,
    /// The day is over: behind its last message the session ends.
    pub day_is_over: bool,
    /// Bytes of its own came.
    pub has_spoken: bool,
    /// Its TLS handshake is not over.
    pub shakes_hands: bool,
    /// Its login was refused by a Logout that goes before the end, and the audit log has the reason.
    pub is_refused: bool,
    /// The reason last reported to the client, so that a run of the same is reported once.
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

    /// The user's name, as far as it has named one, and the client's address.
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

    /// What waits to be sent.
    pub fn unsent(&self) -> &[u8] {
        if self.takes_nothing { &[] } else { &self.out[self.sent..] }
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.unsent().len()
    }

    /// Drops what waits to be sent and what will: its socket has broken.
    pub fn drop_output(&mut self) {
        self.takes_nothing = true;
        self.out = Vec::new();
        self.sent = 0;
    }

    /// Whether it may be answered once more: an answer of the session's own is an entry of the stream.
    pub fn may_be_answered(&mut self, now: Nanos) -> bool {
        self.answer_uncounted = self.answer_uncounted && !self.answers.take_up_to(now, ANSWERS, ANSWERS);
        !self.answer_uncounted
    }

    /// Whether its session waits for its Logout to be stamped and sent.
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

    /// The first `len` bytes of what waited have been sent.
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
