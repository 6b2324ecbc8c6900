//! Tests of voters, candidates, and which change is made.

use super::*;
use crate::proto::log::LogEnd;
use crate::proto::tests::{epoch, frame, identity, members, membership, view};
use lockstep_wire::{MEMBERSHIP_LEN_MAX, write_membership};

fn ids(numbers: &[u32]) -> Vec<Identity> {
    numbers.iter().map(|&number| identity(number)).collect()
}

/// Whether these promises elect where the greatest commit among them is seq 9.
fn elected(at_end: Membership, change: Option<(Seq, Membership)>, promised: &[Identity]) -> bool {
    Electorate { at_end, change }.elects(promised, 10)
}

/// The payload of a change; with the list behind it as it is stamped.
fn order(after: Seq, change: Change, member: MemberBody, list: &[MemberBody]) -> Vec<u8> {
    let mut payload = vec![0; MEMBERSHIP_LEN_MAX];
    let length = write_membership(&mut payload, after, change, member, list);
    payload.truncate(length);
    payload
}

fn judged(
    standing: &PendingChange<'_>,
    change: Change,
    member: MemberBody,
) -> Result<Vec<u32>, CommandReject> {
    let payload = order(standing.membership.seq, change, member, &[]);
    let after = judge_change(standing, &MembershipView::parse(&payload).unwrap())?;
    Ok(after.members().iter().map(|member| member.replica).collect())
}

fn standing(membership: &Membership) -> PendingChange<'_> {
    PendingChange { leader: identity(1), membership, start_committed: true, change_committed: true }
}

#[test]
fn s5_promises_of_a_quorum_at_the_end_of_the_chosen_log_elect() {
    assert!(elected(membership(3), None, &ids(&[1, 3])));
    assert!(!elected(membership(3), None, &ids(&[2])));
    assert!(!elected(membership(3), None, &[]) && !elected(Membership::default(), None, &[]));
    // The candidate's own list is that of three; the log that it must adopt has five.
    assert!(!elected(membership(5), None, &ids(&[1, 3])), "more promises are needed");
    assert!(elected(membership(5), None, &ids(&[1, 3, 5])));
}

#[test]
fn s5_a_change_from_two_above_the_promised_commit_needs_both_of_them_as_well() {
    let pair = Some((10, membership(2)));
    assert!(!elected(membership(3), pair, &ids(&[1, 3])), "the membership behind the change alone");
    assert!(elected(membership(3), pair, &ids(&[1, 2])));
    assert!(!elected(membership(1), pair, &ids(&[1])), "nor a removal by the one that is left");
    assert!(elected(membership(3), Some((9, membership(2))), &ids(&[1, 3])), "a change that is committed");
    assert!(elected(membership(4), Some((10, membership(3))), &ids(&[1, 3, 4])), "a change from three");
}

#[test]
fn s5_only_a_listed_full_member_may_lead() {
    let mut list = members(3);
    list[0].role = lockstep_wire::ROLE_WITNESS;
    let with_witness = Membership::collect(list, 2);
    assert!(!with_witness.may_lead(identity(1)) && with_witness.lists(identity(1)));
    assert!(with_witness.may_lead(identity(2)) && !with_witness.may_lead(identity(4)));
    assert_eq!(with_witness.lowest(), Some(identity(2)));
}

#[test]
fn s9_promises_of_an_identity_that_is_not_listed_elect_nobody() {
    let older = Identity { incarnation: 7, ..identity(2) };
    assert!(!elected(membership(3), None, &[identity(1), older]));
    assert!(!elected(membership(3), None, &[identity(1), identity(1)]), "each counts once");
}

/// MEMBER-1.
#[test]
fn member_1_one_identity_joins_or_leaves() {
    let three = membership(3);
    let standing = standing(&three);
    let all = members(7);
    assert_eq!(judged(&standing, Change::Add, all[3]), Ok(vec![1, 2, 3, 4]));
    assert_eq!(judged(&standing, Change::Remove, all[1]), Ok(vec![1, 3]));
    assert_eq!(judged(&standing, Change::Remove, all[5]), Err(CommandReject::NotListed));
}

