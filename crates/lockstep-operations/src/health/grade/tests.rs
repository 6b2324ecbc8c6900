use super::*;
use crate::samples::{HISTORY, active, answer, cluster, identity};
use lockstep_client::internal::leader_of;
use lockstep_io::clock::Utc;

const THRESHOLDS: HealthThresholds =
    HealthThresholds { lag_warn: 10, lag_crit: 20, spare_warn: None, spare_crit: 0, key_days: 30 };

fn examine<T>(asked: &[QueryResult], expiry: Option<Expiry>, judge: impl Fn(&Examined<'_>) -> T) -> T {
    let statuses: Vec<_> = asked.iter().map(|node| node.status.clone()).collect();
    let leads_for = Some(Duration::from_secs(7_200));
    judge(&Examined { asked, leader: leader_of(&statuses), leads_for, expiry })
}

fn graded(asked: &[QueryResult]) -> HealthReport {
    examine(asked, None, |examined| examined.cluster(&THRESHOLDS))
}

fn reasons(report: &HealthReport) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

fn metrics(report: &HealthReport) -> String {
    report.metrics.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_cluster_that_lacks_nothing_is_good_and_its_numbers_have_nagios_ranges() {
    let report = graded(&cluster(3, &[]));
    assert_eq!((report.grade, reasons(&report)), (HealthGrade::Good, Vec::new()));
    assert_eq!(report.summary, "replica 1 leads epoch 3 for 2h00m; 3 of 3 members, 1 may crash");
    let expected = "lag=0;10;20;0 members=3;3:;2:;0;3 spare=1;1:;0: committed=49c;;;0 conditions=0;;;0 \
                    epoch_age=7200s;;;0";
    assert_eq!(metrics(&report), expected);
}

/// The rows of the table in the document, by grade.
#[test]
fn the_document_has_the_grade_of_each_condition() {
    let page = include_str!("../../../../../docs/RUN.md");
    let row = |grade: HealthGrade| {
        let begins = format!("| {} | conditions ", grade.name());
        page.lines().find_map(|line| line.strip_prefix(&begins)).unwrap_or_else(|| panic!("{begins}"))
    };
    let other = |grade| match grade {
        HealthGrade::Critical => HealthGrade::Warning,
        _ => HealthGrade::Critical,
    };
    for condition in Condition::ALL {
        let (grade, name) = (grade_of(*condition), format!("`{}`", condition.name()));
        assert!(row(grade).contains(&name) && !row(other(grade)).contains(&name), "{name} is {grade:?}");
    }
}

#[test]
fn a_condition_has_the_grade_of_the_table_its_code_and_its_advice() {
    for (condition, grade) in [
        (Condition::JournalFull, HealthGrade::Critical),
        (Condition::ReaderAhead, HealthGrade::Critical),
        (Condition::LineLost, HealthGrade::Warning),
    ] {
        let mut asked = cluster(3, &[]);
        let holds = active(condition, 7, of_two_addresses());
        answer(&mut asked, 2).conditions.push(holds);
        let report = graded(&asked);
        assert_eq!(report.grade, grade, "{condition:?}");
        let (grade, code, advice) = (grade.name(), holds.code(), holds.advice());
        let text = format!("{grade} {code}: replica 2: {}, for 3s; {advice}", holds.brief());
        assert_eq!(reasons(&report), [text]);
        assert!(metrics(&report).contains("conditions=1;"), "{report:?}");
    }
}

/// The second number of a reader that is ahead, where another address says so too.
fn of_two_addresses() -> u64 {
    let newest = std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 7), 9);
    lockstep_wire::ReadersAheadNumber { addresses: 2, newest }.packed()
}

#[test]
fn the_word_of_one_reader_is_a_warning_with_its_address_and_that_of_two_addresses_is_critical() {
    let one = of_two_addresses() - (1 << 48);
    for (b, grade, words) in [
        (one, HealthGrade::Warning, "a reader at 10.0.0.7:9 claims seq 99"),
        (of_two_addresses(), HealthGrade::Critical, "readers at 2 addresses claim seqs up to 99"),
    ] {
        let mut asked = cluster(3, &[]);
        answer(&mut asked, 1).conditions.push(active(Condition::ReaderAhead, 99, b));
        let report = graded(&asked);
        assert_eq!(report.grade, grade);
        assert!(reasons(&report).iter().any(|reason| reason.contains(words)), "{report:?}");
    }
}

#[test]
fn a_silent_member_is_a_warning_until_no_quorum_is_left() {
    let report = graded(&cluster(3, &[3]));
    assert_eq!(report.grade, HealthGrade::Warning);
    let expected = [
        "WARNING: replica 3 does not answer at 10.0.0.3:7003, for 1s".to_owned(),
        "WARNING: 0 members may crash, fewer than 1".to_owned(),
    ];
    assert_eq!(reasons(&report), expected);
    assert!(metrics(&report).contains("members=2;3:;2:;0;3 spare=0;1:;0:"), "{report:?}");

    let report = graded(&cluster(3, &[1, 3]));
    assert_eq!(report.grade, HealthGrade::Critical);
    assert!(report.summary.starts_with("no quorum: 1 of 3 answer"), "{report:?}");
    assert!(metrics(&report).starts_with("lag=U;10;20;0 "), "{report:?}");
}

