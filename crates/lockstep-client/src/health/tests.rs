use super::*;
use crate::status::SuspectedLeader;
use bytemuck::Zeroable;
use lockstep_core::proto::commit::Durability;
use lockstep_wire::{AgreedRow, Epoch, LeaderLossReason, MemberBody, WayRow};
use std::time::Duration;

const HISTORY: u64 = 0xb1;

fn identity(replica: u32) -> Identity {
    Identity { replica, incarnation: 0x100 + replica }
}

fn address(replica: u32) -> SocketAddrV4 {
    format!("10.0.0.{replica}:7003").parse().expect("an address")
}

/// The answer of replica `number` of `members`; 1 leads.
fn status(number: u32, members: u32) -> NodeStatus {
    let member = |replica| MemberStatus {
        member: MemberBody::full(identity(replica), address(replica)),
        acked_next: 50,
        last_contact: (number == 1).then_some(Duration::from_millis(3)),
    };
    NodeStatus {
        address: address(number),
        identity: identity(number),
        history: HISTORY,
        role: if number == 1 { Role::Leader } else { Role::Standby },
        leader: Some(identity(1)),
        accepted: Epoch::new(3, identity(1)),
        epoch_since: 5,
        epoch_age: None,
        promised: Epoch::new(3, identity(1)),
        accept_next: 50,
        commit_next: 50,
        membership_seq: 1,
        generation: None,
        members: (1..=members).map(member).collect(),
        durability: Durability::Process,
        conditions: Vec::new(),
        suspected: None,
        agreed: None,
        ways: Vec::new(),
        denied: None,
    }
}

/// A cluster of `members`, in which those of `silent` do not answer.
fn cluster(members: u32, silent: &[u32]) -> Vec<QueryResult> {
    let node = |number| QueryResult {
        address: address(number),
        number: Some(number),
        is_archiver: false,
        status: (!silent.contains(&number)).then(|| status(number, members)),
        asker_file: Vec::new(),
    };
    (1..=members).map(node).collect()
}

fn answer(asked: &mut [QueryResult], number: usize) -> &mut NodeStatus {
    asked[number - 1].status.as_mut().expect("it answers")
}

fn active(condition: Condition, a: u64, b: u64) -> ActiveCondition {
    ActiveCondition { condition, age: Duration::from_secs(3), a, b }
}

fn assessed(asked: &[QueryResult]) -> (ClusterHealth, String) {
    let health = Health::judge(asked);
    (health.health, health.to_string())
}

#[test]
fn all_answer_and_nothing_is_amiss() {
    let text = "healthy: 3 of 3 members answer and hold the log, 1 may crash";
    assert_eq!(assessed(&cluster(3, &[])), (ClusterHealth::Healthy, text.to_owned()));
    assert_eq!(assessed(&cluster(1, &[])).0, ClusterHealth::Healthy, "one alone is all that there is to be");
}

/// Issue O2: the members that may crash were counted from the list, so a cluster that could survive no crash
/// was reported healthy.
#[test]
fn a_member_that_does_not_answer_is_a_reason_and_no_redundancy() {
    let (found, text) = assessed(&cluster(3, &[3]));
    assert_eq!(found, ClusterHealth::Degraded);
    let cause = "replica 3 does not answer at 10.0.0.3:7003, seen by the leader";
    assert_eq!(text, format!("degraded: {cause}; 2 of 3 hold the log, no member may crash"));
    assert!(assessed(&cluster(5, &[5])).1.ends_with("4 of 5 hold the log, 1 may crash"));
}

#[test]
fn a_member_that_answers_and_lacks_the_log_is_no_redundancy_either() {
    let mut asked = cluster(3, &[]);
    answer(&mut asked, 1).conditions.push(active(Condition::RedundancyLost, 2, 3));
    let (found, text) = assessed(&asked);
    assert_eq!(found, ClusterHealth::Degraded);
    assert!(text.ends_with("2 of 3 hold the log, no member may crash"), "{text}");
}

