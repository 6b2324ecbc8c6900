//! Leaders that fail again and again are a cause that `status` names; handovers are none.

use crate::cli::streams::SMALL;
use lockstep_testkit::processes::{Cluster, Process};

/// Waits until there is no problem: fewer failures than that are no cause.
fn await_calm(cluster: &Cluster) {
    while cluster.run(&["status"], b"").code != Some(0) {}
}

/// The leader stands still until another one leads. Returns who it was.
fn fail_leader(cluster: &Cluster, replicas: &[Process]) -> u32 {
    let failed = cluster.leader();
    replicas[failed as usize - 1].signal("STOP");
    while cluster.leader() == failed {}
    replicas[failed as usize - 1].signal("CONT");
    failed
}

#[test]
fn the_fourth_leader_that_fails_within_ten_minutes_is_a_cause_and_handovers_are_none() {
    let cluster = Cluster::new(3, SMALL);
    let replicas = cluster.found();
    for _ in 0..4 {
        cluster.run(&["handover"], b"").with_code(0);
        await_calm(&cluster);
    }
    for _ in 0..3 {
        fail_leader(&cluster, &replicas);
        await_calm(&cluster);
    }
    fail_leader(&cluster, &replicas);
    let words = "within ten minutes";
    let line = loop {
        let status = cluster.run(&["status"], b"");
        if let Some(line) = status.out.lines().next().filter(|line| line.contains(words)) {
            break line.to_owned();
        }
    };
    assert!(line.starts_with("degraded: "), "{line}");
    let why = cluster.run(&["why"], b"").with_code(6).out;
    assert!(why.contains("takeovers_often: ") && why.contains("lockstep events --code LS1004"), "{why}");
}
