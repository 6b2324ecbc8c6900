//! The tests of a founding prove themselves: with each of these mutations planted, one of them fails. They run one by
//! one, as what is planted is planted for the whole process.
//!
//! `cargo test --features planted --test planted_founding`

use lockstep::proto::planted::Mutation;
use std::process::Command;

/// Each with the test of `founding.rs` that finds it.
const FOUND: &[(Mutation, &str)] = &[
    (
        Mutation::HistoryChangesAnywhere,
        "lineage_3_no_segment_takes_a_frame_of_a_history_that_nothing_founded",
    ),
    (
        Mutation::FoundedOnUnsynced,
        "s7_what_a_history_is_founded_on_is_on_the_device_before_it_is_the_founders",
    ),
    (
        Mutation::FounderFirst,
        "s7_wherever_the_founder_dies_the_journal_is_the_former_one_or_the_founded_one_also_when_the_power_goes",
    ),
    (Mutation::FounderInherits, "s7_what_a_history_is_founded_on_is_on_the_device_before_it_is_the_founders"),
    (Mutation::EvidenceIsLoss, "a_journal_whose_end_is_torn_or_damaged_is_founded_on_up_to_there"),
    (Mutation::AnyFoundingIsOurs, "a_founding_that_belongs_to_another_recovery_is_left_alone"),
];

#[path = "founding.rs"]
mod founding;

/// Whether this test passes in a process of its own, with `planted` in its environment.
fn passes(test: &str, planted: Option<Mutation>) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("a program knows where it lies"));
    command.args(["--exact", &format!("founding::{test}")]);
    if let Some(mutation) = planted {
        command.env("LOCKSTEP_PLANTED_ONE", format!("{mutation:?}"));
    }
    let outcome = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(said.contains("running 1 test"), "{test} is no test: {said}");
    outcome.status.success()
}

#[test]
fn every_planted_bug_of_a_founding_is_found() {
    for &(mutation, test) in FOUND {
        assert!(passes(test, None), "{test} fails with nothing planted");
        assert!(!passes(test, Some(mutation)), "{test} does not find {mutation:?}");
        println!("{mutation:?}: found by {test}");
    }
}
