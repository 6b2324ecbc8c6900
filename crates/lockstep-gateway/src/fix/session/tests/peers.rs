//! Peers that answer and request wrongly, in every way that the session's state table leaves open, over lines
//! that damage and delay their bytes. Within three times HeartBtInt each order of a peer is in the stream, or
//! refused with a text, or its session has ended; and so has the session of a peer that sends nothing whole
//! any more.

mod answers;
mod line;

use super::{TIME, frame};
use crate::fix::client::FixClient;
use crate::fix::codec::{FixFields, Framed, next_frame};
use crate::fix::note::{FixNote, LOGON, LOGOUT};
use crate::fix::record::FixRecord;
use crate::fix::session::{
    FixAccount, FixClocks, FixEnd, FixEvent, FixSession, FixSessionLimits, FixSurroundings, FixTarget,
};
use crate::fix::tags;
use answers::{ANSWERS, Peer};
use line::{Line, WAYS, noise};
use lockstep_core::engine::subscriber::Message;
use lockstep_memory::rng::Rng;
use lockstep_testkit::lane::amount;
use lockstep_wire::Nanos;
use std::collections::VecDeque;

const S: Nanos = 1_000_000_000;
/// HeartBtInt, and the time between two steps.
const INTERVAL: Nanos = S;
const STEP: Nanos = S / 20;
/// The longest time from an order to its outcome: three intervals, and one step on either side.
const BOUND: Nanos = 3 * INTERVAL + 2 * STEP;
/// The longest time of a logon.
const LIMITS: FixSessionLimits =
    FixSessionLimits { login_ns: 3 * INTERVAL, accuracy_ns: 120 * S, parting_ns: S, second_ns: S };

/// The gateway's side of one connection, and a stream that stamps entries a little later.
struct Gate {
    session: FixSession,
    client: FixClient,
    published: VecDeque<(Nanos, FixTarget, Vec<u8>)>,
    publisher_seq: u64,
    seq: u64,
    /// Stamped messages to the client, and how many of them were sent before this connection.
    records: VecDeque<Vec<u8>>,
    count: u64,
    inbox: Vec<u8>,
    has_new: bool,
    is_closed: bool,
    orders: Vec<String>,
}

impl Gate {
    fn new() -> Self {
        Self {
            session: FixSession::new(0, LIMITS, "LOCKSTEP"),
            client: FixClient::default(),
            published: VecDeque::new(),
            publisher_seq: 0,
            seq: 0,
            records: VecDeque::new(),
            count: 0,
            inbox: Vec::new(),
            has_new: false,
            is_closed: false,
            orders: Vec::new(),
        }
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        self.has_new |= !bytes.is_empty();
    }

    fn turn(&mut self, now: Nanos, delay: Nanos) -> Vec<u8> {
        // As a gateway does.
        if std::mem::take(&mut self.has_new) {
            self.take(now);
        }
        while let Some(entry) = self.session.next_entry().cloned() {
            self.published.push_back((now + delay, entry.target, entry.payload));
            self.session.on_published();
        }
        self.stamp(now);
        let mut out = Vec::new();
        while !self.is_closed && self.session.resend().is_none() && self.session.next_out().is_some() {
            let Some(bytes) = self.records.pop_front() else { break };
            let record = FixRecord::decode(&bytes).expect("a record");
            if record.flags & crate::fix::note::RESET != 0 {
                self.session.restart();
            }
            let number = self.session.next_out().expect("it has begun");
            let ends = self.session.ends().expect("a logon").clone();
            ends.write(&record, number, record.timestamp, &mut out);
            self.session.on_sent(now, &record);
            self.is_closed |= record.is_logout();
        }
        // Another test checks the gateway's resends: they are skipped here.
        while self.session.resend().is_some() {
            self.session.on_resent(now);
        }
        self.is_closed |= match self.session.on_timer(now) {
            Some(FixEnd::Silent | FixEnd::LoginLate | FixEnd::Parted(_)) => true,
            None => false,
        };
        out
    }