/// Issue O3: the report of an outage names the missing members, and those to start.
#[test]
fn without_a_quorum_it_says_how_many_are_needed_and_whom_to_start() {
    let mut four = cluster(4, &[1, 2]);
    assert_eq!(
        assessed(&four),
        (ClusterHealth::NoQuorum, "no quorum: 2 of 4 answer, 3 needed: start 1 or 2".to_owned())
    );
    four[2].status = None;
    assert!(assessed(&four).1.ends_with("1 of 4 answer, 3 needed: start 2 of 1, 2, 3"));
    assert!(assessed(&cluster(2, &[1])).1.ends_with("1 of 2 answer, 2 needed: start 1"));
    assert!(assessed(&cluster(3, &[1, 2, 3])).1.ends_with("0 of 3 answer, 2 needed: start 2 of 1, 2, 3"));
    let (found, text) = assessed(&cluster(5, &[1, 2, 3]));
    assert!(
        found == ClusterHealth::NoQuorum && text.ends_with("2 of 5 answer, 3 needed: start 1 or 2 or 3"),
        "{text}"
    );
}

#[test]
fn a_quorum_without_a_leader_is_no_outage_of_members() {
    // It led: the next one needs a moment, in which the network is not at fault.
    let text =
        "no leader: replica 1 led and does not answer; 2 of 3 do: await a takeover, then check the network";
    assert_eq!(assessed(&cluster(3, &[1])), (ClusterHealth::NoLeader, text.to_owned()));
    let mut asked = cluster(3, &[]);
    (answer(&mut asked, 1).role, answer(&mut asked, 1).leader) = (Role::Standby, None);
    let (found, text) = assessed(&asked);
    assert_eq!(found, ClusterHealth::NoLeader);
    assert!(text.starts_with("no leader: 3 of 3 members answer"), "{text}");
}

/// A standby that was away for longer than a witness's ring cannot lead, even if it is connected to all.
#[test]
fn without_a_leader_a_standby_that_lacks_the_log_is_named_with_those_that_may_have_it() {
    let mut asked = cluster(3, &[1]);
    asked.push(QueryResult { number: Some(101), is_archiver: true, ..cluster(1, &[1]).remove(0) });
    answer(&mut asked, 2).conditions = vec![active(Condition::LogGone, 7_847, 19)];
    let (found, text) = assessed(&asked);
    assert_eq!(found, ClusterHealth::NoLeader);
    assert_eq!(
        text,
        "no leader: 2 of 3 answer; replica 2: no journal that answers has what it lacks: start \
         replica 1 or archiver 101"
    );
    assert!(text.chars().count() <= LINE_MAX);
}

/// A leader from which we receive, and which receives from no member itself, commits nothing.
#[test]
fn a_leader_that_hears_no_quorum_is_none() {
    let mut asked = cluster(3, &[]);
    answer(&mut asked, 1).conditions.push(active(Condition::RedundancyLost, 1, 3));
    let text = "no quorum: 1 of 3 hold the log, 2 needed: the leader does not receive from replicas 2 and 3; check the \
                network";
    assert_eq!(assessed(&asked), (ClusterHealth::NoQuorum, text.to_owned()));
}

/// In the first second of a cluster all answer, and the network is whole.
#[test]
fn members_that_hold_nothing_yet_are_named_and_not_the_network() {
    for (blank, names) in [(&[2, 3][..], "replicas 2 and 3"), (&[3], "replica 3")] {
        let mut asked = cluster(3, &[]);
        answer(&mut asked, 1).conditions.push(active(Condition::RedundancyLost, 1, 3));
        for number in blank {
            let node = answer(&mut asked, *number);
            (node.role, node.history) = (Role::Blank, 0);
        }
        let text = format!(
            "no quorum: 1 of 3 hold the log, 2 needed: nothing is at {names} yet, and the log is copied there"
        );
        assert_eq!(assessed(&asked), (ClusterHealth::NoQuorum, text));
    }
}

