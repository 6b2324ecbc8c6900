//! A client of FIX behind gateways: it counts its own numbers in both directions, and goes to another gateway
//! when its connection ends, with its next numbers.
//!
//! Each message that it receives is compared with the books, each number of its own with the entry that took
//! it: `judging`.

mod judging;
mod sending;

use super::fix_books::FixModel;
use super::fix_wire::FixText;
use super::users;
use crate::check::Violation;
use crate::coverage::Event;
use crate::rng::Rng;
use lockstep_wire::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// The gateways' CompID.
pub(super) const COMP_ID: &str = "LOCKSTEP";
/// HeartBtInt is a number of these.
pub(super) const INTERVAL_NS: Nanos = 50_000;
/// HeartBtInt of the first logon; each further one has one more, by which its answer is recognized.
const HEARTBEAT_MIN: u64 = 100;
const HEARTBEATS: u64 = 3_400;
/// The time between two tries to connect.
const AGAIN_NS: Nanos = 1_000_000;
/// A connection that brings nothing for so long is closed.
const PATIENCE_NS: Nanos = 30_000_000;

/// A message under one of its numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
enum SentMessage {
    /// One of the session's own, or a number that was stepped over.
    Admin,
    /// A request, as it was sent first: its ClOrdID, letter and quantity, its fields, and its time.
    Request {
        name: String,
        letter: char,
        quantity: u32,
        fields: Vec<(u32, String)>,
        sent_at: String,
        /// Its client filled its place instead of sending it again: it must not be stamped.
        is_dropped: bool,
        /// Its client stepped over its number when it was not stamped yet: it may be stamped, or be lost.
        is_stepped_over: bool,
    },
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FixStage {
    Away,
    /// The Logon is sent.
    Asking,
    Open,
    /// A Logout was sent or received.
    Parting,
    /// It closes the connection.
    Over,
}

/// See the module.
#[derive(Debug)]
pub(super) struct FixTrader {
    pub(super) user: usize,
    /// Its connection, by number.
    pub(super) link: Option<u64>,
    begin: &'static str,
    stage: FixStage,
    inbox: Vec<u8>,
    /// The gateway that it tries next, and the time.
    pub(super) gateway: usize,
    pub(super) retry_at: Nanos,
    /// The numbers that count together in which it is, by the books; none: both numbers are to begin anew.
    session: Option<usize>,
    /// The next numbers to it and of it.
    next_in: u64,
    next_out: u64,
    sent: BTreeMap<u64, SentMessage>,
    /// Those of other series.
    sent_before: BTreeMap<usize, BTreeMap<u64, SentMessage>>,
    /// Entries of the books that were compared.
    judged: usize,
    logons: u64,
    /// It resets both numbers, and has no answer yet.
    resets: bool,
    /// It lacks messages, and has asked for them, up to this number.
    asked_to: u64,
    /// Where resends begin that were asked for; and the number with which the present one goes on.
    resends: VecDeque<u64>,
    resent_next: u64,
    /// The TestReqID that is to come back.
    tested: Option<String>,
    /// Its requests, for the name of the next; and orders that it may cancel or replace.
    names: u64,
    orders: Vec<(String, char)>,
    /// The gateway that answered its last Logon.
    answered_by: Option<usize>,
    pub(super) left: u64,
    every_ns: Nanos,
    order_at: Nanos,
    pub(super) deaf_until: Nanos,
    /// It is to log out, and to return then.
    pub(super) leaves_until: Option<Nanos>,
    received_at: Nanos,
    sent_at: Nanos,
}

impl FixTrader {
    pub(super) fn new(user: usize, begin: &'static str, (orders, every_ns): (u64, Nanos)) -> Self {
        Self {
            user,
            link: None,
            begin,
            stage: FixStage::Away,
            inbox: Vec::new(),
            gateway: user,
            retry_at: 0,
            session: None,
            next_in: 1,
            next_out: 1,
            sent: BTreeMap::new(),
            sent_before: BTreeMap::new(),
            judged: 0,
            logons: 0,
            resets: false,
            asked_to: 0,
            resends: VecDeque::new(),
            resent_next: 0,
            tested: None,
            names: 0,
            orders: Vec::new(),
            answered_by: None,
            left: orders,
            every_ns,
            order_at: 0,
            deaf_until: 0,
            leaves_until: None,
            received_at: 0,
            sent_at: 0,
        }
    }

    fn who(&self) -> &'static str {
        users::name(self.user)
    }

    /// HeartBtInt of the present logon.
    fn heartbeat(&self) -> u64 {
        HEARTBEAT_MIN + self.logons % HEARTBEATS
    }

    fn interval_ns(&self) -> Nanos {
        self.heartbeat() * INTERVAL_NS
    }

