//! `lockstep backup` and `restore`: the stream goes on from a backup, and damage of one is named.

use crate::cli::streams::{SMALL, cursor, json, lines};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Outcome, Process, command, payloads, run};
use lockstep_wire::{VERSION, VERSION_MIN};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A backup of replica `id` into `to`; returns the seq at which it ends.
fn back_up(cluster: &Cluster, id: &str, to: &Path) -> u64 {
    let args = ["backup", "--replica", id, "--to", &text(to), "--segment-size", "512KiB", "--json"];
    let made = cluster.run(&args, b"").with_code(0).out;
    json(&made)["next"].as_u64().unwrap_or_else(|| panic!("{made}"))
}

fn verify(backup: &Path) -> Outcome {
    run(command(&["backup", "verify", &text(backup)]), b"")
}

/// All machines are lost: their journals, and what they had in memory.
fn lose_everything(cluster: &Cluster, name: &str) {
    for id in 1..=cluster.replicas() {
        fs::rename(cluster.path(&format!("journal-{id}")), cluster.path(&format!("{name}-{id}")))
            .expect("moved");
        fs::remove_file(cluster.path(&format!("tail-{id}"))).expect("a tail");
    }
}

fn join(cluster: &Cluster, id: u32) -> Process {
    let identity = cluster.format(id);
    let mut process = cluster.start_replica(id);
    process.await_log("-> learner");
    cluster.run(&["membership", "add", &identity, "--timeout", "30s"], b"").with_code(0);
    process
}

/// Kills processes at once; what was lost is what a test wants to lose.
fn kill_all(processes: Vec<Process>) {
    lockstep_testkit::processes::signal_all("KILL", &processes);
    for mut process in processes {
        process.wait();
    }
}

/// How often the cluster is lost and restored.
fn times() -> usize {
    amount(1, 10)
}

#[test]
fn a_backup_of_nodes_under_load_becomes_a_new_cluster_and_readers_go_on_by_cursor_or_learn_why_not() {
    let cluster = Cluster::new(3, SMALL);
    let mut replicas = cluster.found();
    cluster.publish("begins\n");
    let mut published = 0;
    for round in 0..times() {
        cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
        let backup = cluster.path(&format!("backup-{round}"));
        // Backups of one node and of another, while everything moves.
        let ends = std::thread::scope(|scope| {
            let load = scope.spawn(|| cluster.publish(&lines(published, published + 4_000)));
            let mut ends = vec![back_up(&cluster, "2", &backup)];
            while !load.is_finished() {
                ends.push(back_up(&cluster, if ends.len() % 2 == 0 { "2" } else { "3" }, &backup));
                verify(&backup).with_code(0);
            }
            load.join().expect("published");
            ends
        });
        published += 4_000;
        assert!(ends.windows(2).all(|pair| pair[0] <= pair[1]), "{ends:?}");
        let begun = cluster.run(&["subscribe", "--count", "1500"], b"").with_code(0);
        let whole = cluster.read(&[]);
        // The node knows more than its journal: nothing committed is left out.
        let early = back_up(&cluster, "1", &backup);
        let last = whole.out.lines().last().and_then(|line| line.split('\t').next()?.parse::<u64>().ok());
        assert!(last.is_some_and(|last| early > last), "{early} {last:?}");
        let end = back_up(&cluster, "3", &backup);
        assert!(end >= early, "it goes on in whichever node's journal: {end} {early}");
        cluster.publish(&lines(published, published + 50));
        let ahead = cluster.read(&[]);
        let verified = verify(&backup).with_code(0).out;
        assert!(verified.contains(&format!("seqs 1 to {} of history", end - 1)), "{verified}");

        kill_all(std::mem::take(&mut replicas));
        lose_everything(&cluster, &format!("lost-{round}"));
        let restored = cluster.run(&["restore", &text(&backup), "--replica", "1"], b"").with_code(0);
        assert!(restored.out.contains(&format!("founded at seq {end} on ")), "{}", restored.out);
        restored.saying(&["missing: whatever was committed above seq", "it is the only member"]);
        let mut first = cluster.start_replica(1);
        first.await_log("-> leader");
        replicas = vec![first, join(&cluster, 2), join(&cluster, 3)];

        let rest = cluster.read(&["--from", &cursor(&begun.err)]);
        assert_eq!(format!("{}{}", begun.out, rest.out), whole.out, "no hole, no repeat");
        let args = ["subscribe", "--until-end", "--from", &cursor(&ahead.err)];
        cluster.run(&args, b"").with_code(3).saying(&["entries that the stream does not have any more"]);
        let diff = ["journal", "diff", &text(&backup), &text(&cluster.path("journal-2"))];
        let diff = run(command(&diff), b"").with_code(0).out;
        assert!(diff.starts_with(&format!("equal from seq 1 to {}\n", end - 1)), "{diff}");
        cluster.run(&["status"], b"").with_code(0);
    }
    for replica in replicas.into_iter().rev() {
        assert_eq!(replica.terminate(), Some(0));
    }
    for id in ["1", "2", "3"] {
        cluster.run(&["journal", "verify", "--replica", id], b"").with_code(0);
    }
}

