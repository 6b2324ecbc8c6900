//! S4, sentence by sentence.

use super::*;
use crate::proto::tests::{epoch, identity, members, membership};
use proptest::prelude::*;

/// A counter of epoch 1 under replica 1, based at seq 2, that holds the log up to `have`.
fn counter(members: u32, have: Seq, durability: Durability) -> Commit {
    let mut commit = Commit::new(1);
    commit.on_log_end(have);
    commit.on_epoch_started(epoch(1, 1), 2, membership(members), durability);
    commit
}

/// The replicas (leader first) acknowledge these bounds in epoch 1.
fn acks(commit: &mut Commit, bounds: &[Seq]) {
    for (number, &next) in (1..).zip(bounds) {
        if next > 0 {
            commit.on_ack(identity(number), epoch(1, 1), next);
        }
    }
}

#[test]
fn s4_a_quorum_of_one_to_seven_members_commits_and_one_less_does_not() {
    for members in 1..=7 {
        let quorum = members / 2 + 1;
        for voters in 0..=members {
            // In `power` everybody votes by acks alone, so the votes are exactly the voters.
            let mut commit = counter(members, 10, Durability::Power);
            acks(&mut commit, &vec![10; voters as usize]);
            let expected = if voters >= quorum { 10 } else { 1 };
            assert_eq!(commit.commit_next(), expected, "{voters} of {members}");
        }
    }
}

#[test]
fn s4_commit_is_the_bound_that_a_quorum_reaches() {
    let table: [(&[Seq], Seq); 6] = [
        (&[9, 7, 5], 7),
        (&[9, 9, 5], 9),
        (&[9, 5, 5, 5], 5),
        (&[9, 8, 7, 6], 7),
        (&[9, 8, 7, 6, 5], 7),
        (&[4, 9, 9, 3, 3], 4),
    ];
    for (bounds, expected) in table {
        let mut commit = counter(bounds.len() as u32, 9, Durability::Power);
        acks(&mut commit, bounds);
        assert_eq!(commit.commit_next(), expected, "{bounds:?}");
    }
}

#[test]
fn s4_acks_of_another_epoch_count_for_nothing() {
    let mut commit = counter(3, 10, Durability::Power);
    for other in [epoch(0, 1), epoch(1, 2), epoch(2, 1), epoch(2, 3)] {
        commit.on_ack(identity(2), other, 10);
        commit.on_ack(identity(3), other, 10);
    }
    assert_eq!(commit.commit_next(), 1);
    acks(&mut commit, &[0, 10, 10]);
    assert_eq!(commit.commit_next(), 10);
}

#[test]
fn s4_acks_of_the_epoch_before_are_forgotten_when_a_new_one_starts() {
    // What was acknowledged in epoch 1 is not what stands there in epoch 2, which starts at 8.
    let mut commit = counter(3, 5, Durability::Power);
    acks(&mut commit, &[10, 10, 0]);
    assert_eq!(commit.commit_next(), 5);
    commit.on_epoch_started(epoch(2, 2), 8, membership(3), Durability::Power);
    commit.on_log_end(10);
    assert_eq!(commit.commit_next(), 5);
    commit.on_ack(identity(3), epoch(2, 2), 10);
    assert_eq!(commit.commit_next(), 5, "one ack of the new epoch, and old ones that count no more");
    commit.on_ack(identity(1), epoch(2, 2), 9);
    assert_eq!(commit.commit_next(), 9);
}

#[test]
fn s4_an_identity_that_is_not_listed_counts_for_nothing() {
    let mut commit = counter(3, 10, Durability::Process);
    commit.on_ack(identity(4), epoch(1, 1), 10);
    let older = Identity { incarnation: identity(2).incarnation - 1, ..identity(2) };
    commit.on_ack(older, epoch(1, 1), 10);
    assert_eq!(commit.commit_next(), 1);
}

#[test]
fn s4_each_identity_counts_once_and_its_bound_never_falls() {
    let mut commit = counter(5, 10, Durability::Power);
    for next in [10, 9, 10, 3] {
        commit.on_ack(identity(2), epoch(1, 1), next);
        commit.on_ack(identity(3), epoch(1, 1), next);
    }
    assert_eq!(commit.commit_next(), 1, "two of five, however often they say it");
    assert_eq!(commit.acked(1), 10);
    commit.on_ack(identity(4), epoch(1, 1), 8);
    assert_eq!(commit.commit_next(), 8);
}

