//! Members join and leave while the stream goes on; what operators order, and what they are told.

use lockstep_core::engine::event::Role;
use lockstep_core::proto::commit::Durability;
use lockstep_memory::cluster::{Cluster, SoloReplica};
use lockstep_memory::log::{Log, written};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

/// A cluster of `members`, and `learners` replicas that nobody lists, with one open publisher.
fn cluster(members: u32, learners: u32) -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(members, |_| {});
    for number in members + 1..=members + learners {
        let limits = replica_limits(number, members);
        cluster.replicas.push(start(blank_tail(number, 256 << 10), limits).expect("it may learn"));
    }
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.publishers[0].publish(id, &["a", "b"]);
    let done = cluster.run_until(|cluster| {
        let end = cluster.replicas[0].tail().end();
        cluster.publishers[0].committed().len() == 2
            && cluster.replicas.iter().all(|replica| replica.tail().end() == end)
    });
    assert!(done, "a cluster that runs:\n{}", cluster.describe());
    (cluster, id)
}

fn role(cluster: &Cluster, number: u32) -> Role {
    cluster.replicas[number as usize - 1].role()
}

fn status(cluster: &mut Cluster, number: u32) -> (Header, StatusBody, Vec<StatusMember>) {
    let bytes = cluster.query(number, (Epoch::NONE, 0), QueryKind::Status, "");
    let Ok(Datagram::Status(header, body, members, ..)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER))
    else {
        panic!("a status")
    };
    (*header, body, members.iter().collect())
}

fn order(
    cluster: &mut Cluster,
    number: u32,
    query_kind: QueryKind,
    about: Option<Identity>,
) -> Result<(), CommandReject> {
    let name = about.map_or_else(String::new, |identity| identity.to_string());
    let (header, body, _) = status(cluster, number);
    let bytes = cluster.query(number, (header.epoch(), body.membership_seq), query_kind, &name);
    let Ok(Datagram::CommandResult(_, body)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER)) else {
        panic!("a verdict")
    };
    CommandReject::from_u32(body.reject).map_or(Ok(()), Err)
}

/// A change of the membership at `after`, submitted to all.
fn submit(cluster: &mut Cluster, after: Seq, change: Change, member: MemberBody) {
    let bytes = submitted_change(OPERATOR, after, change, member);
    for (number, replica) in (1..).zip(&mut cluster.replicas) {
        if !cluster.dead.contains(&number) {
            replica.net_mut().groups.push_back(bytes.clone());
        }
    }
}

/// The change at the membership in force, and whether it was committed in a second.
fn change(cluster: &mut Cluster, by: u32, change: Change, member: MemberBody) -> bool {
    let after = status(cluster, by).1.membership_seq;
    submit(cluster, after, change, member);
    cluster.run(20);
    let seq = status(cluster, by).1.membership_seq;
    seq > after && cluster.run_until(|cluster| cluster.replicas[by as usize - 1].core.commit_next() > seq)
}

fn listed(cluster: &mut Cluster, number: u32) -> Vec<u32> {
    status(cluster, number).2.iter().map(|row| row.member.replica).collect()
}

fn member(number: u32) -> MemberBody {
    MemberBody::full(identity(number), address(number))
}

/// How many acks replica `number` has said since the record had `from` datagrams.
fn acks(cluster: &Cluster, number: u32, from: usize) -> usize {
    let own = cluster.record[from..].iter().filter(|(sender, _)| *sender == number);
    own.filter(|(_, bytes)| bytes[5] == Kind::Ack as u8).count()
}

fn publish(cluster: &mut Cluster, id: PublisherId, payloads: &[&str]) -> bool {
    let before = cluster.publishers[0].committed().len();
    cluster.publishers[0].publish(id, payloads);
    cluster.run_until(|cluster| cluster.publishers[0].committed().len() == before + payloads.len())
}

