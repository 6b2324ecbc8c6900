//! The events of all nodes, merged: by queries of every node, and from the files of this host's processes.

use crate::OperationError;
use lockstep_client::Endpoint;
use lockstep_client::internal::{NodeEvents, QueryClient};
use lockstep_config::Config;
use lockstep_io::clock::Utc;
use lockstep_io::event_ring::{self, EventRingReader, EventSpan};
use lockstep_io::private::FileOwners;
use lockstep_node::EVENT_KINDS;
use lockstep_process::events::{EventCode, EventText};
use lockstep_wire::{EventRow, EventsBody, Nanos};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;
use tracing::Level;

/// How long the nodes may take to answer a query.
const QUERY_TIMEOUT: Duration = Duration::from_millis(300);
/// The version of an event's line of `--json`.
const SCHEMA: &str = "lockstep.event/1";
/// The version of the line about a process whose events are not complete.
const SOURCE_SCHEMA: &str = "lockstep.event_source/1";

/// An event of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenEvent {
    /// As the process's files are called: `replica-1`.
    pub process: String,
    /// The process's number, where its file was read.
    pub pid: Option<u32>,
    /// The id of its ring.
    pub ring: u64,
    /// The event, as the ring has it.
    pub row: EventRow,
}

impl SeenEvent {
    fn text(&self) -> EventText<'_> {
        EventText::new(EVENT_KINDS, &self.row.record)
    }

    /// The level of its log line.
    pub fn level(&self) -> Level {
        self.text().level()
    }

    /// Its code, as a log line prints it.
    pub fn code(&self) -> String {
        self.text().code().to_string()
    }

    /// Its sentence.
    pub fn sentence(&self) -> String {
        self.text().to_string()
    }

    /// The place in the order of all events.
    fn order(&self) -> (Nanos, &str, u64, u64) {
        (self.row.wall, &self.process, self.ring, self.row.number)
    }

    /// As `--json` prints it.
    pub fn json(&self) -> Value {
        let (row, text) = (&self.row, self.text());
        let record = &row.record;
        json!({
            "schema": SCHEMA,
            "process": self.process,
            "pid": self.pid,
            "ring": format!("{:016x}", self.ring),
            "number": row.number,
            "time": Utc(row.wall).to_string(),
            "time_ns": row.wall,
            "at_ns": record.at,
            "level": self.level().as_str().to_lowercase(),
            "code": text.code().to_string(),
            "text": text.to_string(),
            "a": record.a,
            "b": record.b,
            "c": record.c,
            "d": record.d,
            "e": record.e,
            "small": record.small,
        })
    }
}

/// One line: time, level, code, process, text.
impl fmt::Display for SeenEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, text) = (Utc(self.row.wall), self.text());
        let (level, code) = (text.level(), EventCode(self.row.record.code));
        write!(f, "{at} {level:>5} {code} {:<11} {text}", self.process)
    }
}

/// The state of a source of events: of the file of a process, or of a node that was queried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceReport {
    /// As the process's files are called.
    pub process: String,
    /// Why its events are not complete.
    pub state: EventSourceState,
}

/// See [`SourceReport`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventSourceState {
    /// The process of the file has ended.
    Ended {
        /// The number that the process had.
        pid: u32,
    },
    /// So many events of the asked time are gone, those before `oldest`: the ring has wrapped.
    Wrapped {
        /// How many.
        lost: u64,
        /// The time of the oldest one that is there.
        oldest: Nanos,
    },
    /// The file cannot be read.
    Unread(String),
    /// The node does not answer.
    Silent(SocketAddrV4),
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.process)?;
        match &self.state {
            EventSourceState::Ended { pid } => {
                write!(f, "process {pid} has ended; its last events are in its file")
            }
            EventSourceState::Wrapped { lost, oldest } => {
                let before = Utc(*oldest);
                write!(
                    f,
                    "its ring has wrapped: {lost} events before {before} are missing here; the log has them"
                )
            }
            EventSourceState::Unread(error) => write!(f, "{error}"),
            EventSourceState::Silent(address) => write!(f, "it does not answer at {address}"),
        }
    }
}

