//! An archiver, and what a reader gets who comes late.

use crate::cli::streams::{SMALL, cursor, lines};
use lockstep_testkit::processes::{Cluster, payloads};

#[test]
fn an_archiver_that_joins_late_has_the_whole_stream_serves_it_alone_and_is_never_a_member() {
    let cluster = Cluster::new(3, SMALL);
    cluster.add_archiver(101, "compression = \"lz4\"\n");
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 4_000));
    let mut archiver = cluster.start_archiver(101);
    archiver.await_log("they are read from a journal");
    cluster.publish(&lines(4_000, 4_500));
    archiver.await_log("was packed");

    // Readers from the first seq, from the oldest, and from a cursor, equal each other.
    let whole = cluster.read(&["--from", "1"]);
    let oldest = cluster.read(&["--from", "oldest"]);
    assert_eq!((payloads(&whole.out).len(), whole.digest()), (4_500, oldest.digest()));
    let begun = cluster.run(&["subscribe", "--count", "1003"], b"").with_code(0);
    let rest = cluster.read(&["--from", &cursor(&begun.err)]);
    let joined = format!("{}{}", begun.out, rest.out);
    assert_eq!(joined, whole.out, "no hole, no repeat");

    let status = cluster.run(&["status"], b"").with_code(0).out;
    let row = status.lines().find(|line| line.starts_with("101:")).unwrap_or_else(|| panic!("{status}"));
    assert!(row.contains("learner") && status.contains("members  3, 3 available"), "{status}");
    let identity = row.split_whitespace().next().expect("an identity").to_owned();
    let add = ["membership", "add", &identity, "--address", "127.0.0.1:9"];
    cluster.run(&add, b"").with_code(2).saying(&["101 is an archiver's number", "never a member"]);

    // It does not count: two of three replicas gone, and nothing is committed.
    for replica in replicas.drain(1..) {
        assert_eq!(replica.terminate(), Some(0));
    }
    let waits = ["publish", "--name", "orders", "--timeout", "500ms"];
    cluster.run(&waits, b"x\n").with_code(4);
    assert_eq!(archiver.terminate(), Some(0));
    let verified = cluster.run(&["format", "--archiver", "101", "--verify"], b"").with_code(0).out;
    assert!(verified.contains("no damage"), "{verified}");
}

#[test]
fn a_cursor_of_another_log_and_a_number_that_is_none_are_refused_by_name() {
    let cluster = Cluster::new(1, SMALL);
    let _replicas = cluster.found();
    cluster.publish(&lines(0, 3_000));
    let begun = cluster.run(&["subscribe", "--count", "10"], b"").with_code(0);
    let cursor = cursor(&begun.err);
    let (front, chain) = cursor.rsplit_once(':').expect("three parts");
    let flipped = u64::from_str_radix(chain, 16).expect("hex") ^ 1;
    let other_log = format!("{front}:{flipped:016x}");
    let refused = cluster.run(&["subscribe", "--from", &other_log, "--timeout", "60s"], b"").with_code(3);
    refused.saying(&["the chain at that seq differs", "--from oldest"]);
    let (_, seq_and_chain) = cursor.split_once(':').expect("three parts");
    let other_life = format!("1234:{seq_and_chain}");
    let refused = cluster.run(&["subscribe", "--from", &other_life, "--timeout", "60s"], b"").with_code(3);
    refused.saying(&["another history", "founded anew"]);
    cluster.run(&["subscribe", "--from", "b1:7"], b"").with_code(2).saying(&["HISTORY:SEQ:CHAIN"]);
    cluster
        .run(&["archiver", "--archiver", "9"], b"")
        .with_code(2)
        .saying(&["no archiver 9", "[[archivers]]"]);
}

#[test]
fn a_damaged_packed_segment_is_named_by_verify() {
    let cluster = Cluster::new(1, SMALL);
    cluster.add_archiver(7, "compression = \"lz4\"\n");
    let _replicas = cluster.found();
    let mut archiver = cluster.start_archiver(7);
    cluster.publish(&lines(0, 4_000));
    archiver.await_log("segment 1 was packed");
    assert_eq!(archiver.terminate(), Some(0));
    let file = cluster.path("journal-7/segments/0000000001.lz4");
    let mut bytes = std::fs::read(&file).expect("a packed segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("writing");
    let damaged = cluster.run(&["format", "--archiver", "7", "--verify"], b"").with_code(3);
    damaged.saying(&["segments/0000000001.lz4", "damaged at byte", "checksum"]);
}
