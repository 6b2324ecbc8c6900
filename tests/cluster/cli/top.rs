//! `lockstep top`: as text, as JSON, and on a terminal.

use lockstep_testkit::processes::{
    Cluster, Outcome, PATIENCE, command, command_of, free_address, program, run,
};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BRISK: &str = "--interval=200ms";

fn json(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.with_code(0).out).expect("JSON")
}

/// The row of a node on a screen, in its words.
fn row<'a>(screen: &'a str, name: &str) -> Vec<&'a str> {
    let line = screen.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} on\n{screen}")).split_whitespace().collect()
}

#[test]
fn text_and_json_have_the_figures_of_the_cluster_and_a_dead_process_says_since_when() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    cluster.publish("one\ntwo\nthree\n");
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    let top = |more: &[&str]| cluster.run(&[&["top", BRISK], more].concat(), b"");
    let (status, snapshot) = (json(cluster.run(&["status", "--json"], b"")), json(top(&["--json"])));
    assert_eq!((&snapshot["schema"], &snapshot["source"]), (&"lockstep.top/1".into(), &"cluster".into()));
    assert_eq!(snapshot["cluster"]["health"], "healthy");
    for key in ["leader", "epoch", "summary", "members_listed", "may_crash", "epoch_since_ns"] {
        assert_eq!(snapshot["cluster"][key], status[key], "{key}");
    }
    let (nodes, statuses) = (&snapshot["nodes"], &status["replicas"]);
    for index in 0..3 {
        for key in ["identity", "role", "accept_next", "commit_next", "lag", "address"] {
            assert_eq!(nodes[index][key], statuses[index][key], "{index} {key}");
        }
        assert!(nodes[index]["in_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "heartbeats: {nodes}");
        assert!(nodes[index]["busy"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{nodes}");
    }
    let processes = snapshot["processes"].as_array().expect("processes");
    assert!(processes[0]["counters"].as_array().is_some_and(|counters| counters.len() > 100));

    let text = top(&["--once", "--size", "200x50"]).with_code(0).out;
    assert!(text.contains("healthy: 3 of 3 members answer and hold the log, 1 may crash"), "{text}");
    let leader = row(&text, "replica-1");
    let (end, commit) = (nodes[0]["accept_next"].to_string(), nodes[0]["commit_next"].to_string());
    assert_eq!(leader[1..6], ["leader", "1", &end, &commit, "0"], "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 200), "{text}");

    replicas[2].signal("KILL");
    replicas[2].wait();
    let text = top(&["--once", "--size", "80x24"]).with_code(0).out;
    assert_eq!(row(&text, "replica-3")[1], "ENDED", "{text}");
    assert!(text.contains("degraded: replica 3 does not answer at"), "{text}");
    let local = top(&["--local", "--once"]).with_code(0).out;
    assert!(local.contains("replica-1 leads; 2 processes run, 0 hang, 1 have ended"), "{local}");
    let file = std::fs::read_to_string(cluster.config()).expect("the cluster's file");
    let counters = file.lines().filter_map(|line| line.strip_prefix("counters = \"")).nth(2);
    let counters = counters.expect("three files").trim_end_matches('"');
    let dead = top(&["--file", counters, "--once"]).with_code(0).out;
    let pid = format!("replica-3: process {}, ", replicas[2].pid());
    assert!(dead.contains(&pid) && dead.contains("these are its last figures"), "{dead}");
    assert!(dead.contains("accept_next"), "{dead}");
}

/// On a host that has no counters file of theirs, as if they ran on others.
#[test]
fn nodes_of_other_hosts_have_their_figures_from_their_pages_and_those_without_have_none() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let page = free_address().to_string();
    assert_eq!(replicas.pop().expect("replica 3").terminate(), Some(0));
    replicas.push(cluster.start_replica_with(3, &["--set", &format!("metrics.listen={page}")]));
    cluster.publish("one\ntwo\nthree\n");
    cluster.run(&["wait", "--for", "caught-up"], b"").with_code(0);
    let file = std::fs::read_to_string(cluster.config()).expect("the cluster's file");
    let elsewhere = cluster.path("elsewhere.toml");
    std::fs::write(&elsewhere, file.replace("counters = \"", "counters = \"/nowhere")).expect("a file");
    let elsewhere = elsewhere.to_str().expect("a path");
    let top = |form| run(command(&["top", BRISK, form, "--page", &page, "--config", elsewhere]), b"");
    let nodes = json(top("--json"))["nodes"].clone();
    for key in ["in_per_second", "busy", "stall_longest_ns", "written_next", "repairs_in", "dropped"] {
        assert!(nodes[2][key].is_number(), "{key}: {nodes}");
        assert!(nodes[1][key].is_null(), "{key}: {nodes}");
    }
    assert_eq!((&nodes[2]["role"], &nodes[2]["pid"]), (&"standby".into(), &replicas[2].pid().into()));

    replicas[2].signal("KILL");
    replicas[2].wait();
    let text = top("--once").with_code(0).out;
    assert_eq!(row(&text, "replica-3")[1], "SILENT", "{text}");
}

#[test]
fn wrong_flags_and_a_stdout_that_is_no_terminal_say_what_to_use_instead() {
    let cluster = Cluster::new(1, "");
    let refused = |args: &[&str], code: i32, texts: &[&str]| {
        cluster.run(&[&["top"], args].concat(), b"").with_code(code).saying(texts);
    };
    refused(&[], 2, &["stdout is no terminal", "--once", "--json"]);
    refused(&["--once", "--interval", "99ms"], 2, &["99ms is below 100ms"]);
    refused(&["--once", "--size", "80"], 2, &["like 80x24"]);
    refused(&["--once", "--json"], 2, &["cannot be used with"]);
    refused(&["--once", "--local"], 4, &["no process of this configuration has run"]);
    refused(&["--once", "--file", "/nowhere/file"], 1, &["/nowhere/file"]);
    let alone = cluster.run(&["top", "--once", BRISK], b"").with_code(0).out;
    assert!(alone.contains("no quorum: 0 of 1 answer") && row(&alone, "replica-1")[1] == "SILENT", "{alone}");
}

/// A terminal of tmux, on a socket of its own.
struct Tmux {
    folder: TempDir,
}

impl Tmux {
    /// One of 80 columns and 24 lines that runs a shell's line; `None` without tmux.
    fn start(line: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            println!("SKIPPED: tmux is not installed (apt-get install tmux)");
            return None;
        }
        let tmux = Self { folder: TempDir::new().expect("a folder") };
        tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", line]);
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let socket = self.folder.path().join("tmux").display().to_string();
        let args = [&["-f", "/dev/null", "-S", &socket], args].concat();
        let mut command = command_of(Command::new("tmux"), &args);
        command.env("TERM", "xterm-256color").env_remove("TMUX");
        run(command, b"").with_code(0).out
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys", "-t", "0"], keys].concat());
    }

    /// Whether the alternate screen is on, and whether the cursor is shown.
    fn modes(&self) -> String {
        let modes = self.run(&["display-message", "-p", "-t", "0", "#{alternate_on} #{cursor_flag}"]);
        modes.trim().to_owned()
    }

    /// The screen, once it has `text`.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.run(&["capture-pane", "-p", "-t", "0"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "no '{text}' on\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let socket = self.folder.path().join("tmux");
        // One whose last program has ended is gone already.
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

#[test]
fn on_a_terminal_keys_and_sizes_work_no_column_moves_and_the_screen_is_given_back() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let args = cluster.args(&["top", BRISK]).join("' '");
    let top = format!("'{}' '{args}'", program().display());
    let line = format!("{top}; echo left with $?; read go; {top}; echo ended with $?; read go");
    let Some(tmux) = Tmux::start(&line) else { return };

    let calm = tmux.until("healthy: 3 of 3");
    let leads = |number: u32| row(&calm, &format!("replica-{number}"))[1] == "leader";
    assert!(calm.contains("q quit") && (1..=3).any(leads), "{calm}");
    tmux.keys(&["j"]);
    tmux.until("\nreplica-2   2:");
    tmux.keys(&["Enter"]);
    tmux.until("COUNTER");
    tmux.keys(&["Escape"]);
    tmux.until("NODE ");
    tmux.keys(&["?"]);
    tmux.until("any key goes back");
    tmux.keys(&["?"]);
    tmux.until("NODE ");

    replicas[2].signal("KILL");
    replicas[2].wait();
    let failing = tmux.until("degraded: replica 3");
    assert_eq!(row(&failing, "replica-3")[1], "ENDED", "{failing}");
    let place = |screen: &str, begin: &str| {
        screen.lines().enumerate().find(|(_, line)| line.starts_with(begin)).map(|(at, _)| at)
    };
    for begin in ["NODE ", "replica-1", "replica-2", "replica-3"] {
        assert_eq!(place(&calm, begin), place(&failing, begin), "{begin}\n{calm}\n{failing}");
    }
    let titles = |screen: &str| screen.lines().find(|line| line.starts_with("NODE ")).map(str::to_owned);
    assert_eq!(titles(&calm), titles(&failing));

    tmux.run(&["resize-window", "-t", "0", "-x", "40", "-y", "10"]);
    tmux.until("is too small");
    tmux.run(&["resize-window", "-t", "0", "-x", "120", "-y", "30"]);
    tmux.until("COMMIT");
    tmux.keys(&["q"]);
    tmux.until("left with 0");
    assert_eq!(tmux.modes(), "0 1", "the terminal is given back");

    tmux.keys(&["Enter"]);
    tmux.until("s/S sort");
    assert_eq!(tmux.modes(), "1 0");
    let shell = tmux.run(&["list-panes", "-F", "#{pane_pid}"]);
    let shell = shell.trim();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    let child = children.expect("a shell with a child").trim().to_owned();
    run(command_of(Command::new("kill"), &["-TERM", &child]), b"").with_code(0);
    tmux.until("ended with 0");
    assert_eq!(tmux.modes(), "0 1", "the terminal is given back after a signal too");
}

#[test]
fn a_closed_terminal_ends_it_also_where_nobody_sends_the_signal_for_that() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let args = cluster.args(&["top", BRISK]).join("' '");
    let line = format!("trap '' HUP; exec '{}' '{args}'", program().display());
    let Some(tmux) = Tmux::start(&line) else { return };
    tmux.until("s/S sort");
    let top = tmux.run(&["list-panes", "-F", "#{pane_pid}"]).trim().to_owned();
    let process = std::path::Path::new("/proc").join(&top);
    assert!(process.exists());
    drop(tmux);
    let began = Instant::now();
    while process.exists() {
        assert!(began.elapsed() < PATIENCE, "process {top} goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
