//! The conditions of a node, which do not end it. Its log, its status and its counters read them from this
//! one place.
//!
//! A part that checks a [`Condition`] reports here, at each check, whether it is active. Each beginning and
//! each end is one event.

use lockstep_core::engine::counters::Described;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Condition, ConditionRow, Nanos, STATUS_CONDITIONS_MAX};

/// An active condition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct ActiveCondition {
    condition: Condition,
    since: Nanos,
    a: u64,
    b: u64,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConditionSet {
    /// Gravest first; room for all of them.
    active: Vec<ActiveCondition>,
    /// How often each one began.
    begun: [u64; Condition::COUNT],
}

impl Default for ConditionSet {
    fn default() -> Self {
        Self { active: Vec::with_capacity(Condition::COUNT), begun: [0; Condition::COUNT] }
    }
}

impl ConditionSet {
    /// Whether it is active.
    #[inline]
    pub fn holds(&self, condition: Condition) -> bool {
        self.active.iter().any(|active| active.condition == condition)
    }

    /// At `now` the condition is active if `holds`, with its two numbers. Returns the event, if that is a
    /// change.
    pub fn set(
        &mut self,
        condition: Condition,
        holds: bool,
        now: Nanos,
        (a, b): (u64, u64),
    ) -> Option<ReplicaEvent> {
        let place = self.active.iter().position(|active| active.condition == condition);
        let since = match (place, holds) {
            (None, false) => return None,
            (Some(_), true) if planted(Mutation::ConditionTwice) => now,
            (Some(place), true) => {
                (self.active[place].a, self.active[place].b) = (a, b);
                return None;
            }
            (None, true) => {
                let behind =
                    self.active.iter().position(|active| active.condition.index() > condition.index());
                let place = behind.unwrap_or(self.active.len());
                self.active.insert(place, ActiveCondition { condition, since: now, a, b });
                self.begun[condition.index()] += 1;
                now
            }
            (Some(place), false) => self.active.remove(place).since,
        };
        Some(ReplicaEvent::Condition { condition, holds, a, b, lasted: now.saturating_sub(since) })
    }

    /// Its two numbers, while it is active.
    pub fn numbers(&self, condition: Condition) -> Option<(u64, u64)> {
        let active = self.active.iter().find(|active| active.condition == condition)?;
        Some((active.a, active.b))
    }

    /// No part checks any more whether it is active.
    pub fn forget(&mut self, condition: Condition) {
        self.active.retain(|active| active.condition != condition);
    }

    /// The gravest active conditions, for a status at `now`: those that every release knows, or
    /// (`in_part`) the others. Returns how many rows of `out` are used.
    pub fn rows(&self, now: Nanos, in_part: bool, out: &mut [ConditionRow; STATUS_CONDITIONS_MAX]) -> usize {
        let mut count = 0;
        let active = self.active.iter().filter(|active| active.condition.is_in_part() == in_part);
        for (row, active) in out.iter_mut().zip(active) {
            let age_s = now.saturating_sub(active.since) / 1_000_000_000;
            *row = ConditionRow {
                code: active.condition as u16,
                reserved: 0,
                age_s: age_s.try_into().unwrap_or(u32::MAX),
                a: active.a,
                b: active.b,
            };
            count += 1;
        }
        count
    }

    /// The rows of [`ConditionSet::values`].
    pub fn counters() -> impl Iterator<Item = Described> {
        Condition::of_nodes().flat_map(Described::of_condition)
    }

    /// Whether each is active (1 or 0), and how often it began.
    pub fn values(&self, out: &mut Vec<u64>) {
        for condition in Condition::of_nodes() {
            out.extend([u64::from(self.holds(condition)), self.begun[condition.index()]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    fn reported(conditions: &ConditionSet, now: Nanos) -> Vec<(u16, u32, u64)> {
        let mut rows = [ConditionRow::zeroed(); STATUS_CONDITIONS_MAX];
        let count = conditions.rows(now, false, &mut rows);
        rows[..count].iter().map(|row| (row.code, row.age_s, row.a)).collect()
    }

    #[test]
    fn what_begins_and_what_ends_is_told_once_and_what_holds_has_its_last_numbers() {
        let mut conditions = ConditionSet::default();
        let full = Condition::DiskFull;
        assert_eq!(conditions.set(full, false, 5, (0, 0)), None, "it never began");
        let begun = ReplicaEvent::Condition { condition: full, holds: true, a: 7, b: 0, lasted: 0 };
        assert_eq!(conditions.set(full, true, 5, (7, 0)), Some(begun));
        assert_eq!(conditions.set(full, true, 6, (9, 0)), None);
        assert_eq!(reported(&conditions, 3_000_000_005), [(1103, 3, 9)]);
        let ended = ReplicaEvent::Condition { condition: full, holds: false, a: 9, b: 0, lasted: 15 };
        assert_eq!(conditions.set(full, false, 20, (9, 0)), Some(ended));
        assert!(reported(&conditions, 21).is_empty() && !conditions.holds(full));
    }

    #[test]
    fn a_status_has_the_gravest_first_and_no_more_than_fit() {
        let mut conditions = ConditionSet::default();
        for condition in Condition::ALL.iter().rev() {
            conditions.set(*condition, true, 0, (0, 0));
        }
        let of_all = Condition::ALL.iter().filter(|known| !known.is_in_part());
        let expected: Vec<_> = of_all.take(STATUS_CONDITIONS_MAX).map(|known| *known as u16).collect();
        assert_eq!(reported(&conditions, 0).iter().map(|row| row.0).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn conditions_that_the_release_before_does_not_know_stand_in_a_part_of_their_own() {
        let mut conditions = ConditionSet::default();
        conditions.set(Condition::FilesDiffer, true, 0, (4, 5));
        conditions.set(Condition::DiskFull, true, 0, (6, 0));
        let mut rows = [ConditionRow::zeroed(); STATUS_CONDITIONS_MAX];
        assert_eq!(reported(&conditions, 0), [(1103, 0, 6)]);
        assert_eq!(conditions.rows(0, true, &mut rows), 1);
        assert_eq!((rows[0].code, rows[0].a, rows[0].b), (1022, 4, 5));
    }

    #[test]
    fn each_condition_has_two_counters() {
        let mut conditions = ConditionSet::default();
        for now in 0..3 {
            conditions.set(Condition::LineLost, true, now, (1, 0));
            conditions.set(Condition::LineLost, now == 2, now, (1, 0));
        }
        let mut values = Vec::new();
        conditions.values(&mut values);
        let counted = |name: &str| {
            let place = ConditionSet::counters().position(|row| row.name == name);
            values[place.expect("a counter")]
        };
        assert_eq!(values.len(), ConditionSet::counters().count());
        let lost = ["condition", "condition_begun"].map(|name| format!("{name}{{condition=\"line_lost\"}}"));
        assert_eq!(lost.map(|name| counted(&name)), [1, 3]);
        assert_eq!(counted("condition_begun{condition=\"disk_full\"}"), 0);
    }
}
