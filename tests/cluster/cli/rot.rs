//! Bits that change in stored segments while their node runs.

use crate::cli::streams::{SMALL, lines};
use lockstep_testkit::processes::Cluster;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// One bit of the file is another one from now on.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reading");
    file.write_all_at(&[byte[0] ^ 0x20], at).expect("writing");
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_is_logged_counted_and_told_by_status() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 3_000));
    flip(&cluster.path("journal-1/segments/0000000001.seg"), 500_000);
    let replica = &mut replicas[0];
    replica.await_log("segments/0000000001.seg is damaged at byte");
    replica.await_log("LS1104");
    let output = cluster.run(&["status"], b"").with_code(6).out;
    assert!(output.contains("1 stored segments are damaged"), "{output}");
    // A damaged record is given to nobody, and a reader is told so.
    let refused = cluster.run(&["subscribe", "--from", "1", "--count", "3000", "--timeout", "20s"], b"");
    assert!(refused.code != Some(0) && refused.err.contains("damaged"), "{}", refused.err);
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    cluster.run(&["format", "--replica", "1", "--verify"], b"").with_code(3).saying(&["damaged at byte"]);
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_is_mended_from_another_journal() {
    let cluster = Cluster::new(3, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 3_000));
    let path = cluster.path("journal-3/segments/0000000001.seg");
    // Segments are written behind the log; what has a successor is sealed.
    while !cluster.path("journal-3/segments/0000000002.seg").exists() {
        cluster.publish("one more\n");
    }
    let whole = std::fs::read(&path).expect("a segment");
    for at in [300_000, 700_000] {
        flip(&path, at);
    }
    replicas[2].await_log("segments/0000000001.seg is damaged at byte");
    replicas[2].await_log("segment 1 is whole again");
    // The mark of its last group may be another one.
    let mended = std::fs::read(&path).expect("a segment");
    assert!(mended.len() == whole.len() && mended[..whole.len() - 40] == whole[..whole.len() - 40]);
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    let verified = cluster.run(&["format", "--replica", "3", "--verify"], b"").with_code(0).out;
    assert!(verified.contains("no damage"), "{verified}");
}
