//! `lockstep events`: what all nodes report of a takeover, in the order of time.

use lockstep_testkit::processes::Cluster;
use serde_json::Value;

/// The lines of `events --json` with these flags: the events, and what is reported of the sources.
fn events(cluster: &Cluster, flags: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let output = cluster.run(&[&["events", "--json"], flags].concat(), b"").with_code(0).out;
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.partition(|line| line["schema"] == "lockstep.event/1")
}

/// The place of the first event of this process with this code and text.
fn place(events: &[Value], process: &str, code: &str, text: &str) -> usize {
    let is_it = |event: &Value| {
        let says = event["text"].as_str().is_some_and(|words| words.contains(text));
        event["process"] == process && event["code"] == code && says
    };
    let found = events.iter().position(is_it);
    found.unwrap_or_else(|| panic!("no {code} {text} of {process} in {events:#?}"))
}

/// All events, the newest two, and all as text, of one moment: between two readings that are alike nothing
/// has happened, as may be on a busy host.
fn events_of_one_moment(cluster: &Cluster) -> (Vec<Value>, Vec<Value>, String) {
    loop {
        let (now, _) = events(cluster, &[]);
        let (newest, _) = events(cluster, &["--last", "2"]);
        let text =
            cluster.run(&["events"], b"").with_code(0).saying(&["replica-1: process ", " has ended"]).out;
        if events(cluster, &[]).0 == now {
            return (now, newest, text);
        }
    }
}

#[test]
fn a_takeover_is_told_by_all_nodes_in_the_order_of_time_and_the_dead_leaders_file_tells_its_last_events() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    replicas[1].await_log("-> standby");
    replicas[2].await_log("-> standby");
    replicas[0].signal("KILL");
    replicas[0].wait();
    cluster.run(&["wait", "--for", "leader", "--timeout", "40s"], b"").with_code(0);
    cluster.publish("under the second leader\n");

    let (all, sources) = events(&cluster, &[]);
    let times: Vec<_> = all.iter().map(|event| event["time_ns"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted(), "{all:#?}");
    let mut numbers: Vec<_> = all.iter().map(|event| (&event["ring"], event["number"].as_u64())).collect();
    let count = numbers.len();
    numbers.sort_by_key(|(ring, number)| (ring.as_str(), *number));
    numbers.dedup();
    assert_eq!(numbers.len(), count, "an event is told once");

    // The dead leader's own, then the suspicion, the election, and the new leader.
    let led = place(&all, "replica-1", "LS1001", "-> leader");
    let leader = ["replica-2", "replica-3"];
    let leads = |process: &&&str| {
        all.iter().any(|event| {
            event["process"] == ***process
                && event["text"].as_str().is_some_and(|text| text.contains("-> leader"))
        })
    };
    let second = leader.iter().find(leads).expect("a second leader");
    let suspected = all.iter().position(|event| event["code"] == "LS1004").expect("a suspicion");
    let candidate = place(&all, second, "LS1005", "requests promises for epoch");
    let elected = place(&all, second, "LS1001", "-> leader");
    assert!(led < suspected && suspected < candidate && candidate < elected, "{all:#?}");
    for state in ["ended", "silent"] {
        let source = sources.iter().find(|source| source["state"] == state).expect(state);
        assert_eq!(source["process"], "replica-1");
    }

    // Filters.
    let (errors, _) = events(&cluster, &["--level", "error"]);
    assert_eq!(errors, Vec::<Value>::new());
    let (suspicions, _) = events(&cluster, &["--code", "LS1004", "--code", "1005", "--level", "warn"]);
    assert!(!suspicions.is_empty() && suspicions.iter().all(|event| event["code"] == "LS1004"));
    let (of_one, _) = events(&cluster, &["--replica", "1"]);
    assert!(!of_one.is_empty() && of_one.iter().all(|event| event["process"] == "replica-1"));
    let (now, newest, text) = events_of_one_moment(&cluster);
    assert_eq!(newest, now[now.len() - 2..]);
    assert_eq!(text.lines().count(), now.len());
    assert!(text.contains(" INFO LS1001 replica-1   blank -> leader in epoch "), "{text}");

    // A node whose file is not here is asked, page by page, and tells the same.
    let of_two = |event: &&Value| event["process"] == "replica-2";
    std::fs::remove_file(cluster.path("counters-2.events")).expect("a file of events");
    let (asked, _) = events(&cluster, &["--replica", "2"]);
    assert!(asked.iter().all(|event| event["pid"].is_null()), "{asked:#?}");
    let known: Vec<_> = all.iter().filter(of_two).map(|event| (&event["number"], &event["text"])).collect();
    let seen: Vec<_> = asked.iter().map(|event| (&event["number"], &event["text"])).collect();
    assert!(seen.starts_with(&known), "{known:?} {seen:?}");
    let (local, _) = events(&cluster, &["--local", "--replica", "2"]);
    assert_eq!(local, Vec::<Value>::new());

    // A process that is started again does not take the place of what the one before has recorded.
    replicas[0] = cluster.start_replica(1);
    replicas[0].await_log("-> standby");
    let (again, _) = events(&cluster, &["--replica", "1"]);
    place(&again, "replica-1", "LS1001", "-> leader");
    assert!(again.iter().any(|event| event["ring"] != again[0]["ring"]), "{again:#?}");
}

#[test]
fn events_are_followed_as_they_happen() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    replicas[2].await_log("-> standby");
    let mut follower = cluster.start("follower", &["events", "--follow", "--code", "LS1004"]);
    // Nothing was suspected before: the first line is of what happens now.
    replicas[0].signal("KILL");
    replicas[0].wait();
    let line = String::from_utf8(follower.read_stdout(52)).expect("text");
    assert!(line.contains("Z  WARN LS1004 replica-"), "{line}");
}

#[test]
fn events_asked_for_wrongly_say_what_to_write() {
    let cluster = Cluster::new(1, "");
    cluster.run(&["events"], b"").with_code(4).saying(&["no replica or archiver of this configuration"]);
    cluster.run(&["events", "--replica", "9"], b"").with_code(2).saying(&["no such replica", "it has 1"]);
    cluster.run(&["events", "--code", "x"], b"").with_code(2).saying(&["like LS1004"]);
    cluster.run(&["events", "--level", "loud"], b"").with_code(2).saying(&["--level"]);
}
