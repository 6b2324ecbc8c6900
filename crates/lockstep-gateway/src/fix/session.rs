//! One connection's session: bytes and times in, entries for the stream out.
//!
//! ```text
//!   New ──A──▶ Pending ──accept──▶ Open: a note with the logon's answer ─ stamped ─▶ sending
//!                                    │ each message: one entry
//!                                    └─ a Logout of either side ─ stamped and sent ─▶ the connection ends
//! ```
//! The owner passes received bytes in, publishes the entries in their order under the client's publisher, and
//! sends the client's messages of the stream from the logon's answer on: see [`FixSession::begin`]. A message
//! is taken when all entries before it are published, so the queue never has more than the entries of one
//! message.

mod arrivals;
mod gap;
mod incoming;
mod logon;

use super::codec::{Framed, next_frame, put, put_text};
use super::enter::SubmittedOrders;
use super::note::{ADMIN, FixNote, LOGON, LOGOUT, SENDS};
use super::orders::FixOrders;
use super::record::{FixEnds, FixRecord};
use super::tags;
use arrivals::Arrivals;
use gap::{Gap, GapStep, GapTimes};
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::Nanos;
pub use logon::FixAccount;
use std::collections::VecDeque;

const SECOND: Nanos = 1_000_000_000;
/// Longest TestReqID, and longest CompID.
const TEXT_LEN_MAX: usize = 64;
/// Greater than all numbers of any session.
const NUMBER_MAX: u64 = 1 << 60;
/// TestReqID of the gateway's own test requests.
const TEST_ID: &str = "LOCKSTEP";

/// The limits of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixSessionLimits {
    /// The longest time from the connection to a whole logon.
    pub login_ns: Nanos,
    /// The greatest difference between SendingTime and both of [`FixClocks`].
    pub accuracy_ns: Nanos,
    /// How long a gateway waits until its own Logout is stamped and sent.
    pub parting_ns: Nanos,
    /// The length of a second of HeartBtInt: shorter if time is simulated.
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
    /// Both counterparties, and the version.
    pub ends: FixEnds,
    /// Its MsgSeqNum.
    pub number: u64,
    /// Its SendingTime.
    pub sent: Nanos,
    /// HeartBtInt.
    pub heartbeat_s: u64,
    /// ResetSeqNumFlag.
    pub resets: bool,
    /// Why its user, once authenticated, is answered by a Logout.
    pub refusal: Option<&'static str>,
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

/// The destination of an entry.
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
    /// Its destination.
    pub target: FixTarget,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// An event from the client.
#[derive(Clone, Debug)]
pub enum FixEvent {
    /// A logon to decide: call [`FixSession::accept`], or close the connection.
    Logon(Box<FixLogon>),
    /// A message was taken: there may be entries to publish, or a resend to send.
    Taken {
        /// Whether it is a message of the session that the gateway answers, such as a Test Request.
        is_answered: bool,
    },
    /// The connection ends at once and without a message: it is not authenticated.
    Cut(String),
}

/// The bytes that [`FixSession::on_bytes`] consumed.
#[derive(Clone, Debug)]
pub struct FixTaken {
    /// Bytes to drop from the front.
    pub len: usize,
    /// The event. Call again with the rest as long as there is one; `None`: more bytes are needed.
    pub event: Option<FixEvent>,
}

/// Why a timer ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FixEnd {
    /// No whole logon in time.
    LoginLate,
    /// Nothing was received, not even after a test request.
    Silent,
    /// The gateway's Logout was not stamped and sent in time.
    Parted(DisconnectReason),
}

/// A resend in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixResend {
    /// The next number to send.
    pub next: u64,
    /// The last number to send.
    pub to: u64,
    /// The first number of a gap that is not filled yet.
    pub gap: Option<u64>,
}

/// A resend request that was received before the Logon's answer was sent; only then the sent numbers are
/// known.
#[derive(Clone, Copy, Debug)]
struct EarlyRequest {
    /// Its own number.
    number: u64,
    begin: u64,
    end: u64,
}

/// Why and since when the connection is ending.
#[derive(Clone, Debug)]
struct SessionEnd {
    reason: DisconnectReason,
    since: Nanos,
    text: String,
}

/// The counts of a session since they were last taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FixSessionCounts {
    /// Bytes that were not part of a message.
    pub garbled: u64,
    /// Resend Requests that were sent to the client.
    pub asked: u64,
    /// Gaps that the client did not fill, so that it was logged out.
    pub abandoned: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SessionPhase {
    New,
    Pending,
    Open,
}

