//! REJOIN-1: a replica that cannot prove its journal complete comes back as a member without a hand: after a
//! power cut of its host, with a new disk, with a journal that was rolled back. Nothing committed is lost, no
//! identity counts twice, and where it must not rejoin it says why.

use crate::cli::streams::lines;
use crate::joining::{
    has_log_of, info, is_healthy, kill, member, members, number, overtake_the_third, until,
};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Process, command, run};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The default, which this kit's clusters leave out otherwise.
const AUTO: &str = "[journal]\nrejoin = \"auto\"\ntail_size = \"1MiB\"\nsegment_size = \"1MiB\"\n\n[stream]\nwindow_bytes = \"256KiB\"\n";

/// What becomes of the host of a replica that was killed.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// Its memory is gone: the tail with it.
    Power,
    /// Its disk is new: the folder is empty, and the memory is gone.
    Disk,
    /// Its disk is one of before: a copy of the journal that is older than the tail knows.
    RolledBack,
    /// The same, and the memory is gone.
    RolledBackAndPower,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("copied")),
        }
    }
}

/// Kills `process`, which is replica `id`; what is left when it starts again.
fn strike(cluster: &Cluster, id: u32, process: Process, blow: Blow) {
    let (journal, tail) = (cluster.path(&format!("journal-{id}")), cluster.path(&format!("tail-{id}")));
    let before = cluster.path("before");
    if matches!(blow, Blow::RolledBack | Blow::RolledBackAndPower) {
        process.signal("STOP");
        copy(&journal, &before);
        process.signal("CONT");
        cluster.publish(&lines(0, 400));
        // It stores what the copy lacks: else that would be complete.
        let next = |id| number(&info(cluster, id), "next");
        until("what was published", || next(id) >= next(1 + id % 3));
    }
    kill(process);
    if !matches!(blow, Blow::RolledBack) {
        fs::remove_file(&tail).expect("a tail");
    }
    match blow {
        Blow::Power => {}
        Blow::Disk => {
            fs::remove_dir_all(&journal).expect("a journal");
            fs::create_dir(&journal).expect("a folder");
        }
        Blow::RolledBack | Blow::RolledBackAndPower => {
            fs::remove_dir_all(&journal).expect("a journal");
            fs::rename(&before, &journal).expect("moved");
        }
    }
}

/// Both have the same log, as far as the first has one.
fn are_equal(cluster: &Cluster, id: u32, of: u32) {
    let next = number(&info(cluster, of), "next");
    until("its segments", || number(&info(cluster, id), "next") >= next);
    let [ours, theirs] = [id, of].map(|id| cluster.path(&format!("journal-{id}")).display().to_string());
    let diff = run(command(&["journal", "diff", &theirs, &ours]), b"").with_code(0).out;
    assert!(diff.starts_with("equal from seq 1 to "), "{diff}");
}

#[test]
fn a_replica_that_lost_power_disk_or_days_is_a_member_again_without_a_hand() {
    let cluster = Cluster::new(3, AUTO);
    let mut replicas = cluster.found();
    let (mut seen, mut published) = (BTreeSet::from_iter(members(&cluster)), 0);
    let blows = [Blow::Power, Blow::Disk, Blow::RolledBack, Blow::RolledBackAndPower];
    for round in 0..amount(1, 25) {
        for (at, blow) in blows.into_iter().enumerate() {
            // Each replica in turn, the leader as well.
            let id = 1 + ((round + at) % 3) as u32;
            let of = 1 + id % 3;
            let dead = member(&cluster, id);
            let what = format!("round {round}, {blow:?} of {dead}");
            let slot = id as usize - 1;
            let process = replicas.remove(slot);
            strike(&cluster, id, process, blow);
            cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
            cluster.publish(&lines(published, published + 300));
            published += 300;
            replicas.insert(slot, cluster.start_replica(id));
            replicas[slot].await_log(&format!("is a member in the place of {dead}"));
            let new = member(&cluster, id);
            assert!(seen.insert(new.clone()), "{what}: {new} is there for the second time");
            let listed = members(&cluster);
            assert!(listed.len() == 3 && !listed.contains(&dead), "{what}: {listed:?}");
            is_healthy(&cluster);
            cluster.publish(&lines(published, published + 50));
            published += 50;
            are_equal(&cluster, id, of);
            let aside = cluster.path(&format!("journal-{id}/aside"));
            assert_eq!(aside.join("superblock").exists(), !matches!(blow, Blow::Disk), "{what}");
        }
    }
    // It votes: one more may be lost.
    kill(replicas.remove(0));
    cluster.publish(&lines(published, published + 50));
}

