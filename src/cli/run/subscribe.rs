//! `lockstep subscribe`: the stream on stdout, and on stderr what it was: messages, gaps, digest.

mod merged;

use crate::cli::shared::fields::FieldsArgs;
use crate::cli::shared::fields::PayloadFields;
use crate::cli::shared::filter::Filter;
use crate::cli::shared::filter::FilterArgs;
use crate::cli::shared::lines::{EntryLine, Form};
use crate::cli::shared::waiting;
use crate::cli::shared::waiting::Stall;
use clap::Args;
use lockstep_client::internal::{NodeStatus, QueryClient, leader_of};
use lockstep_client::{
    AttestedSubscriber, Cursor, Delivery, Endpoint, Message, Start, StreamDigest, Subscriber, SubscriberEvent,
};
use lockstep_core::engine::counters::Counter;
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config;
use lockstep_daemon::config::KeyUse;
use lockstep_daemon::ended::{Again, abandoned, ended};
use lockstep_daemon::failure::{INTEGRITY, NOT_READY, USAGE};
use lockstep_daemon::log;
use lockstep_daemon::notary::notaries;
use lockstep_daemon::signals;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_io::output::{self, OutputStream};
use lockstep_names::OpenedNames;
use lockstep_streams::MergedCursor;
use lockstep_wire::{Nanos, Seq};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Most messages between two looks at the signals and the clock.
const BATCH: usize = 1024;
/// Longest sleep between two polls: a request for missing frames may be due.
const PAUSE_NS: Nanos = 1_000_000;
/// How long the end is waited for when no `--timeout` says otherwise.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// A reader that has received nothing of its cluster for so long reports it once, and goes on waiting.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a round of questions waits for the last replica.
const QUERY_ROUND: Duration = Duration::from_millis(250);
/// Bytes of output gathered for one write.
const OUT_BYTES: usize = 64 << 10;

/// Where a subscription begins.
#[derive(Clone, Debug)]
pub enum Beginning {
    /// With this seq.
    Seq(Seq),
    /// With what is stamped from now on.
    Live,
    /// With the oldest that any journal holds.
    Oldest,
    /// Where another subscription ended.
    Cursor(Cursor),
    /// Where another merged subscription ended.
    Merged(Box<MergedCursor>),
}

impl FromStr for Beginning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "live" => Ok(Self::Live),
            "oldest" => Ok(Self::Oldest),
            _ if text.starts_with("merged:") => text.parse().map(|cursor| Self::Merged(Box::new(cursor))),
            _ if text.contains(':') => text.parse().map(Self::Cursor),
            _ => match text.parse() {
                Ok(seq) if seq > 0 => Ok(Self::Seq(seq)),
                _ => Err("write a seq, the first is 1, or oldest, or live, or a cursor".to_owned()),
            },
        }
    }
}

/// Flags of `subscribe`.
#[derive(Args, Debug)]
pub struct SubscribeArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Delivers when the leader's datagram arrives: earlier, and not final
    #[arg(long, conflicts_with = "committed")]
    pub stamped: bool,
    /// Delivers what is final (the default)
    #[arg(long)]
    pub committed: bool,
    /// Delivers what a notary has signed; the file `notaries` of security.keys lists those that count
    #[arg(long, conflicts_with_all = ["stamped", "committed"])]
    pub attested: bool,
    /// Delivers all streams of the file's set in one order, as committed; 1, live or a cursor for --from
    #[arg(long, conflicts_with_all = ["stamped", "attested", "events", "raw"])]
    pub merged: bool,
    /// The first seq, oldest, live, or the cursor that an earlier run printed
    #[arg(long, value_name = "SEQ|oldest|live|CURSOR", default_value = "1", env = "LOCKSTEP_FROM")]
    pub from: Beginning,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Ends after so many messages are printed
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Ends at the commit that the replicas tell at the start
    #[arg(long)]
    pub until_end: bool,
    /// Exits 4 when nothing was delivered for so long; without it only the end is waited for, 10s
    #[arg(long, value_name = "TIME", value_parser = config::duration, env = "LOCKSTEP_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// One JSON object a line, payloads in hexadecimal digits
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
    /// Each payload as text too, null where it is none
    #[arg(long, requires = "json")]
    pub text: bool,
    #[command(flatten)]
    pub fields: FieldsArgs,
    /// Names in the place of numbers, as far as their opens were read: publishers, everybody, channel:N
    #[arg(long, conflicts_with_all = ["json", "raw"])]
    pub names: bool,
    /// A line for everything else that has a seq: opens, closes, trading days, epochs
    #[arg(long, conflicts_with = "raw")]
    pub events: bool,
    /// Payloads, each behind its length, 4 bytes little-endian
    #[arg(long, conflicts_with = "schema")]
    pub raw: bool,
}

