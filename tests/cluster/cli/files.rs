//! Files of hosts that differ in what all must have alike: the host is named with key and both values.

use crate::cli::streams::SMALL;
use lockstep_testkit::processes::{Cluster, Outcome, command, run};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The cluster's group of acks, as the file has it, and another one.
fn groups(cluster: &Cluster) -> (SocketAddrV4, SocketAddrV4) {
    let [.., control] = cluster.groups();
    let [a, b, c, d] = control.ip().octets();
    let other = Ipv4Addr::new(a, b, c, d ^ 0x40);
    (control, SocketAddrV4::new(other, control.port()))
}

fn first_line(outcome: &Outcome) -> &str {
    outcome.out.lines().next().unwrap_or_default()
}

/// Looks until the first line of `status` has these words; a look that has them exits as degraded.
fn await_line(cluster: &Cluster, more: &[&str], words: &str) {
    let args: Vec<_> = ["status"].iter().chain(more).copied().collect();
    loop {
        let status = cluster.run(&args, b"");
        if first_line(&status).contains(words) {
            assert_eq!(status.code, Some(6), "{}", status.out);
            assert!(first_line(&status).starts_with("degraded: "), "{}", status.out);
            return;
        }
    }
}

#[test]
fn a_host_whose_file_has_another_group_is_named_with_both_values_until_it_is_corrected() {
    let cluster = Cluster::new(3, SMALL);
    let mut replicas = cluster.found();
    cluster.publish("before\n");
    let (control, other) = groups(&cluster);
    assert_eq!(replicas.remove(1).terminate(), Some(0));
    let mut wrong = cluster.start_replica_with(2, &["--set", &format!("lines.1.control={other}")]);
    let words = format!("replica 2: lines.1.control is {}, on 1 and 3 {}", other.ip(), control.ip());
    await_line(&cluster, &[], &words);
    // The node says so itself: in its log, its counters, and to a monitoring system.
    wrong.await_log("LS1022");
    let health = cluster.run(&["health"], b"").with_code(1).out;
    assert!(health.contains(&words), "{health}");
    let why = cluster.run(&["why"], b"").with_code(6).out;
    assert!(
        why.contains("files_differ: ") && why.contains("systemctl restart lockstep-sequencer@2"),
        "{why}"
    );
    let json = cluster.run(&["status", "--json"], b"").with_code(6).out;
    let status: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(status["reasons"].as_array().expect("reasons").iter().any(|reason| *reason == *words), "{json}");
    let counters = cluster.run(&["counters", "replica-2"], b"").out;
    let row = counters.lines().find(|line| line.contains("condition{condition=\"files_differ\"}"));
    assert_eq!(row.and_then(|row| row.split_whitespace().nth(1)), Some("1"), "{row:?}");
    for (of, text) in [("files_differ", "LS1022"), ("LS1022", "check --diff")] {
        let explained = run(command(&["explain", of]), b"").with_code(0).out;
        assert!(explained.contains(text), "{explained}");
    }
    assert_eq!(wrong.terminate(), Some(0));
    let _right = cluster.start_replica(2);
    while cluster.run(&["status"], b"").code != Some(0) {}
}

/// The file with which somebody asks is judged as the nodes' are.
#[test]
fn status_names_its_own_file_where_that_differs_from_all_nodes() {
    let cluster = Cluster::new(3, SMALL);
    let _replicas = cluster.found();
    let (control, other) = groups(&cluster);
    let set = format!("lines.1.control={other}");
    let words =
        format!("the file of this host: lines.1.control is {}, at the nodes {}", other.ip(), control.ip());
    await_line(&cluster, &["--set", &set], &words);
    while cluster.run(&["status"], b"").code != Some(0) {}
}
