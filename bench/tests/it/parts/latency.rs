//! Flags of latency.

use lockstep_bench::latency::{rate, time};

#[test]
fn rates_and_times_are_read_with_their_units_and_refused_with_an_example() {
    assert_eq!((rate("20000"), rate("20k"), rate("1.5M")), (Ok(20_000), Ok(20_000), Ok(1_500_000)));
    assert_eq!((time("200ns"), time("5us")), (Ok(200), Ok(5_000)));
    for text in ["", "k", "0", "fast", "NaN", "200M"] {
        assert!(rate(text).is_err(), "{text}");
    }
    assert!(time("5").is_err_and(|why| why.contains("200ns")));
}