/// The times by which a client's SendingTime is judged, in nanoseconds since the Unix epoch; 0: unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FixClocks {
    /// The timestamp of the stream's newest entry. It stands still while the stream is idle. Where it was
    /// ahead of a quorum's clocks it stands still until they have passed it, or an operator's order has set
    /// it back.
    pub stream: Nanos,
    /// The gateway's own clock.
    pub gateway: Nanos,
}

impl FixClocks {
    /// Notes an entry of the stream. Timestamps only rise, except at an operator's order that sets them back.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        match *event {
            SubscriberEvent::Message(message) => self.stream = self.stream.max(message.timestamp),
            SubscriberEvent::Opened { timestamp, .. }
            | SubscriberEvent::GatewayHeartbeat { timestamp, .. } => {
                self.stream = self.stream.max(timestamp);
            }
            SubscriberEvent::Ordered { timestamp, order, .. } if order.time_before().is_some() => {
                self.stream = timestamp;
            }
            _ => {}
        }
    }

    /// Whether the time `sent` of a message is close enough to either time. So neither a stream's time that
    /// is ahead nor a gateway's wrong clock ends the sessions of clients with right clocks.
    pub(super) fn is_accurate(self, sent: Nanos, accuracy_ns: Nanos) -> bool {
        let mut known = [self.stream, self.gateway].into_iter().filter(|time| *time > 0).peekable();
        known.peek().is_none() || known.any(|time| sent.abs_diff(time) <= accuracy_ns)
    }
}

/// The state of the client outside its connection.
#[derive(Clone, Copy, Debug)]
pub struct FixSurroundings<'a> {
    /// The clocks by which its times are judged.
    pub clocks: FixClocks,
    /// Its orders.
    pub orders: &'a FixOrders,
    /// Whether its messages have a destination.
    pub has_destination: bool,
}

/// A session: see the module.
#[derive(Debug)]
pub struct FixSession {
    limits: FixSessionLimits,
    own: String,
    phase: SessionPhase,
    since: Nanos,
    received_at: Nanos,
    sent_at: Nanos,
    tested_at: Option<Nanos>,
    /// The arrival times of the bytes that wait to be taken.
    arrivals: Arrivals,
    /// The time at which bytes arrived that are not part of a message and may have been a message that is
    /// missing now. It ends with the next message in sequence, or the first message with a number that is too
    /// high.
    garbled_at: Option<Nanos>,
    logon: Option<FixLogon>,
    /// The MsgSeqNum that is expected next, after everything in `entries`.
    next_in: u64,
    /// The number of the publisher's next entry, after everything in `entries`.
    next_seq: u64,
    /// The time of one message by the user's rate.
    message_ns: Nanos,
    /// The messages that the client must send again.
    gap: Option<Gap>,
    /// Whether numbers were taken since the last entry that no entry shows yet.
    note_due: bool,
    /// The time of the last entry that only showed numbers.
    noted_at: Option<Nanos>,
    entries: VecDeque<FixEntry>,
    submitted: SubmittedOrders,
    resends: VecDeque<FixResend>,
    early: VecDeque<EarlyRequest>,
    /// The number of the next message to the client; `None` before the logon's answer is stamped.
    next_out: Option<u64>,
    /// The number of answers to Logons that are not sent yet.
    answers_due: u32,
    leaving: Option<SessionEnd>,
    counts: FixSessionCounts,
}

impl FixSession {
    /// The session of a client that has connected to the gateway with this CompID.
    pub fn new(now: Nanos, limits: FixSessionLimits, own: &str) -> Self {
        Self {
            limits,
            own: own.to_owned(),
            phase: SessionPhase::New,
            since: now,
            received_at: now,
            sent_at: now,
            tested_at: None,
            arrivals: Arrivals::default(),
            garbled_at: None,
            logon: None,
            next_in: 1,
            next_seq: 1,
            message_ns: 0,
            gap: None,
            note_due: false,
            noted_at: None,
            entries: VecDeque::new(),
            submitted: SubmittedOrders::new(),
            resends: VecDeque::new(),
            early: VecDeque::new(),
            next_out: None,
            answers_due: 0,
            leaving: None,
            counts: FixSessionCounts::default(),
        }
    }

    /// Whether its client may send messages: its logon is accepted.
    pub fn is_open(&self) -> bool {
        self.phase == SessionPhase::Open
    }

    /// Whether a logon is being decided: until then nothing is taken.
    pub fn is_pending(&self) -> bool {
        self.phase == SessionPhase::Pending
    }

    /// The two counterparties, after a logon.
    pub fn ends(&self) -> Option<&FixEnds> {
        self.logon.as_ref().map(|logon| &logon.ends)
    }

    /// The MsgSeqNum that is expected next.
    pub fn next_in(&self) -> u64 {
        self.next_in
    }