#[test]
fn s4_in_process_mode_the_sight_of_a_frame_is_its_leaders_ack() {
    let mut process = counter(3, 10, Durability::Process);
    acks(&mut process, &[0, 7, 0]);
    assert_eq!(process.commit_next(), 7);
    let mut power = counter(3, 10, Durability::Power);
    acks(&mut power, &[0, 7, 0]);
    assert_eq!(power.commit_next(), 1, "in power mode the leader acknowledges like everybody");
    acks(&mut power, &[6, 0, 0]);
    assert_eq!(power.commit_next(), 6);
    assert_eq!(counter(1, 10, Durability::Process).commit_next(), 10, "a cluster of one");
}

#[test]
fn s4_a_leader_that_is_not_listed_does_not_count() {
    let mut commit = Commit::new(1);
    commit.on_log_end(10);
    commit.on_epoch_started(epoch(1, 9), 2, membership(3), Durability::Process);
    commit.on_ack(identity(1), epoch(1, 9), 10);
    assert_eq!(commit.commit_next(), 1);
    commit.on_ack(identity(2), epoch(1, 9), 10);
    assert_eq!(commit.commit_next(), 10);
}

#[test]
fn s4_nobody_counts_further_than_the_prefix_that_it_holds() {
    let mut commit = counter(3, 5, Durability::Process);
    acks(&mut commit, &[0, 20, 20]);
    commit.on_announced(epoch(1, 1), 30);
    assert_eq!(commit.commit_next(), 5);
    assert_eq!(commit.commit_with(8), 8, "what it would be with the frame at hand");
    assert_eq!(commit.commit_next(), 5, "a question changes nothing");
    commit.on_log_end(40);
    assert_eq!(commit.commit_next(), 30, "and no further than anybody said");
}

#[test]
fn s4_nothing_is_counted_before_one_entry_of_the_epoch_is_held_by_a_quorum() {
    // The log of the epochs before reaches 10; epoch 2 starts there.
    let mut commit = Commit::new(1);
    commit.on_log_end(10);
    commit.on_epoch_started(epoch(2, 1), 10, membership(3), Durability::Power);
    commit.on_ack(identity(1), epoch(2, 1), 10);
    commit.on_ack(identity(2), epoch(2, 1), 10);
    assert_eq!(commit.commit_next(), 1, "the start itself is acknowledged by nobody");
    commit.on_log_end(11);
    commit.on_ack(identity(1), epoch(2, 1), 11);
    commit.on_ack(identity(2), epoch(2, 1), 11);
    assert_eq!(commit.commit_next(), 11);
}

#[test]
fn s4_evidence_of_a_higher_epoch_waits_for_that_epochs_log() {
    let mut commit = counter(3, 10, Durability::Power);
    commit.on_announced(epoch(2, 2), 9);
    assert_eq!(commit.commit_next(), 1, "our log is not that of epoch 2");
    commit.on_epoch_started(epoch(2, 2), 7, membership(3), Durability::Power);
    assert_eq!(commit.commit_next(), 9);
}

#[test]
fn s4_evidence_of_one_higher_epoch_is_not_used_for_another() {
    let mut commit = counter(3, 10, Durability::Power);
    commit.on_announced(epoch(3, 3), 9);
    commit.on_epoch_started(epoch(2, 2), 7, membership(3), Durability::Power);
    assert_eq!(commit.commit_next(), 1);
    commit.on_epoch_started(epoch(3, 3), 8, membership(3), Durability::Power);
    assert_eq!(commit.commit_next(), 9);
}

#[test]
fn s4_without_start_or_membership_the_announcement_alone_counts() {
    let mut commit = Commit::new(4);
    commit.on_log_end(9);
    assert_eq!(commit.commit_next(), 4, "as its owner began");
    commit.on_announced(Epoch::NONE, 7);
    commit.on_announced(Epoch::NONE, 6);
    assert_eq!(commit.commit_next(), 7);
}

// ---------------------------------------------------------------------------- the membership at n

/// Members with these replica numbers, in force from `seq` on.
fn listed(numbers: &[u32], seq: Seq) -> Membership {
    let all = members(9);
    Membership::collect(numbers.iter().map(|&number| all[number as usize - 1]), seq)
}

