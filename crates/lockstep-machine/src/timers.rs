//! # timers: a machine's timers, by the stream's time
//!
//! A timer is due at a time of the stream. It fires before the first input whose entry was stamped at or
//! behind that time. So every copy fires it at the same position, also a copy that reads the stream a day
//! later, and no host's clock is read. If the stream is idle, a replica stamps a tick
//! ([`crate::MachineReplica`]).
//!
//! ```text
//!   set (key, due) ──▶ pending, by due and order ──▶ an entry stamped at or behind `due` ──▶ fires
//!        again: replaces        cancel: gone
//! ```
//! Timers with equal times fire in the order in which they were set. A timer that is set while others fire,
//! and is due at once, fires at the next entry: so each entry fires finitely many.
//!
//! If an operator's order sets the stream's time back, a timer that was set relative to an input keeps its
//! remaining time; one that was set at a time keeps the time.

use crate::digest::StateDigest;
use lockstep_core::engine::saved::{put_bytes, take, take_bytes, take_u64};
use lockstep_wire::Nanos;
use std::collections::BTreeMap;

/// A timer that is pending or firing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timer {
    pub key: u64,
    pub due: Nanos,
    /// Whether it was set relative to an input, and not at a time.
    pub is_relative: bool,
    pub payload: Vec<u8>,
}

/// The timers: see the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timers {
    /// Sorted by due time, and by order among equal ones.
    by_due: BTreeMap<(Nanos, u64), Timer>,
    by_key: BTreeMap<u64, (Nanos, u64)>,
    /// The number of timers ever set.
    set: u64,
    /// The sum of all pending timers' digests, so that none is computed over all of them.
    digest: u64,
}

impl Timers {
    /// Sets a timer. A pending one with this key is replaced.
    pub fn set(&mut self, key: u64, (due, is_relative): (Nanos, bool), payload: &[u8]) {
        self.cancel(key);
        self.insert(self.set, Timer { key, due, is_relative, payload: payload.to_vec() });
        self.set += 1;
    }

    /// The stream's time is set back by `by`: relative timers move with it.
    pub fn set_back(&mut self, by: Nanos) {
        let relative = self.by_due.iter().filter(|(_, timer)| timer.is_relative).map(|(place, _)| *place);
        for place in relative.collect::<Vec<_>>() {
            if let Some(timer) = self.remove(place) {
                self.insert(place.1, Timer { due: timer.due.saturating_sub(by), ..timer });
            }
        }
    }

    fn insert(&mut self, order: u64, timer: Timer) {
        self.digest = self.digest.wrapping_add(digest(order, &timer));
        self.by_key.insert(timer.key, (timer.due, order));
        self.by_due.insert((timer.due, order), timer);
    }

    /// Cancels a timer, if it is pending.
    pub fn cancel(&mut self, key: u64) {
        if let Some(place) = self.by_key.remove(&key) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: (Nanos, u64)) -> Option<Timer> {
        let timer = self.by_due.remove(&place)?;
        self.digest = self.digest.wrapping_sub(digest(place.1, &timer));
        Some(timer)
    }

    /// The bound of one pass: timers that are set after it do not fire in this pass.
    pub fn pass(&self) -> u64 {
        self.set
    }

    /// Removes and returns the next timer that is due at `time` in this pass.
    pub fn fire(&mut self, time: Nanos, pass: u64) -> Option<Timer> {
        let (&place, timer) = self.by_due.first_key_value()?;
        if place.0 > time || place.1 >= pass {
            return None;
        }
        self.by_key.remove(&timer.key);
        self.remove(place)
    }

    /// The time of the next timer.
    pub fn next_due(&self) -> Option<Nanos> {
        self.by_due.first_key_value().map(|(place, _)| place.0)
    }

    /// Key and time of each pending timer, the next one first.
    pub fn pending(&self) -> impl Iterator<Item = (u64, Nanos)> {
        self.by_due.values().map(|timer| (timer.key, timer.due))
    }

    /// The number of pending timers.
    pub fn len(&self) -> usize {
        self.by_due.len()
    }

    /// The digest of all pending timers, their order, and the number ever set.
    pub fn digest(&self) -> u64 {
        self.digest ^ self.set.rotate_left(32)
    }

