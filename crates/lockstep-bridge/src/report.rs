//! Counters of the bridge, as lines on stderr.

use crate::clock;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The longest lag that is told apart: a day, in microseconds.
const LAG_MAX_US: u64 = 86_400_000_000;

/// Counts since the start.
#[derive(Debug)]
pub struct BridgeReport {
    /// Messages that the target has durably.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Commits.
    pub commits: u64,
    /// Failures of the target that were retried.
    pub retries: u64,
    /// Seqs that are committed in the cluster and were not read.
    pub lag_seqs: u64,
    /// The last seq that the target has durably.
    pub last: u64,
    /// From the stamp of a message until the target had it, in microseconds.
    lag: Histogram<u64>,
    /// The same of one interval.
    recent: Histogram<u64>,
    /// Stamps of messages that are appended and not committed.
    stamps: Vec<(u64, usize)>,
    interval: Option<Duration>,
    due: Instant,
}

impl BridgeReport {
    /// Nothing counted. With an interval, a line is due after each.
    pub fn new(interval: Option<Duration>) -> Self {
        let due = clock::now() + interval.unwrap_or_default();
        Self {
            messages: 0,
            bytes: 0,
            commits: 0,
            retries: 0,
            lag_seqs: 0,
            last: 0,
            lag: lags(),
            recent: lags(),
            stamps: Vec::new(),
            interval,
            due,
        }
    }

    /// A message was appended.
    pub fn on_append(&mut self, timestamp: u64, bytes: usize) {
        self.stamps.push((timestamp, bytes));
    }

    /// Everything appended is durable; the last message is that of `last`.
    pub fn on_commit(&mut self, last: u64) {
        let now = clock::wall_ns();
        self.commits += 1;
        self.last = last.max(self.last);
        for (timestamp, bytes) in self.stamps.drain(..) {
            self.messages += 1;
            self.bytes += bytes as u64;
            let lag = now.saturating_sub(timestamp) / 1_000;
            self.lag.saturating_record(lag);
            self.recent.saturating_record(lag);
        }
    }

    /// The target failed: what was appended and not committed is appended again.
    pub fn on_retry(&mut self) {
        self.retries += 1;
        self.stamps.clear();
    }

    /// Whether a line is due.
    pub fn is_due(&self) -> bool {
        self.interval.is_some() && clock::now() >= self.due
    }

    /// Prints a line if one is due.
    pub fn look(&mut self) {
        let Some(interval) = self.interval else { return };
        if self.is_due() {
            self.print_with(&self.recent);
            self.recent.reset();
            self.due = clock::now() + interval;
        }
    }

    /// Prints a line about the whole time.
    pub fn print(&self) {
        self.print_with(&self.lag);
    }

    fn print_with(&self, lag: &Histogram<u64>) {
        let ms = |us: u64| match lag.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.3} ms", us as f64 / 1_000.0),
        };
        say!(
            "messages {}, bytes {}, commits {}, retries {}, last seq {}, lag {} seqs, p50 {}, p99 {}, max {}",
            self.messages,
            self.bytes,
            self.commits,
            self.retries,
            self.last,
            self.lag_seqs,
            ms(lag.value_at_quantile(0.5)),
            ms(lag.value_at_quantile(0.99)),
            ms(lag.max())
        );
    }
}

fn lags() -> Histogram<u64> {
    Histogram::new_with_max(LAG_MAX_US, 3).unwrap_or_else(|_| unreachable!("three digits of a day"))
}