/// A counter of epoch 1 (`power`, so that votes are acks alone) based at 2 under `before`, whose log changes
/// to `after` at seq 10 and is held up to `have`.
fn changing(before: &[u32], after: &[u32], have: Seq) -> Commit {
    let mut commit = Commit::new(1);
    commit.on_epoch_started(epoch(1, 1), 2, listed(before, 2), Durability::Power);
    commit.on_log_end(10);
    commit.on_membership(10, listed(before, 2), listed(after, 10));
    commit.on_log_end(have);
    commit
}

/// These replicas acknowledge `next` in epoch 1.
fn acked_by(commit: &mut Commit, numbers: &[u32], next: Seq) -> Seq {
    for &number in numbers {
        commit.on_ack(identity(number), epoch(1, 1), next);
    }
    commit.commit_next()
}

#[test]
fn s4_below_a_change_the_members_before_it_decide_and_from_it_on_those_behind() {
    // 3 → 4: two of three commit what lies below seq 10, three of four what lies from it on.
    let mut commit = changing(&[1, 2, 3], &[1, 2, 3, 4], 20);
    assert_eq!(acked_by(&mut commit, &[1, 2], 20), 10, "the entry itself is counted with the new members");
    assert_eq!(acked_by(&mut commit, &[4], 15), 15);
    assert_eq!(commit.open_change(), None);
    // 4 → 3: three of four below, two of three from it on.
    let mut commit = changing(&[1, 2, 3, 4], &[1, 2, 3], 20);
    assert_eq!(acked_by(&mut commit, &[1, 4], 20), 1);
    assert_eq!(acked_by(&mut commit, &[2], 9), 9);
    assert_eq!(acked_by(&mut commit, &[2], 11), 11, "the removed one counts no more, and is not needed");
}

#[test]
fn s4_a_removed_identity_votes_until_its_removal() {
    let mut commit = changing(&[1, 2, 3], &[1, 2], 20);
    assert_eq!(acked_by(&mut commit, &[1, 3], 20), 10, "up to the entry and no further");
    assert_eq!(acked_by(&mut commit, &[2], 12), 12);
    assert_eq!(acked_by(&mut commit, &[3], 20), 12);
}

#[test]
fn s4_an_ack_that_came_before_the_entry_was_held_counts_after_it() {
    let mut commit = Commit::new(1);
    commit.on_epoch_started(epoch(1, 1), 2, listed(&[1, 2, 3], 2), Durability::Power);
    commit.on_log_end(8);
    assert_eq!(acked_by(&mut commit, &[4, 3], 20), 1, "4 is not listed yet");
    commit.on_log_end(10);
    commit.on_membership(10, listed(&[1, 2, 3], 2), listed(&[1, 2, 3, 4], 10));
    commit.on_log_end(20);
    assert_eq!(acked_by(&mut commit, &[1], 20), 20);
}

#[test]
fn s4_acks_of_strangers_never_push_out_those_of_members() {
    let mut commit = changing(&[1, 2, 3, 4], &[1, 2, 4], 20);
    assert_eq!(acked_by(&mut commit, &[3, 2], 15), 1);
    for incarnation in 1..100 {
        commit.on_ack(Identity { replica: 9, incarnation }, epoch(1, 1), 1_000 + Seq::from(incarnation));
    }
    assert_eq!(acked_by(&mut commit, &[1], 20), 15, "3 below the change and 2 on both sides are remembered");
}

#[test]
fn s4_a_change_from_two_is_committed_by_both_sides_before_anything_behind_it() {
    // An addition: 1 and 3 are two of three, and not both of two.
    let mut commit = changing(&[1, 2], &[1, 2, 3], 20);
    assert_eq!(acked_by(&mut commit, &[1, 3], 20), 1);
    assert_eq!(acked_by(&mut commit, &[2], 10), 10, "up to the change");
    assert_eq!(acked_by(&mut commit, &[2], 11), 20, "then those behind it decide alone");
    // A removal: the one that is left does not decide it alone.
    let mut commit = changing(&[1, 2], &[1], 20);
    assert_eq!(acked_by(&mut commit, &[1], 20), 1);
    assert_eq!(acked_by(&mut commit, &[2], 11), 20);
}

