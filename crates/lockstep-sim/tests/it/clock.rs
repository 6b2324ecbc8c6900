//! The clocks of machines.

use lockstep_sim::SimClock;
use lockstep_sim::clock::PPM_BROKEN;
use lockstep_sim::kinds::PPM_MAX;
use lockstep_wire::Nanos;

#[test]
fn a_clock_shows_what_was_waited_for_when_the_run_reaches_it() {
    for ppm in [-PPM_BROKEN, -PPM_MAX, -1, 0, 1, PPM_MAX, PPM_BROKEN] {
        let clock = SimClock::of_ppm(ppm);
        for shown in [0, 1, 999_999, 1_000_000, 123_456_789, 86_400_000_000_000 * 400] {
            let now = clock.reaches(shown);
            assert!(clock.at(now) >= shown, "{ppm}: {shown} is not shown at {now}");
            assert!(clock.at(now.saturating_sub(3)) < shown.max(1), "{ppm}: {shown} before {now}");
        }
        assert_eq!(clock.at(Nanos::MAX), Nanos::MAX);
        assert_eq!(clock.reaches(Nanos::MAX), Nanos::MAX);
    }
}