impl SourceReport {
    /// As `--json` prints it.
    pub fn json(&self) -> Value {
        let state = match &self.state {
            EventSourceState::Ended { .. } => "ended",
            EventSourceState::Wrapped { .. } => "wrapped",
            EventSourceState::Unread(_) => "unread",
            EventSourceState::Silent(_) => "silent",
        };
        let what = self.to_string();
        json!({ "schema": SOURCE_SCHEMA, "process": self.process, "state": state, "what": what })
    }
}

/// Which events are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventFilter {
    /// The least important level.
    pub level: Level,
    /// Numbers of codes; all where there is none.
    pub codes: Vec<u16>,
    /// Replicas and archivers; all processes where there is none.
    pub nodes: Vec<u32>,
}

impl EventFilter {
    /// Whether this event is wanted.
    pub fn wants(&self, event: &SeenEvent) -> bool {
        // A level is the greater the less important it is.
        event.level() <= self.level
            && (self.codes.is_empty() || self.codes.contains(&event.row.record.code))
            && (self.nodes.is_empty() || self.nodes.iter().any(|number| is_of(&event.process, *number)))
    }
}

/// Whether the process is this replica or archiver.
fn is_of(process: &str, number: u32) -> bool {
    ["replica", "archiver"].iter().any(|kind| process == format!("{kind}-{number}"))
}

/// A node, and the number below which its events are wanted.
struct Wanted {
    process: String,
    address: SocketAddrV4,
    before: u64,
    /// Events that it has sent in this poll.
    taken: usize,
}

/// Brings events into the order of time.
pub fn sort(events: &mut [SeenEvent]) {
    events.sort_by(|a, b| a.order().cmp(&b.order()));
}

/// Adds `more` to events in the order of time, and retains the newest `count` of all: each prints as a line.
pub fn retain_newest(events: &mut Vec<SeenEvent>, more: Vec<SeenEvent>, count: usize) {
    events.extend(more);
    sort(events);
    events.drain(..events.len().saturating_sub(count));
}

/// Reads events again and again, and returns each once.
pub struct EventCollector {
    config: Config,
    /// The owners whose files of events are believed.
    owners: FileOwners,
    /// Asks the nodes, wherever they run.
    client: Option<QueryClient>,
    /// The returned events: ring and number.
    seen: BTreeSet<(u64, u64)>,
    /// The sources of the last poll whose events are not complete.
    reports: Vec<SourceReport>,
    has_sources: bool,
}

impl EventCollector {
    /// Of the processes of this host, from their files.
    pub fn of_this_host(config: Config) -> Self {
        let (owners, seen) = (config.file_owners(), BTreeSet::new());
        Self { config, owners, client: None, seen, reports: Vec::new(), has_sources: false }
    }

    /// Of all nodes, by queries, and of the processes of this host.
    ///
    /// # Errors
    /// This host has no key, or no device opens.
    pub fn of_all_nodes(config: Config) -> Result<Self, OperationError> {
        let client = Some(QueryClient::open(&Endpoint::for_operator(&config)?)?);
        Ok(Self { client, ..Self::of_this_host(config) })
    }

    /// The sources of the last poll whose events are not complete.
    pub fn reports(&self) -> &[SourceReport] {
        &self.reports
    }

    /// Whether there has been any process whose events could be read.
    pub fn has_sources(&self) -> bool {
        self.has_sources
    }

    /// The events since the wall time `since` that no poll before has returned, in the order of time: of each
    /// process at most the newest `most`.
    pub fn poll(&mut self, since: Nanos, most: usize) -> Vec<SeenEvent> {
        self.reports.clear();
        let mut found = Vec::new();
        // Without a file here all is asked for.
        for (name, counters) in self.config.counters_files() {
            let file = event_ring::beside(&counters);
            let _ = self.read_file(&name, &event_ring::previous(&file), (since, most), &mut found);
            if let Some(pid) = self.read_file(&name, &file, (since, most), &mut found)
                && !Path::new("/proc").join(pid.to_string()).exists()
            {
                self.report(&name, EventSourceState::Ended { pid });
            }
        }
        if let Some(mut client) = self.client.take() {
            self.query_nodes(&mut client, (since, most), &mut found);
            self.client = Some(client);
        }
        sort(&mut found);
        found
    }

    fn report(&mut self, process: &str, state: EventSourceState) {
        self.reports.push(SourceReport { process: process.to_owned(), state });
    }