#[test]
fn member_1_a_learner_stores_and_says_nothing_until_it_is_listed() {
    let (mut cluster, id) = cluster(3, 1);
    assert_eq!((role(&cluster, 4), acks(&cluster, 4, 0)), (Role::Learner, 0));
    assert!(change(&mut cluster, 1, Change::Add, member(4)), "{}", cluster.describe());
    assert_eq!(listed(&mut cluster, 1), [1, 2, 3, 4]);
    let from = cluster.record.len();
    assert!(publish(&mut cluster, id, &["c"]));
    assert_eq!(role(&cluster, 4), Role::Standby);
    assert!(acks(&cluster, 4, from) > 0);
    // Three of four: one may still crash, two may not.
    cluster.dead = vec![2];
    assert!(publish(&mut cluster, id, &["d"]), "{}", cluster.describe());
    cluster.dead = vec![2, 3];
    assert!(!publish(&mut cluster, id, &["e"]), "two of four are no quorum");
}

#[test]
fn member_1_who_is_removed_falls_silent_once_that_is_committed() {
    let (mut cluster, id) = cluster(3, 0);
    assert!(change(&mut cluster, 1, Change::Remove, member(3)), "{}", cluster.describe());
    assert_eq!(listed(&mut cluster, 1), [1, 2]);
    assert!(cluster.run_until(|cluster| role(cluster, 3) == Role::Learner), "{}", cluster.describe());
    let from = cluster.record.len();
    assert!(publish(&mut cluster, id, &["c"]));
    assert_eq!((acks(&cluster, 3, from), acks(&cluster, 2, from) > 0), (0, true));
    assert_eq!(cluster.replicas[2].tail().end(), cluster.replicas[0].tail().end(), "it stores all the same");
}

#[test]
pub fn member_1_a_dead_member_is_replaced_by_removing_it_and_adding_its_successor() {
    let (mut cluster, id) = cluster(3, 1);
    cluster.dead = vec![3];
    let mut successor = member(4);
    successor.replica = 3;
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Add, successor);
    let (_, body, _) = status(&mut cluster, 1);
    assert_eq!(
        CommandReject::from_u32(body.denied),
        Some(CommandReject::ReplicaListed),
        "not the other way round"
    );
    assert_eq!(Identity::from_packed(body.rejected_member), successor.identity());
    assert!(change(&mut cluster, 1, Change::Remove, member(3)), "{}", cluster.describe());
    assert!(change(&mut cluster, 1, Change::Add, member(4)), "{}", cluster.describe());
    assert_eq!(listed(&mut cluster, 1), [1, 2, 4]);
    cluster.dead = vec![3, 1];
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "the successor's promise and acks count");
}

/// A cluster of three with a fourth replica that is the next life of the third one.
fn cluster_with_heir() -> (Cluster, PublisherId, MemberBody) {
    let heir = MemberBody { replica: 3, incarnation: 0x203, ..member(4) };
    let mut cluster = Cluster::new(3, |_| {});
    let mut limits = replica_limits(4, 3);
    limits.receiver.me = heir.identity();
    limits.receiver.repairers = receiver_limits(identity(4), 3).repairers;
    cluster.replicas.push(start(blank_tail(4, 256 << 10), limits).expect("it may learn"));
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    assert!(publish(&mut cluster, id, &["a", "b"]), "{}", cluster.describe());
    cluster.run(200);
    (cluster, id, heir)
}

/// MEMBER-3: there is no moment at which the next crash would end the stream.
#[test]
fn member_3_a_dead_member_is_replaced_in_one_step_and_the_next_crash_is_survived() {
    let (mut cluster, id, heir) = cluster_with_heir();
    cluster.dead = vec![3];
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
    assert!(change(&mut cluster, 1, Change::Replace, heir), "{}", cluster.describe());
    let listed: Vec<_> = status(&mut cluster, 1).2.iter().map(|row| row.member.identity()).collect();
    assert_eq!(listed, [identity(1), identity(2), heir.identity()]);
    // Its commit is an entry too: whoever is left and starts anew needs nobody from before.
    cluster.run(500);
    cluster.dead = vec![3, 1];
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    assert!(
        publish(&mut cluster, id, &["d"]),
        "the successor's promise and acks count: {}",
        cluster.describe()
    );
}