#[test]
fn each_thing_that_is_amiss_anywhere_is_a_reason() {
    for (number, condition) in (1..=3).cycle().zip(Condition::ALL) {
        if *condition == Condition::RedundancyLost {
            continue;
        }
        let mut asked = cluster(3, &[]);
        let active_condition = active(*condition, 7, 9);
        answer(&mut asked, number).conditions.push(active_condition);
        let (found, text) = assessed(&asked);
        assert_eq!(found, ClusterHealth::Degraded, "{condition:?}");
        let brief = active_condition.brief();
        let first: String = brief.chars().take(30).collect();
        assert!(text.contains(&first), "{text}");
        assert!(text.ends_with("3 of 3 hold the log, 1 may crash"), "{text}");
        assert!(text.chars().count() <= LINE_MAX, "{text}");
    }
}

#[test]
fn who_answers_and_is_no_member_or_holds_another_stream_is_named() {
    let mut asked = cluster(3, &[]);
    // Replica 3 was formatted anew: the members know its old identity.
    let new = Identity { replica: 3, incarnation: 0x999 };
    let node = answer(&mut asked, 3);
    (node.identity, node.role, node.history) = (new, Role::Blank, 0);
    let health = Health::judge(&asked);
    assert_eq!((health.health, health.there), (ClusterHealth::Degraded, 2));
    assert!(health.reasons.contains(&Reason::Blank(new)), "{health}");
    let node = answer(&mut asked, 3);
    (node.role, node.history) = (Role::Learner, HISTORY);
    assert!(Health::judge(&asked).reasons.contains(&Reason::NoMember(new)));
    answer(&mut asked, 3).history = 0xdead;
    assert!(Health::judge(&asked).reasons.contains(&Reason::OtherHistory(new, 0xdead)));
}

#[test]
fn an_archiver_of_the_file_that_is_silent_is_a_reason_and_no_member() {
    let mut asked = cluster(3, &[]);
    let node = QueryResult {
        address: address(9),
        number: Some(101),
        is_archiver: true,
        status: None,
        asker_file: Vec::new(),
    };
    asked.push(node);
    let (found, text) = assessed(&asked);
    assert_eq!(found, ClusterHealth::Degraded);
    assert!(text.starts_with("degraded: archiver 101 does not answer at 10.0.0.9:7003; 3 of 3"), "{text}");
    asked[3].status = Some(NodeStatus { role: Role::Learner, ..status(9, 3) });
    assert_eq!(assessed(&asked).0, ClusterHealth::Healthy);
}

#[test]
fn a_change_under_way_is_a_reason() {
    let mut asked = cluster(3, &[]);
    answer(&mut asked, 1).membership_seq = 60;
    assert!(Health::judge(&asked).reasons.contains(&Reason::ChangePending));
}

#[test]
fn nodes_that_hold_nothing_have_no_history() {
    let mut asked = cluster(3, &[2]);
    for number in [1, 3] {
        let node = answer(&mut asked, number);
        (node.role, node.history) = (Role::Blank, 0);
        node.members.clear();
    }
    let (found, text) = assessed(&asked);
    assert!(found == ClusterHealth::NoHistory && text.contains("bootstrap"), "{text}");
}

#[test]
fn without_a_leader_the_newest_list_that_anybody_has_counts() {
    for later in [true, false] {
        let mut asked = cluster(3, &[1]);
        assert_eq!(assessed(&asked).0, ClusterHealth::NoLeader);
        // Of two nodes that answer, one knows two members more: by a later epoch, or by a later change in the
        // same epoch.
        let node = answer(&mut asked, 2);
        node.members = status(2, 5).members;
        match later {
            true => node.accepted = Epoch::new(4, identity(2)),
            false => node.membership_seq = 40,
        }
        let health = Health::judge(&asked);
        assert_eq!((health.health, health.listed, health.there), (ClusterHealth::NoQuorum, 5, 2), "{health}");
    }
}