    /// Why the connection ends after its Logout, if it does.
    pub fn leaving(&self) -> Option<DisconnectReason> {
        self.leaving.as_ref().map(|end| end.reason)
    }

    /// The text of its Logout.
    pub fn last_words(&self) -> &str {
        self.leaving.as_ref().map_or("", |end| &end.text)
    }

    /// The counts since the last call.
    pub fn take_counts(&mut self) -> FixSessionCounts {
        std::mem::take(&mut self.counts)
    }

    /// The entry to publish next; [`FixSession::on_published`] removes it.
    pub fn next_entry(&self) -> Option<&FixEntry> {
        self.entries.front()
    }

    /// The next entry was published.
    pub fn on_published(&mut self) {
        self.entries.pop_front();
    }

    /// Entries of its publisher up to this number were delivered.
    pub fn on_delivered(&mut self, publisher_seq: u64) {
        let later = u32::try_from(publisher_seq.saturating_add(1)).unwrap_or(u32::MAX);
        self.submitted = self.submitted.split_off(&later);
    }

    /// The answer to its logon is stamped, as the message with this number: messages are sent from there on.
    pub fn begin(&mut self, number: u64) {
        self.next_out = Some(number);
    }

    /// The number of the next message to the client, once it may be sent.
    pub fn next_out(&self) -> Option<u64> {
        self.next_out
    }

    /// The next message was written.
    pub fn on_sent(&mut self, now: Nanos, record: &FixRecord<'_>) {
        self.sent_at = now;
        self.next_out = self.next_out.map(|number| number + 1);
        if record.fields.starts_with(b"35=2\x01")
            && let Some(gap) = &mut self.gap
        {
            gap.on_sent(now);
        }
        if record.flags & LOGON != 0 {
            self.answers_due = self.answers_due.saturating_sub(1);
            self.take_early();
        }
    }

    /// The next message to the client is the answer to a Logon that begins both numbers anew.
    pub fn restart(&mut self) {
        self.next_out = Some(1);
    }

    /// The resend in progress; new messages wait behind it. Before the answer to a Logon there is none.
    pub fn resend(&mut self) -> Option<&mut FixResend> {
        self.resends.front_mut().filter(|_| self.answers_due == 0)
    }

    /// The resend is complete.
    pub fn on_resent(&mut self, now: Nanos) {
        self.sent_at = now;
        self.resends.pop_front();
    }

    /// Takes the first message of the bytes that are not consumed yet, with the garbled bytes before it.
    pub fn on_bytes(&mut self, now: Nanos, bytes: &[u8], around: FixSurroundings<'_>) -> FixTaken {
        self.arrivals.on_offered(now, bytes.len(), self.gap_times().interval_ns / 16);
        let taken = self.take(now, bytes, around);
        self.arrivals.on_taken(taken.len);
        taken
    }

    fn take(&mut self, now: Nanos, bytes: &[u8], around: FixSurroundings<'_>) -> FixTaken {
        let mut len = 0;
        while self.phase != SessionPhase::Pending && len < bytes.len() {
            if self.leaving.is_some() {
                return FixTaken { len: bytes.len(), event: None };
            }
            match next_frame(&bytes[len..]) {
                Framed::Incomplete => break,
                Framed::Garbled { why, .. } if self.phase == SessionPhase::New => {
                    let event = Some(FixEvent::Cut(format!("what it sent is no message of FIX: {why}")));
                    return FixTaken { len: bytes.len(), event };
                }
                Framed::Garbled { len: garbled, .. } => {
                    self.counts.garbled += garbled as u64;
                    self.garbled_at = self.garbled_at.or(Some(self.arrivals.at(now, len)));
                    len += garbled;
                }
                Framed::Whole { begin, body, len: whole } => {
                    self.received_at = self.received_at.max(self.arrivals.at(now, len + whole - 1));
                    self.tested_at = None;
                    let event = match self.phase {
                        SessionPhase::New => self.on_logon(begin, body),
                        _ => FixEvent::Taken { is_answered: self.on_message(now, begin, body, around) },
                    };
                    return FixTaken { len: len + whole, event: Some(event) };
                }
            }
        }
        FixTaken { len, event: None }
    }

    /// Queues an entry.
    fn push(&mut self, target: FixTarget, payload: Vec<u8>) {
        self.next_seq += 1;
        self.entries.push_back(FixEntry { target, payload });
    }

    /// Queues a note: the number that is expected next, and a message to the client.
    fn note(&mut self, flags: u8, body: &[u8]) {
        let note = FixNote { flags, next_in: self.next_in, body };
        self.note_due = false;
        self.push(FixTarget::Gateways, note.encode());
    }

