//! Values of flags.

use lockstep_bench::flags::{amount, lasts, seconds};
use std::time::Duration;

#[test]
fn times_and_amounts_are_read_with_their_units_and_refused_with_an_example() {
    let lasts = lasts(Duration::from_secs(1));
    for (text, seconds) in [("1500ms", 1.5), ("2m", 120.0), ("2min", 120.0), ("24h", 86_400.0)] {
        assert_eq!(lasts(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
    }
    for text in ["24", "0s", "900ms", "60d", "soon", "m"] {
        assert!(lasts(text).is_err_and(|why| why.contains("24h")), "{text}");
    }
    assert_eq!((amount("8GiB"), amount("512B"), amount("0B")), (Ok(8 << 30), Ok(512), Ok(0)));
    assert_eq!(amount("1000TiB"), Ok(1000 << 40));
    assert!(amount("8").is_err_and(|why| why.contains("8GiB")));
}

#[test]
fn seconds_outside_of_the_bounds_are_refused_with_them() {
    assert_eq!(seconds(0.05..=40.0)("0.05"), Ok(0.05));
    for text in ["0.04", "41", "NaN", "soon", ""] {
        assert!(seconds(0.05..=40.0)(text).is_err_and(|why| why.contains("0.05 to 40")), "{text}");
    }
}