/// MEMBER-3.
#[test]
fn member_3_a_replacement_waits_for_a_quorum_of_those_before_it() {
    let (mut cluster, _, heir) = cluster_with_heir();
    // The leader and the heir are a quorum behind the change, and no quorum before it.
    cluster.dead = vec![2, 3];
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Replace, heir);
    cluster.run(300);
    let (_, body, _) = status(&mut cluster, 1);
    let stamped = body.membership_seq;
    assert!(stamped > after, "it was stamped");
    assert!(cluster.replicas[0].core.commit_next() <= stamped, "1 and the heir commit nothing alone");
    cluster.dead = vec![3];
    assert!(
        cluster.run_until(|cluster| {
            (1..=4).any(|number| number != 3 && cluster.replicas[number - 1].core.commit_next() > stamped)
        }),
        "{}",
        cluster.describe()
    );
}

/// MEMBER-3: of two members the one that leaves would have to acknowledge it, and it is dead most often.
#[test]
fn member_3_one_of_two_is_not_replaced_in_one_step() {
    let (mut cluster, id) = cluster(2, 0);
    let heir = MemberBody { replica: 2, incarnation: 0x202, ..member(3) };
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Replace, heir);
    cluster.run(20);
    let (_, body, _) = status(&mut cluster, 1);
    assert_eq!(
        (CommandReject::from_u32(body.denied), body.membership_seq),
        (Some(CommandReject::TwoMembers), after)
    );
    assert!(publish(&mut cluster, id, &["c"]), "the stream goes on");
}

#[test]
pub fn member_1_two_changes_at_once_make_one_and_a_late_copy_makes_none() {
    let (mut cluster, _) = cluster(3, 2);
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Add, member(4));
    submit(&mut cluster, after, Change::Add, member(5));
    cluster.run(100);
    assert_eq!(listed(&mut cluster, 1), [1, 2, 3, 4]);
    assert_eq!(CommandReject::from_u32(status(&mut cluster, 1).1.denied), Some(CommandReject::Stale));
    assert!(change(&mut cluster, 1, Change::Remove, member(4)));
    submit(&mut cluster, after, Change::Add, member(4));
    cluster.run(100);
    assert_eq!(listed(&mut cluster, 1), [1, 2, 3]);
}

#[test]
fn member_1_the_next_change_waits_for_the_commit_of_this_one() {
    let (mut cluster, _) = cluster(3, 2);
    // The leader is heard, and hears no acks.
    cluster.lost = |from, to, bytes| to == 1 && from < 90 && bytes[5] == Kind::Ack as u8;
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Add, member(4));
    let first = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, first, Change::Add, member(5));
    assert_eq!(CommandReject::from_u32(status(&mut cluster, 1).1.denied), Some(CommandReject::ChangePending));
    assert_eq!(listed(&mut cluster, 1), [1, 2, 3, 4]);
}

#[test]
fn s8_a_change_that_did_not_survive_a_takeover_is_undone_everywhere() {
    let (mut cluster, id) = cluster(3, 0);
    cluster.lost = |from, to, _| from == 1 && to != 1 || to == 1 && from < 90;
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Remove, member(3));
    assert_eq!(listed(&mut cluster, 1), [1, 2]);
    let others =
        |cluster: &Cluster| cluster.replicas[1..].iter().any(|replica| replica.role() == Role::Leader);
    // The order was heard by all; so that only the old leader has it, nobody leads with it.
    assert!(cluster.run_until(others), "{}", cluster.describe());
    cluster.lost = |_, _, _| false;
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
    let equal = cluster.run_until(|cluster| {
        let end = cluster.replicas[1].tail().end();
        cluster.replicas.iter().all(|replica| replica.tail().end() == end)
    });
    assert!(equal, "{}", cluster.describe());
    for number in 1..=3 {
        assert_eq!(listed(&mut cluster, number), [1, 2, 3], "replica {number}");
    }
    assert_eq!((1..=3).filter(|number| role(&cluster, *number) == Role::Learner).count(), 0);
}

