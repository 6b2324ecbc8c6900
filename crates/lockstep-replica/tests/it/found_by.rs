//! The stories and the tests of the engines prove themselves: with each of these rules broken on purpose, one
//! of them fails.
//!
//! `cargo test -p lockstep-core -p lockstep-replica -p lockstep-sim --test it planted`

use lockstep_core::proto::planted::Mutation;
use lockstep_memory::planted::each_is_found;

/// Each mutation that a story tells of, and the story.
const FOUND: &[(Mutation, &str)] = &[
    (Mutation::EchoIsImpostor, "alive_1_an_echo_is_no_other_process.txt"),
    (Mutation::AnyBoundBelieved, "gap_3_a_stranger_tells_nothing_of_the_stream.txt"),
    (Mutation::AheadGoesOn, "lineage_2_a_history_that_was_founded_goes_on_where_the_former_one_ended.txt"),
    (Mutation::SwapCountedOnce, "member_3_the_next_life_of_a_replica_takes_its_place.txt"),
    (Mutation::SwapNotSettled, "member_3_the_next_life_of_a_replica_takes_its_place.txt"),
    (Mutation::DeliveredStays, "s10_a_reader_uses_nothing_of_an_epoch_before_its_start.txt"),
    (Mutation::RetractNotReported, "s10_a_reader_uses_nothing_of_an_epoch_before_its_start.txt"),
    (Mutation::OwnDurabilityIgnored, "s4_an_ack_rests_on_what_the_replica_itself_is_configured_to_hold.txt"),
    (Mutation::TableEnds, "s5_no_number_of_takeovers_ends_a_cluster.txt"),
    (Mutation::NoAdoption, "s5_a_candidate_adopts_the_longer_log_of_another.txt"),
    (Mutation::SuffixNotReplaced, "s7_a_suffix_is_exchanged_as_a_whole.txt"),
    (Mutation::OpenerNotNotified, "s8_a_name_that_finds_no_room_is_refused.txt"),
    (Mutation::ReplyFromHalfARing, "s8_what_is_not_committed_is_told_to_nobody.txt"),
    (Mutation::OldIncarnationCounts, "s9_who_may_have_forgotten_does_not_vote.txt"),
    (Mutation::FullMissesLeader, "suspect_3_full_disks_of_a_majority_blame_nobody.txt"),
    (Mutation::FullCampaigns, "suspect_3_full_disks_of_a_majority_blame_nobody.txt"),
    (Mutation::OwnClockAlone, "clock_1_a_leader_whose_clock_is_apart_stamps_by_those_of_the_others.txt"),
    (Mutation::ClockNotChecked, "the_streams_time_that_stands_still_is_an_alarm.txt"),
];

#[test]
fn every_planted_bug_breaks_its_story() {
    each_is_found(FOUND.iter().map(|&(mutation, story)| (mutation, move || crate::scripts::stories(story))));
}