#[test]
fn no_leader_is_critical_though_all_members_answer() {
    let mut asked = cluster(3, &[]);
    answer(&mut asked, 1).role = Role::Standby;
    let report = graded(&asked);
    assert_eq!(report.grade, HealthGrade::Critical);
    assert!(report.summary.starts_with("no leader: 3 of 3 members answer"), "{report:?}");
}

#[test]
fn the_floor_of_spare_members_is_the_operators() {
    let with = |members, silent: &[u32], spare_warn, spare_crit| {
        let thresholds = HealthThresholds { spare_warn, spare_crit, ..THRESHOLDS };
        examine(&cluster(members, silent), None, |examined| examined.cluster(&thresholds)).grade
    };
    assert_eq!(with(5, &[5], None, 1), HealthGrade::Warning, "one may crash, which is the floor");
    assert_eq!(with(5, &[5], None, 2), HealthGrade::Critical);
    assert_eq!(with(3, &[], Some(2), 0), HealthGrade::Warning, "three never have two to spare");
    assert_eq!(with(3, &[], Some(0), 2), HealthGrade::Critical);
    assert_eq!(with(1, &[], None, 0), HealthGrade::Good, "one alone has none to spare");
}

/// A broken path from the monitor to a member costs no redundancy.
#[test]
fn a_member_that_the_leader_receives_is_spare_though_it_does_not_answer_here() {
    let mut asked = cluster(3, &[2, 3]);
    for listed in &mut answer(&mut asked, 1).members {
        listed.last_contact = Some(Duration::from_millis(3));
    }
    let report = graded(&asked);
    assert_eq!(report.grade, HealthGrade::Warning);
    assert!(metrics(&report).contains("spare=1;1:;0:"), "{report:?}");
    assert!(reasons(&report).iter().all(|reason| reason.ends_with(", seen by the leader")));
}

#[test]
fn a_member_that_lags_is_graded_by_name_and_what_it_acknowledged_counts() {
    let mut asked = cluster(3, &[]);
    answer(&mut asked, 3).accept_next = 30;
    assert_eq!(graded(&asked).grade, HealthGrade::Good, "it has acknowledged everything since its answer");
    for (lacks, grade) in [(10, HealthGrade::Good), (11, HealthGrade::Warning), (21, HealthGrade::Critical)] {
        answer(&mut asked, 3).accept_next = 50 - lacks;
        answer(&mut asked, 1).members[2].acked_next = 0;
        let report = graded(&asked);
        assert_eq!(report.grade, grade, "{lacks}");
        let expected = format!("{}: {} lacks {lacks} entries", grade.name(), identity(3));
        let expected = if grade == HealthGrade::Good { vec![] } else { vec![expected] };
        assert_eq!(reasons(&report), expected);
        assert!(metrics(&report).starts_with(&format!("lag={lacks};10;20;0 ")), "{report:?}");
    }
}

#[test]
fn keys_are_a_warning_within_the_time_and_never_critical() {
    let until = Utc::day("2027-03-31").expect("a day");
    for (days_left, grade) in
        [(31, HealthGrade::Good), (30, HealthGrade::Warning), (-5, HealthGrade::Warning)]
    {
        let expiry = Expiry { generation: 0, until, days_left };
        let report = examine(&cluster(3, &[]), Some(expiry), |examined| examined.cluster(&THRESHOLDS));
        assert_eq!(report.grade, grade, "{days_left}");
        assert!(metrics(&report).ends_with(&format!(" key_days={days_left};31:")), "{report:?}");
        assert_eq!(reasons(&report).iter().any(|reason| reason.contains("2027-03-31")), days_left <= 30);
    }
}

#[test]
fn a_single_replica_is_graded_by_what_concerns_it_alone() {
    let mut asked = cluster(3, &[1]);
    answer(&mut asked, 2).conditions.push(active(Condition::Damaged, 1, 2));
    let of = |asked: &[QueryResult], replica| {
        examine(asked, None, |examined| examined.replica(replica, &THRESHOLDS))
    };
    let report = of(&asked, 1).expect("the file has it");
    assert_eq!(report.grade, HealthGrade::Critical);
    assert_eq!(report.summary, "replica 1 does not answer at 10.0.0.1:7003");
    assert_eq!(of(&asked, 2).expect("it answers").grade, HealthGrade::Critical);
    let report = of(&asked, 3).expect("it answers");
    assert_eq!(report.grade, HealthGrade::Good);
    assert_eq!(report.summary, format!("{} is standby of {}, epoch 3", identity(3), identity(1)));
    assert_eq!(metrics(&report), "lag=U;10;20;0 committed=49c;;;0 conditions=0;;;0", "nobody leads");
    assert!(of(&asked, 9).is_none());
    let mut asked = cluster(3, &[]);
    answer(&mut asked, 3).history = HISTORY + 1;
    assert_eq!(of(&asked, 3).expect("it answers").grade, HealthGrade::Critical);
}
