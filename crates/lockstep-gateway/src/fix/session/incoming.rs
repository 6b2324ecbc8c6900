//! Messages of a client that is logged on: by their numbers, then by their types.

use super::{FixSession, FixSurroundings, FixTarget, NUMBER_MAX, TEXT_LEN_MAX};
use crate::fix::codec::{FieldFault, FixFields, put, put_text};
use crate::fix::enter::{EntryContext, EntryRefusal, enter};
use crate::fix::note::{ADMIN, FixNote, NAMES_NEXT, SENDS};
use crate::fix::session::FixResend;
use crate::fix::tags;
use crate::fix::value::parse_utc;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_wire::Nanos;

/// Resend requests that wait; a client with more is logged out.
pub(super) const RESENDS_MAX: usize = 8;

/// A message that came, and its number.
pub(super) struct Incoming<'a> {
    fields: &'a FixFields<'a>,
    number: u64,
}

impl FixSession {
    pub(super) fn on_message(&mut self, now: Nanos, begin: &[u8], body: &[u8], around: FixSurroundings<'_>) {
        let (fields, fault) = FixFields::parse(body);
        let Some(number) = fields.number(tags::MSG_SEQ_NUM).filter(|number| (1..NUMBER_MAX).contains(number))
        else {
            return self.log_out(now, DisconnectReason::Fault, "MsgSeqNum(34) is missing or no number");
        };
        let message = Incoming { fields: &fields, number };
        if let Err(text) = self.check_ends(begin, &fields) {
            return self.reject_and_leave(now, &message, 9, text);
        }
        let is_again = fields.get(tags::POSS_DUP_FLAG) == Some(b"Y");
        if self.take_out_of_order(now, &message, is_again) {
            return;
        }
        if let Some(fault) = fault {
            return self.reject_field(&message, fault);
        }
        match check_times(&fields, is_again, around.time, self.limits.accuracy_ns) {
            Ok(()) => self.on_next(now, &message, around),
            Err((_, ACCURACY, text)) => self.reject_and_leave(now, &message, ACCURACY, text),
            Err((tag, reason, text)) => self.reject(&message, Some(tag), reason, text),
        }
    }