#[test]
fn a_flipped_bit_of_a_backup_is_named_by_file_byte_and_seq_and_nothing_is_restored_from_it() {
    let cluster = Cluster::new(1, SMALL);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 2_000));
    let backup = cluster.path("backup");
    back_up(&cluster, "1", &backup);
    kill_all(replicas);
    lose_everything(&cluster, "lost");
    let mut files: Vec<_> = fs::read_dir(backup.join("segments")).expect("segments").collect();
    files.sort_by_key(|file| file.as_ref().expect("an entry").path());
    let mut paths: Vec<_> = files.into_iter().map(|file| file.expect("an entry").path()).collect();
    assert!(paths.len() >= 7, "segments with indices and checkpoints: {paths:?}");
    paths.push(backup.join("manifest.json"));
    for (round, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).expect("a file");
        for at in [8, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (round % 8);
            fs::write(path, flipped).expect("writing");
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let named = verify(&backup).with_code(3).saying(&[name, "damaged"]);
            let is_segment = name.ends_with(".seg");
            let is_record = is_segment && at > 4096;
            assert!(!is_segment || named.err.contains("damaged at byte "), "{}", named.err);
            assert!(!is_record || named.err.contains("(seq "), "{at}: {}", named.err);
        }
        let args = ["restore", &text(&backup), "--replica", "1"];
        cluster.run(&args, b"").with_code(3).saying(&["damaged"]);
        assert!(!cluster.path("journal-1").exists(), "nothing was made");
        fs::write(path, bytes).expect("writing");
    }
    verify(&backup).with_code(0);
}

#[test]
fn a_backup_that_is_killed_anywhere_leaves_one_that_holds_and_goes_on() {
    let cluster = Cluster::new(1, SMALL);
    let _replicas = cluster.found();
    cluster.publish(&lines(0, 6_000));
    let backup = cluster.path("backup");
    let args = ["backup", "--replica", "1", "--to", &text(&backup), "--segment-size", "128KiB"];
    let mut ends = Vec::new();
    for delay in [4, 8, 12, 16, 20, 30, 40, 50] {
        let mut making = cluster.start("backup", &args);
        std::thread::sleep(Duration::from_millis(delay));
        making.signal("KILL");
        making.wait();
        if backup.join("manifest.json").exists() {
            let verified =
                json(&run(command(&["backup", "verify", "--json", &text(&backup)]), b"").with_code(0).out);
            ends.push(verified["next"].as_u64().expect("a seq"));
        }
    }
    assert!(ends.windows(2).all(|pair| pair[0] <= pair[1]), "{ends:?}");
    // The remains of one that died in the middle of a write.
    back_up(&cluster, "1", &backup);
    cluster.publish(&lines(6_000, 6_500));
    let manifest = json(&fs::read_to_string(backup.join("manifest.json")).expect("a manifest"));
    let segments = manifest["segments"].as_array().expect("a list");
    let last = backup.join(segments.last().expect("one")["file"].as_str().expect("a name"));
    let bytes = fs::read(&last).expect("a segment");
    fs::write(&last, [&bytes[..], &bytes[bytes.len() - 1_000..]].concat()).expect("writing");
    let next = backup.join(format!("segments/{:010}.seg", segments.len() + 1));
    fs::write(next, &bytes[..bytes.len() - 1_000]).expect("writing");
    verify(&backup).with_code(0);
    back_up(&cluster, "1", &backup);
    verify(&backup).with_code(0);
    let diff = ["journal", "diff", &text(&backup), &text(&cluster.path("journal-1"))];
    let diff = run(command(&diff), b"").with_code(0).out;
    assert!(diff.starts_with("equal from seq 1 to ") && !diff.contains("backup continues"), "{diff}");
}

