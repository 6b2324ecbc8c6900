//! A partition of Kafka into the stream: the records become a publisher's messages, in order, each once.
//!
//! ```text
//!  the group's offset O, with number N   the record at O is message N of the publisher
//!  the publisher's last number L         records of N to L are passed over, L + 1 is published
//! ```
//!
//! The numbers of a publisher have no holes, offsets have some (compaction, markers of transactions), and a
//! record that is longer than a frame takes several numbers; so the bridge counts. It stores offset and
//! number in Kafka before the first message and behind committed ones; the stream has the last number.

use super::connection::{KafkaContext, KafkaReports, create, refusal};
use super::publisher::{InputPublisher, OffsetNumber, PAUSE, is_end, open};
use super::tail::PartitionReader;
use super::{KafkaArgs, MS_NS, consumer_config};
use crate::clock;
use crate::failure::{BridgeFailure, FAILED, FENCED, INTEGRITY, USAGE};
use crate::outage::Outage;
use crate::report::BridgeReport;
use crate::run::{BACKOFF_FIRST, BACKOFF_MAX};
use crate::target::TargetError;
use clap::Args;
use lockstep_client::{Destination, EVERYBODY, Endpoint, PublishError, PublisherEvent};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Records that are taken between two polls of the publisher.
const RECORDS_MAX: usize = 256;
/// Offset and number are stored so often while messages are committed.
const STORE_EVERY: Duration = Duration::from_millis(100);
/// A look at whether an offset is stored.
const STORE_POLL: Duration = Duration::from_millis(20);
/// A stream that commits nothing for so long is reported.
const QUIET_CLUSTER: Duration = Duration::from_secs(10);

/// Arguments of the way into the stream.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Into the stream")]
pub struct KafkaInputArgs {
    /// Publishes the records of a partition, instead of writing into the topic. --destination is the
    /// destination of the messages, --until-end the end of the partition as it is at the start
    #[arg(id = "in", long = "in", requires = "publisher", conflicts_with_all = ["transactional_id", "after_purge", "to"])]
    pub is_input: bool,
    /// The name of the publisher; one for each partition
    #[arg(long, value_name = "NAME", requires = "in")]
    pub publisher: Option<String>,
    /// The partition
    #[arg(long, value_name = "NUMBER", requires = "in", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// The consumer group that stores the offset; lockstep-bridge.PUBLISHER otherwise
    #[arg(long, value_name = "NAME", requires = "in")]
    pub group: Option<String>,
    /// Where a publisher without a message begins; at the oldest record otherwise
    #[arg(long, value_name = "OFFSET", requires = "in", value_parser = clap::value_parser!(i64).range(0..))]
    pub from_offset: Option<i64>,
    /// The next record is the one at this offset, whatever is stored: behind records that were deleted unread
    #[arg(long, value_name = "OFFSET", requires = "in", value_parser = clap::value_parser!(i64).range(0..))]
    pub resume_at: Option<i64>,
}

/// What the bridge is asked for beside [`KafkaArgs`].
#[derive(Clone, Debug)]
pub struct KafkaInputSettings {
    /// At most one.
    pub destinations: Vec<Destination>,
    /// Whether it ends at the partition's end as it is at the start.
    pub until_end: bool,
    /// The longest time of a call to the brokers.
    pub timeout: Duration,
    /// A line with the counters so often.
    pub report: Option<Duration>,
}

/// A record that the publisher took, and whose commit is not known.
#[derive(Clone, Copy, Debug)]
struct PublishedRecord {
    offset: i64,
    /// That of its last part.
    last_number: u64,
    timestamp: u64,
    len: usize,
}

