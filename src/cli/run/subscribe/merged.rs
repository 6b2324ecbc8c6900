//! `lockstep subscribe --merged`: the streams of a set in their merged order.

use super::{BATCH, Beginning, END_TIMEOUT, OUT_BYTES, SubscribeArgs, end_of_stream};
use crate::cli::shared::fields::PayloadFields;
use crate::cli::shared::filter::Filter;
use crate::cli::shared::lines::Form;
use crate::cli::shared::set::stream_set;
use crate::cli::shared::waiting::{self, Stall};
use lockstep_client::{Message, StreamDigest, SubscriberEvent};
use lockstep_daemon::Failure;
use lockstep_daemon::ended::{Again, abandoned, ended};
use lockstep_daemon::failure::{NOT_READY, USAGE};
use lockstep_daemon::{log, signals};
use lockstep_io::clock::Clock;
use lockstep_io::output::{self, OutputStream};
use lockstep_names::OpenedNames;
use lockstep_streams::{MergedEvent, MergedStart, MergedSubscriber, StreamSet};
use lockstep_wire::Seq;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest sleep between two polls.
const PAUSE: Duration = Duration::from_millis(1);
/// How long the place of `--from live` is looked for.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Prints the merged order until its end, if there is one.
pub fn run(args: &SubscribeArgs) -> Result<u8, Failure> {
    let start = match &args.from {
        Beginning::Seq(1) => MergedStart::Beginning,
        Beginning::Live => MergedStart::Live,
        Beginning::Merged(cursor) => MergedStart::Cursor((**cursor).clone()),
        Beginning::Seq(_) | Beginning::Oldest | Beginning::Cursor(_) => {
            let what =
                "--merged begins with --from 1, --from live, or the cursor of an earlier run with --merged";
            return Err(Failure::new(USAGE, what));
        }
    };
    let fields = PayloadFields::new(&args.fields)?;
    let (set, config) = stream_set(&args.cluster)?;
    log::start(&config.log);
    let stop = signals::stop_flag()?;
    let timeout = args.timeout.or(args.until_end.then_some(END_TIMEOUT));
    let ends = match args.until_end {
        true => ends_of(&set, timeout.unwrap_or(END_TIMEOUT))?,
        false => Vec::new(),
    };
    let mut merged = MergedSubscriber::connect(set.clone(), start, args.timeout.unwrap_or(BEGIN_TIMEOUT))?;
    let mut print = Print {
        out: BufWriter::with_capacity(OUT_BYTES, io::stdout().lock()),
        set,
        form: args.form(),
        fields,
        filter: Filter::new(&args.filter),
        names: BTreeMap::new(),
        count: args.count,
        digest: StreamDigest::new(),
        failed: None,
    };
    let clock = Clock::start();
    let mut stall = Stall::new(clock.now());
    let mut outcome = Ok(());
    while !stop.load(Ordering::Acquire) && !print.is_enough() && !has_reached(&merged, &ends) {
        let work = merged.poll(BATCH, |event| print.on_event(&event))?;
        if let Some(failure) = print.failed.take() {
            outcome = Err(failure);
            break;
        }
        let next = merged.next_number();
        let waited = stall.look(next, clock.now());
        if work > 0 || waited.is_zero() {
            continue;
        }
        print.out.flush()?;
        if output::is_reader_gone(OutputStream::Out) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        if let Some(timeout) = timeout.filter(|timeout| waited > *timeout) {
            let what = format!(
                "nothing was delivered for {timeout:?}, the next would be number {next}: `lockstep status` shows the \
                 streams, `lockstep streams show` the cuts"
            );
            outcome = Err(Failure::new(NOT_READY, what));
            break;
        }
        merged.wait(PAUSE)?;
    }
    let flushed = print.out.flush();
    print.report(&merged);
    outcome?;
    flushed?;
    Ok(0)
}

/// The clusters of a set's streams, and the commit of each.
fn ends_of(set: &StreamSet, timeout: Duration) -> Result<Vec<(u64, Seq)>, Failure> {
    let end = |(name, endpoint): &(String, lockstep_client::Endpoint)| match end_of_stream(endpoint, timeout)
    {
        Ok(end) => Ok((endpoint.cluster(), end.next)),
        Err(failure) => Err(Failure::new(failure.code(), format!("stream {name}: {failure}"))),
    };
    set.streams().iter().map(end).collect()
}

/// Whether each stream that is merged has been delivered up to its end. A stream that no list names yet has
/// none here.
fn has_reached(merged: &MergedSubscriber, ends: &[(u64, Seq)]) -> bool {
    let reader = merged.reader();
    let reached = |(stream, end): &(u64, Seq)| reader.next_of(*stream).is_none_or(|next| next >= *end);
    !ends.is_empty() && ends.iter().all(reached)
}

/// The output, and when it is enough.
struct Print<W: Write> {
    out: W,
    set: StreamSet,
    form: Form,
    fields: PayloadFields,
    filter: Filter,
    /// Of each stream.
    names: BTreeMap<u64, OpenedNames>,
    count: Option<u64>,
    digest: StreamDigest,
    failed: Option<Failure>,
}

impl<W: Write> Print<W> {
    /// What was printed, and where a later run goes on.
    fn report(&self, merged: &MergedSubscriber) {
        let (messages, next, digest) = (self.digest.messages(), merged.next_number(), self.digest.hex());
        eprintln!("messages {messages}, merged below {next}, digest {digest}");
        self.fields.report();
        eprintln!("cursor {}", merged.cursor());
    }

    fn is_enough(&self) -> bool {
        self.failed.is_some() || self.count.is_some_and(|count| self.digest.messages() >= count)
    }

    fn on_event(&mut self, merged: &MergedEvent<'_>) -> ControlFlow<()> {
        let name = self.set.name_of(merged.stream).to_owned();
        self.names.entry(merged.stream).or_default().on_event(&merged.event);
        let of_stream = |failure: Failure| Failure::new(failure.code(), format!("stream {name}: {failure}"));
        let printed = match merged.event {
            SubscriberEvent::Message(message) => {
                self.on_message(merged, &message, &name).map_err(Failure::from)
            }
            SubscriberEvent::Abandoned { from, oldest, why } => {
                let hint = "begin with --from live, or run an archiver that keeps more";
                Err(of_stream(abandoned(from, oldest, why, hint)))
            }
            SubscriberEvent::Replaying { from } => {
                tracing::info!(from, stream = name, "reading from a journal");
                Ok(())
            }
            SubscriberEvent::Multicast { lost } => {
                waiting::report_multicast(lost);
                Ok(())
            }
            event => ended(&event, Again::From).map_or(Ok(()), |failure| Err(of_stream(failure))),
        };
        self.failed = printed.err();
        if self.is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_message(&mut self, merged: &MergedEvent<'_>, message: &Message<'_>, name: &str) -> io::Result<()> {
        let number = merged.number.expect("a message is an entry");
        let names = &self.names[&merged.stream];
        if self.filter.has(message, names) {
            self.form.write(&mut self.out, message, Some((number, name)), names, &mut self.fields)?;
            let Message { publisher, publisher_seq, destination, payload, .. } = *message;
            self.digest.add_parts(number, publisher, publisher_seq, destination, payload);
        }
        Ok(())
    }
}
