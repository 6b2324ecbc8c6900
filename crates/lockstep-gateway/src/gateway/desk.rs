//! The two threads that check passwords: one runs only when a core is idle, and the other one takes a bounded
//! share of a core from others. So a check that the first one has taken may wait as long as the cores are
//! busy. The other one does it too, as soon as it is free, and the first result counts.

use lockstep_wire::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// The longest time of a check on an idle core: after it the thread is assumed to wait for a core.
const PATIENCE_NS: Nanos = 50_000_000;

/// One of the threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckThread {
    /// It runs on idle cores only.
    Idle,
    /// It takes a share of a core, and rests in between.
    Share,
}

/// The task of a thread: the number of its check, and its start.
type Task = Option<(u64, Nanos)>;

/// The desk: see the module. Only its owner uses it, so a thread that gets no core holds no lock.
#[derive(Clone, Debug)]
pub struct CheckDesk<T> {
    waiting: VecDeque<T>,
    waiting_max: usize,
    /// Checks without a result yet, by number.
    open: BTreeMap<u64, T>,
    number: u64,
    idle: Task,
    share: Task,
}

impl<T: Clone> CheckDesk<T> {
    /// A desk with two free threads, where `waiting_max` checks may wait.
    pub fn new(waiting_max: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_max,
            open: BTreeMap::new(),
            number: 0,
            idle: None,
            share: None,
        }
    }

    /// Whether another check may wait.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.waiting_max
    }

    /// Adds a check, for which there must be room.
    pub fn push(&mut self, check: T) {
        self.waiting.push_back(check);
    }

    /// The next check for a thread, and its number.
    pub fn assign(&mut self, now: Nanos) -> Option<(CheckThread, u64, T)> {
        let is_late = |(number, since): &(u64, Nanos)| {
            self.open.contains_key(number) && now >= since.saturating_add(PATIENCE_NS)
        };
        match (self.share, self.idle) {
            (None, _) if !self.waiting.is_empty() => self.next(now, CheckThread::Share),
            (None, Some(task)) if is_late(&task) => {
                self.share = Some((task.0, now));
                let check = self.open.get(&task.0)?.clone();
                Some((CheckThread::Share, task.0, check))
            }
            (Some(_), None) => self.next(now, CheckThread::Idle),
            _ => None,
        }
    }

    fn next(&mut self, now: Nanos, whom: CheckThread) -> Option<(CheckThread, u64, T)> {
        let check = self.waiting.pop_front()?;
        self.number += 1;
        self.open.insert(self.number, check.clone());
        *self.task(whom) = Some((self.number, now));
        Some((whom, self.number, check))
    }

    fn task(&mut self, of: CheckThread) -> &mut Task {
        match of {
            CheckThread::Idle => &mut self.idle,
            CheckThread::Share => &mut self.share,
        }
    }

    /// A thread has the result of the check with this number. Returns the check, if it is the first result.
    pub fn on_result(&mut self, number: u64) -> Option<T> {
        self.open.remove(&number)
    }

    /// A thread can take another check: it has delivered its result, and has rested.
    pub fn on_free(&mut self, who: CheckThread) {
        *self.task(who) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn desk(checks: &[&'static str]) -> CheckDesk<&'static str> {
        let mut desk = CheckDesk::new(4);
        checks.iter().copied().for_each(|check| desk.push(check));
        desk
    }

    #[test]
    fn a_thread_that_is_free_has_what_waits_whatever_the_other_one_does() {
        let mut desk = desk(&["a", "b", "c", "d"]);
        assert!(!desk.has_room());
        assert_eq!(desk.assign(0), Some((CheckThread::Share, 1, "a")));
        assert_eq!(desk.assign(0), Some((CheckThread::Idle, 2, "b")));
        assert_eq!(desk.assign(0), None);
        // The idle thread gets no core at all.
        for (number, check) in [(3, "c"), (4, "d")] {
            desk.on_free(CheckThread::Share);
            assert_eq!(desk.assign(number * MS), Some((CheckThread::Share, number, check)));
            assert_eq!(desk.on_result(number), Some(check));
        }
    }

    #[test]
    fn what_the_idle_thread_does_not_finish_is_done_by_the_other_one_and_the_first_verdict_counts() {
        for share_is_first in [true, false] {
            let mut desk = desk(&["a", "b"]);
            assert_eq!(desk.assign(0), Some((CheckThread::Share, 1, "a")));
            assert_eq!(desk.assign(0), Some((CheckThread::Idle, 2, "b")));
            assert_eq!(desk.on_result(1), Some("a"));
            // It rests, and no other thread is free.
            assert_eq!(desk.assign(60_000 * MS), None);
            desk.on_free(CheckThread::Share);
            assert_eq!(desk.assign(PATIENCE_NS - 1), None);
            assert_eq!(desk.assign(PATIENCE_NS), Some((CheckThread::Share, 2, "b")));
            assert_eq!((desk.on_result(2), desk.on_result(2)), (Some("b"), None));
            if share_is_first {
                desk.on_free(CheckThread::Share);
                // The idle thread has delivered no result: it gets no other check, and no check is done a
                // third time.
                desk.push("c");
                assert_eq!(desk.assign(PATIENCE_NS), Some((CheckThread::Share, 3, "c")));
                desk.push("d");
                assert_eq!(desk.assign(PATIENCE_NS), None);
            }
            desk.on_free(CheckThread::Idle);
            desk.push("e");
            assert!(desk.assign(PATIENCE_NS).is_some());
        }
    }
}