    fn take(&mut self, now: Nanos) {
        let Self { session, client, inbox, is_closed, .. } = self;
        let clocks = FixClocks { stream: TIME + now, gateway: 0 };
        while !*is_closed && !inbox.is_empty() {
            let around = FixSurroundings { clocks, orders: client.orders(), has_destination: true };
            let taken = session.on_bytes(now, inbox, around);
            inbox.drain(..taken.len);
            match taken.event {
                Some(FixEvent::Cut(_)) => *is_closed = true,
                Some(FixEvent::Logon(_)) => {
                    session.accept(now, FixAccount { client, clocks, rate: 10_000 });
                }
                Some(FixEvent::Taken { .. }) => {}
                None => break,
            }
        }
    }

    fn stamp(&mut self, now: Nanos) {
        while self.published.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, target, payload)) = self.published.pop_front() else { break };
            self.seq += 1;
            let (seq, timestamp) = (self.seq, TIME + now);
            let mut stored = Vec::new();
            match target {
                FixTarget::Application => {
                    self.publisher_seq += 1;
                    let message = Message {
                        seq,
                        publisher: 1,
                        publisher_seq: self.publisher_seq,
                        destination: 0,
                        timestamp,
                        payload: &payload,
                    };
                    let before = self.client.last_seq();
                    self.client.on_own(&message, &mut |_| {});
                    assert_eq!(self.client.last_seq(), before + 1);
                    self.session.on_delivered(self.publisher_seq);
                    if let Ok(ouch50::Inbound::EnterOrder(order)) = ouch50::Inbound::parse(&payload) {
                        self.orders.push(String::from_utf8_lossy(order.cl_ord_id.text()).into_owned());
                    }
                }
                FixTarget::Gateways => {
                    self.publisher_seq += 1;
                    let note = FixNote::decode(&payload).expect("a note");
                    let count = self.count;
                    let begins = self.client.on_note((seq, timestamp), &note, count, &mut |record| {
                        let mut bytes = Vec::new();
                        record.encode(&mut bytes);
                        stored.push(bytes);
                    });
                    if begins && self.session.next_out().is_none() {
                        self.session.begin(self.client.number_of(count + 1));
                    }
                    assert!(begins == note.has(LOGON | LOGOUT));
                }
            }
            self.count += stored.len() as u64;
            self.records.extend(stored);
        }
    }
}

/// How a peer answers a Test Request.
#[derive(Clone, Copy, Debug)]
enum Tested {
    Right,
    WrongId,
    WithoutId,
    Twice,
    ByAnother,
    Never,
}

const TESTED: [Tested; 7] = [
    Tested::Right,
    Tested::Right,
    Tested::WrongId,
    Tested::WithoutId,
    Tested::Twice,
    Tested::ByAnother,
    Tested::Never,
];

/// What a peer still sends once it sends nothing whole.
#[derive(Clone, Copy, Debug)]
enum Quiet {
    Nothing,
    Noise,
    OneByteASecond,
    HalfAMessage,
}

const QUIET: [Quiet; 4] = [Quiet::Nothing, Quiet::Noise, Quiet::OneByteASecond, Quiet::HalfAMessage];

/// The unsolicited behaviour of a peer.
#[derive(Clone, Copy, Debug)]
struct Habits {
    tested: Tested,
    quiet: Quiet,
    quiet_at: Option<u64>,
    logs_out_at: Option<u64>,
    begins_anew_at: Option<u64>,
    floods: bool,
}

impl Habits {
    fn drawn(rng: &mut Rng) -> Self {
        let mut at = |one_of: u64| (rng.below(one_of) == 0).then(|| rng.below(60));
        let (quiet_at, logs_out_at, begins_anew_at) = (at(4), at(10), at(10));
        let (tested, quiet, floods) = (rng.pick(&TESTED), rng.pick(&QUIET), rng.below(12) == 0);
        Self { tested, quiet, quiet_at, logs_out_at, begins_anew_at, floods }
    }
}

