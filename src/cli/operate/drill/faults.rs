//! The faults of a drill, and their mending. Before a fault is made, a file says how it is mended: a drill
//! that is killed leaves that file, and the next one, or `drill --restore`, does what it says.

use super::process::{LocalProcess, StartAgain};
use crate::cli::shared::operator::{now, pause};
use crate::cli::shared::remote::{self, filled, shell};
use clap::{Args, ValueEnum};
use lockstep_daemon::Failure;
use lockstep_daemon::config::Config;
use lockstep_daemon::failure::{FAILED, NOT_READY, USAGE};
use lockstep_io::clock::Utc;
use lockstep_io::{IoError, private};
use lockstep_process::signal::Signal;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// How long a process that was told to end may take, and a command of the operator's.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same of one that a drill was about to stop when it was killed itself.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(5);

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillKind {
    /// The leader hands over, by an operator's order
    Handover,
    /// The leader's process is stopped in order (SIGTERM), and started again
    Stop,
    /// The leader's process is killed (SIGKILL), and started again
    Kill,
    /// The leader's process stands still for a while (SIGSTOP, SIGCONT)
    Freeze,
    /// The leader is cut off the network for a while, by commands of the operator's
    Cut,
}

impl DrillKind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handover => "handover",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
        }
    }
}

/// Commands of the operator's that reach replicas of other hosts. `{replica}` is the number of the replica.
#[derive(Args, Clone, Default, Debug)]
pub struct DrillCommands {
    /// Stops a replica's process in order, e.g. 'ssh host-{replica} systemctl stop
    /// lockstep-sequencer@{replica}'
    #[arg(long, value_name = "CMD", requires = "start_with")]
    pub stop_with: Option<String>,
    /// Starts a replica's process after stop and kill
    #[arg(long, value_name = "CMD")]
    pub start_with: Option<String>,
    /// Sends a replica's process the signal {signal} (KILL, STOP, CONT) for kill and freeze, e.g. 'ssh
    /// host-{replica} systemctl kill --kill-whom=main -s {signal} lockstep-sequencer@{replica}'
    #[arg(long, value_name = "CMD")]
    pub signal_with: Option<String>,
    /// Cuts a replica off the network, e.g. 'ssh host-{replica} nft -f /etc/lockstep/cut.nft'
    #[arg(long, value_name = "CMD", requires = "heal_with")]
    pub cut_with: Option<String>,
    /// Ends such a cut
    #[arg(long, value_name = "CMD", requires = "cut_with")]
    pub heal_with: Option<String>,
}

/// How a fault is mended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Remedy {
    Resume(LocalProcess),
    Start { was: Option<LocalProcess>, by: StartAgain },
    Shell(String),
}

/// How a fault is made.
enum Blow {
    Signal(LocalProcess, Signal),
    Systemd(String),
    Shell(String),
}

/// A fault that is not mended yet, as the file has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenFault {
    kind: DrillKind,
    replica: u32,
    /// When it was made, UTC.
    at: String,
    remedy: Remedy,
}

/// The faults of one drill: at most one at a time.
pub struct FaultDriver {
    config: Config,
    commands: DrillCommands,
    path: PathBuf,
    /// It is locked, so that no other drill of this host's runs.
    file: File,
    open: Option<OpenFault>,
    /// A drill before this one has made it, and was killed: perhaps before the fault itself.
    is_leftover: bool,
    /// Processes that this one started, with their replicas.
    children: Vec<(u32, Child)>,
    /// How one of them has ended, since the last one was started.
    ended: Option<(u32, ExitStatus)>,
}

