//! The replicas: the subcommand that production runs, one process each, killed, stopped, resumed and
//! started anew. Whatever runs is ended with the fleet.

use crate::child::itself;
use crate::cluster::{Cluster, operator};
use crate::failover::How;
use crate::place::Place;
use lockstep_client::internal::NodeState;
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersReader;
use lockstep_node::NodeSettings;
use lockstep_process::signal::Signal;
use lockstep_trial::checks::journal_digests;
use lockstep_trial::process::{TrialProcess, Wiring, stop};
use lockstep_trial::queries::{ReplicaQueries, leader_of_whole, words};
use lockstep_wire::{Nanos, QueryKind, Seq};
use std::fmt::Display;
use std::time::Duration;

/// How long replicas may take to agree, to stop, and to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a round of queries waits for the last replica.
const ASK_ROUND: Duration = Duration::from_millis(100);
/// How long an order waits for its answer.
const ORDER: Duration = Duration::from_secs(1);
/// A standby that is no further behind than so many entries follows.
const BEHIND_MAX: u64 = 1_000;

/// See the module.
pub struct Fleet {
    /// Before the others: processes end before their folders and places go.
    running: Vec<TrialProcess>,
    cluster: Cluster,
    places: Vec<Place>,
    queries: ReplicaQueries,
    clock: Clock,
}

impl Fleet {
    /// Starts every replica of `cluster`, each in its place.
    ///
    /// # Errors
    /// In words, which did not start.
    pub fn start(cluster: Cluster, places: Vec<Place>) -> Result<Self, String> {
        let queries = ReplicaQueries::open(&operator(&cluster.config)?, ASK_ROUND);
        let queries = queries.map_err(text)?;
        let start = |(id, place): (u32, &Place)| {
            let (place, program, file) = (place.clone(), itself()?, cluster.path());
            let log = file.with_file_name(format!("replica-{id}.log"));
            let command = move || {
                let mut command = place.command(&program);
                command.args(["sequencer", "--until-stdin-ends", "--replica", &id.to_string(), "--config"]);
                command.arg(&file);
                command
            };
            let process = TrialProcess::start(&format!("replica {id}"), command, log, Wiring::Silent);
            process.map_err(text)
        };
        let running = (1..).zip(&places).map(start).collect::<Result<_, String>>()?;
        Ok(Self { cluster, places, running, queries, clock: Clock::start() })
    }

    /// The processes, replica 1 first.
    pub fn pids(&self) -> Vec<u32> {
        self.running.iter().map(TrialProcess::pid).collect()
    }

    /// Where the replicas' counters are, replica 1 first.
    ///
    /// # Errors
    /// In words, which cannot be read.
    pub fn counters(&self) -> Result<Vec<CountersReader>, String> {
        let open = |id| CountersReader::open(&self.cluster.node(id)?.counters).map_err(text);
        (1..=self.running.len() as u32).map(open).collect()
    }

    /// Waits until one leads and all others follow it closely; returns the leader's number.
    ///
    /// # Errors
    /// They do not: what each says, and the last lines of its log.
    pub fn await_whole(&mut self) -> Result<u32, String> {
        self.until("one leads and the others follow closely", |states| {
            leader_of_whole(states, BEHIND_MAX).map(|leader| leader.identity.replica)
        })
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
        let Self { queries, running, .. } = self;
        queries.until(PATIENCE, || Ok(()), found, |states| explain(what, states, running)).map_err(text)
    }

    /// What every replica says of itself now, in words: for an error.
    pub fn describe(&mut self, what: &str) -> String {
        let states = self.queries.ask();
        explain(what, &states, &self.running)
    }

