//! # presence: is another process alive under our identity?
//!
//! The question: a datagram under our own identity has another process nonce. It may be one of our own from before a
//! restart, which the network kept; or a second process has our journal, or a copy of it. The first must cost nothing,
//! the second must end, and not both of the two.
//!
//! A datagram proves that somebody spoke, not that it lives. So it is asked, under a number that was never said before,
//! and only an answer with that number counts:
//!
//! ```text
//!   stranger heard ──▶ ask (a fresh token) ──▶ answer with that token, to us, in time?
//!                                                 │ no: an echo of the past, or gone
//!                                                 ▼ yes: it lives
//!                                 (born, nonce) greater than its? ── yes ─▶ we began later: we stop
//!                                                                 └─ no ──▶ it began later: it stops by its own question
//! ```
//! Who is asked asks as well, as a question may be an echo like anything else. Both compare the same two pairs, so
//! exactly one of them stops, whenever and in whatever order they find each other. Which one is later is decided by the
//! processes' own clocks: a wrong clock chooses the wrong one, and never none.

use crate::wire::{Nanos, PresenceBody};

/// An answer that comes later than this after the question proves nothing.
const ANSWER_NS: Nanos = 1_000_000_000;

/// What an answer shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// Nothing: it is none to a question of ours that is young.
    Nothing,
    /// Another process lives and began before us: this one is to stop.
    Earlier,
    /// Another process lives and began after us: it stops.
    Later,
}

/// One process under its identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Presence {
    nonce: u64,
    born: Nanos,
    /// The last question: its token, and when it was asked.
    asked: Option<(u64, Nanos)>,
    again_ns: Nanos,
}

impl Presence {
    /// A process with this nonce that began at `born`; it asks at most once in `again_ns`.
    pub fn new(nonce: u64, born: Nanos, again_ns: Nanos) -> Self {
        Self { nonce, born, asked: None, again_ns }
    }

    /// ALIVE-1 (what is asked): somebody spoke under our identity and another nonce. Returns what is to be asked now, if
    /// it was not asked just before. `fresh` draws a token.
    pub fn on_stranger(&mut self, now: Nanos, fresh: impl FnOnce() -> u64) -> Option<PresenceBody> {
        if self.asked.is_some_and(|(_, at)| now < at + self.again_ns) {
            return None;
        }
        let token = fresh();
        self.asked = Some((token, now));
        Some(PresenceBody { process_nonce: self.nonce, born: self.born, token, answers: 0 })
    }

    /// The answer to a question of another process.
    pub fn answer(&self, question: &PresenceBody) -> PresenceBody {
        let PresenceBody { process_nonce, token, .. } = *question;
        PresenceBody { process_nonce: self.nonce, born: self.born, token, answers: process_nonce }
    }

    /// An answer of another process under our identity.
    pub fn on_answer(&mut self, now: Nanos, said: &PresenceBody) -> Found {
        let ours = said.answers == self.nonce
            && self.asked.is_some_and(|(token, at)| said.token == token && now < at + ANSWER_NS);
        match (said.born, said.process_nonce).cmp(&(self.born, self.nonce)) {
            _ if !ours => Found::Nothing,
            std::cmp::Ordering::Less => Found::Earlier,
            std::cmp::Ordering::Greater => Found::Later,
            std::cmp::Ordering::Equal => Found::Nothing,
        }
    }

    /// Forgets what was asked: for an explorer, to whom time stands still.
    pub fn forget(&mut self) {
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = 5_000_000_000;

    fn process(nonce: u64, born: Nanos) -> Presence {
        Presence::new(nonce, born, 1_000)
    }

    fn ask(presence: &mut Presence, token: u64) -> PresenceBody {
        presence.on_stranger(NOW, || token).expect("a question")
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_of_two_that_live_the_later_one_stops_whoever_asks_first() {
        for (born, later_nonce) in [(20, 1), (20, 9), (10, 9)] {
            let (mut first, mut second) = (process(5, 10), process(later_nonce, born));
            let (asked, asked_back) = (ask(&mut first, 77), ask(&mut second, 78));
            assert_eq!(first.on_answer(NOW, &second.answer(&asked)), Found::Later);
            assert_eq!(second.on_answer(NOW, &first.answer(&asked_back)), Found::Earlier);
        }
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_no_word_of_the_past_is_an_answer() {
        let mut presence = process(5, 100);
        let mut before = process(4, 50);
        // Whatever our own process before said, asked and answered.
        let old = ask(&mut before, 7);
        let answered = before.answer(&PresenceBody { process_nonce: 3, born: 20, token: 6, answers: 0 });
        assert_eq!(presence.on_answer(NOW, &old), Found::Nothing, "nothing was asked");
        let asked = ask(&mut presence, 8);
        for echo in [old, answered] {
            assert_eq!(presence.on_answer(NOW, &echo), Found::Nothing);
        }
        assert_eq!(presence.on_answer(NOW + ANSWER_NS, &before.answer(&asked)), Found::Nothing, "too late");
        assert_eq!(presence.on_answer(NOW + ANSWER_NS - 1, &before.answer(&asked)), Found::Earlier);
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_an_answer_to_somebody_else_is_none_to_us() {
        let (mut presence, other) = (process(5, 100), process(4, 50));
        let asked = ask(&mut presence, 8);
        let to_another = PresenceBody { answers: 6, ..other.answer(&asked) };
        assert_eq!(presence.on_answer(NOW, &to_another), Found::Nothing);
    }

    #[test]
    fn a_flood_of_echoes_asks_once_in_a_while() {
        let mut presence = process(5, 100);
        let asked = (NOW..NOW + 10_000).filter(|now| presence.on_stranger(*now, || *now).is_some());
        assert_eq!(asked.count(), 10);
    }
}
