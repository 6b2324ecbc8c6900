//! `lockstep reload`: the daemons of this host read their files again, and say what came of it.

use crate::cli::shared::counter_files::{files, read as read_files};
use crate::cli::shared::operator::{age, now, pause};
use clap::Args;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::failure::FAILED;
use lockstep_daemon::reloader::{ANSWER_LEN, FAILED_WORD, answer_file};
use lockstep_io::private::{self, FileOwners};
use lockstep_metrics::{Life, Process};
use lockstep_process::signal::{Signal, user_of};
use serde_json::json;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.reload/1";
/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks for its answer.
const PAUSE: Duration = Duration::from_millis(10);

/// Flags of `reload`.
#[derive(Args, Debug)]
pub struct ReloadArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Only processes whose name contains this, like `replica-1` or `gateway`; without it all of this host
    #[arg(value_name = "PROCESS")]
    pub process: Option<String>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// The answer of a process.
struct Answer {
    is_ok: bool,
    lines: Vec<String>,
}

impl Answer {
    fn failed(line: String) -> Self {
        Self { is_ok: false, lines: vec![line] }
    }
}

/// Sends SIGHUP to them, and prints their answers. Exits 1 if one could not be asked, or refuses a file.
pub fn run(args: &ReloadArgs) -> Result<u8, Failure> {
    // A file that is wrong has the answer before any process is asked.
    let config = args.cluster.load(&[])?;
    let mut answers = Vec::new();
    // A file that another user has made is named, and hides none of the others.
    let owners = config.file_owners();
    for (process, counters) in read_files(&config, files(&config, args.process.as_deref())?).sound()? {
        if daemon_of(&process).is_some() {
            let answer = ask(&process, &counters, &owners);
            answers.push((process.name, answer));
        }
    }
    let mut out = std::io::stdout();
    if args.json {
        let row = |(name, answer): &(String, Answer)| json!({ "process": name, "ok": answer.is_ok, "answer": answer.lines });
        let rows: Vec<_> = answers.iter().map(row).collect();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "processes": rows }))?;
    } else {
        for (name, answer) in &answers {
            answer.lines.iter().try_for_each(|line| writeln!(out, "{name}: {line}"))?;
        }
    }
    Ok(if answers.iter().all(|(_, answer)| answer.is_ok) { 0 } else { FAILED })
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
fn ask(process: &Process, counters: &Path, owners: &FileOwners) -> Answer {
    // Its number is that of another process by now, if it does not store its counters.
    match process.life {
        Life::Runs => {}
        Life::Hangs(silent) => {
            return Answer::failed(format!("it has counted nothing for {}, and was not asked", age(silent)));
        }
        Life::Ended(ago) => return Answer { is_ok: true, lines: vec![format!("it ended {} ago", age(ago))] },
    }
    let path = answer_file(counters);
    let before = read(&path, process.pid, owners).map_or(0, |(number, _)| number);
    match Signal::Hangup.send_if(process.pid, || is_it(process)) {
        Ok(true) => {}
        Ok(false) => {
            let (pid, kind) = (process.pid, &process.kind);
            return Answer::failed(format!(
                "process {pid}, which its file names, is no {kind} of its user, and was not asked"
            ));
        }
        Err(error) => return Answer::failed(format!("{error}; run this as its user")),
    }
    let begun = now();
    loop {
        if let Some((_, answer)) = read(&path, process.pid, owners).filter(|(number, _)| *number > before) {
            return answer;
        }
        if now().duration_since(begun) > PATIENCE {
            return Answer::failed("it has not answered; its log says what it read".to_owned());
        }
        pause(PAUSE);
    }
}

/// The number of the newest answer of this process, and that answer.
fn read(path: &Path, pid: u32, owners: &FileOwners) -> Option<(u64, Answer)> {
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
    let answer = Answer { is_ok: word != FAILED_WORD, lines };
    Some((number.parse().ok().filter(|_| is_its)?, answer))
}
