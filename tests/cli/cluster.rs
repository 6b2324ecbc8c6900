//! A cluster of real processes on loopback: each test has its own folder, groups and ports, every wait has
//! an end, and whatever a test starts ends with it.

// Waits for real processes: it reads the clock, sleeps, and has threads that read their output.
#![allow(clippy::disallowed_methods)]

use lockstep::io::udp::free_port;
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No command of these tests takes nearly so long; one that hangs is ended and fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// The same, if it ended with `code`.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// The same, if its stderr has all of `texts`.
    #[track_caller]
    pub fn saying(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "'{text}' is not in:\n{}", self.err);
        }
        self
    }

    /// What follows `digest` on stderr.
    #[track_caller]
    pub fn digest(&self) -> String {
        let digest = self.err.lines().find_map(|line| line.split_once("digest ")).map(|(_, digest)| digest);
        digest.unwrap_or_else(|| panic!("no digest in:\n{}", self.err)).to_owned()
    }
}

/// A program of ours with these arguments and a clean environment.
pub fn command(args: &[&str]) -> Command {
    command_of(Command::new(env!("CARGO_BIN_EXE_lockstep")), args)
}

/// The same behind another program (`unshare …`).
pub fn command_of(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input); // a command may end before it has read all
    });
    let out = reader(child.stdout.take().expect("piped"));
    let err = reader(child.stderr.take().expect("piped"));
    let mut process = Process { child, name: format!("{command:?}"), log: PathBuf::new() };
    let status = process.wait();
    let text = |bytes: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&bytes.join().expect("a reader")).into_owned()
    };
    let outcome = Outcome { code: status.code(), out: text(out), err: text(err) };
    writer.join().expect("a writer");
    outcome
}

fn reader(mut source: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.read_to_end(&mut bytes); // what came before an error counts
        bytes
    })
}

/// A process that ends with its test.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until its stderr has `text`.
    #[track_caller]
    pub fn await_log(&mut self, text: &str) {
        let began = Instant::now();
        while !self.log().contains(text) {
            let ended =
                self.child.try_wait().expect("a child").map(|status| format!(" (it ended: {status})"));
            let ended = ended.unwrap_or_default();
            let is_late = began.elapsed() > PATIENCE || !ended.is_empty();
            assert!(!is_late, "{} has not said '{text}'{ended}:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal by name, like TERM.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {name} of {}", self.name);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.child.stdin
    }

    /// Reads so many bytes of its stdout and closes it, as a reader does that has seen enough.
    pub fn read_stdout(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout
            .read_exact(&mut bytes)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.log()));
        bytes
    }

    /// Reads all of its stdout, to its end.
    pub fn read_all(&mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_string(&mut text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        text
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not end:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it as an operator does, and returns its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A cluster's folder with its configuration.
pub struct Cluster {
    folder: TempDir,
    replicas: u32,
}

static CLUSTERS: AtomicU8 = AtomicU8::new(1);

impl Cluster {
    /// `replicas` that are not formatted yet. `more` is TOML behind the tables that every test has.
    pub fn new(replicas: u32, more: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let cluster = Self { folder, replicas };
        cluster.write_config("127.0.0.1", more);
        cluster
    }

    /// Writes the configuration anew, with other ports and groups.
    pub fn write_config(&self, interface: &str, more: &str) {
        let port = free_port(Ipv4Addr::LOCALHOST).expect("a free port");
        let (a, b) = (std::process::id() as u8, CLUSTERS.fetch_add(1, Ordering::Relaxed));
        let group = |last: u8| format!("239.{}.{b}.{last}:{port}", 128 | a & 0x7f);
        let mut text = format!(
            "cluster = {}\nprofile = \"shared\"\n\n[[lines]]\nsubmit = \"{}\"\ndata = \"{}\"\ncontrol = \
             \"{}\"\ninterface = \"{interface}\"\nttl = 0\n",
            u64::from(port) << 24 | u64::from(b) << 8 | u64::from(a),
            group(1),
            group(2),
            group(3),
        );
        let folder = self.path("");
        let folder = folder.display();
        for id in 1..=self.replicas {
            let unicast = free_port(Ipv4Addr::LOCALHOST).expect("a free port");
            text += &format!(
                "\n[[replicas]]\nid = {id}\nunicast = \"127.0.0.1:{unicast}\"\njournal = \
                 \"{folder}journal-{id}\"\ntail = \"{folder}tail-{id}\"\ncounters = \"{folder}counters-{id}\"\n"
            );
        }
        // Parked threads leave the cores to the other tests.
        text += "\n[runtime]\nidle = \"park\"\n";
        let text = if more.contains("[journal]") {
            text + more
        } else {
            text + "\n[journal]\ntail_size = \"4MiB\"\nsegment_size = \"1MiB\"\n\n[stream]\nwindow_bytes = \
                    \"1MiB\"\n"
                + more
        };
        std::fs::write(self.config(), text).expect("writing the configuration");
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("cluster.toml")
    }

    /// Adds where the configuration is.
    pub fn args(&self, args: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        all.extend(["--config".to_owned(), self.config().display().to_string()]);
        all
    }

    /// Runs a command on this cluster to its end.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Outcome {
        let args = self.args(args);
        run(command(&args.iter().map(String::as_str).collect::<Vec<_>>()), input)
    }

    /// Starts one that goes on; its stderr is kept in a file.
    pub fn start(&self, name: &str, args: &[&str]) -> Process {
        let args = self.args(args);
        self.start_command(name, command(&args.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    pub fn start_command(&self, name: &str, mut command: Command) -> Process {
        let log = self.path(&format!("{name}.log"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).expect("a log"));
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Process { child, name: name.to_owned(), log }
    }

    /// Starts replica `id`.
    pub fn start_replica(&self, id: u32) -> Process {
        self.start(&format!("replica-{id}"), &["sequencer", "--replica", &id.to_string()])
    }

    /// Formats replica `id` and returns its identity.
    #[track_caller]
    pub fn format(&self, id: u32) -> String {
        let outcome = self.run(&["format", "--replica", &id.to_string()], b"").with_code(0);
        outcome.out.trim().to_owned()
    }

    /// Formats all, starts a history on replica 1, and starts them all.
    #[track_caller]
    pub fn found(&self) -> Vec<Process> {
        let identities: Vec<_> = (1..=self.replicas).map(|id| self.format(id)).collect();
        let mut args = vec!["bootstrap", "--replica", "1"];
        for identity in &identities[1..] {
            args.extend(["--identity", identity]);
        }
        self.run(&args, b"").with_code(0);
        let mut replicas: Vec<_> = (1..=self.replicas).map(|id| self.start_replica(id)).collect();
        replicas[0].await_log("-> leader");
        replicas
    }

    /// Publishes these lines and waits for their commit.
    #[track_caller]
    pub fn publish(&self, lines: &str) -> Outcome {
        self.run(&["publish", "--name", "orders"], lines.as_bytes()).with_code(0)
    }

    /// Reads from seq 1 to the commit.
    #[track_caller]
    pub fn read(&self, more: &[&str]) -> Outcome {
        let mut args = vec!["subscribe", "--until-end"];
        args.extend(more);
        self.run(&args, b"").with_code(0)
    }
}

/// The last column of `subscribe`'s text: the payloads.
pub fn payloads(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.rsplit('\t').next().unwrap_or_default()).collect()
}

/// Whether this test may make namespaces and mount: it needs root.
pub fn is_root() -> bool {
    Path::new("/proc/self").exists()
        && std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
        })
}