#[test]
fn a_silent_member_that_the_leader_has_not_heard_for_a_moment_is_not_said_to_be_heard() {
    for (ago, is_reachable) in [(199, true), (200, false)] {
        let mut asked = cluster(3, &[3]);
        answer(&mut asked, 1).members[2].last_contact = Some(Duration::from_millis(ago));
        let (_, text) = assessed(&asked);
        assert_eq!(text.contains("seen by the leader"), is_reachable, "{ago} ms: {text}");
    }
}

#[test]
fn a_member_that_the_file_does_not_have_and_that_nobody_asked_is_named() {
    let mut asked = cluster(3, &[]);
    asked.pop();
    let (found, text) = assessed(&asked);
    assert_eq!(found, ClusterHealth::Degraded);
    assert!(text.contains("replica 3 does not answer at 10.0.0.3:7003"), "{text}");
}

fn report(asked: &mut [QueryResult], numbers: &[usize], condition: Condition, (a, b): (u64, u64)) {
    for number in numbers {
        answer(asked, *number).conditions.push(active(condition, a, b));
    }
}

#[test]
fn a_condition_is_told_once_however_many_nodes_report_it() {
    let mut asked = cluster(5, &[]);
    report(&mut asked, &[2, 3, 5], Condition::MulticastLost, (9, 0));
    let text = assessed(&asked).1;
    let cause = "replicas 2, 3 and 5: multicast is lost, unicast is not, for 3s";
    assert_eq!(text, format!("degraded: {cause}; 5 of 5 hold the log, 2 may crash"));
    report(&mut asked, &[4], Condition::DiskFull, (91_656, 0));
    let health = Health::judge(&asked);
    let cause = "replica 4: the disk is full: segments end at seq 91656, for 3s";
    assert_eq!(health.to_string(), format!("degraded: {cause} (+1); 5 of 5 hold the log, 2 may crash"));
    assert_eq!(health.causes().len(), 2);
}

#[test]
fn the_clock_that_is_wrong_is_the_one_that_differs_from_the_majority() {
    let ahead = 600_000_000_000;
    let mut asked = cluster(3, &[]);
    report(&mut asked, &[2, 3], Condition::ClockAhead, (ahead, 0));
    let text = assessed(&asked).1;
    assert!(text.starts_with("degraded: replica 1: its clock is, or was, 10m00s ahead of 2 and 3"), "{text}");
    let mut asked = cluster(3, &[]);
    report(&mut asked, &[3], Condition::ClockAhead, (ahead, 0));
    let text = assessed(&asked).1;
    assert!(text.starts_with("degraded: replica 3: its clock is 600s behind the stream's time"), "{text}");
}

/// The leader reports lost redundancy; the member that lags is at fault.
#[test]
fn the_member_that_lags_is_named_and_not_the_leader_that_says_so() {
    let mut asked = cluster(3, &[]);
    report(&mut asked, &[1], Condition::RedundancyLost, (2, 3));
    let leader = answer(&mut asked, 1);
    for (at, acked) in [(0, 0), (1, 20), (2, 50)] {
        leader.members[at].acked_next = acked;
    }
    let text = assessed(&asked).1;
    assert!(text.starts_with("degraded: replica 2: lags behind the leader"), "{text}");
    // If the reason for the lag is known, it is the cause.
    report(&mut asked, &[2], Condition::DiskFull, (20, 0));
    let text = assessed(&asked).1;
    assert!(text.starts_with("degraded: replica 2: the disk is full: segments end at seq 20"), "{text}");
    assert!(!text.contains("(+"), "what follows from it is no cause of its own: {text}");
}

