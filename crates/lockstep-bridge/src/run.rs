//! The loop: position of the target, subscription from there, polls, appends, commits. While the target
//! fails the bridge reads nothing; behind a failure it asks the position again and reads from there.

use crate::clock;
use crate::failure::BridgeFailure;
use crate::outage::Outage;
use crate::reader::{BridgeEnd, BridgeReader, From};
use crate::report::BridgeReport;
use crate::target::{Target, TargetError};
use lockstep_client::{Cursor, Destination, Endpoint};
use lockstep_names::OpenedNames;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest sleep between two polls.
const PAUSE: Duration = Duration::from_millis(5);
/// A batch that does not fill is committed after this time at the latest, though more messages follow.
const COMMIT_AFTER: Duration = Duration::from_millis(50);
/// The position is stored so often although no message was for the target.
const POSITION_EVERY: Duration = Duration::from_secs(5);
/// The pause before the first repeat, ...
pub const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// ... which doubles up to this one.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What a bridge was asked for.
#[derive(Clone, Debug)]
pub struct BridgeSettings {
    /// Where it begins if the target is empty.
    pub from: From,
    /// Where it ends.
    pub end: Option<BridgeEnd>,
    /// Only messages to these; to any if empty.
    pub destinations: Vec<Destination>,
    /// Payload bytes of a commit, about.
    pub batch_bytes: usize,
    /// A line with the counters so often.
    pub report: Option<Duration>,
    /// Messages that are left out.
    pub skip: Vec<u64>,
}

/// Why a connection to the target ended.
enum SessionEnd {
    Failed(BridgeFailure),
    Retry(String),
}

impl std::convert::From<BridgeFailure> for SessionEnd {
    fn from(failure: BridgeFailure) -> Self {
        Self::Failed(failure)
    }
}

impl std::convert::From<TargetError> for SessionEnd {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Retry(what) => Self::Retry(what),
            TargetError::Fatal { code, what } => Self::Failed(BridgeFailure::new(code, what)),
        }
    }
}

/// A failure of the target, and how it is tried again.
#[derive(Default)]
struct Trouble {
    outage: Outage,
    /// It failed at a message, and not at the connection.
    at_write: bool,
    pause: Duration,
}

impl Trouble {
    /// Returns the pause before the next try.
    fn on_retry(&mut self, target: &dyn Target, what: &str, at_write: bool) -> Duration {
        self.outage.on_failure(&target.name(), what);
        self.at_write = at_write;
        self.pause = (self.pause * 2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
        self.pause
    }

    fn on_position(&mut self, target: &dyn Target) {
        if !self.at_write {
            self.on_commit(target);
        }
    }

    fn on_commit(&mut self, target: &dyn Target) {
        if self.outage.is_on() {
            self.outage.on_success(&target.name());
        }
        *self = Self::default();
    }
}

/// Copies the stream into the target until the end, or until the process is asked to stop.
///
/// # Errors
/// What does not pass by itself.
pub fn run(
    endpoint: &Endpoint,
    target: &mut dyn Target,
    settings: &BridgeSettings,
    stop: &AtomicBool,
) -> Result<(), BridgeFailure> {
    let mut report = BridgeReport::new(settings.report);
    let mut trouble = Trouble::default();
    let mut names = OpenedNames::default();
    let outcome = loop {
        let (report, names) = (&mut report, &mut names);
        let mut bridge = BridgeSession { endpoint, target, settings, stop, report, names, appended: None };
        let mut at_write = false;
        match bridge.run(&mut trouble, &mut at_write) {
            Ok(()) => break Ok(()),
            Err(SessionEnd::Failed(failure)) => break Err(failure),
            Err(SessionEnd::Retry(_)) if stop.load(Ordering::Acquire) => break Ok(()),
            Err(SessionEnd::Retry(what)) => {
                report.on_retry();
                let pause = trouble.on_retry(target, &what, at_write);
                report.look();
                clock::pause(pause, stop);
                if stop.load(Ordering::Acquire) {
                    break Ok(());
                }
            }
        }
    };
    report.print();
    outcome
}

/// One connection to the target.
struct BridgeSession<'a> {
    endpoint: &'a Endpoint,
    target: &'a mut dyn Target,
    settings: &'a BridgeSettings,
    stop: &'a AtomicBool,
    report: &'a mut BridgeReport,
    /// Those that were read so far, by this connection or one before.
    names: &'a mut OpenedNames,
    /// Since when something is appended and not committed.
    appended: Option<Instant>,
}

