//! Peers that answer and ask wrongly, in every way that the session's state table leaves open: whatever one
//! does, each of its orders is in the stream, or refused in words, or its session has ended by a Logout,
//! within three times HeartBtInt.

use super::{TIME, frame};
use crate::fix::client::FixClient;
use crate::fix::codec::{FixFields, Framed, next_frame};
use crate::fix::note::{FixNote, LOGON, LOGOUT};
use crate::fix::record::FixRecord;
use crate::fix::session::{
    FixAccount, FixClocks, FixEnd, FixEvent, FixSession, FixSessionLimits, FixSurroundings, FixTarget,
};
use crate::fix::tags;
use crate::fix::value::utc_text;
use lockstep_core::engine::subscriber::Message;
use lockstep_memory::rng::Rng;
use lockstep_testkit::lane::amount;
use lockstep_wire::Nanos;
use std::collections::{BTreeMap, VecDeque};

const S: Nanos = 1_000_000_000;
/// HeartBtInt, and the time between two looks at everything.
const INTERVAL: Nanos = S;
const STEP: Nanos = S / 20;
/// From the order to its end: three intervals, and what a look may come late on either side.
const BOUND: Nanos = 3 * INTERVAL + 2 * STEP;

/// How a peer answers a Resend Request for what lies before its next number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Right,
    /// One gap fill over everything.
    Fill,
    FillWithoutTime,
    FillWithoutFlag,
    FillFlagN,
    FillTimeLater,
    TooShort,
    TooLong,
    Backwards,
    FillSelf,
    FillUnder(i64),
    Reset,
    ResetBack,
    ResetFar,
    WithoutTime,
    WithoutFlag,
    Garbled,
    Missing,
    OthersNumbers,
    TwiceEach,
    Reversed,
    RepeatedTag,
    NoNewSeqNo,
    Nothing,
    OnlyHeartbeats,
    AsksItself,
    RejectsIt,
    LogsOut,
    LogsOnAgain,
    Trickles,
}

const ANSWERS: [Answer; 32] = [
    Answer::Right,
    Answer::Right,
    Answer::Fill,
    Answer::FillWithoutTime,
    Answer::FillWithoutFlag,
    Answer::FillFlagN,
    Answer::FillTimeLater,
    Answer::TooShort,
    Answer::TooLong,
    Answer::Backwards,
    Answer::FillSelf,
    Answer::FillUnder(-1),
    Answer::FillUnder(1),
    Answer::Reset,
    Answer::ResetBack,
    Answer::ResetFar,
    Answer::WithoutTime,
    Answer::WithoutFlag,
    Answer::Garbled,
    Answer::Missing,
    Answer::OthersNumbers,
    Answer::TwiceEach,
    Answer::Reversed,
    Answer::RepeatedTag,
    Answer::NoNewSeqNo,
    Answer::Nothing,
    Answer::OnlyHeartbeats,
    Answer::AsksItself,
    Answer::RejectsIt,
    Answer::LogsOut,
    Answer::LogsOnAgain,
    Answer::Trickles,
];

/// An order that was sent for the first time.
#[derive(Clone, Debug)]
struct SentOrder {
    name: String,
    number: u64,
    at: Nanos,
    is_over: bool,
}

/// The gateway's side of one connection, and a stream that stamps what it is handed a little later.
struct Gate {
    session: FixSession,
    client: FixClient,
    published: VecDeque<(Nanos, FixTarget, Vec<u8>)>,
    publisher_seq: u64,
    seq: u64,
    /// Messages to the client that are stamped, and how many of them it was sent before this connection.
    records: VecDeque<Vec<u8>>,
    count: u64,
    inbox: Vec<u8>,
    is_closed: bool,
    orders: Vec<String>,
}

impl Gate {
    fn new() -> Self {
        Self {
            session: FixSession::new(0, FixSessionLimits::default(), "LOCKSTEP"),
            client: FixClient::default(),
            published: VecDeque::new(),
            publisher_seq: 0,
            seq: 0,
            records: VecDeque::new(),
            count: 0,
            inbox: Vec::new(),
            is_closed: false,
            orders: Vec::new(),
        }
    }

