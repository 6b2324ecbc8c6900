//! A cluster of real processes: each has its own folder, groups and ports, every wait has an end, and
//! whatever is started ends with the handle that started it.
//!
//! Where the processes run is a [`Ground`]: loopback, or the nodes of a [`crate::netns::Network`]. Nothing
//! here returns an error: a process that does not do what its test wants is a failed test, and the panic
//! shows its last words.

use crate::netns::Place;
use lockstep::config::Config;
use lockstep_io::clock::random_u64;
use lockstep_io::udp::free_port;
use lockstep_node::local::{ClusterFile, Line, Replica, node_keys};
use lockstep_process::child::{ChildGuard, LoggedChild, await_end, clear_settings};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No command of these tests takes nearly so long; one that hangs is ended and fails its test.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a process of ours needs at most to begin, on a machine that has time.
const STARTING: Duration = Duration::from_millis(500);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(2);

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
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

/// The program that is tested: cargo puts it beside `tools`, and above the tests.
///
/// # Panics
/// It is not there: `cargo build` makes it.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it lies");
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("lockstep")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no lockstep beside {}: `cargo build` first", own.display()))
}

/// A program of ours with these arguments and a clean environment.
pub fn command(args: &[&str]) -> Command {
    command_of(Command::new(program()), args)
}

/// The same behind another program (`unshare …`).
pub fn command_of(mut command: Command, args: &[impl AsRef<OsStr>]) -> Command {
    command.args(args);
    clear_settings(&mut command);
    command
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Outcome {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = ChildGuard::from(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input); // a command may end before it has read all
    });
    let out = reader(child.stdout.take().expect("piped"));
    let err = reader(child.stderr.take().expect("piped"));
    let ended = await_end(&mut child, PATIENCE).expect("a child");
    let status = ended.unwrap_or_else(|| panic!("{command:?} does not end"));
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
    child: LoggedChild,
    name: String,
}

impl Process {
    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Waits until its stderr has `text`.
    #[track_caller]
    pub fn await_log(&mut self, text: &str) {
        self.await_log_times(text, 1);
    }

    /// Waits until its stderr has `text` so many times.
    #[track_caller]
    pub fn await_log_times(&mut self, text: &str, times: usize) {
        let began = Instant::now();
        while self.log().matches(text).count() < times {
            let ended = self.ended().map(|status| format!(" (it ended: {status})")).unwrap_or_default();
            let is_late = began.elapsed() > PATIENCE || !ended.is_empty();
            assert!(!is_late, "{} has not said '{text}'{ended}:\n{}", self.name, self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.child_mut().try_wait().expect("a child")
    }

    /// Sends it a signal by name, like TERM.
    pub fn signal(&self, name: &str) {
        signal_all(name, [self]);
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, in every namespace.
    pub fn pid(&self) -> u32 {
        self.child.child().id()
    }

    /// What all of its threads have run so far.
    ///
    /// # Panics
    /// It has ended.
    pub fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        // The scheduler's own account, in nanoseconds; a thread may end while we look.
        let run = |thread: std::fs::DirEntry| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(threads.flatten().filter_map(run).sum())
    }

    /// Its input, to be written, closed or taken.
    pub fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.child.child_mut().stdin
    }

    /// Its output, once.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.child_mut().stdout.take().expect("piped")
    }

    /// Reads so many bytes of its stdout and closes it, as a reader does that has seen enough.
    pub fn read_stdout(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut stdout = self.take_stdout();
        stdout
            .read_exact(&mut bytes)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.log()));
        bytes
    }

    /// Reads all of its stdout, to its end.
    pub fn read_all(&mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.take_stdout();
        stdout.read_to_string(&mut text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        text
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let ended = await_end(self.child.child_mut(), PATIENCE).expect("a child");
        ended.unwrap_or_else(|| panic!("{} does not end:\n{}", self.name, self.log()))
    }

    /// Ends it as an operator does, and returns its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait().code()
    }
}

/// Sends a signal to several processes, as nearly at once as one call can.
pub fn signal_all<'a>(name: &str, processes: impl IntoIterator<Item = &'a Process>) {
    let pids: Vec<String> = processes.into_iter().map(|process| process.pid().to_string()).collect();
    let status = Command::new("kill").args(["-s", name]).args(&pids).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {name} {pids:?}");
}

