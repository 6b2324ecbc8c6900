//! The time by which retention counts the age of segments. What it removes does not come back, so no clock
//! that was set, and no jump of the stream's time, makes a segment older than it is (DECISIONS 206).

use super::retention::Sealed;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::Nanos;

/// The stream's time between two segments counts for at most so much: a market's longest pause.
const STEP_MAX: Nanos = 7 * 86_400 * 1_000_000_000;

/// A time that no clock moves alone: the earlier one of two, each as it was first seen by this process and
/// carried on by a clock that only rises. One is this node's clock, the other the stream's newest timestamp,
/// which the clocks of a quorum bound (CLOCK-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct AgeClock {
    /// The rising clock, and this node's clock, at the first look.
    node: Option<(Nanos, Nanos)>,
    /// The rising clock when the stream's newest timestamp was first seen, and that timestamp.
    stream: Option<(Nanos, Nanos)>,
}

impl AgeClock {
    /// The time, where the rising clock is at `now`, this node's at `wall`, and the stream's newest timestamp
    /// is `newest`.
    pub fn time(&mut self, now: Nanos, wall: Nanos, newest: Nanos) -> Nanos {
        if planted(Mutation::AgeByOwnClock) {
            return wall;
        }
        let node = *self.node.get_or_insert((now, wall));
        let stream = self.stream.filter(|(_, known)| *known == newest).unwrap_or((now, newest));
        self.stream = Some(stream);
        let carried = |(seen, time): (Nanos, Nanos)| time.saturating_add(now.saturating_sub(seen));
        carried(node).min(carried(stream))
    }
}

/// The age of each of these segments, the oldest first, at `now`: since its newest frame, by the stream's own
/// differences.
pub(super) fn ages(sealed: &[Sealed], now: Nanos) -> Vec<Nanos> {
    let (mut ages, mut later, mut age) = (vec![0; sealed.len()], now, 0_u64);
    for (place, one) in ages.iter_mut().zip(sealed).rev() {
        // A timestamp that is still to come counts for nothing.
        age += later.saturating_sub(one.timestamp).min(STEP_MAX);
        later = later.min(one.timestamp);
        *place = age;
    }
    ages
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Nanos = 86_400 * 1_000_000_000;
    const START: Nanos = 20_000 * DAY;

    fn sealed(timestamps: &[Nanos]) -> Vec<Sealed> {
        let one = |(number, timestamp): (usize, &Nanos)| Sealed {
            number: number as u64 + 1,
            len: 1,
            timestamp: *timestamp,
            next_seq: number as u64 + 2,
            switched_from: u64::MAX,
            needs: Vec::new(),
            days: Vec::new(),
        };
        timestamps.iter().enumerate().map(one).collect()
    }

    #[test]
    fn an_age_is_the_sum_of_the_streams_differences() {
        let ago = |days: &[u64]| days.iter().map(|days| START - days * DAY).collect::<Vec<_>>();
        assert_eq!(ages(&sealed(&ago(&[9, 4, 1])), START), [9 * DAY, 4 * DAY, DAY]);
        assert_eq!(ages(&[], START), []);
    }

    #[test]
    fn a_jump_of_fifteen_years_that_every_clock_shows_counts_a_week() {
        let before = [START - 29 * DAY, START - DAY];
        let late = START + 15 * 365 * DAY;
        assert_eq!(ages(&sealed(&before), late), [14 * DAY, 7 * DAY]);
        // When the clocks are right again, what was stamped meanwhile is not old.
        let all = [START - DAY, late, late];
        assert_eq!(ages(&sealed(&all), START), [DAY, 0, 0]);
    }
}
