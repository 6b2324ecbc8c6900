//! The processes of the bench: three sequencers as `lockstep dev` starts them, a gateway, two replicas, and
//! the exchange without a sequencer. All end with their handles.

use crate::client::{Failure, PASSWORD};
use crate::machine::{ACKNOWLEDGED, MATCHED};
use lockstep_process::child::{LoggedChild, clear_settings};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Messages a second that the gateway takes of one user: more than it can.
const USER_RATE: &str = "100000000";
/// Lines of a log that are shown when its process does not do what it should.
const LAST_LINES: usize = 20;

/// The program `lockstep`: cargo puts it above the examples.
fn program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let found =
        own.ancestors().skip(2).take(1).map(|folder| folder.join("lockstep")).find(|path| path.exists());
    found.ok_or_else(|| "no lockstep above the examples: `cargo build --profile dist -p lockstep -p lockstep-demo` makes it".into())
}

/// A process, and what it prints.
struct Started {
    child: LoggedChild,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Started {
    fn new(mut command: Command, log: PathBuf) -> Result<Self, Failure> {
        clear_settings(&mut command);
        Self::with_settings(command, log)
    }

    fn with_settings(command: Command, log: PathBuf) -> Result<Self, Failure> {
        let mut child = LoggedChild::start(command, Stdio::piped(), log)?;
        let stdout = child.child_mut().stdout.take().ok_or("its stdout is a pipe")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// The rest of its first line that has `mark`.
    fn await_line(&mut self, mark: &str) -> Result<String, Failure> {
        for line in self.lines.by_ref() {
            if let Some((_, rest)) = line?.split_once(mark) {
                return Ok(rest.trim().to_owned());
            }
        }
        Err(format!("a process ended before it printed '{mark}':{}", self.child.last_lines(LAST_LINES, "  "))
            .into())
    }
}

/// A cluster on this host, with the gateways and replicas that are wanted.
pub struct BenchCluster {
    /// Its file.
    pub config: PathBuf,
    folder: TempDir,
    /// Replicas end before the sequencers do.
    processes: Vec<Started>,
}

impl BenchCluster {
    /// Three sequencers.
    pub fn start() -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("order-path-")?;
        let mut command = Command::new(program()?);
        command.args(["dev", "--until-stdin-ends"]);
        let mut dev = Started::new(command, folder.path().join("dev.log"))?;
        let config = dev.await_line("export LOCKSTEP_CONFIG=")?.into();
        Ok(Self { config, folder, processes: vec![dev] })
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        clear_settings(&mut command);
        command.args(args).env("LOCKSTEP_CONFIG", &self.config);
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Starts a gateway with the two users; where it listens.
    pub fn start_gateway(&mut self) -> Result<SocketAddr, Failure> {
        let program = program()?;
        for user in [MATCHED, ACKNOWLEDGED] {
            let command = self.command(&program, &["gateway", "user", "add", user, "--rate", USER_RATE]);
            let mut child = LoggedChild::start(command, Stdio::null(), self.log("users"))?;
            let mut stdin = child.child_mut().stdin.take().ok_or("its stdin is a pipe")?;
            stdin.write_all(PASSWORD.as_bytes())?;
            drop(stdin);
            if !child.child_mut().wait()?.success() {
                let why = child.last_lines(LAST_LINES, "  ");
                return Err(format!("the user {user} could not be added:{why}").into());
            }
        }
        // A client waits while the others are measured.
        let args = ["gateway", "--name", "1", "--listen", "127.0.0.1:0", "--set", "gateway.silence=5min"];
        let mut gateway = Started::with_settings(self.command(&program, &args), self.log("gateway"))?;
        let line = gateway.await_line("listening ")?;
        self.processes.push(gateway);
        let address = line.rsplit(' ').next().unwrap_or_default();
        Ok(address.parse().map_err(|error| format!("'{line}': {error}"))?)
    }

    /// Starts replica `number` of the machine.
    pub fn start_replica(&mut self, number: u8) -> Result<(), Failure> {
        let command = self.command(&std::env::current_exe()?, &["replica", &number.to_string()]);
        let mut replica = Started::with_settings(command, self.log(&format!("replica-{number}")))?;
        replica.await_line("open")?;
        self.processes.push(replica);
        Ok(())
    }

    /// Starts the exchange without a sequencer; where it listens.
    pub fn start_single(&mut self) -> Result<SocketAddr, Failure> {
        let command = self.command(&std::env::current_exe()?, &["single"]);
        let mut single = Started::with_settings(command, self.log("single"))?;
        let address = single.await_line("listening ")?.parse()?;
        self.processes.push(single);
        Ok(address)
    }
}

impl Drop for BenchCluster {
    fn drop(&mut self) {
        while self.processes.len() > 1 {
            self.processes.pop();
        }
        // The sequencers end by themselves when their parent's stdin does, and leave no folder behind.
        if let Some(mut dev) = self.processes.pop() {
            drop(dev.child.child_mut().stdin.take());
            let _ =
                lockstep_process::child::await_end(dev.child.child_mut(), std::time::Duration::from_secs(10));
        }
    }
}
