//! `dev` with what it runs beside the replicas: the page, metrics, and a program of the user.

use lockstep_client::{Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_testkit::processes::{PATIENCE, PrintedLines, Process, command_of, free_address, page};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lockstep-demo");
const LOOK: Duration = Duration::from_millis(20);
/// The head of whoever asks for a page of this host.
const LOCAL: &str = "Host: localhost\r\n";

/// A cluster for development that runs, and the lines that it prints.
pub struct Dev {
    pub process: Process,
    lines: PrintedLines,
    _logs: TempDir,
}

impl Dev {
    /// Starts it. The operators' program lies beside it.
    pub fn start(args: &[&str]) -> Self {
        assert!(lockstep_testkit::processes::program().exists());
        let logs = TempDir::new().expect("a folder");
        let command = command_of(Command::new(PROGRAM), &[&["dev", "--until-stdin-ends"], args].concat());
        let mut process = Process::start("dev", command, logs.path().join("dev.log"));
        let lines = process.take_lines();
        Self { process, lines, _logs: logs }
    }

    /// The rest of the next line with this.
    #[track_caller]
    pub fn after(&mut self, mark: &str) -> String {
        self.lines.after(mark, &self.process)
    }

    /// The number of the process of this name, as it was started the `times`-th time.
    pub fn pid_of(&mut self, name: &str, times: usize) -> u32 {
        let mark = format!("dev: {name} is process ");
        self.process.await_log_times(&mark, times);
        let log = self.process.log();
        let pid = log.split(&mark).nth(times).and_then(|rest| rest.split_whitespace().next());
        pid.and_then(|pid| pid.parse().ok()).expect("a number")
    }

    /// Ends it as its parent does, and returns its log.
    pub fn end(mut self) -> String {
        drop(self.process.stdin().take());
        assert!(self.process.wait().success(), "{}", self.process.log());
        self.process.log()
    }
}

/// What `dev` with these arguments says, if it ends by itself.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let mut command = command_of(Command::new("timeout"), &[&["60", PROGRAM, "dev"], args].concat());
    let Output { status, stdout, stderr } = command.output().expect("timeout runs");
    assert!(stdout.is_empty(), "something was started: {}", String::from_utf8_lossy(&stdout));
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// A program of these lines of a shell.
pub fn script(folder: &TempDir, name: &str, lines: &str) -> PathBuf {
    let (path, new) = (folder.path().join(name), folder.path().join("new"));
    fs::write(&new, format!("#!/bin/sh\n{lines}\n")).expect("a script");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    // As a linker does: the file of the process that runs stays as it is.
    fs::rename(&new, &path).expect("one folder");
    path
}

/// Waits until the page at this address has this text.
#[track_caller]
fn await_page(address: SocketAddr, path: &str, text: &str) {
    let began = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < PATIENCE, "nobody listens at {address}");
        std::thread::sleep(LOOK);
    }
    loop {
        let (status, body) = page(address, path, LOCAL);
        if status == 200 && body.contains(text) {
            return;
        }
        // A process that begins says so.
        assert!(began.elapsed() < PATIENCE, "{status}: {body}");
        std::thread::sleep(LOOK);
    }
}

/// Whether that process runs: it is neither gone nor waited for.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[track_caller]
fn await_end_of(pid: u32) {
    let began = Instant::now();
    while runs(pid) {
        assert!(began.elapsed() < PATIENCE, "process {pid} lives on");
        std::thread::sleep(LOOK);
    }
}

