//! The replicas: the subcommand that production runs, one process each, killed, stopped, resumed and
//! started anew. Whatever runs is ended with the fleet.

use crate::cluster::{Cluster, operator};
use crate::failover::How;
use crate::place::Place;
use lockstep_client::internal::{NodeState, QueryClient};
use lockstep_core::engine::event::Role;
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersReader;
use lockstep_node::NodeSettings;
use lockstep_process::child::{LoggedChild, await_end};
use lockstep_process::signal::Signal;
use lockstep_testkit::processes::command_of;
use lockstep_wire::{Nanos, QueryKind, Seq};
use std::process::Stdio;
use std::time::Duration;

/// How long replicas may take to agree, to stop, and to start.
const PATIENCE_NS: Nanos = 20_000_000_000;
const PATIENCE: Duration = Duration::from_nanos(PATIENCE_NS);
/// How long a round of questions waits for the last replica.
const ASK_ROUND: Duration = Duration::from_millis(100);
/// How long an order waits for its answer.
const ORDER: Duration = Duration::from_secs(1);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(20);
/// A standby that is no further behind than so many entries follows.
const BEHIND_MAX: u64 = 1_000;
/// Lines of a replica's log that are shown when something is wrong.
const LAST_LINES: usize = 15;

/// See the module.
pub struct Fleet {
    /// Before the others: processes end before their folders and places go.
    running: Vec<Option<LoggedChild>>,
    cluster: Cluster,
    places: Vec<Place>,
    questioner: QueryClient,
    clock: Clock,
}

impl Fleet {
    /// Starts every replica of `cluster`, each in its place.
    ///
    /// # Errors
    /// In words, which did not start.
    pub fn start(cluster: Cluster, places: Vec<Place>) -> Result<Self, String> {
        let questioner = QueryClient::open(&operator(&cluster.config)?).map_err(|error| error.to_string())?;
        let running = places.iter().map(|_| None).collect();
        let mut fleet = Self { cluster, places, running, questioner, clock: Clock::start() };
        for id in 1..=fleet.places.len() as u32 {
            fleet.launch(id)?;
        }
        Ok(fleet)
    }

    fn launch(&mut self, id: u32) -> Result<(), String> {
        let fails = |error: std::io::Error| format!("starting replica {id}: {error}");
        let itself = std::env::current_exe().map_err(fails)?;
        let args = ["sequencer", "--until-stdin-ends", "--replica", &id.to_string(), "--config"];
        let mut command = command_of(self.places[id as usize - 1].command(&itself), &args);
        command.arg(self.cluster.path());
        let log = self.cluster.path().with_file_name(format!("replica-{id}.log"));
        let process = LoggedChild::start(command, Stdio::null(), log).map_err(fails)?;
        self.running[id as usize - 1] = Some(process);
        Ok(())
    }

    /// The processes, replica 1 first.
    pub fn pids(&self) -> Vec<u32> {
        self.running.iter().flatten().map(|running| running.child().id()).collect()
    }

    /// Where the replicas' counters are, replica 1 first.
    ///
    /// # Errors
    /// In words, which cannot be read.
    pub fn counters(&self) -> Result<Vec<CountersReader>, String> {
        let open =
            |id| CountersReader::open(&self.cluster.node(id)?.counters).map_err(|error| error.to_string());
        (1..=self.running.len() as u32).map(open).collect()
    }

    /// Waits until one leads and all others follow it closely; returns the leader's number.
    ///
    /// # Errors
    /// They do not: what each says, and the last lines of its log.
    pub fn await_whole(&mut self) -> Result<u32, String> {
        self.until("one leads and the others follow closely", leader_of_whole)
    }

    /// Waits until every replica holds everything below `next` as committed.
    ///
    /// # Errors
    /// As [`Fleet::await_whole`].
    pub fn await_stored(&mut self, next: Seq) -> Result<(), String> {
        let holds = |state: &Option<NodeState>| {
            state.is_some_and(|state| state.accept_next >= next && state.commit_next >= next)
        };
        self.until(&format!("every journal reaches seq {next}"), |states| {
            states.iter().all(holds).then_some(())
        })
    }

