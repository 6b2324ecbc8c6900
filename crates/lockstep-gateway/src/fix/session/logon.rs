//! Logons: the first message of a connection, and a Logon within a session, which begins both numbers anew.

use super::incoming::{ACCURACY_TEXT, Incoming, check_times};
use super::{FixClocks, FixEvent, FixLogon, FixSession, NUMBER_MAX, SECOND, SessionPhase, TEXT_LEN_MAX};
use crate::fix::client::FixClient;
use crate::fix::codec::{FixFields, put};
use crate::fix::dictionary;
use crate::fix::note::{ADMIN, LOGON, RESET, SENDS};
use crate::fix::record::{FixEnds, FixVersion};
use crate::fix::tags;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Nanos;

/// Longest interval of heartbeats, in seconds.
const HEARTBEAT_S_MAX: u64 = 3_600;
/// The interval of a session whose Logon is answered by a Logout, as that Logon has none.
const HEARTBEAT_S: u64 = 30;
/// The text for a client that requests new numbers in a message with another number than 1.
const RESET_NEEDS_ONE: &str = "ResetSeqNumFlag=Y needs MsgSeqNum 1";

/// The state of a client whose logon is accepted.
#[derive(Clone, Copy, Debug)]
pub struct FixAccount<'a> {
    /// Its state in the stream, at its open entry.
    pub client: &'a FixClient,
    /// The clocks by which its times are judged.
    pub clocks: FixClocks,
    /// The messages a second that are taken from it.
    pub rate: u32,
}

impl FixSession {
    pub(super) fn on_logon(&mut self, begin: &[u8], body: &[u8]) -> FixEvent {
        let cut = |why: &str| FixEvent::Cut(why.to_owned());
        let (fields, fault) = FixFields::parse(body);
        if fields.kind() != tags::LOGON {
            return cut("its first message is no Logon");
        }
        let Some(version) = FixVersion::of(begin) else {
            return cut("its BeginString is not FIX.4.2, FIX.4.4 or FIXT.1.1");
        };
        if let Some(fault) = fault.or_else(|| dictionary::repeated(&fields).err()) {
            let tag =
                fault.tag.map_or_else(|| "a field without a tag".to_owned(), |tag| format!("tag {tag}"));
            return FixEvent::Cut(format!("its Logon, {tag}: {}", fault.text));
        }
        match read_logon(&fields, version, &self.own) {
            Ok(logon) => {
                self.phase = SessionPhase::Pending;
                // The password is not needed any more.
                self.logon = Some(FixLogon { password: Vec::new(), ..logon.clone() });
                FixEvent::Logon(Box::new(logon))
            }
            Err(why) => cut(why),
        }
    }

    /// The user is authenticated, and its open entry was delivered. Queues the answer. Returns the reason if
    /// the answer is a Logout.
    pub fn accept(&mut self, now: Nanos, account: FixAccount<'_>) -> Option<String> {
        let logon = self.logon.as_ref()?;
        let (number, heartbeat_s, resets) = (logon.number, logon.heartbeat_s, logon.resets);
        let is_late = !account.clocks.is_accurate(logon.sent, self.limits.accuracy_ns);
        let terms = logon.refusal.or(is_late.then_some(ACCURACY_TEXT));
        self.phase = SessionPhase::Open;
        self.message_ns = SECOND / Nanos::from(account.rate.max(1));
        (self.received_at, self.sent_at) = (now, now);
        (self.next_in, self.next_seq) = (account.client.next_in(), account.client.last_seq() + 1);
        if planted(Mutation::FixForgetsSent) {
            self.next_in = self.next_in.saturating_sub(1).max(1);
        }
        let refusal: Option<String> = match terms {
            Some(why) => Some(why.to_owned()),
            None if resets && number != 1 => Some(RESET_NEEDS_ONE.to_owned()),
            None if !resets && number < self.next_in => Some(self.too_low(number)),
            None => None,
        };
        if let Some(why) = refusal {
            self.log_out(now, DisconnectReason::Fault, &why);
            return Some(why);
        }
        if resets {
            self.next_in = 1;
        }
        let is_next = number == self.next_in;
        self.next_in += u64::from(is_next);
        self.answer_logon(heartbeat_s, resets);
        if !is_next {
            self.on_ahead(now, number, false);
        }
        None
    }

