//! What the stream has of one FIX client: the numbers of its session, and its orders.

use super::codec::{FixFields, put, put_text};
use super::note::{FixNote, LOGON, LOGOUT, NAMES_NEXT, RESET, SENDS};
use super::orders::FixOrders;
use super::record::FixRecord;
use super::report::ReportPlace;
use super::tags;
use super::value::utc_text;
use lockstep_core::engine::subscriber::Message;
use lockstep_wire::{Nanos, PublisherSeq, Seq};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixClient {
    /// Its user speaks FIX, by the users' file, ...
    is_listed: bool,
    /// ... or it has logged in so in this trading day.
    has_notes: bool,
    /// The MsgSeqNum that is expected of the client next.
    next_in: u64,
    /// Messages to it in this trading day before its number 1.
    base: u64,
    /// Its login stands in this trading day: what an older one had under way when the day began is neither
    /// counted nor reported.
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
    /// Whether it speaks FIX. The stream shows it, also where the users' file of this gateway is an older
    /// one.
    pub fn is_fix(&self) -> bool {
        self.is_listed || self.has_notes
    }

    /// The users' file has it so.
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

    /// The MsgSeqNum of the message that is this day's `count`th to it, counted from 1; 0: it was sent before
    /// the numbers began anew.
    pub fn number_of(&self, count: u64) -> u64 {
        count.saturating_sub(self.base)
    }

    /// Which of the day's messages to it has this MsgSeqNum.
    pub fn count_of(&self, number: u64) -> u64 {
        number.saturating_add(self.base)
    }

    /// A client whose first open entry is read: so many messages to it in this trading day were stored
    /// before. A gateway that has read the stream from its beginning has stored none.
    pub fn opened_behind(stored: u64) -> Self {
        Self { base: stored, ..Self::default() }
    }

    /// Its open entry; `last` is its publisher's last number.
    pub fn on_opened(&mut self, last: PublisherSeq) {
        (self.is_of_day, self.last_seq, self.name) = (true, last, None);
    }

    /// A trading day begins: so do its numbers, and its orders. A gateway that has read no day before this
    /// one must count the same.
    pub fn on_day(&mut self) {
        let (is_listed, last_seq) = (self.is_listed, self.last_seq);
        *self = Self { is_listed, last_seq, is_of_day: false, ..Self::default() };
    }

    /// A message of its own is stamped, for the application. Messages to it are passed to `send`.
    pub fn on_own(&mut self, message: &Message<'_>, send: &mut impl FnMut(FixRecord<'_>)) {
        self.last_seq = message.publisher_seq;
        let (place, name) = (place_of(message), self.name.take());
        if !self.is_of_day {
            return;
        }
        self.next_in += 1;
        self.orders.on_own(place, message.payload, name, &mut report(message.timestamp, send));
    }

    /// A message to it is stamped. Messages to it are passed to `send`. Returns whether it is one of OUCH
    /// 5.0.
    pub fn on_application(&mut self, message: &Message<'_>, send: &mut impl FnMut(FixRecord<'_>)) -> bool {
        let send = &mut report(message.timestamp, send);
        self.orders.on_application(place_of(message), message.payload, send)
    }

    /// A note of its publisher is stamped. `sent`: messages to it in this day so far. The message to it, if
    /// there is one, is passed to `send`. Returns whether a session may begin with that message.
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

/// A gateway's own execution report has the seq of its note as ExecID, and its time.
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