#[test]
fn a_single_file_is_a_backup_that_tar_lists_and_a_replica_is_restored_from() {
    let cluster = Cluster::new(1, SMALL);
    let replicas = cluster.found();
    cluster.publish(&lines(0, 1_500));
    let file = cluster.path("backup.tar");
    let end = back_up(&cluster, "1", &file);
    assert!(!cluster.path("backup.tar.files").exists());
    let args = ["backup", "--replica", "1", "--to", &text(&file)];
    cluster.run(&args, b"").with_code(2).saying(&["exists"]);
    let mut tar = std::process::Command::new("tar");
    tar.args(["tf", &text(&file)]);
    let listed = run(tar, b"").with_code(0).out;
    assert!(listed.starts_with("manifest.json\nsegments/0000000001.seg\n"), "{listed}");
    verify(&file).with_code(0);
    let bytes = fs::read(&file).expect("a file");
    for at in [600, bytes.len() / 2] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(&file, flipped).expect("writing");
        verify(&file).with_code(3).saying(&["damaged"]);
    }
    fs::write(&file, &bytes[..bytes.len() - 100_000]).expect("writing");
    verify(&file).with_code(3).saying(&["damaged"]);
    fs::write(&file, &bytes).expect("writing");
    kill_all(replicas);
    lose_everything(&cluster, "lost");
    cluster.run(&["restore", &text(&file), "--replica", "1"], b"").with_code(0);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    assert_eq!(payloads(&cluster.read(&[]).out).len(), 1_500);
    let again = cluster.run(&["restore", &text(&file), "--replica", "1"], b"").with_code(2);
    again.saying(&["leads at"]);
    assert_eq!(first.terminate(), Some(0));
    let again = cluster.run(&["restore", &text(&file), "--replica", "1"], b"").with_code(2);
    again.saying(&["not empty"]);
    assert!(end > 1_500);
}

/// At first the release before reads it too.
#[test]
fn a_backup_has_the_version_of_its_frames_and_goes_on_when_the_log_has_risen() {
    let cluster = Cluster::new(1, SMALL);
    cluster.format(1);
    let args = ["bootstrap", "--replica", "1", "--log-version", &VERSION_MIN.to_string()];
    cluster.run(&args, b"").with_code(0);
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    cluster.publish(&lines(0, 1_000));
    let backup = cluster.path("backup");
    let version = || {
        let manifest = fs::read_to_string(backup.join("manifest.json")).expect("a manifest");
        json(&manifest)["wire_version"].as_u64()
    };
    back_up(&cluster, "1", &backup);
    assert_eq!(version(), Some(VERSION_MIN.into()));
    verify(&backup).with_code(0);
    cluster.run(&["upgrade", "--finish"], b"").with_code(0);
    cluster.publish(&lines(1_000, 1_500));
    back_up(&cluster, "1", &backup);
    assert_eq!(version(), Some(VERSION.into()));
    verify(&backup).with_code(0);
    kill_all(vec![replica]);
    lose_everything(&cluster, "lost");
    cluster.run(&["restore", &text(&backup), "--replica", "1"], b"").with_code(0);
    let mut founder = cluster.start_replica(1);
    founder.await_log("-> leader");
    assert_eq!(payloads(&cluster.read(&[]).out).len(), 1_500);
}

#[test]
fn a_journal_that_lost_its_beginning_is_backed_up_from_there_and_one_that_does_not_reach_is_refused() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 500));
    let early = cluster.path("early");
    back_up(&cluster, "1", &early);
    let begun = cluster.run(&["subscribe", "--count", "10"], b"").with_code(0);
    cluster.publish(&lines(500, 6_000));
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    let trim = ["journal", "trim", "--replica", "1", "--before", "4000", "--accept-loss", "--yes"];
    cluster.run(&trim, b"").with_code(0);
    let replicas = vec![cluster.start_replica(1)];
    cluster.publish("one more\n");
    let late = ["backup", "--replica", "1", "--to", &text(&early)];
    cluster.run(&late, b"").with_code(2).saying(&["retention has removed what lies between"]);
    let backup = cluster.path("backup");
    back_up(&cluster, "1", &backup);
    verify(&backup).with_code(0);
    let other = Cluster::new(1, SMALL);
    let _others = other.found();
    other.publish("of another cluster\n");
    other.run(&late, b"").with_code(2).saying(&["is a backup of cluster"]);
    let own = cluster.path("lost-1");
    kill_all(replicas);
    lose_everything(&cluster, "lost");
    run(command(&["backup", &text(&own), "--to", &text(&own)]), b"").with_code(2).saying(&["and no backup"]);
    cluster.run(&["restore", &text(&backup), "--replica", "1"], b"").with_code(0);
    let mut first = cluster.start_replica(1);
    first.await_log("-> leader");
    let oldest = cluster.read(&["--from", "oldest"]);
    assert_eq!(payloads(&oldest.out).last(), Some(&"one more"));
    // A reader whose place the backup lacks learns where it may begin.
    let args = ["subscribe", "--until-end", "--timeout", "30s", "--from", &cursor(&begun.err)];
    cluster.run(&args, b"").with_code(3).saying(&["begin there with --from"]);
    cluster.publish("behind the restore\n");
    assert_eq!(first.terminate(), Some(0));
}

