//! The figures of a takeover.

use lockstep_bench::failover::report::{ACROSS, FULL, GAP, STAMP, WAIT};

#[test]
fn a_word_of_fail_if_selects_one_figure_of_a_takeover() {
    for (name, metrics) in
        [("gap", GAP), ("across", ACROSS), ("stamp", STAMP), ("full", FULL), ("wait", WAIT)]
    {
        for other in [GAP, ACROSS, STAMP, FULL, WAIT] {
            let mut words = other.case.split(|c: char| !c.is_alphanumeric());
            assert_eq!(
                words.any(|word| word == name),
                other.case == metrics.case,
                "{name} in {}",
                other.case
            );
        }
    }
}
