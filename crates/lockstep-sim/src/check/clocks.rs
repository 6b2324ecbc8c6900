//! The stream's time beside the clocks of those who stamp and store it.
//!
//! CLOCK-1 lets the stream's time go no further than the clocks of a quorum have gone. The leader knows them
//! by datagrams; this judge sees the clocks themselves, at each turn of their processes. What a clock showed
//! counts for a while after it was set back, as it does for a leader. A leader whose machine slept goes on by
//! what it knew before, and by its own clock, until it has received a quorum again.

use super::Violation;
use super::log_tree::Stem;
use lockstep_core::proto::clocks::{TOLERANCE, WINDOW};
use lockstep_wire::{Identity, Nanos};
use std::collections::BTreeMap;

/// What a clock showed counts for so long: for a leader it is two windows, and some more until it judges.
const COUNTS: Nanos = 3 * WINDOW;
/// Clocks that run apart at 5 % each differ by so much within that.
const SLACK: i64 = TOLERANCE as i64 + COUNTS as i64 / 10;

/// A clock, by its difference to the time of the run.
#[derive(Clone, Debug, Default)]
struct ClockHistory {
    /// What it was lately, the newest last.
    shown: Vec<(Nanos, i64)>,
    /// The last turn.
    at: Nanos,
    /// How long its machine slept the last time, and when it woke.
    slept: (Nanos, Nanos),
}

impl ClockHistory {
    fn on_turn(&mut self, now: Nanos, ahead: i64) {
        let pause = now - std::mem::replace(&mut self.at, now);
        if pause > COUNTS {
            self.slept = (pause, now);
        }
        // Of those that have aged only the newest counts: it was shown until the next one.
        let aged = self.shown.iter().rposition(|(at, _)| at + COUNTS < now);
        self.shown.drain(..aged.unwrap_or(0));
        // A drift is no step.
        if self.shown.last().is_none_or(|(_, last)| last.abs_diff(ahead) > TOLERANCE / 2) {
            self.shown.push((now, ahead));
        }
    }

    /// Its machine slept until now, if it did: what it showed before is as young as it was then, for a leader
    /// that slept beside it.
    fn wake(&mut self, now: Nanos) {
        let pause = now - self.at;
        if pause > COUNTS {
            self.shown.iter_mut().for_each(|(at, _)| *at += pause);
        }
    }

    fn most(&self) -> Option<i64> {
        self.shown.iter().map(|(_, ahead)| *ahead).max()
    }

    fn least(&self) -> Option<i64> {
        self.shown.iter().map(|(_, ahead)| *ahead).min()
    }

    /// How long its machine slept, as long as it may know of the others only what they sent before: so old
    /// may be what it has received.
    fn slept(&self) -> i64 {
        let (pause, woke) = self.slept;
        if self.at < woke + COUNTS { pause as i64 } else { 0 }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct ClockJudge {
    now: Nanos,
    clocks: BTreeMap<Identity, ClockHistory>,
    /// What the clocks of a quorum have reached, at the frames of one membership after the other: where a
    /// leader does not know those of the newest, its last judgement stays.
    reached: ClockHistory,
    /// The least that the clocks of all members of one membership after the other have shown: a leader judges
    /// anew some time after a change.
    least: ClockHistory,
}

impl ClockJudge {
    /// The process of this identity has a turn, in which its clock shows `wall`.
    pub fn on_turn(&mut self, identity: Identity, now: Nanos, wall: Nanos) {
        self.now = now;
        let clock = self.clocks.entry(identity).or_default();
        clock.wake(now);
        clock.on_turn(now, wall.wrapping_sub(now) as i64);
    }

    /// CLOCK-1: the time of `stem`, which was stamped just now behind `before`, went no further than a quorum
    /// of clocks, and did not stand still behind all of them.
    pub fn check(&mut self, stem: &Stem, before: Option<&Stem>) -> Result<(), Violation> {
        let Some(before) = before else { return Ok(()) };
        let time = stem.timestamp.wrapping_sub(self.now) as i64;
        for members in [&before.members, &stem.members] {
            if let Some(reached) = self.reached(members) {
                self.reached.on_turn(self.now, reached);
            }
        }
        // Clocks run apart meanwhile.
        let slept = self.clocks.get(&stem.epoch.leader()).map_or(0, ClockHistory::slept);
        if let Some(reached) = self.reached.most().filter(|_| stem.timestamp > before.timestamp)
            && time > reached.saturating_add(SLACK + slept / 10)
        {
            return Err(format!(
                "CLOCK-1: the frame at {} is stamped {} ms ahead of the clocks of a quorum",
                stem.first,
                time.saturating_sub(reached) / 1_000_000
            ));
        }
        for members in [&before.members, &stem.members] {
            if let Some(least) = self.least(members) {
                self.least.on_turn(self.now, least);
            }
        }
        if let Some(least) = self.least.least().filter(|_| !stem.messages.is_empty())
            && time < least.saturating_sub(SLACK + slept)
        {
            return Err(format!(
                "CLOCK-1: the frame at {} is stamped {} ms behind the clocks of all members",
                stem.first,
                least.saturating_sub(time) / 1_000_000
            ));
        }
        Ok(())
    }

    /// The least difference that the clocks of these have shown lately; `None` where one is not known.
    fn least(&self, members: &[Identity]) -> Option<i64> {
        let shown = |identity| self.clocks.get(identity).and_then(ClockHistory::least);
        members.iter().map(shown).collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// The greatest difference that the clocks of a quorum of these have shown lately; `None` where they are
    /// not known.
    fn reached(&self, members: &[Identity]) -> Option<i64> {
        let shown = |identity| self.clocks.get(identity).and_then(ClockHistory::most);
        let mut shown: Vec<_> = members.iter().filter_map(shown).collect();
        shown.sort_unstable_by(|a, b| b.cmp(a));
        shown.get(members.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_clock_that_was_set_back_counts_for_a_while_and_then_no_more() {
        let mut clock = ClockHistory::default();
        clock.on_turn(0, 60 * SECOND);
        clock.on_turn(COUNTS, 60 * SECOND);
        clock.on_turn(COUNTS + 1, 0);
        assert_eq!((clock.most(), clock.least()), (Some(60 * SECOND), Some(0)));
        clock.on_turn(2 * COUNTS, 0);
        assert_eq!(clock.most(), Some(60 * SECOND));
        clock.on_turn(2 * COUNTS + 2, 0);
        assert_eq!((clock.most(), clock.least()), (Some(0), Some(0)));
    }

    #[test]
    fn a_machine_that_slept_knows_nothing_new_of_the_others_for_a_while() {
        let mut clock = ClockHistory::default();
        clock.on_turn(1, 0);
        clock.on_turn(100 * COUNTS, 0);
        assert_eq!(clock.slept(), (100 * COUNTS - 1) as i64);
        clock.on_turn(101 * COUNTS - 1, 0);
        assert!(clock.slept() > 0);
        clock.on_turn(101 * COUNTS, 0);
        assert_eq!(clock.slept(), 0);
    }
}
