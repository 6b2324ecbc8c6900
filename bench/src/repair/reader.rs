//! A subscriber of the measure: a process of its own, so that it can be stopped, and so that what it lacks is
//! its own. It judges the stream, and keeps the latencies of each window apart; messages say whose they are.

use super::{WINDOWS_MAX, window_of};
use crate::check::{Checker, Faults, due, end_of_committed};
use crate::child::report_value;
use crate::cluster::endpoint;
use crate::stats::Latencies;
use lockstep::config::Config;
use lockstep_client::{Delivery, Start, Subscriber, SubscriberEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_process::cpu;
use lockstep_wire::{Nanos, Seq};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// How often it says how far it is.
const TELL_NS: Nanos = 50_000_000;
/// Longest wait between two polls.
const PAUSE_NS: Nanos = 1_000_000;

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct ReaderArguments {
    /// The cluster's file.
    #[arg(long)]
    config: PathBuf,
}

/// What it says, one JSON object a line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// It listens.
    Ready,
    /// So many messages were delivered.
    At(u64),
    /// The end.
    Read(Box<Read>),
}

/// What it has read, all in all.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Read {
    /// Latencies of each window in nanoseconds, as HdrHistogram's logs have them.
    pub windows: Vec<String>,
    /// Messages, of which so many were wrong.
    pub messages: u64,
    pub wrong: u64,
    /// The digest of all, and the seq behind them.
    pub digest: String,
    pub next: Seq,
    /// Times that something was missing, ...
    pub gaps: u64,
    /// ... datagrams that asked for it, ...
    pub requests: u64,
    /// ... frames that came for it, reasons that came instead, ...
    pub repairs: u64,
    pub refusals: u64,
    /// ... and what a replay brought.
    pub replays: u64,
    pub replayed: u64,
}

/// Reads until standard input tells how many messages there are, and all of them have come.
///
/// # Errors
/// In words: a stream that ends or contradicts itself.
pub fn read(arguments: &ReaderArguments) -> Result<(), String> {
    let fails = |error: lockstep_io::IoError| error.to_string();
    let config = Config::load(Some(&arguments.config), &[]).map_err(|errors| errors.to_string())?;
    let endpoint = endpoint(&config)?;
    cpu::short_slice();
    let mut subscriber =
        Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1)).map_err(fails)?;
    let mut waiter = endpoint.idle().waiter(&subscriber.net().sockets()).map_err(fails)?;
    let lines = lines()?;
    report_value(&Report::Ready)?;
    let mut checker = Checker::default();
    let mut windows = (0..WINDOWS_MAX).map(|_| Latencies::new()).collect::<Result<Vec<_>, _>>()?;
    let (mut all, mut wrong, mut reported_at) = (None, None, 0);
    while all.is_none_or(|all| checker.messages() < all) {
        let clock = *subscriber.clock();
        let work = subscriber.poll(usize::MAX, |event| {
            match event {
                SubscriberEvent::Message(message) => {
                    let waited = clock.now().saturating_sub(due(message.payload));
                    if let Some(latencies) = windows.get_mut(window_of(message.payload)) {
                        latencies.record(waited);
                    }
                    checker.take(&message);
                }
                event => wrong = wrong.take().or_else(|| end_of_committed(&event)),
            }
            ControlFlow::Continue(())
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let now = clock.now();
        if now >= reported_at + TELL_NS {
            reported_at = now;
            report_value(&Report::At(checker.messages()))?;
            all = match lines.try_recv() {
                Ok(count) => Some(count),
                Err(TryRecvError::Empty) => all,
                Err(TryRecvError::Disconnected) if all.is_some() => all,
                Err(TryRecvError::Disconnected) => return Ok(()), // nobody waits for the rest
            };
        }
        if work == 0 {
            waiter.on_progress(checker.messages());
            waiter.wait(PAUSE_NS);
        }
    }
    let counters = subscriber.counters();
    let Faults { missing, duplicated, reordered } = checker.faults();
    report_value(&Report::Read(Box::new(Read {
        windows: windows.iter().map(Latencies::encode).collect::<Result<_, _>>()?,
        messages: checker.messages(),
        wrong: missing + duplicated + reordered,
        digest: checker.digest(),
        next: checker.seq_next(),
        gaps: counters.get(Counter::Gaps),
        requests: counters.get(Counter::NacksOut),
        repairs: counters.get(Counter::RepairsIn),
        refusals: counters.get(Counter::RefusalsIn),
        replays: counters.get(Counter::Replays),
        replayed: counters.get(Counter::ReplayedIn),
    })))
}

/// Numbers of messages, from standard input.
fn lines() -> Result<Receiver<u64>, String> {
    let (to, lines) = channel();
    let read = move || {
        let counts = std::io::stdin().lines().map_while(Result::ok).filter_map(|line| line.parse().ok());
        let _ = counts.map(|count| to.send(count)).find(Result::is_err); // nobody reads any more
    };
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(read)
        .map_err(|error| format!("starting the thread that reads stdin: {error}"))?;
    Ok(lines)
}