impl SubscribeArgs {
    /// The form of the output.
    fn form(&self) -> Form {
        match (self.json, self.raw) {
            (true, _) => Form::Json { text: self.text },
            (_, true) => Form::Raw,
            _ => Form::Text { names: self.names },
        }
    }
}

/// Prints the stream until its end, if there is one.
pub fn run(args: &SubscribeArgs) -> Result<u8, Failure> {
    if args.merged {
        return merged::run(args);
    }
    let fields = PayloadFields::new(&args.fields)?;
    let config = args.cluster.load(&[])?;
    log::start(&config.log);
    let stop = signals::stop_flag()?;
    let endpoint = Endpoint::from_config(&config)?;
    signals::reload_keys(config.key_file(KeyUse::Handle), endpoint.keys().clone(), drop)?;
    let start = match args.from {
        Beginning::Seq(seq) => Start::From(seq),
        Beginning::Live => Start::Live,
        Beginning::Oldest => Start::Oldest,
        Beginning::Cursor(cursor) => Start::Cursor(cursor),
        Beginning::Merged(_) => {
            let what =
                "the cursor is of a set's merged order: give --merged as well, or the cursor of one stream";
            return Err(Failure::new(USAGE, what));
        }
    };
    // Joined before the end is asked for, so that what comes in between is heard.
    let mut reader = if args.attested {
        Reader::Attested(AttestedSubscriber::connect(&endpoint, start, notaries(&config)?)?.into())
    } else {
        let delivery = if args.stamped { Delivery::Stamped } else { Delivery::Committed };
        Reader::Unsigned(Subscriber::connect(&endpoint, delivery, start)?.into())
    };
    let end =
        args.until_end.then(|| end_of_stream(&endpoint, args.timeout.unwrap_or(END_TIMEOUT))).transpose()?;
    let timeout = args.timeout.or_else(|| end.map(|_| END_TIMEOUT));
    let out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
    let (form, count, digest) = (args.form(), args.count, StreamDigest::new());
    let (filter, names) = (Filter::new(&args.filter), OpenedNames::default());
    let (events, pending, failed) = (args.events, None, None);
    let mut print = Print { out, form, fields, filter, names, events, pending, end, count, digest, failed };
    if let (Beginning::Cursor(cursor), Some(end)) = (&args.from, &mut print.end) {
        end.other_than = Some(cursor.history).filter(|history| *history != end.history);
    }
    let silence =
        || eprintln!("no leader is received; still waiting: {}", waiting::explain(&config, &endpoint));
    let outcome = print.until_end(&mut reader, timeout, silence, &stop);
    let flushed = print.out.flush();
    let counters = reader.subscriber().counters();
    eprintln!(
        "messages {}, gaps {}, repaired {}, digest {}",
        print.digest.messages(),
        counters.get(Counter::Gaps),
        counters.get(Counter::RepairsIn),
        print.digest.hex()
    );
    print.fields.report();
    if let Some(name) = print.filter.unknown_name(&print.names) {
        eprintln!("no entry that was read opens the name '{name}': begin at seq 1, or give its id");
    }
    if let Some(cursor) = reader.cursor() {
        eprintln!("cursor {cursor}");
    }
    outcome.map_err(|failure| failure.explained(NOT_READY, || waiting::explain(&config, &endpoint)))?;
    flushed?;
    Ok(0)
}

/// Where a reading ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The exclusive bound.
    pub next: Seq,
    /// It is an end in this history.
    history: u64,
    /// The reader's cursor is of this other history: whether it can go on must be told before it is at an
    /// end.
    other_than: Option<u64>,
}

