//! `lockstep drill` on real processes: what passes, what is refused by name, and what is left behind.

// Waits for real processes.
use lockstep::config::Config;
use lockstep_io::counters::CountersReader;
use lockstep_testkit::processes::{Cluster, Outcome, Process, is_root};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// Nothing here takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Replicas that a drill may have started anew: they are no children of the test, and end with it.
pub struct Drilled<'a>(pub &'a Cluster);

impl Drilled<'_> {
    /// The process of a replica, as its counters file has it.
    pub fn pid(&self, replica: u32) -> u32 {
        let config = Config::load(Some(&self.0.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let counters = &config.replicas[replica as usize - 1].counters;
        CountersReader::open(counters).unwrap_or_else(|error| panic!("{error}")).pid()
    }
}

impl Drop for Drilled<'_> {
    fn drop(&mut self) {
        for pid in (1..=3).map(|replica| self.pid(replica)) {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&self.0.config().display().to_string()) {
                signal("KILL", pid);
            }
        }
    }
}

fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).status(); // it may have ended
}

/// The state of a process: `T` stands still.
fn state(pid: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

#[track_caller]
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until every member has everything.
pub fn await_whole(cluster: &Cluster) {
    cluster.run(&["wait", "--for", "caught-up", "--timeout", "50s"], b"").with_code(0);
}

/// Runs a drill with short pauses.
fn drill(cluster: &Cluster, more: &[&str]) -> Outcome {
    let args = [&["drill", "--pause", "50ms", "--freeze-for", "300ms", "--rate", "500"], more].concat();
    cluster.run(&args, b"")
}

fn first(outcome: &Outcome) -> &str {
    outcome.out.lines().next().unwrap_or_default()
}

/// How a replica is started by a command, for a user who may not read how it was started.
fn start_command(cluster: &Cluster) -> String {
    let (program, folder) = (env!("CARGO_BIN_EXE_lockstep"), cluster.path(""));
    let folder = folder.display();
    format!(
        "{program} sequencer --replica {{replica}} --config {folder}/cluster.toml >/dev/null 2>>{folder}/again.log &"
    )
}

#[test]
fn a_healthy_cluster_passes_and_the_report_has_every_round() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let drilled = Drilled(&cluster);
    await_whole(&cluster);
    let (page, json) = (cluster.path("report.html"), cluster.path("report.json"));
    let (page, json) = (page.to_str().expect("a path"), json.to_str().expect("a path"));
    let start = start_command(&cluster);
    let mut args =
        vec!["--kind", "handover", "--kind", "kill", "--times", "2", "--report", page, "--json", json];
    args.extend(["--fail-if", "gap>20s", "--fail-if", "lost>0"]);
    if !is_root() {
        args.extend(["--start-with", &start]);
    }
    let outcome = std::thread::scope(|scope| {
        let drill = scope.spawn(|| drill(&cluster, &args));
        // A parent that waits for its children, as an init does.
        while !drill.is_finished() {
            replicas.iter_mut().for_each(|replica| _ = replica.ended());
            std::thread::sleep(Duration::from_millis(2));
        }
        drill.join().expect("a thread")
    });
    let outcome = outcome.with_code(0);
    assert!(first(&outcome).starts_with("PASS: 4 rounds, longest gap "), "{}", outcome.out);
    assert!(outcome.out.contains("0 lost, 0 doubled, 0 reordered"), "{}", outcome.out);
    assert!(
        outcome
            .out
            .contains("check     journals of replicas, with their chains: 1 and 2 are equal from seq 1 to")
    );

    let text = std::fs::read_to_string(json).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&report["result"], &report["lost"]), (&"PASS".into(), &0.into()));
    assert_eq!(report["published"], report["delivered"], "{text}");
    let rounds = report["rounds"].as_array().expect("rounds");
    let kinds: Vec<_> = rounds.iter().map(|round| round["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["handover", "kill", "handover", "kill"]);
    for round in rounds {
        assert_ne!(round["replica"], round["new_leader"], "{round}");
        assert!(round["gap_ns"].as_u64() > Some(0) && round["leader_ns"].as_u64() > Some(0), "{round}");
    }
    let html = std::fs::read_to_string(page).expect("the page");
    assert!(html.contains(first(&outcome)) && !html.contains("<script"), "{html}");

    // One freeze more, with a limit that it cannot keep: a frozen leader is missed by its silence.
    let late = drill(&cluster, &["--kind", "freeze", "--fail-if", "gap>1ms"]).with_code(6);
    assert!(
        first(&late).starts_with("FAIL: gap>1ms: ") && first(&late).contains("(freeze of replica "),
        "{}",
        late.out
    );
    assert!((1..=3).all(|replica| state(drilled.pid(replica)) != Some('T')));
    await_whole(&cluster);
}

#[test]
fn a_cluster_that_is_not_ready_is_refused_with_the_reason_on_the_first_line() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    await_whole(&cluster);
    let refused = |says: &str| {
        let outcome = drill(&cluster, &["--kind", "handover", "--timeout", "5s"]).with_code(4);
        assert!(
            first(&outcome).starts_with("NOT READY: ") && first(&outcome).contains(says),
            "{}",
            outcome.out
        );
    };
    replicas[2].signal("STOP");
    refused(&format!("its process {} stands still (SIGSTOP)", replicas[2].pid()));
    replicas[2].signal("CONT");
    await_whole(&cluster);

    replicas[2].signal("KILL");
    replicas[2].wait();
    refused("does not answer at 127.0.0.1:");
    replicas[2] = cluster.start_replica_with(3, &["--no-watcher"]);
    await_whole(&cluster);
    refused(&format!("the watcher of replica 3 (process {}) is gone", replicas[2].pid()));

    cluster.run(&["day", "start", "20261126"], b"").with_code(0);
    let open = drill(&cluster, &["--kind", "handover", "--no-watcher"]).with_code(4);
    assert!(first(&open).starts_with("NOT READY: a trading day is open"), "{}", open.out);
    let known = drill(&cluster, &["--kind", "handover", "--no-watcher", "--i-know-what-i-do"]).with_code(0);
    assert!(first(&known).starts_with("PASS: 1 round,"), "{}", known.out);
    let elsewhere = drill(&cluster, &["--kind", "cut", "--no-watcher", "--i-know-what-i-do"]);
    elsewhere.with_code(2);
}