/// Lines of each log that are shown when something fails.
const LAST_LINES: usize = 40;

/// What processes said last.
pub fn last_words(processes: &[Process]) -> String {
    let last =
        |process: &Process| format!("{}:{}\n", process.name(), process.child.last_lines(LAST_LINES, ""));
    processes.iter().map(last).collect()
}

/// Stops processes where they are, and waits until each of their threads stands still: what they said
/// until now they have said, and they say no more.
pub fn freeze(processes: &[Process]) {
    signal_all("STOP", processes);
    let began = Instant::now();
    while let Some(name) = moving(processes) {
        assert!(began.elapsed() < PATIENCE, "{name} does not stand still");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// One of these processes that does not stand still, if any: a thread of it may run.
pub fn moving(processes: &[Process]) -> Option<&str> {
    let stands = |task: std::io::Result<std::fs::DirEntry>| {
        let stat =
            task.and_then(|task| std::fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    let moves = |process: &&Process| {
        let folder = format!("/proc/{}/task", process.pid());
        !std::fs::read_dir(&folder).is_ok_and(|mut threads| threads.all(stands))
    };
    processes.iter().find(moves).map(|process| process.name.as_str())
}

/// Which part of a core each of these uses for `time`, once it has begun: what a start costs is not counted.
pub fn cpu_shares<'a>(
    processes: impl IntoIterator<Item = &'a Process>,
    time: Duration,
) -> Vec<(String, f64)> {
    let processes: Vec<_> = processes.into_iter().collect();
    std::thread::sleep(STARTING);
    let (began, before) =
        (Instant::now(), processes.iter().map(|process| process.cpu_time()).collect::<Vec<_>>());
    std::thread::sleep(time);
    let took = began.elapsed();
    let share = |(process, before): (&&Process, Duration)| {
        let used = process.cpu_time().saturating_sub(before);
        (process.name().to_owned(), used.as_secs_f64() / took.as_secs_f64())
    };
    processes.iter().zip(before).map(share).collect()
}

/// Where a cluster's processes run, and by which addresses they find each other.
pub struct Ground {
    /// The interface of the groups, for all alike.
    pub interface: String,
    /// The interface of the second line and each replica's address there, if there is one.
    pub second: Option<(String, Vec<Ipv4Addr>)>,
    /// Routers that a datagram may pass, plus one.
    pub ttl: u8,
    /// Each replica's address, 1 first.
    pub addresses: Vec<Ipv4Addr>,
    /// Where each replica runs, 1 first.
    pub places: Vec<Place>,
    /// Where everybody else runs.
    pub clients: Place,
    /// Whether the replicas use xdp; everybody else uses the kernel's sockets.
    pub by_xdp: bool,
    /// Whether all send to each member alone, and nobody multicasts.
    pub by_unicast: bool,
    /// Whether the processes of one place exchange datagrams by memory.
    pub has_memory: bool,
}

impl Ground {
    /// All on this host's loopback.
    pub fn loopback(replicas: u32) -> Self {
        let count = replicas as usize;
        Self {
            interface: "127.0.0.1".into(),
            second: None,
            ttl: 0,
            addresses: vec![Ipv4Addr::LOCALHOST; count],
            places: vec![Place::host(); count],
            clients: Place::host(),
            by_xdp: false,
            by_unicast: false,
            has_memory: false,
        }
    }

    /// The same with xdp for the replicas.
    pub fn by_xdp(self) -> Self {
        Self { by_xdp: true, ..self }
    }

    /// The same without multicast.
    pub fn by_unicast(self) -> Self {
        Self { by_unicast: true, ..self }
    }

    /// The same with shared memory for the processes of each place.
    pub fn with_memory(self) -> Self {
        Self { has_memory: true, ..self }
    }
}

/// Free memory that is room enough for the files of a cluster.
const ROOM_BYTES: u64 = 2 << 30;

/// Ports of addresses that are drawn here: below those that the kernel gives to connections (from 32768 on),
/// so that none takes the port of a process that is killed and started again.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// An address of the loopback that was free for TCP a moment ago.
pub fn free_address() -> SocketAddr {
    let draw = |_| {
        let drawn = random_u64().expect("a random number") % PORTS.len() as u64;
        let port = PORTS.start + drawn as u16;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|free| free.local_addr()).ok()
    };
    (0..1_000).find_map(draw).expect("an address")
}

/// A page that a process serves, asked for with these lines of a head (each with its end): its status and its
/// text; 0 of a process that does not listen yet.
pub fn page(address: SocketAddr, path: &str, head: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, text.to_owned())
}

/// A temporary folder in memory, or on the disk where memory has no room (`/dev/shm` of a container).
pub fn memory_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = lockstep_node::io::tail::free_bytes(memory).is_ok_and(|bytes| bytes > ROOM_BYTES);
    let made = if has_room { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a temporary folder")
}

/// A cluster's folder with its configuration.
pub struct Cluster {
    folder: TempDir,
    ground: Ground,
    program: PathBuf,
}

impl Cluster {
    /// `replicas` on loopback that are not formatted yet. `more` is TOML behind the tables that every test
    /// has; without a table of its own it goes on with `[stream]`.
    pub fn new(replicas: u32, more: &str) -> Self {
        Self::on(Ground::loopback(replicas), more)
    }

    /// The same on another ground.
    pub fn on(ground: Ground, more: &str) -> Self {
        Self::within(TempDir::new().expect("a temporary folder"), ground, more)
    }

    /// The same in a folder of the caller's.
    pub fn within(folder: TempDir, ground: Ground, more: &str) -> Self {
        let cluster = Self { folder, ground, program: program() };
        cluster.write_config(&cluster.ground.interface, more);
        cluster
    }

    /// From now on its processes and commands are of this release.
    pub fn use_program(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Writes the configuration anew, with other ports and groups.
    pub fn write_config(&self, interface: &str, more: &str) {
        let Ground { ttl, by_unicast, by_xdp, has_memory, .. } = self.ground;
        let line = |interface| {
            let more = if by_unicast { "transport = \"unicast\"\n" } else { "" };
            Line { interface, ttl, more: more.to_owned() }
        };
        let second = self.ground.second.as_ref();
        let replica = |(index, &address): (usize, &Ipv4Addr)| {
            let more = if by_xdp { "transport = \"xdp\"\n" } else { "" };
            Replica { address, second: second.map(|(_, addresses)| addresses[index]), more: more.to_owned() }
        };
        let mut tables = if has_memory { "\n[network]\nshm = true\n" } else { "" }.to_owned();
        // Parked threads leave the cores to the other tests.
        tables += "\n[runtime]\nidle = \"park\"\n";
        if !more.contains("[journal]") {
            tables += "\n[journal]\ntail_size = \"4MiB\"\nsegment_size = \"1MiB\"\n\n[stream]\nwindow_bytes = \"1MiB\"\n";
        }
        let file = ClusterFile {
            lines: [interface]
                .into_iter()
                .chain(second.map(|(interface, _)| interface.as_str()))
                .map(line)
                .collect(),
            replicas: self.ground.addresses.iter().enumerate().map(replica).collect(),
            disk: self.folder.path(),
            memory: self.folder.path(),
            tables: tables + more,
        };
        let text = file.text().unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(self.config(), text).expect("writing the configuration");
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path("cluster.toml")
    }

    /// The groups of its first line.
    pub fn groups(&self) -> [SocketAddrV4; 3] {
        let config = Config::load(Some(&self.config()), &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let line = &config.lines[0];
        [line.submit, line.data, line.control]
    }

    /// How many replicas the configuration has.
    pub fn replicas(&self) -> u32 {
        self.ground.places.len() as u32
    }

    /// Where everybody runs who is no replica.
    pub fn clients(&self) -> &Place {
        &self.ground.clients
    }

    /// Where replica `id` runs.
    fn place(&self, id: u32) -> &Place {
        &self.ground.places[id as usize - 1]
    }

    /// Adds where the configuration is.
    pub fn args(&self, args: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        all.extend(["--config".to_owned(), self.config().display().to_string()]);
        all
    }

    /// A command on this cluster in `place`.
    pub fn command_at(&self, place: &Place, args: &[&str]) -> Command {
        command_of(place.command(self.program.clone()), &self.args(args))
    }

    /// Runs a command on this cluster to its end.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Outcome {
        run(self.command_at(&self.ground.clients, args), input)
    }

    /// Starts one that goes on; its stderr is kept in a file.
    pub fn start(&self, name: &str, args: &[&str]) -> Process {
        self.start_command(name, self.command_at(&self.ground.clients, args))
    }

    /// Starts a command of the caller's; its stderr is kept in a file.
    pub fn start_command(&self, name: &str, command: Command) -> Process {
        let log = self.path(&format!("{name}.log"));
        // What a test waits for was said by this start, and not by the one before it.
        let _ = std::fs::remove_file(&log); // there may be none
        let child = LoggedChild::start(command, Stdio::piped(), log);
        Process { child: child.unwrap_or_else(|error| panic!("{name}: {error}")), name: name.to_owned() }
    }

    /// Starts replica `id`.
    pub fn start_replica(&self, id: u32) -> Process {
        self.start_replica_with(id, &[])
    }

    /// The same with more flags.
    pub fn start_replica_with(&self, id: u32, more: &[&str]) -> Process {
        let id_text = id.to_string();
        let args: Vec<&str> = ["sequencer", "--replica", &id_text].iter().chain(more).copied().collect();
        self.start_command(&format!("replica-{id}"), self.command_at(self.place(id), &args))
    }

    /// Adds archiver `id` to the configuration, and formats it.
    #[track_caller]
    pub fn add_archiver(&self, id: u32, more: &str) {
        let unicast = free_port(Ipv4Addr::LOCALHOST).expect("a free port");
        let unicast = SocketAddrV4::new(self.ground.addresses[0], unicast);
        let keys = node_keys(id, unicast, self.folder.path(), self.folder.path());
        let mut text = std::fs::read_to_string(self.config()).expect("the configuration");
        text += &format!("\n[[archivers]]\n{keys}{more}");
        std::fs::write(self.config(), text).expect("writing the configuration");
        let command = self.command_at(&self.ground.clients, &["format", "--archiver", &id.to_string()]);
        run(command, b"").with_code(0);
    }

    /// Starts archiver `id`.
    pub fn start_archiver(&self, id: u32) -> Process {
        let args = ["archiver", "--archiver", &id.to_string()];
        self.start_command(&format!("archiver-{id}"), self.command_at(&self.ground.clients, &args))
    }

    /// Formats replica `id` and returns its identity.
    #[track_caller]
    pub fn format(&self, id: u32) -> String {
        let command = self.command_at(self.place(id), &["format", "--replica", &id.to_string()]);
        run(command, b"").with_code(0).out.trim().to_owned()
    }

    /// Formats all, starts a history on replica 1, and starts them all.
    #[track_caller]
    pub fn found(&self) -> Vec<Process> {
        let identities: Vec<_> = (1..=self.replicas()).map(|id| self.format(id)).collect();
        let mut args = vec!["bootstrap", "--replica", "1"];
        for identity in &identities[1..] {
            args.extend(["--identity", identity]);
        }
        run(self.command_at(self.place(1), &args), b"").with_code(0);
        let mut replicas: Vec<_> = (1..=self.replicas()).map(|id| self.start_replica(id)).collect();
        replicas[0].await_log("-> leader");
        replicas
    }

    /// The number of the replica that leads, once one does.
    #[track_caller]
    pub fn leader(&self) -> u32 {
        self.run(&["wait", "--for", "leader"], b"").with_code(0);
        // The exit code tells the health, and a member that has just begun makes that less.
        let status = self.run(&["status", "--json"], b"").out;
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let identity = status["leader"].as_str().expect("a leader");
        identity.split(':').next().and_then(|number| number.parse().ok()).expect("a number")
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

/// Whether this process may make namespaces and mount: it needs root.
pub fn is_root() -> bool {
    Path::new("/proc/self").exists()
        && std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
        })
}
