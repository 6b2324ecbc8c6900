//! The bindings for other languages, as their users build them: installed below a prefix, compiled by their
//! own compilers, run beside a cluster whose leader is killed.

mod c;
mod clusters;
mod debugger;
mod go;
pub(crate) mod java;
mod machines;
mod made;
mod merged;
mod misuses;
mod node;
pub(crate) mod python;
mod requests;
mod threads;
mod valgrind;

use lockstep_testkit::lane::amount;
use lockstep_testkit::netns::{self, Cut, Network, Place};
use lockstep_testkit::processes::{Cluster, Outcome, PATIENCE, Process, last_words, run};
use lockstep_testkit::takeover::newest_of;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Takeovers that a program sees while it publishes.
fn takeovers() -> &'static str {
    amount("1", "3")
}
/// Takeovers after which a program has had messages retracted: of one alone it may learn before they are.
const RETRACTIONS: &str = "3";
/// Leaders that are killed for that at most: it may not have begun when the first one is.
const KILLS_MAX: u32 = 12;
/// Waits of five seconds each for a replica to catch up.
const CATCH_UPS_MAX: u32 = 12;
/// Where leaders are cut off nobody else is suspected: beyond any stall of a machine with two cores.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"100ms\"\nfailure_timeout_max = \"200ms\"\n";
/// The node of the program, behind those of the replicas.
const PROGRAM: usize = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `bindings/c/install.sh` has put library, headers, pkg-config file and CMake package.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn prefix(&self) -> &Path {
        self.folder.path()
    }

    fn library(&self) -> PathBuf {
        self.prefix().join("lib")
    }
}

/// Where cargo has put the libraries of `lockstep-c`, of which this package's tests depend.
pub(crate) fn built() -> PathBuf {
    assert_eq!(lockstep_c::lockstep_abi_version(), lockstep_c::LOCKSTEP_ABI_VERSION);
    Path::new(env!("CARGO_BIN_EXE_lockstep")).with_file_name("deps")
}

/// The variable that says how many messages pass where memory is looked at.
const MESSAGES: &str = "LOCKSTEP_BINDINGS_MESSAGES";

/// Seconds that a program may take.
fn run_s() -> &'static str {
    if std::env::var_os(MESSAGES).is_some() { "3600" } else { amount("300", "3600") }
}

/// A command that ends when its time is over.
fn bounded(seconds: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", seconds]).arg(program);
    command
}

/// Runs a command that may take longer than what [`run`] waits for: its clock is its own.
fn finished(mut command: Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().expect("timeout runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// How many messages pass where memory is looked at.
fn messages() -> String {
    std::env::var(MESSAGES).unwrap_or_else(|_| amount("200000", "10000000").to_owned())
}

/// Runs a program of another language that passes [`messages`] and looks at its memory, beside a cluster.
fn stays_flat(program: &Command) -> String {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let mut command = bounded(run_s(), program.get_program());
    command.args(program.get_args());
    let out = finished(with_cluster(command, &cluster)).with_code(0).out;
    println!("{}", out.trim_end());
    assert!(out.contains(&format!("{} messages", messages())), "{out}");
    out
}

pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The path of programs, with this folder in front.
fn path_with(folder: &Path) -> OsString {
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&others)))
        .expect("folders")
}

/// The installation that the tests share; `None` where there is no compiler of C.
fn installed() -> Option<&'static Installed> {
    static INSTALLED: OnceLock<Option<Installed>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        if !has("cc") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(root().join("bindings/c/install.sh"));
        command.arg(folder.path()).arg(built());
        run(command, b"").with_code(0);
        Some(Installed { folder })
    });
    if installed.is_none() {
        println!("SKIPPED: there is no compiler of C");
    }
    installed.as_ref()
}

pub(crate) fn with_cluster(mut command: Command, cluster: &Cluster) -> Command {
    command.env("LOCKSTEP_CONFIG", cluster.config());
    command
}

/// Waits until every replica has the log. One whose small tail was overrun while it caught up silences itself
/// (LS1307): it is started again, as a service manager does.
fn await_caught_up(cluster: &Cluster, replicas: &mut [Process]) {
    for attempt in 1.. {
        for (index, replica) in replicas.iter_mut().enumerate() {
            if replica.ended().is_some() {
                *replica = cluster.start_replica(index as u32 + 1);
            }
        }
        let waited = cluster.run(&["wait", "--for", "caught-up", "--timeout", "5s"], b"");
        if waited.code == Some(0) {
            return;
        }
        assert!(attempt < CATCH_UPS_MAX, "{}\n{}", waited.err, last_words(replicas));
    }
}