    /// Reads a file of events, if it is there. Returns the number of its process.
    fn read_file(
        &mut self,
        process: &str,
        path: &Path,
        (since, most): (Nanos, usize),
        found: &mut Vec<SeenEvent>,
    ) -> Option<u32> {
        if path.symlink_metadata().is_err() {
            return None;
        }
        let reader = match EventRingReader::open_of(path, &self.owners) {
            Ok(reader) => reader,
            Err(error) => {
                self.report(process, EventSourceState::Unread(error.to_string()));
                return None;
            }
        };
        self.has_sources = true;
        let (rows, span, pid) = (reader.rows(), reader.span(), reader.pid());
        let newest = &rows[rows.len().saturating_sub(most)..];
        self.take(process, Some(pid), span, newest, since, found);
        if let Some(oldest) = rows.first().filter(|oldest| rows.len() < most && oldest.wall > since) {
            self.report_lost(process, span, oldest.wall);
        }
        Some(pid)
    }

    /// Asks every node for its newest events, and then for those before, until they are too old, enough, or
    /// known.
    fn query_nodes(
        &mut self,
        client: &mut QueryClient,
        (since, most): (Nanos, usize),
        found: &mut Vec<SeenEvent>,
    ) {
        let replicas = self.config.replicas.iter().map(|node| (format!("replica-{}", node.id), node.unicast));
        let archivers =
            self.config.archivers.iter().map(|node| (format!("archiver-{}", node.id), node.unicast));
        let mut wanted: Vec<Wanted> = replicas
            .chain(archivers)
            .map(|(process, address)| Wanted { process, address, before: u64::MAX, taken: 0 })
            .collect();
        while !wanted.is_empty() {
            let addresses: Vec<_> = wanted.iter().map(|wanted| (wanted.address, wanted.before)).collect();
            let answers = client.events(&addresses, QUERY_TIMEOUT);
            let asked = std::mem::take(&mut wanted);
            for (mut node, answer) in asked.into_iter().zip(answers) {
                let Some(answer) = answer else {
                    self.report(&node.process, EventSourceState::Silent(node.address));
                    continue;
                };
                self.has_sources = true;
                if self.take_page(&mut node, &answer, (since, most), found) {
                    wanted.push(node);
                }
            }
        }
    }

    /// Takes a page. Returns whether the one before it is wanted.
    fn take_page(
        &mut self,
        node: &mut Wanted,
        answer: &NodeEvents,
        (since, most): (Nanos, usize),
        found: &mut Vec<SeenEvent>,
    ) -> bool {
        let EventsBody { ring: id, oldest, next, from, .. } = answer.page;
        let span = EventSpan { id, oldest, next };
        let (rows, before) = (&answer.rows[..answer.rows.len().min(most - node.taken)], found.len());
        self.take(&node.process, None, span, rows, since, found);
        node.taken += rows.len();
        let is_known = found.len() == before && !rows.is_empty();
        let is_too_old = rows.last().is_some_and(|row| row.wall < since);
        if node.taken == most || is_known || is_too_old {
            return false;
        }
        if from <= oldest {
            if let Some(row) = rows.last() {
                self.report_lost(&node.process, span, row.wall);
            }
            return false;
        }
        node.before = from;
        true
    }

    /// Events before those that a ring still has were asked for.
    fn report_lost(&mut self, process: &str, span: EventSpan, oldest: Nanos) {
        let state = EventSourceState::Wrapped { lost: span.oldest, oldest };
        // A ring that was read from its file is not reported a second time.
        if span.oldest > 0 && !self.reports.iter().any(|known| known.state == state) {
            self.report(process, state);
        }
    }

    /// Takes what was not seen before.
    fn take(
        &mut self,
        process: &str,
        pid: Option<u32>,
        span: EventSpan,
        rows: &[EventRow],
        since: Nanos,
        found: &mut Vec<SeenEvent>,
    ) {
        // Events that a ring has no more cannot come again.
        let gone: Vec<_> = self.seen.range((span.id, 0)..(span.id, span.oldest)).copied().collect();
        gone.iter().for_each(|event| {
            self.seen.remove(event);
        });
        for row in rows.iter().filter(|row| row.wall >= since) {
            if self.seen.insert((span.id, row.number)) {
                found.push(SeenEvent { process: process.to_owned(), pid, ring: span.id, row: *row });
            }
        }
    }
}
