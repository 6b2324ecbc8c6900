//! Messages of a logged-on client: judged by their numbers, then by their types.

use super::{EarlyRequest, FixClocks, FixSession, FixSurroundings, FixTarget, NUMBER_MAX, TEXT_LEN_MAX};
use crate::fix::codec::{FieldFault, FixFields, put, put_text};
use crate::fix::dictionary;
use crate::fix::enter::{EntryContext, EntryRefusal, enter};
use crate::fix::note::{ADMIN, FixNote, NAMES_NEXT, SENDS};
use crate::fix::record::FixEnds;
use crate::fix::session::FixResend;
use crate::fix::tags;
use crate::fix::value::parse_utc;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_wire::Nanos;

/// The most waiting resend requests; a client with more is logged out.
pub(super) const RESENDS_MAX: usize = 8;

/// A received message, and its number.
pub(super) struct Incoming<'a> {
    pub(super) fields: &'a FixFields<'a>,
    pub(super) number: u64,
    /// PossDupFlag.
    is_again: bool,
    /// The first fault of its fields.
    fault: Option<FieldFault>,
}

impl FixSession {
    /// Handles a message. Returns whether it is a message of the session that is answered.
    pub(super) fn on_message(
        &mut self,
        now: Nanos,
        begin: &[u8],
        body: &[u8],
        around: FixSurroundings<'_>,
    ) -> bool {
        let (fields, fault) = FixFields::parse(body);
        let number = fields.number(tags::MSG_SEQ_NUM).filter(|number| *number < NUMBER_MAX);
        let Some(number) = number else {
            self.log_out(now, DisconnectReason::Fault, "MsgSeqNum(34) is missing or no number");
            return false;
        };
        let is_again = fields.get(tags::POSS_DUP_FLAG) == Some(b"Y");
        let fault = fault.or_else(|| dictionary::fault(&fields));
        let message = Incoming { fields: &fields, number, is_again, fault };
        let (expected, times) = (self.next_in, self.gap_times());
        let is_answered = self.take_message(now, begin, &message, around);
        // The message that filled the gap was sent again, so bytes that were garbled since may have followed
        // it.
        if self.next_in > expected && self.gap.is_none() {
            self.garbled_at = None;
        }
        if let Some(gap) = &mut self.gap {
            if self.next_in > expected {
                gap.on_message(times);
            }
            if gap.is_filled(self.next_in) {
                self.gap = None;
            }
        }
        is_answered
    }

    /// Handles a message by its number.
    fn take_message(
        &mut self,
        now: Nanos,
        begin: &[u8],
        message: &Incoming<'_>,
        around: FixSurroundings<'_>,
    ) -> bool {
        let (fields, number, kind) = (message.fields, message.number, message.fields.kind());
        if let Some(ends) = self.ends() {
            if begin != ends.version.begin().as_bytes() {
                self.log_out(now, DisconnectReason::Fault, "BeginString is that of the Logon");
                return false;
            }
            if !are_those(fields, ends) {
                self.reject_and_leave(now, message, 9, "CompIDs are those of the Logon");
                return true;
            }
        }
        let is_reset = match kind {
            tags::SEQUENCE_RESET => fields.get(tags::GAP_FILL_FLAG) != Some(b"Y"),
            tags::LOGON => fields.get(tags::RESET_SEQ_NUM_FLAG) == Some(b"Y"),
            _ => false,
        };
        if !is_reset && number == 0 {
            self.log_out(now, DisconnectReason::Fault, "MsgSeqNum(34) is 0");
            return false;
        }
        if !is_reset && number < self.next_in {
            return self.on_low(now, message);
        }
        if !is_reset && number > self.next_in {
            return self.on_high(now, message);
        }
        let answers = is_of_session(kind);
        if let Some(fault) = message.fault {
            self.reject_field(message, fault);
            return answers;
        }
        // A message that fills a gap was never sent before, whatever its flag says.
        let is_again = message.is_again && kind != tags::SEQUENCE_RESET;
        match check_times(fields, is_again, around.clocks, self.limits.accuracy_ns) {
            Err((_, ACCURACY, text)) => self.reject_and_leave(now, message, ACCURACY, text),
            Err((tag, reason, text)) => self.reject(message, Some(tag), reason, text),
            Ok(_) if is_reset && kind == tags::LOGON => self.on_reset_logon(now, message),
            Ok(_) if is_reset => return self.on_sequence_reset(now, message),
            Ok(_) => return self.on_next(now, message, around),
        }
        answers
    }

