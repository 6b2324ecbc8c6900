//! One connection's session: bytes and times in, entries for the stream out.
//!
//! ```text
//!   New ──A──▶ Pending ──accept──▶ Open: a note with the logon's answer ─ stamped ─▶ sending
//!                                    │ each message: one entry
//!                                    └─ a Logout, asked for or not ─ stamped and sent ─▶ the connection ends
//! ```
//! The owner hands over what came, publishes the entries in their order under the client's publisher, and
//! sends what the stream has for the client from the logon's answer on: see [`FixSession::begin`]. A message
//! is taken when all entries before it are published, so that the queue of entries stays as short as one
//! message's.

mod incoming;

use super::client::FixClient;
use super::codec::{FixFields, Framed, next_frame, put, put_text};
use super::enter::SubmittedOrders;
use super::note::{ADMIN, FixNote, LOGON, LOGOUT, RESET, SENDS};
use super::orders::FixOrders;
use super::record::{FixEnds, FixVersion};
use super::tags;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Nanos;
use std::collections::VecDeque;

const SECOND: Nanos = 1_000_000_000;
/// Longest interval of heartbeats, in seconds.
const HEARTBEAT_S_MAX: u64 = 3_600;
/// Longest TestReqID, and longest CompID.
const TEXT_LEN_MAX: usize = 64;
/// Above all numbers of any session.
const NUMBER_MAX: u64 = 1 << 60;
/// TestReqID of the gateway's own test requests.
const TEST_ID: &str = "LOCKSTEP";

/// The limits of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixSessionLimits {
    /// From the connection to a whole logon.
    pub login_ns: Nanos,
    /// How far SendingTime may be from the stream's time.
    pub accuracy_ns: Nanos,
    /// How long a gateway waits for its own Logout to be stamped and sent.
    pub parting_ns: Nanos,
    /// One second of HeartBtInt: shorter where time is simulated.
    pub second_ns: Nanos,
}

impl Default for FixSessionLimits {
    fn default() -> Self {
        Self { login_ns: 30 * SECOND, accuracy_ns: 120 * SECOND, parting_ns: SECOND, second_ns: SECOND }
    }
}

/// A logon. It prints no password.
#[derive(Clone)]
pub struct FixLogon {
    /// Both ends, and the version.
    pub ends: FixEnds,
    /// Its MsgSeqNum.
    pub number: u64,
    /// HeartBtInt.
    pub heartbeat_s: u64,
    /// ResetSeqNumFlag.
    pub resets: bool,
    /// Its user, in lower case.
    pub user: String,
    /// Its password.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for FixLogon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("FixLogon");
        shown.field("ends", &self.ends).field("number", &self.number).field("resets", &self.resets);
        shown.finish_non_exhaustive()
    }
}

/// Where an entry goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FixTarget {
    /// The destination of the user's messages.
    Application,
    /// The gateways' channel.
    Gateways,
}

/// An entry to be published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixEntry {
    /// Where it goes.
    pub target: FixTarget,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What came of the client.
#[derive(Clone, Debug)]
pub enum FixEvent {
    /// Decide, and call [`FixSession::accept`]; or close the connection.
    Logon(Box<FixLogon>),
    /// A message was taken: there may be entries to publish, or a resend to send.
    Taken,
    /// The connection ends at once, and the client is sent nothing: it is nobody's.
    Cut(&'static str),
}

/// What [`FixSession::on_bytes`] took.
#[derive(Clone, Debug)]
pub struct FixTaken {
    /// Bytes to drop from the front.
    pub len: usize,
    /// Call again with the rest as long as there is one; none: more bytes are needed.
    pub event: Option<FixEvent>,
}

/// Why a timer ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FixEnd {
    /// No whole logon in time.
    LoginLate,
    /// Nothing came, not even behind a test request.
    Silent,
    /// The gateway's Logout was not stamped and sent in time.
    Parted(DisconnectReason),
}

/// A resend that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixResend {
    /// The next number.
    pub next: u64,
    /// The last one.
    pub to: u64,
    /// The first number of a gap that is not filled yet.
    pub gap: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SessionPhase {
    New,
    Pending,
    Open,
}

/// The client outside of its connection.
#[derive(Clone, Copy, Debug)]
pub struct FixSurroundings<'a> {
    /// The stream's time, in nanoseconds since the Unix epoch; 0: not known.
    pub time: Nanos,
    /// Its orders.
    pub orders: &'a FixOrders,
    /// Whether its messages have a destination.
    pub has_destination: bool,
}

