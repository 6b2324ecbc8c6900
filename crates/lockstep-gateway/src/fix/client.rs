//! The state of one FIX client that follows from the stream: the numbers of its session, and its orders.

use super::codec::{FixFields, put, put_text};
use super::note::{FixNote, LOGON, LOGOUT, NAMES_NEXT, RESET, SENDS};
use super::orders::FixOrders;
use super::record::FixRecord;
use super::report::ReportPlace;
use super::tags;
use super::value::utc_text;
use lockstep_core::engine::subscriber::Message;
use lockstep_wire::{Nanos, PublisherSeq, Seq};

/// The state of a client: see the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixClient {
    /// Whether its user speaks FIX by the users' file.
    is_listed: bool,
    /// Whether it has logged in by FIX in this trading day.
    has_notes: bool,
    /// The MsgSeqNum that is expected of the client next.
    next_in: u64,
    /// The number of messages to it in this trading day before its number 1.
    base: u64,
    /// Whether its login was stamped in this trading day: what an older login had under way when the day
    /// began is neither counted nor reported.
    is_of_day: bool,
    /// Its publisher's last number.
    last_seq: PublisherSeq,
    /// The ClOrdID of its next order or cancel.
    name: Option<Vec<u8>>,
    orders: FixOrders,
}

impl Default for FixClient {
    fn default() -> Self {
        let orders = FixOrders::default();
        let (is_listed, has_notes) = (false, false);
        Self { is_listed, has_notes, next_in: 1, base: 0, is_of_day: true, last_seq: 0, name: None, orders }
    }
}

impl FixClient {
    /// Whether it speaks FIX. The stream shows it even if this gateway's users' file is an older one.
    pub fn is_fix(&self) -> bool {
        self.is_listed || self.has_notes
    }

    /// Sets whether the users' file lists it as a FIX user.
    pub fn set_listed(&mut self, is_listed: bool) {
        self.is_listed = is_listed;
    }

    /// The MsgSeqNum that is expected of the client next.
    pub fn next_in(&self) -> u64 {
        self.next_in
    }

    /// The last number of its publisher's entries.
    pub fn last_seq(&self) -> PublisherSeq {
        self.last_seq
    }

    /// Its orders.
    pub fn orders(&self) -> &FixOrders {
        &self.orders
    }

    /// The MsgSeqNum of this day's `count`th message to it, counted from 1; 0: it was sent before the numbers
    /// began anew.
    pub fn number_of(&self, count: u64) -> u64 {
        count.saturating_sub(self.base)
    }

    /// The position among the day's messages to it of the message with this MsgSeqNum.
    pub fn count_of(&self, number: u64) -> u64 {
        number.saturating_add(self.base)
    }

    /// The state of a client whose first open entry was read, after `stored` messages to it in this trading
    /// day. A gateway that has read the stream from its beginning has stored none.
    pub fn opened_behind(stored: u64) -> Self {
        Self { base: stored, ..Self::default() }
    }

    /// Handles its open entry; `last` is its publisher's last number.
    pub fn on_opened(&mut self, last: PublisherSeq) {
        (self.is_of_day, self.last_seq, self.name) = (true, last, None);
    }

    /// A trading day begins, and with it the client's numbers and orders. The result is the same at a gateway
    /// that has read no earlier day.
    pub fn on_day(&mut self) {
        let (is_listed, last_seq) = (self.is_listed, self.last_seq);
        *self = Self { is_listed, last_seq, is_of_day: false, ..Self::default() };
    }

    /// Handles a stamped message of the client to the application. Resulting messages to the client are
    /// passed to `send`.
    pub fn on_own(&mut self, message: &Message<'_>, send: &mut impl FnMut(FixRecord<'_>)) {
        self.last_seq = message.publisher_seq;
        let (place, name) = (place_of(message), self.name.take());
        if !self.is_of_day {
            return;
        }
        self.next_in += 1;
        self.orders.on_own(place, message.payload, name, &mut report(message.timestamp, send));
    }

    /// Handles a stamped message of the application to the client. Resulting messages to the client are
    /// passed to `send`. Returns whether it is a message of OUCH 5.0.
    pub fn on_application(&mut self, message: &Message<'_>, send: &mut impl FnMut(FixRecord<'_>)) -> bool {
        let send = &mut report(message.timestamp, send);
        self.orders.on_application(place_of(message), message.payload, send)
    }

    /// Handles a stamped note of its publisher. `sent` is the number of messages to it in this day so far.
    /// The resulting message to the client, if there is one, is passed to `send`. Returns whether a session
    /// may begin with that message.
    pub fn on_note(
        &mut self,
        (seq, timestamp): (Seq, Nanos),
        note: &FixNote<'_>,
        sent: u64,
        send: &mut impl FnMut(FixRecord<'_>),
    ) -> bool {
        self.last_seq += 1;
        if !self.is_of_day {
            return false;
        }
        self.has_notes = true;
        if note.has(NAMES_NEXT) {
            self.name = Some(note.body.to_vec());
            return false;
        }
        if note.has(RESET) {
            self.base = sent;
        }
        if note.next_in > 0 {
            self.next_in = note.next_in;
        }
        if note.has(SENDS) {
            let fields = completed(note.body, ReportPlace { seq, timestamp });
            send(FixRecord { flags: note.flags, timestamp, fields: &fields });
        }
        note.has(LOGON | LOGOUT)
    }
}

fn place_of(message: &Message<'_>) -> ReportPlace {
    ReportPlace { seq: message.seq, timestamp: message.timestamp }
}

fn report(timestamp: Nanos, send: &mut impl FnMut(FixRecord<'_>)) -> impl FnMut(Vec<u8>) {
    move |fields| send(FixRecord { flags: 0, timestamp, fields: &fields })
}

/// Completes a gateway's own execution report: its ExecID is the seq of its note, and its time that of the
/// note.
fn completed(body: &[u8], place: ReportPlace) -> Vec<u8> {
    let (fields, _) = FixFields::parse(body);
    if fields.kind() != tags::EXECUTION_REPORT {
        return body.to_vec();
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    for (tag, value) in fields.iter() {
        if tag == tags::EXEC_TYPE {
            put(&mut out, tags::EXEC_ID, place.seq);
        }
        put_text(&mut out, tag, value);
    }
    put(&mut out, tags::TRANSACT_TIME, utc_text(place.timestamp));
    out
}