/// One peer at the gateway.
struct Run {
    gate: Gate,
    peer: Peer,
    line: Line,
    habits: Habits,
    rng: Rng,
    from_gate: Vec<u8>,
    talked_at: Nanos,
    /// The time since which nothing whole arrives.
    quiet_since: Option<Nanos>,
    step: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let kinds = 1 + rng.below(3) as usize;
        let answers = (0..kinds).map(|_| rng.pick(&ANSWERS)).collect();
        let (gate, peer) = (Gate::new(), Peer::new(rng.fork(), answers));
        let habits = Habits::drawn(&mut rng);
        let way = rng.pick(&WAYS);
        let line = Line::new(way, rng.fork());
        let (from_gate, talked_at, quiet_since, step) = (Vec::new(), 0, None, 0);
        let mut run = Self { gate, peer, line, habits, rng, from_gate, talked_at, quiet_since, step };
        run.peer.log.push(format!("{way:?} {habits:?}"));
        // It has sent something that never arrived.
        for _ in 0..run.rng.below(8) {
            match run.rng.below(2) {
                0 => drop(run.peer.order(0)),
                _ => drop(run.peer.send(0, "35=0|")),
            }
        }
        run.peer.orders.iter_mut().for_each(|order| order.is_over = true);
        let logon = run.peer.send(0, "35=A|98=0|108=1|554=secret|");
        run.line.push(logon, None);
        run
    }

    fn now(&self) -> Nanos {
        self.step * STEP
    }

    /// Delivers the bytes of the line.
    fn deliver(&mut self) {
        let now = self.now();
        let (bytes, delivered) = match (self.quiet_since, self.habits.quiet) {
            (None, _) => self.line.deliver(),
            (Some(_), Quiet::Nothing) => Default::default(),
            (Some(_), Quiet::Noise) => (noise(&mut self.rng), Vec::new()),
            (Some(since), Quiet::OneByteASecond) => {
                let second = (now - since).is_multiple_of(S).then_some((now - since) / S);
                let whole = frame("FIX.4.4", "35=0|34=2|49=alice|56=LOCKSTEP|");
                (second.map(|at| vec![whole[at as usize % whole.len()]]).unwrap_or_default(), Vec::new())
            }
            (Some(since), Quiet::HalfAMessage) if since == now => {
                (b"8=FIX.4.4\x019=80\x0135=D\x0134=".to_vec(), Vec::new())
            }
            (Some(_), Quiet::HalfAMessage) => Default::default(),
        };
        delivered.into_iter().for_each(|order| self.peer.orders[order].at = Some(now));
        self.gate.on_bytes(&bytes);
    }

    /// Handles the gateway's messages with the peer's answers.
    fn hear(&mut self) {
        let now = self.now();
        let delay = self.rng.below(3) * STEP / 2;
        let out = self.gate.turn(now, delay);
        self.from_gate.extend_from_slice(&out);
        while let Framed::Whole { body, len, .. } = next_frame(&self.from_gate.clone()) {
            self.from_gate.drain(..len);
            let (fields, _) = FixFields::parse(body);
            let text = String::from_utf8_lossy(body).replace('\x01', "|");
            self.peer.log.push(format!("{} < {text}", self.step));
            let refused = fields.number(tags::REF_SEQ_NUM);
            let named = fields.get(tags::CL_ORD_ID).map(|name| String::from_utf8_lossy(name).into_owned());
            for order in &mut self.peer.orders {
                order.is_over |= refused == Some(order.number) || named.as_ref() == Some(&order.name);
            }
            if self.peer.is_out || self.quiet_since.is_some() {
                continue;
            }
            if fields.kind() == tags::RESEND_REQUEST {
                let bytes = self.peer.answer(now, fields.number(tags::BEGIN_SEQ_NO).unwrap_or(1));
                self.line.push(bytes, None);
            }
            if fields.kind() == tags::TEST_REQUEST {
                let texts: &[&str] = match self.habits.tested {
                    Tested::Right => &["35=0|112=LOCKSTEP|"],
                    Tested::WrongId => &["35=0|112=other|"],
                    Tested::WithoutId => &["35=0|"],
                    Tested::Twice => &["35=0|112=LOCKSTEP|"; 2],
                    Tested::ByAnother => &["35=1|112=LOCKSTEP|"],
                    Tested::Never => &[],
                };
                for text in texts {
                    let bytes = self.peer.send(now, text);
                    self.line.push(bytes, None);
                }
            }
        }
    }

    /// Sends the peer's unsolicited messages.
    fn talk(&mut self, orders: bool) {
        let now = self.now();
        if let Some(number) = self.peer.trickles.pop_front() {
            let again = Peer::again(now);
            let bytes = match self.peer.sent.get(&number).cloned().flatten() {
                Some(text) => self.peer.bytes(now, number, &text, &again),
                None => self.peer.fill(now, number, number + 1, &again),
            };
            self.line.push(bytes, None);
        }
        if self.peer.is_out {
            return;
        }
        if orders && self.rng.below(4) == 0 {
            self.order(now);
        }
        if self.habits.logs_out_at == Some(self.step) {
            // It continues as if it had not.
            let bytes = self.peer.send(now, "35=5|");
            self.line.push(bytes, None);
        }
        // If it were lost, or swallowed by a length that is too long, the two sides would count by different
        // numbers, and neither could know.
        if self.habits.begins_anew_at == Some(self.step) && !self.line.damages() {
            let bytes = self.peer.begin_anew(now);
            self.line.push(bytes, None);
        }
        if now - self.talked_at >= INTERVAL || self.rng.below(30) == 0 || self.habits.floods {
            self.talked_at = now;
            let all = ["35=0|", "35=0|", "35=1|112=x|", "35=2|7=1|16=0|", "35=2|7=3|16=1|", "35=V|", "35=*|"];
            let text = if self.habits.floods { "35=1|112=flood|" } else { self.rng.pick(&all) };
            let bytes = self.peer.send(now, text);
            self.line.push(bytes, None);
        }
    }

    fn order(&mut self, now: Nanos) {
        let bytes = self.peer.order(now);
        let order = self.peer.orders.len() - 1;
        // Now and then a message is lost or damaged: a slow line would show that too late.
        match self.rng.below(if self.line.is_slow() { 1 } else { 12 }) {
            2 => self.peer.orders[order].at = Some(now),
            1 => {
                let bytes = bytes.iter().map(|byte| byte ^ u8::from(*byte == b'D')).collect();
                self.line.push(bytes, Some(order));
            }
            _ => self.line.push(bytes, Some(order)),
        }
    }

    /// Checks that each order has an outcome, or still has time; and that the session has ended in time.
    fn judge(&mut self) -> Result<(), String> {
        let (now, next_in) = (self.now(), self.gate.session.next_in());
        let Self { gate, peer, .. } = self;
        for order in peer.orders.iter_mut().filter(|order| !order.is_over) {
            let is_filled = peer.filled.iter().any(|(from, to)| (*from..*to).contains(&order.number));
            order.is_over =
                gate.is_closed || gate.orders.contains(&order.name) || is_filled && order.number < next_in;
            if !order.is_over && order.at.is_some_and(|at| now > at + BOUND) {
                return Err(format!("{order:?} has not ended, and {next_in} is expected"));
            }
        }
        if !gate.is_closed && self.quiet_since.is_some_and(|since| now > since + BOUND) {
            return Err("nothing whole comes, and the session goes on".to_owned());
        }
        let mut names = gate.orders.clone();
        names.sort();
        names.dedup();
        if names.len() == gate.orders.len() { Ok(()) } else { Err("an order is stamped twice".to_owned()) }
    }

    /// Whether every received order has an outcome.
    fn is_settled(&self) -> bool {
        self.peer.orders.iter().all(|order| order.is_over || order.at.is_none())
    }
}

