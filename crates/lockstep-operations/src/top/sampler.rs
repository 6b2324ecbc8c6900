//! Takes samples: one query to each node, all counters files of this host, and the pages of others.

use super::gather::{Answer, Sample, snapshot};
use super::pages;
use super::snapshot::{EventLine, Snapshot, SnapshotSource};
use crate::OperationError;
use crate::commands::{CommandClient, CommandSource};
use crate::events::{EventCollector, SeenEvent, retain_newest};
use crate::key_expiry::Expiry;
use crate::processes::{self, files};
use lockstep_config::Config;
use lockstep_io::clock::Clock;
use lockstep_metrics::Process;
use lockstep_node::io::tail::free_bytes;
use lockstep_wire::Nanos;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

/// How long an answer is waited for at most.
const ANSWER_WAIT: Duration = Duration::from_millis(300);
/// Rates are those of this time, or of one interval if that is longer: processes store their counters ten
/// times a second, and so shorter rates would jump.
const RATES_NS: Nanos = 1_000_000_000;
/// Latencies and stalls are those of this time.
const TIMES_NS: Nanos = 10_000_000_000;
/// Pause between two looks at the events: a silent node is waited for each time.
const EVENTS_PAUSE_NS: Nanos = 1_000_000_000;
/// Files that were passed over, for the next snapshot.
const PASSED_OVER_MAX: usize = 8;
/// Events that a snapshot has at most, ...
const EVENTS_MAX: usize = 50;
/// ... none older than this.
const EVENTS_AGE_NS: Nanos = 3_600_000_000_000;

/// Where figures come from, and how often.
#[derive(Clone, Debug)]
pub struct SamplePlan {
    /// The one counters file that is read; nothing else is.
    pub file: Option<PathBuf>,
    /// Whether no node is asked: the counters files of this host alone.
    pub is_local: bool,
    /// Pages of more processes on other hosts.
    pub pages: Vec<SocketAddrV4>,
    /// The time between two looks.
    pub interval: Duration,
}

/// See the module.
pub struct Sampler {
    source: SnapshotSource,
    /// Asks the nodes; none without a query.
    operator: Option<CommandClient>,
    /// The cluster's file; none where one counters file is all there is.
    config: Option<Config>,
    file: Option<PathBuf>,
    /// Pages of processes on other hosts.
    pages: Vec<SocketAddrV4>,
    /// Reads the events; none where one counters file is all there is.
    events: Option<EventCollector>,
    /// The newest ones, the newest last.
    newest_events: Vec<SeenEvent>,
    /// When they are looked at again.
    events_due: Nanos,
    keys_days_left: Option<i64>,
    /// Files of this host that were not believed at the last look, each with the reason.
    passed_over: Vec<String>,
    wait: Duration,
    clock: Clock,
    answers: BTreeMap<SocketAddrV4, Answer>,
    /// The last samples, the newest last.
    samples: VecDeque<Sample>,
}

impl Sampler {
    /// Reads the configuration and opens a device, as far as the plan needs them.
    ///
    /// # Errors
    /// The configuration cannot be read, no device opens, or no process of this host is to be seen.
    pub fn new<S: CommandSource>(cluster: &S, plan: &SamplePlan) -> Result<Self, S::Error> {
        let source = match (&plan.file, plan.is_local) {
            (Some(_), _) => SnapshotSource::File,
            (None, true) => SnapshotSource::Local,
            (None, false) => SnapshotSource::Cluster,
        };
        let is_cluster = source == SnapshotSource::Cluster;
        let config = plan.file.is_none().then(|| cluster.config()).transpose()?;
        if let (SnapshotSource::Local, Some(config)) = (source, &config) {
            // It is an error now, and none later: processes come and go.
            files(config, None)?;
        }
        let operator = is_cluster.then(|| CommandClient::open(cluster, Duration::MAX)).transpose()?;
        let events = match &config {
            Some(config) if is_cluster => Some(EventCollector::of_all_nodes(config.clone())?),
            Some(config) => Some(EventCollector::of_this_host(config.clone())),
            None => None,
        };
        let pages = match &config {
            Some(config) if is_cluster => {
                pages::of_nodes(config).into_iter().chain(plan.pages.clone()).collect()
            }
            _ => Vec::new(),
        };
        let expiry = config.as_ref().filter(|_| is_cluster).and_then(Expiry::of_operator);
        Ok(Self {
            source,
            operator,
            config,
            file: plan.file.clone(),
            pages,
            events,
            newest_events: Vec::new(),
            events_due: 0,
            keys_days_left: expiry.map(|expiry| expiry.days_left),
            passed_over: Vec::new(),
            wait: ANSWER_WAIT.min(plan.interval * 4 / 5),
            clock: Clock::start(),
            answers: BTreeMap::new(),
            samples: VecDeque::new(),
        })
    }

