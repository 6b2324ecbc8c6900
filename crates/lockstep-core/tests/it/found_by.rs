//! The tests of readers and publishers prove themselves: with each of these rules broken on purpose, one of
//! them fails.

use lockstep_core::proto::planted::Mutation;
use lockstep_memory::planted::each_is_found;

/// Each mutation that a test of this program finds, and the test; explorer and simulator find it late or not
/// at all.
const BY_TEST: [(Mutation, fn()); 4] = [
    (
        Mutation::OneDatagramDiverges,
        crate::receiver::diverge_1_a_datagram_over_another_chain_ends_nobody_whom_the_leader_agrees_with,
    ),
    (
        Mutation::OutputBeforeCommit,
        crate::outputs::what_follows_from_a_stamped_entry_is_handed_in_once_that_entry_is_final,
    ),
    (Mutation::EndingLeaks, crate::outcomes::s8_a_fence_that_did_not_survive_fences_nobody),
    (
        Mutation::PrefixNotProven,
        crate::readers::s10_what_lies_below_the_new_table_is_forgotten_and_taken_from_who_has_that_log,
    ),
];

#[test]
fn every_planted_bug_that_a_test_of_the_engines_holds_is_found_by_it() {
    each_is_found(BY_TEST);
}
