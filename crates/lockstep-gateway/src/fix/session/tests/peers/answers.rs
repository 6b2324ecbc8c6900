//! The messages of a peer, and its answers to a Resend Request.

use super::{S, STEP, frame};
use crate::fix::session::tests::TIME;
use crate::fix::value::utc_text;
use lockstep_memory::rng::Rng;
use lockstep_wire::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// How a peer answers a Resend Request for the messages before its next number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
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

pub(super) const ANSWERS: [Answer; 32] = [
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
pub(super) struct SentOrder {
    pub(super) name: String,
    pub(super) number: u64,
    /// The time at which its last byte had reached the gateway, or was lost.
    pub(super) at: Option<Nanos>,
    pub(super) is_over: bool,
}

/// A peer: the messages that it has sent, and how it will answer.
pub(super) struct Peer {
    pub(super) rng: Rng,
    pub(super) next: u64,
    pub(super) sent: BTreeMap<u64, Option<String>>,
    pub(super) orders: Vec<SentOrder>,
    /// Numbers that it will not send, as it has announced; the second one is exclusive.
    pub(super) filled: Vec<(u64, u64)>,
    pub(super) answers: Vec<Answer>,
    pub(super) log: Vec<String>,
    pub(super) trickles: VecDeque<u64>,
    pub(super) is_out: bool,
}

impl Peer {
    pub(super) fn new(rng: Rng, answers: Vec<Answer>) -> Self {
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

    pub(super) fn bytes(&mut self, now: Nanos, number: u64, text: &str, head: &str) -> Vec<u8> {
        let (kind, rest) = text.split_once('|').expect("a type");
        let time = utc_text(TIME + now);
        let stamp = if kind == "35=D" { format!("60={time}|") } else { String::new() };
        let whole = format!("{kind}|34={number}|49=alice|56=LOCKSTEP|52={time}|{head}{rest}{stamp}");
        self.log.push(format!("{} {whole}", now / STEP));
        frame("FIX.4.4", &whole)
    }

    pub(super) fn send(&mut self, now: Nanos, text: &str) -> Vec<u8> {
        let number = self.next;
        self.next += 1;
        self.sent.insert(number, None);
        self.bytes(now, number, text, "")
    }

    pub(super) fn order(&mut self, now: Nanos) -> Vec<u8> {
        let (number, name) = (self.next, format!("o{}", self.orders.len()));
        let text = format!("35=D|11={name}|55=ABC|54=1|38=10|40=2|44=10|");
        let bytes = self.send(now, &text);
        self.sent.insert(number, Some(text));
        self.orders.push(SentOrder { name, number, at: None, is_over: false });
        bytes
    }

    /// A Logon by which both numbers begin anew: the peer forgets what it had sent before.
    pub(super) fn begin_anew(&mut self, now: Nanos) -> Vec<u8> {
        self.orders.iter_mut().for_each(|order| order.is_over = true);
        (self.next, self.sent, self.filled) = (1, BTreeMap::new(), Vec::new());
        self.trickles.clear();
        self.send(now, "35=A|98=0|108=1|141=Y|")
    }

    pub(super) fn again(now: Nanos) -> String {
        format!("43=Y|122={}|", utc_text(TIME + now))
    }

    pub(super) fn fill(&mut self, now: Nanos, from: u64, to: u64, head: &str) -> Vec<u8> {
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

    pub(super) fn answer(&mut self, now: Nanos, from: u64) -> Vec<u8> {
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

    /// Answers that are messages, or nothing.
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
                let at = self.rng.below(parts.len().max(1) as u64) as usize;
                if let Some((_, bytes)) = parts.get_mut(at) {
                    let at = self.rng.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 0x11;
                }
                flat(parts)
            }
            Answer::Missing => {
                let mut parts = self.each(now, from, head);
                // There are none if it has begun anew meanwhile.
                let at = self.rng.below(parts.len().max(1) as u64) as usize;
                drop(parts.drain(at..parts.len().min(at + 1)));
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