/// MEMBER-1.
#[test]
fn member_1_the_next_change_waits_until_this_one_is_committed() {
    let three = membership(3);
    let open = PendingChange { change_committed: false, ..standing(&three) };
    assert_eq!(judged(&open, Change::Add, members(4)[3]), Err(CommandReject::ChangePending));
    assert_eq!(judged(&open, Change::Remove, members(4)[1]), Err(CommandReject::ChangePending));
}

/// MEMBER-1.
#[test]
fn member_1_the_first_change_of_an_epoch_waits_until_its_start_is_committed() {
    let three = membership(3);
    let new = PendingChange { start_committed: false, ..standing(&three) };
    assert_eq!(judged(&new, Change::Add, members(4)[3]), Err(CommandReject::StartPending));
}

/// MEMBER-1.
#[test]
fn member_1_a_dead_identity_is_removed_before_its_successor_is_added() {
    let three = membership(3);
    let mut successor = members(3)[1];
    successor.incarnation += 1;
    assert_eq!(judged(&standing(&three), Change::Add, successor), Err(CommandReject::ReplicaListed));
    assert_eq!(judged(&standing(&three), Change::Remove, successor), Err(CommandReject::NotListed));
    let two = Membership::collect([members(3)[0], members(3)[2]], 9);
    assert_eq!(judged(&standing(&two), Change::Add, successor), Ok(vec![1, 3, 2]));
}

/// MEMBER-1.
#[test]
fn member_1_there_is_always_a_full_member_and_never_more_than_seven() {
    let mut list = members(2);
    list[1].role = lockstep_wire::ROLE_WITNESS;
    let one_full = Membership::collect(list, 2);
    let by_witness = PendingChange { leader: identity(9), ..standing(&one_full) };
    assert_eq!(judged(&by_witness, Change::Remove, members(2)[0]), Err(CommandReject::LastMember));
    assert_eq!(judged(&by_witness, Change::Remove, members(2)[1]), Ok(vec![1]));
    assert_eq!(judged(&standing(&membership(1)), Change::Remove, members(1)[0]), Err(CommandReject::Leads));
    assert_eq!(judged(&standing(&membership(7)), Change::Add, members(8)[7]), Err(CommandReject::Full));
}

/// The next life of replica `number`.
fn successor(number: u32) -> MemberBody {
    let mut successor = members(number)[number as usize - 1];
    successor.incarnation += 1;
    successor
}

/// MEMBER-3.
#[test]
fn member_3_the_next_life_of_a_replica_takes_the_place_of_the_one_before() {
    let three = membership(3);
    let payload = order(three.seq, Change::Replace, successor(2), &[]);
    let after = judge_change(&standing(&three), &MembershipView::parse(&payload).unwrap()).unwrap();
    let mut expected = members(3);
    expected[1] = successor(2);
    assert_eq!(after.members(), expected, "and nobody else moves");
    assert!(three.needs_both(&after) && after.needs_both(&three));
    assert!(!three.needs_both(&membership(4)) && !three.needs_both(&three.without(identity(2))));
    assert!(membership(2).needs_both(&membership(3)), "a change from two");

    assert_eq!(judged(&standing(&three), Change::Replace, successor(5)), Err(CommandReject::NotListed));
    assert_eq!(
        judged(&standing(&three), Change::Replace, members(3)[1]),
        Err(CommandReject::NotListed),
        "it is there"
    );
    assert_eq!(judged(&standing(&three), Change::Replace, successor(1)), Err(CommandReject::Leads));
    assert_eq!(
        judged(&standing(&membership(2)), Change::Replace, successor(2)),
        Err(CommandReject::TwoMembers)
    );
    let mut list = members(3);
    (list[0].role, list[2].role) = (lockstep_wire::ROLE_WITNESS, lockstep_wire::ROLE_WITNESS);
    let one_full = Membership::collect(list, 2);
    let by_witness = PendingChange { leader: identity(9), ..standing(&one_full) };
    let mut witness = successor(2);
    witness.role = lockstep_wire::ROLE_WITNESS;
    assert_eq!(judged(&by_witness, Change::Replace, witness), Err(CommandReject::LastMember));
    assert_eq!(judged(&by_witness, Change::Replace, successor(2)), Ok(vec![1, 2, 3]));
}

