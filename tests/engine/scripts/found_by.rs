//! The stories prove themselves: with each of these rules broken on purpose, one of them fails.
//!
//! `cargo test --features planted --test engine --test proof -- planted`

use lockstep::proto::planted::Mutation;

#[path = "../../support/planted.rs"]
pub mod planted;

/// Each mutation that a story tells of, and the story.
const FOUND: &[(Mutation, &str)] = &[
    (Mutation::EchoIsImpostor, "alive_1_an_echo_is_no_other_process.txt"),
    (Mutation::AnyBoundBelieved, "gap_3_a_stranger_tells_nothing_of_the_stream.txt"),
    (Mutation::AheadGoesOn, "lineage_2_a_history_that_was_founded_goes_on_where_the_former_one_ended.txt"),
    (Mutation::SwapCountedOnce, "member_3_the_next_life_of_a_replica_takes_its_place.txt"),
    (Mutation::SwapNotSettled, "member_3_the_next_life_of_a_replica_takes_its_place.txt"),
    (Mutation::DeliveredStays, "s10_a_reader_uses_nothing_of_an_epoch_before_its_start.txt"),
    (Mutation::RetractNotTold, "s10_a_reader_uses_nothing_of_an_epoch_before_its_start.txt"),
    (Mutation::OwnDurabilityIgnored, "s4_an_ack_rests_on_what_the_replica_itself_is_configured_to_hold.txt"),
    (Mutation::TableEnds, "s5_no_number_of_takeovers_ends_a_cluster.txt"),
    (Mutation::NoAdoption, "s5_a_candidate_adopts_the_longer_log_of_another.txt"),
    (Mutation::SuffixKept, "s7_a_suffix_is_exchanged_as_a_whole.txt"),
    (Mutation::OpenerNotTold, "s8_a_name_that_finds_no_room_is_refused.txt"),
    (Mutation::ReplyFromHalfARing, "s8_what_is_not_committed_is_told_to_nobody.txt"),
    (Mutation::OldIncarnationCounts, "s9_who_may_have_forgotten_does_not_vote.txt"),
    (Mutation::FullMissesLeader, "suspect_3_full_disks_of_a_majority_blame_nobody.txt"),
    (Mutation::FullCampaigns, "suspect_3_full_disks_of_a_majority_blame_nobody.txt"),
    (Mutation::ClockNotLookedAt, "the_streams_time_that_stands_still_is_an_alarm.txt"),
];

#[test]
fn every_planted_bug_breaks_its_story() {
    planted::each_is_found("scripts::each_story_of_the_rules_goes_as_it_is_written", FOUND);
}