/// Starts a drill that freezes the leader for long, and waits until it stands still.
fn frozen_leader(cluster: &Cluster, drilled: &Drilled<'_>) -> (Process, u32) {
    await_whole(cluster);
    let args = ["drill", "--kind", "freeze", "--freeze-for", "60s", "--pause", "0s", "--rate", "200"];
    let drill = cluster.start("drill", &args);
    let frozen = || (1..=3).map(|replica| drilled.pid(replica)).find(|pid| state(*pid) == Some('T'));
    await_that("nobody stands still", || frozen().is_some());
    (drill, frozen().expect("it was there"))
}

#[test]
fn a_drill_that_is_ended_in_the_middle_leaves_nothing_frozen_and_the_next_one_mends_what_a_killed_one_left() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let drilled = Drilled(&cluster);
    for how in ["TERM", "HUP"] {
        let (mut drill, pid) = frozen_leader(&cluster, &drilled);
        drill.signal(how);
        assert_eq!(drill.wait().code(), Some(1), "{how}: {}", drill.log());
        let out = drill.read_all();
        assert!(
            out.starts_with("FAIL: stopped by a signal before the end, in round 1 (freeze of replica "),
            "{out}"
        );
        assert_ne!(state(pid), Some('T'), "{how}: it goes on");
    }

    let (mut drill, pid) = frozen_leader(&cluster, &drilled);
    drill.signal("KILL");
    drill.wait();
    assert_eq!(state(pid), Some('T'), "nobody was left to let it go on");
    let mended = cluster.run(&["drill", "--restore"], b"").with_code(0);
    assert!(mended.out.starts_with("mended: freeze of replica "), "{}", mended.out);
    assert_ne!(state(pid), Some('T'));
    let again = cluster.run(&["drill", "--restore"], b"").with_code(0);
    assert_eq!(again.out, "nothing to mend\n");
}

#[test]
fn replicas_are_reached_by_commands_where_the_operator_gives_them() {
    let cluster = Cluster::new(3, "");
    let replicas = cluster.found();
    await_whole(&cluster);
    for (replica, number) in replicas.iter().zip(1..) {
        std::fs::write(cluster.path(&format!("pid-{number}")), replica.pid().to_string()).expect("a file");
    }
    let kill = |signal: &str| {
        let folder = cluster.path("");
        format!(
            "echo {signal} {{replica}} >>{0}/done; kill -{signal} $(cat {0}/pid-{{replica}})",
            folder.display()
        )
    };
    let (cut, heal, signal) = (kill("STOP"), kill("CONT"), kill("{signal}"));
    let mut args = vec!["--kind", "cut", "--kind", "freeze", "--cut-with", &cut, "--heal-with", &heal];
    args.extend(["--signal-with", &signal]);
    let passed = drill(&cluster, &args).with_code(0);
    assert!(first(&passed).starts_with("PASS: 2 rounds, longest gap "), "{}", passed.out);
    let done = std::fs::read_to_string(cluster.path("done")).expect("what was done");
    let done: Vec<_> = done.split_whitespace().collect();
    assert_eq!([done[0], done[2], done[4], done[6]], ["STOP", "CONT", "STOP", "CONT"]);
    assert_eq!((done[1], done[5]), (done[3], done[7]), "the replica that was cut off is healed");

    let drilled = Drilled(&cluster);
    let before: Vec<_> = (1..=3).map(|replica| drilled.pid(replica)).collect();
    let (stop, start) = (kill("TERM"), start_command(&cluster));
    let stopped =
        drill(&cluster, &["--kind", "stop", "--stop-with", &stop, "--start-with", &start]).with_code(0);
    assert!(first(&stopped).starts_with("PASS: 1 round, "), "{}", stopped.out);
    let is_new = |replica: &u32| drilled.pid(*replica) != before[*replica as usize - 1];
    assert_eq!((1..=3).filter(is_new).count(), 1, "one was started anew");

    let failed = drill(&cluster, &["--kind", "freeze", "--signal-with", "exit 7"]).with_code(4);
    assert!(first(&failed).starts_with("FAIL: `exit 7` failed: "), "{}", failed.out);
}