/// MEMBER-3: {1 3} elected a leader without the replacement, and {2 3'} one with it, at the same time.
#[test]
fn member_3_a_log_with_a_replacement_that_may_not_be_committed_elects_with_both_sides() {
    let three = membership(3);
    let swapped = three.replacing(successor(3)).expect("it is listed");
    let new = successor(3).identity();
    let open = Some((10, three));
    assert!(!elected(swapped, open, &[identity(2), new]), "the members behind it alone");
    assert!(!elected(swapped, open, &[identity(2), identity(3)]), "those before it alone");
    assert!(elected(swapped, open, &[identity(2), identity(3), new]));
    assert!(elected(swapped, open, &ids(&[1, 2])), "two that are on both sides");
    assert!(elected(swapped, Some((9, three)), &[identity(2), new]), "a replacement that is committed");
}

/// MEMBER-1.
#[test]
fn member_1_a_late_copy_of_an_old_order_changes_nothing() {
    let three = membership(3);
    let payload = order(three.seq - 1, Change::Add, members(4)[3], &[]);
    let late = MembershipView::parse(&payload).unwrap();
    assert_eq!(judge_change(&standing(&three), &late), Err(CommandReject::Stale));
}

/// MEMBER-2.
#[test]
fn member_2_only_the_other_of_two_is_declared_dead_by_a_complete_survivor() {
    let pair = membership(2);
    let survivor = SurvivorEvidence {
        identity: identity(1),
        committed: &pair,
        has_change: false,
        is_complete: true,
        other_is_alive: false,
    };
    let left = judge_death(&survivor, identity(2)).map(|after| after.members().to_vec());
    assert_eq!(left, Ok(members(1)));
    let three = membership(3);
    let of_three = SurvivorEvidence { committed: &three, ..survivor };
    let cases = [
        (survivor, identity(1), CommandReject::SelfDeclared),
        (survivor, identity(3), CommandReject::NotListed),
        (survivor, Identity { incarnation: 7, ..identity(2) }, CommandReject::NotListed),
        (of_three, identity(2), CommandReject::NotTwo),
        (SurvivorEvidence { identity: identity(5), ..survivor }, identity(2), CommandReject::NotTwo),
        (SurvivorEvidence { has_change: true, ..survivor }, identity(2), CommandReject::ChangePending),
        (SurvivorEvidence { is_complete: false, ..survivor }, identity(2), CommandReject::Incomplete),
        (SurvivorEvidence { other_is_alive: true, ..survivor }, identity(2), CommandReject::Alive),
    ];
    for (survivor, dead, why) in cases {
        assert_eq!(judge_death(&survivor, dead), Err(why), "{why:?}");
    }
    let mut list = members(2);
    list[0].role = lockstep_wire::ROLE_WITNESS;
    let witnessed = Membership::collect(list, 2);
    let witness = SurvivorEvidence { committed: &witnessed, ..survivor };
    assert_eq!(judge_death(&witness, identity(2)), Err(CommandReject::Witness));
}

#[test]
fn a_frame_that_begins_with_a_change_tells_the_lists_on_both_sides() {
    let end = LogEnd { next: 40, epoch: epoch(1, 1), ..LogEnd::BLANK };
    let (three, four) = (members(3), members(4));
    let both = |payload: &[u8]| {
        let bytes = frame(&end, epoch(1, 1), &[(EntryKind::Membership, payload)]);
        change_in(&view(&bytes))
    };
    let added = both(&order(2, Change::Add, four[3], &four));
    assert_eq!(added, Some((Membership::collect(three.clone(), 2), Membership::collect(four.clone(), 40))));
    let removed = both(&order(2, Change::Remove, four[3], &three));
    assert_eq!(removed, Some((Membership::collect(four, 2), Membership::collect(three, 40))));
    let mut swapped = members(3);
    swapped[1] = successor(2);
    let replaced = both(&order(2, Change::Replace, members(3)[1], &swapped));
    assert_eq!(replaced, Some((Membership::collect(members(3), 2), Membership::collect(swapped, 40))));
    assert_eq!(both(&order(2, Change::Remove, members(1)[0], &[])), None, "only submitted");
    let message = frame(&end, epoch(1, 1), &[(EntryKind::Message, b"x")]);
    assert_eq!(change_in(&view(&message)), None);
}
