//! A client of FIX by the committed log: the numbers of its session in both directions, and the message that
//! each number stands for.
//!
//! ```text
//!   number to it    ◀─ each answer's reports, each note with a message, counted since day or reset began
//!   number of it    ─▶ the entry that took it: an order, or a note that steps over it
//! ```

use super::fix_reports::{FixEntryPlace, FixFieldList, FixReports, is_limit};
use super::fix_wire::{utc, value};
use crate::check::Violation;
use lockstep_wire::{Nanos, Seq};
use ouch50::{Inbound, Outbound};
use std::collections::BTreeSet;

/// Of a note: its first byte, and the flags behind it, as `docs` of the gateway's `fix::note` have them.
const NOTE: u8 = 0xf1;
const SENDS: u8 = 1;
const ADMIN: u8 = 2;
const RESET: u8 = 16;
const NAMES_NEXT: u8 = 32;

/// A message that one number stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FixModelMessage {
    pub(super) time: Nanos,
    /// A resend leaves it out, and fills its place.
    pub(super) is_admin: bool,
    pub(super) fields: FixFieldList,
}

/// Numbers that count together: those of a day, or since a reset.
#[derive(Clone, Debug, Default)]
pub(super) struct FixSeries {
    pub(super) day: usize,
    pub(super) messages: Vec<FixModelMessage>,
    /// Number of the last report among them.
    pub(super) last_report: u64,
}

/// The entry that took numbers of the client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum FixTaker {
    /// An order, replacement or cancel for the application: its letter, ClOrdID and quantity.
    Request(char, String, u32),
    /// A note, with the message to the client, if there is one.
    Note(FixFieldList),
}

/// Numbers of the client's that one entry took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FixTaken {
    pub(super) series: usize,
    pub(super) from: u64,
    /// Exclusive.
    pub(super) to: u64,
    pub(super) by: FixTaker,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct FixModel {
    who: &'static str,
    pub(super) series: Vec<FixSeries>,
    pub(super) taken: Vec<FixTaken>,
    /// The number that is expected of the client next.
    pub(super) next_in: u64,
    is_of_day: bool,
    is_open: bool,
    name: Option<String>,
    names: BTreeSet<String>,
    numbers: BTreeSet<u32>,
    reports: FixReports,
    /// The latest time from which an order of time has set the stream back.
    pub(super) set_back_from: Nanos,
}

impl FixModel {
    /// An operator's order, and the time before it if it is one of time.
    pub(super) fn on_time_order(&mut self, before: Option<Nanos>) {
        self.set_back_from = self.set_back_from.max(before.unwrap_or(0));
    }

    pub(super) fn new(who: &'static str) -> Self {
        Self {
            who,
            series: vec![FixSeries::default()],
            taken: Vec::new(),
            next_in: 1,
            is_of_day: true,
            is_open: true,
            name: None,
            names: BTreeSet::new(),
            numbers: BTreeSet::new(),
            reports: FixReports::default(),
            set_back_from: 0,
        }
    }

    /// The newest series.
    pub(super) fn newest(&self) -> usize {
        self.series.len() - 1
    }