/// MEMBER-3.
#[test]
fn member_3_a_replacement_is_committed_by_both_sides_before_anything_behind_it() {
    // 4 takes the place of 3: 1 and 4 are two of the new three, and one of the old.
    let mut commit = changing(&[1, 2, 3], &[1, 2, 4], 20);
    assert_eq!(acked_by(&mut commit, &[1, 4], 20), 1);
    assert_eq!(acked_by(&mut commit, &[3], 10), 10, "1 and 3 are two of the old three: up to the change");
    assert_eq!(acked_by(&mut commit, &[3], 11), 20, "then those behind it decide alone");
    // With 2 instead, which is on both sides.
    let mut commit = changing(&[1, 2, 3], &[1, 2, 4], 20);
    assert_eq!(acked_by(&mut commit, &[1, 2], 20), 20);
    // A reader that has read on counts the same way.
    let mut commit = changing(&[1, 2, 3], &[1, 2, 4], 20);
    assert_eq!(acked_by(&mut commit, &[2, 3], 20), 10, "of the new ones 2 alone holds anything");
}

#[test]
fn s4_an_inherited_change_from_two_needs_both_in_the_new_epoch_too() {
    let mut commit = changing(&[1, 2], &[1, 2, 3], 12);
    commit.on_epoch_started(epoch(2, 1), 12, listed(&[1, 2, 3], 12), Durability::Power);
    commit.on_log_end(20);
    for number in [1, 3] {
        commit.on_ack(identity(number), epoch(2, 1), 20);
    }
    assert_eq!(commit.commit_next(), 1, "1 and 3 alone commit neither the change nor the start behind it");
    commit.on_ack(identity(2), epoch(2, 1), 12);
    assert_eq!(commit.commit_next(), 1, "who does not hold the start holds nothing of this epoch");
    commit.on_ack(identity(2), epoch(2, 1), 13);
    assert_eq!(commit.commit_next(), 20);
}

#[test]
fn s4_an_inherited_change_from_three_is_decided_by_the_new_members() {
    let mut commit = changing(&[1, 2, 3], &[1, 2, 3, 4], 12);
    commit.on_epoch_started(epoch(2, 1), 12, listed(&[1, 2, 3, 4], 12), Durability::Power);
    commit.on_log_end(20);
    commit.on_ack(identity(1), epoch(2, 1), 20);
    commit.on_ack(identity(4), epoch(2, 1), 20);
    assert_eq!(commit.commit_next(), 1);
    commit.on_ack(identity(3), epoch(2, 1), 14);
    assert_eq!(commit.commit_next(), 14);
}

#[test]
fn s4_a_change_in_a_suffix_that_is_exchanged_is_forgotten() {
    let mut commit = changing(&[1, 2, 3], &[1, 2, 3, 4], 12);
    commit.on_cut(11);
    assert_eq!((commit.open_change(), commit.membership().members().len()), (Some(10), 4), "not this one");
    commit.on_cut(10);
    assert_eq!((commit.open_change(), commit.membership().members().len()), (None, 3));
    commit.on_epoch_started(epoch(2, 2), 10, listed(&[1, 2, 3], 10), Durability::Power);
    commit.on_log_end(11);
    for number in [2, 3] {
        commit.on_ack(identity(number), epoch(2, 2), 11);
    }
    assert_eq!(commit.commit_next(), 11, "two of three");
}

#[test]
fn s4_a_start_that_is_told_before_the_cut_keeps_its_own_members() {
    let mut commit = changing(&[1, 2], &[1, 2, 3], 12);
    commit.on_epoch_started(epoch(2, 2), 9, listed(&[1, 2], 9), Durability::Power);
    commit.on_cut(9);
    assert_eq!((commit.open_change(), commit.membership().members().len()), (None, 2));
}

#[test]
fn s4_what_is_committed_is_cut_by_nobody() {
    let mut commit = changing(&[1, 2, 3], &[1, 2, 3, 4], 20);
    acked_by(&mut commit, &[1, 2, 4], 15);
    commit.on_cut(3);
    assert_eq!((commit.commit_next(), commit.commit_with(15)), (15, 15));
    assert_eq!(commit.membership().members().len(), 4);
}

#[test]
fn s4_a_second_change_proves_the_first_committed() {
    // The membership two changes ago never counts: whoever lags learns from the log that it is over.
    let mut commit = changing(&[1, 2, 3], &[1, 2, 3, 4], 12);
    commit.on_membership(12, listed(&[1, 2, 3, 4], 10), listed(&[1, 2, 3, 4, 5], 12));
    commit.on_log_end(12);
    assert_eq!(commit.commit_next(), 1);
    commit.on_log_end(13);
    assert_eq!(commit.commit_next(), 11);
    commit.on_log_end(20);
    assert_eq!(acked_by(&mut commit, &[1, 2], 20), 11, "two of three were enough two changes ago");
    assert_eq!(acked_by(&mut commit, &[3], 20), 20);
}