    /// Asks the replicas until `found` of their answers.
    fn until<T>(
        &mut self,
        what: &str,
        found: impl Fn(&[Option<NodeState>]) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = self.clock.now() + PATIENCE_NS;
        loop {
            let states = self.ask();
            if let Some(found) = found(&states) {
                return Ok(found);
            }
            if self.clock.now() > deadline {
                return Err(self.explain(what, &states));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&mut self) -> Vec<Option<NodeState>> {
        let replicas = self.cluster.config.replicas.iter();
        let addresses: Vec<_> = replicas.map(|replica| replica.unicast).collect();
        self.questioner.nodes(&addresses, ASK_ROUND)
    }

    /// Says in words that `what` did not come to be, and what every replica has to say.
    fn explain(&self, what: &str, states: &[Option<NodeState>]) -> String {
        let mut text = format!("{PATIENCE_NS} ns were not enough until {what}");
        for (id, state) in (1..).zip(states) {
            let state = state.map_or_else(
                || String::from("does not answer"),
                |state| {
                    let NodeState { role, accepted, accept_next, commit_next, .. } = state;
                    format!(
                        "{} in epoch {accepted}, holds up to {accept_next}, commit {commit_next}",
                        role.name()
                    )
                },
            );
            text += &format!("\nreplica {id}: {state}{}", self.last_words(id));
        }
        text
    }

    /// The last lines of a replica's log.
    fn last_words(&self, id: u32) -> String {
        self.running[id as usize - 1].as_ref().map_or_else(String::new, last_lines)
    }

    /// What every replica says of itself now, in words: for an error.
    pub fn describe(&mut self, what: &str) -> String {
        let states = self.ask();
        self.explain(what, &states)
    }

    /// Takes replica `id` away. It is told at the very moment at which this returns its time.
    ///
    /// # Errors
    /// In words, what could not be done.
    pub fn strike(&mut self, id: u32, how: How) -> Result<Nanos, String> {
        let fails = |error: lockstep_io::IoError| error.to_string();
        let running =
            self.running[id as usize - 1].as_ref().ok_or_else(|| format!("replica {id} is not running"))?;
        let watchers = match how {
            How::KillBoth => children(running.child().id()),
            _ => Vec::new(),
        };
        let at = self.clock.now();
        match how {
            How::Kill => Signal::Kill.send(running.child()).map_err(fails)?,
            How::KillBoth => {
                for watcher in watchers {
                    Signal::Kill.send_to_child_of(running.child(), watcher).map_err(fails)?;
                }
                Signal::Kill.send(running.child()).map_err(fails)?;
            }
            How::Silence => Signal::Stop.send(running.child()).map_err(fails)?,
            How::Handover => {
                let address = self.cluster.node(id)?.unicast;
                let status = self.questioner.statuses(&[address], ORDER).pop().flatten();
                let status = status.ok_or_else(|| format!("replica {id} does not answer"))?;
                let answer = self.questioner.send_command(&status, QueryKind::Handover, None, ORDER);
                answer
                    .ok_or_else(|| format!("replica {id} does not answer"))?
                    .map_err(|why| format!("replica {id} does not hand over: {why:?}"))?;
            }
            How::Stop => Signal::Terminate.send(running.child()).map_err(fails)?,
            How::Partition => self.places[id as usize - 1].cut()?,
            How::None => {}
        }
        Ok(at)
    }

    /// Brings replica `id` back: resumed, reconnected, or started anew once its process has ended.
    ///
    /// # Errors
    /// In words, what could not be done.
    pub fn revive(&mut self, id: u32, how: How) -> Result<(), String> {
        self.revive_behind(id, how, |_| Ok(()))
    }

    /// The same; `between` is done with the settings of a replica whose process has ended, before it starts
    /// anew.
    ///
    /// # Errors
    /// As [`Fleet::revive`], and those of `between`.
    pub fn revive_behind(
        &mut self,
        id: u32,
        how: How,
        between: impl FnOnce(&NodeSettings) -> Result<(), String>,
    ) -> Result<(), String> {
        let place = id as usize - 1;
        let running = self.running[place].as_mut().ok_or_else(|| format!("replica {id} is not running"))?;
        match how {
            How::Silence => Signal::Continue.send(running.child()).map_err(|error| error.to_string()),
            How::Partition => self.places[place].heal(),
            How::Handover | How::None => Ok(()),
            How::Kill | How::KillBoth | How::Stop => {
                let ended = await_end(running.child_mut(), PATIENCE).ok().flatten();
                let status = ended.ok_or_else(|| {
                    format!("replica {id} did not end when it was to{}", last_lines(running))
                })?;
                if how == How::Stop && !status.success() {
                    return Err(format!("replica {id} ended with {status}{}", last_lines(running)));
                }
                between(&self.cluster.node(id)?)?;
                self.launch(id)
            }
        }
    }

    /// Whether every process runs that should.
    ///
    /// # Errors
    /// One has ended that nobody struck: which, how, and its last words.
    pub fn check_alive(&mut self) -> Result<(), String> {
        for index in 0..self.running.len() {
            let Some(running) = &mut self.running[index] else { continue };
            if let Ok(Some(status)) = running.child_mut().try_wait() {
                let id = index as u32 + 1;
                return Err(format!("replica {id} ended by itself ({status}){}", last_lines(running)));
            }
        }
        Ok(())
    }

    /// Ends all in order, and returns the digest of each journal up to `next`.
    ///
    /// # Errors
    /// In words: one that did not end in order, or whose journal cannot be read.
    pub fn end(mut self, next: Seq) -> Result<Vec<String>, String> {
        self.stop()?;
        let mut digests = Vec::new();
        for id in 1..=self.places.len() as u32 {
            let settings = self.cluster.node(id)?;
            let (digest, _) =
                lockstep_node::journal_digest(&settings, Some(next)).map_err(|error| error.to_string())?;
            digests.push(digest.hex());
        }
        Ok(digests)
    }

    /// Ends all in order; their folders stay.
    ///
    /// # Errors
    /// In words: one that did not end in order.
    pub fn stop(&mut self) -> Result<(), String> {
        for running in self.running.iter_mut().flatten() {
            drop(running.child_mut().stdin.take());
        }
        for (id, running) in (1..).zip(&mut self.running) {
            let Some(mut running) = running.take() else { continue };
            let status = await_end(running.child_mut(), PATIENCE).ok().flatten();
            if !status.is_some_and(|status| status.success()) {
                return Err(format!("replica {id} did not end in order: {status:?}{}", last_lines(&running)));
            }
        }
        Ok(())
    }

    /// The seq up to which some replica says that the stream is committed.
    pub fn commit_next(&mut self) -> Seq {
        self.ask().iter().flatten().map(|state| state.commit_next).max().unwrap_or(0)
    }
}

/// The last lines of a replica's log.
fn last_lines(running: &LoggedChild) -> String {
    running.last_lines(LAST_LINES, "  ")
}

/// The leader's number, if one leads and all others follow it closely.
fn leader_of_whole(states: &[Option<NodeState>]) -> Option<u32> {
    let states: Vec<NodeState> = states.iter().copied().collect::<Option<_>>()?;
    let leader = states.iter().find(|state| state.role == Role::Leader)?;
    let follows = |state: &&NodeState| {
        state.role == Role::Standby
            && state.accepted == leader.accepted
            && state.accept_next + BEHIND_MAX >= leader.accept_next
    };
    (states.iter().filter(follows).count() + 1 == states.len()).then_some(leader.identity.replica)
}

/// The processes that `pid` has started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