#[test]
fn an_ordered_handover_goes_to_whom_it_names_and_loses_nothing() {
    let (mut cluster, id) = cluster(3, 1);
    assert_eq!(order(&mut cluster, 2, QueryKind::Handover, None), Err(CommandReject::NotLeader));
    assert_eq!(order(&mut cluster, 1, QueryKind::Handover, Some(identity(1))), Err(CommandReject::Leads));
    assert_eq!(order(&mut cluster, 1, QueryKind::Handover, Some(identity(4))), Err(CommandReject::NotListed));
    assert_eq!(order(&mut cluster, 1, QueryKind::Handover, Some(identity(3))), Ok(()));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(3)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
    let (_, body, _) = status(&mut cluster, 2);
    assert_eq!(
        (Identity::from_packed(body.leader), body.suspicion),
        (identity(3), LeaderLossReason::StepDown as u8)
    );
    assert_eq!(Identity::from_packed(body.suspected), identity(1));
}

#[test]
fn a_witness_votes_and_never_leads() {
    let (mut cluster, id) = cluster(2, 1);
    assert!(change(&mut cluster, 1, Change::Add, MemberBody::witness(identity(3), address(3))));
    assert_eq!(order(&mut cluster, 1, QueryKind::Handover, Some(identity(3))), Err(CommandReject::Witness));
    cluster.dead = vec![1];
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    assert_eq!(cluster.leader(), Some(2));
    assert!(publish(&mut cluster, id, &["c"]), "its vote and its acks count");
    cluster.dead = vec![1, 2];
    cluster.run(50_000);
    assert_eq!(cluster.leader(), None);
}

#[test]
fn member_2_of_two_nodes_the_survivor_goes_on_alone_by_the_operators_word() {
    let (mut cluster, id) = cluster(2, 0);
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Err(CommandReject::Alive));
    assert_eq!(order(&mut cluster, 1, QueryKind::DeclareDead, Some(identity(2))), Err(CommandReject::Alive));
    cluster.dead = vec![1];
    cluster.run(20_000);
    assert_eq!(cluster.leader(), None, "nobody goes on alone by itself");
    assert_eq!(
        order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(2))),
        Err(CommandReject::SelfDeclared)
    );
    assert_eq!(
        order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(7))),
        Err(CommandReject::NotListed)
    );
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(2)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
    assert_eq!(listed(&mut cluster, 2), [2]);
    // The dead one comes back from a pause: it follows, and has no vote.
    cluster.dead.clear();
    let learns = cluster.run_until(|cluster| {
        role(cluster, 1) == Role::Learner
            && cluster.replicas[0].tail().end() == cluster.replicas[1].tail().end()
    });
    assert!(learns, "{}", cluster.describe());
}

#[test]
fn member_2_one_of_two_that_leaves_acknowledges_its_removal_until_the_leader_has_heard_it() {
    let (mut cluster, id) = cluster(2, 0);
    cluster.lost = |from, to, bytes| from == 2 && to == 1 && bytes[5] == Kind::Ack as u8;
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Remove, member(2));
    assert!(cluster.run_until(|cluster| role(cluster, 2) == Role::Learner), "{}", cluster.describe());
    let seq = status(&mut cluster, 1).1.membership_seq;
    assert!(cluster.replicas[0].core.commit_next() <= seq, "it has heard nothing");
    cluster.lost = |_, _, _| false;
    let done = cluster.run_until(|cluster| cluster.replicas[0].core.commit_next() > seq);
    assert!(done, "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
}