#[test]
fn s4_who_did_not_see_every_change_goes_by_what_is_announced() {
    // A reader that begins at seq 100 of an epoch that began at 2 with three members.
    let mut commit = Commit::new(1);
    commit.on_anchored(100);
    commit.on_epoch_started(epoch(1, 1), 2, listed(&[1, 2, 3], 2), Durability::Power);
    commit.on_announced(epoch(1, 1), 101);
    commit.on_log_end(110);
    assert_eq!(acked_by(&mut commit, &[1, 2], 110), 101, "there may be five members by now");
    commit.on_membership_announced(epoch(1, 1), 50, 105);
    commit.on_membership_announced(epoch(1, 1), 2, 99);
    commit.on_membership_announced(epoch(2, 2), 2, 105);
    assert_eq!(commit.commit_next(), 101, "another membership, a place before it began, another epoch");
    commit.on_membership_announced(epoch(1, 1), 2, 105);
    assert_eq!(commit.commit_next(), 110, "no change was missed");
}

#[test]
fn s4_who_does_not_hold_its_own_commit_goes_by_what_is_announced() {
    let mut commit = Commit::new(1);
    commit.on_anchored(100);
    commit.on_epoch_started(epoch(2, 1), 101, listed(&[1, 2, 3], 101), Durability::Power);
    commit.on_log_end(110);
    for number in [1, 2] {
        commit.on_ack(identity(number), epoch(2, 1), 110);
    }
    assert_eq!(commit.commit_next(), 1, "a change from two may stand below what it holds");
    commit.on_announced(epoch(2, 1), 100);
    assert_eq!(commit.commit_next(), 110);
}

#[test]
fn s9_acks_of_a_removed_incarnation_count_for_nothing_also_when_they_come_late() {
    let older = Identity { incarnation: 7, ..identity(3) };
    let mut commit = Commit::new(1);
    commit.on_epoch_started(epoch(1, 1), 2, listed(&[1, 2, 3], 2), Durability::Power);
    commit.on_log_end(10);
    commit.on_ack(older, epoch(1, 1), 10);
    commit.on_ack(identity(1), epoch(1, 1), 10);
    assert_eq!(commit.commit_next(), 1);
    commit.on_ack(identity(3), epoch(1, 1), 9);
    assert_eq!(commit.commit_next(), 9, "the new one counts, once, by its own ack");
}

proptest! {
    /// Whatever is acknowledged in whatever order: nothing is counted across a change that the lists on its
    /// two sides, looked at one entry at a time, do not give.
    #[test]
    fn s4_the_count_is_that_of_each_entrys_own_members(
        size in 1u32..=6,
        how in 0..3u8,
        leaving in 0u32..6,
        bounds in proptest::collection::vec(0u64..22, 8),
        is_power in any::<bool>(),
    ) {
        let before: Vec<u32> = (1..=size).collect();
        let mut after = before.clone();
        match how {
            0 => after.push(8),
            _ if size == 1 => after.push(8),
            1 => after.retain(|number| *number != 1 + leaving % size),
            // A replica that leads is never replaced.
            _ => after[1 + (leaving % (size - 1)) as usize] = 8,
        }
        let durability = if is_power { Durability::Power } else { Durability::Process };
        let mut commit = Commit::new(1);
        commit.on_epoch_started(epoch(1, 1), 2, listed(&before, 2), durability);
        commit.on_membership(10, listed(&before, 2), listed(&after, 10));
        commit.on_log_end(20);
        let mut stored = bounds.clone();
        if !is_power { stored[0] = 20 }
        for (number, &next) in (1u32..).zip(&bounds) {
            commit.on_ack(identity(number), epoch(1, 1), next);
        }
        // The rule itself, one entry after the other.
        let has = |list: &[u32], seq| {
            list.iter().filter(|number| stored[**number as usize - 1] > seq).count() > list.len() / 2
        };
        let mut expected = 1;
        for seq in 2..20 {
            let counts = if seq < 10 { has(&before, seq) } else { has(&after, seq) };
            let needs_both = before.len() == 2 || before.len() == after.len();
            let both_hold = !needs_both || seq < 10 || has(&before, 10);
            if counts && both_hold { expected = seq + 1 }
        }
        prop_assert_eq!(commit.commit_next(), if expected > 2 { expected } else { 1 });
    }
}