/// The greatest commit that the replicas tell: a majority is heard if it answers in time, else whoever does.
pub fn end_of_stream(endpoint: &Endpoint, timeout: Duration) -> Result<End, Failure> {
    let clock = Clock::start();
    let deadline = clock.now() + timeout.as_nanos() as Nanos;
    let mut questioner = QueryClient::open(endpoint)?;
    loop {
        let answers = questioner.statuses(endpoint.replicas(), timeout.min(QUERY_ROUND));
        let received: Vec<_> = answers.iter().flatten().filter(|state| state.history != 0).collect();
        if is_majority(&answers) || clock.now() >= deadline {
            let end = received.iter().max_by_key(|state| state.commit_next).map(|state| End {
                next: state.commit_next,
                history: state.history,
                other_than: None,
            });
            return end.ok_or_else(|| {
                let replicas: Vec<_> = endpoint.replicas().iter().map(ToString::to_string).collect();
                let what = format!(
                    "no replica with a history answered within {timeout:?} (asked: {}): start the \
                     sequencers, or raise --timeout",
                    replicas.join(", ")
                );
                Failure::new(NOT_READY, what)
            });
        }
    }
}

/// Whether a majority has answered: of the members that the leader lists, or of the replicas of the
/// configuration where none leads.
fn is_majority(answers: &[Option<NodeStatus>]) -> bool {
    let of_history = |history: u64| answers.iter().flatten().filter(move |status| status.history == history);
    match leader_of(answers) {
        Some(leader) => {
            let listed = of_history(leader.history).filter(|status| leader.lists(status.identity));
            listed.count() > leader.members.len() / 2
        }
        None => answers.len() < 2 * answers.iter().flatten().filter(|status| status.history != 0).count(),
    }
}

/// The subscription: to what is stamped or committed, or to what a notary has signed as well.
enum Reader {
    Unsigned(Box<Subscriber>),
    Attested(Box<AttestedSubscriber>),
}

impl Reader {
    fn subscriber(&self) -> &Subscriber {
        match self {
            Self::Unsigned(subscriber) => subscriber,
            Self::Attested(attested) => attested.subscriber(),
        }
    }

    fn deliver_next(&self) -> Seq {
        match self {
            Self::Unsigned(subscriber) => subscriber.deliver_next(),
            Self::Attested(attested) => attested.deliver_next(),
        }
    }

    /// Where a later run goes on; what was read and not signed is no position.
    fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Unsigned(subscriber) => subscriber.cursor(),
            Self::Attested(_) => None,
        }
    }

    fn poll(
        &mut self,
        limit: usize,
        f: impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Failure> {
        match self {
            Self::Unsigned(subscriber) => Ok(subscriber.poll(limit, f)),
            Self::Attested(attested) => attested.poll(limit, f).map_err(|end| Failure::new(INTEGRITY, end)),
        }
    }
}

/// The output, and when it is enough.
struct Print<W: Write> {
    out: W,
    form: Form,
    fields: PayloadFields,
    filter: Filter,
    names: OpenedNames,
    /// An entry that is no message is printed too.
    events: bool,
    /// The line of the last such entry, which may tell more.
    pending: Option<EntryLine>,
    /// Messages from this seq on are not wanted.
    end: Option<End>,
    count: Option<u64>,
    digest: StreamDigest,
    failed: Option<Failure>,
}

impl<W: Write> Print<W> {
    fn until_end(
        &mut self,
        reader: &mut Reader,
        timeout: Option<Duration>,
        silence: impl FnOnce(),
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        let printed = self.until_enough(reader, timeout, silence, stop);
        // The events of the last entry are not lost, whatever ended it.
        self.write_pending()?;
        printed
    }

    fn until_enough(
        &mut self,
        reader: &mut Reader,
        timeout: Option<Duration>,
        silence: impl FnOnce(),
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        let mut waiter = Idle::Park.waiter(&reader.subscriber().sockets())?;
        let mut silence = Some(silence);
        let mut stall = Stall::new(reader.subscriber().now());
        while !stop.load(Ordering::Acquire) && !self.is_done(reader.deliver_next()) {
            let work = reader.poll(BATCH, |event| self.on_event(event))?;
            // All events of an entry come in one poll.
            self.write_pending()?;
            if let Some(failure) = self.failed.take() {
                return Err(failure);
            }
            if let Some(end) = self.end.as_mut().filter(|end| end.other_than.is_some())
                && reader.subscriber().cursor().is_some_and(|cursor| cursor.history == end.history)
            {
                end.other_than = None;
            }
            let next = reader.deliver_next();
            let waited = stall.look(next, reader.subscriber().now());
            if work == 0 && !waited.is_zero() {
                self.out.flush()?;
                // A stream that is quiet writes nothing by which it would be found out.
                if output::is_reader_gone(OutputStream::Out) {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                }
                if let Some(timeout) = timeout.filter(|timeout| waited > *timeout) {
                    return Err(self.too_late(next, timeout));
                }
                if waited > SILENCE
                    && reader.subscriber().cursor().is_none()
                    && let Some(report) = silence.take()
                {
                    report();
                }
                waiter.wait(PAUSE_NS);
            }
        }
        Ok(())
    }

