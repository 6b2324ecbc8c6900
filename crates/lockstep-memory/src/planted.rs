//! Rules broken on purpose, each beside the test that must fail then.

use lockstep_wire::planted::{Mutation, with_planted};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Each of `found` is a mutation, and a test that passes with nothing planted: with the mutation it must
/// fail. Tests that are rewriting their stories, or run one of them alone, are left in peace.
///
/// # Panics
/// If a test passes with the rule broken.
pub fn each_is_found<F: Fn()>(found: impl IntoIterator<Item = (Mutation, F)>) {
    if ["REWRITE", "RUN"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let mut missed = Vec::new();
    for (mutation, test) in found {
        if catch_unwind(AssertUnwindSafe(|| with_planted(Some(mutation), test))).is_ok() {
            missed.push(mutation);
        }
    }
    assert!(missed.is_empty(), "these tests pass with the rule broken: {missed:?}");
}