/// See the module.
#[derive(Debug)]
pub struct FixSession {
    limits: FixSessionLimits,
    own: String,
    phase: SessionPhase,
    since: Nanos,
    received_at: Nanos,
    sent_at: Nanos,
    tested_at: Option<Nanos>,
    logon: Option<FixLogon>,
    /// The MsgSeqNum that is expected next, behind everything in `entries`.
    next_in: u64,
    /// The number of the publisher's next entry, behind everything in `entries`.
    next_seq: u64,
    /// A resend was asked for, up to this number.
    gap_to: u64,
    entries: VecDeque<FixEntry>,
    submitted: SubmittedOrders,
    resends: VecDeque<FixResend>,
    /// The number of the next message to the client; none before the logon's answer is stamped.
    next_out: Option<u64>,
    leaving: Option<(DisconnectReason, Nanos)>,
    /// Bytes that were no message.
    garbled: u64,
}

impl FixSession {
    /// A client has connected to the gateway with this CompID.
    pub fn new(now: Nanos, limits: FixSessionLimits, own: &str) -> Self {
        Self {
            limits,
            own: own.to_owned(),
            phase: SessionPhase::New,
            since: now,
            received_at: now,
            sent_at: now,
            tested_at: None,
            logon: None,
            next_in: 1,
            next_seq: 1,
            gap_to: 0,
            entries: VecDeque::new(),
            submitted: SubmittedOrders::new(),
            resends: VecDeque::new(),
            next_out: None,
            leaving: None,
            garbled: 0,
        }
    }

    /// Whether its client may send messages: its logon was accepted.
    pub fn is_open(&self) -> bool {
        self.phase == SessionPhase::Open
    }

    /// Whether a logon is being decided: until then nothing is taken.
    pub fn is_pending(&self) -> bool {
        self.phase == SessionPhase::Pending
    }

    /// The two ends, once there is a logon.
    pub fn ends(&self) -> Option<&FixEnds> {
        self.logon.as_ref().map(|logon| &logon.ends)
    }

    /// The MsgSeqNum that is expected next.
    pub fn next_in(&self) -> u64 {
        self.next_in
    }

    /// Why the connection ends behind its Logout, if it does.
    pub fn leaving(&self) -> Option<DisconnectReason> {
        self.leaving.map(|(reason, _)| reason)
    }

    /// Bytes that were no message, so far.
    pub fn garbled(&self) -> u64 {
        self.garbled
    }

    /// The entry to publish next; [`FixSession::on_published`] removes it.
    pub fn next_entry(&self) -> Option<&FixEntry> {
        self.entries.front()
    }

    /// The entry is published.
    pub fn on_published(&mut self) {
        self.entries.pop_front();
    }

    /// Entries of its publisher up to this order are delivered.
    pub fn on_delivered(&mut self, publisher_seq: u64) {
        let later = u32::try_from(publisher_seq.saturating_add(1)).unwrap_or(u32::MAX);
        self.submitted = self.submitted.split_off(&later);
    }

    /// The answer to its logon is stamped, as the message with this number: send from there on.
    pub fn begin(&mut self, number: u64) {
        self.next_out = Some(number);
    }

    /// The number of the next message to the client, once it may be sent.
    pub fn next_out(&self) -> Option<u64> {
        self.next_out
    }

    /// That message was written.
    pub fn on_sent(&mut self, now: Nanos) {
        self.sent_at = now;
        self.next_out = self.next_out.map(|number| number + 1);
    }

    /// The resend that is under way; what comes next waits behind it.
    pub fn resend(&mut self) -> Option<&mut FixResend> {
        self.resends.front_mut()
    }

    /// It is over.
    pub fn on_resent(&mut self, now: Nanos) {
        self.sent_at = now;
        self.resends.pop_front();
    }