/// Publishes the records of a partition until the end, or until the process is asked to stop.
///
/// # Errors
/// What does not pass by itself.
pub fn run(
    endpoint: &Endpoint,
    args: &KafkaArgs,
    settings: &KafkaInputSettings,
    stop: &AtomicBool,
) -> Result<(), BridgeFailure> {
    let destination = match settings.destinations[..] {
        [] => EVERYBODY,
        [destination] => destination,
        _ => return Err(BridgeFailure::new(USAGE, "--destination: --in publishes for one destination")),
    };
    let publisher = args.input.publisher.clone().unwrap_or_default();
    let group = args.input.group.clone().unwrap_or_else(|| format!("lockstep-bridge.{publisher}"));
    let config = consumer_config(&args.connection, &group)?;
    let reports = Arc::new(KafkaReports::default());
    let reader = PartitionReader {
        consumer: create(&config, &reports).map_err(failure)?,
        reports: &reports,
        topic: &args.topic,
        timeout: settings.timeout,
        stop,
    };
    let partition = args.input.partition.unwrap_or(0);
    let name =
        format!("partition {partition} of topic {} of Kafka at {}", args.topic, args.connection.brokers);
    let mut input = KafkaInput {
        publisher: open(endpoint, &publisher, stop)?,
        publisher_name: publisher,
        group,
        args: &args.input,
        reader,
        partition,
        name,
        destination,
        trouble: Outage::default(),
        report: BridgeReport::new(settings.report),
        number: 0,
        buffered: None,
        published: VecDeque::new(),
        committed_number: 0,
        committed: None,
        stored: None,
    };
    let outcome = input.run(settings.until_end);
    input.report.print();
    outcome
}

/// A failure that no other try changes.
fn failure(error: TargetError) -> BridgeFailure {
    match error {
        TargetError::Retry(what) => BridgeFailure::new(FAILED, what),
        TargetError::Fatal { code, what } => BridgeFailure::new(code, what),
    }
}

/// A partition on its way into the stream.
struct KafkaInput<'a> {
    publisher: InputPublisher,
    publisher_name: String,
    group: String,
    args: &'a KafkaInputArgs,
    reader: PartitionReader<'a>,
    partition: i32,
    name: String,
    destination: Destination,
    trouble: Outage,
    report: BridgeReport,
    /// Of the next record.
    number: u64,
    /// A record that the publisher's full window has not taken: offset, timestamp, bytes.
    buffered: Option<(i64, u64, Vec<u8>)>,
    published: VecDeque<PublishedRecord>,
    /// All numbers up to this one are committed.
    committed_number: u64,
    /// Behind the last record that is committed.
    committed: Option<OffsetNumber>,
    /// What Kafka stores, as far as it was asked to.
    stored: Option<OffsetNumber>,
}

