//! `lockstep time`: a stream whose time is ahead is named, set back by the operator's order, and read by all.

use crate::cli::streams::{SMALL, json, lines};
use lockstep_io::clock::Utc;
use lockstep_testkit::processes::Cluster;
use serde_json::Value;
use std::fs;

/// How far ahead: an import takes no more than a minute.
const AHEAD_NS: u64 = 55_000_000_000;

/// A cluster of one whose stream is so far ahead by its last message.
pub fn ahead_by(ahead_ns: u64) -> (Cluster, u64) {
    ahead_on(Cluster::new(1, SMALL), ahead_ns)
}

/// Gives replica 1 of `other` such a stream, which is made of an exported log.
pub fn ahead_on(other: Cluster, ahead_ns: u64) -> (Cluster, u64) {
    let cluster = Cluster::new(1, SMALL);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 5));
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    let file = cluster.path("log.json").display().to_string();
    cluster.run(&["journal", "export", "--replica", "1", "--to-file", &file], b"").with_code(0);
    let mut all: Vec<Value> = fs::read_to_string(&file).expect("a file").lines().map(json).collect();
    let last = all.iter_mut().rfind(|line| line["kind"] == "message").expect("a message");
    let ahead = Utc::now().0 + ahead_ns;
    last["timestamp_ns"] = ahead.into();
    let seq = last["seq"].as_u64().expect("a seq") as usize;
    all.truncate(seq);
    fs::write(&file, all.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("written");
    other
        .run(&["journal", "import", &file, "--replica", "1", "--yes", "--timeout", "10ms"], b"")
        .with_code(0);
    (other, ahead)
}

#[test]
fn a_stream_whose_time_ran_ahead_is_set_back_by_the_operators_order() {
    let (cluster, ahead) = ahead_by(AHEAD_NS);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    let shown = cluster.run(&["time"], b"").with_code(0).out;
    assert!(shown.contains("ahead, and stands still") && shown.contains("--correct"), "{shown}");
    let done = cluster.run(&["time", "--correct"], b"").with_code(0).out;
    assert!(done.contains(&format!("went back from {} to", Utc(ahead))), "{done}");
    replica.await_log("LS1032");
    let shown = cluster.run(&["time"], b"").with_code(0).out;
    assert!(shown.contains("nothing to correct"), "{shown}");
    cluster.run(&["time", "--correct"], b"").with_code(1).saying(&["there is nothing to set back"]);
    cluster.publish("right\n");

    let events = cluster.run(&["subscribe", "--events", "--json", "--from", "1", "--until-end"], b"");
    let all: Vec<Value> = events.with_code(0).out.lines().map(json).collect();
    let order = all.iter().find(|line| line["order"] == "time").unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(order["time_before_ns"], ahead);
    let after = order["time_ns"].as_u64().expect("a time");
    assert!(after < ahead, "{order}");

    let audit = cluster.run(&["audit"], b"").with_code(0).out;
    assert!(audit.contains(&format!("time back from {}", Utc(ahead))), "{audit}");
    // Entries before a time are found also where the stream was ahead of it in between.
    let until = Utc(after + 50_000_000_000).to_string();
    let dump = ["journal", "dump", "--replica", "1", "--until", &until];
    let dumped = loop {
        let dumped = cluster.run(&dump, b"").with_code(0).out;
        if dumped.contains("right") {
            break dumped;
        }
    };
    assert!(!dumped.contains(lines(4, 5).trim_end()), "that one is of a later time: {dumped}");
}
