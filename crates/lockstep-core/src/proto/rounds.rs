//! # rounds: how far one datagram may raise the number of the next ballot
//!
//! The question: a ballot's round must be above every round that was promised or received. Rounds have 28
//! bits. If a replica believed each round that it receives, a single datagram (of a broken host, or of
//! another cluster's file) would raise it to the last one, and no candidate could win any more.
//!
//! ```text
//!   proven: promised here, or an epoch's start is held ──────────────▶ raised to it, however far
//!   heard:  at most JUMP_MAX above what was seen ─────────────────────▶ raised to it
//!           further ─▶ not believed; and one step of JUMP_MAX towards it, at most one in CLIMB_NS
//! ```
//!
//! The steps are the way out of a legitimate distance: a replica that was down while the others failed to
//! elect a leader for days receives ballots far above its own. They are repeated, so it climbs to them; to
//! use the rounds up takes an hour of such datagrams, and the alarm comes at half of it.

use super::planted::{Mutation, planted};
use lockstep_wire::{Nanos, ROUND_MAX};

/// A round further than this above what was seen is not believed at once: more than a cluster that fails to
/// elect a leader uses up in hours.
pub const JUMP_MAX: u32 = 1 << 16;
/// Between two steps towards a round that is not believed.
const CLIMB_NS: Nanos = 1_000_000_000;
/// From here on the rounds that are left are an alarm: half of them.
pub const ALARM: u32 = ROUND_MAX / 2;

/// The rounds that one replica has seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rounds {
    seen: u32,
    /// When it took its last step; 0 before the first.
    climbed_at: Nanos,
}

impl Rounds {
    /// The greatest round that counts as seen.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// This round is proven: it was promised here, or the start of its epoch is held.
    #[inline]
    pub fn on_proven(&mut self, round: u32) {
        self.seen = self.seen.max(round);
    }

    /// ELECT-2 (how far a round may jump): somebody speaks of `round`. Returns whether that is believed.
    #[inline]
    pub fn on_round(&mut self, now: Nanos, round: u32) -> bool {
        if round <= self.seen {
            return true;
        }
        let believed = round - self.seen <= JUMP_MAX || planted(Mutation::RoundsJump);
        if believed {
            self.seen = round;
        } else {
            self.climb(now);
        }
        believed
    }

    #[cold]
    fn climb(&mut self, now: Nanos) {
        if self.climbed_at == 0 || now >= self.climbed_at + CLIMB_NS {
            self.climbed_at = now.max(1);
            self.seen += JUMP_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN_NS: Nanos = 5_000;

    /// ELECT-2.
    #[test]
    fn rounds_within_a_jump_are_believed_at_once_and_each_is_a_base_for_the_next() {
        let mut rounds = Rounds::default();
        for round in [1, 7, JUMP_MAX, 2 * JUMP_MAX, 2 * JUMP_MAX - 5] {
            assert!(rounds.on_round(BEGUN_NS, round), "{round}");
        }
        assert_eq!(rounds.seen(), 2 * JUMP_MAX);
    }

    /// ELECT-2.
    #[test]
    fn a_single_datagram_uses_up_no_rounds() {
        let mut rounds = Rounds::default();
        for _ in 0..10_000 {
            assert!(!rounds.on_round(BEGUN_NS, ROUND_MAX));
        }
        assert_eq!(rounds.seen(), JUMP_MAX, "one step, whatever comes");
    }

    #[test]
    fn a_legitimate_distance_is_climbed_and_then_believed() {
        let (mut rounds, far) = (Rounds::default(), 10 * JUMP_MAX + 3);
        let mut now = BEGUN_NS;
        while !rounds.on_round(now, far) {
            now += CLIMB_NS / 100;
        }
        assert!((9..=11).contains(&((now - BEGUN_NS) / CLIMB_NS)), "{now}");
        assert_eq!(rounds.seen(), far);
    }

    #[test]
    fn what_is_proven_is_a_base_however_far_it_is() {
        let mut rounds = Rounds::default();
        rounds.on_proven(ROUND_MAX - 1);
        assert!(rounds.on_round(BEGUN_NS, ROUND_MAX));
    }
}
