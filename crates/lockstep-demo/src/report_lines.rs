//! Reports of the demo's children and commands to them: one JSON object a line.

use crate::GATEWAYS;
use hdrhistogram::Histogram;
use lockstep_daemon::Failure;
use lockstep_daemon::failure::FAILED;
use lockstep_wire::{Nanos, Seq};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

/// One line to a child.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ChildCommand {
    /// Orders flow from this moment on, by the monotonic clock.
    Begin {
        /// When the first one is due.
        at: Nanos,
        /// Whether the flow goes on until [`ChildCommand::Finish`].
        lasts: bool,
    },
    /// Everybody was taken away who was to be: the rest of the flow is due as its rate says.
    Finish,
    /// A gateway listens.
    Gateway {
        /// Which, from 0.
        number: usize,
        /// Where.
        address: SocketAddr,
    },
    /// Nothing more comes: deliver what is there, and say what was seen.
    End {
        /// The seq behind the last entry.
        next: Seq,
    },
}

impl ChildCommand {
    /// The line.
    pub fn line(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self).map_err(io::Error::other)? + "\n")
    }

    /// The commands on stdin. The channel breaks when stdin ends: the demo is over, or gone.
    pub fn listen() -> Result<Receiver<Self>, Failure> {
        let (to, from) = channel();
        let read = move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if let Ok(report) = serde_json::from_str(&line)
                    && to.send(report).is_err()
                {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("lockstep-stdin".into()).spawn(read);
        thread.map_err(|error| {
            Failure::new(FAILED, format!("starting the thread that reads stdin failed: {error}"))
        })?;
        Ok(from)
    }
}

/// Nobody needs this child any more.
pub fn abandoned() -> Failure {
    Failure::new(FAILED, "the demo that started this process is gone")
}

/// One line.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ChildReport {
    /// Connected; a publisher's name is open, all clients are logged in.
    Ready,
    /// So many orders are delivered here.
    Progress {
        /// Orders.
        orders: u64,
    },
    /// Where the clients are that still have orders to send or answers to get.
    Clients(Whereabouts),
    /// A client has its first answer since its connection broke.
    Resumed {
        /// When, by the monotonic clock.
        at: Nanos,
        /// Since the last answer before it.
        wait_ns: Nanos,
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
    /// A publisher's summary.
    Published(Published),
    /// The clients' summary.
    Answered(Answered),
    /// The application's summary.
    Exchanged {
        /// Messages of clients.
        orders: u64,
        /// Answers to them.
        answers: u64,
    },
    /// A subscriber's summary.
    Delivered(Delivered),
}

impl ChildReport {
    /// Says it on stdout.
    pub fn say(&self) -> io::Result<()> {
        let line = serde_json::to_string(self).map_err(io::Error::other)?;
        let mut out = io::stdout();
        writeln!(out, "{line}")?;
        out.flush()
    }
}

/// Where clients are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub struct Whereabouts {
    /// So many are served at each gateway.
    pub at: [usize; GATEWAYS],
    /// So many are at none, or had no answer yet since they lost theirs.
    pub unavailable: usize,
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

/// What the clients of the gateways had, all together.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Answered {
    /// Clients.
    pub clients: u16,
    /// Orders sent, each counted once.
    pub orders: u64,
    /// Of them sent again behind a login.
    pub resent: u64,
    /// Answers, each counted once.
    pub answers: u64,
    /// Answers that never came.
    pub lost: u64,
    /// Answers that came again.
    pub duplicated: u64,
    /// Answers that were not the next.
    pub out_of_order: u64,
    /// Answers to what was not sent.
    pub altered: u64,
    /// Logins behind the first ones.
    pub logins: u64,
    /// From the moment that an order was due to its answer.
    pub latency: Latency,
}

/// What a subscriber saw.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Delivered {
    /// Whether it delivered what was stamped; else what was committed.
    pub stamped: bool,
    /// Messages delivered: orders, answers, and the gateways' heartbeats.
    pub messages: u64,
    /// Orders, each counted once.
    pub orders: u64,
    /// Answers, each counted once.
    pub answers: u64,
    /// Messages that were delivered and that a takeover retracted.
    pub retracted: u64,
    /// Orders and answers that never came.
    pub lost: u64,
    /// Those that came again.
    pub duplicated: u64,
    /// Those that were not the next of their publisher, or to their client.
    pub out_of_order: u64,
    /// Messages that are not what was published.
    pub altered: u64,
    /// Publishers of orders seen.
    pub publishers: usize,
    /// The seq behind the last entry.
    pub next: Seq,
    /// Of the delivered stream.
    pub digest: String,
    /// When the last order was delivered, by the monotonic clock.
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
    /// From the moment that an order was due to its delivery, under load.
    pub latency: Latency,
    /// The same while the stream was quiet, if it was.
    pub quiet_latency: Option<Latency>,
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
    fn each_line_is_parsed_as_it_was_written() {
        let clients = Whereabouts { at: [2, 0], unavailable: 7 };
        let line = serde_json::to_string(&ChildReport::Clients(clients)).expect("JSON");
        assert_eq!(line, r#"{"event":"clients","at":[2,0],"unavailable":7}"#);
        assert!(matches!(serde_json::from_str(&line), Ok(ChildReport::Clients(parsed)) if parsed == clients));
        let command = ChildCommand::Gateway { number: 1, address: ([127, 0, 0, 1], 9_000).into() };
        let line = command.line().expect("JSON");
        assert_eq!(line, "{\"event\":\"gateway\",\"number\":1,\"address\":\"127.0.0.1:9000\"}\n");
        assert_eq!(serde_json::from_str::<ChildCommand>(&line).ok(), Some(command));
    }
}