    fn turn(&mut self, now: Nanos, delay: Nanos) -> Vec<u8> {
        self.take(now);
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
            ends.write(&record, number, &mut out);
            self.session.on_sent(now, &record);
            self.is_closed |= record.is_logout();
        }
        // Resends of the gateway are another test's: they are skipped.
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

/// A peer: what it has sent, and what it will answer.
struct Peer {
    rng: Rng,
    next: u64,
    sent: BTreeMap<u64, Option<String>>,
    orders: Vec<SentOrder>,
    /// Numbers that it will not send, as it has announced; the second one is exclusive.
    filled: Vec<(u64, u64)>,
    answers: Vec<Answer>,
    log: Vec<String>,
    trickles: VecDeque<u64>,
    is_out: bool,
}

impl Peer {
    fn new(rng: Rng, answers: Vec<Answer>) -> Self {
        Self {
            rng,
            next: 1,
            sent: BTreeMap::new(),
            orders: Vec::new(),
            filled: Vec::new(),
            answers,
            log: Vec::new(),
            trickles: VecDeque::new(),
            is_out: false,
        }
    }

    fn bytes(&mut self, now: Nanos, number: u64, text: &str, head: &str) -> Vec<u8> {
        let (kind, rest) = text.split_once('|').expect("a type");
        let time = utc_text(TIME + now);
        let stamp = if kind == "35=D" { format!("60={time}|") } else { String::new() };
        let whole = format!("{kind}|34={number}|49=alice|56=LOCKSTEP|52={time}|{head}{rest}{stamp}");
        self.log.push(format!("{} {whole}", now / STEP));
        frame("FIX.4.4", &whole)
    }

    fn send(&mut self, now: Nanos, text: &str) -> Vec<u8> {
        let number = self.next;
        self.next += 1;
        self.sent.insert(number, None);
        self.bytes(now, number, text, "")
    }

    fn order(&mut self, now: Nanos) -> Vec<u8> {
        let (number, name) = (self.next, format!("o{}", self.orders.len()));
        let text = format!("35=D|11={name}|55=ABC|54=1|38=10|40=2|44=10|");
        let bytes = self.send(now, &text);
        self.sent.insert(number, Some(text));
        self.orders.push(SentOrder { name, number, at: now, is_over: false });
        bytes
    }

    fn again(now: Nanos) -> String {
        format!("43=Y|122={}|", utc_text(TIME + now))
    }

    fn fill(&mut self, now: Nanos, from: u64, to: u64, head: &str) -> Vec<u8> {
        self.filled.push((from, to));
        self.bytes(now, from, &format!("35=4|123=Y|36={to}|"), head)
    }

    /// Each number from `from` on, as a right answer has it, with this header.
    fn each(&mut self, now: Nanos, from: u64, head: &str) -> Vec<(u64, Vec<u8>)> {
        let all: Vec<_> = self.sent.range(from..).map(|(number, text)| (*number, text.clone())).collect();
        all.into_iter()
            .map(|(number, text)| match text {
                Some(text) => (number, self.bytes(now, number, &text, head)),
                None => (number, self.fill(now, number, number + 1, head)),
            })
            .collect()
    }

    fn answer(&mut self, now: Nanos, from: u64) -> Vec<u8> {
        let answer = self.rng.pick(&self.answers.clone());
        self.log.push(format!("{} asked for {from}: {answer:?}", now / STEP));
        self.one_fill(now, from, answer).unwrap_or_else(|| self.messages(now, from, answer))
    }

