//! `lockstep counters`: what every process of a host counts.

use lockstep_core::engine::counters::CounterRow;
use lockstep_daemon::config::Config;
use lockstep_io::clock::Utc;
use lockstep_io::counters::CountersFile;
use lockstep_testkit::processes::{Cluster, is_root};
use serde_json::Value;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn what_every_process_counts_is_told_by_group_with_unit_and_meaning_also_of_a_dead_one() {
    let cluster = Cluster::new(2, "");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\n");
    // A process stores its counts ten times a second.
    let counted = || cluster.run(&["counters"], b"").with_code(0).out;
    let text = (0..1_000).map(|_| counted()).find(|text| text.contains("Entries stamped."));
    let text = text.unwrap_or_else(counted);
    for word in ["replica-1: process ", "replica-2: process ", "  engine\n", "  udp\n", "Entries stamped."] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains(" 0    "), "what is 0 is left out: {text}");

    replicas[1].signal("KILL");
    replicas[1].wait();
    let output = cluster.run(&["counters", "replica-2", "--json", "--all"], b"").with_code(0);
    let report: Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(report["schema"], "lockstep.counters/2");
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 1);
    assert_eq!((&processes[0]["process"], &processes[0]["life"]), (&"replica-2".into(), &"ended".into()));
    let counters = processes[0]["counters"].as_array().expect("counters");
    let named = |name: &str| counters.iter().find(|row| row["name"] == name).expect("a counter");
    assert_eq!(
        (&named("frames_out_bytes")["unit"], &named("frames_out_bytes")["kind"]),
        (&"B".into(), &"counter".into())
    );
    assert_eq!(named("condition{condition=\"disk_full\"}")["kind"], "gauge");
    assert_eq!((&named("role")["state"], &named("leader")["value"]), (&"standby".into(), &1.into()));
    assert_eq!((&named("members")["value"], &named("quorum")["value"]), (&2.into(), &2.into()));
    assert!(counters.iter().all(|row| row["meaning"].as_str().is_some_and(|text| !text.is_empty())));

    let rates =
        cluster.run(&["counters", "replica-1", "--rates=200ms", "--group", "engine"], b"").with_code(0);
    let cycles = rates.out.lines().find(|line| line.contains("duty_cycles"));
    assert!(cycles.is_some_and(|line| line.contains("/s ")), "{}", rates.out);

    let metrics = cluster.run(&["counters", "--prometheus", "--group", "engine"], b"").with_code(0).out;
    assert!(metrics.contains("# TYPE lockstep_stamped_total counter\n"), "{metrics}");
    assert!(metrics.contains("lockstep_stamped_total{process=\"replica-1\"} "), "{metrics}");
    assert!(!metrics.contains("lockstep_udp_"), "{metrics}");
}

#[test]
fn counters_asked_for_wrongly_say_what_there_is() {
    let cluster = Cluster::new(1, "");
    cluster
        .run(&["counters"], b"")
        .with_code(4)
        .saying(&["no process of this configuration has run", "--counters"]);
    drop(cluster.found());
    cluster.run(&["counters", "--group", "disk"], b"").with_code(2).saying(&[
        "no such group",
        "engine",
        "udp",
    ]);
    cluster.run(&["counters", "gateway"], b"").with_code(2).saying(&["called 'gateway'", "replica-1"]);
    cluster.run(&["counters", "--counters", "/nowhere/file"], b"").with_code(1).saying(&["/nowhere/file"]);
    cluster.run(&["counters", "--json", "--prometheus"], b"").with_code(2).saying(&["cannot be used with"]);
}

/// A sound file that names this process as a daemon of this kind, and has just counted.
fn name_process(path: &Path, kind: &str, pid: u32) {
    let rows = [CounterRow::gauge("gateway_ready", "").into()];
    let labels = [("kind", kind), ("name", "decoy"), ("cluster", "1"), ("release", "0")];
    CountersFile::create(path, &labels, &rows).expect("a file").publish(Utc::now().0, &[1]);
    // Where the header has the number of the process.
    let file = std::fs::File::options().write(true).open(path).expect("a file");
    file.write_all_at(&pid.to_le_bytes(), 20).expect("a disk");
}

#[test]
fn files_of_strangers_are_named_and_keep_nobody_from_the_others() {
    let cluster = Cluster::new(1, "");
    let replicas = cluster.found();
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let decoy = |name: &str| -> PathBuf {
        config.counters_folder().join(format!("{}gateway-{name}.counters", config.counters_file_prefix()))
    };
    let mut decoys = vec!["fifo", "link", "loop", "junk", "empty", "writable"];
    assert!(Command::new("mkfifo").arg(decoy("fifo")).status().expect("mkfifo").success());
    name_process(&cluster.path("elsewhere"), "gateway", replicas[0].pid());
    symlink(cluster.path("elsewhere"), decoy("link")).expect("a disk");
    symlink(decoy("loop"), decoy("loop")).expect("a disk");
    std::fs::write(decoy("junk"), [7; 40]).expect("a disk");
    std::fs::write(decoy("empty"), "").expect("a disk");
    name_process(&decoy("writable"), "gateway", replicas[0].pid());
    std::fs::set_permissions(decoy("writable"), PermissionsExt::from_mode(0o666)).expect("it is ours");
    if is_root() {
        decoys.push("foreign");
        name_process(&decoy("foreign"), "gateway", replicas[0].pid());
        chown(decoy("foreign"), Some(65_534), None).expect("root");
    }
    let events =
        config.counters_folder().join(format!("{}gateway-junk.events", config.counters_file_prefix()));
    assert!(Command::new("mkfifo").arg(events).status().expect("mkfifo").success());

    let commands: [&[&str]; 7] = [
        &["reload"],
        &["reload", "--json"],
        &["counters"],
        &["counters", "--prometheus"],
        &["top", "--once", "--local"],
        &["events"],
        &["losses"],
    ];
    for command in commands {
        let outcome = cluster.run(command, b"").with_code(0);
        let text = outcome.out + &outcome.err;
        let shows_it = text.contains("replica-1") || text.contains("replica 1");
        assert!(shows_it, "{command:?}: {text}");
        if matches!(command[0], "reload" | "counters") {
            for decoy in &decoys {
                assert!(
                    text.contains(&format!("gateway-{decoy} is passed over")),
                    "{decoy} {command:?}: {text}"
                );
            }
        }
    }
    cluster.run(&["health"], b"").with_code(0);
}

#[test]
fn a_file_sends_no_signal_to_a_process_that_is_not_its_daemon() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let config = Config::load(Some(&cluster.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
    // It would end by SIGHUP.
    let mut others: Vec<_> =
        (0..2).map(|_| Command::new("sleep").arg("600").spawn().expect("sleep")).collect();
    for (kind, other) in ["gateway", "replica"].into_iter().zip(&others) {
        let name = format!("{}{kind}-decoy.counters", config.counters_file_prefix());
        name_process(&config.counters_folder().join(name), kind, other.id());
    }
    let answer = cluster.run(&["reload"], b"").with_code(1).out;
    assert!(answer.contains("replica-1: the configuration was read again"), "{answer}");
    for (kind, other) in ["gateway", "replica"].into_iter().zip(&mut others) {
        assert!(
            answer.contains(&format!("process {}, which its file names, is no {kind}", other.id())),
            "{answer}"
        );
        assert!(other.try_wait().expect("a child").is_none(), "{kind}: it was ended");
        other.kill().expect("it is ours");
        other.wait().expect("a child");
    }
}
