//! A daemon under a service manager: readiness, status, and signs of life.

use lockstep_process::child::{ChildGuard, await_end};
use lockstep_process::signal::Signal;
use lockstep_testkit::gateways;
use lockstep_testkit::processes::{Cluster, free_address, page};
use std::fs::File;
use std::io::{PipeReader, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(1_500))).expect("a time");
        Self { socket, _folder: folder, path }
    }

    /// The lines of the next report; `None` if none comes for longer than several signs of life take.
    fn report(&self) -> Option<Vec<String>> {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).lines().map(str::to_owned).collect())
    }

    /// Waits for reports with each of these lines, in any order.
    fn await_lines(&self, lines: &[&str]) {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while lines.iter().any(|line| !seen.iter().any(|known| known == line)) {
            seen.extend(self.report().into_iter().flatten());
            seen.dedup();
            assert!(Instant::now() < until, "not all of {lines:?}: {seen:?}");
        }
    }
}

#[test]
fn a_replica_reports_readiness_status_and_signs_of_life_to_its_service_manager() {
    let cluster = Cluster::new(1, "");
    for replica in cluster.found() {
        assert_eq!(replica.terminate(), Some(0));
    }
    let manager = Manager::new();
    let mut command = cluster.command_at(cluster.clients(), &["sequencer", "--replica", "1"]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "600000");
    let replica = cluster.start_command("replica-1", command);
    manager.await_lines(&["READY=1", "STATUS=leader: ready", "WATCHDOG=1"]);
    replica.signal("STOP");
    // What it had reported before comes first.
    while manager.report().is_some() {}
    replica.signal("CONT");
    manager.await_lines(&["WATCHDOG=1"]);
    assert_eq!(replica.terminate(), Some(0));
}

/// What stdout and stderr of a daemon are.
enum Streams {
    /// A pipe that is full and has no reader.
    Full { writer: Box<dyn Fn() -> Stdio>, _reader: PipeReader },
    /// Closed.
    Closed,
    /// A device without room.
    NoRoom,
}

impl Streams {
    /// A pipe, and a thread that fills what room it ever has.
    fn full() -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let filled = Arc::new(AtomicUsize::new(0));
        let mut filling = (writer.try_clone().expect("a descriptor"), Arc::clone(&filled));
        std::thread::spawn(move || {
            while filling.0.write_all(&[b'x'; 512]).is_ok() {
                filling.1.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (mut before, mut same) = (0, 0);
        while same < 20 {
            std::thread::sleep(Duration::from_millis(5));
            let now = filled.load(Ordering::Relaxed);
            same = if now == before && now > 0 { same + 1 } else { 0 };
            before = now;
        }
        Self::Full {
            writer: Box::new(move || writer.try_clone().expect("a descriptor").into()),
            _reader: reader,
        }
    }

    /// Starts a command with them.
    fn start(&self, command: Command) -> ChildGuard {
        let mut command = match self {
            Self::Closed => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"]).arg(command.get_program());
                shell.args(command.get_args());
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => shell.env(name, value),
                        None => shell.env_remove(name),
                    };
                }
                shell
            }
            _ => command,
        };
        let stream = || match self {
            Self::Full { writer, .. } => writer(),
            Self::Closed => Stdio::null(),
            Self::NoRoom => File::options().write(true).open("/dev/full").expect("/dev/full").into(),
        };
        command.stdin(Stdio::null()).stdout(stream()).stderr(stream());
        command.spawn().expect("a process").into()
    }
}

/// A daemon's arguments, its page, and what that answers once it serves.
fn daemons(cluster: &Cluster) -> Vec<(Vec<String>, std::net::SocketAddr, &'static str)> {
    let users = cluster.path("users.toml").display().to_string();
    let cursor = cluster.path("notary.cursor").display().to_string();
    let requests = free_address().to_string();
    let all: [(&[&str], &str); 6] = [
        (&["sequencer", "--replica", "2"], "/readyz"),
        (&["archiver", "--archiver", "8"], "/readyz"),
        (&["gateway", "--name", "a", "--users", &users, "--listen", "127.0.0.1:0"], "/readyz"),
        (&["feed", "--group", "239.77.9.9:7900", "--requests", &requests], "/readyz"),
        (&["notary", "--name", "n", "--cursor", &cursor], "/readyz"),
        (&["web"], "/live.json"),
    ];
    let one = |(args, path): (&[&str], &'static str)| {
        let address = free_address();
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        match path {
            "/live.json" => args.extend(["--listen".to_owned(), address.to_string()]),
            _ => args.extend(["--set".to_owned(), format!("metrics.listen={address}")]),
        }
        (args, address, path)
    };
    all.into_iter().map(one).collect()
}

#[test]
fn a_daemon_whose_output_nobody_takes_starts_serves_and_ends() {
    let cluster = Cluster::new(2, "");
    cluster.add_archiver(8, "");
    let mut replicas = cluster.found();
    assert_eq!(replicas.pop().expect("two").terminate(), Some(0));
    cluster.run(&["notary", "key", "n"], b"").with_code(0);
    gateways::add_user(&cluster, "anna", "secret", &[]);
    for (what, streams) in
        [("a full pipe", Streams::full()), ("closed", Streams::Closed), ("/dev/full", Streams::NoRoom)]
    {
        // The second replica is needed for the others to serve.
        let mut running = Vec::new();
        for (args, address, path) in daemons(&cluster) {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut child = streams.start(cluster.command_at(cluster.clients(), &args));
            let begun = Instant::now();
            while page(address, path, "Host: localhost\r\n").0 != 200 {
                let ended = child.try_wait().expect("a child");
                assert!(
                    ended.is_none() && begun.elapsed() < PATIENCE,
                    "{what}: {args:?} does not serve: {ended:?}"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            // More lines than a pipe or a queue takes: each dump has the newest events.
            if args[0] == "sequencer" {
                for _ in 0..3 {
                    Command::new("kill").args(["-USR1", &child.id().to_string()]).status().expect("kill");
                }
            }
            running.push((args[0].to_owned(), child));
        }
        cluster.publish("one\ntwo\n");
        for (name, mut child) in running.into_iter().rev() {
            Signal::Terminate.send(&child).expect("it is ours");
            let ended = await_end(&mut child, PATIENCE).expect("a child");
            let code = ended.unwrap_or_else(|| panic!("{what}: {name} does not end")).code();
            assert_eq!(code, Some(0), "{what}: {name}");
        }
    }
    drop(replicas);
}

#[test]
fn a_daemon_that_fails_where_nobody_takes_its_words_ends_with_its_code() {
    let cluster = Cluster::new(1, "");
    for streams in [Streams::full(), Streams::Closed, Streams::NoRoom] {
        let (unformatted, misspelt): ([&str; 3], [&str; 5]) =
            (["sequencer", "--replica", "1"], ["sequencer", "--replica", "1", "--set", "no.such=1"]);
        for (args, code) in [(&unformatted[..], None), (&misspelt[..], Some(2))] {
            let mut child = streams.start(cluster.command_at(cluster.clients(), args));
            let ended = await_end(&mut child, PATIENCE).expect("a child").expect("it ends");
            assert!(ended.code().is_some_and(|ended| ended != 0), "{args:?}");
            assert!(code.is_none() || ended.code() == code, "{args:?}: {ended}");
        }
    }
}