    /// Handles a number that was received already. A resend is ignored, if it is marked as one.
    fn on_low(&mut self, now: Nanos, message: &Incoming<'_>) -> bool {
        if !message.is_again {
            let text = self.too_low(message.number);
            self.log_out(now, DisconnectReason::Fault, &text);
            return false;
        }
        if message.fields.kind() == tags::SEQUENCE_RESET {
            return false;
        }
        match check_times(message.fields, true, FixClocks::default(), 0) {
            Ok(_) => return false,
            Err((_, ACCURACY, text)) => self.reject_and_leave(now, message, ACCURACY, text),
            Err((tag, reason, text)) => self.reject_unnumbered(message, Some(tag), reason, text),
        }
        true
    }

    /// Handles a number behind a missing one.
    fn on_high(&mut self, now: Nanos, message: &Incoming<'_>) -> bool {
        let mut is_answered = false;
        match message.fields.kind() {
            // Both sides may lack something: otherwise each would wait for the other.
            tags::RESEND_REQUEST => is_answered = !self.take_resend_request(now, message),
            tags::LOGOUT => {
                self.log_out(now, DisconnectReason::Logout, "");
                return false;
            }
            _ => {}
        }
        if self.leaving.is_none() {
            self.on_ahead(now, message.number, message.is_again);
        }
        is_answered
    }

    /// Handles the next message in sequence.
    fn on_next(&mut self, now: Nanos, message: &Incoming<'_>, around: FixSurroundings<'_>) -> bool {
        let fields = message.fields;
        match fields.kind() {
            tags::SEQUENCE_RESET => return self.on_gap_fill(now, message),
            tags::RESEND_REQUEST => {
                self.next_in += 1;
                if self.take_resend_request(now, message) {
                    self.note_silently(now);
                    return false;
                }
            }
            tags::TEST_REQUEST => match fields.get(tags::TEST_REQ_ID).filter(|id| id.len() <= TEXT_LEN_MAX) {
                Some(id) => {
                    self.next_in += 1;
                    let mut body = b"35=0\x01".to_vec();
                    put_text(&mut body, tags::TEST_REQ_ID, id);
                    self.note(SENDS | ADMIN, &body);
                }
                None => self.reject(message, Some(tags::TEST_REQ_ID), 5, "a TestReqID of 1 to 64 characters"),
            },
            tags::LOGOUT => {
                self.next_in += 1;
                self.log_out(now, DisconnectReason::Logout, "");
            }
            tags::LOGON => self.reject(message, Some(tags::MSG_TYPE), 99, "it is logged on already"),
            tags::HEARTBEAT | tags::REJECT | tags::BUSINESS_MESSAGE_REJECT => {
                self.next_in += 1;
                self.note_silently(now);
                return false;
            }
            tags::NEW_ORDER_SINGLE | tags::ORDER_CANCEL_REQUEST | tags::ORDER_CANCEL_REPLACE_REQUEST => {
                self.on_request(now, message, around);
                return false;
            }
            kind if self.ends().is_some_and(|ends| !ends.version.has_type(kind)) => {
                self.reject(message, None, INVALID_TYPE, "this version has no such message type");
                return false;
            }
            _ => {
                self.reject_business(message, 3, "this message type is not supported");
                return false;
            }
        }
        true
    }