impl FaultDriver {
    /// Opens this user's file, and reads what another drill of this user's has left there.
    pub fn open(config: &Config, commands: &DrillCommands) -> Result<Self, Failure> {
        let (folder, prefix) = (config.counters_folder(), format!("lockstep-{}-drill-", config.cluster));
        let path = folder.join(format!("{prefix}{}.json", private::own_user()));
        let wrong = |error| IoError::new(format!("open {}", path.display()), error);
        let mut file = locked(&path)?;
        if let Some(other) = open_of_others(config, &folder, &prefix, &path) {
            return Err(Failure::new(FAILED, other));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(wrong)?;
        let open = match text.trim() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(|error| {
                let what = format!(
                    "{} does not say what a drill has left ({error}): look at `lockstep status`, start or resume what is \
                     down, and move the file to another folder",
                    path.display()
                );
                Failure::new(FAILED, what)
            })?),
        };
        let (config, commands, is_leftover) = (config.clone(), commands.clone(), open.is_some());
        Ok(Self { config, commands, path, file, open, is_leftover, children: Vec::new(), ended: None })
    }

    /// The fault that is not mended: what was done to which replica, when.
    pub fn open_fault(&self) -> Option<String> {
        let fault = self.open.as_ref()?;
        Some(format!("{} of replica {} at {}", fault.kind.name(), fault.replica, fault.at))
    }

    /// Why faults of this kind cannot be made at this replica.
    pub fn obstacle(&self, kind: DrillKind, replica: u32) -> Option<String> {
        match kind {
            DrillKind::Handover => None,
            DrillKind::Cut if self.commands.cut_with.is_none() => {
                Some("a cut needs --cut-with and --heal-with".to_owned())
            }
            _ => self.plan(kind, replica).err(),
        }
    }

    fn plan(&self, kind: DrillKind, replica: u32) -> Result<(Blow, Remedy), String> {
        let commands = &self.commands;
        let number = replica.to_string();
        let fill = |command: &Option<String>, signal: &str| {
            command.as_ref().map(|text| filled(text, &[("replica", &number), ("signal", signal)]))
        };
        let flags = match kind {
            DrillKind::Stop => "--stop-with and --start-with",
            DrillKind::Kill => "--signal-with and --start-with",
            _ => "--signal-with",
        };
        let local = LocalProcess::of_replica(&self.config, replica);
        let here = || {
            local.ok_or_else(|| {
                format!("replica {replica} does not run on this host: {} needs {flags}", kind.name())
            })
        };
        let start = || match fill(&commands.start_with, "") {
            Some(command) => Ok(StartAgain::Shell(command)),
            None => startable(here()?.how_to_start()?, private::own_user(), flags),
        };
        let signalled = |signal, word| match fill(&commands.signal_with, word) {
            Some(command) => Ok::<_, String>(Blow::Shell(command)),
            None => Ok(Blow::Signal(here()?, signal)),
        };
        match kind {
            DrillKind::Stop => {
                let by = start()?;
                let blow = match (fill(&commands.stop_with, ""), &by) {
                    (Some(command), _) => Blow::Shell(command),
                    (None, StartAgain::Unit(unit)) => Blow::Systemd(unit.clone()),
                    _ => Blow::Signal(here()?, Signal::Terminate),
                };
                Ok((blow, Remedy::Start { was: local, by }))
            }
            DrillKind::Kill => {
                Ok((signalled(Signal::Kill, "KILL")?, Remedy::Start { was: local, by: start()? }))
            }
            DrillKind::Freeze => {
                let remedy = match fill(&commands.signal_with, "CONT") {
                    Some(command) => Remedy::Shell(command),
                    None => Remedy::Resume(here()?),
                };
                Ok((signalled(Signal::Stop, "STOP")?, remedy))
            }
            DrillKind::Cut | DrillKind::Handover => {
                let both = fill(&commands.cut_with, "").zip(fill(&commands.heal_with, ""));
                let (cut, heal) = both.ok_or("a cut needs --cut-with and --heal-with")?;
                Ok((Blow::Shell(cut), Remedy::Shell(heal)))
            }
        }
    }

    /// Makes the fault at a replica, once the file says how it is mended.
    pub fn inflict(&mut self, kind: DrillKind, replica: u32) -> Result<(), Failure> {
        let (blow, remedy) = self.plan(kind, replica).map_err(|why| Failure::new(USAGE, why))?;
        let failed = |why: String| Failure::new(FAILED, why);
        let at = Utc::now().to_string();
        self.note(Some(OpenFault { kind, replica, at, remedy }))?;
        match blow {
            Blow::Signal(process, signal) => process.signal(signal).map_err(failed),
            Blow::Shell(command) => shell(&command, PATIENCE).map_err(failed),
            // It returns when the process has ended: the takeover begins before.
            Blow::Systemd(unit) => systemctl(&["--no-block", "stop", &unit]).map_err(failed),
        }
    }

    /// Mends the fault that is open, if one is.
    pub fn mend(&mut self) -> Result<(), Failure> {
        let Some(fault) = self.open.clone() else { return Ok(()) };
        let failed = |why| {
            let (kind, replica) = (fault.kind.name(), fault.replica);
            let what = format!(
                "replica {replica} is not back from {kind}: {why}; mend that, then run `lockstep drill --restore`"
            );
            Failure::new(NOT_READY, what)
        };
        match &fault.remedy {
            Remedy::Resume(process) => process.signal(Signal::Continue).map_err(failed)?,
            Remedy::Shell(command) => shell(command, PATIENCE).map_err(failed)?,
            Remedy::Start { was, by } => self.start_again(fault.replica, *was, by).map_err(failed)?,
        }
        self.note(None)
    }

    fn start_again(
        &mut self,
        replica: u32,
        was: Option<LocalProcess>,
        by: &StartAgain,
    ) -> Result<(), String> {
        let begun = now();
        while let Some(was) = was.filter(|was| was.is_alive()) {
            self.collect();
            let waited = now().duration_since(begun);
            if self.is_leftover && waited > LEFTOVER_PATIENCE {
                return Ok(()); // it was never told to end
            }
            if waited > PATIENCE {
                return Err(format!("process {} has not ended within {PATIENCE:?}", was.pid));
            }
            pause(LOOK);
        }
        match by {
            StartAgain::Shell(command) => shell(command, PATIENCE),
            StartAgain::Unit(unit) => systemctl(&["start", unit]),
            StartAgain::Command(line) => {
                // Somebody else may have been faster.
                if LocalProcess::of_replica(&self.config, replica).is_none() {
                    // The one that the drill has ended is no news.
                    self.collect();
                    self.ended = None;
                    self.children.push((replica, line.start()?));
                }
                Ok(())
            }
            StartAgain::Parent => {
                while LocalProcess::of_replica(&self.config, replica).is_none() {
                    if now().duration_since(begun) > PATIENCE {
                        return Err("the program that started it has not started it again".to_owned());
                    }
                    pause(LOOK);
                }
                Ok(())
            }
        }
    }

    /// Takes note of own children that have ended: before that they seem to be there.
    pub fn collect(&mut self) {
        let ended = &mut self.ended;
        self.children.retain_mut(|(replica, child)| match child.try_wait() {
            Ok(Some(status)) => {
                *ended = Some((*replica, status));
                false
            }
            running => running.is_ok(),
        });
    }

    /// How the process has ended that was started again last, if it has.
    pub fn ended(&self) -> Option<String> {
        let (replica, status) = self.ended?;
        Some(format!("the process that was started again for replica {replica} has ended: {status}"))
    }

    /// The drill is over: a file that names no fault is of no use to anybody.
    pub fn leave(&mut self) {
        if self.open.is_none() {
            let _ = std::fs::remove_file(&self.path); // a file that stays is empty
        }
    }

    /// Writes the open fault to the file, or that there is none.
    fn note(&mut self, open: Option<OpenFault>) -> Result<(), Failure> {
        let wrong = |error| IoError::new(format!("write {}", self.path.display()), error);
        let text = open.as_ref().map_or(Ok(Vec::new()), serde_json::to_vec).map_err(std::io::Error::from);
        let text = text.map_err(wrong)?;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(wrong)?;
        self.file.write_all(&text).map_err(wrong)?;
        (self.open, self.is_leftover) = (open, false);
        Ok(())
    }
}

