//! Counts the leaders that failed within ten minutes, from the events of this node's engine: a single
//! takeover is harmless, and frequent ones have a cause.
//!
//! ```text
//!  leader suspected, or we stepped down ─▶ a later epoch ─▶ one that failed
//!  leader that announced its step-down ──▶ a later epoch ─▶ a handover, which does not count
//! ```

use lockstep_core::engine::event::{ReplicaEvent, StepDownReason};
use lockstep_wire::{Epoch, LeaderLossReason, Nanos};

/// From this number on they are reported.
const OFTEN: usize = 4;
/// The time within which they are counted: ten minutes.
const OFTEN_NS: Nanos = 600_000_000_000;
/// The most that are counted.
pub const COUNTED_MAX: usize = 32;

/// The failed leaders: see the module.
#[derive(Debug)]
pub struct FailedLeaders {
    /// The epoch of a leader that is failing, until a later one begins.
    failing: Option<Epoch>,
    /// The last ones, newest first: when another epoch began, and which replica had led.
    failed: Vec<(Nanos, u32)>,
}

impl Default for FailedLeaders {
    /// It has room for all, because the hot thread adds them.
    fn default() -> Self {
        Self { failing: None, failed: Vec::with_capacity(COUNTED_MAX) }
    }
}

impl FailedLeaders {
    /// Handles an event of the engine.
    pub fn on_event(&mut self, now: Nanos, event: &ReplicaEvent) {
        match *event {
            ReplicaEvent::LeaderSuspected { epoch, why } => {
                self.failing = (why != LeaderLossReason::StepDown).then_some(epoch);
            }
            ReplicaEvent::SteppedDown { epoch, why, .. } => {
                self.failing = (why != StepDownReason::Handover).then_some(epoch);
            }
            ReplicaEvent::LeaderReturned { .. } => self.failing = None,
            ReplicaEvent::Epoch { epoch, .. } => {
                if let Some(failed) = self.failing.take_if(|failing| *failing < epoch) {
                    self.failed.truncate(COUNTED_MAX - 1);
                    self.failed.insert(0, (now, failed.leader().replica));
                }
            }
            _ => {}
        }
    }

    /// How many leaders failed within ten minutes, if they are many, and the replica that had led each time;
    /// 0 if it was not always the same one.
    pub fn often(&self, now: Nanos) -> Option<(u64, u64)> {
        let count = self.failed.iter().take_while(|(at, _)| now.saturating_sub(*at) < OFTEN_NS).count();
        let (recent, newest) = (&self.failed[..count], self.failed.first()?.1);
        let is_same = recent.iter().all(|(_, leader)| *leader == newest);
        (count >= OFTEN).then_some((count as u64, if is_same { u64::from(newest) } else { 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::Identity;

    const MINUTE: Nanos = 60_000_000_000;

    fn epoch(round: u32, leader: u32) -> Epoch {
        Epoch::new(round, Identity { replica: leader, incarnation: 7 })
    }

    fn begins(leaders: &mut FailedLeaders, now: Nanos, next: Epoch) {
        leaders.on_event(now, &ReplicaEvent::Epoch { epoch: next, base: 1 });
    }

    /// The leader of this epoch is suspected, and another one leads.
    fn fails(leaders: &mut FailedLeaders, now: Nanos, (round, leader): (u32, u32), why: LeaderLossReason) {
        leaders.on_event(now, &ReplicaEvent::LeaderSuspected { epoch: epoch(round, leader), why });
        begins(leaders, now, epoch(round + 1, 2));
    }

    #[test]
    fn four_failures_within_ten_minutes_are_often_until_they_are_past_and_one_leader_of_all_is_named() {
        let mut leaders = FailedLeaders::default();
        for round in 1..=4 {
            assert_eq!(leaders.often(4 * MINUTE), None);
            fails(&mut leaders, u64::from(round) * MINUTE, (round, 1), LeaderLossReason::Silence);
        }
        assert_eq!(leaders.often(4 * MINUTE), Some((4, 1)));
        fails(&mut leaders, 5 * MINUTE, (5, 3), LeaderLossReason::Down);
        assert_eq!(leaders.often(5 * MINUTE), Some((5, 0)), "not always the same");
        assert_eq!(leaders.often(11 * MINUTE), Some((4, 0)));
        assert_eq!(leaders.often(12 * MINUTE), None);
    }

    #[test]
    fn handovers_and_leaders_that_come_back_are_no_failures() {
        let mut leaders = FailedLeaders::default();
        for round in 1..=9 {
            fails(&mut leaders, 0, (round, 1), LeaderLossReason::StepDown);
            let (epoch, seq) = (epoch(round, 1), 9);
            let handed = ReplicaEvent::SteppedDown { epoch, why: StepDownReason::Handover, seq };
            leaders.on_event(0, &handed);
            begins(&mut leaders, 0, self::epoch(round + 1, 2));
            leaders.on_event(0, &ReplicaEvent::LeaderSuspected { epoch, why: LeaderLossReason::Silence });
            leaders.on_event(0, &ReplicaEvent::LeaderReturned { epoch, lasted: 5 });
            begins(&mut leaders, 0, self::epoch(round + 1, 2));
        }
        assert_eq!(leaders.often(0), None);
    }

    #[test]
    fn a_leader_that_was_superseded_counts_itself_and_the_count_is_bounded() {
        let mut leaders = FailedLeaders::default();
        for round in 1..=1_000 {
            let why = StepDownReason::Superseded;
            leaders.on_event(0, &ReplicaEvent::SteppedDown { epoch: epoch(round, 3), why, seq: 9 });
            begins(&mut leaders, 0, epoch(round, 3));
            begins(&mut leaders, 0, epoch(round + 1, 1));
        }
        assert_eq!(leaders.often(0), Some((COUNTED_MAX as u64, 3)));
    }
}