#[test]
fn member_2_one_of_two_that_left_tells_a_candidate_that_its_removal_is_committed() {
    let (mut cluster, id) = cluster(2, 0);
    cluster.lost = |from, to, bytes| from == 2 && to == 1 && bytes[5] == Kind::Ack as u8;
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Remove, member(2));
    assert!(cluster.run_until(|cluster| role(cluster, 2) == Role::Learner), "{}", cluster.describe());
    let replica = cluster.replicas.remove(0);
    let again = start(replica.into_tail(), replica_limits(1, 2)).expect("it holds the log");
    cluster.replicas.insert(0, again);
    cluster.lost = |_, _, _| false;
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(1)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
}

/// Seed 656278571: whoever was left of two was stopped before anything was stamped behind the removal of the
/// other, did not know any more that it was committed, and asked the one that had left for ever.
#[test]
fn member_2_the_one_that_is_left_of_two_leads_alone_after_a_restart() {
    let (mut cluster, id) = cluster(2, 0);
    let after = status(&mut cluster, 1).1.membership_seq;
    submit(&mut cluster, after, Change::Remove, member(2));
    assert!(cluster.run_until(|cluster| role(cluster, 2) == Role::Learner), "{}", cluster.describe());
    cluster.run(100);
    cluster.dead.push(2);
    let replica = cluster.replicas.remove(0);
    let again = start(replica.into_tail(), replica_limits(1, 2)).expect("it holds the log");
    cluster.replicas.insert(0, again);
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(1)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
}

/// Seed 9010336: a member was wrongly declared dead, and added again while it was cut off. When it came back
/// the leader was gone, and it waited for ever for that one's pre-vote.
#[test]
fn s5_a_member_learns_from_a_witness_that_it_does_not_know_who_elects_it() {
    let (mut cluster, id) = cluster(2, 1);
    let replica = cluster.replicas.remove(1);
    cluster.replicas.insert(1, start(replica.into_tail(), replica_limits(2, 3)).expect("it holds the log"));
    cluster.dead = vec![2];
    cluster.run(20_000);
    assert_eq!(order(&mut cluster, 1, QueryKind::DeclareDead, Some(identity(2))), Ok(()));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(1)), "{}", cluster.describe());
    let witness = MemberBody::witness(identity(3), address(3));
    assert!(change(&mut cluster, 1, Change::Add, witness), "{}", cluster.describe());
    assert!(change(&mut cluster, 1, Change::Add, member(2)), "{}", cluster.describe());
    assert_eq!(listed(&mut cluster, 1), [1, 3, 2]);
    cluster.dead = vec![1];
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(2)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
}

#[test]
fn member_2_a_survivor_goes_on_when_the_one_that_was_called_dead_was_only_cut_off() {
    let (mut cluster, id) = cluster(2, 0);
    cluster.lost = |from, to, _| from < 90 && to < 90;
    cluster.run(20_000);
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.describe());
    // At first only the survivor hears: an ack, a pre-vote, a beat of the epoch that was.
    cluster.lost = |from, to, _| from == 2 && to == 1;
    cluster.run(2_000);
    cluster.lost = |_, _, _| false;
    cluster.run(2_000);
    assert!(
        !cluster.replicas[1].core.is_stopped() && role(&cluster, 2) == Role::Leader,
        "{}",
        cluster.describe()
    );
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
    assert!(cluster.run_until(|cluster| role(cluster, 1) == Role::Learner), "{}", cluster.describe());
}

#[test]
fn member_2_two_that_were_each_told_that_the_other_is_dead_both_stop_when_they_hear_each_other() {
    let (mut cluster, _) = cluster(2, 0);
    cluster.lost = |from, to, _| from < 90 && to < 90;
    cluster.run(20_000);
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    assert_eq!(order(&mut cluster, 1, QueryKind::DeclareDead, Some(identity(2))), Ok(()));
    let lead = |cluster: &Cluster| cluster.replicas.iter().all(|replica| replica.role() == Role::Leader);
    assert!(cluster.run_until(lead), "{}", cluster.describe());
    cluster.run(1_000);
    cluster.lost = |_, _, _| false;
    let stopped = |cluster: &Cluster| cluster.replicas.iter().all(|replica| replica.core.is_stopped());
    assert!(cluster.run_until(stopped), "{}", cluster.describe());
}