/// The stream from its beginning, until it has a message with these bytes.
#[track_caller]
pub fn await_message(file: &str, payload: &[u8]) {
    let endpoint = Endpoint::from_file(Path::new(file)).unwrap_or_else(|error| panic!("{error}"));
    let mut subscriber =
        Subscriber::connect(&endpoint, Delivery::Committed, Start::Oldest).expect("a subscriber");
    let (mut seen, began) = (false, Instant::now());
    while !seen {
        subscriber.poll(64, |event| {
            seen |= matches!(event, SubscriberEvent::Message(message) if message.payload == payload);
            ControlFlow::Continue(())
        });
        assert!(began.elapsed() < PATIENCE, "the stream has no {:?}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn the_page_and_the_metrics_of_each_process_are_where_it_says_and_end_with_it() {
    let web = free_address();
    let at = web.to_string();
    let mut dev = Dev::start(&["--web", &at, "--metrics", "--gateway", "--feed", "3"]);
    assert_eq!(dev.after("the page of `lockstep web` at "), format!("http://{at}/"));
    let mut metrics = Vec::new();
    for process in ["replica-1", "replica-2", "replica-3", "gateway", "feed-3"] {
        let url = dev.after(&format!("metrics of {process} at http://"));
        let address = url.strip_suffix("/metrics").and_then(|address| address.parse().ok());
        metrics.push(address.unwrap_or_else(|| panic!("{url}")));
    }
    metrics.iter().for_each(|address| await_page(*address, "/metrics", "# TYPE lockstep_"));
    await_page(web, "/live.json", "lockstep.web/1");
    dev.end();
    for address in metrics.iter().chain([&web]) {
        assert!(std::net::TcpStream::connect(address).is_err(), "{address} answers still");
    }
}

#[test]
fn a_program_publishes_its_lines_are_printed_and_a_new_file_starts_it_again() {
    let folder = TempDir::new().expect("a folder");
    let publish = |word: &str| {
        let stay = "trap 'echo over; exit' TERM\nsleep 600 & wait";
        format!("echo {word} begins\necho {word} of $1 | lockstep publish --name app\n{stay}")
    };
    let path = script(&folder, "app", &publish("first"));
    let app = format!("{} me", path.display());
    let mut dev = Dev::start(&["--watch", "--app", &app]);
    let file = dev.after("export LOCKSTEP_CONFIG=");
    assert_eq!(
        dev.after(&app),
        ": started again when its file changes, its lines stand behind [app]",
        "one line says what runs"
    );
    assert_eq!(dev.after("[app] "), "first begins");
    dev.process.await_log("[app] 'app' (publisher 1): 1 published, 1 committed");
    await_message(&file, b"first of me");
    let first = dev.pid_of("app", 1);

    script(&folder, "app", &publish("second"));
    dev.process.await_log(&format!("dev: {} has changed; app is started again", path.display()));
    assert_eq!(dev.after("[app] "), "over", "it was asked to end, and did in order");
    assert_eq!(dev.after("[app] "), "second begins");
    await_message(&file, b"second of me");
    assert!(!runs(first));
    let second = dev.pid_of("app", 2);
    assert_eq!(dev.process.log().matches("has changed").count(), 1);

    dev.process.signal("TERM");
    assert_eq!(dev.after("[app] "), "over", "it ends with the cluster, in order too");
    assert!(dev.process.wait().success());
    assert!(!runs(second));
}

#[test]
fn what_runs_beside_a_cluster_that_is_killed_ends_as_well() {
    let folder = TempDir::new().expect("a folder");
    let path = script(&folder, "app", "exec sleep 600").display().to_string();
    let web = free_address();
    let mut dev = Dev::start(&["--web", &web.to_string(), "--app", &path, "--app", &path]);
    let file = dev.after("export LOCKSTEP_CONFIG=");
    let apps = [dev.pid_of("app-1", 1), dev.pid_of("app-2", 1)];
    await_page(web, "/live.json", "lockstep.web/1");
    dev.process.signal("KILL");
    dev.process.wait();
    apps.into_iter().for_each(await_end_of);
    let began = Instant::now();
    while std::net::TcpStream::connect(web).is_ok() {
        assert!(began.elapsed() < PATIENCE, "the page answers still");
        std::thread::sleep(LOOK);
    }
    crate::demo::remove_memory_folder(&fs::read_to_string(&file).expect("the file"));
    fs::remove_dir_all(Path::new(&file).parent().expect("its folder")).expect("it was left");
}

#[test]
fn a_program_that_ends_by_an_error_is_started_again_some_times_and_one_that_is_done_is_not() {
    let folder = TempDir::new().expect("a folder");
    let wrong = script(&folder, "wrong", "exit 7").display().to_string();
    let done = script(&folder, "done", "echo all done").display().to_string();
    let mut dev = Dev::start(&["--app", &wrong, "--app", &done]);
    dev.process.await_log("dev: wrong ended (exit status: 7); it is started again in 1s (1 of 5)");
    dev.process
        .await_log("dev: wrong ended (exit status: 7) 6 times, one soon after the other: it stays ended");
    let log = dev.end();
    assert!(log.contains("mend it, and start `dev` again"), "{log}");
    assert!(log.contains("dev: done ended (exit status: 0)"), "{log}");
    let started = ["wrong", "done"].map(|name| log.matches(&format!("dev: {name} is process")).count());
    assert_eq!(started, [6, 1], "{log}");
}

/// One that neither ends when it is asked to nor lets what it has started end.
#[test]
fn a_program_that_does_not_end_in_order_is_killed_with_what_it_has_started() {
    let folder = TempDir::new().expect("a folder");
    let path = script(&folder, "stubborn", "trap '' TERM\nsleep 600 &\necho $!\nwait").display().to_string();
    let mut dev = Dev::start(&["--app", &path]);
    let inner = dev.after("[stubborn] ").parse().expect("a number");
    let outer = dev.pid_of("stubborn", 1);
    let log = dev.end();
    assert!(log.contains("dev: stubborn did not end within 5s of SIGTERM; it is killed"), "{log}");
    [outer, inner].into_iter().for_each(await_end_of);
}

#[test]
fn what_cannot_run_beside_a_cluster_is_refused_before_anything_is_started() {
    let folder = TempDir::new().expect("a folder");
    let plain = folder.path().join("plain");
    fs::write(&plain, "").expect("a file");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = (taken.local_addr().expect("its own").to_string(), taken);
    let path = |path: &Path| path.display().to_string();
    for (args, code, parts) in [
        (vec!["--app", "/nonexistent/app"], 2, vec!["/nonexistent/app", "no such file", "build it first"]),
        (vec!["--app", &*path(&plain)], 2, vec!["is not executable", "chmod +x"]),
        (vec!["--app", &*path(folder.path())], 2, vec!["is no file"]),
        (vec!["--watch"], 2, vec!["--app"]),
        (vec!["--web", &*taken.0], 1, vec!["--web", "another process has that port", "choose another port"]),
        (vec!["--web", "192.0.2.1:9480"], 1, vec!["--web", "this host has no such address"]),
        (vec!["--web", "here"], 2, vec!["--web", "here"]),
    ] {
        let (found, log) = refused(&args);
        assert_eq!(found, Some(code), "{args:?}: {log}");
        assert!(parts.iter().all(|part| log.contains(part)), "{args:?}: {log}");
    }
}
