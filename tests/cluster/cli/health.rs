//! `lockstep health` on real processes: one look, graded as monitors grade.

use lockstep_testkit::processes::{Cluster, Outcome};
use serde_json::Value;

/// Looks until the grade is `code`, which takes the leader a moment to notice.
#[track_caller]
fn await_grade(cluster: &Cluster, more: &[&str], code: i32) -> Outcome {
    let args = [&["health", "--timeout", "500ms"], more].concat();
    let mut last = cluster.run(&args, b"");
    for _ in 0..500 {
        if last.code == Some(code) {
            return last;
        }
        last = cluster.run(&args, b"");
    }
    last.with_code(code)
}

/// The numbers behind the bar of the first line, by label.
fn numbers(out: &str) -> Vec<(String, String)> {
    let first = out.lines().next().expect("a line");
    let (_, numbers) = first.split_once(" | ").unwrap_or_else(|| panic!("no bar in {first}"));
    let pair = |text: &str| text.split_once('=').map(|(label, value)| (label.to_owned(), value.to_owned()));
    numbers.split(' ').map(|text| pair(text).unwrap_or_else(|| panic!("{text} is no number"))).collect()
}

#[test]
fn a_cluster_is_good_then_lacks_a_member_then_a_quorum_and_each_look_says_why() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    let good = await_grade(&cluster, &["--format", "nagios"], 0).out;
    assert!(good.starts_with("LOCKSTEP OK - replica 1 leads epoch 1 "), "{good}");
    assert!(good.contains("; 3 of 3 members, 1 may crash | ") && good.lines().count() == 1, "{good}");
    let labels: Vec<_> = numbers(&good).into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, ["lag", "members", "spare", "committed", "conditions", "epoch_age"]);
    assert!(numbers(&good).contains(&("members".to_owned(), "3;3:;2:;0;3".to_owned())), "{good}");
    cluster.run(&["health", "--spare-warn", "2"], b"").with_code(1);
    cluster.run(&["health", "--replica", "3"], b"").with_code(0);

    replicas[2].signal("KILL");
    replicas[2].wait();
    let warning = await_grade(&cluster, &[], 1).out;
    assert!(warning.starts_with("LOCKSTEP WARNING - replica 1 leads") && !warning.contains('|'), "{warning}");
    assert!(warning.contains("does not answer at 127.0.0.1:"), "{warning}");
    cluster.run(&["health", "--replica", "2"], b"").with_code(0);
    let alone = cluster.run(&["health", "--replica", "3"], b"").with_code(2).out;
    assert!(alone.starts_with("LOCKSTEP CRITICAL - replica 3 does not answer at"), "{alone}");
    await_grade(&cluster, &["--spare-crit", "1"], 2);

    replicas[1].signal("KILL");
    replicas[1].wait();
    replicas[0].await_log("leader -> standby");
    let critical = await_grade(&cluster, &["--format", "json"], 2).out;
    let value: Value = serde_json::from_str(&critical).expect("JSON");
    assert_eq!((&value["grade"], &value["exit_code"]), (&"CRITICAL".into(), &2.into()), "{critical}");
    assert!(value["summary"].as_str().is_some_and(|text| text.contains("no quorum")), "{critical}");
    let reasons = value["reasons"].as_array().expect("a list");
    let silent = reasons
        .iter()
        .filter(|reason| reason["what"].as_str().is_some_and(|what| what.contains("does not answer")));
    assert_eq!(silent.count(), 2, "{critical}");

    replicas[0].signal("KILL");
    replicas[0].wait();
    let nobody = cluster.run(&["health", "--timeout", "300ms"], b"").with_code(2).out;
    assert!(nobody.starts_with("LOCKSTEP CRITICAL - no quorum: 0 of 3 answer"), "{nobody}");
}

/// A monitor that cannot look knows nothing of the cluster, and must not report it as dead.
#[test]
fn a_look_that_fails_is_unknown_and_no_alarm_of_the_cluster() {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    await_grade(&cluster, &[], 0);
    let unknown = |more: &[&str], says: &str| {
        let args = [&["health", "--timeout", "300ms"], more].concat();
        let out = cluster.run(&args, b"").with_code(3).out;
        let first = out.lines().next().unwrap_or_default();
        assert!(first.starts_with("LOCKSTEP UNKNOWN - ") && out.contains(says), "{more:?}: {out}");
    };
    unknown(&["--set", "security.mode=none"], "does not answer queries");
    unknown(&["--set", "timing.heartbeat_interval=5"], "LS0105");
    unknown(&["--replica", "9"], "neither the file nor the membership");
    unknown(&["--lag-crit", "5"], "below --lag-warn 10000");
    unknown(&["--lag-warn", "many"], "--lag-warn");
    unknown(&["--no-such-flag"], "--no-such-flag");
    let missing = lockstep_testkit::processes::command(&["health", "--config", "/nowhere/lockstep.toml"]);
    let out = lockstep_testkit::processes::run(missing, b"").with_code(3).out;
    assert!(out.starts_with("LOCKSTEP UNKNOWN - ") && out.contains("/nowhere/lockstep.toml"), "{out}");
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

#[test]
fn keys_that_are_to_be_replaced_are_a_warning_with_the_days_that_are_left() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    await_grade(&cluster, &[], 0);
    cluster.run(&["keys", "expire", "0", "2020-01-01"], b"").with_code(0);
    let out = await_grade(&cluster, &["--format", "nagios"], 1).out;
    assert!(out.contains("\nWARNING: the keys of generation 0 were to be replaced by 2020-01-01"), "{out}");
    assert!(out.contains(" key_days=-") && out.contains(";31:\n"), "{out}");
}
