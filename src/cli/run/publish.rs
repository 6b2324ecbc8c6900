//! `lockstep publish`: messages out of a file or stdin, until all of them are committed.

mod input;

use crate::cli::shared::waiting;
use clap::Args;
use input::{Item, Limit, Spelling};
use lockstep_client::Endpoint;
use lockstep_client::{OpenError, PublishError, Publisher, PublisherEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::config::{Config, KeyUse};
use lockstep_daemon::failure::{FAILED, FENCED, INTEGRITY, NOT_READY, USAGE};
use lockstep_daemon::log;
use lockstep_daemon::signals;
use lockstep_io::idle::Idle;
use lockstep_wire::{Destination, Nanos, PublisherId, PublisherSeq, Seq};
use serde_json::json;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// Most messages that are taken from the input between two polls.
const BATCH: usize = 256;
/// Longest sleep between two looks at the input, which wakes nobody.
const PAUSE_NS: Nanos = 1_000_000;
/// Time between two lines about how far it is.
const REPORT_NS: Nanos = 5_000_000_000;
/// The version of a line of `--outcomes --json`.
const SCHEMA: &str = "lockstep.committed/1";

/// Flags of `publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The publisher's name: bound to one id for the life of the stream. Opening it fences whoever had it
    #[arg(long, value_name = "NAME", env = "LOCKSTEP_NAME")]
    pub name: String,
    /// Messages: one a line, unless a flag says otherwise; - is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Each message follows its length, 4 bytes little-endian, as `subscribe --raw` prints them
    #[arg(long, conflicts_with = "hex")]
    pub length_prefixed: bool,
    /// Each line is a message in hexadecimal digits
    #[arg(long)]
    pub hex: bool,
    /// The destination of the messages; 0 is everybody
    #[arg(long, value_name = "N", default_value_t = 0, env = "LOCKSTEP_DESTINATION")]
    pub destination: Destination,
    /// Prints a line for each message that is committed, as soon as it is: its number in the input, counted
    /// from 1, and its seq
    #[arg(long)]
    pub outcomes: bool,
    /// One JSON object for each of those
    #[arg(long, requires = "outcomes")]
    pub json: bool,
    /// How long to wait for the name to be opened, and then for the next message to be committed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Duration,
}

/// Publishes all and prints the counts on stderr.
pub fn run(args: &PublishArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    log::start(&config.log);
    let stop = signals::stop_flag()?;
    let endpoint = Endpoint::from_config(&config)?;
    signals::reload_keys(config.key_file(KeyUse::Handle), endpoint.keys().clone(), drop)?;
    let mut publisher = Publisher::connect(&endpoint)?;
    let input = input::start(&args.file, Spelling::of(args), limit(&publisher, args.destination))?;
    let id = publisher.open(&args.name, args.timeout).map_err(|error| match error {
        OpenError::TimedOut(name, timeout) => Failure::new(
            NOT_READY,
            format!(
                "publisher '{name}' was not opened within {timeout:?}; {}",
                waiting::explain(&config, &endpoint)
            ),
        ),
        other => other.into(),
    })?;
    let waiter = Idle::Park.waiter(&publisher.net().sockets())?;
    let mut run = Run {
        publisher,
        id,
        args,
        config: &config,
        endpoint: &endpoint,
        input,
        waiter,
        next: None,
        ended: None,
        tally: Tally::default(),
        outcomes: args.outcomes.then(|| BufWriter::new(io::stdout())),
    };
    let began = run.publisher.clock().now();
    let outcome = run.until_committed(&stop);
    run.print_counts(run.publisher.clock().now() - began);
    outcome?;
    Ok(0)
}

/// How long a message for `destination` may be.
fn limit(publisher: &Publisher, destination: Destination) -> Limit {
    let bytes = publisher.message_len_max_for(destination);
    if bytes < publisher.message_len_max() {
        return Limit { bytes, keys: "channels.*.message_len_max, which is what a feed's datagram takes" };
    }
    Limit { bytes, keys: "stream.message_len_max, and what publisher.window and publisher.buffer hold" }
}

