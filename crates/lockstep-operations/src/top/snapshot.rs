//! The figures of a cluster at one moment. An unknown figure is `None`: `null` in JSON, `–` on the screen.

use serde::Serialize;

/// The version of a snapshot's JSON.
pub const SCHEMA: &str = "lockstep.top/1";

/// Everything that a screen shows.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The origin of the figures.
    pub source: SnapshotSource,
    /// When they were taken, since the Unix epoch.
    pub at_ns: u64,
    /// The time over which rates and shares were counted; `None` for the first snapshot.
    pub rates_over_ns: Option<u64>,
    /// The time over which latencies and stalls were counted; `None`: since the process started.
    pub times_over_ns: Option<u64>,
    /// The cluster as a whole.
    pub cluster: ClusterLine,
    /// Replicas and archivers.
    pub nodes: Vec<NodeLine>,
    /// Gateways and feeds of this host.
    pub gateways: Vec<GatewayLine>,
    /// Publishers and readers within the processes of this host.
    pub handles: Vec<HandleLine>,
    /// The last events, the newest last.
    pub events: Vec<EventLine>,
    /// The processes of this host with all their counters.
    pub processes: Vec<ProcessLine>,
}

/// The origin of a snapshot's figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotSource {
    /// The answers of all nodes, and the counters files of this host.
    Cluster,
    /// The counters files of this host alone.
    Local,
    /// One counters file, which may be that of a dead process.
    File,
}

/// The cluster as a whole.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ClusterLine {
    /// Its number, as text: JSON numbers may not hold it exactly.
    pub cluster: String,
    /// The health in one word, as `lockstep status` judges it; `None` where no node was asked.
    pub health: Option<&'static str>,
    /// The health in one line.
    pub summary: String,
    /// Every problem.
    pub reasons: Vec<String>,
    /// The identity of the leader.
    pub leader: Option<String>,
    /// Its epoch.
    pub epoch: Option<String>,
    /// The round of that epoch.
    pub round: Option<u64>,
    /// When that round began, since the Unix epoch.
    pub epoch_since_ns: Option<u64>,
    /// Its age at the time of the snapshot.
    pub epoch_age_ns: Option<u64>,
    /// Members in the configuration of the epoch.
    pub members_listed: Option<u64>,
    /// Members that answer and hold the log.
    pub members_available: Option<u64>,
    /// Members that are a quorum.
    pub quorum: Option<u64>,
    /// Members that may crash.
    pub may_crash: Option<u64>,
    /// The exclusive end of the committed entries, as far as this snapshot shows.
    pub commit_next: Option<u64>,
    /// Entries committed in a second.
    pub committed_per_second: Option<f64>,
    /// From stamp to commit, measured by the leader; if it runs on this host.
    pub commit_latency: Option<Quantiles>,
    /// Names in the table of publishers; if the leader runs on this host.
    pub publishers: Option<u64>,
    /// Days until the keys are to be replaced.
    pub keys_days_left: Option<i64>,
}

/// Quantiles of the times that were counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Quantiles {
    /// Half of them were at most so long; `None` if there are none, as for the others.
    pub p50_ns: Option<u64>,
    /// 99 of 100 were at most so long.
    pub p99_ns: Option<u64>,
    /// The longest.
    pub longest_ns: Option<u64>,
}

/// Whether a node runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodePresence {
    /// It answers; without a query, its counters file shows that it runs.
    Runs,
    /// One query is unanswered; the figures are those of the previous answer.
    Late,
    /// Two queries in a row are unanswered.
    Silent,
    /// Its process exists and has stored no counters for two seconds or more.
    Hangs,
    /// Its process has ended.
    Ended,
}

/// A replica or an archiver.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NodeLine {
    /// `replica-1`, `archiver-4`.
    pub name: String,
    /// The identity of its journal.
    pub identity: Option<String>,
    /// The address to which queries are sent.
    pub address: Option<String>,
    /// Whether it runs.
    pub presence: NodePresence,
    /// For how long it has been silent, hanging or ended.
    pub absent_ns: Option<u64>,
    /// Its process id, if it runs or ran on this host.
    pub pid: Option<u32>,
    /// `leader`, `standby`, `witness`, `learner`, `blank`; of a node that does not run, the last one.
    pub role: Option<String>,
    /// The epoch at its log's end.
    pub epoch: Option<String>,
    /// The round of that epoch.
    pub round: Option<u64>,
    /// The exclusive end of its log.
    pub accept_next: Option<u64>,
    /// The exclusive end of the entries that it knows to be committed.
    pub commit_next: Option<u64>,
    /// Entries of the leader's log that it lacks.
    pub lag: Option<u64>,
    /// The time since the leader last received from it.
    pub acked_ago_ns: Option<u64>,
    /// Entries by which its log grew in a second.
    pub entries_per_second: Option<f64>,
    /// Datagrams received in a second. This and all figures below need its counters file.
    pub in_per_second: Option<f64>,
    /// Datagrams sent in a second.
    pub out_per_second: Option<f64>,
    /// Bytes received in a second.
    pub in_bytes_per_second: Option<f64>,
    /// Bytes sent in a second.
    pub out_bytes_per_second: Option<f64>,
    /// Frames that others repaired to it, since it started.
    pub repairs_in: Option<u64>,
    /// Frames that it repaired to others, since it started.
    pub repairs_out: Option<u64>,
    /// All that it dropped since it started.
    pub dropped: Option<u64>,
    /// The drops in a second.
    pub dropped_per_second: Option<f64>,
    /// The drops by cause, without causes that are 0.
    pub drops: Vec<DropCount>,
    /// The share of passes of its duty cycle that found work.
    pub busy: Option<f64>,
    /// The longest time between two passes.
    pub stall_longest_ns: Option<u64>,
    /// The exclusive end of the entries that are written to segments of the journal.
    pub written_next: Option<u64>,
    /// The exclusive end of the entries that the journal's device has confirmed.
    pub durable_next: Option<u64>,
    /// Bytes that are free on the journal's device.
    pub disk_free_bytes: Option<u64>,
    /// The conditions that hold at it, the gravest first.
    pub conditions: Vec<ConditionLine>,
}