/// Runs one peer by its seed. It sends for some intervals, and each of its orders has an outcome in time.
/// Then it sends nothing whole any more, and its session ends in time.
fn run(seed: u64) -> Result<(), String> {
    let mut run = Run::new(seed);
    let talks_until = 40 + run.rng.below(80);
    while !run.gate.is_closed {
        run.step += 1;
        run.deliver();
        run.hear();
        let talks = run.step < talks_until;
        if run.quiet_since.is_none() {
            run.talk(talks);
        }
        run.judge().map_err(|what| format!("seed {seed}: {what}\n{}", run.peer.log.join("\n")))?;
        let ends = run.habits.quiet_at.is_some_and(|at| run.step >= at) || !talks && run.is_settled();
        if run.quiet_since.is_none() && ends {
            run.quiet_since = Some(run.now() + STEP);
        }
    }
    Ok(())
}

/// The line damages so much that the second gap opens where the first one is filled: the order was in the gap
/// all the time, and the time began again.
const ONE_GAP_AFTER_THE_OTHER: u64 = 21_234_956;

#[test]
fn whatever_a_peer_answers_or_asks_each_order_ends_in_the_stream_in_words_or_by_a_logout_in_three_intervals()
{
    let first: u64 = 20_261_128;
    for seed in [ONE_GAP_AFTER_THE_OTHER].into_iter().chain(first..first + amount(6_000, 1_000_000)) {
        if let Err(what) = run(seed) {
            panic!("{what}");
        }
    }
}
