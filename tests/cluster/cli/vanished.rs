//! Whole files that are gone: each command names what is missing by file and seqs, and exits 3; what
//! retention or a trim removed is not missed.

use crate::cli::streams::{SMALL, json, lines};
use lockstep_testkit::processes::{Cluster, Outcome, await_change, command, run};
use std::fs;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn segment(cluster: &Cluster, number: u64, kind: &str) -> PathBuf {
    cluster.path(&format!("journal-1/segments/{number:010}.{kind}"))
}

/// A copy of a folder with its folders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// The journal of a replica that has stopped, with five segments or more; the number of the newest one.
fn stopped() -> (Cluster, u64) {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 5_000));
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    let listed = json(&cluster.run(&["journal", "ls", "--replica", "1", "--json"], b"").with_code(0).out);
    let newest = listed["segments"].as_array().expect("a list").len() as u64;
    assert!(newest >= 5, "{newest}");
    (cluster, newest)
}

/// Each command that reads a journal.
fn commands(cluster: &Cluster, at: u64) -> Vec<(&'static str, Outcome)> {
    let export = text(&cluster.path(&format!("export-{at}")));
    let backup = text(&cluster.path(&format!("backup-{at}")));
    let all: [(&str, Vec<&str>); 8] = [
        ("verify", vec!["journal", "verify"]),
        ("info", vec!["journal", "info"]),
        ("ls", vec!["journal", "ls"]),
        ("dump", vec!["journal", "dump"]),
        ("grep", vec!["journal", "grep", "order"]),
        ("export", vec!["journal", "export", "--to-file", &export]),
        ("backup", vec!["backup", "--to", &backup, "--timeout", "100ms"]),
        ("format --verify", vec!["format", "--verify"]),
    ];
    let run = |args: Vec<&str>| cluster.run(&[&args[..], &["--replica", "1"]].concat(), b"");
    all.into_iter().map(|(name, args)| (name, run(args))).collect()
}

#[test]
fn a_segment_that_is_gone_is_named_by_every_command_that_reads_the_journal() {
    let (cluster, newest) = stopped();
    for (name, outcome) in commands(&cluster, 0) {
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.err);
    }
    for number in [1, 3, newest] {
        let file = segment(&cluster, number, "seg");
        let bytes = fs::read(&file).expect("a segment");
        fs::remove_file(&file).expect("removed");
        for (name, outcome) in commands(&cluster, number) {
            let shown = format!(
                "{}{}",
                outcome.out.lines().rev().take(8).collect::<Vec<_>>().join("\n"),
                outcome.err
            );
            assert_eq!(outcome.code, Some(3), "{name} of {number}: {shown}");
            assert!(shown.contains(&format!("segments/{number:010}.seg")), "{name} of {number}: {shown}");
            assert!(shown.contains("the file is gone, with seqs "), "{name} of {number}: {shown}");
        }
        // What was written is a part, and says so.
        let export = cluster.path(&format!("export-{number}"));
        assert!(!export.exists() && export.with_extension("partial").exists(), "{number}");
        fs::write(&file, bytes).expect("brought back");
    }
    cluster.run(&["journal", "verify", "--replica", "1"], b"").with_code(0);
}

#[test]
fn a_running_node_names_what_vanishes_in_its_log_in_status_and_in_health() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 4_000));
    cluster.run(&["status"], b"").with_code(0);
    for number in [1, 2] {
        let file = segment(&cluster, number, "seg");
        let bytes = fs::read(&file).expect("a segment");
        fs::remove_file(&file).expect("removed");
        replicas[0].await_log(&format!("segments/{number:010}.seg is damaged at byte 0"));
        // The line is written as it is found, and the state that is asked for a moment later.
        let status = await_change(0, 6, || cluster.run(&["status"], b"")).out;
        assert!(status.contains("1 stored segments are damaged"), "{status}");
        cluster.run(&["health"], b"").with_code(2);
        fs::write(&file, bytes).expect("brought back");
        // The scrub may have read it before its folder is listed again.
        replicas[0].await_log_times("over: 0 stored segments are damaged", number as usize);
        cluster.run(&["status"], b"").with_code(0);
    }
    fs::remove_file(segment(&cluster, 2, "idx")).expect("removed");
    cluster
        .run(&["journal", "verify", "--replica", "1"], b"")
        .with_code(3)
        .saying(&["segments/0000000002.idx"]);
    replicas[0]
        .await_log("segments/0000000002.idx was gone or not what its segment says, and was computed anew");
    cluster.run(&["journal", "verify", "--replica", "1"], b"").with_code(0);
    assert_eq!(replicas.remove(0).terminate(), Some(0));
}

