//! A client's side of FIX, message by message.

use super::place::{FixPlace, STEP};
use crate::fix::codec::{Framed, next_frame, seal};

/// Whether a message of this type has a TransactTime.
pub(super) fn is_request(kind: &str) -> bool {
    matches!(kind, "35=D" | "35=F" | "35=G")
}

/// A client's connection.
pub(super) struct Trader {
    user: &'static str,
    gateway: usize,
    conn: usize,
    /// The number of its next message.
    pub(super) next: u64,
    inbox: Vec<u8>,
    is_closed: bool,
}

impl Trader {
    pub(super) fn connect(place: &mut FixPlace, gateway: usize) -> Self {
        Self::of(place, gateway, "alice")
    }

    pub(super) fn of(place: &mut FixPlace, gateway: usize, user: &'static str) -> Self {
        let conn = place.accept(gateway).expect("room");
        Self { user, gateway, conn, next: 1, inbox: Vec::new(), is_closed: false }
    }

    /// It reconnects to another gateway, with its next number.
    pub(super) fn reconnect(self, place: &mut FixPlace, gateway: usize) -> Self {
        let mut again = Self::of(place, gateway, self.user);
        again.next = self.next;
        again
    }

    pub(super) fn close(&mut self, place: &mut FixPlace) {
        place.on_closed(self.gateway, self.conn);
        place.advance(5 * STEP);
    }

    pub(super) fn send_bytes(&mut self, place: &mut FixPlace, bytes: &[u8]) {
        if !self.is_closed {
            place.on_bytes(self.gateway, self.conn, bytes);
        }
        place.advance(STEP);
    }

    /// Sends a message with its complete header.
    pub(super) fn send_whole(&mut self, place: &mut FixPlace, text: &str) {
        let mut bytes = Vec::new();
        seal("FIX.4.4", text.replace('|', "\x01").as_bytes(), &mut bytes);
        self.send_bytes(place, &bytes);
    }

    /// Sends a message with another number than the next.
    pub(super) fn send_as(&mut self, place: &mut FixPlace, number: u64, text: &str) {
        let (time, user) = (place.time_text(), self.user);
        let (kind, rest) = text.split_once('|').expect("a type");
        let stamp = if is_request(kind) { format!("60={time}|") } else { String::new() };
        self.send_whole(place, &format!("{kind}|34={number}|49={user}|56=LOCKSTEP|52={time}|{rest}{stamp}"));
        self.next = self.next.max(number + 1);
    }

    pub(super) fn send(&mut self, place: &mut FixPlace, text: &str) {
        self.send_as(place, self.next, text);
    }

    pub(super) fn log_on(&mut self, place: &mut FixPlace, more: &str) {
        let user = self.user;
        self.send(place, &format!("35=A|98=0|108=30|{more}553={user}|554=secret|"));
    }

    pub(super) fn order(&mut self, place: &mut FixPlace, name: &str, quantity: u32) {
        self.send(place, &format!("35=D|11={name}|55=ABC|54=1|38={quantity}|40=2|44=10|"));
    }

    fn pump(&mut self, place: &mut FixPlace) {
        place.advance(2 * STEP);
        if self.is_closed {
            return;
        }
        let Some((bytes, is_done)) = place.take_out(self.gateway, self.conn) else { return };
        self.inbox.extend_from_slice(&bytes);
        if is_done {
            place.on_closed(self.gateway, self.conn);
            self.is_closed = true;
        }
    }

    pub(super) fn is_closed(&mut self, place: &mut FixPlace) -> bool {
        self.pump(place);
        self.is_closed
    }

    /// Everything received since the last call: number, type, and fields behind the header, with
    /// `43=Y|52=…|122=…` before those of a message that was sent again.
    pub(super) fn received(&mut self, place: &mut FixPlace) -> Vec<String> {
        (0..3).for_each(|_| self.pump(place));
        let mut lines = Vec::new();
        while let Framed::Whole { begin, body, len } = next_frame(&self.inbox) {
            assert_eq!(begin, b"FIX.4.4");
            let text = String::from_utf8_lossy(body).replace('\x01', "|");
            let (kind, rest) =
                text.split_once(&format!("|49=LOCKSTEP|56={}|34=", self.user)).expect("our header");
            let (number, rest) = rest.split_once("|52=").expect("a time");
            let (time, rest) = rest.split_once('|').expect("more");
            let rest = rest.trim_end_matches('|');
            let rest = match rest.strip_prefix("43=Y|") {
                Some(again) => format!("43=Y|52={time}|{again}"),
                None => rest.to_owned(),
            };
            lines.push(format!("{number} {} {rest}", kind.trim_start_matches("35=")));
            self.inbox.drain(..len);
        }
        assert!(self.inbox.is_empty(), "{:?}", String::from_utf8_lossy(&self.inbox));
        lines
    }
}