    /// Takes the first message of what came and was not taken yet; garbled bytes are taken along.
    pub fn on_bytes(&mut self, now: Nanos, bytes: &[u8], around: FixSurroundings<'_>) -> FixTaken {
        let mut len = 0;
        while self.phase != SessionPhase::Pending && len < bytes.len() {
            if self.leaving.is_some() {
                return FixTaken { len: bytes.len(), event: None };
            }
            match next_frame(&bytes[len..]) {
                Framed::Incomplete => break,
                Framed::Garbled { .. } if self.phase == SessionPhase::New => {
                    let event = Some(FixEvent::Cut("it does not speak FIX here"));
                    return FixTaken { len: bytes.len(), event };
                }
                Framed::Garbled { len: garbled, .. } => {
                    self.garbled += garbled as u64;
                    len += garbled;
                }
                Framed::Whole { begin, body, len: whole } => {
                    self.received_at = now;
                    self.tested_at = None;
                    let event = match self.phase {
                        SessionPhase::New => self.on_logon(begin, body),
                        _ => {
                            self.on_message(now, begin, body, around);
                            FixEvent::Taken
                        }
                    };
                    return FixTaken { len: len + whole, event: Some(event) };
                }
            }
        }
        FixTaken { len, event: None }
    }

    fn on_logon(&mut self, begin: &[u8], body: &[u8]) -> FixEvent {
        let (fields, fault) = FixFields::parse(body);
        if fields.kind() != tags::LOGON {
            return FixEvent::Cut("its first message is no Logon");
        }
        if fault.is_some() {
            return FixEvent::Cut("its Logon has a field that is none");
        }
        let Some(version) = FixVersion::of(begin) else {
            return FixEvent::Cut("its BeginString is none of FIX.4.2, FIX.4.4 and FIXT.1.1");
        };
        match read_logon(&fields, version, &self.own) {
            Ok(logon) => {
                self.phase = SessionPhase::Pending;
                // The password is of no more use here.
                self.logon = Some(FixLogon { password: Vec::new(), ..logon.clone() });
                FixEvent::Logon(Box::new(logon))
            }
            Err(why) => FixEvent::Cut(why),
        }
    }

    /// Its user is right, and its open entry was delivered: `client` is as the stream has it there. Queues
    /// the answer.
    pub fn accept(&mut self, now: Nanos, client: &FixClient) {
        let Some((number, heartbeat_s, resets)) =
            self.logon.as_ref().map(|logon| (logon.number, logon.heartbeat_s, logon.resets))
        else {
            return;
        };
        self.phase = SessionPhase::Open;
        (self.received_at, self.sent_at) = (now, now);
        (self.next_in, self.next_seq) = (client.next_in(), client.last_seq() + 1);
        if planted(Mutation::FixForgetsSent) {
            self.next_in = self.next_in.saturating_sub(1).max(1);
        }
        if resets && number != 1 {
            return self.log_out(now, DisconnectReason::Fault, "ResetSeqNumFlag=Y needs MsgSeqNum 1");
        }
        if resets {
            self.next_in = 1;
        }
        if number < self.next_in {
            let text = format!("MsgSeqNum too low, expecting {} but received {number}", self.next_in);
            return self.log_out(now, DisconnectReason::Fault, &text);
        }
        let mut body = b"35=A\x01".to_vec();
        put(&mut body, tags::ENCRYPT_METHOD, 0);
        put(&mut body, tags::HEART_BT_INT, heartbeat_s);
        if resets {
            put(&mut body, tags::RESET_SEQ_NUM_FLAG, 'Y');
        }
        let is_next = number == self.next_in;
        self.next_in += u64::from(is_next);
        let reset = if resets { RESET } else { 0 };
        self.note(SENDS | ADMIN | LOGON | reset, &body);
        if !is_next {
            self.request_resend(number);
        }
    }

    /// Queues an entry.
    fn push(&mut self, target: FixTarget, payload: Vec<u8>) {
        self.next_seq += 1;
        self.entries.push_back(FixEntry { target, payload });
    }

    /// Queues a note: the number that is expected next, and a message to the client.
    fn note(&mut self, flags: u8, body: &[u8]) {
        let note = FixNote { flags, next_in: self.next_in, body };
        self.push(FixTarget::Gateways, note.encode());
    }

    fn request_resend(&mut self, to: u64) {
        if self.gap_to >= self.next_in {
            return;
        }
        self.gap_to = to;
        let mut body = b"35=2\x01".to_vec();
        put(&mut body, tags::BEGIN_SEQ_NO, self.next_in);
        put(&mut body, tags::END_SEQ_NO, 0);
        self.note(SENDS | ADMIN, &body);
    }