#[test]
fn a_journal_is_trimmed_when_a_backup_has_what_goes_and_never_while_it_runs() {
    let cluster = Cluster::new(1, SMALL);
    let mut replicas = cluster.found();
    cluster.publish(&lines(0, 4_000));
    let backup = cluster.path("backup");
    back_up(&cluster, "1", &backup);
    let trim = |more: &[&str]| {
        let args: Vec<&str> =
            ["journal", "trim", "--replica", "1", "--before", "3000"].iter().chain(more).copied().collect();
        cluster.run(&args, b"")
    };
    trim(&["--accept-loss", "--yes"]).with_code(2).saying(&["stop it first"]);
    assert_eq!(replicas.remove(0).terminate(), Some(0));
    trim(&["--yes"]).with_code(2).saying(&["--accept-loss", "--backup"]);
    let backup = text(&backup);
    trim(&["--backup", &backup]).with_code(2).saying(&["would be removed", "nothing was removed"]);
    let done = trim(&["--backup", &backup, "--yes"]).with_code(0).out;
    assert!(done.contains("segments removed; the journal begins at seq "), "{done}");
    cluster.run(&["journal", "verify", "--replica", "1"], b"").with_code(0);
    let diff = ["journal", "diff", &backup, &text(&cluster.path("journal-1"))];
    assert!(run(command(&diff), b"").with_code(0).out.starts_with("equal from seq "));
    let mut replica = cluster.start_replica(1);
    replica.await_log("-> leader");
    cluster.publish(&lines(4_000, 4_010));
    let rest = cluster.read(&["--from", "oldest"]);
    assert_eq!(payloads(&rest.out).last(), Some(&lines(4_009, 4_010).trim_end()));
    assert!(payloads(&rest.out).len() < 4_000);
}

#[test]
fn an_exported_log_begins_a_history_of_another_cluster_where_its_publishers_go_on() {
    let cluster = Cluster::new(1, SMALL);
    let _replicas = cluster.found();
    cluster.run(&["day", "start", "20261121"], b"").with_code(0);
    cluster.publish(&lines(0, 1_000));
    cluster.publish(&format!("{}\n", "x".repeat(40_000)));
    cluster.run(&["publish", "--name", "prices", "--destination", "7"], b"tick\n").with_code(0);
    let whole = cluster.read(&[]);
    let file = cluster.path("log.json");
    let export = ["journal", "export", "--replica", "1", "--to-file", &text(&file)];
    cluster.run(&export, b"").with_code(0);

    let other = Cluster::new(2, SMALL);
    let import = |file: &Path, more: &[&str]| {
        let file = text(file);
        let args: Vec<&str> =
            ["journal", "import", &file, "--replica", "1"].iter().chain(more).copied().collect();
        other.run(&args, b"")
    };
    import(&file, &[]).with_code(2).saying(&["Give --yes"]);
    assert!(!other.path("journal-1").exists(), "nothing was made");
    let exported = fs::read_to_string(&file).expect("a file");
    let without = exported.lines().enumerate().filter(|(number, _)| *number != 500).map(|(_, line)| line);
    let partial = cluster.path("partial.json");
    fs::write(&partial, without.collect::<Vec<_>>().join("\n")).expect("writing");
    import(&partial, &["--yes"])
        .with_code(2)
        .saying(&["line 501: seq 502 behind seq 500", "without filters"]);
    let made = import(&file, &["--yes"]).with_code(0);
    made.saying(&["entries that the former cluster wrote for itself; the other 1"]);
    let replica = other.start_replica(1);
    let mut replicas = vec![replica];
    replicas[0].await_log("-> leader");
    // Both answer from now on: a command that asks for the end of the stream waits for no other.
    replicas.push(join(&other, 2));
    let read = other.read(&[]);
    let of = |out: &str| -> Vec<(String, String)> {
        let fields = out.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        fields.map(|fields| (fields[1].to_owned(), fields[3].to_owned())).collect()
    };
    assert_eq!(of(&read.out), of(&whole.out), "publishers, numbers and payloads, in order");
    let args = ["subscribe", "--until-end", "--timeout", "30s", "--from", &cursor(&whole.err)];
    other.run(&args, b"").with_code(3).saying(&["another history"]);
    other.publish("goes on\n").saying(&["1 published, 1 committed"]);
    let last = other.read(&[]).out.lines().last().map(str::to_owned).expect("a line");
    assert!(last.ends_with("\tgoes on"), "{last}");
    other.run(&["wait", "--for", "day=20261121"], b"").with_code(0);
    for replica in replicas.into_iter().rev() {
        assert_eq!(replica.terminate(), Some(0));
    }
    other.run(&["journal", "verify", "--replica", "1"], b"").with_code(0);
    import(&file, &["--yes"]).with_code(2).saying(&["not empty"]);
}