    /// Takes replica `id` away. It is told at the very moment at which this returns its time.
    ///
    /// # Errors
    /// In words, what could not be done.
    pub fn strike(&mut self, id: u32, how: How) -> Result<Nanos, String> {
        let place = id as usize - 1;
        let process = self.running.get_mut(place).ok_or_else(|| format!("replica {id} is not running"))?;
        let watchers = match how {
            How::KillBoth => children(process.pid()),
            _ => Vec::new(),
        };
        let at = self.clock.now();
        match how {
            How::Kill => process.strike(Signal::Kill).map_err(text)?,
            How::KillBoth => {
                for watcher in watchers {
                    let sent = Signal::Kill.send_to_child_of(process.child(), watcher);
                    sent.map_err(text)?;
                }
                process.strike(Signal::Kill).map_err(text)?;
            }
            How::Silence => process.strike(Signal::Stop).map_err(text)?,
            How::Handover => self.hand_over(id)?,
            How::Stop => process.strike(Signal::Terminate).map_err(text)?,
            How::Partition => self.places[place].cut()?,
            How::None => {}
        }
        Ok(at)
    }

    /// Orders replica `id` to hand over.
    fn hand_over(&mut self, id: u32) -> Result<(), String> {
        let (address, client) = (self.cluster.node(id)?.unicast, &mut self.queries.client);
        let silent = || format!("replica {id} does not answer");
        let status = client.statuses(&[address], ORDER).pop().flatten().ok_or_else(silent)?;
        let answer = client.send_command(&status, QueryKind::Handover, None, ORDER).ok_or_else(silent)?;
        answer.map_err(|why| format!("replica {id} does not hand over: {why:?}")).map(|_| ())
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
        let process = self.running.get_mut(place).ok_or_else(|| format!("replica {id} is not running"))?;
        match how {
            How::Silence => process.revive().map_err(text),
            How::Partition => self.places[place].heal(),
            How::Handover | How::None => Ok(()),
            How::Stop => {
                process.await_good_end(PATIENCE).map_err(text)?;
                between(&self.cluster.node(id)?)?;
                process.restart().map_err(text)
            }
            How::Kill | How::KillBoth => {
                process.await_end(PATIENCE).map_err(text)?;
                between(&self.cluster.node(id)?)?;
                process.restart().map_err(text)
            }
        }
    }

    /// Whether every process runs that should.
    ///
    /// # Errors
    /// One has ended that nobody struck: which, how, and its last words.
    pub fn check_alive(&mut self) -> Result<(), String> {
        self.running.iter_mut().try_for_each(TrialProcess::check_alive).map_err(text)
    }

    /// Ends all in order, and returns the digest of each journal up to `next`.
    ///
    /// # Errors
    /// In words: one that did not end in order, or whose journal cannot be read.
    pub fn end(mut self, next: Seq) -> Result<Vec<String>, String> {
        self.stop()?;
        let nodes = (1..=self.places.len() as u32).map(|id| self.cluster.node(id));
        let digests = journal_digests(nodes.collect::<Result<Vec<_>, _>>()?, next);
        let digests = digests.map_err(text)?;
        Ok(digests.iter().map(|(digest, _)| digest.hex()).collect())
    }

    /// Ends all in order; their folders stay.
    ///
    /// # Errors
    /// In words: one that did not end in order.
    pub fn stop(&mut self) -> Result<(), String> {
        stop(&mut self.running, PATIENCE).map_err(text)
    }

    /// The seq up to which some replica says that the stream is committed.
    pub fn commit_next(&mut self) -> Seq {
        self.queries.ask().iter().flatten().map(|state| state.commit_next).max().unwrap_or(0)
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Says in words that `what` did not come to be, and what every replica has to say.
fn explain(what: &str, states: &[Option<NodeState>], running: &[TrialProcess]) -> String {
    let mut text = format!("{PATIENCE:?} were not enough until {what}");
    for ((id, state), process) in (1..).zip(states).zip(running) {
        text += &format!("\nreplica {id}: {}{}", words(state.as_ref()), process.last_words());
    }
    text
}

/// The processes that `pid` has started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
