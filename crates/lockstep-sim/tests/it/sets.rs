//! Several clusters with one order: each merged reader has the order that the judge folds of the committed
//! logs, whatever happens to streams, coordinators and readers, and errors of the merge are found.

use lockstep_sim::many::run_sets;
use lockstep_testkit::lane;

/// Seeds that each change runs.
const SEEDS: u64 = 200;

#[test]
fn merged_readers_of_sets_have_one_order() {
    lockstep_io::choose_instructions();
    let seeds = lane::amount(SEEDS, 5_000);
    let tally = run_sets((1, seeds), 2, 1, |_| true);
    println!("{}", tally.total.coverage);
    assert!(tally.failures.is_empty(), "{}", tally.failures[0]);
    assert_eq!(tally.runs, seeds);
    let missing = tally.total.coverage.missing_of_set();
    assert!(missing.is_empty(), "never generated: {missing:?}");
}

/// Each within so many seeds.
#[cfg(debug_assertions)]
#[test]
fn each_planted_error_of_the_merge_is_found() {
    use lockstep_core::proto::planted::{Mutation, with_planted};
    lockstep_io::choose_instructions();
    let mut missed = Vec::new();
    for (mutation, seeds) in [
        (Mutation::AnyCutCounts, 10),
        (Mutation::RowsMayFall, 10),
        (Mutation::RowsWithoutEpoch, 40),
        (Mutation::RowsNotAwaited, 10),
        (Mutation::MergedByArrival, 10),
        (Mutation::RestOfCutSkipped, 20),
        (Mutation::CutsPromiseMore, 10),
        (Mutation::BeginsAtAnyCut, 10),
        (Mutation::MergedTimeFalls, 10),
    ] {
        let tally = with_planted(Some(mutation), || run_sets((1, seeds), 2, 1, |_| true));
        match tally.failures.first() {
            Some(failure) => {
                println!("{mutation:?}: {failure}");
                assert!(
                    failure.rule().starts_with("MERGE"),
                    "{mutation:?} is found by another rule: {failure}"
                );
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "nobody finds {missed:?}");
}
