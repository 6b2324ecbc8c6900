//! Traffic that was recorded and is sent again, as it was: it is sealed by right keys, and old.
//! `LOCKSTEP_RECORDED=N` publishes N messages in each of its four parts instead of a few.

use super::attacker::Attacker;
use super::{all_run, refused};
use lockstep_testkit::processes::{Cluster, payloads};
use std::sync::atomic::{AtomicBool, Ordering};

/// Messages of one part of the session.
const FEW: u32 = 300;
/// Most datagrams that are recorded of one group, for each of them.
const RECORDED_MAX: usize = 64;

/// A session with two leaders, recorded whole, and sent twice into the next one: the submissions, the stream,
/// acks, ballots and step-downs.
#[test]
fn a_session_that_was_recorded_and_is_sent_again_has_no_effect() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let attacker = Attacker::near(&cluster);
    let over = AtomicBool::new(false);
    let few = std::env::var("LOCKSTEP_RECORDED").ok().and_then(|few| few.parse().ok()).unwrap_or(FEW);
    let lines = |part: u32| -> String {
        (part * few + 1..=(part + 1) * few).map(|number| format!("order {number}\n")).collect()
    };
    let recorded = std::thread::scope(|scope| {
        let recorder = scope.spawn(|| attacker.record(&over, RECORDED_MAX * few as usize));
        cluster.publish(&lines(0));
        cluster.run(&["handover"], b"").with_code(0);
        cluster.publish(&lines(1));
        over.store(true, Ordering::Release);
        recorder.join().expect("the recorder")
    });
    let kinds = recorded.iter().map(|(_, bytes)| bytes[5]).collect::<std::collections::BTreeSet<_>>();
    println!("{} datagrams of kinds {kinds:?}", recorded.len());
    assert!(kinds.is_superset(&[1, 2, 3, 4].into()), "frames, heartbeats, submissions and acks: {kinds:?}");

    for part in [2, 3] {
        std::thread::scope(|scope| {
            let again = scope.spawn(|| attacker.send_again(&recorded));
            cluster.publish(&lines(part));
            again.join().expect("the attacker");
        });
        all_run(&mut replicas);
        let status = cluster.run(&["status"], b"");
        assert_eq!(status.code, Some(0), "after part {part}: {}{}", status.out, status.err);
    }
    let (committed, stamped) = (cluster.read(&["--committed"]), cluster.read(&["--stamped"]));
    let expected: Vec<String> = (1..=4 * few).map(|number| format!("order {number}")).collect();
    assert_eq!(payloads(&committed.out), expected, "each once, and in order");
    assert_eq!(committed.digest(), stamped.digest());
    println!(
        "of them {} were counted as refused",
        refused(&cluster, &["rejected{reason=\"tag\"}", "rejected{reason=\"generation\"}"])
    );
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}
