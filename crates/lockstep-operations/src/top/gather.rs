//! A snapshot as a function of samples: answers of nodes and values of files become lines of a screen.

mod lines;
#[cfg(test)]
mod tests;

use super::counted::{counted_since, process_line, quantiles_of};
use super::snapshot::{ClusterLine, NodePresence, Quantiles, SCHEMA, Snapshot, SnapshotSource};
use lines::{gateway_line, handle_lines, node_lines};
use lockstep_client::internal::{Health, NodeStatus, QueryResult, Reason, leader_of};
use lockstep_metrics::{Life, Process, Value};
use lockstep_wire::{Nanos, Seq};
use std::collections::BTreeMap;
use std::time::Duration;

/// A node by its answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The node, with the answer that counts.
    node: QueryResult,
    last_at: Option<Nanos>,
    missed: u32,
}

impl Answer {
    /// The result of a query that ended at `now`, behind that of the query before. An answer counts until a
    /// second query in a row is unanswered: datagrams are lost.
    pub fn after(before: Option<&Self>, mut node: QueryResult, now: Nanos) -> Self {
        if node.status.is_some() {
            return Self { node, last_at: Some(now), missed: 0 };
        }
        let missed = before.map_or(0, |before| before.missed).saturating_add(1);
        if missed == 1 {
            node.status = before.and_then(|before| before.node.status.clone());
        }
        Self { node, last_at: before.and_then(|before| before.last_at), missed }
    }

    fn presence(&self) -> NodePresence {
        match (self.missed, &self.node.status) {
            (0, Some(_)) => NodePresence::Runs,
            (_, Some(_)) => NodePresence::Late,
            (_, None) => NodePresence::Silent,
        }
    }

    fn status(&self) -> Option<&NodeStatus> {
        self.node.status.as_ref()
    }

    /// The name of the node, as its counters file has it.
    fn name(&self) -> String {
        let kind = if self.node.is_archiver { "archiver" } else { "replica" };
        let number = self.node.number.or_else(|| Some(self.status()?.identity.replica));
        number.map_or_else(|| self.node.address.to_string(), |number| format!("{kind}-{number}"))
    }
}

/// Everything that was seen at one moment.
pub struct Sample {
    /// By the monotonic clock.
    pub at: Nanos,
    /// Since the Unix epoch.
    pub wall: Nanos,
    /// The nodes that were asked; `None` where none was.
    pub answers: Option<Vec<Answer>>,
    /// The processes of this host.
    pub processes: Vec<Process>,
    /// Free space on the journals' devices, by the node's name.
    pub free_bytes: BTreeMap<String, u64>,
    /// The number of the cluster, where its file is known.
    pub cluster: Option<String>,
    /// Days until the keys are to be replaced.
    pub keys_days_left: Option<i64>,
}

impl Sample {
    /// The process with this name and number: another number is another life.
    fn same(&self, process: &Process) -> Option<&Process> {
        self.processes.iter().find(|other| other.name == process.name && other.pid == process.pid)
    }

    /// The nodes that were asked, by the answers that count. The former answer of a node counts no more once
    /// its file shows that the process hangs or is gone.
    fn asked(&self) -> Vec<QueryResult> {
        let is_gone = |name: &str| {
            self.processes.iter().any(|process| process.name == name && process.life != Life::Runs)
        };
        let one = |answer: &Answer| {
            let counts = answer.missed == 0 || !is_gone(&answer.name());
            QueryResult { status: answer.status().filter(|_| counts).cloned(), ..answer.node.clone() }
        };
        self.answers.iter().flatten().map(one).collect()
    }

    /// The end of what is committed, as far as anybody here knows.
    fn commit_next(&self) -> Option<Seq> {
        if self.answers.is_none() {
            let files = self.processes.iter().filter(|process| is_node(process));
            return files.filter_map(|process| process.value("commit_next")).map(Value::number).max();
        }
        let statuses: Vec<_> = self.asked().into_iter().map(|node| node.status).collect();
        let history = leader_of(&statuses).map(|leader| leader.history);
        let of_history = |status: &&NodeStatus| history.is_none_or(|history| status.history == history);
        statuses.iter().flatten().filter(of_history).map(|status| status.commit_next).max()
    }
}

fn is_node(process: &Process) -> bool {
    matches!(&*process.kind, "replica" | "archiver")
}

/// A process with what it counted in the time of rates, and in that of latencies.
struct Counted<'a> {
    process: &'a Process,
    /// With the time between the two moments at which the process stored its values.
    rates: Option<(Vec<Value>, Duration)>,
    times: Option<Vec<Value>>,
}

impl<'a> Counted<'a> {
    fn new(process: &'a Process, before: Option<&Sample>, earlier: Option<&Sample>) -> Self {
        let rates = before.and_then(|sample| sample.same(process)).and_then(|before| {
            let took = process.published_at.saturating_sub(before.published_at);
            (took > 0).then(|| (counted_since(process, before), Duration::from_nanos(took)))
        });
        let times = earlier.and_then(|sample| sample.same(process));
        Self { process, rates, times: times.map(|earlier| counted_since(process, earlier)) }
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.process.rows.iter().position(|(row, _)| row.name == name)
    }

    /// The value of a counter.
    fn value(&self, name: &str) -> Option<u64> {
        Some(self.process.rows[self.index(name)?].1.number())
    }

    /// The values of all of these together that the process has; `None` if it has none of them.
    fn sum(&self, names: &[&str]) -> Option<u64> {
        names.iter().filter_map(|name| self.value(name)).reduce(u64::saturating_add)
    }