    fn on_request(&mut self, now: Nanos, message: &Incoming<'_>, around: FixSurroundings<'_>) {
        if !around.has_destination {
            return self.reject_business(message, 4, "the recipient of your messages has never logged in");
        }
        // Numbers are counted from the last entry on.
        if self.note_due {
            self.note(0, b"");
        }
        let (orders, submitted, next_seq) = (around.orders, &self.submitted, self.next_seq);
        match enter(message.fields, EntryContext { orders, submitted, next_seq }) {
            Ok(entered) => {
                if let Some(name) = entered.name {
                    // The note has no number of its own: the entry behind it has.
                    let note = FixNote { flags: NAMES_NEXT, next_in: 0, body: &name };
                    self.push(FixTarget::Gateways, note.encode());
                }
                self.next_in += 1;
                self.push(FixTarget::Application, entered.payload);
                self.submitted.extend(entered.order);
            }
            Err(EntryRefusal::Reject { tag, reason, text }) => self.reject(message, Some(tag), reason, text),
            Err(EntryRefusal::Answer(body)) => {
                self.next_in += 1;
                self.note(SENDS, &body);
            }
            Err(EntryRefusal::Known) => {
                self.next_in += 1;
                self.note_silently(now);
            }
        }
    }

    /// SequenceReset in its reset mode: its own number does not matter.
    fn on_sequence_reset(&mut self, now: Nanos, message: &Incoming<'_>) -> bool {
        let text = "NewSeqNo(36) is below the number that is expected";
        self.move_to(now, message, self.next_in, text)
    }

    fn on_gap_fill(&mut self, now: Nanos, message: &Incoming<'_>) -> bool {
        self.move_to(now, message, self.next_in + 1, "NewSeqNo(36) is not above MsgSeqNum")
    }

    /// Expects NewSeqNo next, if that is at least `least`. Otherwise nothing changes: an unfilled number is
    /// not taken.
    fn move_to(&mut self, now: Nanos, message: &Incoming<'_>, least: u64, text: &str) -> bool {
        match message.fields.number(tags::NEW_SEQ_NO).filter(|next| *next < NUMBER_MAX) {
            Some(next) if next >= least => {
                self.next_in = next;
                self.note_silently(now);
                return false;
            }
            Some(_) => self.reject_unnumbered(message, Some(tags::NEW_SEQ_NO), 5, text),
            None => self.reject_unnumbered(message, Some(tags::NEW_SEQ_NO), 6, "NewSeqNo(36) is no number"),
        }
        true
    }

    /// `false`: it was rejected, or its client is logged out.
    fn take_resend_request(&mut self, now: Nanos, message: &Incoming<'_>) -> bool {
        if let Some(fault) = message.fault {
            self.reject_unnumbered(message, fault.tag, fault.reason, fault.text);
            return false;
        }
        let number = |tag| message.fields.number(tag).unwrap_or(u64::MAX);
        let (begin, end) = (number(tags::BEGIN_SEQ_NO), number(tags::END_SEQ_NO));
        if self.resends.len() + self.early.len() == RESENDS_MAX {
            self.log_out(now, DisconnectReason::Fault, "too many resend requests wait");
            return false;
        }
        self.early.push_back(EarlyRequest { number: message.number, begin, end });
        self.answers_due > 0 || self.take_early()
    }

    /// The sent numbers are known: judges the resend requests that waited for that. `false`: one was
    /// rejected.
    pub(super) fn take_early(&mut self) -> bool {
        if self.answers_due > 0 {
            return true;
        }
        let last = self.next_out.map_or(0, |next| next - 1);
        let mut are_right = true;
        for EarlyRequest { number, begin, end } in std::mem::take(&mut self.early) {
            if begin > 0 && begin <= last && (end == 0 || end >= begin) {
                let to = if end == 0 { last } else { end.min(last) };
                self.resends.push_back(FixResend { next: begin, to, gap: None });
            } else {
                let text = "BeginSeqNo(7) and EndSeqNo(16) name no messages that were sent";
                let body = reject_body((number, tags::RESEND_REQUEST), Some(tags::BEGIN_SEQ_NO), 5, text);
                self.note(SENDS | ADMIN, &body);
                are_right = false;
            }
        }
        are_right
    }

    /// Rejects a message, and takes its number. A Sequence Reset has no number, and what it says about
    /// numbers does not hold.
    fn reject(&mut self, message: &Incoming<'_>, tag: Option<u32>, reason: u32, text: &str) {
        let is_next = message.number == self.next_in && message.fields.kind() != tags::SEQUENCE_RESET;
        self.next_in += u64::from(is_next);
        self.reject_unnumbered(message, tag, reason, text);
    }