/// What the events said.
#[derive(Default)]
struct Tally {
    published: u64,
    committed: u64,
    first: Option<Seq>,
    last: Option<Seq>,
    /// A number under which the stream has another message.
    diverged: Option<PublisherSeq>,
    ended_by: Option<Ended>,
}

/// Why nothing more will be committed.
enum Ended {
    Fenced,
    Closed,
    Lost,
    /// The key does not allow the message with this number.
    NotAllowed(PublisherSeq),
    /// The stream has another message under this number, at this seq.
    Diverged(PublisherSeq, Seq),
    /// The message with this number, at this seq, took so long that readers have given it up.
    Discarded(PublisherSeq, Seq),
}

struct Run<'a> {
    config: &'a Config,
    endpoint: &'a Endpoint,
    publisher: Publisher,
    id: PublisherId,
    args: &'a PublishArgs,
    input: Receiver<Item>,
    waiter: lockstep_io::idle::Waiter,
    /// Read from the input, and not taken by a full window yet.
    next: Option<Vec<u8>>,
    /// Set when the input has ended: rightly, or with what is wrong in it.
    ended: Option<Result<(), Failure>>,
    tally: Tally,
    /// Where each fate is printed, if it is.
    outcomes: Option<BufWriter<Stdout>>,
}

impl Run<'_> {
    /// Publishes until the input ends and everything has its fate. An error with the input is told
    /// last: what came before it is committed by then.
    fn until_committed(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let timeout_ns = self.args.timeout.as_nanos() as Nanos;
        let mut progress = (0, self.publisher.clock().now());
        let mut last_report = (0, progress.1);
        loop {
            if stop.load(Ordering::Acquire) && self.ended.is_none() {
                self.ended = Some(Ok(())); // no more, but what is out is waited for
            }
            let taken = self.take_input()?;
            let work = self.poll()?;
            if let Some(ended) = &self.tally.ended_by {
                return Err(self.failure(ended));
            }
            let now = self.publisher.clock().now();
            if now >= last_report.1 + REPORT_NS && self.tally.committed > last_report.0 {
                last_report = (self.tally.committed, now);
                let (committed, last) = (last_report.0, self.tally.last.unwrap_or_default());
                eprintln!("{committed} committed so far, the last one at seq {last}");
            }
            let is_drained = self.publisher.is_drained() && self.next.is_none();
            if is_drained && self.ended.is_some() {
                return self.ended.take().unwrap_or(Ok(()));
            }
            if is_drained || self.tally.committed > progress.0 {
                progress = (self.tally.committed, now);
            } else if now > progress.1 + timeout_ns {
                return Err(self.too_late());
            }
            if work + taken == 0 {
                self.waiter.wait(PAUSE_NS);
            }
        }
    }

    /// Hands messages of the input to the publisher until it is full or there is none. Returns how many.
    fn take_input(&mut self) -> Result<usize, Failure> {
        for taken in 0..BATCH {
            if self.next.is_none() && self.ended.is_none() {
                match self.input.try_recv() {
                    Ok(Ok(message)) => self.next = Some(message),
                    Ok(Err(wrong)) => self.ended = Some(Err(wrong)),
                    Err(TryRecvError::Empty) => return Ok(taken),
                    Err(TryRecvError::Disconnected) => self.ended = Some(Ok(())),
                }
            }
            let Some(message) = self.next.as_deref() else { return Ok(taken) };
            match self.publisher.try_publish(self.id, self.args.destination, message) {
                Ok(_) => {
                    self.tally.published += 1;
                    self.next = None;
                }
                Err(PublishError::Backpressure) => return Ok(taken),
                Err(PublishError::Fenced) => return Err(self.failure(&Ended::Fenced)),
                Err(PublishError::Closed) => return Err(self.failure(&Ended::Closed)),
                Err(error @ (PublishError::TooLong { .. } | PublishError::TooLongFor { .. })) => {
                    return Err(Failure::new(USAGE, error));
                }
                Err(error) => {
                    return Err(Failure::new(FAILED, error));
                }
            }
        }
        Ok(BATCH)
    }

    fn poll(&mut self) -> Result<usize, Failure> {
        let Self { publisher, tally, id, outcomes, args, .. } = self;
        let mut printed = Ok(());
        let work = publisher.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { publisher_seq, .. } if tally.diverged == Some(publisher_seq) => {}
            PublisherEvent::Committed { publisher, seq, .. } if publisher == *id => {
                tally.committed += 1;
                tally.first.get_or_insert(seq);
                tally.last = Some(seq);
                if let (Some(out), Ok(())) = (outcomes.as_mut(), &printed) {
                    let number = tally.committed;
                    printed = if args.json {
                        writeln!(out, "{}", json!({ "schema": SCHEMA, "number": number, "seq": seq }))
                    } else {
                        writeln!(out, "{number}\t{seq}")
                    };
                }
            }
            PublisherEvent::Diverged { publisher_seq, seq, .. } => {
                tally.diverged = Some(publisher_seq);
                tally.ended_by = Some(Ended::Diverged(publisher_seq, seq));
            }
            PublisherEvent::Discarded { publisher_seq, seq, .. } => {
                tally.ended_by = Some(Ended::Discarded(publisher_seq, seq));
            }
            PublisherEvent::Fenced { .. } => tally.ended_by = Some(Ended::Fenced),
            PublisherEvent::Closed { .. } => tally.ended_by = Some(Ended::Closed),
            PublisherEvent::OutcomesUnknown => tally.ended_by = Some(Ended::Lost),
            PublisherEvent::NotAllowed { publisher_seq, .. } => {
                tally.ended_by = Some(Ended::NotAllowed(publisher_seq));
            }
            PublisherEvent::Multicast { lost } => waiting::report_multicast(lost),
            _ => {}
        });
        printed?;
        if let Some(out) = outcomes {
            out.flush()?;
        }
        Ok(work)
    }

    fn failure(&self, ended: &Ended) -> Failure {
        let name = &self.args.name;
        match ended {
            Ended::Fenced => Failure::new(
                FENCED,
                format!(
                    "publisher '{name}' was opened by a newer process: this one is fenced; end the other \
                     before you start again, or give each a name of its own"
                ),
            ),
            Ended::Diverged(number, seq) => Failure::new(
                INTEGRITY,
                format!(
                    "the stream has another message under number {number} of publisher '{name}', at seq \
                     {seq}: another process publishes under this name, or it was forged; message {number} \
                     of this process is not in the stream"
                ),
            ),
            Ended::Discarded(number, seq) => Failure::new(
                FAILED,
                format!(
                    "message {number} of publisher '{name}', at seq {seq}, is not delivered: this process \
                     was delayed between its parts until readers gave it up; publish it again, and what \
                     follows it"
                ),
            ),
            Ended::Closed => {
                Failure::new(FAILED, format!("publisher '{name}' is closed for ever; use another name"))
            }
            Ended::NotAllowed(number) => Failure::new(
                FAILED,
                format!(
                    "message {number} of publisher '{name}' is not stamped: the key of this host does not allow destination \
                     {0}, or a rule for recipients does not allow '{name}' to address it; `lockstep keys show` on a replica's host \
                     lists both",
                    self.args.destination
                ),
            ),
            Ended::Lost => Failure::new(
                FAILED,
                format!(
                    "publisher '{name}' fell further behind the stream than any replica remembers: the \
                     fates of {} messages are unknown; subscribe to see which are in the stream",
                    self.tally.published - self.tally.committed
                ),
            ),
        }
    }

    fn too_late(&self) -> Failure {
        let open = self.tally.published - self.tally.committed;
        let what = format!(
            "{open} messages of '{}' were not committed within {:?}; {}",
            self.args.name,
            self.args.timeout,
            waiting::explain(self.config, self.endpoint)
        );
        Failure::new(NOT_READY, what)
    }

    fn print_counts(&self, took_ns: Nanos) {
        let Tally { published, committed, first, last, .. } = self.tally;
        let resends = self.publisher.counters().get(Counter::Resends);
        let place = match (first, last) {
            (Some(first), Some(last)) => format!(", seqs {first} to {last}"),
            _ => String::new(),
        };
        eprintln!(
            "'{}' (publisher {}): {published} published, {committed} committed{place}, {resends} datagrams \
             sent again, {:.3} s",
            self.args.name,
            self.id,
            Duration::from_nanos(took_ns).as_secs_f64()
        );
    }
}
