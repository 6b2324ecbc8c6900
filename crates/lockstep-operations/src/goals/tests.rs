use super::*;
use crate::samples::{HISTORY, answer, cluster, identity};
use lockstep_core::engine::event::Role;
use lockstep_wire::Epoch;

fn judge(
    asked: &[QueryResult],
    goal: &str,
    replica: Option<u32>,
    committed: Option<Seq>,
) -> Result<String, String> {
    let statuses: Vec<_> = asked.iter().map(|node| node.status.clone()).collect();
    let answers = Answers { asked, leader: leader_of(&statuses), committed };
    answers.judge(&goal.parse().expect("a goal"), replica)
}

#[test]
fn a_goal_is_read_as_it_is_printed_and_a_wrong_one_says_what_to_write() {
    for text in ["leader", "quorum", "caught-up", "seq=7", "day=20261121"] {
        let goal: WaitGoal = text.parse().expect("a goal");
        assert_eq!(goal.to_string(), text);
    }
    for (text, says) in [
        ("seq=0", "from 1 on"),
        ("seq=x", "from 1 on"),
        ("day=", "letters and digits"),
        ("day=a-b", "letters and digits"),
        ("leaders", "caught-up, seq=N"),
    ] {
        let error = text.parse::<WaitGoal>().expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_leader_without_a_quorum_is_a_leader_and_no_quorum() {
    let asked = cluster(3, &[2, 3]);
    assert_eq!(judge(&asked, "leader", None, None), Ok(format!("{} leads, epoch 3@{0}", identity(1))));
    let missing = judge(&asked, "quorum", None, None).expect_err("one of three");
    assert!(missing.contains("does not answer at 10.0.0.2:7003"), "{missing}");
    let found = judge(&cluster(3, &[3]), "quorum", None, None).expect("two of three");
    assert!(found.ends_with("; 2 of 3 members"), "{found}");
    let missing = judge(&cluster(3, &[1]), "leader", None, None).expect_err("the leader is silent");
    assert!(missing.starts_with("no leader: replica 1 led and does not answer; 2 of 3 do"), "{missing}");
}

#[test]
fn each_member_that_lacks_something_is_named_with_what_it_lacks() {
    let mut asked = cluster(5, &[4]);
    answer(&mut asked, 1).commit_next = 2_000;
    answer(&mut asked, 1).accept_next = 2_000;
    answer(&mut asked, 2).accept_next = 2_000;
    answer(&mut asked, 3).accept_next = 796;
    (answer(&mut asked, 5).history, answer(&mut asked, 5).role) = (0, Role::Blank);
    let missing = judge(&asked, "caught-up", None, None).expect_err("three are behind");
    let expected = format!(
        "replica 3 ({}) lacks 1,204 entries; replica 4 does not answer at 10.0.0.4:7003; replica 5 ({}) holds \
         nothing yet",
        identity(3),
        identity(5)
    );
    assert_eq!(missing, expected);
    assert_eq!(
        judge(&asked, "caught-up", Some(2), None),
        Ok("replica 2 has everything up to seq 1999".to_owned())
    );
    answer(&mut asked, 2).history = HISTORY + 1;
    assert!(
        judge(&asked, "caught-up", Some(2), None).is_err_and(|missing| missing.contains("another history"))
    );
}

/// While messages flow, an answer of a member is older than the leader's.
#[test]
fn a_member_has_caught_up_with_what_the_look_before_saw_committed() {
    let mut asked = cluster(3, &[]);
    (answer(&mut asked, 1).accept_next, answer(&mut asked, 1).commit_next) = (60, 55);
    assert!(judge(&asked, "caught-up", None, None).is_err());
    assert!(judge(&asked, "caught-up", None, Some(50)).is_ok());
}

/// Its end may be what another leader stamped and nobody committed.
#[test]
fn a_log_of_an_older_epoch_has_not_caught_up_however_long_it_is() {
    let mut asked = cluster(3, &[]);
    let last = answer(&mut asked, 3);
    (last.accepted, last.accept_next, last.commit_next) = (Epoch::new(2, identity(3)), 70, 40);
    let missing = judge(&asked, "caught-up", None, None).expect_err("it may have to replace its end");
    assert!(missing.contains("holds the log of epoch 2@"), "{missing}");
    answer(&mut asked, 3).commit_next = 50;
    assert!(judge(&asked, "caught-up", None, None).is_ok());
}

#[test]
fn a_seq_is_committed_if_any_replica_of_the_newest_history_knows_it() {
    let mut asked = cluster(3, &[1]);
    answer(&mut asked, 2).commit_next = 40;
    assert_eq!(judge(&asked, "seq=49", None, None), Ok("seq 49 is committed".to_owned()), "nobody leads");
    let missing = judge(&asked, "seq=50", None, None).expect_err("the last one is 49");
    assert!(missing.starts_with("the last committed seq is 49, 1 before seq 50"), "{missing}");
    assert!(
        judge(&asked, "seq=49", Some(3), None).is_ok() && judge(&asked, "seq=49", Some(2), None).is_err()
    );
    let missing = judge(&asked, "seq=1", Some(1), None).expect_err("it is silent");
    assert!(missing.contains("replica 1 does not answer"), "{missing}");
}

#[test]
fn a_replica_of_the_file_that_was_never_added_is_no_obstacle_whether_it_answers_or_not() {
    for silent in [&[3][..], &[]] {
        let mut asked = cluster(3, silent);
        let leader = answer(&mut asked, 1);
        leader.members.truncate(2);
        let leader = leader.clone();
        let judged = of_members(asked.clone(), Some(&leader));
        assert_eq!(judged.len(), 2);
        assert_eq!(Health::judge(&judged).health, ClusterHealth::Healthy);
        assert_ne!(Health::judge(&asked).health, ClusterHealth::Healthy);
        // A member that does not answer is one.
        asked[1].status = None;
        assert_eq!(Health::judge(&of_members(asked, Some(&leader))).health, ClusterHealth::Degraded);
    }
    assert_eq!(of_members(cluster(3, &[1, 2, 3]), None).len(), 3, "without a leader all of them count");
}
