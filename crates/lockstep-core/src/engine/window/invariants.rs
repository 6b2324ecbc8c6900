//! What holds of a publisher's window after each call, in the words of its rules.

use super::{NONE, Slot, SubmitWindow, UnsettledMessages};

impl SubmitWindow {
    /// Holds always, of the window and of all `lists` that lie in it. Panics with the rule that is broken.
    pub fn invariants<'l>(&self, lists: impl Iterator<Item = &'l UnsettledMessages>) {
        let mut left = vec![true; self.runs.len()];
        let mut take = |run: u32| {
            let once = left.get_mut(run as usize).is_some_and(std::mem::take);
            assert!(once, "the run {run} of {} is free or of one list, once", self.runs.len());
        };
        self.free.iter().for_each(|run| take(*run));
        let mut slots = vec![(0, 0); self.slots.len()];
        for list in lists {
            let (mut index, mut is_stamped, mut next) =
                (list.head, list.unstamped_run != list.head, list.oldest);
            while let Some(run) = self.runs.get(index as usize) {
                take(index);
                assert!(run.first <= next && next < run.end(), "a list is without a hole: {next} in {run:?}");
                is_stamped &= list.unstamped_run != index;
                let unstamped = if is_stamped { run.end() } else { list.unstamped.max(next) };
                let (pending, waiting) = &mut slots[run.slot as usize];
                *pending += run.end() - next;
                *waiting += run.end() - unstamped;
                (next, index) = (run.end(), run.next);
            }
            assert!(index == NONE, "a list ends with its last run: {list:?}");
        }
        assert!(left.iter().all(|left| !left), "each run is free or of one list: {left:?}");
        let pending: u64 = slots.iter().map(|(pending, _)| pending).sum();
        assert!(
            pending == u64::from(self.pending),
            "{pending} messages have no fate, and {} are counted",
            self.pending
        );
        for (place, (slot, (pending, waiting))) in self.slots.iter().zip(&slots).enumerate() {
            let counted = (u64::from(slot.left), u64::from(slot.unstamped));
            assert!(
                counted == (*pending, *waiting),
                "the datagram at {place} has {pending} messages without a fate, {waiting} not stamped: {slot:?}",
            );
        }
        let count = |is: fn(&Slot) -> bool| self.slots.iter().filter(|slot| is(slot)).count() as u64;
        let (flying, due) = (count(|slot| slot.flying), count(|slot| slot.due));
        assert!(flying == self.flight.flying(), "{flying} datagrams are under way: {:?}", self.flight);
        assert!(due == u64::from(self.hurried), "{due} datagrams are due, and {} are counted", self.hurried);
        assert!(
            self.head <= self.unsent
                && self.unsent <= self.ready.max(self.unsent)
                && self.unsent <= self.tail,
            "head, sent and prepared are in order: {} {} {}",
            self.head,
            self.unsent,
            self.tail,
        );
        let used = self.tail - self.head + u64::from(!self.open.is_empty());
        assert!(used <= self.slots.len() as u64, "{used} datagrams of {}", self.slots.len());
    }
}