    /// Looks at everything once.
    ///
    /// # Errors
    /// The one file cannot be read.
    pub fn take(&mut self) -> Result<Snapshot, OperationError> {
        // Files first: behind the answers they would be newer by the time for which a silent node is waited
        // for.
        self.clock.refresh();
        let at = self.clock.now();
        let mut processes = self.processes()?;
        let free_bytes = self.free_bytes(&processes);
        for process in pages::fetch(&self.pages, self.wait) {
            if processes.iter().all(|other| other.name != process.name) {
                processes.push(process);
            }
        }
        let answers = self.answers(at);
        let sample = Sample {
            at,
            wall: self.clock.wall(at),
            answers,
            free_bytes,
            processes,
            cluster: self.config.as_ref().map(|config| config.cluster.to_string()),
            keys_days_left: self.keys_days_left,
        };
        // The newest sample that is old enough, or else the oldest one.
        let older = |age: Nanos| {
            let old = self.samples.iter().rev().find(|older| older.at + age <= at);
            old.or_else(|| self.samples.front())
        };
        // A sample may be some milliseconds younger than the interval is long.
        let mut taken = snapshot(self.source, &sample, older(RATES_NS * 95 / 100), older(TIMES_NS));
        taken.events = self.events(at, sample.wall);
        if let Some(first) = self.passed_over.first() {
            taken.cluster.summary += &format!("; {first}");
            taken.cluster.reasons.extend(self.passed_over.iter().cloned());
        }
        self.samples.push_back(sample);
        while self.samples.get(1).is_some_and(|second| second.at + TIMES_NS <= at) {
            self.samples.pop_front();
        }
        Ok(taken)
    }

    /// The newest events of all nodes, at `now` by this clock and at `wall` by that of the wall.
    fn events(&mut self, now: Nanos, wall: Nanos) -> Vec<EventLine> {
        if let Some(events) = self.events.as_mut().filter(|_| now >= self.events_due) {
            let more = events.poll(wall.saturating_sub(EVENTS_AGE_NS), EVENTS_MAX);
            retain_newest(&mut self.newest_events, more, EVENTS_MAX);
            self.events_due = now + EVENTS_PAUSE_NS;
        }
        let line = |seen: &SeenEvent| EventLine {
            at_ns: seen.row.wall,
            node: seen.process.clone(),
            code: seen.code(),
            text: seen.sentence(),
        };
        self.newest_events.iter().map(line).collect()
    }

    /// Asks each node once, at `now`: nodes answer at once.
    fn answers(&mut self, now: Nanos) -> Option<Vec<Answer>> {
        let operator = self.operator.as_mut()?;
        let asked = operator.nodes.addresses.len();
        let statuses = operator.nodes.look_once(self.wait);
        let nodes = operator.nodes.asked(&statuses).into_iter().take(asked);
        let answers: Vec<_> = nodes
            .map(|node| {
                let address = node.address;
                let answer = Answer::after(self.answers.get(&address), node, now);
                self.answers.insert(address, answer.clone());
                answer
            })
            .collect();
        Some(answers)
    }

    /// The processes whose files can be read: one may end between two calls.
    fn processes(&mut self) -> Result<Vec<Process>, OperationError> {
        if let Some(file) = &self.file {
            return Ok(vec![Process::read_file(file)?]);
        }
        let Some(config) = &self.config else { return Ok(Vec::new()) };
        let read = processes::read(config, files(config, None).unwrap_or_default());
        let mut passed_over: Vec<_> =
            read.passed_over.iter().map(|(name, error)| format!("{name} is passed over: {error}")).collect();
        // Others may make as many as they like.
        passed_over.truncate(PASSED_OVER_MAX);
        self.passed_over = passed_over;
        Ok(read.processes.into_iter().map(|(process, _)| process).collect())
    }

    /// Free space on the journals' devices of those nodes that run on this host.
    fn free_bytes(&self, processes: &[Process]) -> BTreeMap<String, u64> {
        let Some(config) = &self.config else { return BTreeMap::new() };
        let replicas = config.replicas.iter().map(|one| (format!("replica-{}", one.id), &one.journal));
        let archivers = config.archivers.iter().map(|one| (format!("archiver-{}", one.id), &one.journal));
        let is_here = |name: &str| processes.iter().any(|process| process.name == name);
        let nodes = replicas.chain(archivers).filter(|(name, _)| is_here(name));
        nodes.filter_map(|(name, journal)| Some((name, free_bytes(journal).ok()?))).collect()
    }
}