impl KafkaInput<'_> {
    fn run(&mut self, until_end: bool) -> Result<(), BridgeFailure> {
        let Some((begin, end)) = self.begin()? else { return Ok(()) };
        let mut is_at_end = until_end && begin.offset >= end;
        let (mut stored_at, mut progress_at) = (clock::now(), clock::now());
        let mut is_reported = false;
        loop {
            let is_stopping = self.reader.stop.load(Ordering::Acquire);
            let taken = if is_stopping || is_at_end { 0 } else { self.take(&mut is_at_end, until_end, end)? };
            self.hand_over()?;
            let work = self.poll()?;
            if work > 0 || self.published.is_empty() {
                progress_at = clock::now();
                is_reported = false;
            } else if progress_at.elapsed() >= QUIET_CLUSTER && !is_reported {
                say!("lockstep-bridge: the cluster has committed nothing for {QUIET_CLUSTER:?}; waiting");
                is_reported = true;
            }
            if stored_at.elapsed() >= STORE_EVERY {
                self.store();
                stored_at = clock::now();
            }
            self.report_line();
            let is_drained = self.published.is_empty() && self.buffered.is_none();
            let is_abandoned = is_stopping && progress_at.elapsed() >= self.reader.timeout;
            if ((is_stopping || is_at_end) && is_drained) || is_abandoned {
                self.store_last();
                return Ok(());
            }
            if work + taken == 0 {
                self.publisher.handle.wait(PAUSE)?;
            }
        }
    }

    /// Reads where to begin and where the partition ends, stores the begin, and reads from there; nothing if
    /// the process is asked to stop before.
    fn begin(&mut self) -> Result<Option<(OffsetNumber, i64)>, BridgeFailure> {
        let mut pause = BACKOFF_FIRST;
        loop {
            match self.try_begin() {
                Ok(begin) => {
                    self.trouble.on_success(&self.name);
                    (self.number, self.committed) = (begin.0.number, Some(begin.0));
                    self.committed_number = self.publisher.next.saturating_sub(1);
                    return Ok(Some(begin));
                }
                Err(TargetError::Retry(what)) => {
                    self.reader.reports.state().cut = None;
                    self.trouble.on_failure(&self.name, &what);
                }
                Err(fatal) => return Err(failure(fatal)),
            }
            if self.reader.stop.load(Ordering::Acquire) {
                return Ok(None);
            }
            // The publisher stays connected meanwhile.
            self.poll()?;
            clock::pause(pause, self.reader.stop);
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    fn try_begin(&mut self) -> Result<(OffsetNumber, i64), TargetError> {
        let (topic, partition) = (self.reader.topic, self.partition);
        let count = self.reader.partitions()?;
        if count.is_none_or(|count| partition.unsigned_abs() >= count) {
            return Err(TargetError::retry(format_args!(
                "is not there: the topic has {} partitions",
                count.unwrap_or(0)
            )));
        }
        let (oldest, end) = self.reader.watermarks(partition)?;
        let stored = self.stored_offset()?;
        let begin = self.begin_of(stored, oldest)?;
        if begin.offset < oldest {
            let what = format!(
                "{}: offset {} is the next, and the oldest record is that of {oldest}: what lies between \
                 was deleted before it was read; --resume-at {oldest} continues there",
                self.name, begin.offset
            );
            return Err(TargetError::fatal(INTEGRITY, what));
        }
        // Before the first message: without it nobody could tell which record a number belongs to.
        self.store_and_wait(begin)?;
        let mut assignment = TopicPartitionList::new();
        let added = assignment.add_partition_offset(topic, partition, Offset::Offset(begin.offset));
        added.and_then(|()| self.reader.consumer.assign(&assignment)).map_err(|error| refusal(&error))?;
        Ok((begin, end))
    }

    /// Which record is the next, by what Kafka stores and by what the stream has.
    fn begin_of(&self, stored: Option<(i64, String)>, oldest: i64) -> Result<OffsetNumber, TargetError> {
        let (next, history) = (self.publisher.next, self.publisher.history);
        let (publisher, group) = (&self.publisher_name, &self.group);
        if let Some(offset) = self.args.resume_at {
            return Ok(OffsetNumber { offset, number: next, history });
        }
        let wrong = |what: String| Err(TargetError::fatal(INTEGRITY, what));
        let Some((offset, metadata)) = stored else {
            if next > 1 {
                return wrong(format!(
                    "publisher {publisher} has published {} messages, and group {group} has no offset of {}: another program \
                     has this name, or Kafka has forgotten the group (offsets.retention.minutes); say with --resume-at OFFSET \
                     which record is the next",
                    next - 1,
                    self.name
                ));
            }
            return Ok(OffsetNumber {
                offset: self.args.from_offset.unwrap_or(oldest),
                number: next,
                history,
            });
        };
        let Some(stored) = OffsetNumber::parse(offset, &metadata) else {
            let what = format!(
                "group {group} has offset {offset} of {}, and it is not one of a bridge ({metadata:?}): another program \
                 uses it; name another --group",
                self.name
            );
            return Err(TargetError::fatal(FENCED, what));
        };
        if stored.history != history {
            return wrong(format!(
                "group {group} belongs to history {:016x}, and the stream is of history {history:016x}: it was founded \
                 anew, or is another one; name another --group, or say with --resume-at OFFSET which record is the next",
                stored.history
            ));
        }
        if stored.number > next {
            return wrong(format!(
                "group {group} says that publisher {publisher} has published {} messages, and the stream has {}: it has lost \
                 some; say with --resume-at OFFSET which record is the next",
                stored.number - 1,
                next - 1
            ));
        }
        Ok(stored)
    }

    /// Reads records until the publisher takes no more; how many.
    fn take(&mut self, is_at_end: &mut bool, until_end: bool, end: i64) -> Result<usize, BridgeFailure> {
        for taken in 0..RECORDS_MAX {
            if self.buffered.is_some() {
                return Ok(taken);
            }
            match self.reader.consumer.poll(Duration::ZERO) {
                None => return Ok(taken),
                Some(Ok(record)) => {
                    self.trouble.on_success(&self.name);
                    let timestamp = stamp(&record);
                    self.buffered =
                        Some((record.offset(), timestamp, record.payload().unwrap_or_default().to_vec()));
                    *is_at_end = until_end && record.offset() + 1 >= end;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.trouble.on_success(&self.name);
                    *is_at_end = until_end;
                }
                Some(Err(error)) => self.on_error(&error)?,
            }
            self.hand_over()?;
            if *is_at_end {
                return Ok(taken + 1);
            }
        }
        Ok(RECORDS_MAX)
    }

    fn on_error(&mut self, error: &KafkaError) -> Result<(), BridgeFailure> {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)) {
            let what = format!(
                "{}: the next record was deleted before it was read, or the partition is shorter than it was; \
                 --resume-at OFFSET says which one is the next",
                self.name
            );
            return Err(BridgeFailure::new(INTEGRITY, what));
        }
        let cut = self.reader.reports.state().cut.take();
        match (cut, refusal(error)) {
            (Some(what), _) | (None, TargetError::Retry(what)) => self.trouble.on_failure(&self.name, &what),
            (None, fatal) => return Err(failure(fatal)),
        }
        Ok(())
    }

    /// Publishes the record that was read, if the window takes it.
    fn hand_over(&mut self) -> Result<(), BridgeFailure> {
        let Some((offset, timestamp, payload)) = &self.buffered else { return Ok(()) };
        let InputPublisher { handle, id, .. } = &mut self.publisher;
        let last_number = match handle.try_publish_at(*id, self.number, self.destination, payload) {
            Ok(number) => number,
            Err(PublishError::Backpressure) => return Ok(()),
            Err(PublishError::Fenced) => return Err(self.fenced()),
            Err(error) => {
                let what = format!("{}: the record at offset {offset} is not published: {error}", self.name);
                return Err(BridgeFailure::new(FAILED, what));
            }
        };
        self.published.push_back(PublishedRecord {
            offset: *offset,
            last_number,
            timestamp: *timestamp,
            len: payload.len(),
        });
        self.number = last_number + 1;
        self.buffered = None;
        self.on_committed(0);
        Ok(())
    }

    /// One turn of the publisher: the work done.
    fn poll(&mut self) -> Result<usize, BridgeFailure> {
        let (own, mut last_seq, mut ended) = (self.publisher.id, 0, None);
        let committed_number = &mut self.committed_number;
        let work = self.publisher.handle.poll(usize::MAX, |event| match event {
            PublisherEvent::Committed { publisher, publisher_seq, seq } if publisher == own => {
                *committed_number = publisher_seq.max(*committed_number);
                last_seq = seq;
            }
            PublisherEvent::Multicast { lost } => {
                let state = if lost { "is received by unicast only, slower" } else { "is received again" };
                say!("lockstep-bridge: the leader's multicast {state}");
            }
            event => ended = ended.or(is_end(&event).then_some(event)),
        });
        self.on_committed(last_seq);
        match ended {
            None => Ok(work),
            Some(PublisherEvent::Fenced { .. }) => Err(self.fenced()),
            Some(event) => Err(self.why_ended(&event)),
        }
    }

    /// Takes out the records that are committed.
    fn on_committed(&mut self, last_seq: u64) {
        while let Some(record) =
            self.published.front().filter(|record| record.last_number <= self.committed_number)
        {
            if record.last_number >= self.publisher.next {
                self.report.on_append(record.timestamp, record.len);
            }
            let history = self.publisher.history;
            self.committed =
                Some(OffsetNumber { offset: record.offset + 1, number: record.last_number + 1, history });
            self.published.pop_front();
        }
        if last_seq > 0 {
            self.report.on_commit(last_seq);
        }
    }

    /// Stores behind which record all are committed; one that fails is stored with the next.
    fn store(&mut self) {
        if let Some(committed) = self.committed.filter(|committed| self.stored != Some(*committed)) {
            let _ = self.begin_store(committed);
        }
    }

    /// The same at the end: the next start reads less again.
    fn store_last(&mut self) {
        let Some(committed) = self.committed.filter(|committed| self.stored != Some(*committed)) else {
            return;
        };
        if let Err(TargetError::Retry(what) | TargetError::Fatal { what, .. }) =
            self.store_and_wait(committed)
        {
            say!("lockstep-bridge: {}: offset {} is not stored: {what}", self.name, committed.offset);
        }
    }

    fn begin_store(&mut self, begin: OffsetNumber) -> Result<(), TargetError> {
        let mut offsets = TopicPartitionList::new();
        let mut element = offsets.add_partition(self.reader.topic, self.partition);
        element.set_offset(Offset::Offset(begin.offset)).map_err(|error| refusal(&error))?;
        element.set_metadata(begin.metadata());
        self.reader.consumer.commit(&offsets, CommitMode::Async).map_err(|error| refusal(&error))?;
        self.stored = Some(begin);
        Ok(())
    }

    /// Stores it, and reads back that it is there: librdkafka reports no outcome of its own.
    ///
    /// Records that arrive meanwhile are lost to this process, which must not read on without assigning anew.
    fn store_and_wait(&mut self, begin: OffsetNumber) -> Result<(), TargetError> {
        self.begin_store(begin)?;
        let began = clock::now();
        while self.stored_offset()? != Some((begin.offset, begin.metadata())) {
            if began.elapsed() >= self.reader.timeout {
                let what = format!(
                    "does not store the offset of group {} for {:?}",
                    self.group, self.reader.timeout
                );
                return Err(TargetError::Retry(what));
            }
            clock::pause(STORE_POLL, self.reader.stop);
        }
        Ok(())
    }

    /// What the group has: the offset, and the text beside it.
    fn stored_offset(&self) -> Result<Option<(i64, String)>, TargetError> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(self.reader.topic, self.partition);
        let stored =
            self.reader.call(|timeout| self.reader.consumer.committed_offsets(wanted.clone(), timeout))?;
        Ok(stored.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        }))
    }

    fn report_line(&mut self) {
        if self.report.is_due() {
            let call = Duration::from_millis(200);
            let consumer: &BaseConsumer<KafkaContext> = &self.reader.consumer;
            if let Ok((_, end)) = consumer.fetch_watermarks(self.reader.topic, self.partition, call) {
                let next = self.committed.map_or(0, |committed| committed.offset);
                self.report.lag_seqs = u64::try_from(end - next).unwrap_or(0);
            }
        }
        self.report.look();
    }

    fn fenced(&self) -> BridgeFailure {
        let what = format!(
            "publisher {} was opened by a newer process: this bridge is fenced; end the other one, or name another --publisher",
            self.publisher_name
        );
        BridgeFailure::new(FENCED, what)
    }

    fn why_ended(&self, event: &PublisherEvent) -> BridgeFailure {
        let name = &self.publisher_name;
        match event {
            PublisherEvent::Diverged { publisher_seq, seq, .. } => BridgeFailure::new(
                INTEGRITY,
                format!(
                    "the stream has another message under number {publisher_seq} of publisher {name}, at seq {seq}: another \
                     program publishes under this name, or the partition has changed; name another --publisher"
                ),
            ),
            PublisherEvent::NotAllowed { publisher_seq, .. } => BridgeFailure::new(
                FAILED,
                format!(
                    "message {publisher_seq} of publisher {name} is not stamped: the key of this host does not allow \
                     destination {}, or a rule for recipients does not",
                    self.destination
                ),
            ),
            PublisherEvent::Discarded { publisher_seq, seq, .. } => BridgeFailure::new(
                INTEGRITY,
                format!(
                    "message {publisher_seq} of publisher {name}, at seq {seq}, is not delivered: this \
                     bridge was delayed between its parts. {}Publish it again by hand or begin at its \
                     record with --resume-at",
                    self.published.front().map_or_else(String::new, |record| {
                        format!("Its record has offset {} or a later one. ", record.offset)
                    }),
                ),
            ),
            PublisherEvent::OutcomesUnknown => BridgeFailure::new(
                FAILED,
                format!(
                    "publisher {name} fell further behind the stream than any replica remembers; start the \
                     bridge again: it continues where the stream is"
                ),
            ),
            _ => BridgeFailure::new(
                FAILED,
                format!("publisher {name} is closed for ever; name another --publisher"),
            ),
        }
    }
}

/// When a record was written, in nanoseconds since 1970; now, if it does not say.
fn stamp(record: &BorrowedMessage<'_>) -> u64 {
    let ms = record.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok());
    ms.map_or_else(clock::wall_ns, |ms| ms.saturating_mul(MS_NS))
}