    fn is_done(&self, next: Seq) -> bool {
        let counted = self.count.is_some_and(|count| self.digest.messages() >= count);
        counted || self.end.is_some_and(|end| end.other_than.is_none() && next >= end.next)
    }

    fn on_event(&mut self, event: SubscriberEvent<'_>) -> ControlFlow<()> {
        self.names.on_event(&event);
        let printed = match event {
            SubscriberEvent::Message(message) => {
                self.write_pending().map_err(Failure::from).and_then(|()| self.on_message(&message))
            }
            SubscriberEvent::Retract { from } => self
                .write_pending()
                .map_err(Failure::from)
                .and_then(|()| self.form.write_retract(&mut self.out, from)),
            SubscriberEvent::Abandoned { from, oldest, why } => {
                let hint = format!(
                    "begin there with --from {oldest}, or with --from oldest, and run an archiver that keeps more"
                );
                Err(abandoned(from, oldest, why, &hint))
            }
            SubscriberEvent::Replaying { from } => {
                tracing::info!(from, "reading from a journal");
                Ok(())
            }
            SubscriberEvent::Founded { history, seq, ancestor } => {
                tracing::warn!(
                    "history {history:016x} was founded at seq {seq} on what was left of {ancestor:016x}"
                );
                self.on_other(&event)
            }
            SubscriberEvent::Multicast { lost } => {
                waiting::report_multicast(lost);
                Ok(())
            }
            event => ended(&event, Again::From).map_or_else(|| self.on_other(&event), Err),
        };
        self.failed = printed.err();
        let enough = self.failed.is_some() || self.is_done(0);
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_message(&mut self, message: &Message<'_>) -> Result<(), Failure> {
        if self.end.is_some_and(|end| message.seq >= end.next) {
            return Ok(()); // the end lies before it; the next look at the cursor sees that
        }
        if self.filter.has(message, &self.names) {
            self.form.write(&mut self.out, message, None, &self.names, &mut self.fields)?;
            self.digest.add(message);
        }
        Ok(())
    }

    fn on_other(&mut self, event: &SubscriberEvent<'_>) -> Result<(), Failure> {
        let is_wanted =
            self.events && self.end.is_none_or(|end| event.seq().is_some_and(|seq| seq < end.next));
        let Some(line) = EntryLine::of(event).filter(|_| is_wanted) else { return Ok(()) };
        let other = match &mut self.pending {
            Some(pending) => pending.join(line),
            None => Some(line),
        };
        if let Some(other) = other {
            self.write_pending()?;
            self.pending = Some(other);
        }
        Ok(())
    }

    fn write_pending(&mut self) -> io::Result<()> {
        self.pending.take().map_or(Ok(()), |line| self.form.write_event(&mut self.out, line))
    }

    fn too_late(&self, next: Seq, timeout: Duration) -> Failure {
        let end = self.end.map_or_else(String::new, |end| format!("; the end is seq {}", end.next));
        let what = format!("nothing was delivered for {timeout:?}, the next would be seq {next}{end}");
        Failure::new(NOT_READY, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_begins_with_a_seq_from_1_oldest_live_or_a_cursor() {
        assert!(
            matches!("7".parse(), Ok(Beginning::Seq(7))) && matches!("live".parse(), Ok(Beginning::Live))
        );
        assert!(matches!("oldest".parse(), Ok(Beginning::Oldest)));
        assert!("merged:1;".parse::<Beginning>().is_err_and(|error| error.contains("no merged cursor")));
        let cursor = "b1:7:c2".parse();
        assert!(matches!(cursor, Ok(Beginning::Cursor(Cursor { history: 0xb1, seq: 7, chain: 0xc2 }))));
        assert!("b1:7".parse::<Beginning>().is_err_and(|error| error.contains("HISTORY:SEQ:CHAIN")));
        assert!("0".parse::<Beginning>().is_err() && "-1".parse::<Beginning>().is_err());
    }
}
