//! S4, sentence by sentence.

use super::*;
use crate::proto::tests::{epoch, identity, membership};

/// A counter of epoch 1 under replica 1, based at seq 2, that holds the log up to `have`.
fn counter(members: u32, have: Seq, durability: Durability) -> Commit {
    let mut commit = Commit::new(1);
    commit.on_held(have);
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
    commit.on_held(10);
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
    commit.on_held(10);
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
    commit.on_held(40);
    assert_eq!(commit.commit_next(), 30, "and no further than anybody said");
}

#[test]
fn s4_nothing_is_counted_before_one_entry_of_the_epoch_is_held_by_a_quorum() {
    // The log of the epochs before reaches 10; epoch 2 starts there.
    let mut commit = Commit::new(1);
    commit.on_held(10);
    commit.on_epoch_started(epoch(2, 1), 10, membership(3), Durability::Power);
    commit.on_ack(identity(1), epoch(2, 1), 10);
    commit.on_ack(identity(2), epoch(2, 1), 10);
    assert_eq!(commit.commit_next(), 1, "the start itself is acknowledged by nobody");
    commit.on_held(11);
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
    commit.on_held(9);
    assert_eq!(commit.commit_next(), 4, "as its owner began");
    commit.on_announced(Epoch::NONE, 7);
    commit.on_announced(Epoch::NONE, 6);
    assert_eq!(commit.commit_next(), 7);
}