#[test]
fn member_2_the_word_is_good_again_after_the_survivor_stopped_behind_the_removal() {
    let (mut cluster, id) = cluster(2, 0);
    cluster.dead = vec![1];
    cluster.run(20_000);
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(2)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]));
    let replica = cluster.replicas.pop().expect("the survivor");
    cluster.replicas.push(start(replica.into_tail(), replica_limits(2, 2)).expect("it holds the log"));
    cluster.run(20_000);
    if cluster.leader().is_none() {
        assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    }
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(2)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["d"]), "{}", cluster.describe());
}

/// The vote of a survivor counts from the turn in which its promise has reached the device: it wins in the
/// first look of that turn, and the second look forgot the operator's word. Then it led two members alone,
/// and committed nothing.
#[test]
fn member_2_a_survivor_removes_the_dead_however_long_its_device_takes_to_store_the_promise() {
    let mut cluster = Cluster::new(2, |limits| limits.durability = Durability::Power);
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.dead = vec![1];
    cluster.run(20_000);
    cluster.flushing = false;
    let promised = cluster.replicas[1].tail().promised();
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    let is_candidate = |cluster: &Cluster| cluster.replicas[1].tail().promised() > promised;
    assert!(cluster.run_until(is_candidate), "{}", cluster.describe());
    cluster.run(20);
    cluster.flushing = true;
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(2)), "{}", cluster.describe());
    assert!(publish(&mut cluster, id, &["c"]), "{}", cluster.describe());
    assert_eq!(status(&mut cluster, 2).2.len(), 1, "the dead one is no member any more");
}

/// The kind of the entry at `seq` in the log of replica `number`.
fn kind_at(cluster: &Cluster, number: u32, seq: Seq) -> Option<EntryKind> {
    let tail = cluster.replicas[number as usize - 1].tail();
    let frame = tail.find(seq).and_then(|span| tail.frame(span).ok())?;
    let at = (seq - frame.header.first_seq) as usize;
    frame.entries().nth(at).map(|entry| entry.kind())
}

/// S4: the operator's word stands for acks of the start and of the removal, and of nothing between the two.
#[test]
fn member_2_the_removal_of_the_dead_stands_right_behind_the_start_however_full_the_window_is() {
    let mut cluster = Cluster::new(2, |limits| {
        limits.durability = Durability::Power;
        limits.window.entries = 4;
    });
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.lost = |from, to, bytes| (from, to) == (1, 2) && bytes[5] == Kind::Ack as u8;
    let next = cluster.replicas[1].core.commit_next();
    cluster.flushing = false;
    cluster.publishers[0].publish(id, &["a", "b", "c", "d", "e", "f"]);
    let is_full = |cluster: &Cluster| cluster.replicas[1].tail().end().next == next + 4;
    assert!(cluster.run_until(is_full), "the window is full:\n{}", cluster.describe());
    cluster.dead = vec![1];
    cluster.flushing = true;
    cluster.run(20_000);
    assert_eq!(cluster.replicas[1].core.commit_next(), next, "the other has acknowledged nothing");
    assert_eq!(order(&mut cluster, 2, QueryKind::DeclareDead, Some(identity(1))), Ok(()));
    assert!(cluster.run_until(|cluster| cluster.leader() == Some(2)), "{}", cluster.describe());
    let done = cluster.run_until(|cluster| cluster.publishers[0].committed().len() == 6);
    assert!(done, "{}", cluster.describe());
    let kinds = [next + 4, next + 5, next + 6, next + 7].map(|seq| kind_at(&cluster, 2, seq));
    let expected =
        [EntryKind::EpochStart, EntryKind::Membership, EntryKind::Order, EntryKind::ChangeCommitted];
    assert_eq!(kinds, expected.map(Some));
}

