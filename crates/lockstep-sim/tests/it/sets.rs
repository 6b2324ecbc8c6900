//! Several clusters with one order: each merged reader has the order that the judge folds of the committed logs,
//! whatever happens to streams, coordinators and readers, and errors of the merge are found.

use lockstep_sim::many::run_sets;
use lockstep_testkit::lane;

/// Seeds that failed once. Each change runs them: entries behind a row that a journal brings (58, 66, 238).
const REGRESSIONS: &[u64] = &[58, 66, 238];

#[test]
fn merged_readers_of_sets_have_one_order() {
    lockstep_io::choose_instructions();
    let seeds = lane::amount(60, 5_000);
    let tally = run_sets((1, seeds), 2, 1, |_| true);
    assert!(tally.failures.is_empty(), "{}", tally.failures[0]);
    assert_eq!(tally.runs, seeds);
}

#[test]
fn what_failed_once_does_not_fail_again() {
    lockstep_io::choose_instructions();
    for &seed in REGRESSIONS {
        let tally = run_sets((seed, 1), 1, 1, |_| true);
        assert!(tally.failures.is_empty(), "{}", tally.failures[0]);
    }
}