/// Runs a program of another language, which ends once it has seen [`takeovers`], and disturbs the replicas
/// again and again until then.
fn while_disturbed(
    cluster: &Cluster,
    replicas: &mut [Process],
    command: Command,
    disturb: impl Fn(&mut [Process]),
) -> Outcome {
    let outcome = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(command, b""));
        let mut times = 0;
        while !running.is_finished() && times < KILLS_MAX {
            std::thread::sleep(Duration::from_millis(500));
            disturb(replicas);
            // Two of three must go on without the next one.
            await_caught_up(cluster, replicas);
            times += 1;
        }
        running.join().expect("a program")
    });
    outcome.with_code(0)
}

/// [`while_disturbed`] beside a cluster whose leaders are killed.
fn while_leaders_are_killed(cluster: &Cluster, replicas: &mut [Process], command: Command) -> Outcome {
    while_disturbed(cluster, replicas, with_cluster(command, cluster), |replicas| {
        let index = cluster.leader() as usize - 1;
        replicas[index].signal("KILL");
        replicas[index].wait();
        cluster.run(&["wait", "--for", "leader", "--timeout", "40s"], b"").with_code(0);
        replicas[index] = cluster.start_replica(index as u32 + 1);
    })
}

/// The same command in another place.
fn at(place: &Place, command: &Command) -> Command {
    let mut placed = place.command(command.get_program());
    placed.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => placed.env(name, value),
            None => placed.env_remove(name),
        };
    }
    placed
}

/// Runs a program of another language that publishes and reads what is `stamped`, until it has seen
/// [`RETRACTIONS`]: each time it is cut off from the standbys together with the leader, and the messages that
/// this leader stamps alone are retracted when the network is whole again.
fn while_leaders_are_cut_off(command: Command) {
    if let Some(reason) = netns::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    let network = Network::new(PROGRAM);
    let cluster = Cluster::on(network.ground(PROGRAM as u32 - 1), PATIENT);
    let mut replicas = cluster.found();
    let command = at(cluster.clients(), &with_cluster(command, &cluster));
    let outcome = while_disturbed(&cluster, &mut replicas, command, |replicas| {
        let (round, leader) = newest_of(replicas);
        let standbys: Vec<usize> = (1..PROGRAM).filter(|id| *id != leader).collect();
        network.cut(&Cut::between(&[leader, PROGRAM], &standbys));
        let began = Instant::now();
        while newest_of(replicas).0 == round {
            assert!(began.elapsed() < PATIENCE, "nobody takes over\n{}", last_words(replicas));
            std::thread::sleep(Duration::from_millis(2));
        }
        network.cut(&[]);
    });
    let out = outcome.out;
    println!("{}", out.trim_end());
    let retracts = out.split(" retracts").next().and_then(|before| before.rsplit(' ').next());
    let retracts = retracts.and_then(|count| count.parse::<u64>().ok());
    assert!(retracts.is_some_and(|count| count > 0), "nothing was retracted: {out}");
}

/// Runs the example of a language twice: the second run goes on behind the first. `hello` is its command.
pub(crate) fn greets_twice(cluster: &Cluster, hello: impl Fn() -> Command) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hello.cursor");
    let greet = || {
        let mut command = hello();
        command.arg(&file);
        with_cluster(command, cluster)
    };
    let first = run(greet(), b"").with_code(0).out;
    let cursor = first.lines().find_map(|line| line.strip_prefix("resume with ")).expect("a cursor");
    assert_eq!(first.matches("buy 100 at 42").count(), 1, "{first}");
    assert!(first.contains("committed at seq "), "{first}");
    let saved = || std::fs::read_to_string(&file).expect("a file");
    assert_eq!(saved().trim_end(), cursor, "{first}");
    let second = run(greet(), b"").with_code(0).out;
    assert_eq!(second.matches("buy 100 at 42").count(), 1, "it went on: {second}");
    assert_ne!(saved().trim_end(), cursor, "{second}");
    std::fs::write(&file, "here").expect("a file");
    let refused = run(greet(), b"");
    assert_ne!(refused.code, Some(0));
    assert!(is_refusal_of(&refused.err, &file), "{}", refused.err);
    assert_eq!(saved(), "here", "what is damaged is left to its owner");
}

/// Whether a program has refused a file that has no cursor, by its name and with what to do.
pub(crate) fn is_refusal_of(err: &str, file: &Path) -> bool {
    err.contains(&file.display().to_string()) && err.contains("it has no whole cursor")
}