    /// Answers that are one Sequence Reset.
    fn one_fill(&mut self, now: Nanos, from: u64, answer: Answer) -> Option<Vec<u8>> {
        let (next, again) = (self.next, Self::again(now));
        let far = next + 1 + self.rng.below(5);
        let reset = |peer: &mut Self, number, text: String, head: &str| peer.bytes(now, number, &text, head);
        Some(match answer {
            Answer::Fill => self.fill(now, from, next, &again),
            Answer::FillWithoutTime => self.fill(now, from, next, "43=Y|"),
            Answer::FillWithoutFlag => self.fill(now, from, next, ""),
            Answer::FillFlagN => self.fill(now, from, next, "43=N|"),
            Answer::FillTimeLater => self.fill(now, from, next, &Self::again(now + S)),
            Answer::TooShort => self.fill(now, from, (from + 1).min(next), &again),
            Answer::TooLong => self.fill(now, from, far, &again),
            Answer::Backwards => reset(self, from, "35=4|123=Y|36=1|".into(), &again),
            Answer::FillSelf => reset(self, from, format!("35=4|123=Y|36={from}|"), &again),
            Answer::FillUnder(by) => {
                let number = from.saturating_add_signed(by).max(1);
                self.filled.push((number, next));
                reset(self, number, format!("35=4|123=Y|36={next}|"), &again)
            }
            Answer::Reset => {
                self.filled.push((1, next));
                reset(self, from, format!("35=4|36={next}|"), "")
            }
            Answer::ResetBack => reset(self, from, "35=4|36=1|".into(), ""),
            Answer::ResetFar => {
                self.filled.push((1, next + 1_000));
                reset(self, next, format!("35=4|36={}|", next + 1_000), "")
            }
            Answer::RepeatedTag => reset(self, from, format!("35=4|123=Y|36={next}|36={next}|"), &again),
            Answer::NoNewSeqNo => reset(self, from, "35=4|123=Y|".into(), &again),
            _ => return None,
        })
    }

    /// Answers that are messages, or none.
    fn messages(&mut self, now: Nanos, from: u64, answer: Answer) -> Vec<u8> {
        let (next, again) = (self.next, Self::again(now));
        let head = match answer {
            Answer::WithoutTime => "43=Y|",
            Answer::WithoutFlag => "",
            _ => &again,
        };
        let flat = |parts: Vec<(u64, Vec<u8>)>| parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
        match answer {
            Answer::Garbled => {
                let mut parts = self.each(now, from, head);
                let at = self.rng.below(parts.len() as u64) as usize;
                if let Some((_, bytes)) = parts.get_mut(at) {
                    let at = self.rng.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 0x11;
                }
                flat(parts)
            }
            Answer::Missing => {
                let mut parts = self.each(now, from, head);
                let at = self.rng.below(parts.len() as u64) as usize;
                drop(parts.remove(at));
                flat(parts)
            }
            Answer::OthersNumbers => {
                let by = 1 + self.rng.below(3);
                self.bytes(now, next + by, "35=D|11=other|55=ABC|54=1|38=10|40=2|44=10|", head)
            }
            Answer::TwiceEach => {
                let parts = self.each(now, from, head);
                parts.into_iter().flat_map(|(_, bytes)| [bytes.clone(), bytes].concat()).collect()
            }
            Answer::Reversed => flat(self.each(now, from, head).into_iter().rev().collect()),
            Answer::Nothing => Vec::new(),
            Answer::OnlyHeartbeats => self.send(now, "35=0|"),
            Answer::AsksItself => {
                let from = 1 + self.rng.below(9);
                self.send(now, &format!("35=2|7={from}|16=0|"))
            }
            Answer::RejectsIt => self.send(now, "35=3|45=2|373=99|"),
            Answer::LogsOut => {
                self.is_out = true;
                self.send(now, "35=5|")
            }
            Answer::LogsOnAgain => self.send(now, "35=A|98=0|108=1|554=secret|"),
            Answer::Trickles => {
                self.trickles = (from..next).collect();
                Vec::new()
            }
            _ => flat(self.each(now, from, head)),
        }
    }
}

/// One peer at the gateway.
struct Run {
    gate: Gate,
    peer: Peer,
    rng: Rng,
    from_gate: Vec<u8>,
    talked_at: Nanos,
    step: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let kinds = 1 + rng.below(3) as usize;
        let answers = (0..kinds).map(|_| rng.pick(&ANSWERS)).collect();
        let (gate, peer) = (Gate::new(), Peer::new(rng.fork(), answers));
        let mut run = Self { gate, peer, rng, from_gate: Vec::new(), talked_at: 0, step: 0 };
        // It has sent something that never arrived.
        for _ in 0..run.rng.below(8) {
            match run.rng.below(2) {
                0 => drop(run.peer.order(0)),
                _ => drop(run.peer.send(0, "35=0|")),
            }
        }
        run.peer.orders.iter_mut().for_each(|order| order.is_over = true);
        let logon = run.peer.send(0, "35=A|98=0|108=1|554=secret|");
        run.gate.inbox.extend(logon);
        run
    }