/// Each mutation that a test of the engines finds, and the test; explorer and simulator find it late or not
/// at all.
const BY_TEST: &[(Mutation, fn())] = &[
    (
        Mutation::OpenFrameNotDropped,
        crate::found::s8_what_a_deposed_leader_had_in_its_open_frame_is_forgotten_with_it,
    ),
    (Mutation::AgeByOwnClock, crate::ages::whichever_clocks_are_set_while_it_runs_nothing_ages_by_it),
    (
        Mutation::TimeStaysOrdered,
        crate::time_order::clock_2_a_stream_that_ran_ahead_goes_back_by_the_order_and_rises_from_there,
    ),
    (
        Mutation::OutgoingNotCleared,
        crate::found::s1_what_the_device_did_not_take_is_not_sent_once_another_leader_is_promised,
    ),
    (
        Mutation::SignatureUnchecked,
        crate::rights::auth_9_an_order_without_its_operators_signature_is_not_carried_out_and_has_few_tries,
    ),
    (
        Mutation::TablesOfHalfASuffix,
        crate::exchange::s8_no_table_is_made_of_a_suffix_that_the_ring_does_not_have_whole,
    ),
    (
        Mutation::BlankAbstains,
        crate::takeover::s12_a_founder_that_dies_between_its_promise_and_its_start_leads_by_the_votes_of_the_blank,
    ),
    (
        Mutation::OldStepDownObeyed,
        crate::takeover::a_leader_that_stops_is_missed_only_by_those_who_follow_the_epoch_that_it_led,
    ),
    (
        Mutation::PrefixRetainedUnproven,
        crate::exchange::s7_what_lies_below_the_table_of_a_new_epoch_is_kept_only_where_the_log_proves_it,
    ),
    (
        Mutation::OtherRepairersReportTaken,
        crate::histories::lineage_1_what_a_giver_of_a_former_history_calls_committed_counts_for_nothing_in_the_later_one,
    ),
    (
        Mutation::PromisedCommitLost,
        crate::found::s5_a_new_leader_takes_for_committed_what_one_of_the_promises_calls_so,
    ),
    (
        Mutation::LeaderRepairs,
        crate::repair::repair_6_a_leader_refers_readers_to_a_standby_that_holds_it_and_gives_nothing,
    ),
    (
        Mutation::MemberByName,
        crate::repair::repair_5_a_crybaby_is_limited_then_sent_to_replay_then_dropped_and_a_member_never_is,
    ),
    (Mutation::RepeatsAnswered, crate::repair::repair_2_a_request_that_the_network_repeats_is_answered_once),
    (
        Mutation::EachAlone,
        crate::repair::repair_3_a_frame_that_a_hundred_readers_lost_is_given_to_all_of_them_at_once,
    ),
    (
        Mutation::NoBudget,
        crate::repair::repair_4_a_reader_that_asks_too_much_is_told_when_to_ask_again_and_costs_the_others_nothing,
    ),
    (
        Mutation::LateOrderTaken,
        crate::membership::member_1_two_changes_at_once_make_one_and_a_late_copy_makes_none,
    ),
    (
        Mutation::ReplicaListedTwice,
        crate::membership::member_1_a_dead_member_is_replaced_by_removing_it_and_adding_its_successor,
    ),
    (Mutation::RequestsWithoutRoom, crate::full::nack_1_who_has_no_room_asks_for_no_repair_until_it_has),
    (
        Mutation::AnyCommitProves,
        crate::catch_up::s10_a_committed_frame_of_an_epoch_that_begins_within_a_log_proves_nothing_of_it,
    ),
    (
        Mutation::RecipientsIgnored,
        crate::rights::auth_11_a_name_is_addressed_by_those_of_its_rule_alone_whatever_their_key,
    ),
    (Mutation::RightsIgnored, crate::rights::auth_5_a_key_publishes_to_its_destinations_alone),
    (
        Mutation::AnyoneAttests,
        crate::rights::auth_8_no_publishers_key_opens_a_notarys_name_or_publishes_where_notaries_do,
    ),
    (Mutation::AnyoneRelates, crate::rights::auth_12_a_set_is_written_about_under_its_names_by_keys_that_list_them),
    (Mutation::BaseAboveCommit, crate::install::s6_a_checkpoint_is_offered_only_where_it_is_committed),
    (
        Mutation::BaseNotPromised,
        crate::install::a_node_begins_behind_a_checkpoint_as_one_that_starts_on_it,
    ),
    (
        Mutation::BaseUnderRecords,
        crate::install::s6_no_checkpoint_takes_the_place_of_what_it_does_not_continue,
    ),
    (
        Mutation::BaseBegunForEver,
        crate::install::s6_a_node_without_a_record_begins_again_behind_a_later_checkpoint,
    ),
    (Mutation::BaseUncommitted, crate::install::a_node_begins_behind_a_checkpoint_as_one_that_starts_on_it),
    (
        Mutation::BaseUnjudged,
        crate::install::a_checkpoint_whose_parts_do_not_fit_each_other_is_refused_by_the_part,
    ),
    (
        Mutation::BaseNotStored,
        crate::install::s9_a_crash_while_a_base_is_stored_leaves_the_log_before_or_that_one,
    ),
    (
        Mutation::BaseNotAskedFor,
        crate::install::a_node_without_a_log_asks_for_all_of_it_and_for_the_oldest_checkpoint_in_turn,
    ),
    (
        Mutation::StalledLeaderSpeaks,
        crate::shipped::a_leader_that_was_stalled_says_nothing_of_its_epoch_once_it_is_superseded,
    ),
];

#[test]
fn every_planted_bug_that_a_test_of_the_engines_holds_is_found_by_it() {
    each_is_found(BY_TEST.iter().copied());
}
