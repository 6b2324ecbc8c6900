//! How the bytes of a peer reach the gateway.

use lockstep_memory::rng::Rng;
use std::collections::VecDeque;

/// The kind of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// As they are.
    Whole,
    /// In pieces of any length.
    Pieces,
    /// This many bytes in each step.
    Slow(usize),
    /// With other bytes between the messages.
    Noise,
    /// With lengths that swallow the bytes behind them, that cut a message off, or that no memory can hold.
    Long,
    Short,
    Huge,
    /// With incomplete messages.
    Halves,
}

pub(super) const WAYS: [Way; 14] = [
    Way::Whole,
    Way::Whole,
    Way::Whole,
    Way::Whole,
    Way::Pieces,
    Way::Slow(3),
    Way::Slow(5),
    Way::Slow(7),
    Way::Slow(20),
    Way::Noise,
    Way::Long,
    Way::Short,
    Way::Huge,
    Way::Halves,
];

/// Bytes, how many of them have arrived, and the order that they contain.
type Waiting = (Vec<u8>, usize, Option<usize>);

/// A peer's bytes under way.
pub(super) struct Line {
    way: Way,
    rng: Rng,
    waiting: VecDeque<Waiting>,
}

/// Bytes that are no message, and may begin like one.
pub(super) fn noise(rng: &mut Rng) -> Vec<u8> {
    let begin = rng.pick(&["", "8", "8=FIX", "8=FIX.4.4\x01", "8=FIX.4.4\x019=40\x0135=D\x01", "10=000\x01"]);
    let mut bytes = begin.as_bytes().to_vec();
    bytes.extend((0..rng.below(30)).map(|_| rng.below(256) as u8));
    bytes
}

/// The same message with another length.
fn with_length(bytes: &[u8], length: impl FnOnce(u64) -> u64) -> Vec<u8> {
    let fields: Vec<&[u8]> = bytes.splitn(3, |byte| *byte == 1).collect();
    let [begin, known, rest] = fields[..] else { return bytes.to_vec() };
    let known = known.strip_prefix(b"9=").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let changed = known.map_or(0, length).to_string();
    [begin, b"\x019=", changed.as_bytes(), b"\x01", rest].concat()
}

impl Line {
    pub(super) fn new(way: Way, rng: Rng) -> Self {
        Self { way, rng, waiting: VecDeque::new() }
    }

    pub(super) fn damages(&self) -> bool {
        !self.is_slow() && !matches!(self.way, Way::Whole | Way::Pieces)
    }

    pub(super) fn is_slow(&self) -> bool {
        matches!(self.way, Way::Slow(_))
    }

    /// A peer sends these bytes; `order`: they are an order that is sent for the first time.
    pub(super) fn push(&mut self, mut bytes: Vec<u8>, order: Option<usize>) {
        if self.rng.below(4) == 0 {
            let rng = &mut self.rng;
            match self.way {
                Way::Noise => bytes = [noise(rng), bytes].concat(),
                Way::Long => {
                    let by = rng.log_uniform(1, 9_000);
                    bytes = with_length(&bytes, |length| length + by);
                }
                Way::Short => {
                    let by = rng.log_uniform(1, 200);
                    bytes = with_length(&bytes, |length| length.saturating_sub(by));
                }
                Way::Huge => {
                    let length = rng.log_uniform(8_193, u64::MAX);
                    bytes = with_length(&bytes, |_| length);
                }
                Way::Halves => bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize),
                Way::Whole | Way::Pieces | Way::Slow(_) => {}
            }
        }
        self.waiting.push_back((bytes, 0, order));
    }

    /// The bytes that arrive in a step, and the orders that have arrived with them.
    pub(super) fn deliver(&mut self) -> (Vec<u8>, Vec<usize>) {
        let left: usize = self.waiting.iter().map(|(bytes, at, _)| bytes.len() - at).sum();
        let mut room = match self.way {
            Way::Pieces => self.rng.below(left as u64 + 1) as usize,
            Way::Slow(bytes) => bytes,
            _ => left,
        };
        let (mut out, mut delivered) = (Vec::new(), Vec::new());
        while let Some((bytes, at, order)) = self.waiting.front_mut() {
            let taken = room.min(bytes.len() - *at);
            out.extend_from_slice(&bytes[*at..*at + taken]);
            (*at, room) = (*at + taken, room - taken);
            if *at < bytes.len() {
                break;
            }
            delivered.extend(*order);
            self.waiting.pop_front();
        }
        (out, delivered)
    }
}