    /// Appends the part of a snapshot.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.set.to_le_bytes());
        out.extend_from_slice(&(self.by_due.len() as u64).to_le_bytes());
        for ((due, order), timer) in &self.by_due {
            [*due, *order, timer.key].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            out.push(u8::from(timer.is_relative));
            put_bytes(out, &timer.payload);
        }
    }

    /// The timers of a machine that continues from a snapshot; they are removed from the front of `rest`.
    /// `None`: the bytes are invalid. A snapshot of an earlier format does not show to what they are
    /// relative: all of them keep their times.
    pub fn restore(rest: &mut &[u8], has_relative: bool) -> Option<Self> {
        let mut timers = Self { set: take_u64(rest)?, ..Self::default() };
        for _ in 0..take_u64(rest)? {
            let (due, order, key) = (take_u64(rest)?, take_u64(rest)?, take_u64(rest)?);
            let [relative] = if has_relative { take(rest)? } else { [0] };
            let payload = take_bytes(rest)?.to_vec();
            timers.insert(order, Timer { key, due, is_relative: relative == 1, payload });
        }
        (timers.by_key.len() == timers.by_due.len()).then_some(timers)
    }
}

fn digest(order: u64, timer: &Timer) -> u64 {
    let mut digest = StateDigest::default();
    [order, timer.key, timer.due].iter().for_each(|word| digest.write(&word.to_le_bytes()));
    digest.write(&timer.payload);
    digest.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(timers: &mut Timers, time: Nanos) -> Vec<u64> {
        let pass = timers.pass();
        std::iter::from_fn(|| timers.fire(time, pass)).map(|timer| timer.key).collect()
    }

    #[test]
    fn timers_fire_once_in_the_order_of_their_times_and_none_early() {
        let mut timers = Timers::default();
        for (key, due) in [(1, 30), (2, 10), (3, 20), (4, 20)] {
            timers.set(key, (due, false), b"");
        }
        assert_eq!((fired(&mut timers, 9), fired(&mut timers, 20)), (vec![], vec![2, 3, 4]));
        assert_eq!((fired(&mut timers, 29), fired(&mut timers, 100)), (vec![], vec![1]));
        assert_eq!(fired(&mut timers, 100), []);
    }

    #[test]
    fn a_timer_that_is_set_again_or_cancelled_does_not_fire_at_its_former_time() {
        let mut timers = Timers::default();
        timers.set(1, (10, false), b"");
        timers.set(2, (10, false), b"");
        timers.set(1, (20, false), b"");
        timers.cancel(2);
        assert_eq!((fired(&mut timers, 10), fired(&mut timers, 20)), (vec![], vec![1]));
    }

    #[test]
    fn one_that_is_set_while_others_fire_waits_for_the_next_entry() {
        let mut timers = Timers::default();
        timers.set(1, (10, false), b"");
        let pass = timers.pass();
        assert!(timers.fire(10, pass).is_some());
        timers.set(1, (10, false), b"");
        assert_eq!(timers.fire(10, pass), None);
        assert_eq!(fired(&mut timers, 10), [1]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64, Nanos, u8),
        Cancel(u64),
        Fire(Nanos),
        SetBack(Nanos),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..8u64, 0..50u64, any::<u8>()).prop_map(|(key, due, byte)| Step::Set(key, due, byte)),
            (0..8u64).prop_map(Step::Cancel),
            (0..50u64).prop_map(Step::Fire),
            (0..50u64).prop_map(Step::SetBack),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        /// The slow and obvious implementation: a list in the order of setting.
        #[test]
        fn they_are_as_a_sorted_list_and_a_snapshot_has_all_of_them(steps in steps()) {
            let (mut timers, mut list): (Timers, Vec<(Nanos, u64, u64, u8)>) = Default::default();
            let mut order = 0;
            for step in steps {
                match step {
                    Step::Set(key, due, byte) => {
                        list.retain(|timer| timer.2 != key);
                        list.push((due, order, key, byte));
                        order += 1;
                        timers.set(key, (due, byte % 2 == 0), &[byte]);
                    }
                    Step::Cancel(key) => {
                        list.retain(|timer| timer.2 != key);
                        timers.cancel(key);
                    }
                    Step::Fire(time) => {
                        list.sort_unstable();
                        let due = list.iter().filter(|timer| timer.0 <= time).map(|timer| timer.2);
                        prop_assert_eq!(due.collect::<Vec<_>>(), fired(&mut timers, time));
                        list.retain(|timer| timer.0 > time);
                    }
                    Step::SetBack(by) => {
                        let relative = list.iter_mut().filter(|timer| timer.3 % 2 == 0);
                        relative.for_each(|timer| timer.0 = timer.0.saturating_sub(by));
                        timers.set_back(by);
                    }
                }
                prop_assert_eq!(list.iter().map(|timer| timer.0).min(), timers.next_due());
                prop_assert_eq!(list.len(), timers.len());
                let mut saved = Vec::new();
                timers.save(&mut saved);
                let restored = Timers::restore(&mut &saved[..], true);
                prop_assert_eq!(restored.as_ref().map(Timers::digest), Some(timers.digest()));
                prop_assert_eq!(restored, Some(timers.clone()));
            }
        }
    }
}