    /// It has connected by this link: returns the Logon to be sent.
    pub(super) fn log_in(&mut self, now: Nanos, wall: Nanos, link: u64, rng: &mut Rng) -> Vec<u8> {
        self.logons += 1;
        (self.link, self.stage, self.tested) = (Some(link), FixStage::Asking, None);
        (self.received_at, self.asked_to, self.resent_next) = (now, 0, 0);
        self.inbox.clear();
        self.resends.clear();
        // Now and then it has lost its place, and begins both numbers anew.
        self.resets |= self.session.is_some() && rng.below(16) == 0;
        if self.resets {
            self.begin_anew();
        }
        let mut fields = vec![(98, "0".to_owned()), (108, self.heartbeat().to_string())];
        if self.resets {
            fields.push((141, "Y".to_owned()));
        }
        if self.begin == "FIX.4.2" {
            fields.extend([(95, "6".to_owned()), (96, "secret".to_owned())]);
        } else {
            fields.extend([(553, self.who().to_owned()), (554, "secret".to_owned())]);
        }
        if self.begin == "FIXT.1.1" {
            fields.push((1137, "9".to_owned()));
        }
        self.message(now, wall, "A", fields, SentMessage::Admin)
    }

    /// Both numbers begin anew.
    fn begin_anew(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        if let Some(series) = self.session.take() {
            self.sent_before.insert(series, sent);
        }
        (self.next_in, self.next_out) = (1, 1);
    }

    /// Its connection is gone.
    pub(super) fn disconnect(&mut self, now: Nanos, gateways: usize) {
        (self.link, self.stage) = (None, FixStage::Away);
        self.gateway = (self.gateway + 1) % gateways.max(1);
        self.retry_at = self.retry_at.max(now + AGAIN_NS);
    }

    /// Whether it may read now.
    pub(super) fn reads(&self, now: Nanos) -> bool {
        now >= self.deaf_until
    }

    /// Whether it closes its connection.
    pub(super) fn ended(&self, now: Nanos) -> bool {
        self.stage == FixStage::Over || self.link.is_some() && now >= self.received_at + PATIENCE_NS
    }

    /// The time of its next action without an arrival.
    pub(super) fn next_at(&self) -> Nanos {
        let at = self.received_at + PATIENCE_NS;
        match self.stage {
            FixStage::Away => self.retry_at,
            FixStage::Over => 0,
            FixStage::Asking | FixStage::Parting => at,
            FixStage::Open if self.leaves_until.is_some() => 0,
            FixStage::Open => {
                let at = at.min(self.sent_at + self.interval_ns());
                let at = if self.tested.is_none() { at.min(self.test_at()) } else { at };
                if self.left > 0 { at.min(self.order_at) } else { at }
            }
        }
    }

    fn test_at(&self) -> Nanos {
        self.received_at + self.interval_ns() * 6 / 5
    }

    /// Whether it is logged in, and has everything that the books have for it, sent and received.
    pub(super) fn is_done(&self, model: &FixModel, day: Option<usize>) -> Result<(), String> {
        let who = self.who();
        let newest = model.newest();
        if day.is_none_or(|day| day != model.series[newest].day) {
            return Err(format!("{who}: no day is open"));
        }
        if self.stage != FixStage::Open || self.session != Some(newest) {
            return Err(format!("{who}: {:?}, not logged in", self.stage));
        }
        let is_request = |sent: &SentMessage| matches!(sent, SentMessage::Request { .. });
        let last_out = self.sent.iter().rev().find(|(_, sent)| is_request(sent)).map_or(0, |(at, _)| *at);
        let (last_in, stamped) = (model.series[newest].last_report, model.next_in);
        if self.left > 0 || last_out >= stamped || self.next_in <= last_in || !self.resends.is_empty() {
            return Err(format!(
                "{who}: {} left, sent {last_out} and {stamped} is expected, counts {} of {last_in}, asks for {:?}",
                self.left, self.next_in, self.resends
            ));
        }
        Ok(())
    }

    /// What it has sent under the numbers of a series.
    fn sent_in(&self, series: usize) -> Option<&BTreeMap<u64, SentMessage>> {
        if self.session == Some(series) { Some(&self.sent) } else { self.sent_before.get(&series) }
    }

    /// Takes bytes that arrived, and returns its answers. `model` is what the committed log has of it.
    pub(super) fn on_bytes(
        &mut self,
        (now, wall): (Nanos, Nanos),
        bytes: &[u8],
        model: &FixModel,
        open_day: Option<usize>,
        rng: &mut Rng,
        mut notify: impl FnMut(Event),
    ) -> Result<Vec<u8>, Violation> {
        self.inbox.extend_from_slice(bytes);
        let mut out = Vec::new();
        while self.stage != FixStage::Over {
            let decoded = FixText::decode(&self.inbox);
            let decoded = decoded.map_err(|why| format!("EDGE: {} is sent no FIX: {why}", self.who()))?;
            let Some((message, len)) = decoded else { break };
            self.inbox.drain(..len);
            self.received_at = now;
            self.on_message((now, wall), &message, (model, open_day), rng, &mut out, &mut notify)?;
        }
        self.judge_taken(model, false)?;
        Ok(out)
    }

    /// All its requests are in the stream under their numbers, each once.
    pub(super) fn judge(&mut self, model: &FixModel) -> Result<(), Violation> {
        self.judge_taken(model, true)
    }
}
