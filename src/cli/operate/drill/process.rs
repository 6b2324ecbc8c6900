//! A replica's process on this host: found by its counters file, looked at in `/proc`, started as it was
//! started.

use lockstep_daemon::config::Config;
use lockstep_io::lock;
use lockstep_metrics::Process;
use lockstep_process::signal::{Signal, user_of};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The start of a unit's name that runs a replica.
const UNIT: &str = "lockstep-sequencer@";
/// A flag by which a process ends with whoever started it: that one starts it again.
const CHILD_FLAG: &str = "--until-stdin-ends";

/// A process by its number and the time of its start: another process with this number has another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LocalProcess {
    pub pid: u32,
    started: u64,
}

impl LocalProcess {
    /// The process of this replica, if it runs on this host.
    pub fn of_replica(config: &Config, replica: u32) -> Option<Self> {
        let counters = &config.replicas.iter().find(|it| it.id == replica)?.counters;
        let name = format!("replica-{replica}");
        let process = Process::read(&name, counters, &config.file_owners()).ok()?;
        let (pid, user) = (process.pid, process.user);
        // A file tells no more of a process than that process's own user could tell.
        if user_of(pid) != user {
            return None;
        }
        let process = Self { pid, started: Stat::of(pid)?.started };
        // Its number may be another process's by now.
        let is_sequencer = arguments(pid)?.iter().any(|word| word == "sequencer");
        (is_sequencer && process.is_alive()).then_some(process)
    }

    fn stat(self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| stat.started == self.started)
    }

    /// Whether it runs, or stands still: one of its threads has not ended.
    pub fn is_alive(self) -> bool {
        self.stat().is_some() && lock::is_running(self.pid)
    }

    /// Whether it stands still by SIGSTOP.
    pub fn is_frozen(self) -> bool {
        self.stat().is_some_and(|stat| matches!(stat.state, 'T' | 't'))
    }

    /// Sends it a signal. Nothing happens if it has ended.
    pub fn signal(self, signal: Signal) -> Result<(), String> {
        let sent = signal.send_if(self.pid, || self.is_alive());
        sent.map(drop).map_err(|error| format!("{error}; run this as its user"))
    }

    /// Whether a watcher is among its children; `None` where the kernel lists no children.
    pub fn has_watcher(self) -> Option<bool> {
        let mut children = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?.flatten() {
            let text = std::fs::read_to_string(thread.path().join("children")).ok()?;
            children.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
        let watches =
            |pid: &u32| arguments(*pid).is_some_and(|words| words.iter().any(|word| word == "watch"));
        Some(children.iter().any(watches))
    }

    /// How it is to be started again.
    ///
    /// # Errors
    /// This user cannot read how it was started, or starts no process as its user.
    pub fn how_to_start(self) -> Result<StartAgain, String> {
        let pid = self.pid;
        if let Some(unit) =
            unit_of(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
        {
            return Ok(StartAgain::Unit(unit));
        }
        let words = arguments(pid).ok_or_else(|| format!("process {pid} has ended"))?;
        if words.iter().any(|word| word == CHILD_FLAG) {
            return Ok(StartAgain::Parent);
        }
        let users = (user_of(std::process::id()), user_of(pid));
        if users.0 != users.1 {
            return Err(format!(
                "process {pid} is of another user: give --start-with, or run this as that user"
            ));
        }
        let wrong = |error| {
            format!(
                "how process {pid} was started can be read by root alone ({error}): give --start-with, run this as root, \
                 or let systemd run the replicas"
            )
        };
        let environment = std::fs::read(format!("/proc/{pid}/environ")).map_err(wrong)?;
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).map_err(wrong)?;
        let pair =
            |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let output = |number: u8| {
            let path = std::fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
            // A pipe or a socket ends with the process.
            path.is_absolute().then_some(path)
        };
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).map_err(wrong)?;
        Ok(StartAgain::Command(Box::new(CommandLine {
            program: words.first().map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or(program),
            arguments: words.into_iter().skip(1).collect(),
            environment: strings(&environment)?.iter().filter_map(pair).collect(),
            folder,
            outputs: [output(1), output(2)],
        })))
    }
}

