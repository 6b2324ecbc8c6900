//! The daemons of this host read their files again, and report what came of it in a file beside their
//! counters.

use crate::figures::age;
use lockstep_config::Config;
use lockstep_io::private::{self, FileOwners};
use lockstep_metrics::{Life, Process};
use lockstep_process::signal::{Signal, user_of};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The size of a file with an answer: a longer answer is cut.
pub const ANSWER_LEN: usize = 16 << 10;
/// Follows the number in the first line of an answer if the process has changed nothing.
pub const FAILED_WORD: &str = "failed";
/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks for its answer.
const PAUSE: Duration = Duration::from_millis(10);

/// The answer of a process.
pub struct ReloadAnswer {
    /// Whether it has read its files, and changed what they change.
    pub is_ok: bool,
    /// What it has changed, or why it has not.
    pub lines: Vec<String>,
}

impl ReloadAnswer {
    fn failed(line: String) -> Self {
        Self { is_ok: false, lines: vec![line] }
    }
}

/// The path of a process's answers: a file beside its counters file.
pub fn answer_file(counters: &Path) -> PathBuf {
    let mut name = counters.as_os_str().to_owned();
    name.push(".reload");
    name.into()
}

/// Asks those of these processes that are daemons, one after the other: each with its counters file. Returns
/// the name and the answer of each.
pub fn reload(config: &Config, processes: Vec<(Process, PathBuf)>) -> Vec<(String, ReloadAnswer)> {
    let owners = config.file_owners();
    let daemons = processes.into_iter().filter(|(process, _)| daemon_of(process).is_some());
    daemons
        .map(|(process, counters)| {
            let answer = ask(&process, &counters, &owners);
            (process.name, answer)
        })
        .collect()
}

/// The command of a process that reads files again at SIGHUP: one of an application may end by it.
fn daemon_of(process: &Process) -> Option<&'static str> {
    Some(match &*process.kind {
        "replica" => "sequencer",
        "archiver" => "archiver",
        "gateway" => "gateway",
        "feed" => "feed",
        "notary" => "notary",
        "coordinator" => "coordinator",
        _ => return None,
    })
}

/// Whether the process with this number is the daemon that the file tells of: it has the user who made the
/// file, and the daemon's command. A file tells no more of a process than that.
fn is_it(process: &Process) -> bool {
    let pid = process.pid;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = daemon_of(process).unwrap_or_default().as_bytes();
    let has_command = words.split(|byte| *byte == 0).skip(1).any(|word| word == command);
    has_command && user_of(pid).is_some_and(|user| Some(user) == process.user)
}

/// Asks one process, and waits for its answer.
fn ask(process: &Process, counters: &Path, owners: &FileOwners) -> ReloadAnswer {
    // Its number is that of another process by now, if it does not store its counters.
    match process.life {
        Life::Runs => {}
        Life::Hangs(silent) => {
            return ReloadAnswer::failed(format!(
                "it has counted nothing for {}, and was not asked",
                age(silent)
            ));
        }
        Life::Ended(ago) => {
            return ReloadAnswer { is_ok: true, lines: vec![format!("it ended {} ago", age(ago))] };
        }
    }
    let path = answer_file(counters);
    let before = read(&path, process.pid, owners).map_or(0, |(number, _)| number);
    match Signal::Hangup.send_if(process.pid, || is_it(process)) {
        Ok(true) => {}
        Ok(false) => {
            let (pid, kind) = (process.pid, &process.kind);
            return ReloadAnswer::failed(format!(
                "process {pid}, which its file names, is no {kind} of its user, and was not asked"
            ));
        }
        Err(error) => return ReloadAnswer::failed(format!("{error}; run this as its user")),
    }
    let begun = Instant::now();
    loop {
        if let Some((_, answer)) = read(&path, process.pid, owners).filter(|(number, _)| *number > before) {
            return answer;
        }
        if begun.elapsed() > PATIENCE {
            return ReloadAnswer::failed("it has not answered; its log says what it read".to_owned());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The number of the newest answer of this process, and that answer.
fn read(path: &Path, pid: u32, owners: &FileOwners) -> Option<(u64, ReloadAnswer)> {
    let mut bytes = Vec::new();
    let file = private::open_shared(path, owners).ok()?;
    file.take(ANSWER_LEN as u64).read_to_end(&mut bytes).ok()?;
    // It may be cut within a letter.
    let text = String::from_utf8_lossy(&bytes);
    let (first, rest) = text.split_once('\n')?;
    let mut words = first.split_whitespace();
    let is_its = words.next()?.parse() == Ok(pid);
    let (number, word) = (words.next()?, words.next()?);
    let lines = rest.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let answer = ReloadAnswer { is_ok: word != FAILED_WORD, lines };
    Some((number.parse().ok().filter(|_| is_its)?, answer))
}
