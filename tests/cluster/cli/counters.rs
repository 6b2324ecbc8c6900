//! `lockstep counters`: what every process of a host counts.

use lockstep_testkit::processes::Cluster;
use serde_json::Value;

#[test]
fn what_every_process_counts_is_told_by_group_with_unit_and_meaning_also_of_a_dead_one() {
    let cluster = Cluster::new(2, "");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    // A process stores its counts ten times a second.
    let counted = || cluster.run(&["counters"], b"").with_code(0).out;
    let text = (0..1_000).map(|_| counted()).find(|text| text.contains("Entries stamped."));
    let text = text.unwrap_or_else(counted);
    for word in ["replica-1: process ", "replica-2: process ", "  engine\n", "  udp\n", "Entries stamped."] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains(" 0    "), "what is 0 is left out: {text}");

    replicas[1].signal("KILL");
    replicas[1].wait();
    let output = cluster.run(&["counters", "replica-2", "--json", "--all"], b"").with_code(0);
    let report: Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(report["schema"], "lockstep.counters/2");
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 1);
    assert_eq!((&processes[0]["process"], &processes[0]["life"]), (&"replica-2".into(), &"ended".into()));
    let counters = processes[0]["counters"].as_array().expect("counters");
    let named = |name: &str| counters.iter().find(|row| row["name"] == name).expect("a counter");
    assert_eq!(
        (&named("frames_out_bytes")["unit"], &named("frames_out_bytes")["kind"]),
        (&"B".into(), &"counter".into())
    );
    assert_eq!(named("condition{condition=\"disk_full\"}")["kind"], "gauge");
    assert_eq!((&named("role")["state"], &named("leader")["value"]), (&"standby".into(), &1.into()));
    assert_eq!((&named("members")["value"], &named("quorum")["value"]), (&2.into(), &2.into()));
    assert!(counters.iter().all(|row| row["meaning"].as_str().is_some_and(|text| !text.is_empty())));

    let rates =
        cluster.run(&["counters", "replica-1", "--rates=200ms", "--group", "engine"], b"").with_code(0);
    let cycles = rates.out.lines().find(|line| line.contains("duty_cycles"));
    assert!(cycles.is_some_and(|line| line.contains("/s ")), "{}", rates.out);

    let metrics = cluster.run(&["counters", "--prometheus", "--group", "engine"], b"").with_code(0).out;
    assert!(metrics.contains("# TYPE lockstep_stamped_total counter\n"), "{metrics}");
    assert!(metrics.contains("lockstep_stamped_total{process=\"replica-1\"} "), "{metrics}");
    assert!(!metrics.contains("lockstep_udp_"), "{metrics}");
}

#[test]
fn counters_asked_for_wrongly_say_what_there_is() {
    let cluster = Cluster::new(1, "");
    cluster
        .run(&["counters"], b"")
        .with_code(4)
        .saying(&["no process of this configuration has run", "--counters"]);
    drop(cluster.found());
    cluster.run(&["counters", "--group", "disk"], b"").with_code(2).saying(&[
        "no such group",
        "engine",
        "udp",
    ]);
    cluster.run(&["counters", "gateway"], b"").with_code(2).saying(&["called 'gateway'", "replica-1"]);
    cluster.run(&["counters", "--counters", "/nowhere/file"], b"").with_code(1).saying(&["/nowhere/file"]);
    cluster.run(&["counters", "--json", "--prometheus"], b"").with_code(2).saying(&["cannot be used with"]);
}