/// It was away for longer than the others keep. Its unit starts it again when it ends.
#[test]
fn a_replica_whose_log_goes_on_in_no_journal_gives_that_up_and_is_a_member_again_without_a_hand() {
    let cluster = Cluster::new(3, AUTO);
    let _replicas = overtake_the_third(&cluster);
    let dead = member(&cluster, 3);
    let mut third = cluster.start_replica(3);
    assert_eq!(third.wait().code(), Some(1), "{}", third.log());
    let says = format!("its next start lays the journal aside and rejoins in the place of {dead}");
    assert!(third.log().contains(&says), "{}", third.log());
    let mut third = cluster.start_replica(3);
    third.await_log(&format!("is a member in the place of {dead}"));
    is_healthy(&cluster);
    assert!(cluster.path("journal-3/aside/superblock").exists(), "what it had is still there");
    has_log_of(&cluster, 3, 1);
}

#[test]
fn where_no_quorum_lives_each_waits_and_says_so_and_a_recovery_goes_on_in_what_is_founded() {
    let cluster = Cluster::new(3, AUTO);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 300));
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    for (id, process) in (1..).zip(replicas) {
        strike(&cluster, id, process, Blow::Power);
    }
    let mut replicas: Vec<_> = (1..=3).map(|id| cluster.start_replica(id)).collect();
    for replica in &mut replicas {
        replica.await_log("no leader answers; where a quorum is lost for good, `lockstep recover`");
    }
    assert!(!cluster.path("journal-1/aside").exists(), "nothing is given up");
    let found = ["recover", "--replica", "1", "--accept-loss"];
    cluster.run(&found, b"").with_code(0);
    cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
    cluster.publish(&lines(300, 310));
    // The others are no members of what was founded: an operator adds them.
    let refused = replicas.pop().expect("three").wait();
    assert_eq!(refused.code(), Some(3));
}

#[test]
fn a_replica_of_two_and_one_whose_identity_lives_elsewhere_do_not_rejoin() {
    let cluster = Cluster::new(2, AUTO);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 100));
    let process = replicas.pop().expect("two");
    strike(&cluster, 2, process, Blow::Power);
    let mut alone = cluster.start_replica(2);
    let ended = alone.wait().code();
    assert_eq!(ended, Some(3), "{}", alone.log());
    assert!(alone.log().contains("of two members none is replaced"), "{}", alone.log());

    let cluster = Cluster::new(3, AUTO);
    let _replicas = cluster.found();
    cluster.publish(&lines(0, 100));
    let three = member(&cluster, 3);
    copy(&cluster.path("journal-3"), &cluster.path("copy"));
    let elsewhere = ["journal", "tail"].map(|key| {
        format!(
            "replicas.3.{key}={}",
            cluster.path(if key == "journal" { "copy" } else { "copy-tail" }).display()
        )
    });
    let more = ["--set", &elsewhere[0], "--set", &elsewhere[1], "--set", "replay.readers=0"];
    let mut second = cluster.start_replica_with(3, &more);
    second.await_log(&format!("it waits: {three}, whose place it would take, lives"));
    assert!(!cluster.path("copy/aside").exists());
    assert_eq!(member(&cluster, 3), three);
    assert_eq!(second.terminate(), Some(0));
}

#[test]
fn an_empty_folder_without_a_cluster_is_for_format_and_ask_leaves_all_to_an_operator() {
    let cluster = Cluster::new(3, AUTO);
    fs::create_dir(cluster.path("journal-1")).expect("a folder");
    let mut first = cluster.start_replica(1);
    assert_eq!(first.wait().code(), Some(2), "{}", first.log());
    assert!(first.log().contains("`format` creates one"), "{}", first.log());

    let cluster = Cluster::new(3, &AUTO.replace("auto", "ask"));
    let mut replicas = cluster.found();
    strike(&cluster, 3, replicas.pop().expect("three"), Blow::Power);
    let mut third = cluster.start_replica(3);
    assert_eq!(third.wait().code(), Some(3), "{}", third.log());
    assert!(third.log().contains("must not vote under its old identity"), "{}", third.log());
}