#[test]
fn keys_that_are_overdue_are_no_health() {
    for (left, expected) in [(None, true), (Some(0), true), (Some(-1), false)] {
        let health = Health::judge(&cluster(3, &[])).with_keys(left);
        assert_eq!(health.health == ClusterHealth::Healthy, expected, "{left:?}");
        assert_eq!(health.to_string().contains("keys"), !expected, "{health}");
    }
}

/// Each pair of conditions at any nodes, with the longest numbers, and each silent member.
#[test]
fn the_first_line_is_never_longer_than_a_screen() {
    for members in [1, 3, 7] {
        for one in Condition::ALL {
            for two in Condition::ALL {
                let mut asked = cluster(members, if members > 2 { &[2] } else { &[] });
                report(&mut asked, &[1], *one, (u64::MAX, u64::MAX));
                if members > 2 && one != two {
                    report(&mut asked, &[3], *two, (u64::MAX, 7));
                }
                let text = assessed(&asked).1;
                assert!(text.chars().count() <= LINE_MAX, "{}: {text}", text.chars().count());
            }
        }
    }
}

/// A rule of a packet filter in one direction: hosts 1 and 2 reported a healthy cluster.
#[test]
fn a_node_that_has_not_received_the_leader_for_a_second_is_named_wherever_one_looks_from() {
    for (ago, leader, expected) in [(999, None, true), (1_000, None, false), (9_000, Some(identity(1)), true)]
    {
        let mut asked = cluster(3, &[]);
        let node = answer(&mut asked, 3);
        node.leader = leader;
        let (identity, why) = (identity(1), LeaderLossReason::Silence);
        node.suspected = Some(SuspectedLeader { identity, why, ago: Duration::from_millis(ago) });
        let (found, text) = assessed(&asked);
        assert_eq!(found == ClusterHealth::Healthy, expected, "{ago}: {text}");
        let line = "degraded: replica 3 receives nothing from the leader 1, which others follow, for 1s; 3 of 3 hold the log, \
                    1 may crash";
        assert!(expected || text == line, "{text}");
    }
}

/// During a handover a node follows no leader for a moment, and the last leader that it missed was another
/// one.
#[test]
fn a_leader_is_missed_for_as_long_as_it_leads_at_most() {
    for (led_ms, expected) in [(0, true), (999, true), (1_000, false), (2_000, false)] {
        let mut asked = cluster(3, &[]);
        answer(&mut asked, 1).epoch_age = Some(Duration::from_millis(led_ms));
        let node = answer(&mut asked, 3);
        node.leader = None;
        let (identity, why) = (identity(2), LeaderLossReason::Silence);
        node.suspected = Some(SuspectedLeader { identity, why, ago: Duration::from_secs(197) });
        let (found, text) = assessed(&asked);
        assert_eq!(found == ClusterHealth::Healthy, expected, "{led_ms}: {text}");
        let seconds = format!("which others follow, for {}s;", led_ms / 1_000);
        assert!(expected || text.contains(&seconds), "{text}");
    }
}

/// A row of each of these keys, in the order of the reference.
fn rows(pairs: &[(&str, &str)]) -> Vec<AgreedRow> {
    pairs.iter().map(|(path, value)| AgreedRow::new(path, value).expect("a key")).collect()
}

const GROUPS: [(&str, &str); 2] =
    [("lines.1.data", "239.77.1.2:7700"), ("lines.1.control", "239.77.1.3:7700")];
const OTHER: [(&str, &str); 2] =
    [("lines.1.data", "239.77.1.9:7700"), ("lines.1.control", "239.77.1.4:7700")];

