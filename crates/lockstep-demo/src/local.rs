//! Three replicas on this host, as production runs them: founded, started, and queried until one leads.

use crate::{PATIENCE, QUERY_ROUND};
use lockstep_client::Endpoint;
use lockstep_client::internal::NodeState;
use lockstep_daemon::Failure;
use lockstep_daemon::config::{Config, NodeConfig};
use lockstep_daemon::failure::FAILED;
use lockstep_io::IoError;
use lockstep_node::local::{Folders, found};
use lockstep_trial::process::{TrialProcess, Wiring};
use lockstep_trial::queries::{ReplicaQueries, leader_of_whole, words};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The replicas of one folder.
pub struct LocalCluster<'a> {
    /// Set by the first SIGTERM or SIGINT.
    pub stop: Arc<AtomicBool>,
    /// The cluster's file.
    pub config: Config,
    /// Where file, journals and logs are.
    pub folder: &'a Folders,
    /// Which stream of a set it is.
    pub stream: Option<String>,
}

impl LocalCluster<'_> {
    /// Formats all journals and starts the history, as `format` and `bootstrap` do.
    pub fn found(&self) -> Result<(), Failure> {
        let nodes = self.config.replicas.iter().map(|replica| self.config.node(replica.id));
        found(&nodes.collect::<Result<Vec<_>, _>>()?)?;
        Ok(())
    }

    /// Starts the replicas; each ends with this process. `more` has further flags for the process of a name.
    pub fn start_replicas(
        &self,
        mut more: impl FnMut(&str) -> Result<Vec<String>, Failure>,
    ) -> Result<Vec<TrialProcess>, Failure> {
        let start = |id: u32| {
            let name = match &self.stream {
                Some(stream) => format!("{stream}-replica-{id}"),
                None => format!("replica-{id}"),
            };
            let flags = ["--replica".to_owned(), id.to_string()].into_iter().chain(more(&name)?);
            self.start_daemon(&name, "sequencer", flags, Wiring::Silent)
        };
        self.config.replicas.iter().map(|replica| replica.id).map(start).collect()
    }

    /// Starts a command of this cluster that runs until it is stopped; it ends with this process.
    pub fn start_daemon(
        &self,
        name: &str,
        command: &str,
        flags: impl IntoIterator<Item = String>,
        wiring: Wiring,
    ) -> Result<TrialProcess, Failure> {
        start_own(name, &self.daemon_args(command, flags), self.folder.disk(), wiring)
    }

    /// The same of another program, which has that command.
    pub fn start_daemon_of(
        &self,
        program: &Path,
        name: &str,
        command: &str,
        flags: impl IntoIterator<Item = String>,
    ) -> Result<TrialProcess, Failure> {
        let args = self.daemon_args(command, flags);
        let log = log(self.folder.disk(), name);
        TrialProcess::of_program(name, program.to_owned(), args, log, Wiring::Silent)
    }

    fn daemon_args(&self, command: &str, flags: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut args = vec![command.to_owned(), "--until-stdin-ends".to_owned()];
        args.extend(["--config".to_owned(), self.folder.config().display().to_string()]);
        args.extend(self.stream.iter().flat_map(|name| ["--stream".to_owned(), name.clone()]));
        args.extend(flags);
        args
    }

    /// Waits for one leader and two standbys, and returns the leader's id.
    pub fn await_roles(&self, alive: &mut dyn FnMut() -> Result<(), Failure>) -> Result<u32, Failure> {
        self.query_until(alive, "one leads and the others stand by", |states| {
            leader_of_whole(states, u64::MAX).map(|leader| leader.identity.replica)
        })
    }

    /// Queries the replicas until something is `found` in their answers; `alive` fails if one of the
    /// processes has ended.
    pub fn query_until<T>(
        &self,
        alive: &mut dyn FnMut() -> Result<(), Failure>,
        what: &str,
        found: impl FnMut(&[Option<NodeState>]) -> Option<T>,
    ) -> Result<T, Failure> {
        let endpoint = Endpoint::from_config(&self.config)?;
        let mut queries = ReplicaQueries::open(&endpoint, QUERY_ROUND)?;
        let alive = || check(&self.stop).and_then(|()| alive());
        queries.until(PATIENCE, alive, found, |states| {
            let all = (1..).zip(states).map(|(id, state)| format!("replica {id} {}", words(state.as_ref())));
            let all = all.collect::<Vec<_>>().join("; ");
            format!("{PATIENCE:?} were not enough until {what}: {all}")
        })
    }
}

/// Starts this program anew with `args`; its stderr goes to a file in `folder`.
pub fn start_own(
    name: &str,
    args: &[String],
    folder: &Path,
    wiring: Wiring,
) -> Result<TrialProcess, Failure> {
    let own = std::env::current_exe();
    let own = own.map_err(|error| IoError::new(format!("start the demo's {name}"), error))?;
    TrialProcess::of_program(name, own, args.to_vec(), log(folder, name), wiring)
}

/// Where the stderr of a process goes.
fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// Fails once a signal has asked to stop.
pub fn check(stop: &AtomicBool) -> Result<(), Failure> {
    match stop.load(Ordering::Acquire) {
        true => Err(Failure::new(FAILED, "stopped before the end, as asked; all processes are ended")),
        false => Ok(()),
    }
}
