//! # merge: what one order over several streams costs
//!
//! ```text
//!   publisher ─▶ home stream ────┬─▶ its subscription alone (the floor)
//!   publisher ─▶ another stream ─┴─▶ the merged order, by the same thread
//! ```
//!
//! The set runs already: `--config` names its file, and `lockstep dev --streams K` makes one. One thread has
//! the publishers, a subscription of each stream, and a merged subscription over all, and polls them in turn.
//! So each message is delivered twice, by the same thread from the same datagrams, and the difference is the
//! wait for the cut. Then both read the same entries from their beginning, which is the work of the merge.

use crate::cluster::MESSAGE_LEN;
use crate::environment;
use crate::flags;
use crate::harness::{Run, Shared};
use crate::latency::rate;
use crate::results::{Round, Row, RunResult, Unit};
use crate::stats::Latencies;
use lockstep_client::{Delivery, EVERYBODY, Publisher, Start, Subscriber, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_process::cpu;
use lockstep_streams::{MergedStart, MergedSubscriber, StreamSet};
use lockstep_wire::{Nanos, PublisherId};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long opens may take, and messages that are under way at the end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages of a round that do not count, in nanoseconds.
const WARM_UP_NS: Nanos = 200_000_000;
/// What the payload of a measured message begins with; its intended time follows.
const MARK: &[u8; 8] = b"merged 1";
/// The most messages of one poll.
const BATCH: usize = 256;

/// Which set, how often, how long.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// The file of the set, which runs.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Messages per second, from intended times, to all streams in turn.
    #[arg(long, default_value = "2k", value_parser = rate, value_name = "RATE")]
    rate: u64,
    /// Seconds of each round that count.
    #[arg(long, default_value_t = 2.0, value_parser = flags::seconds(0.05..=600.0))]
    seconds: f64,
    /// Messages in each stream for the reading from the beginning; 0 leaves that out.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    messages: u64,
}

/// Measures, and says what the merge adds.
///
/// # Errors
/// The set cannot be read, a stream has no leader, or a message was not delivered.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let Arguments { shared: Shared { rounds, output }, config, rate, seconds, messages } = arguments;
    let set = StreamSet::from_file(config).map_err(|errors| errors.to_string())?;
    let count = set.streams().len();
    let title = "publish to delivery in the merged order, over the subscription of one stream";
    let mut run = Run::begin("merge", title, environment::facts());
    run.tell("set", format!("{count} streams of {}", config.display()));
    run.tell("loop", format!("open: {rate}/s of {MESSAGE_LEN} B to the streams in turn"));
    run.tell("rounds", format!("{rounds} of {seconds} s"));
    cpu::short_slice(); // as all processes of measures do
    let mut sides = Sides::open(&set)?;
    run.rounds(*rounds, |run, _| {
        let at = Instant::now();
        let found = sides.measure(*rate, (seconds * 1e9) as Nanos)?;
        let counted = at.elapsed();
        for (of, [alone, merged]) in ["the home stream", "the other streams"].into_iter().zip(&found) {
            if alone.is_empty() {
                continue;
            }
            let case = format!("committed, {of} of {count}, {MESSAGE_LEN} B, {rate}/s together");
            let floor = Row::new(&case, "stream", "its subscription alone", Unit::Nanos).as_floor(true);
            run.record(floor, at, counted, Round::of(alone)?);
            run.record(Row::new(&case, "merged", "merged", Unit::Nanos), at, counted, Round::of(merged)?);
        }
        Ok(())
    })?;
    if *messages > 0 {
        let all = sides.fill(*messages)?;
        drop(sides);
        let case = format!("read from the beginning, {count} streams, {MESSAGE_LEN} B");
        run.rounds(*rounds, |run, _| {
            for is_merged in [false, true] {
                let at = Instant::now();
                let lasted = if is_merged { read_merged(&set, all)? } else { read_alone(&set, all)? };
                let (subject, words) =
                    if is_merged { ("merged", "merged") } else { ("streams", "each stream alone, in turn") };
                let row = Row::new(&case, subject, words, Unit::MessagesPerSecond).as_floor(!is_merged);
                run.record(row, at, lasted, Round::value(all as f64 / lasted.as_secs_f64()));
            }
            Ok(())
        })?;
    }
    run.finish(output)
}