    /// Queues a Logout, behind which the connection ends.
    fn log_out(&mut self, now: Nanos, reason: DisconnectReason, text: &str) {
        if self.leaving.is_some() {
            return;
        }
        let mut body = b"35=5\x01".to_vec();
        if !text.is_empty() {
            put_text(&mut body, tags::TEXT, text.as_bytes());
        }
        self.note(SENDS | ADMIN | LOGOUT, &body);
        self.leaving = Some((reason, now));
    }

    /// The gateway ends the connection: a Logout with this text is queued. `false`: the client is sent
    /// nothing more, close the connection.
    pub fn part(&mut self, now: Nanos, reason: DisconnectReason, text: &str) -> bool {
        let can = self.phase == SessionPhase::Open && self.leaving.is_none();
        if can {
            self.log_out(now, reason, text);
        }
        can
    }

    /// Its bytes are not read now, as the stream or its turn is waited for: that is no silence of its own.
    pub fn on_unread(&mut self, now: Nanos) {
        self.received_at = self.received_at.max(now);
    }

    /// Queues what is due. Why the connection ends, if it does.
    pub fn on_timer(&mut self, now: Nanos) -> Option<FixEnd> {
        if let Some((reason, since)) = self.leaving {
            return (now >= since + self.limits.parting_ns).then_some(FixEnd::Parted(reason));
        }
        let heartbeat_ns = match (self.phase, &self.logon) {
            (SessionPhase::New, _) => {
                return (now >= self.since + self.limits.login_ns).then_some(FixEnd::LoginLate);
            }
            (SessionPhase::Open, Some(logon)) => logon.heartbeat_s * self.limits.second_ns,
            _ => return None,
        };
        // "Some reasonable transmission time" is a fifth of the interval.
        let patience = heartbeat_ns + heartbeat_ns / 5;
        if now >= self.received_at + 2 * patience {
            return Some(FixEnd::Silent);
        }
        if self.next_out.is_none() || !self.entries.is_empty() {
            return None;
        }
        if now >= self.received_at + patience && self.tested_at.is_none() {
            self.tested_at = Some(now);
            let mut body = b"35=1\x01".to_vec();
            put(&mut body, tags::TEST_REQ_ID, TEST_ID);
            self.note(SENDS | ADMIN, &body);
        } else if now >= self.sent_at + heartbeat_ns {
            self.sent_at = now;
            self.note(SENDS | ADMIN, b"35=0\x01");
        }
        None
    }
}

/// Reads a Logon; the reason where its client is cut.
fn read_logon(fields: &FixFields<'_>, version: FixVersion, own: &str) -> Result<FixLogon, &'static str> {
    let client = fields.get(tags::SENDER_COMP_ID).ok_or("its Logon has no SenderCompID")?;
    if fields.get(tags::TARGET_COMP_ID) != Some(own.as_bytes()) {
        return Err("its TargetCompID is not the gateway's (--fix-comp-id)");
    }
    let number = fields.number(tags::MSG_SEQ_NUM).filter(|number| (1..NUMBER_MAX).contains(number));
    let number = number.ok_or("its Logon has no MsgSeqNum")?;
    let heartbeat_s = fields.number(tags::HEART_BT_INT).filter(|s| (1..=HEARTBEAT_S_MAX).contains(s));
    let heartbeat_s = heartbeat_s.ok_or("its HeartBtInt is not 1 to 3600 seconds")?;
    if fields.get(tags::ENCRYPT_METHOD).is_some_and(|method| method != b"0") {
        return Err("its EncryptMethod is not 0 (none)");
    }
    // The client's CompID is its user; a Username of another one is nobody's.
    let user = String::from_utf8_lossy(client).to_ascii_lowercase();
    let named = fields.get(tags::USERNAME).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    if client.len() > TEXT_LEN_MAX || named.is_some_and(|named| named != user) {
        return Err("its SenderCompID and Username differ");
    }
    let password = fields.get(tags::PASSWORD).or(fields.get(tags::RAW_DATA));
    let password = password.ok_or("its Logon has no Password(554) and no RawData(96)")?.to_vec();
    let ends = FixEnds { version, own: own.to_owned(), client: client.to_vec() };
    let resets = fields.get(tags::RESET_SEQ_NUM_FLAG) == Some(b"Y");
    Ok(FixLogon { ends, number, heartbeat_s, resets, user, password })
}

#[cfg(test)]
mod tests;