/// S5: later it would be a promise in the name of one of three that never gave it.
#[test]
fn member_2_the_operators_word_is_worth_nothing_any_more_once_the_dead_one_is_heard() {
    let mut log = Log::begun(2);
    let mut node =
        SoloReplica::new(start(blank_tail(2, 256 << 10), replica_limits(2, 2)).expect("it may learn"));
    node.hear(&log.frames[1..2]);
    node.ask(1, log.repair(0, 1, 1));
    assert_eq!((node.replica.role(), node.replica.tail().end()), (Role::Standby, log.end));
    for _ in 0..30 {
        node.wait(10 * TURN_NS * 100);
    }
    let (epoch, first_seq) = (log.end.epoch.0, 2);
    let header = Header { cluster: CLUSTER, sender: OPERATOR, epoch, first_seq, ..Header::new(Kind::Query) };
    let dead = identity(1).to_string();
    let query =
        written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, QueryKind::DeclareDead, &dead));
    node.replica.net_mut().unicast.push_back((query, Some(address(OPERATOR))));
    let result = (0..8).find_map(|_| {
        let sent = node.poll();
        let found =
            sent.iter().find(|(_, bytes)| bytes[5] == Kind::CommandResult as u8).map(|(_, bytes)| bytes);
        found.cloned()
    });
    let result = result.expect("a verdict");
    let Ok(Datagram::CommandResult(_, body)) = Datagram::decode(&result, &Keyring::none(CLUSTER)) else {
        panic!("a verdict")
    };
    assert_eq!(body.reject, 0, "it is believed");
    // In the same batch its leader beats again, and adds a third.
    log.commit_next = log.end.next;
    let heartbeat = log.heartbeat();
    let change = log.push_change(2, Change::Add, member(3), &member_list(3));
    let next = log.end.next;
    node.hear(&[heartbeat, change]);
    log.commit_next = next;
    node.hear(&[log.ack(3, next), log.heartbeat()]);
    assert_eq!((node.replica.role(), node.replica.core.commit_next()), (Role::Standby, next));
    for _ in 0..100 {
        node.wait(10 * TURN_NS * 100);
        // The third misses the leader too, but promises nothing.
        let ballot = BallotBody { process_nonce: 3, ballot: node.replica.tail().promised().0, about: 0 };
        node.hear(&[written(|out| {
            write_ballot(out, &Keyring::none(CLUSTER), log.header(Kind::Grant, identity(3)), ballot)
        })]);
        assert_eq!(node.replica.role(), Role::Standby, "nobody but itself has promised");
    }
}

#[test]
fn a_status_tells_where_its_node_stands_and_whom_the_leader_hears() {
    let (mut cluster, _) = cluster(3, 0);
    cluster.dead = vec![3];
    cluster.run(100);
    let (header, body, members) = status(&mut cluster, 1);
    let end = cluster.replicas[0].tail().end();
    assert_eq!((header.identity(), header.epoch(), header.first_seq), (identity(1), end.epoch, end.next));
    assert_eq!((body.role, Identity::from_packed(body.leader)), (Role::Leader as u8, identity(1)));
    assert_eq!((body.promised, body.suspected_age_ns, body.denied), (end.epoch.0, AGE_NEVER, 0));
    assert!(body.epoch_since > 1_700_000_000_000_000_000);
    assert!(members[0].acked_next == end.next && members[1].acked_next == end.next);
    assert!(members[1].acked_age_ns < members[2].acked_age_ns, "the dead one was heard longer ago");
    let (_, body, _) = status(&mut cluster, 2);
    assert_eq!((body.role, Identity::from_packed(body.leader)), (Role::Standby as u8, identity(1)));
}