fn failed(error: IoError) -> String {
    error.to_string()
}

/// What measures: all of it in one thread.
struct Sides {
    publishers: Vec<(Publisher, PublisherId)>,
    alone: Vec<Subscriber>,
    merged: MergedSubscriber,
    home: u64,
    clock: Clock,
}

/// The latencies of the home stream and of the others: alone, and merged.
type Found = [[Latencies; 2]; 2];

impl Sides {
    fn open(set: &StreamSet) -> Result<Self, String> {
        let publisher = |(name, endpoint): &(String, _)| {
            let mut publisher = Publisher::connect(endpoint).map_err(failed)?;
            let id = publisher.open("bench-merge", PATIENCE);
            let id = id.map_err(|error| format!("stream '{name}': {error}"))?;
            Ok::<_, String>((publisher, id))
        };
        let alone = |(_, endpoint): &(String, _)| {
            let mut one = Subscriber::connect(endpoint, Delivery::Committed, Start::Live).map_err(failed)?;
            one.begin(PATIENCE, |_| ControlFlow::Continue(())).map_err(failed)?;
            Ok::<_, String>(one)
        };
        Ok(Self {
            publishers: set.streams().iter().map(publisher).collect::<Result<_, _>>()?,
            alone: set.streams().iter().map(alone).collect::<Result<_, _>>()?,
            merged: MergedSubscriber::connect(set.clone(), MergedStart::Live, PATIENCE).map_err(failed)?,
            home: set.home(),
            clock: Clock::start(),
        })
    }

    /// Messages for so long, each from its intended time to both of its deliveries.
    fn measure(&mut self, rate: u64, lasts_ns: Nanos) -> Result<Found, String> {
        let new = Latencies::new;
        let mut found = [[new()?, new()?], [new()?, new()?]];
        let Self { publishers, alone, merged, home, clock } = self;
        let (began, every_ns) = (clock.now(), 1_000_000_000 / rate);
        let counts_from = began + WARM_UP_NS;
        let ends = counts_from + lasts_ns;
        let (mut due, mut turn, mut left) = (began, 0_usize, [0_u64; 2]);
        let mut payload = [3; MESSAGE_LEN];
        payload[..8].copy_from_slice(MARK);
        loop {
            let now = clock.now();
            while due <= now && due < ends {
                let place = turn % publishers.len();
                let (publisher, id) = &mut publishers[place];
                payload[8..16].copy_from_slice(&due.to_le_bytes());
                if publisher.try_publish(*id, EVERYBODY, &payload).is_err() {
                    break;
                }
                publisher.flush();
                (due, turn, left) = (due + every_ns, turn + 1, left.map(|left| left + 1));
            }
            publishers.iter_mut().for_each(|(publisher, _)| {
                publisher.poll(usize::MAX, |_| {});
            });
            let mut on = |is_other: bool, side: usize, event: SubscriberEvent<'_>| {
                if let Some(intended) = intended(&event).filter(|intended| *intended >= began) {
                    left[side] = left[side].saturating_sub(1);
                    if intended >= counts_from {
                        let late = clock.now().saturating_sub(intended);
                        found[usize::from(is_other)][side].record(late);
                    }
                }
                ControlFlow::Continue(())
            };
            // By turns, so that neither side is always looked at first.
            let mut work = 0;
            for side in if turn.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
                if side == 0 {
                    for (place, one) in alone.iter_mut().enumerate() {
                        work += one.poll(BATCH, |event| on(place != 0, 0, event));
                    }
                } else {
                    work +=
                        merged.poll(BATCH, |one| on(one.stream != *home, 1, one.event)).map_err(failed)?;
                }
            }
            if due >= ends && left == [0; 2] {
                return Ok(found);
            }
            if now > ends + PATIENCE.as_nanos() as Nanos {
                let [alone, merged] = left;
                return Err(format!(
                    "{alone} messages were not delivered by their streams, and {merged} not in the merged order: does \
                     a coordinator run? `lockstep streams show` says so"
                ));
            }
            if work == 0 {
                std::thread::yield_now();
            }
        }
    }

    /// Publishes so many messages into each stream. Returns how many messages of these publishers are
    /// committed in all.
    fn fill(&mut self, messages: u64) -> Result<u64, String> {
        let payload = [5; MESSAGE_LEN];
        let began = Instant::now();
        let mut all = 0;
        for (publisher, id) in &mut self.publishers {
            let mut last = 0;
            for _ in 0..messages {
                loop {
                    match publisher.try_publish(*id, EVERYBODY, &payload) {
                        Ok(number) => break last = number,
                        Err(_) if began.elapsed() > PATIENCE * 10 => {
                            return Err("the streams do not take the messages".into());
                        }
                        Err(_) => {
                            publisher.poll(usize::MAX, |_| {});
                        }
                    }
                }
            }
            while !publisher.is_drained() {
                publisher.poll(usize::MAX, |_| {});
            }
            all += last;
        }
        Ok(all)
    }
}

