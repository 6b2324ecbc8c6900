//! `lockstep losses`: what a cluster on a bad network tells of it.

use lockstep_testkit::processes::Cluster;
use serde_json::Value;

/// Half of the loss is injected, none of it reaches a reader, and all of it can be looked up.
#[test]
fn what_the_replicas_lost_is_told_with_its_cause_its_repairer_and_its_time() {
    let cluster = Cluster::new(3, "[fault_injection]\nloss = \"10%\"\nseed = 3\n");
    let _replicas = cluster.found();
    let text: String = (1..=500).map(|number| format!("order {number}\n")).collect();
    (0..4).for_each(|_| drop(cluster.publish(&text)));
    assert_eq!(cluster.read(&["--committed"]).out.lines().count(), 2_000);

    let output = cluster.run(&["losses", "--json"], b"").with_code(0);
    let report: Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(report["schema"], "lockstep.losses/2");
    let replicas = report["replicas"].as_array().expect("replicas");
    assert_eq!(replicas.len(), 3);
    let sum =
        |name: &str| -> u64 { replicas.iter().map(|row| row["sums"][name].as_u64().unwrap_or(0)).sum() };
    assert!(sum("fault_injection_lost") > 0 && sum("loss_gaps") > 0, "{report}");
    let closed = ["loss_repaired_by_others", "loss_repaired_by_leader", "loss_came_late", "loss_gone"];
    let causes = ["loss_by_line", "loss_by_socket", "loss_by_stall", "loss_by_unsent"];
    let [closed, by_cause] = [&closed, &causes].map(|names| names.iter().map(|name| sum(name)).sum::<u64>());
    assert!(closed > 0 && by_cause > 0, "{report}");
    let repairs: u64 = replicas.iter().filter_map(|row| row["repairs"]["count"].as_u64()).sum();
    assert_eq!(repairs, closed, "each that was closed has its time");
    let recent: Vec<&Value> = replicas.iter().filter_map(|row| row["recent"].as_array()).flatten().collect();
    let repaired: Vec<_> = recent.iter().filter(|loss| loss["closed"] == "repaired").collect();
    assert!(!repaired.is_empty(), "{report}");
    // One that is found and filled within one turn took no time that the turn's clock could tell.
    assert!(repaired.iter().any(|loss| loss["took_ns"].as_u64() > Some(0)), "{report}");
    for loss in repaired {
        assert!(loss["by"].is_string() && loss["took_ns"].is_u64(), "{loss}");
        assert!(loss["entries"].as_u64() > Some(0) && loss["ago_ns"].as_u64() >= loss["took_ns"].as_u64());
    }

    let text = cluster.run(&["losses", "--replica", "2"], b"").with_code(0).out;
    for word in ["replica 2, process ", "  why     line ", "  closed  repaired by others ", "lost on purpose"]
    {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn losses_without_a_counters_file_say_which_were_looked_for_and_what_to_do() {
    let cluster = Cluster::new(1, "");
    let output = cluster.run(&["losses"], b"").with_code(4);
    output.saying(&["no replica of this configuration has run on this host", "--counters"]);
    let other = cluster.run(&["losses", "--replica", "9"], b"").with_code(2);
    other.saying(&["no replica 9"]);
    let missing = cluster.run(&["losses", "--counters", "/nowhere/counters"], b"").with_code(1);
    missing.saying(&["read the counters file /nowhere/counters"]);
    let path = cluster.path("none");
    std::fs::write(&path, [7; 100]).expect("a file");
    let wrong = cluster.run(&["losses", "--counters", &path.display().to_string()], b"").with_code(1);
    wrong.saying(&["it is no counters file of lockstep"]);
}
