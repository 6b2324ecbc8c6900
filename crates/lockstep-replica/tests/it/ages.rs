//! What retention by age takes for the time, whatever clocks are set.

use lockstep_replica::journal::AgeClock;
use lockstep_wire::Nanos;

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 86_400 * SECOND;
/// When the process starts.
const START: Nanos = 20_000 * DAY;

/// Steps that clocks make: {+1 h, +1 d, +15 y, −1 h, −1 d}.
const STEPS: [i64; 5] = [3_600, 86_400, 15 * 365 * 86_400, -3_600, -86_400];

fn stepped(time: Nanos, by: i64) -> Nanos {
    time.checked_add_signed(by * SECOND as i64).expect("a time")
}

#[test]
pub(crate) fn whichever_clocks_are_set_while_it_runs_nothing_ages_by_it() {
    for by in STEPS {
        for (own, all) in [(true, false), (false, true), (true, true)] {
            let mut clock = AgeClock::default();
            for second in 0..1_000 {
                let right = START + second * SECOND;
                let wrong = if second >= 10 { stepped(right, by) } else { right };
                let wall = if own { wrong } else { right };
                // Time never decreases along the stream.
                let newest = if all { wrong.max(START + second.min(9) * SECOND) } else { right };
                let time = clock.time(second * SECOND, wall, newest);
                assert!(time <= right, "{by} s, own {own}, all {all}: {time} at {right}");
                assert!(right - time <= second * SECOND, "{by} s, own {own}, all {all}: it stands still");
            }
        }
    }
}

#[test]
fn a_clock_that_is_ahead_at_the_start_is_bounded_by_the_stream() {
    for by in [3_600, 86_400, 15 * 365 * 86_400] {
        let mut clock = AgeClock::default();
        for second in 0..1_000 {
            let right = START + second * SECOND;
            assert_eq!(clock.time(second * SECOND, stepped(right, by), right), right);
        }
    }
}

#[test]
fn a_stream_that_is_ahead_at_the_start_is_bounded_by_the_clock() {
    let mut clock = AgeClock::default();
    assert_eq!(clock.time(0, START, START + 15 * 365 * DAY), START);
    assert_eq!(clock.time(DAY, START + DAY, START + 15 * 365 * DAY), START + DAY);
}

#[test]
fn an_idle_stream_ages_and_one_that_is_fetched_is_as_old_as_its_newest_frame() {
    let mut clock = AgeClock::default();
    assert_eq!(clock.time(0, START, START), START);
    assert_eq!(clock.time(3 * DAY, START + 3 * DAY, START), START + 3 * DAY);
    // A log of 400 days that is fetched within a minute.
    let mut clock = AgeClock::default();
    for day in 0..=400 {
        let newest = START - 400 * DAY + day * DAY;
        let now = day * SECOND / 10;
        assert_eq!(clock.time(now, START + now, newest), newest);
    }
}
