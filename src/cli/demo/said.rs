//! What the demo's clients say to it: one JSON object a line.

use crate::wire::{Nanos, Seq};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// One line.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Said {
    /// Connected, and a publisher's name open.
    Ready,
    /// So many messages are delivered here.
    Progress {
        /// Messages.
        messages: u64,
    },
    /// The first message of a new epoch was delivered here.
    Epoch {
        /// Its number in the cluster's order.
        epoch: u64,
        /// When, by the monotonic clock.
        at: Nanos,
        /// Since the last message before it.
        gap_ns: Nanos,
    },
    /// All messages are delivered and committed.
    Reached {
        /// The seq behind the last one.
        next: Seq,
    },
    /// A publisher's summary.
    Published(Published),
    /// A subscriber's summary.
    Delivered(Delivered),
}

impl Said {
    /// Says it on stdout.
    pub fn say(&self) -> io::Result<()> {
        let line = serde_json::to_string(self).map_err(io::Error::other)?;
        let mut out = io::stdout();
        writeln!(out, "{line}")?;
        out.flush()
    }
}

/// What a publisher did.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Published {
    /// Messages handed over.
    pub messages: u64,
    /// Of them committed.
    pub committed: u64,
    /// Times that its window was full.
    pub backpressure: u64,
    /// Datagrams sent again.
    pub resends: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Received by the kernel and thrown away, because the socket was full.
    pub dropped: u64,
    /// Frames repaired to it.
    pub repairs: u64,
}

/// What a subscriber saw.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Delivered {
    /// Whether it delivered what was stamped; else what was committed.
    pub stamped: bool,
    /// Messages delivered.
    pub messages: u64,
    /// Messages that it was told and that a takeover took back.
    #[serde(default)]
    pub retracted: u64,
    /// Messages of the flow that never came.
    pub lost: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that were not the next of their publisher.
    pub out_of_order: u64,
    /// Messages that are not what was published.
    pub altered: u64,
    /// Publishers seen.
    pub publishers: usize,
    /// The seq behind the last message.
    pub next: Seq,
    /// Of the delivered stream.
    pub digest: String,
    /// When the last message was delivered, by the monotonic clock.
    pub last_at: Nanos,
    /// Times that something was missing.
    pub gaps: u64,
    /// Frames repaired.
    pub repairs: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent: requests.
    pub datagrams_out: u64,
    /// Received by the kernel and thrown away, because the socket was full.
    pub dropped: u64,
    /// From publish to delivery.
    pub latency: Latency,
}

/// Latencies in nanoseconds; a percentile with fewer than [`SAMPLES_ABOVE_MIN`] samples above it is none.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Latency {
    /// Half of the messages took longer.
    pub p50_ns: Option<u64>,
    /// One in a hundred.
    pub p99_ns: Option<u64>,
    /// One in a thousand.
    pub p999_ns: Option<u64>,
    /// The slowest.
    pub max_ns: Option<u64>,
}

/// A percentile that rests on fewer samples is an accident.
const SAMPLES_ABOVE_MIN: u64 = 10;

impl Latency {
    /// What a histogram of nanoseconds tells.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        // In thousandths, so that no rounding decides.
        let percentile = |thousandths: u64| {
            let above = histogram.len() * (1000 - thousandths) / 1000;
            (above >= SAMPLES_ABOVE_MIN).then(|| histogram.value_at_quantile(thousandths as f64 / 1000.0))
        };
        Self {
            p50_ns: percentile(500),
            p99_ns: percentile(990),
            p999_ns: percentile(999),
            max_ns: (!histogram.is_empty()).then(|| histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_percentile_is_told_with_fewer_than_ten_samples_above_it() {
        let latency = |samples: u64| {
            let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 3).expect("bounds");
            (1..=samples).for_each(|sample| histogram.record(sample).expect("in bounds"));
            let Latency { p50_ns, p99_ns, p999_ns, max_ns } = Latency::of(&histogram);
            [p50_ns, p99_ns, p999_ns, max_ns].map(|value| value.is_some())
        };
        assert_eq!(latency(0), [false; 4]);
        assert_eq!(latency(19), [false, false, false, true]);
        assert_eq!(latency(20), [true, false, false, true]);
        assert_eq!(latency(999), [true, false, false, true]);
        assert_eq!(latency(1_000), [true, true, false, true]);
        assert_eq!(latency(9_999), [true, true, false, true]);
        assert_eq!(latency(10_000), [true; 4]);
    }

    #[test]
    fn what_is_said_is_understood() {
        let line = serde_json::to_string(&Said::Reached { next: 7 }).expect("JSON");
        assert_eq!(line, r#"{"event":"reached","next":7}"#);
        assert!(matches!(serde_json::from_str(&line), Ok(Said::Reached { next: 7 })));
    }
}