/// The first line names the host whose file differs, with both values, before all consequences.
#[test]
fn the_host_whose_file_differs_is_named_with_both_values() {
    let mut asked = cluster(3, &[]);
    for number in [1, 2, 3] {
        answer(&mut asked, number).agreed = Some(rows(&GROUPS));
    }
    assert_eq!(assessed(&asked).0, ClusterHealth::Healthy);
    answer(&mut asked, 2).agreed = Some(rows(&[GROUPS[0], OTHER[1]]));
    // The node reports it itself, and the leader reports the consequences.
    let place = u64::from(rows(&OTHER)[1].place());
    answer(&mut asked, 2).conditions.push(active(Condition::FilesDiffer, place, rows(&OTHER)[1].number()));
    answer(&mut asked, 1).conditions.push(active(Condition::RedundancyLost, 2, 3));
    let (found, text) = assessed(&asked);
    assert_eq!(found, ClusterHealth::Degraded);
    let shown = "degraded: replica 2: lines.1.control is 239.77.1.4, on 1 and 3 239.77.1.3; 2 of 3";
    assert!(text.starts_with(shown) && text.chars().count() <= LINE_MAX, "{text}");
    let causes = Health::judge(&asked).causes();
    assert_eq!(causes.len(), 1, "each cause once, and none that follows: {causes:?}");
    assert_eq!(causes[0].name(), "files_differ");
    // Several keys of one host are one cause.
    answer(&mut asked, 2).agreed = Some(rows(&OTHER));
    let causes = Health::judge(&asked).causes();
    assert!(causes.len() == 1 && causes[0].to_string().ends_with(" (+1 keys)"), "{causes:?}");
}

#[test]
fn of_two_hosts_whose_files_differ_none_is_at_fault_and_an_older_release_is_not_compared() {
    let mut asked = cluster(2, &[]);
    answer(&mut asked, 1).agreed = Some(rows(&GROUPS));
    assert_eq!(assessed(&asked).0, ClusterHealth::Healthy, "2 does not say what it has");
    answer(&mut asked, 2).agreed = Some(rows(&[GROUPS[0], OTHER[1]]));
    let (found, text) = assessed(&asked);
    let shown = "degraded: the files differ: lines.1.control is 239.77.1.3 on 1, 239.77.1.4 on 2";
    assert!(found == ClusterHealth::Degraded && text.starts_with(shown), "{text}");
}

#[test]
fn an_archiver_whose_file_differs_is_named_as_one() {
    let mut asked = cluster(3, &[]);
    let archiver = NodeStatus { role: Role::Learner, identity: identity(101), ..status(2, 3) };
    let node = QueryResult { address: address(9), number: Some(101), is_archiver: true, ..asked[0].clone() };
    asked.push(QueryResult { status: Some(archiver), ..node });
    for number in [1, 2, 3, 4] {
        answer(&mut asked, number).agreed = Some(rows(if number == 4 { &OTHER } else { &GROUPS }));
    }
    let (_, text) = assessed(&asked);
    assert!(text.starts_with("degraded: archiver 101: lines.1.data is 239.77.1.9, on 1, 2 and 3"), "{text}");
}

/// The nodes agree, and the asker's file differs.
#[test]
fn the_file_of_whoever_asks_is_named_where_it_differs_from_all_nodes() {
    let mut asked = cluster(3, &[]);
    for number in [1, 2, 3] {
        answer(&mut asked, number).agreed = Some(rows(&GROUPS));
        asked[number - 1].asker_file = rows(&[GROUPS[0], OTHER[1]]);
    }
    let (found, text) = assessed(&asked);
    let shown = "degraded: the file of this host: lines.1.control is 239.77.1.4, at the nodes 239.77.1.3";
    assert!(
        found == ClusterHealth::Degraded
            && text.starts_with(shown)
            && text.ends_with("; 3 of 3 hold the log"),
        "{text}"
    );
    for node in &mut asked {
        node.asker_file = rows(&GROUPS);
    }
    assert_eq!(assessed(&asked).0, ClusterHealth::Healthy);
}