impl BridgeSession<'_> {
    fn run(&mut self, trouble: &mut Trouble, at_write: &mut bool) -> Result<(), SessionEnd> {
        let position = self.target.position()?;
        self.names.extend(&self.target.names());
        self.target.on_names(self.names);
        trouble.on_position(self.target);
        *at_write = true;
        let BridgeSettings { from, end, destinations, batch_bytes, .. } = self.settings;
        let position = position.as_ref();
        let mut reader =
            BridgeReader::open(self.endpoint, position, *from, *end, destinations, *batch_bytes)?;
        let mut last = position.map_or(0, |position| position.seq);
        self.report.last = last.max(self.report.last);
        let mut stored = position.and_then(|position| position.cursor);
        let mut committed_at = clock::now();
        loop {
            let work = self.poll(&mut reader)?;
            let bytes = reader.pending.bytes();
            last = self.append(&mut reader)?.unwrap_or(last);
            let is_over = reader.is_done() || self.stop.load(Ordering::Acquire);
            let cursor = reader.pending.cursor();
            let is_due = match self.appended {
                Some(since) => {
                    bytes >= *batch_bytes || since.elapsed() >= COMMIT_AFTER || work == 0 || is_over
                }
                None => cursor != stored && (is_over || committed_at.elapsed() >= POSITION_EVERY),
            };
            if let Some(cursor) = cursor.filter(|_| is_due) {
                self.commit(cursor, last, trouble)?;
                (stored, committed_at) = (Some(cursor), clock::now());
            }
            let (commit_next, next) = (reader.commit_next(), reader.deliver_next());
            self.report.lag_seqs = commit_next.saturating_sub(next);
            // What a write failed at may have arrived all the same: nothing of the stream is left to write.
            if work == 0 && self.appended.is_none() && commit_next > last && next >= commit_next {
                trouble.on_commit(self.target);
            }
            self.report.look();
            if reader.is_done() {
                self.target.finish()?;
            }
            if is_over {
                return Ok(());
            }
            if work == 0 {
                reader.wait(PAUSE)?;
            }
        }
    }

    /// Reads on, and tells the target which names that brought. Returns the work done.
    fn poll(&mut self, reader: &mut BridgeReader) -> Result<usize, BridgeFailure> {
        let known = self.names.len();
        let work = reader.poll(self.names)?;
        if self.names.len() != known {
            self.target.on_names(self.names);
        }
        Ok(work)
    }

    /// Hands the complete messages to the target; the seq of the last one, if there was one.
    fn append(&mut self, reader: &mut BridgeReader) -> Result<Option<u64>, TargetError> {
        let mut last = None;
        for record in reader.pending.complete(self.names) {
            last = Some(record.seq);
            if self.settings.skip.contains(&record.seq) {
                eprintln!("lockstep-bridge: seq {} is left out, as --skip says", record.seq);
                continue;
            }
            if self.target.has(&record)? {
                continue;
            }
            self.target.append(&record)?;
            self.report.on_append(record.timestamp, record.payload.len());
            self.appended.get_or_insert_with(clock::now);
        }
        let next = reader.cursor();
        reader.pending.clear(next);
        Ok(last)
    }

    fn commit(&mut self, cursor: Cursor, last: u64, trouble: &mut Trouble) -> Result<(), TargetError> {
        self.target.commit(cursor)?;
        if self.appended.take().is_some() {
            trouble.on_commit(self.target);
        }
        self.report.on_commit(last);
        Ok(())
    }
}