/// A cause of drops.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DropCount {
    /// The cause in one word.
    pub cause: &'static str,
    /// How many, since the process started.
    pub count: u64,
}

/// A condition that holds at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConditionLine {
    /// As a log line prints it.
    pub code: String,
    /// The problem.
    pub what: String,
    /// The remedy.
    pub advice: String,
    /// Its age, where it was asked for.
    pub age_ns: Option<u64>,
}

/// A gateway or a feed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct GatewayLine {
    /// `gateway-a`, `feed-itch`.
    pub name: String,
    /// Whether its process runs.
    pub presence: NodePresence,
    /// For how long it has hung or been gone.
    pub absent_ns: Option<u64>,
    /// Whether clients may log in, or messages are sent.
    pub is_ready: bool,
    /// Connections of clients; `None` for a feed.
    pub clients: Option<u64>,
    /// Logins refused since it began.
    pub logins_refused: Option<u64>,
    /// Messages of clients submitted in a second; for a feed, messages read.
    pub in_per_second: Option<f64>,
    /// Messages sent to clients in a second; for a feed, datagrams.
    pub out_per_second: Option<f64>,
    /// Messages of clients refused since it started; for a feed, messages skipped.
    pub refused: Option<u64>,
    /// Connections closed by the gateway since it started.
    pub cut: Option<u64>,
    /// How often a connection waited for the window or its rate limit, since it started.
    pub blocked: Option<u64>,
}

/// A publisher or a reader within a process.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HandleLine {
    /// Its process.
    pub process: String,
    /// `publisher` or `reader`.
    pub kind: &'static str,
    /// Whether its process runs.
    pub presence: NodePresence,
    /// For how long the process has hung or been gone.
    pub absent_ns: Option<u64>,
    /// Whether it follows the leader's stream.
    pub is_connected: bool,
    /// The next seq that a reader delivers; of a publisher, the end of the commit that it knows.
    pub next: Option<u64>,
    /// Committed entries that it lacks.
    pub lag: Option<u64>,
    /// Entries in a second.
    pub entries_per_second: Option<f64>,
    /// Gaps in what it received, since it started.
    pub gaps: Option<u64>,
    /// Submissions that a publisher sent again, since it started.
    pub resends: Option<u64>,
    /// For a reader from stamp to delivery, for a publisher from sending to commit.
    pub latency: Quantiles,
}

/// An event of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EventLine {
    /// Its time, since the Unix epoch.
    pub at_ns: u64,
    /// The node's name, as in its line.
    pub node: String,
    /// Its code, as in a log line.
    pub code: String,
    /// Its text.
    pub text: String,
}

/// A process of this host, with all its counters.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ProcessLine {
    /// The name of its file.
    pub process: String,
    /// `replica`, `archiver`, `gateway`, `feed`, `notary`, `application`.
    pub kind: String,
    /// Its release.
    pub release: String,
    /// Its process id.
    pub pid: u32,
    /// `runs`, `hangs`, `ended`.
    pub life: &'static str,
    /// For how long it has stored nothing, unless it runs.
    pub silent_ns: Option<u64>,
    /// The time since it started.
    pub since_ns: u64,
    /// When its counters were stored, since the Unix epoch; 0 if they never were.
    pub published_at_ns: u64,
    /// Its counters.
    pub counters: Vec<CounterLine>,
}

/// A counter.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CounterLine {
    /// Its name with its labels.
    pub name: String,
    /// The number, or how many times were counted.
    pub value: u64,
    /// The part of the process that it belongs to.
    pub group: String,
    /// `ns`, `B`, or nothing.
    pub unit: String,
    /// `counter`, `gauge`, `state`, `histogram`, `field`.
    pub kind: &'static str,
    /// Its description.
    pub meaning: String,
    /// The name of a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The increase in a second, of a counter that only rises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// Quantiles of a histogram.
    #[serde(flatten)]
    pub times: Option<Quantiles>,
}

impl Snapshot {
    /// The process of this name.
    pub fn process(&self, name: &str) -> Option<&ProcessLine> {
        self.processes.iter().find(|process| process.process == name)
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.name == name)
    }
}
