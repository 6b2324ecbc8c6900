//! # presence: is another process alive under our identity?
//!
//! The question: a datagram under our own identity has another process nonce. It may be one of our own from
//! before a restart, which the network kept; or a second process has our journal, or a copy of it. The first
//! must cost nothing, the second must end, and not both of the two.
//!
//! A datagram proves that somebody spoke, not that it lives. So it is asked, under a number that was never
//! said before, and only an answer with that number counts:
//!
//! ```text
//!   stranger heard ──▶ ask (a fresh token) ──▶ answer with that token, to us, in time?
//!                                                 │ no: an echo of the past, or gone
//!                                                 ▼ yes: it lives
//!                                 (born, nonce) greater than its? ── yes ─▶ we began later: we stop
//!                                                                 └─ no ──▶ it began later: it stops by its own question
//! ```
//! Who is asked asks as well, as a question may be an echo like anything else. Both compare the same two
//! pairs, so exactly one of them stops, whenever and in whatever order they find each other. Which one is
//! later is decided by the processes' own clocks: a wrong clock chooses the wrong one, and never none.
//!
//! A process that starts does not wait for a stranger. It asks at once, several times under one token, and
//! has no vote until it has asked in vain: this is the *look*. While it looks it counts as later than every
//! process that has looked, whatever the clocks show. So a process on a copy of a journal that hears the
//! first one stops before it has said a word that counts.
//!
//! ```text
//!   start ─▶ ask ─▶ ask ─▶ ask ─▶ ask ─▶ nobody answered, all that came was heard: has looked, may vote
//!              └──────┴──────┴──────┴─▶ an answer: another process lives, and we stop
//! ```

use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{IdentityProbeBody, Nanos};

/// An answer that comes later than this after the question proves nothing.
const ANSWER_NS: Nanos = 1_000_000_000;
/// A process that looks asks this often: the network may lose some of the questions and of the answers.
const PROBES: u32 = 4;
/// A look takes as long as a leader may be silent, and this at most: nobody waits for it.
const PROBE_NS_MAX: Nanos = 100_000_000;
/// What a process that looks names as its beginning: it is later than all that have looked.
const PROBING_STARTED_AT: Nanos = Nanos::MAX;

/// How long a process looks at its start, where a leader may be silent for `timeout_ns`: time for an answer,
/// as it is for any other word.
pub fn probe_period_ns(timeout_ns: Nanos) -> Nanos {
    timeout_ns.min(PROBE_NS_MAX)
}

/// What an answer shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DuplicateIdentity {
    /// Nothing: it is none to a question of ours that is young.
    Nothing,
    /// Another process lives and began before us: this one is to stop.
    Earlier,
    /// Another process lives and began after us: it stops.
    Later,
}

/// One process under its identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IdentityProbe {
    nonce: u64,
    started_at: Nanos,
    /// The last question: its token, and when it was asked.
    asked: Option<(u64, Nanos)>,
    again_ns: Nanos,
    /// How long the look takes.
    probe_ns: Nanos,
    /// Questions of the look that are still to be asked, ...
    left: u32,
    /// ... or it is over, and nobody answered.
    probed: bool,
}

impl IdentityProbe {
    /// A process with this nonce that began at `born`; it asks at most once in `again_ns`. It looks for
    /// `probe_ns` before it has a vote; 0: not at all.
    pub fn new(nonce: u64, born: Nanos, again_ns: Nanos, probe_ns: Nanos) -> Self {
        Self { nonce, started_at: born, asked: None, again_ns, probe_ns, left: PROBES, probed: probe_ns == 0 }
    }

