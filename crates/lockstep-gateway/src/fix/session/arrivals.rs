//! The arrival times of the bytes that wait to be taken. So a message is as old as its own bytes, even if it
//! waited behind one whose length was too long.

use lockstep_wire::Nanos;
use std::collections::VecDeque;

/// The most marks.
const MARKS_MAX: usize = 32;

/// Arrival times: see the module.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// The number of bytes of each mark, and when the first of them arrived; oldest first.
    marks: VecDeque<(usize, Nanos)>,
    /// Bytes of all marks.
    len: usize,
}

impl Arrivals {
    /// `len` bytes wait now. Bytes that arrived within `grain_ns` after a mark count to it.
    pub fn on_offered(&mut self, now: Nanos, len: usize, grain_ns: Nanos) {
        let new = len.saturating_sub(self.len);
        self.len += new;
        let is_full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut().filter(|(_, at)| is_full || now < *at + grain_ns) {
            Some((bytes, _)) => *bytes += new,
            None if new > 0 => self.marks.push_back((new, now)),
            None => {}
        }
    }

    /// `len` of them were taken.
    pub fn on_taken(&mut self, mut len: usize) {
        self.len = self.len.saturating_sub(len);
        while let Some((bytes, _)) = self.marks.front_mut() {
            let taken = len.min(*bytes);
            (*bytes, len) = (*bytes - taken, len - taken);
            if *bytes > 0 {
                break;
            }
            self.marks.pop_front();
        }
    }

    /// The arrival time of the byte at this offset; `now` if no byte waits there.
    pub fn at(&self, now: Nanos, mut place: usize) -> Nanos {
        for (bytes, at) in &self.marks {
            if place < *bytes {
                return *at;
            }
            place -= bytes;
        }
        now
    }

    /// The waiting bytes were not read until now.
    pub fn on_unread(&mut self, now: Nanos) {
        self.marks.clear();
        if self.len > 0 {
            self.marks.push_back((self.len, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_old_as_their_mark_whatever_was_before_them() {
        let mut arrivals = Arrivals::default();
        for (now, len) in [(100, 10), (109, 20), (110, 30), (110, 30), (150, 31)] {
            arrivals.on_offered(now, len, 10);
        }
        let ages = |arrivals: &Arrivals| [0, 19, 20, 29, 30, 31].map(|place| arrivals.at(200, place));
        assert_eq!(ages(&arrivals), [100, 100, 110, 110, 150, 200]);
        arrivals.on_taken(25);
        assert_eq!([0, 4, 5, 6].map(|place| arrivals.at(200, place)), [110, 110, 150, 200]);
        arrivals.on_unread(180);
        assert_eq!([0, 5, 6].map(|place| arrivals.at(200, place)), [180, 180, 200]);
        arrivals.on_taken(6);
        arrivals.on_offered(190, 0, 10);
        assert_eq!((arrivals.at(200, 0), arrivals.marks.len()), (200, 0));
    }

    #[test]
    fn marks_are_bounded_and_make_bytes_older_at_most() {
        let mut arrivals = Arrivals::default();
        for byte in 1..1_000 {
            arrivals.on_offered(byte * 100, byte as usize, 10);
            assert!(
                arrivals.marks.len() <= MARKS_MAX && arrivals.at(byte * 100, byte as usize - 1) <= byte * 100
            );
        }
        arrivals.on_taken(999);
        assert!(arrivals.marks.is_empty());
    }
}