/// A way to start a process again that this user has. A drill that finds out behind the fault leaves a
/// cluster without its leader.
fn startable(by: StartAgain, user: u32, flags: &str) -> Result<StartAgain, String> {
    match by {
        StartAgain::Unit(unit) if user != 0 => Err(format!(
            "systemd runs {unit}, which root alone stops and starts: run the drill as root, or give {flags}"
        )),
        by => Ok(by),
    }
}

/// The file at `path`, this user's alone, and locked: one drill of a user runs at a time.
fn locked(path: &Path) -> Result<File, Failure> {
    let wrong = |error| Failure::from(IoError::new(format!("open {}", path.display()), error));
    if path.is_symlink() {
        let what = format!("{} is a link, and must be a file: find out who made it", path.display());
        return Err(Failure::new(FAILED, what));
    }
    let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    loop {
        let file = options.open(path).map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        private::check(&metadata, path, private::OTHERS)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    FAILED,
                    "another drill of this cluster runs on this host: wait for its end",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        // A drill that ends removes its file.
        if path.metadata().is_ok_and(|there| there.ino() == metadata.ino()) {
            return Ok(file);
        }
    }
}

/// A fault of a drill of another user, who alone can read how it is mended. Files of users who have no part
/// in the cluster say nothing.
fn open_of_others(config: &Config, folder: &Path, prefix: &str, own: &Path) -> Option<String> {
    let owners = config.file_owners();
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let (path, name) = (entry.path(), entry.file_name());
        let user: u32 = name.to_str()?.strip_prefix(prefix)?.strip_suffix(".json")?.parse().ok()?;
        let metadata = entry.metadata().ok()?;
        let is_open = path != own && metadata.uid() == user && owners.has(user) && metadata.len() > 0;
        let who = private::named(user);
        is_open.then(|| {
            format!(
                "a drill of {who} has made a fault that is not mended yet: wait for the end of that drill, or, if it was \
                 killed, run `lockstep drill --restore` as {who}"
            )
        })
    })
}

fn systemctl(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("systemctl");
    command.args(args);
    remote::run(command, &format!("`systemctl {}`", args.join(" ")), PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_systemd_is_stopped_by_a_drill_of_root_alone() {
        let unit = || StartAgain::Unit("lockstep-sequencer@1.service".to_owned());
        assert_eq!(startable(unit(), 0, "--start-with"), Ok(unit()));
        let why = startable(unit(), 999, "--stop-with and --start-with").expect_err("it is root's");
        assert!(why.contains("run the drill as root, or give --stop-with and --start-with"), "{why}");
        assert_eq!(startable(StartAgain::Parent, 999, ""), Ok(StartAgain::Parent));
    }
}