    /// Whether it has looked for others under its identity.
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.probed
    }

    /// Whether it may say what counts: not before it has looked (S12).
    #[inline]
    pub fn may_vote(&self) -> bool {
        self.probed || planted(Mutation::VotesUnlooked)
    }

    /// The look of ALIVE-1. Returns the question that is due. `drained` says that all that had arrived was
    /// heard: only then the look may end. `fresh` draws a token.
    pub fn look(
        &mut self,
        now: Nanos,
        drained: bool,
        fresh: impl FnOnce() -> u64,
    ) -> Option<IdentityProbeBody> {
        if self.probed || now < self.next_probe() {
            return None;
        }
        if self.left == 0 {
            self.probed = drained;
            return None;
        }
        self.left -= 1;
        Some(self.ask(now, fresh))
    }

    /// When the look goes on.
    pub fn next_probe(&self) -> Nanos {
        match self.asked {
            _ if self.probed => Nanos::MAX,
            Some((_, at)) => at + self.probe_ns / Nanos::from(PROBES),
            None => 0,
        }
    }

    /// ALIVE-1 (what is asked): somebody spoke under our identity and another nonce. Returns what is to be
    /// asked now, if it was not asked just before. `fresh` draws a token.
    pub fn on_foreign_nonce(&mut self, now: Nanos, fresh: impl FnOnce() -> u64) -> Option<IdentityProbeBody> {
        if self.asked.is_some_and(|(_, at)| now < at + self.again_ns) || !self.probed {
            return None;
        }
        Some(self.ask(now, fresh))
    }

    /// A question under a fresh token. All questions of one look share one: an answer may be late.
    fn ask(&mut self, now: Nanos, fresh: impl FnOnce() -> u64) -> IdentityProbeBody {
        let token = match self.asked {
            Some((token, _)) if !self.probed => token,
            _ => fresh(),
        };
        self.asked = Some((token, now));
        IdentityProbeBody {
            process_nonce: self.nonce,
            started_at: self.reported_start(),
            token,
            echoed_token: 0,
        }
    }

    /// The answer to a question of another process.
    pub fn write_reply(&self, query: &IdentityProbeBody) -> IdentityProbeBody {
        let IdentityProbeBody { process_nonce, token, .. } = *query;
        IdentityProbeBody {
            process_nonce: self.nonce,
            started_at: self.reported_start(),
            token,
            echoed_token: process_nonce,
        }
    }

    /// When it began, for those who compare.
    fn reported_start(&self) -> Nanos {
        if self.probed { self.started_at } else { PROBING_STARTED_AT }
    }

    /// An answer of another process under our identity.
    pub fn on_answer(&mut self, now: Nanos, body: &IdentityProbeBody) -> DuplicateIdentity {
        let ours = body.echoed_token == self.nonce
            && self.asked.is_some_and(|(token, at)| body.token == token && now < at + ANSWER_NS);
        match (body.started_at, body.process_nonce).cmp(&(self.reported_start(), self.nonce)) {
            _ if !ours => DuplicateIdentity::Nothing,
            std::cmp::Ordering::Less => DuplicateIdentity::Earlier,
            std::cmp::Ordering::Greater => DuplicateIdentity::Later,
            std::cmp::Ordering::Equal => DuplicateIdentity::Nothing,
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

    fn process(nonce: u64, born: Nanos) -> IdentityProbe {
        IdentityProbe::new(nonce, born, 1_000, 0)
    }

    /// A process that begins, and looks for 4 us.
    fn newcomer(nonce: u64, born: Nanos) -> IdentityProbe {
        IdentityProbe::new(nonce, born, 1_000, 4_000)
    }

    fn ask(presence: &mut IdentityProbe, token: u64) -> IdentityProbeBody {
        presence.on_foreign_nonce(NOW, || token).expect("a question")
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_of_two_that_live_the_later_one_stops_whoever_asks_first() {
        for (born, later_nonce) in [(20, 1), (20, 9), (10, 9)] {
            let (mut first, mut second) = (process(5, 10), process(later_nonce, born));
            let (asked, asked_back) = (ask(&mut first, 77), ask(&mut second, 78));
            assert_eq!(first.on_answer(NOW, &second.write_reply(&asked)), DuplicateIdentity::Later);
            assert_eq!(second.on_answer(NOW, &first.write_reply(&asked_back)), DuplicateIdentity::Earlier);
        }
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_no_word_of_the_past_is_an_answer() {
        let mut presence = process(5, 100);
        let mut before = process(4, 50);
        // Whatever our own process before said, asked and answered.
        let old = ask(&mut before, 7);
        let answered = before.write_reply(&IdentityProbeBody {
            process_nonce: 3,
            started_at: 20,
            token: 6,
            echoed_token: 0,
        });
        assert_eq!(presence.on_answer(NOW, &old), DuplicateIdentity::Nothing, "nothing was asked");
        let asked = ask(&mut presence, 8);
        for echo in [old, answered] {
            assert_eq!(presence.on_answer(NOW, &echo), DuplicateIdentity::Nothing);
        }
        assert_eq!(
            presence.on_answer(NOW + ANSWER_NS, &before.write_reply(&asked)),
            DuplicateIdentity::Nothing,
            "too late"
        );
        assert_eq!(
            presence.on_answer(NOW + ANSWER_NS - 1, &before.write_reply(&asked)),
            DuplicateIdentity::Earlier
        );
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_an_answer_to_somebody_else_is_none_to_us() {
        let (mut presence, other) = (process(5, 100), process(4, 50));
        let asked = ask(&mut presence, 8);
        let to_another = IdentityProbeBody { echoed_token: 6, ..other.write_reply(&asked) };
        assert_eq!(presence.on_answer(NOW, &to_another), DuplicateIdentity::Nothing);
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_who_begins_votes_only_after_it_has_asked_several_times_and_heard_all_that_came() {
        let mut presence = newcomer(5, 100);
        let tokens: Vec<u64> = (NOW..NOW + 4_000)
            .filter_map(|now| presence.look(now, true, || now))
            .map(|asked| asked.token)
            .collect();
        assert_eq!(tokens, [NOW; 4], "all questions of a look have one token");
        assert!(!presence.is_complete());
        assert_eq!(presence.look(NOW + 4_000, false, || 0), None);
        assert!(!presence.is_complete(), "an answer may wait in a socket");
        assert_eq!(presence.look(NOW + 5_000, true, || 0), None);
        assert!(presence.is_complete());
        assert!(process(5, 100).is_complete(), "a look of no time is none");
    }

    /// ALIVE-1, S12.
    #[test]
    fn s12_who_looks_is_later_than_who_has_looked_whatever_the_clocks_show() {
        let (mut first, mut second) = (process(9, 1_000), newcomer(5, 10));
        let asked = second.look(NOW, true, || 7).expect("a question");
        let asked_back = ask(&mut first, 8);
        assert_eq!(first.on_answer(NOW, &second.write_reply(&asked_back)), DuplicateIdentity::Later);
        assert_eq!(second.on_answer(NOW, &first.write_reply(&asked)), DuplicateIdentity::Earlier);
        let (mut one, mut other) = (newcomer(5, 20), newcomer(6, 10));
        let asked =
            [&mut one, &mut other].map(|newcomer| newcomer.look(NOW, true, || 9).expect("a question"));
        assert_eq!(one.on_answer(NOW, &other.write_reply(&asked[0])), DuplicateIdentity::Later);
        assert_eq!(other.on_answer(NOW, &one.write_reply(&asked[1])), DuplicateIdentity::Earlier);
    }

    #[test]
    fn a_flood_of_echoes_asks_once_in_a_while() {
        let mut presence = process(5, 100);
        let asked = (NOW..NOW + 10_000).filter(|now| presence.on_foreign_nonce(*now, || *now).is_some());
        assert_eq!(asked.count(), 10);
    }
}