    fn reject_unnumbered(&mut self, message: &Incoming<'_>, tag: Option<u32>, reason: u32, text: &str) {
        let body = reject_body((message.number, message.fields.kind()), tag, reason, text);
        self.note(SENDS | ADMIN, &body);
    }

    fn reject_field(&mut self, message: &Incoming<'_>, fault: FieldFault) {
        self.reject(message, fault.tag, fault.reason, fault.text);
    }

    fn reject_business(&mut self, message: &Incoming<'_>, reason: u32, text: &str) {
        self.next_in += 1;
        let mut body = b"35=j\x01".to_vec();
        put(&mut body, tags::REF_SEQ_NUM, message.number);
        put_text(&mut body, tags::REF_MSG_TYPE, short(message.fields.kind()));
        if let Some(name) = message.fields.get(tags::CL_ORD_ID) {
            put_text(&mut body, tags::BUSINESS_REJECT_REF_ID, &name[..name.len().min(TEXT_LEN_MAX)]);
        }
        put(&mut body, tags::BUSINESS_REJECT_REASON, reason);
        put_text(&mut body, tags::TEXT, text.as_bytes());
        self.note(SENDS, &body);
    }

    /// The two messages that the specification requires for a wrong CompID and a wrong time.
    fn reject_and_leave(&mut self, now: Nanos, message: &Incoming<'_>, reason: u32, text: &str) {
        self.reject(message, None, reason, text);
        self.log_out(now, DisconnectReason::Fault, text);
    }
}

/// Whether messages of this type belong to the session.
fn is_of_session(kind: &[u8]) -> bool {
    matches!(kind, b"0" | b"1" | b"2" | b"3" | b"4" | b"5" | b"A")
}

/// Whether the CompIDs are those of the session. A missing one is a missing required field.
fn are_those(fields: &FixFields<'_>, ends: &FixEnds) -> bool {
    fields.get(tags::SENDER_COMP_ID).is_none_or(|id| id == ends.client)
        && fields.get(tags::TARGET_COMP_ID).is_none_or(|id| id == ends.own.as_bytes())
}

/// SessionRejectReason: SendingTime accuracy problem, invalid MsgType.
const ACCURACY: u32 = 10;
const INVALID_TYPE: u32 = 11;

pub(super) const ACCURACY_TEXT: &str = "SendingTime is too far from the exchange's time";

/// SendingTime, and OrigSendingTime of a message that is sent again: the first of them, or tag, reason and
/// text of the fault.
pub(super) fn check_times(
    fields: &FixFields<'_>,
    is_again: bool,
    clocks: FixClocks,
    accuracy_ns: Nanos,
) -> Result<Nanos, (u32, u32, &'static str)> {
    let read = |tag| match fields.get(tag) {
        None => Err((tag, 1, "a time is missing")),
        Some(text) => parse_utc(text).ok_or((tag, 6, "a time is YYYYMMDD-HH:MM:SS.sss")),
    };
    let sent = read(tags::SENDING_TIME)?;
    if !clocks.is_accurate(sent, accuracy_ns) {
        return Err((tags::SENDING_TIME, ACCURACY, ACCURACY_TEXT));
    }
    if is_again && read(tags::ORIG_SENDING_TIME)? > sent {
        return Err((tags::ORIG_SENDING_TIME, ACCURACY, "OrigSendingTime is later than SendingTime"));
    }
    Ok(sent)
}

/// The part of a message type that an answer repeats.
fn short(kind: &[u8]) -> &[u8] {
    &kind[..kind.len().min(8)]
}

fn reject_body((number, kind): (u64, &[u8]), tag: Option<u32>, reason: u32, text: &str) -> Vec<u8> {
    let mut body = b"35=3\x01".to_vec();
    put(&mut body, tags::REF_SEQ_NUM, number);
    if let Some(tag) = tag {
        put(&mut body, tags::REF_TAG_ID, tag);
    }
    put_text(&mut body, tags::REF_MSG_TYPE, short(kind));
    put(&mut body, tags::SESSION_REJECT_REASON, reason);
    put_text(&mut body, tags::TEXT, text.as_bytes());
    body
}