    /// Queues the answer to a Logon.
    fn answer_logon(&mut self, heartbeat_s: u64, resets: bool) {
        let mut body = b"35=A\x01".to_vec();
        put(&mut body, tags::ENCRYPT_METHOD, 0);
        put(&mut body, tags::HEART_BT_INT, heartbeat_s);
        if resets {
            put(&mut body, tags::RESET_SEQ_NUM_FLAG, 'Y');
        }
        self.answers_due += 1;
        self.note(SENDS | ADMIN | LOGON | if resets { RESET } else { 0 }, &body);
    }

    /// A Logon with ResetSeqNumFlag within the session: both numbers begin anew, with this message and with
    /// its answer. Requests for former numbers are dropped on either side.
    pub(super) fn on_reset_logon(&mut self, now: Nanos, message: &Incoming<'_>) {
        let named =
            message.fields.get(tags::USERNAME).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
        let is_another =
            self.logon.as_ref().is_some_and(|logon| named.is_some_and(|named| named != logon.user));
        let terms = match read_terms(message.fields) {
            _ if message.number != 1 => Err(RESET_NEEDS_ONE),
            _ if is_another => Err(OTHER_USER),
            terms => terms,
        };
        match terms {
            Err(why) => self.log_out(now, DisconnectReason::Fault, why),
            Ok(heartbeat_s) => {
                (self.gap, self.next_in) = (None, 2);
                self.resends.clear();
                self.early.clear();
                if let Some(logon) = &mut self.logon {
                    logon.heartbeat_s = heartbeat_s;
                }
                self.answer_logon(heartbeat_s, true);
            }
        }
    }
}

const OTHER_USER: &str = "its SenderCompID and Username differ";

/// Reads a Logon; the error is the reason why the connection is closed.
fn read_logon(fields: &FixFields<'_>, version: FixVersion, own: &str) -> Result<FixLogon, &'static str> {
    let client = fields.get(tags::SENDER_COMP_ID).ok_or("its Logon has no SenderCompID")?;
    if fields.get(tags::TARGET_COMP_ID) != Some(own.as_bytes()) {
        return Err("its TargetCompID is not the gateway's (--fix-comp-id)");
    }
    let number = fields.number(tags::MSG_SEQ_NUM).filter(|number| (1..NUMBER_MAX).contains(number));
    let number = number.ok_or("its Logon has no MsgSeqNum")?;
    // The client's CompID is its user; a different Username is an error.
    let user = String::from_utf8_lossy(client).to_ascii_lowercase();
    let named = fields.get(tags::USERNAME).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    if client.len() > TEXT_LEN_MAX || named.is_some_and(|named| named != user) {
        return Err(OTHER_USER);
    }
    let password = fields.get(tags::PASSWORD).or(fields.get(tags::RAW_DATA));
    let password = password.ok_or("its Logon has no Password(554) and no RawData(96)")?.to_vec();
    let ends = FixEnds { version, own: own.to_owned(), client: client.to_vec() };
    let resets = fields.get(tags::RESET_SEQ_NUM_FLAG) == Some(b"Y");
    // The client learns it only once its password has authenticated the user.
    let (heartbeat_s, terms) = match read_terms(fields) {
        Ok(heartbeat_s) => (heartbeat_s, None),
        Err(why) => (HEARTBEAT_S, Some(why)),
    };
    let (sent, times) = match check_times(fields, false, FixClocks::default(), 0) {
        Ok(sent) => (sent, None),
        Err((_, _, why)) => (0, Some(why)),
    };
    Ok(FixLogon { ends, number, sent, heartbeat_s, resets, refusal: terms.or(times), user, password })
}

/// HeartBtInt, if the gateway accepts it and the other terms of a Logon.
fn read_terms(fields: &FixFields<'_>) -> Result<u64, &'static str> {
    if fields.get(tags::ENCRYPT_METHOD) != Some(b"0") {
        return Err("EncryptMethod(98) is missing, or not 0 (none)");
    }
    let heartbeat_s = fields.number(tags::HEART_BT_INT).filter(|s| (1..=HEARTBEAT_S_MAX).contains(s));
    heartbeat_s.ok_or("HeartBtInt(108) is missing, or not 1 to 3600 seconds")
}