    /// The message with this number.
    pub(super) fn message(&self, series: usize, number: u64) -> Option<&FixModelMessage> {
        self.series.get(series)?.messages.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Series and number of the newest Logon with this HeartBtInt.
    pub(super) fn logon(&self, heartbeat: &str) -> Option<(usize, u64)> {
        let is_it = |message: &FixModelMessage| {
            value(&message.fields, 35) == Some("A") && value(&message.fields, 108) == Some(heartbeat)
        };
        let of = |series: &FixSeries| series.messages.iter().rposition(is_it);
        self.series.iter().enumerate().rev().find_map(|(at, series)| Some((at, of(series)? as u64 + 1)))
    }

    pub(super) fn on_opened(&mut self) {
        (self.is_of_day, self.name) = (true, None);
    }

    /// A day begins or ends; `day` is the one that begins.
    pub(super) fn on_day(&mut self, begins: Option<usize>) {
        self.is_open = begins.is_some();
        if let Some(day) = begins {
            self.series.push(FixSeries { day, ..FixSeries::default() });
            (self.next_in, self.is_of_day) = (1, false);
            // Orders end with the day.
            self.reports = FixReports::default();
        }
    }

    fn send(&mut self, time: Nanos, is_admin: bool, fields: FixFieldList) {
        // Nothing has a number while no day is open.
        if self.is_open
            && let Some(series) = self.series.last_mut()
        {
            series.messages.push(FixModelMessage { time, is_admin, fields });
            if !is_admin {
                series.last_report = series.messages.len() as u64;
            }
        }
    }

    /// An entry of its own for the application.
    pub(super) fn on_own(&mut self, place: FixEntryPlace, payload: &[u8]) -> Result<(), Violation> {
        let who = self.who;
        let named = self.name.take();
        let wrong = |what: &str| format!("EDGE: {who} has {what} at {}", place.0);
        let entry = Inbound::parse(payload).map_err(|_| wrong("an order that is none of OUCH 5.0"))?;
        let (letter, number, own_name, quantity) = match &entry {
            Inbound::EnterOrder(order) => {
                if !is_limit(order.price) {
                    return Err(wrong("a market order, and sent none"));
                }
                ('D', Some(order.user_ref_num), order.cl_ord_id.text(), order.quantity)
            }
            Inbound::ReplaceOrder(order) => {
                ('G', Some(order.user_ref_num), order.cl_ord_id.text(), order.quantity)
            }
            Inbound::CancelOrder(_) => ('F', None, &b""[..], 0),
            _ => return Err(wrong("a request of a kind that it never sends")),
        };
        let name = named.unwrap_or_else(|| String::from_utf8_lossy(own_name).into_owned());
        if !self.names.insert(name.clone()) || number.is_some_and(|number| !self.numbers.insert(number)) {
            return Err(format!(
                "EDGE: the order {name} of {who}, number {number:?}, is stamped twice, again at {}",
                place.0
            ));
        }
        if !self.is_of_day {
            return Ok(());
        }
        self.take(self.next_in + 1, FixTaker::Request(letter, name.clone(), quantity));
        for fields in self.reports.on_own(place, &entry, &name) {
            self.send(place.1, false, fields);
        }
        Ok(())
    }

    fn take(&mut self, to: u64, by: FixTaker) {
        let (series, from) = (self.newest(), self.next_in);
        self.taken.push(FixTaken { series, from, to, by });
        self.next_in = to;
    }

    /// A message of the application to it.
    pub(super) fn on_answer(&mut self, place: FixEntryPlace, payload: &[u8]) -> Result<(), Violation> {
        let answer = Outbound::parse(payload)
            .map_err(|_| format!("EDGE: the answer to {} at {} is none of OUCH 5.0", self.who, place.0))?;
        for fields in self.reports.on_answer(place, &answer) {
            self.send(place.1, false, fields);
        }
        Ok(())
    }

    /// A note of its publisher.
    pub(super) fn on_note(&mut self, (seq, time): (Seq, Nanos), payload: &[u8]) -> Result<(), Violation> {
        let who = self.who;
        let Some(([NOTE, flags, next_in @ ..], body)) = payload.split_first_chunk::<10>() else {
            return Err(format!("EDGE: {who} has a note at {seq} that is none: {payload:02x?}"));
        };
        let next_in = next_in.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        if flags & NAMES_NEXT != 0 {
            self.name = Some(String::from_utf8_lossy(body).into_owned());
        }
        if !self.is_of_day || flags & NAMES_NEXT != 0 {
            return Ok(());
        }
        if flags & RESET != 0 {
            let day = self.series[self.newest()].day;
            self.series.push(FixSeries { day, ..FixSeries::default() });
            self.next_in = 1;
        }
        let body = String::from_utf8_lossy(body);
        let mut fields = FixFieldList::new();
        for field in body.split_terminator('\x01') {
            let (tag, value) = field.split_once('=').unwrap_or(("0", field));
            fields.push((tag.parse().unwrap_or(0), value.to_owned()));
        }
        if next_in < self.next_in {
            return Err(format!(
                "EDGE: {who} is expected to send {next_in} by the note at {seq}, after {}",
                self.next_in - 1
            ));
        }
        let asked = value(&fields, 7).filter(|_| value(&fields, 35) == Some("2"));
        if asked.is_some_and(|asked| asked.parse() != Ok(next_in)) {
            return Err(format!("EDGE: {who} is asked for {asked:?} at {seq}, and {next_in} is expected"));
        }
        if next_in > self.next_in {
            self.take(next_in, FixTaker::Note(fields.clone()));
        }
        if flags & SENDS != 0 {
            if value(&fields, 35) == Some("8") {
                fields.extend([(17, seq.to_string()), (60, utc(time))]);
            }
            self.send(time, flags & ADMIN != 0, fields);
        }
        Ok(())
    }
}