    /// How many in a second.
    fn rate(&self, names: &[&str]) -> Option<f64> {
        let (counted, took) = self.rates.as_ref()?;
        let one = |name: &&str| Some(counted[self.index(name)?].number());
        let all = names.iter().filter_map(one).reduce(u64::saturating_add)?;
        Some(all as f64 / took.as_secs_f64())
    }

    /// The times of a histogram.
    fn quantiles(&self, name: &str) -> Option<Quantiles> {
        let index = self.index(name)?;
        let value = self.times.as_ref().map_or(&self.process.rows[index].1, |times| &times[index]);
        match value {
            Value::Durations(durations) => Some(quantiles_of(durations)),
            Value::Number(_) => None,
        }
    }
}

/// The lines of `sample`. Rates are those since `before`, latencies and stalls those since `earlier`.
pub fn snapshot(
    source: SnapshotSource,
    sample: &Sample,
    before: Option<&Sample>,
    earlier: Option<&Sample>,
) -> Snapshot {
    let counted: Vec<_> =
        sample.processes.iter().map(|process| Counted::new(process, before, earlier)).collect();
    let since = |older: Option<&Sample>| older.map(|older| sample.at.saturating_sub(older.at));
    let process = |counted: &Counted<'_>| {
        let rates = counted.rates.as_ref().map(|(values, took)| (&**values, *took));
        let mut line = process_line(counted.process, rates, counted.times.as_deref());
        // Fields of a record mean nothing one by one; `lockstep losses` shows the records.
        line.counters.retain(|counter| counter.kind != "field");
        line
    };
    Snapshot {
        schema: SCHEMA,
        source,
        at_ns: sample.wall,
        rates_over_ns: since(before),
        times_over_ns: since(earlier),
        cluster: cluster_line(sample, before, &counted),
        nodes: node_lines(sample, before, &counted),
        gateways: counted.iter().filter_map(gateway_line).collect(),
        handles: counted.iter().flat_map(handle_lines).collect(),
        events: Vec::new(),
        processes: counted.iter().map(process).collect(),
    }
}

fn cluster_line(sample: &Sample, before: Option<&Sample>, counted: &[Counted<'_>]) -> ClusterLine {
    let mut line = match sample.answers {
        Some(_) => by_answers(sample),
        None => by_files(sample, counted),
    };
    let number = sample.cluster.clone().or_else(|| Some(sample.processes.first()?.cluster.clone()));
    line.cluster = number.unwrap_or_default();
    line.keys_days_left = sample.keys_days_left;
    line.commit_next = sample.commit_next();
    line.committed_per_second = before.and_then(|before| {
        let more = line.commit_next?.saturating_sub(before.commit_next()?);
        let took = sample.at.saturating_sub(before.at);
        (took > 0).then(|| more as f64 * 1e9 / took as f64)
    });
    let leads = |counted: &&Counted<'_>| {
        counted.process.life == Life::Runs && counted.process.state("role") == Some("leader")
    };
    if let Some(leader) = counted.iter().filter(leads).max_by_key(|leader| leader.value("epoch")) {
        line.commit_latency = leader.quantiles("commit_latency_ns");
        line.publishers = leader.value("publishers");
    }
    line
}

/// The cluster by the answers of its nodes.
fn by_answers(sample: &Sample) -> ClusterLine {
    let asked = sample.asked();
    let health = Health::judge(&asked);
    let statuses: Vec<_> = asked.into_iter().map(|node| node.status).collect();
    let leader = leader_of(&statuses);
    let age = |age: Duration| age.as_nanos() as u64;
    ClusterLine {
        health: Some(health.health.name()),
        summary: health.to_string(),
        reasons: health.reasons.iter().map(Reason::to_string).collect(),
        leader: leader.map(|leader| leader.identity.to_string()),
        epoch: leader.map(|leader| leader.accepted.to_string()),
        round: leader.map(|leader| u64::from(leader.accepted.round())),
        epoch_since_ns: leader.map(|leader| leader.epoch_since),
        epoch_age_ns: leader.and_then(|leader| leader.epoch_age).map(age),
        members_listed: Some(health.listed as u64),
        members_available: Some(health.there as u64),
        quorum: Some(health.quorum() as u64),
        may_crash: Some(health.may_crash() as u64),
        ..ClusterLine::default()
    }
}

/// The cluster as far as files of this host show it.
fn by_files(sample: &Sample, counted: &[Counted<'_>]) -> ClusterLine {
    let nodes: Vec<_> = counted.iter().filter(|counted| is_node(counted.process)).collect();
    let running = || nodes.iter().filter(|node| node.process.life == Life::Runs);
    // The view of the node that is furthest: it may follow a leader of another host.
    let newest = running().max_by_key(|node| (node.value("epoch"), node.value("commit_next")));
    let leader = newest.and_then(|node| node.value("leader")).filter(|leader| *leader > 0);
    let since = newest.and_then(|node| node.value("epoch_start_time_ns")).filter(|since| *since > 0);
    let lives = |life: &str| sample.processes.iter().filter(|process| process.life.name() == life).count();
    let leads = leader.map_or("no leader is known".to_owned(), |leader| format!("replica-{leader} leads"));
    ClusterLine {
        summary: format!(
            "files of this host: {leads}; {} processes run, {} hang, {} have ended",
            lives("runs"),
            lives("hangs"),
            lives("ended")
        ),
        leader: leader.map(|leader| format!("replica-{leader}")),
        round: newest.and_then(|node| node.value("epoch")).filter(|round| *round > 0),
        epoch_since_ns: since,
        epoch_age_ns: since.map(|since| sample.wall.saturating_sub(since)),
        members_listed: newest.and_then(|node| node.value("members")),
        quorum: newest.and_then(|node| node.value("quorum")),
        ..ClusterLine::default()
    }
}