/// When a measured message was to be published.
fn intended(event: &SubscriberEvent<'_>) -> Option<Nanos> {
    let SubscriberEvent::Message(message) = event else { return None };
    let time = message.payload.strip_prefix(MARK)?.first_chunk::<8>()?;
    Some(Nanos::from_le_bytes(*time))
}

/// Counts the messages of this measure, in all runs over this set.
#[derive(Default)]
struct Names(Vec<(usize, PublisherId)>);

impl Names {
    /// Whether the event is a message of this measure.
    fn is_ours(&mut self, stream: usize, event: &SubscriberEvent<'_>) -> bool {
        match *event {
            SubscriberEvent::Opened { publisher, name: "bench-merge", .. } => {
                self.0.push((stream, publisher));
                false
            }
            SubscriberEvent::Message(message) => self.0.contains(&(stream, message.publisher)),
            _ => false,
        }
    }
}

/// The time from the first to the last of `all` messages, by a subscription of each stream.
fn read_alone(set: &StreamSet, all: u64) -> Result<Duration, String> {
    let connect = |(_, endpoint): &(String, _)| {
        Subscriber::connect(endpoint, Delivery::Committed, Start::From(1)).map_err(failed)
    };
    let mut streams: Vec<_> = set.streams().iter().map(connect).collect::<Result<_, _>>()?;
    let mut names = Names::default();
    timed(all, |on| {
        let mut work = 0;
        for (place, one) in streams.iter_mut().enumerate() {
            work += one.poll(BATCH, |event| {
                if names.is_ours(place, &event) {
                    on();
                }
                ControlFlow::Continue(())
            });
        }
        Ok(work)
    })
}

/// The same, in the merged order.
fn read_merged(set: &StreamSet, all: u64) -> Result<Duration, String> {
    let start = MergedStart::Beginning;
    let mut merged = MergedSubscriber::connect(set.clone(), start, PATIENCE).map_err(failed)?;
    let mut names = Names::default();
    let clusters: Vec<u64> = set.streams().iter().map(|(_, endpoint)| endpoint.cluster()).collect();
    timed(all, |on| {
        let work = merged.poll(BATCH * clusters.len(), |one| {
            let place = clusters.iter().position(|cluster| *cluster == one.stream).unwrap_or(0);
            if names.is_ours(place, &one.event) {
                on();
            }
            ControlFlow::Continue(())
        });
        work.map_err(failed)
    })
}

/// Turns until `all` messages were counted. Returns the time from the first one on.
fn timed(
    all: u64,
    mut turn: impl FnMut(&mut dyn FnMut()) -> Result<usize, String>,
) -> Result<Duration, String> {
    let (mut count, mut first, began) = (0, None, Instant::now());
    while count < all {
        let work = turn(&mut || {
            first.get_or_insert_with(Instant::now);
            count += 1;
        })?;
        if began.elapsed() > PATIENCE * 10 {
            return Err(format!("{count} of {all} messages were read in {:?}", began.elapsed()));
        }
        if work == 0 {
            std::thread::yield_now();
        }
    }
    Ok(first.map_or(Duration::ZERO, |first| first.elapsed()))
}