#[test]
fn what_a_trim_removed_is_not_missed_and_a_trim_accepts_what_is_gone() {
    let (cluster, newest) = stopped();
    let trim = |before: &str| {
        let args = ["journal", "trim", "--replica", "1", "--before", before, "--accept-loss", "--yes"];
        cluster.run(&args, b"")
    };
    let rows = json(&cluster.run(&["journal", "ls", "--replica", "1", "--json"], b"").with_code(0).out);
    let first = |number: u64| rows["segments"][number as usize - 1]["first_seq"].as_u64().expect("a seq");
    trim(&first(3).to_string()).with_code(0);
    for (name, outcome) in commands(&cluster, 0) {
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.err);
    }
    // The oldest of those that are left is missed, until the operator says otherwise.
    fs::remove_file(segment(&cluster, 3, "seg")).expect("removed");
    let seqs = format!("with seqs {} to {}", first(3), first(4) - 1);
    cluster
        .run(&["journal", "verify", "--replica", "1"], b"")
        .with_code(3)
        .saying(&["0000000003.seg", &seqs]);
    let trimmed = trim(&first(4).to_string()).with_code(0);
    assert!(trimmed.out.contains("segments 3 to 3 were gone, and are missed no longer"), "{}", trimmed.out);
    cluster.run(&["journal", "verify", "--replica", "1"], b"").with_code(0);
    assert!(newest > 4);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    cluster.publish("goes on\n");
    assert_eq!(replica.terminate(), Some(0));
}

#[test]
fn an_archive_that_lost_its_oldest_days_is_damaged() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.add_archiver(101, "");
    let archiver = cluster.start_archiver(101);
    let journal = cluster.path("journal-101");
    let is_there = |number: u64| {
        ["seg", "lz4"].iter().any(|kind| journal.join(format!("segments/{number:010}.{kind}")).exists())
    };
    while !is_there(3) {
        cluster.publish(&lines(0, 1_000));
    }
    assert_eq!(archiver.terminate(), Some(0));
    for kind in ["seg", "lz4", "idx", "ckp"] {
        let _ = fs::remove_file(journal.join(format!("segments/0000000001.{kind}"))); // it has one of the two
    }
    let verified = cluster.run(&["journal", "verify", "--archiver", "101"], b"");
    verified.with_code(3).saying(&["segments/0000000001.seg", "with seqs 1 to "]);
    let mut archiver = cluster.start_archiver(101);
    archiver.await_log("segments/0000000001.seg is damaged at byte 0");
    assert_eq!(archiver.terminate(), Some(0));
    assert_eq!(replicas.remove(0).terminate(), Some(0));
}

#[test]
fn a_backup_without_a_file_that_it_should_have_is_damaged_whatever_its_manifest_says() {
    let (cluster, _) = stopped();
    let backup = cluster.path("backup");
    let args = [
        "backup",
        "--replica",
        "1",
        "--to",
        &text(&backup),
        "--segment-size",
        "512KiB",
        "--timeout",
        "100ms",
    ];
    cluster.run(&args, b"").with_code(0);
    let verify = |folder: &Path| run(command(&["backup", "verify", &text(folder)]), b"");
    verify(&backup).with_code(0);
    let last = fs::read_dir(backup.join("segments")).expect("segments").filter_map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        name.strip_suffix(".seg").map(|number| number.parse::<u64>().expect("a number"))
    });
    let last = last.max().expect("segments");
    for number in [1, 3, last] {
        let other = cluster.path(&format!("backup-without-{number}"));
        copy(&backup, &other);
        fs::remove_file(other.join(format!("segments/{number:010}.seg"))).expect("removed");
        verify(&other).with_code(3).saying(&[&format!("segments/{number:010}.seg"), "it has seqs "]);
    }
}
