//! A reader with a cursor of its own making, and the operator who acknowledges it.

use crate::cli::streams::cursor;
use lockstep_testkit::processes::{Cluster, PATIENCE};
use std::time::Instant;

#[test]
fn a_readers_wrong_cursor_is_a_warning_with_its_address_until_it_is_acknowledged() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    let read = cluster.read(&["--from", "oldest", "--count", "2"]);
    let cursor = cursor(&read.err);
    let history = cursor.split(':').next().expect("a history");
    let wrong = format!("{history}:9999999:0123456789abcdef");
    cluster.run(&["subscribe", "--from", &wrong], b"").with_code(3);

    let until = Instant::now() + PATIENCE;
    let health = loop {
        let health = cluster.run(&["health"], b"");
        if health.out.contains("LS1017") {
            break health;
        }
        assert!(Instant::now() < until, "{}", health.out);
    };
    assert_eq!(health.code, Some(1), "a warning: {}", health.out);
    assert!(health.out.contains("a reader at 127.0.0.1:"), "{}", health.out);
    let leader = &mut replicas[cluster.leader() as usize - 1];
    leader.await_log("LS1017");
    leader.await_log("a reader at 127.0.0.1:");

    let refused = cluster.run(&["ack", "LS1101"], b"").with_code(2);
    assert!(refused.err.contains("is a state of a node"), "{}", refused.err);
    let done = cluster.run(&["ack", "LS1017"], b"").with_code(0);
    assert!(done.out.contains("LS1017 is acknowledged: a reader at 127.0.0.1:"), "{}", done.out);
    let health = cluster.run(&["health"], b"");
    assert!(!health.out.contains("LS1017"), "{}", health.out);
    let again = cluster.run(&["ack", "reader_ahead"], b"").with_code(0);
    assert!(again.out.contains("no node that answers has LS1017 active"), "{}", again.out);
}