/// What `/proc/PID/stat` has of a process.
struct Stat {
    state: char,
    /// In ticks since boot.
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        // Behind the name, which may have blanks and brackets.
        let (_, rest) = text.rsplit_once(") ")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        Some(Self { state: words.first()?.chars().next()?, started: words.get(19)?.parse().ok()? })
    }
}

/// The texts of a list that ends each with a zero byte.
fn strings(bytes: &[u8]) -> Result<Vec<String>, String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
    let all: Result<Vec<_>, _> = bytes.split(|byte| *byte == 0).map(text).collect();
    all.map_err(|_| "its arguments or its environment are no UTF-8: give --start-with".to_owned())
}

/// A process's arguments, the program first.
fn arguments(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    strings(&bytes).ok().filter(|_| !bytes.is_empty())
}

/// The unit of a replica that a process belongs to, by its control groups.
fn unit_of(cgroup: &str) -> Option<String> {
    let parts = cgroup.lines().flat_map(|line| line.rsplit('/'));
    parts.filter(|part| part.starts_with(UNIT) && part.ends_with(".service")).map(str::to_owned).next()
}

/// A command line with everything beside it that a process inherits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommandLine {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    /// Where stdout and stderr go, if that is a file.
    outputs: [Option<PathBuf>; 2],
}

impl CommandLine {
    /// Starts it, apart from this process's terminal.
    pub fn start(&self) -> Result<Child, String> {
        let output = |path: &Option<PathBuf>| {
            let open = |path: &PathBuf| File::options().append(true).open(path).ok();
            path.as_ref().and_then(open).map_or_else(Stdio::null, Stdio::from)
        };
        let [stdout, stderr] = [0, 1].map(|place| output(&self.outputs[place]));
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command.current_dir(Some(&*self.folder).filter(|folder| folder.is_dir()).unwrap_or(Path::new("/")));
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        command.spawn().map_err(|error| format!("start {}: {error}", self.program.display()))
    }
}

/// How a process comes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StartAgain {
    /// systemd starts its unit.
    Unit(String),
    /// By its own command line.
    Command(Box<CommandLine>),
    /// Its parent starts it again by itself.
    Parent,
    /// By a command of the operator's.
    Shell(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_and_the_start_of_a_process_are_read_whatever_it_is_called() {
        let tail = "T 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["lockstep", "a) R 1", "two words"] {
            let stat = Stat::read(&format!("17 ({name}) {tail}")).expect("a process");
            assert_eq!((stat.state, stat.started), ('T', 4711), "{name}");
        }
        assert!(Stat::read("").is_none());
        let own = Stat::of(std::process::id()).expect("this one");
        let process = LocalProcess { pid: std::process::id(), started: own.started };
        assert!(process.is_alive() && !process.is_frozen());
        assert!(!LocalProcess { started: own.started + 1, ..process }.is_alive(), "another life");
    }

    #[test]
    fn a_unit_is_known_by_the_control_group_and_another_service_is_none() {
        let of_replica =
            "0::/system.slice/system-lockstep\\x2dsequencer.slice/lockstep-sequencer@1.service\n";
        assert_eq!(unit_of(of_replica).as_deref(), Some("lockstep-sequencer@1.service"));
        assert_eq!(unit_of("0::/user.slice/session-3.scope\n"), None);
        assert_eq!(unit_of("0::/system.slice/cron.service\n"), None);
    }

    #[test]
    fn a_process_is_started_as_it_was_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        std::fs::write(&log, "before\n").expect("a file");
        let line = CommandLine {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "echo $WORD $1; pwd >&2".into(), "sh".into(), "two words".into()],
            environment: vec![("WORD".into(), "its own".into())],
            folder: folder.path().canonicalize().expect("a folder"),
            outputs: [Some(log.clone()), Some(log.clone())],
        };
        let text = serde_json::to_string(&line).expect("JSON");
        let line: CommandLine = serde_json::from_str(&text).expect("its own JSON");
        assert!(line.start().expect("a shell").wait().expect("a child").success());
        let expected = format!("before\nits own two words\n{}\n", line.folder.display());
        assert_eq!(std::fs::read_to_string(&log).expect("the log"), expected);
    }
}
