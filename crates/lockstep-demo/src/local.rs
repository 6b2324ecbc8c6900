//! Three replicas on this host, as production runs them: founded, started, and queried until one leads.

use crate::process::{DemoProcess, Wiring};
use crate::{PATIENCE, QUERY_ROUND, REPLICAS};
use lockstep_client::Endpoint;
use lockstep_client::internal::{NodeState, QueryClient};
use lockstep_core::engine::event::Role;
use lockstep_daemon::Failure;
use lockstep_daemon::config::{Config, NodeConfig};
use lockstep_daemon::failure::{FAILED, NOT_READY};
use lockstep_io::clock::Clock;
use lockstep_node::local::{Folders, found};
use lockstep_wire::Nanos;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    ) -> Result<Vec<DemoProcess>, Failure> {
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
    ) -> Result<DemoProcess, Failure> {
        DemoProcess::start(name, &self.daemon_args(command, flags), self.folder.disk(), wiring)
    }

    /// The same of another program, which has that command.
    pub fn start_daemon_of(
        &self,
        program: &Path,
        name: &str,
        command: &str,
        flags: impl IntoIterator<Item = String>,
    ) -> Result<DemoProcess, Failure> {
        let args = self.daemon_args(command, flags);
        DemoProcess::start_program(program, name, &args, self.folder.disk(), Wiring::Silent)
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
        let mut leader = None;
        self.query_until(alive, "one leads and the others stand by", |states| {
            let is = |role: Role| states.iter().filter(move |state| state.role == role);
            leader = is(Role::Leader).next().map(|state| state.identity.replica);
            leader.is_some() && is(Role::Standby).count() + 1 == REPLICAS as usize
        })?;
        leader.ok_or_else(|| Failure::new(FAILED, "no replica leads"))
    }

    /// Queries the replicas until `is_so` of their answers; `alive` fails if one of the processes has ended.
    pub fn query_until(
        &self,
        alive: &mut dyn FnMut() -> Result<(), Failure>,
        what: &str,
        mut is_so: impl FnMut(&[NodeState]) -> bool,
    ) -> Result<(), Failure> {
        let endpoint = Endpoint::from_config(&self.config)?;
        let mut questioner = QueryClient::open(&endpoint)?;
        let clock = Clock::start();
        let deadline = clock.now() + PATIENCE.as_nanos() as Nanos;
        loop {
            let answers = questioner.nodes(endpoint.replicas(), QUERY_ROUND);
            let states: Vec<_> = answers.into_iter().flatten().collect();
            if is_so(&states) {
                return Ok(());
            }
            check(&self.stop)?;
            alive()?;
            if clock.now() > deadline {
                let roles: Vec<_> = states
                    .iter()
                    .map(|state| {
                        let NodeState { identity, accept_next, commit_next, .. } = state;
                        let role = state.role.name();
                        format!("{identity} {role}, holds up to {accept_next}, commit {commit_next}")
                    })
                    .collect();
                let what = format!(
                    "{PATIENCE:?} were not enough until {what}; the replicas say: {}",
                    if roles.is_empty() { "nothing".to_owned() } else { roles.join("; ") }
                );
                return Err(Failure::new(NOT_READY, what));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Fails once a signal has asked to stop.
pub fn check(stop: &AtomicBool) -> Result<(), Failure> {
    match stop.load(Ordering::Acquire) {
        true => Err(Failure::new(FAILED, "stopped before the end, as asked; all processes are ended")),
        false => Ok(()),
    }
}
