//! `lockstep wait` on real processes: it ends when something holds, or says what is missing.

use lockstep_testkit::processes::{Cluster, Process, cpu_shares};
use serde_json::Value;

fn kill(process: &mut Process) {
    process.signal("KILL");
    process.wait();
}

#[test]
fn a_command_that_waits_for_a_leader_ends_when_the_sequencers_that_start_have_one() {
    let cluster = Cluster::new(2, "");
    let nobody = cluster.run(&["wait", "--for", "leader", "--timeout", "200ms"], b"").with_code(4);
    nobody.saying(&["waited 200ms for leader in vain: ", "no quorum: 0 of 2 answer"]);
    let goals = ["leader", "quorum", "seq=1", "day=20261121"];
    let start = |goal: &&str| cluster.start(goal, &["wait", "--for", goal, "--timeout", "50s"]);
    let mut waiting: Vec<_> = goals.iter().map(start).collect();
    for (name, share) in cpu_shares(&waiting, std::time::Duration::from_secs(1)) {
        assert!(share < 0.05, "{name} uses {:.0} % of a core while it waits", share * 100.0);
    }
    let _replicas = cluster.found();
    for process in &mut waiting[..3] {
        assert_eq!(process.wait().code(), Some(0), "{}: {}", process.name(), process.log());
    }
    assert!(waiting[0].read_all().contains(" leads, epoch "));
    assert!(waiting[1].read_all().ends_with("; 2 of 2 members\n"));
    assert_eq!(waiting[2].read_all(), "seq 1 is committed\n");
    assert!(waiting[3].ended().is_none(), "no day has begun");
    cluster.run(&["day", "start", "20261121"], b"").with_code(0);
    assert_eq!(waiting[3].wait().code(), Some(0), "{}", waiting[3].log());
    assert!(waiting[3].read_all().starts_with("the trading day 20261121 begins at seq "));
}

#[test]
fn a_replica_that_comes_back_has_caught_up_when_the_command_ends_and_is_named_before() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    kill(&mut replicas[2]);
    cluster.publish(&"while it was away\n".repeat(300));
    let late = ["wait", "--for", "caught-up", "--timeout", "500ms"];
    cluster
        .run(&late, b"")
        .with_code(4)
        .saying(&["waited 500ms for caught-up in vain: ", "replica 3 does not answer at"]);
    cluster.run(&["wait", "--for", "caught-up", "--replica", "2"], b"").with_code(0);
    replicas[2] = cluster.start_replica(3);
    let out = cluster.run(&["wait", "--for", "caught-up", "--timeout", "50s"], b"").with_code(0).out;
    assert!(out.starts_with("replica 1, replica 2, replica 3 have everything up to seq "), "{out}");
    // It has this without the others.
    let of_3 = ["wait", "--for", "caught-up", "--replica", "3", "--json"];
    let value: Value = serde_json::from_str(&cluster.run(&of_3, b"").with_code(0).out).expect("JSON");
    assert_eq!((&value["for"], &value["holds"]), (&"caught-up".into(), &true.into()));
    kill(&mut replicas[1]);
    cluster.publish("by the one that came back\n");
}

#[test]
fn a_command_whose_time_is_over_names_what_is_missing() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    cluster.publish("one\n");
    cluster.run(&["day", "start", "20261121"], b"").with_code(0);
    let late = |goal: &str, says: &str| {
        let args = ["wait", "--for", goal, "--timeout", "1s", "--json"];
        let output = cluster.run(&args, b"").with_code(4);
        let value: Value = serde_json::from_str(&output.out).expect("JSON");
        assert_eq!(value["holds"], false, "{value}");
        assert!(value["what"].as_str().is_some_and(|what| what.contains(says)), "{value}");
        output.saying(&[&format!("waited 1s for {goal} in vain: "), says]);
    };
    late("seq=1000000", "the last committed seq is ");
    late("day=20261122", "the last day that begins there is 20261121, at seq ");
    for (wrong, says) in [
        (&["--for", "seq=0"][..], "a number from 1 on"),
        (&["--for", "nothing"], "caught-up, seq=N or day=NAME"),
        (&["--for", "leader", "--replica", "1"], "--replica goes with --for caught-up"),
        (&["--for", "caught-up", "--replica", "9"], "neither the file nor the membership"),
        (&[], "--for"),
    ] {
        cluster.run(&[&["wait"], wrong].concat(), b"").with_code(2).saying(&[says]);
    }
}