    fn check_ends(&self, begin: &[u8], fields: &FixFields<'_>) -> Result<(), &'static str> {
        let Some(ends) = self.ends() else { return Ok(()) };
        let is_same = begin == ends.version.begin().as_bytes()
            && fields.get(tags::SENDER_COMP_ID) == Some(&ends.client)
            && fields.get(tags::TARGET_COMP_ID) == Some(ends.own.as_bytes());
        if is_same { Ok(()) } else { Err("BeginString and CompIDs are those of the Logon") }
    }

    /// Messages whose number is not the next one, and those whose number does not matter. `true`: it is dealt
    /// with.
    fn take_out_of_order(&mut self, now: Nanos, message: &Incoming<'_>, is_again: bool) -> bool {
        let (fields, number) = (message.fields, message.number);
        let is_reset = fields.kind() == tags::SEQUENCE_RESET && fields.get(tags::GAP_FILL_FLAG) != Some(b"Y");
        if is_reset {
            self.on_sequence_reset(message);
            return true;
        }
        if number < self.next_in {
            if !is_again {
                let text = format!("MsgSeqNum too low, expecting {} but received {number}", self.next_in);
                self.log_out(now, DisconnectReason::Fault, &text);
            }
            return true;
        }
        if number > self.next_in {
            match fields.kind() {
                // Both sides may lack something: otherwise each would wait for the other.
                tags::RESEND_REQUEST => {
                    self.take_resend_request(now, message);
                    self.request_resend(number);
                }
                tags::LOGOUT => self.log_out(now, DisconnectReason::Logout, ""),
                _ => self.request_resend(number),
            }
            return true;
        }
        false
    }

    /// The next message.
    fn on_next(&mut self, now: Nanos, message: &Incoming<'_>, around: FixSurroundings<'_>) {
        let fields = message.fields;
        match fields.kind() {
            tags::SEQUENCE_RESET => self.on_gap_fill(message),
            tags::RESEND_REQUEST => {
                self.next_in += 1;
                if self.take_resend_request(now, message) {
                    self.note(0, b"");
                }
            }
            tags::TEST_REQUEST => match fields.get(tags::TEST_REQ_ID).filter(|id| id.len() <= TEXT_LEN_MAX) {
                Some(id) => {
                    self.next_in += 1;
                    let mut body = b"35=0\x01".to_vec();
                    put_text(&mut body, tags::TEST_REQ_ID, id);
                    self.note(SENDS | ADMIN, &body);
                }
                None => self.reject(message, Some(tags::TEST_REQ_ID), 1, "a TestReqID of 1 to 64 characters"),
            },
            tags::LOGOUT => {
                self.next_in += 1;
                self.log_out(now, DisconnectReason::Logout, "");
            }
            tags::LOGON => self.reject(message, Some(tags::MSG_TYPE), 99, "it is logged on already"),
            tags::HEARTBEAT | tags::REJECT | tags::BUSINESS_MESSAGE_REJECT => {
                self.next_in += 1;
                self.note(0, b"");
            }
            tags::NEW_ORDER_SINGLE | tags::ORDER_CANCEL_REQUEST | tags::ORDER_CANCEL_REPLACE_REQUEST => {
                self.on_request(message, around);
            }
            _ => self.reject_business(message, 3, "this message type is not supported"),
        }
    }

    fn on_request(&mut self, message: &Incoming<'_>, around: FixSurroundings<'_>) {
        if !around.has_destination {
            return self.reject_business(message, 4, "whom your messages are for has never logged in");
        }
        let (orders, submitted, next_seq) = (around.orders, &self.submitted, self.next_seq);
        match enter(message.fields, EntryContext { orders, submitted, next_seq }) {
            Ok(entered) => {
                if let Some(name) = entered.name {
                    // It has no number of its own: the entry behind it has.
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
        }
    }

    /// SequenceReset in its mode of reset: whatever its number is.
    fn on_sequence_reset(&mut self, message: &Incoming<'_>) {
        match message.fields.number(tags::NEW_SEQ_NO).filter(|next| *next < NUMBER_MAX) {
            Some(next) if next >= self.next_in => {
                self.next_in = next;
                self.note(0, b"");
            }
            // It takes no number: it may be any.
            _ => {
                let text = "NewSeqNo(36) is missing, or below the number that is expected";
                let body = reject_body(message, Some(tags::NEW_SEQ_NO), 5, text);
                self.note(SENDS | ADMIN, &body);
            }
        }
    }

    fn on_gap_fill(&mut self, message: &Incoming<'_>) {
        match message.fields.number(tags::NEW_SEQ_NO).filter(|next| *next < NUMBER_MAX) {
            Some(next) if next > self.next_in => {
                self.next_in = next;
                self.note(0, b"");
            }
            _ => {
                let text = "NewSeqNo(36) is missing, or not above MsgSeqNum";
                self.reject(message, Some(tags::NEW_SEQ_NO), 5, text);
            }
        }
    }

    /// `false`: it was rejected, or its client is logged out.
    fn take_resend_request(&mut self, now: Nanos, message: &Incoming<'_>) -> bool {
        let (begin, end) =
            (message.fields.number(tags::BEGIN_SEQ_NO), message.fields.number(tags::END_SEQ_NO));
        let last = self.next_out.map_or(0, |next| next - 1);
        match begin.zip(end) {
            Some((begin, end)) if begin > 0 && begin <= last && (end == 0 || end >= begin) => {
                if self.resends.len() == RESENDS_MAX {
                    self.log_out(now, DisconnectReason::Fault, "too many resend requests wait");
                    return false;
                }
                let to = if end == 0 { last } else { end.min(last) };
                self.resends.push_back(FixResend { next: begin, to, gap: None });
                true
            }
            _ => {
                let text = "BeginSeqNo(7) and EndSeqNo(16) name no messages that were sent";
                let body = reject_body(message, Some(tags::BEGIN_SEQ_NO), 5, text);
                self.note(SENDS | ADMIN, &body);
                false
            }
        }
    }

    /// Takes a message's number and rejects it.
    fn reject(&mut self, message: &Incoming<'_>, tag: Option<u32>, reason: u32, text: &str) {
        self.next_in += 1;
        let body = reject_body(message, tag, reason, text);
        self.note(SENDS | ADMIN, &body);
    }

    fn reject_field(&mut self, message: &Incoming<'_>, fault: FieldFault) {
        self.reject(message, fault.tag, fault.reason, "a field has no tag, no value or no end");
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

    /// The two messages that the specification has for a wrong CompID and a wrong time.
    fn reject_and_leave(&mut self, now: Nanos, message: &Incoming<'_>, reason: u32, text: &str) {
        if message.number == self.next_in {
            self.next_in += 1;
        }
        let body = reject_body(message, None, reason, text);
        self.note(SENDS | ADMIN, &body);
        self.log_out(now, DisconnectReason::Fault, text);
    }
}

/// SessionRejectReason: SendingTime accuracy problem.
const ACCURACY: u32 = 10;

/// SendingTime, and OrigSendingTime of a message that is sent again. The tag, the reason, and a text.
fn check_times(
    fields: &FixFields<'_>,
    is_again: bool,
    time: Nanos,
    accuracy_ns: Nanos,
) -> Result<(), (u32, u32, &'static str)> {
    let read = |tag| match fields.get(tag) {
        None => Err((tag, 1, "a time is missing")),
        Some(text) => parse_utc(text).ok_or((tag, 6, "a time is YYYYMMDD-HH:MM:SS.sss")),
    };
    let sent = read(tags::SENDING_TIME)?;
    if time > 0 && sent.abs_diff(time) > accuracy_ns {
        return Err((tags::SENDING_TIME, ACCURACY, "SendingTime is too far from the exchange's time"));
    }
    if is_again && read(tags::ORIG_SENDING_TIME)? > sent {
        return Err((tags::ORIG_SENDING_TIME, ACCURACY, "OrigSendingTime is later than SendingTime"));
    }
    Ok(())
}

/// As much of a message type as an answer repeats.
fn short(kind: &[u8]) -> &[u8] {
    &kind[..kind.len().min(8)]
}

fn reject_body(message: &Incoming<'_>, tag: Option<u32>, reason: u32, text: &str) -> Vec<u8> {
    let mut body = b"35=3\x01".to_vec();
    put(&mut body, tags::REF_SEQ_NUM, message.number);
    if let Some(tag) = tag {
        put(&mut body, tags::REF_TAG_ID, tag);
    }
    put_text(&mut body, tags::REF_MSG_TYPE, short(message.fields.kind()));
    put(&mut body, tags::SESSION_REJECT_REASON, reason);
    put_text(&mut body, tags::TEXT, text.as_bytes());
    body
}
