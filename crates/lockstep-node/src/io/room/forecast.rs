//! The time until a resource is used up, at the rate of the last minutes.
//!
//! Free room falls in steps, as segments are allocated, and rises in steps, as retention removes them. So the
//! first and the last third of a trend are compared by the least free room in each: a level that is held has
//! the same least value all the time, however it varies in between.
//!
//! ```text
//!  free │▔▔╲__        first third: its least
//!       │     ▔╲__▔╲     last third: its least
//!       └─────────────▶ steps
//! ```
//! A trend that was observed for its whole length is extrapolated, to at most six times that length: a burst
//! of ten seconds says nothing about the next minutes, and one of a minute nothing about the next hour.

use lockstep_wire::Nanos;
use std::collections::VecDeque;

/// The number of steps of a trend.
const STEPS: usize = 60;
/// The factor by which a trend is extrapolated.
const CONTINUED: u64 = 6;
/// Lengths of a step: trends of a minute, ten minutes and an hour.
const STEP_NS: [Nanos; 3] = [1_000_000_000, 10_000_000_000, 60_000_000_000];

/// The free room of the last minutes.
#[derive(Clone, Debug)]
pub struct Forecast {
    trends: [Trend; STEP_NS.len()],
}

/// The least free room in each of the last steps.
#[derive(Clone, Debug)]
struct Trend {
    step_ns: Nanos,
    least: VecDeque<u64>,
    /// The present step, and the least free room in it.
    present: Option<(u64, u64)>,
}

impl Default for Forecast {
    fn default() -> Self {
        let trend = |step_ns| Trend { step_ns, least: VecDeque::with_capacity(STEPS), present: None };
        Self { trends: STEP_NS.map(trend) }
    }
}

impl Forecast {
    /// Adds the free room at `now`, by a monotonic clock.
    pub fn add(&mut self, now: Nanos, free: u64) {
        self.trends.iter_mut().for_each(|trend| trend.add(now, free));
    }

    /// The time until `free` is used up; `None` if no trend shows an end. A fall by up to `slack` does not
    /// count.
    pub fn left(&self, free: u64, slack: u64) -> Option<Nanos> {
        self.trends.iter().filter_map(|trend| trend.left(free, slack)).min()
    }
}

impl Trend {
    fn add(&mut self, now: Nanos, free: u64) {
        let step = now / self.step_ns;
        match &mut self.present {
            Some((present, least)) if *present == step => *least = free.min(*least),
            Some((present, least)) => {
                // A step without a look repeats the one before.
                let passed = (step - *present).min(STEPS as u64);
                let least = *least;
                self.present = Some((step, free));
                (0..passed).for_each(|_| self.push(least));
            }
            None => self.present = Some((step, free)),
        }
    }

    fn push(&mut self, least: u64) {
        if self.least.len() == STEPS {
            self.least.pop_front();
        }
        self.least.push_back(least);
    }

    fn left(&self, free: u64, slack: u64) -> Option<Nanos> {
        const THIRD: usize = STEPS / 3;
        if self.least.len() < STEPS {
            return None;
        }
        let before = self.least.iter().take(THIRD).min()?;
        let after = self.least.iter().skip(STEPS - THIRD).min()?;
        let fall = before.checked_sub(*after)?.checked_sub(slack).filter(|fall| *fall > 0)?;
        let took = (STEPS - THIRD) as u64 * self.step_ns;
        let left = u128::from(free) * u128::from(took) / u128::from(fall);
        let left = Nanos::try_from(left).ok()?;
        (left <= CONTINUED * STEPS as u64 * self.step_ns).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    /// A forecast after `seconds` of `free` at each second, and the free room at their end.
    fn seen(seconds: u64, free: impl Fn(u64) -> u64) -> (Forecast, u64) {
        let mut forecast = Forecast::default();
        (0..=seconds).for_each(|second| forecast.add(second * SECOND, free(second)));
        (forecast, free(seconds))
    }

    #[test]
    fn a_steady_fall_is_continued_to_its_end() {
        let (forecast, free) = seen(600, |second| 10_000 * MIB - second * 5 * MIB);
        let left = forecast.left(free, 0).expect("an end") / SECOND;
        assert!((1_330..=1_470).contains(&left), "7,000 MiB at 5 MiB/s: {left}");
    }

    #[test]
    fn a_fast_fall_is_told_after_a_minute() {
        let (forecast, free) = seen(60, |second| 3_000 * MIB - second * 30 * MIB);
        let left = forecast.left(free, 0).expect("an end") / SECOND;
        assert!((38..=42).contains(&left), "1,200 MiB at 30 MiB/s: {left}");
    }

    #[test]
    fn a_level_that_is_held_has_no_end_however_it_goes_up_and_down() {
        for period in [2, 7, 11, 60, 170] {
            let (forecast, free) = seen(3_600, |second| 500 * MIB - second % period * 64 / period * MIB);
            assert_eq!(forecast.left(free, 128 * MIB), None, "each {period} s");
        }
    }

    #[test]
    fn a_short_burst_is_not_continued_for_an_hour() {
        let burst = |second: u64| second.saturating_sub(570) * 10 * MIB;
        let (forecast, free) = seen(600, |second| 40_000 * MIB - burst(second));
        assert_eq!(forecast.left(free, 0), None, "30 s of 10 MiB/s, and 4,000 s would be left");
    }

    #[test]
    fn a_copy_of_half_a_minute_is_no_trend_of_the_disk() {
        let (forecast, free) = seen(30, |second| 20_000 * MIB - second * 250 * MIB);
        assert_eq!(forecast.left(free, 0), None);
    }

    #[test]
    fn steps_in_which_nobody_looked_are_like_the_one_before() {
        let mut forecast = Forecast::default();
        forecast.add(0, 900);
        forecast.add(40 * SECOND, 900);
        forecast.add(41 * SECOND, 100);
        assert_eq!(forecast.trends[0].least.len(), 41);
        assert_eq!(forecast.left(100, 0), None, "the fall is within the present step");
    }
}