/// Found by hand: a port with a smaller MTU was three causes, and the first line named another node first.
#[test]
fn a_small_mtu_at_one_port_is_one_cause_that_names_its_node() {
    let small = WayRow { large: 5, asked_ms: 20, ..WayRow::zeroed() };
    let mut asked = with_ways(&[(1, 3, small), (2, 3, small)]);
    for row in &mut answer(&mut asked, 3).ways {
        row.large = 5;
    }
    let health = Health::judge(&asked);
    let causes = health.causes();
    assert_eq!((causes.len(), causes[0].who.as_str()), (1, "replica 3"), "{health}");
    let text = "degraded: datagrams of the size of mtu do not pass between 3 and each of 1 and 2; 3 of 3 hold the log, \
                1 may crash";
    assert_eq!(health.to_string(), text);
}

/// What `number` receives from the others of three, with `row` for one of them.
fn ways(number: u32, of: u32, row: WayRow) -> Vec<WayRow> {
    let well = WayRow { asked_ms: 20, ..WayRow::zeroed() };
    let others = (1..=3).filter(|other| *other != number);
    others.map(|other| WayRow { peer: other as u8, ..if other == of { row } else { well } }).collect()
}

/// Three nodes that answer; `lost` has what some of them receive from another one.
fn with_ways(lost: &[(u32, u32, WayRow)]) -> Vec<QueryResult> {
    let mut asked = cluster(3, &[]);
    for number in 1..=3 {
        let found = lost.iter().find(|(at, ..)| *at == number);
        let (_, of, row) = found.copied().unwrap_or((number, 0, WayRow::zeroed()));
        answer(&mut asked, number as usize).ways = ways(number, of, row);
    }
    asked
}

#[test]
fn a_lost_way_is_named_once_with_all_from_whom_it_is_and_what_a_node_says_of_it_is_not_repeated() {
    assert_eq!(assessed(&with_ways(&[])).0, ClusterHealth::Healthy);
    let blocked = WayRow { replay: 3, asked_ms: 20, ..WayRow::zeroed() };
    let mut asked = with_ways(&[(1, 3, blocked), (2, 3, blocked)]);
    answer(&mut asked, 1).conditions.push(active(Condition::PathLost, 3, 3));
    let causes = Health::judge(&asked).causes();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!(causes[0].to_string(), "the TCP port of 3 for replay is not reached from 1 and 2");
    assert_eq!(causes[0].name(), "path_lost");
}

/// A node that is down answers no query: the verdict names its silence once.
#[test]
fn a_node_that_is_down_is_no_lost_way() {
    let missed = WayRow { unanswered: 9, large: 9, replay: 9, asked_ms: 9_000, ..WayRow::zeroed() };
    let mut asked = with_ways(&[(1, 3, missed), (2, 3, missed)]);
    asked[2].status = None;
    let causes = Health::judge(&asked).causes();
    assert!(causes.len() == 1 && causes[0].name() == "silent", "{causes:?}");
}

/// The leader's path to a standby is cut: that the standby misses its leader includes this.
#[test]
fn a_cut_behind_a_missed_leader_is_told_as_that() {
    let deaf = WayRow { unanswered: 4, large: 4, asked_ms: 9_000, ..WayRow::zeroed() };
    let no_answers = WayRow { unanswered: 4, large: 4, asked_ms: 20, ..WayRow::zeroed() };
    let mut asked = with_ways(&[(1, 3, no_answers), (3, 1, deaf)]);
    let cut = "nothing passes by unicast from 1 to 3; the reverse direction works";
    assert_eq!(Health::judge(&asked).causes()[0].to_string(), cut);
    let node = answer(&mut asked, 3);
    node.leader = None;
    let why = LeaderLossReason::Silence;
    node.suspected = Some(SuspectedLeader { identity: identity(1), why, ago: Duration::from_secs(2) });
    let causes = Health::judge(&asked).causes();
    assert!(causes.len() == 1 && causes[0].name() == "misses_leader", "{causes:?}");
}
