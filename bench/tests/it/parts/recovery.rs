//! How long a burst is felt.

use lockstep_bench::load::pace::SECOND_NS;
use lockstep_bench::probe::recovery::Recovery;

#[test]
fn a_burst_is_over_where_ten_pieces_in_a_row_are_no_slower_than_the_calm() {
    let mut recovery = Recovery::new("10x50ms".parse().unwrap(), 10_000, 3 * SECOND_NS).unwrap();
    for number in 0..30_000 {
        let at = number * 100_000;
        let behind = at % SECOND_NS;
        // Behind the first burst it takes 7 ms, behind the second nothing; single ones are always slow,
        // and so is a piece long behind both.
        let slow = (at / SECOND_NS == 1 && behind < 7_000_000)
            || number % 200 == 7
            || (300_000_000..301_000_000).contains(&behind);
        recovery.record(at, if slow { 1_000_000 } else { 10_000 + number % 100 });
    }
    let times = recovery.times().unwrap();
    assert_eq!(times.len(), 2);
    // A histogram keeps three digits.
    assert!(times.max().is_some_and(|most| (6_990_000..7_010_000).contains(&most)));
    assert_eq!(times.histogram().min(), 0);
}
