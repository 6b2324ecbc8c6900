//! Every way in which two runs of a replica begin and end, and what may be lost behind each: a journal that
//! calls itself complete is, and one that lost nothing is never refused.

#![allow(clippy::disallowed_methods, reason = "it says what it took")]

mod scripts;

use lockstep_sim::proof::{ProofScope, explore};
use lockstep_testkit::lane;
use std::time::Instant;

/// Two runs behind each other; by night interrupted at twice as many places.
pub fn scope_of_lane() -> ProofScope {
    ProofScope { generations: 2, stride: lane::amount(128, 64), jobs: 2 }
}

#[test]
fn s9_whatever_is_configured_lost_or_interrupted_a_complete_journal_is_complete_and_no_other_is_refused() {
    let begun = Instant::now();
    let scope = scope_of_lane();
    let tried = explore(&scope).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{tried:?} in {:.1?}", begun.elapsed());
    let least = 64_000 / scope.stride;
    assert!(tried.complete > least && tried.incomplete > least, "{tried:?}: too little to say anything");
    assert!(tried.kinds > 100, "{tried:?}: a second run begins with too few states");
}