#[test]
fn a_log_with_times_or_parts_that_no_stream_has_is_refused_with_its_line_and_one_that_is_right_is_taken() {
    let cluster = Cluster::new(1, SMALL);
    let _replicas = cluster.found();
    cluster.publish(&lines(0, 20));
    cluster.publish(&format!("{}\n", "x".repeat(40_000)));
    cluster.publish("last\n");
    cluster.read(&[]);
    let file = cluster.path("log.json");
    let export = ["journal", "export", "--replica", "1", "--to-file", &text(&file)];
    // Segments are written behind the log.
    let whole = loop {
        let _ = fs::remove_file(&file); // of the turn before
        cluster.run(&export, b"").with_code(0);
        let all: Vec<Value> = fs::read_to_string(&file).expect("a file").lines().map(json).collect();
        if all.last().is_some_and(|last| last["payload_hex"] == "6c617374") {
            break all;
        }
    };
    let part = |word: &str| whole.iter().position(|line| line["part"] == word).expect("a part");
    let (first, last) = (part("first"), part("last"));
    let (end, time) = (whole.len() - 1, whole[10]["timestamp_ns"].as_u64().expect("a time"));
    let ahead = |ns: u64| whole[end]["timestamp_ns"].as_u64().expect("a time").saturating_add(ns);
    let day = 86_400_000_000_000;
    type Change<'a> = &'a dyn Fn(&mut Vec<Value>);
    let changes: [(&str, Change<'_>, &str); 8] = [
        ("falls", &|all| all[10]["timestamp_ns"] = 5.into(), "times never fall"),
        ("falls a little", &|all| all[11]["timestamp_ns"] = (time - 1).into(), "times never fall"),
        ("2^64-1", &|all| all[end]["timestamp_ns"] = u64::MAX.into(), "lies ahead of now"),
        ("a day ahead", &|all| all[end]["timestamp_ns"] = ahead(day).into(), "lies ahead of now"),
        ("no last part", &|all| all.truncate(last), "has no last part"),
        (
            "no first part",
            &|all| drop(all[first].as_object_mut().expect("an object").remove("part")),
            "first part is not before",
        ),
        (
            "parts without end",
            &|all| {
                all.truncate(last + 1);
                all[last]["part"] = "middle".into();
            },
            "has no last part",
        ),
        ("a line without end", &|all| all[5]["payload_hex"] = "00".repeat(1 << 20).into(), "more than"),
    ];
    let other = Cluster::new(1, SMALL);
    for (name, change, reason) in changes {
        let mut changed = whole.clone();
        change(&mut changed);
        let path = cluster.path("changed.json");
        fs::write(&path, changed.iter().map(|line| format!("{line}\n")).collect::<String>())
            .expect("written");
        let args = ["journal", "import", &text(&path), "--replica", "1", "--yes", "--timeout", "10ms"];
        let refused = other.run(&args, b"");
        assert!(
            refused.code == Some(2) && refused.err.contains(reason),
            "{name}: {:?} {}",
            refused.code,
            refused.err
        );
    }
    let endless = ["journal", "import", "/dev/zero", "--replica", "1", "--yes", "--timeout", "10ms"];
    other.run(&endless, b"").with_code(2).saying(&["the line has more than"]);
    let args = ["journal", "import", &text(&file), "--replica", "1", "--yes", "--timeout", "10ms"];
    other.run(&args, b"").with_code(0);
}