    /// A message with a number was taken that leads to no other entry. A note shows its number, at most ten
    /// times a second; in between the next entry does.
    fn note_silently(&mut self, now: Nanos) {
        let pause_ns = self.limits.second_ns / 10;
        if self.noted_at.is_none_or(|at| now >= at + pause_ns) {
            self.noted_at = Some(now);
            self.note(0, b"");
        } else {
            self.note_due = true;
        }
    }

    /// Handles a message whose number is too high.
    fn on_ahead(&mut self, now: Nanos, number: u64, is_again: bool) {
        let (expected, times) = (self.next_in, self.gap_times());
        let since = self.garbled_at.unwrap_or(now);
        // The first message with that number or a later one.
        if !is_again && self.gap.is_none_or(|gap| gap.is_filled(number)) {
            self.garbled_at = None;
        }
        let asks = match &mut self.gap {
            Some(gap) => gap.on_ahead(number, is_again, expected),
            None => {
                self.gap = Some(Gap::open((since, now), times, number, expected));
                true
            }
        };
        if asks {
            self.ask();
        }
    }

    /// Queues a Resend Request.
    fn ask(&mut self) {
        self.counts.asked += 1;
        if let Some(gap) = &mut self.gap {
            gap.on_asked(self.next_in);
        }
        let mut body = b"35=2\x01".to_vec();
        put(&mut body, tags::BEGIN_SEQ_NO, self.next_in);
        put(&mut body, tags::END_SEQ_NO, 0);
        self.note(SENDS | ADMIN, &body);
    }

    fn too_low(&self, number: u64) -> String {
        format!("MsgSeqNum too low, expecting {} but received {number}", self.next_in)
    }

    fn gap_times(&self) -> GapTimes {
        let interval_ns = self.logon.as_ref().map_or(1, |logon| logon.heartbeat_s) * self.limits.second_ns;
        GapTimes { interval_ns, message_ns: self.message_ns }
    }

    /// Requests the missing messages again, or gives up.
    fn turn_gap(&mut self, now: Nanos) {
        let (times, is_stalled, expected) = (self.gap_times(), !self.entries.is_empty(), self.next_in);
        let Some(gap) = &mut self.gap else { return };
        match gap.turn(now, times, is_stalled) {
            GapStep::Wait => {}
            GapStep::Ask => self.ask(),
            GapStep::GiveUp => {
                let asked = gap.asked();
                self.counts.abandoned += 1;
                let text = format!(
                    "MsgSeqNum {expected} was asked for and did not come, in {asked} Resend Requests"
                );
                self.log_out(now, DisconnectReason::Fault, &text);
            }
        }
    }

    /// Queues a Logout, after which the connection ends.
    fn log_out(&mut self, now: Nanos, reason: DisconnectReason, text: &str) {
        if self.leaving.is_some() {
            return;
        }
        let mut body = b"35=5\x01".to_vec();
        if !text.is_empty() {
            put_text(&mut body, tags::TEXT, text.as_bytes());
        }
        self.note(SENDS | ADMIN | LOGOUT, &body);
        self.leaving = Some(SessionEnd { reason, since: now, text: text.to_owned() });
    }

    /// The gateway ends the connection: it queues a Logout with this text. `false`: close the connection
    /// without a message.
    pub fn part(&mut self, now: Nanos, reason: DisconnectReason, text: &str) -> bool {
        let can = self.phase == SessionPhase::Open && self.leaving.is_none();
        if can {
            self.log_out(now, reason, text);
        }
        can
    }

    /// Its bytes are not read now, because the gateway waits for the stream or for its turn: that does not
    /// count as silence.
    pub fn on_unread(&mut self, now: Nanos) {
        self.received_at = self.received_at.max(now);
        self.arrivals.on_unread(now);
    }

    /// Queues what is due. Returns why the connection ends, if it does.
    pub fn on_timer(&mut self, now: Nanos) -> Option<FixEnd> {
        if let Some(end) = &self.leaving {
            let is_late = now >= end.since + self.limits.parting_ns;
            return is_late.then_some(FixEnd::Parted(end.reason));
        }
        let heartbeat_ns = match (self.phase, &self.logon) {
            (SessionPhase::New, _) => {
                return (now >= self.since + self.limits.login_ns).then_some(FixEnd::LoginLate);
            }
            (SessionPhase::Open, Some(logon)) => logon.heartbeat_s * self.limits.second_ns,
            _ => return None,
        };
        // The "reasonable transmission time" of the specification is a fifth of the interval here.
        let patience = heartbeat_ns + heartbeat_ns / 5;
        if now >= self.received_at + 2 * patience {
            return Some(FixEnd::Silent);
        }
        self.turn_gap(now);
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
        } else if self.note_due {
            self.note_silently(now);
        }
        None
    }
}

#[cfg(test)]
mod tests;