    fn now(&self) -> Nanos {
        self.step * STEP
    }

    /// What the gateway has sent, and the peer's answers.
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
            if fields.kind() == tags::RESEND_REQUEST && !self.peer.is_out {
                let bytes = self.peer.answer(now, fields.number(tags::BEGIN_SEQ_NO).unwrap_or(1));
                self.gate.inbox.extend(bytes);
            }
            if fields.kind() == tags::TEST_REQUEST && self.rng.below(2) == 0 {
                let bytes = self.peer.send(now, "35=0|112=LOCKSTEP|");
                self.gate.inbox.extend(bytes);
            }
        }
    }

    /// What the peer sends by itself.
    fn talk(&mut self, orders: bool) {
        let now = self.now();
        if let Some(number) = self.peer.trickles.pop_front() {
            let again = Peer::again(now);
            let bytes = match self.peer.sent.get(&number).cloned().flatten() {
                Some(text) => self.peer.bytes(now, number, &text, &again),
                None => self.peer.fill(now, number, number + 1, &again),
            };
            self.gate.inbox.extend(bytes);
        }
        if self.peer.is_out {
            return;
        }
        if orders && self.rng.below(4) == 0 {
            let bytes = self.peer.order(now);
            // Now and then one is lost on the way, or damaged.
            match self.rng.below(12) {
                0 => {}
                1 => self.gate.inbox.extend(bytes.iter().map(|byte| byte ^ u8::from(*byte == b'D'))),
                _ => self.gate.inbox.extend(bytes),
            }
        }
        if now - self.talked_at >= INTERVAL || self.rng.below(30) == 0 {
            self.talked_at = now;
            let all = ["35=0|", "35=0|", "35=1|112=x|", "35=2|7=1|16=0|", "35=2|7=3|16=1|", "35=V|"];
            let text = self.rng.pick(&all);
            let bytes = self.peer.send(now, text);
            self.gate.inbox.extend(bytes);
        }
    }

    /// Each order has ended, or has time.
    fn judge(&mut self) -> Result<(), String> {
        let (now, next_in) = (self.now(), self.gate.session.next_in());
        let Self { gate, peer, .. } = self;
        for order in peer.orders.iter_mut().filter(|order| !order.is_over) {
            let is_filled = peer.filled.iter().any(|(from, to)| (*from..*to).contains(&order.number));
            order.is_over = gate.orders.contains(&order.name) || is_filled && order.number < next_in;
            if !order.is_over && now > order.at + BOUND {
                return Err(format!("{order:?} has not ended, and {next_in} is expected"));
            }
        }
        let mut names = gate.orders.clone();
        names.sort();
        names.dedup();
        if names.len() == gate.orders.len() { Ok(()) } else { Err("an order is stamped twice".to_owned()) }
    }
}

/// One peer by its seed: it talks for some intervals, and each of its orders ends in time.
fn run(seed: u64) -> Result<(), String> {
    let mut run = Run::new(seed);
    let talks_until = 40 + run.rng.below(80);
    while !run.gate.is_closed && run.step < 4_000 {
        run.step += 1;
        run.hear();
        let talks = run.step < talks_until;
        run.talk(talks);
        run.judge().map_err(|what| format!("seed {seed}: {what}\n{}", run.peer.log.join("\n")))?;
        if !talks && run.peer.orders.iter().all(|order| order.is_over) {
            break;
        }
    }
    Ok(())
}

#[test]
fn whatever_a_peer_answers_or_asks_each_order_ends_in_the_stream_in_words_or_by_a_logout_in_three_intervals()
{
    let first: u64 = 20_261_128;
    for seed in first..first + amount(6_000, 1_000_000) {
        if let Err(what) = run(seed) {
            panic!("{what}");
        }
    }
}
