//! Gaps around takeovers, and elsewhere.

use lockstep_bench::day::period::Gaps;

#[test]
fn a_gap_that_ends_behind_a_strike_is_the_takeovers_and_the_others_are_not() {
    let mut gaps = Gaps::default();
    [10, 20, 70].iter().for_each(|&at| gaps.delivered(at));
    gaps.strike(75);
    [80, 280, 290].iter().for_each(|&at| gaps.delivered(at));
    assert_eq!(gaps.over(), 200);
    [300, 320].iter().for_each(|&at| gaps.delivered(at));
    assert_eq!((gaps.elsewhere(), gaps.elsewhere()), (50, 0));
}
