//! # rounds: how far one datagram may raise the number of the next ballot
//!
//! The question: a ballot's round must be above every round that was promised or received. Rounds have 28
//! bits. If a replica believed each round that it receives, a single datagram (of a broken host, or of
//! another cluster's file) would raise it to the last one, and no candidate could win any more.
//!
//! ```text
//!   proven: promised here, or an epoch's start is held ──────────────▶ raised to it, however far
//!   heard:  at most JUMP_MAX above what was seen ─────────────────────▶ raised to it
//!           further, or more than JUMP_MAX in CLIMB_NS by epochs of one leader
//!                   ─▶ not believed; and one step of JUMP_MAX towards it, at most one in CLIMB_NS
//! ```
//!
//! The steps are the way out of a legitimate distance: a replica that was down while the others failed to
//! elect a leader for days receives ballots far above its own. They are repeated, so it climbs to them. One
//! host that counts rounds up in steps that are believed gets no further than one that names the last round:
//! each leader or candidate has an allowance of its own, so that it keeps nobody else's round from being
//! believed. To use the rounds up takes one host half an hour, and the alarm comes at half of it.

use super::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Identity, MEMBERS_MAX, Nanos, ROUND_MAX};

/// A round further than this above what was seen is not believed at once: more than a cluster that fails to
/// elect a leader uses up in hours.
pub const JUMP_MAX: u32 = 1 << 16;
/// Between two steps towards a round that is not believed.
const CLIMB_NS: Nanos = 1_000_000_000;
/// From here on the rounds that are left are an alarm: half of them.
pub const ALARM: u32 = ROUND_MAX / 2;

/// So many leaders and candidates raise rounds in [`CLIMB_NS`]: all members, and as many that are no longer
/// or not yet.
const RAISERS_MAX: usize = 2 * MEMBERS_MAX;

/// By how much the epochs of one leader have raised what was seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Raised {
    leader: Identity,
    by: u32,
}

/// The rounds that one replica has seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rounds {
    seen: u32,
    /// When it took its last step; 0 before the first.
    climbed_at: Nanos,
    /// The raises of the [`CLIMB_NS`] that began then, the first ones first.
    raised: [Option<Raised>; RAISERS_MAX],
    raised_since: Nanos,
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

    /// ELECT-2 (how far a round may jump): somebody speaks of `epoch`. Returns whether its round is believed.
    #[inline]
    pub fn on_epoch(&mut self, now: Nanos, epoch: Epoch) -> bool {
        epoch.round() <= self.seen || self.raise(now, epoch)
    }

    #[cold]
    fn raise(&mut self, now: Nanos, epoch: Epoch) -> bool {
        let round = epoch.round();
        let by = round - self.seen;
        let believed = by <= JUMP_MAX && self.allows(now, epoch.leader(), by);
        if believed || planted(Mutation::RoundsJump) {
            self.seen = round;
            return true;
        }
        if self.climbed_at == 0 || now >= self.climbed_at + CLIMB_NS {
            self.climbed_at = now.max(1);
            self.seen = round.min(self.seen + JUMP_MAX);
        }
        false
    }

    /// Whether epochs of `leader` may raise rounds by so much more in this second.
    fn allows(&mut self, now: Nanos, leader: Identity, by: u32) -> bool {
        if now >= self.raised_since + CLIMB_NS {
            (self.raised, self.raised_since) = ([None; RAISERS_MAX], now);
        }
        let is_its = |raised: &&mut Option<Raised>| raised.is_none_or(|raised| raised.leader == leader);
        let Some(place) = self.raised.iter_mut().find(is_its) else { return false };
        let raised = place.get_or_insert(Raised { leader, by: 0 });
        let allowed = raised.by + by <= JUMP_MAX;
        raised.by += if allowed { by } else { 0 };
        allowed
    }

    /// For an exploration in which no time passes.
    pub fn forget_times(&mut self) {
        *self = Self { seen: self.seen, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN_NS: Nanos = 5_000;

    fn epoch(round: u32, leader: u32) -> Epoch {
        Epoch::new(round, Identity { replica: leader, incarnation: 1 })
    }

    /// ELECT-2.
    #[test]
    fn rounds_within_a_jump_are_believed_at_once() {
        let mut rounds = Rounds::default();
        for round in [1, 7, JUMP_MAX, JUMP_MAX - 5] {
            assert!(rounds.on_epoch(BEGUN_NS, epoch(round, 1)), "{round}");
        }
        assert!(rounds.on_epoch(BEGUN_NS, epoch(2 * JUMP_MAX, 2)), "another leader's");
        assert_eq!(rounds.seen(), 2 * JUMP_MAX);
    }

    /// ELECT-2.
    #[test]
    fn a_single_datagram_uses_up_no_rounds() {
        let mut rounds = Rounds::default();
        for _ in 0..10_000 {
            assert!(!rounds.on_epoch(BEGUN_NS, epoch(ROUND_MAX, 1)));
        }
        assert_eq!(rounds.seen(), JUMP_MAX, "one step, whatever comes");
    }

    /// ELECT-2.
    #[test]
    fn in_whatever_steps_one_host_counts_up_it_uses_up_two_jumps_a_second_and_others_are_believed() {
        for step in [1, JUMP_MAX / 3, JUMP_MAX, ROUND_MAX] {
            let mut rounds = Rounds::default();
            let seconds = 10;
            for tick in 0..seconds * 1_000 {
                let now = BEGUN_NS + tick * CLIMB_NS / 1_000;
                for _ in 0..JUMP_MAX / step.min(JUMP_MAX) * 3 / 1_000 + 3 {
                    let round = rounds.seen().saturating_add(step).min(ROUND_MAX);
                    rounds.on_epoch(now, epoch(round, 1));
                }
            }
            let used = u64::from(rounds.seen());
            assert!(used <= 2 * (seconds + 1) * u64::from(JUMP_MAX), "steps of {step}: {used}");
            let now = BEGUN_NS + seconds * CLIMB_NS - 1;
            assert!(rounds.on_epoch(now, epoch(rounds.seen() + 1, 2)), "steps of {step}: another one's");
        }
    }

    #[test]
    fn epochs_of_many_leaders_raise_no_more_than_their_share() {
        let mut rounds = Rounds::default();
        for leader in 1..=250 {
            rounds.on_epoch(BEGUN_NS, epoch(rounds.seen() + JUMP_MAX, leader));
        }
        assert_eq!(rounds.seen(), (RAISERS_MAX as u32 + 1) * JUMP_MAX);
    }

    #[test]
    fn a_legitimate_distance_is_climbed_and_then_believed() {
        let (mut rounds, far) = (Rounds::default(), 10 * JUMP_MAX + 3);
        let mut now = BEGUN_NS;
        while !rounds.on_epoch(now, epoch(far, 1)) {
            now += CLIMB_NS / 100;
        }
        assert!((9..=11).contains(&((now - BEGUN_NS) / CLIMB_NS)), "{now}");
        assert_eq!(rounds.seen(), far);
    }

    #[test]
    fn what_is_proven_is_a_base_however_far_it_is() {
        let mut rounds = Rounds::default();
        rounds.on_proven(ROUND_MAX - 1);
        assert!(rounds.on_epoch(BEGUN_NS, epoch(ROUND_MAX, 1)));
    }
}
