//! Kafka: messages into a topic, whose ends tell where to go on.
//!
//! A partition stores what an idempotent producer sends in order, so the last message of each says what that
//! partition has. Each message also says up to which seq all partitions were complete when it was sent: the
//! greatest of these is where the stream is read from, and a message that its partition has is passed over.

mod connection;
mod headers;
pub mod input;
mod publisher;
mod tail;

use crate::failure::{BridgeFailure, FAILED, INTEGRITY, USAGE};
use crate::record::StreamRecord;
use crate::remote::Remote;
use crate::target::{Target, TargetError, TargetPosition};
use clap::Args;
use connection::{KafkaConnection, KafkaContext, KafkaReports, ReportedState, create, refusal};
use headers::{ResumePoint, TailMessage};
use input::KafkaInputArgs;
use lockstep_client::Cursor;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tail::{PartitionReader, PartitionTail};

/// Most messages that are sent and not acknowledged.
const FLIGHT_MAX: u64 = 50_000;
/// Most partitions of a topic that the bridge makes.
const PARTITIONS_MAX: u32 = 1_000;
/// The brokers end the transaction of a bridge that is not heard of for so long.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Nanoseconds of a millisecond, which Kafka's timestamps have.
const MS_NS: u64 = 1_000_000;

/// Messages into a topic of Kafka, each exactly once while one bridge writes; or a partition into the stream
///
/// The end of the topic tells where to go on, so each message is there once, in every failure of bridge,
/// brokers and network, while one bridge writes. With one partition the topic has the stream's order; with
/// several a destination's messages share one, and the header Lockstep-Seq has the order of all.
/// --transactional-id makes each commit a transaction: a former bridge, and what it has sent late, is kept
/// out, and consumers read with isolation.level=read_committed. --in reads a partition and publishes it.
#[derive(Args, Debug)]
pub struct KafkaArgs {
    #[command(flatten)]
    pub connection: KafkaConnection,
    /// The topic, made if it is missing
    #[arg(long, value_name = "NAME", default_value = "lockstep")]
    pub topic: String,
    /// Partitions of a topic that is made; one that exists has what it has
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(PARTITIONS_MAX)))]
    pub partitions: u32,
    /// Each commit is a transaction under this id: one bridge at a time has it, the newest
    #[arg(long, value_name = "NAME")]
    pub transactional_id: Option<String>,
    /// The topic is empty and has had messages (deleted by retention): begin at --from all the same
    #[arg(long)]
    pub after_purge: bool,
    #[command(flatten)]
    pub input: KafkaInputArgs,
}

/// A topic.
pub struct Kafka {
    remote: Remote,
    stop: Arc<AtomicBool>,
    producer: ClientConfig,
    consumer: ClientConfig,
    brokers: String,
    topic: String,
    partitions: u32,
    is_transactional: bool,
    after_purge: bool,
    session: Option<KafkaSession>,
}

/// A producer, and what its topic has.
struct KafkaSession {
    producer: ThreadedProducer<KafkaContext>,
    reports: Arc<KafkaReports>,
    partitions: Vec<PartitionProgress>,
    /// Nothing before the first message of an empty topic.
    resume: Option<ResumePoint>,
    /// All messages up to this seq were handed over, or passed over.
    last: u64,
    is_in_transaction: bool,
}

impl KafkaSession {
    /// Messages of a destination share a partition.
    fn partition_of(&self, record: &StreamRecord<'_>) -> u32 {
        record.destination % (self.partitions.len() as u32).max(1)
    }
}

/// What a partition has, and what is passed over for it.
#[derive(Clone, Copy, Debug)]
struct PartitionProgress {
    tail: Option<TailMessage>,
    /// Its last message must still come, as the stream is read from before it.
    is_awaited: bool,
}

impl PartitionProgress {
    /// Whether the partition has this message.
    ///
    /// # Errors
    /// Its last message is not in the stream.
    fn has(&mut self, record: &StreamRecord<'_>) -> Result<bool, TargetError> {
        let Some(tail) = self.tail else { return Ok(false) };
        if record.seq < tail.seq || !self.is_awaited {
            return Ok(record.seq <= tail.seq);
        }
        if record.seq == tail.seq && record.history == tail.history {
            self.is_awaited = false;
            return Ok(true);
        }
        let what = format!(
            "the topic has seq {} of history {:016x}, which is not in what is read: the stream has lost it (a history was \
             founded on what was left), or --destination was another one; name another --topic",
            tail.seq, tail.history
        );
        Err(TargetError::fatal(INTEGRITY, what))
    }
}

impl Kafka {
    /// A topic that is not connected yet.
    ///
    /// # Errors
    /// Wrong arguments.
    pub fn new(args: &KafkaArgs, timeout: Duration, stop: Arc<AtomicBool>) -> Result<Self, BridgeFailure> {
        if args.topic.is_empty() {
            return Err(BridgeFailure::new(USAGE, "--topic: a name of one character or more"));
        }
        let text = str::to_owned;
        let mut fixed = vec![
            ("enable.idempotence", text("true")),
            ("acks", text("all")),
            // A record leaves at once; under load, messages gather while others are acknowledged.
            ("linger.ms", text("0")),
        ];
        match &args.transactional_id {
            Some(id) => {
                fixed.push(("transactional.id", id.clone()));
                fixed.push(("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string()));
            }
            // No message is given up while others behind it are stored.
            None => {
                fixed.push(("enable.gapless.guarantee", text("true")));
                fixed.push(("message.timeout.ms", text("0")));
            }
        }
        let producer = args.connection.config(&fixed)?;
        Ok(Self {
            remote: Remote::new(timeout, Arc::clone(&stop))?,
            stop,
            producer,
            consumer: consumer_config(&args.connection, "lockstep-bridge")?,
            brokers: args.connection.brokers.clone(),
            topic: args.topic.clone(),
            partitions: args.partitions,
            is_transactional: args.transactional_id.is_some(),
            after_purge: args.after_purge,
            session: None,
        })
    }

    /// What was sent and not acknowledged is waited for: the producer sends it again by itself, and a broker
    /// recognises it. A new producer would be unknown to the broker, and what the old one has sent might
    /// still arrive. Returns the seq up to which the topic is complete by that, if it is known.
    fn settle(&self) -> Result<Option<u64>, TargetError> {
        let Some(session) = self.session.as_ref().filter(|_| !self.is_transactional) else { return Ok(None) };
        let has_failed = || session.reports.state().failed.is_some();
        if has_failed() {
            return Ok(None);
        }
        session.reports.state().cut = None;
        match session.reports.wait(0, self.remote.timeout(), &self.stop) {
            Ok(()) => Ok(Some(session.last)),
            Err(_) if has_failed() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn start_producer(
        &self,
        reports: &Arc<KafkaReports>,
    ) -> Result<ThreadedProducer<KafkaContext>, TargetError> {
        let producer: ThreadedProducer<KafkaContext> = create(&self.producer, reports)?;
        if self.is_transactional {
            // Behind this nothing of a former bridge with this id is stored.
            producer.init_transactions(self.remote.timeout()).map_err(|error| {
                let cut = reports.state().cut.clone();
                cut.map_or_else(|| refusal(&error), TargetError::Retry)
            })?;
        }
        Ok(producer)
    }

    /// Makes the topic.
    fn create_topic(&self, reports: &Arc<KafkaReports>) -> Result<(), TargetError> {
        let admin: AdminClient<KafkaContext> = create(&self.consumer, reports)?;
        let count = i32::try_from(self.partitions).unwrap_or(1);
        // As many replicas as the cluster makes by default.
        let topic = NewTopic::new(&self.topic, count, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().request_timeout(Some(self.remote.timeout()));
        let made =
            self.remote.call(admin.create_topics([&topic], &options))?.map_err(|error| refusal(&error))?;
        for topic in made {
            match topic {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(TargetError::retry(format_args!("topic {topic} cannot be made: {code}")));
                }
            }
        }
        Ok(())
    }

    /// The ends of all partitions; the topic is made if it is missing.
    fn tails(&self, reports: &Arc<KafkaReports>) -> Result<Vec<PartitionTail>, TargetError> {
        let reader = PartitionReader {
            consumer: create(&self.consumer, reports)?,
            reports,
            topic: &self.topic,
            timeout: self.remote.timeout(),
            stop: &self.stop,
        };
        let Some(count) = reader.partitions()? else {
            self.create_topic(reports)?;
            return Err(TargetError::retry(format_args!("had no topic {}, and it is made", self.topic)));
        };
        let numbers = 0..i32::try_from(count).unwrap_or(i32::MAX);
        numbers.map(|partition| reader.tail(partition)).collect()
    }

    /// Where to go on behind these ends.
    fn resume(&self, tails: &[PartitionTail]) -> Result<Option<ResumePoint>, TargetError> {
        let count = tails.len() as u32;
        let last = || tails.iter().filter_map(|tail| tail.last);
        if let Some(other) = last().find(|last| last.partitions != count) {
            let what = format!(
                "{} has {count} partitions, and seq {} was written when it had {}: which messages it has is not known; \
                 name another --topic",
                self.name(),
                other.seq,
                other.partitions
            );
            return Err(TargetError::fatal(INTEGRITY, what));
        }
        let deleted: i64 = tails.iter().map(|tail| tail.end).sum();
        if last().next().is_none() && deleted > 0 && !self.is_transactional && !self.after_purge {
            let what = format!(
                "{} is empty and has had {deleted} messages: how far they went is not known; delete the topic, or add \
                 --after-purge --from SEQ",
                self.name()
            );
            return Err(TargetError::fatal(INTEGRITY, what));
        }
        Ok(last().map(|last| last.resume).max_by_key(|resume| resume.complete))
    }
}

/// The settings of a reader; `group` stores offsets, if anything is stored.
fn consumer_config(connection: &KafkaConnection, group: &str) -> Result<ClientConfig, BridgeFailure> {
    connection.config(&[
        ("group.id", group.to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.partition.eof", "true".to_owned()),
        ("auto.offset.reset", "error".to_owned()),
        ("isolation.level", "read_committed".to_owned()),
    ])
}

impl Target for Kafka {
    fn name(&self) -> String {
        format!("topic {} of Kafka at {}", self.topic, self.brokers)
    }

    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError> {
        let stored = self.settle()?;
        self.session = None;
        let reports = Arc::new(KafkaReports::default());
        let producer = self.start_producer(&reports)?;
        let tails = self.tails(&reports)?;
        let resume = self.resume(&tails)?;
        let resume =
            resume.map(|resume| ResumePoint { complete: resume.complete.max(stored.unwrap_or(0)), ..resume });
        let complete = resume.map_or(0, |resume| resume.complete);
        let partitions = tails.iter().map(|tail| PartitionProgress {
            tail: tail.last,
            is_awaited: tail.last.is_some_and(|last| last.seq > complete),
        });
        let partitions = partitions.collect();
        *reports.state() = ReportedState {
            next_offsets: tails.iter().map(|tail| Some(tail.end)).collect(),
            is_compared: !self.is_transactional,
            ..ReportedState::default()
        };
        self.session = Some(KafkaSession {
            producer,
            reports,
            partitions,
            resume,
            last: complete,
            is_in_transaction: false,
        });
        Ok(resume.map(|ResumePoint { complete, cursor }| TargetPosition {
            history: cursor.history,
            seq: complete,
            cursor: Some(cursor),
        }))
    }

    fn has(&mut self, record: &StreamRecord<'_>) -> Result<bool, TargetError> {
        let Some(session) = &mut self.session else { return Err(TargetError::retry("is not connected")) };
        let partition = session.partition_of(record);
        let Some(progress) = session.partitions.get_mut(partition as usize) else {
            return Err(TargetError::retry("has no partitions"));
        };
        let has = progress.has(record)?;
        if has {
            session.last = record.seq;
        }
        Ok(has)
    }

    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError> {
        let (timeout, is_transactional) = (self.remote.timeout(), self.is_transactional);
        let Some(session) = &mut self.session else { return Err(TargetError::retry("is not connected")) };
        let (count, partition) = (session.partitions.len() as u32, session.partition_of(record));
        if is_transactional && !session.is_in_transaction {
            session.producer.begin_transaction().map_err(|error| refusal(&error))?;
            session.is_in_transaction = true;
        }
        session.reports.wait(FLIGHT_MAX, timeout, &self.stop)?;
        let first = ResumePoint { complete: 0, cursor: record.cursor };
        let resume = *session.resume.get_or_insert(first);
        session.reports.state().outstanding += 1;
        let message: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic)
            .partition(partition as i32)
            .payload(record.payload)
            .timestamp((record.timestamp / MS_NS) as i64)
            .headers(headers::of(record, count, resume));
        if let Err((error, _)) = session.producer.send(message) {
            session.reports.state().outstanding -= 1;
            return Err(not_taken(record, &error));
        }
        session.last = record.seq;
        Ok(())
    }

    fn commit(&mut self, cursor: Cursor) -> Result<(), TargetError> {
        let timeout = self.remote.timeout();
        let Some(session) = &mut self.session else { return Err(TargetError::retry("is not connected")) };
        session.reports.wait(0, timeout, &self.stop)?;
        if session.is_in_transaction {
            session.producer.commit_transaction(timeout).map_err(|error| {
                let cut = session.reports.state().cut.clone();
                match refusal(&error) {
                    TargetError::Retry(what) => TargetError::Retry(cut.unwrap_or(what)),
                    fatal => fatal,
                }
            })?;
            session.is_in_transaction = false;
        }
        session.resume = session.resume.map(|_| ResumePoint { complete: session.last, cursor });
        Ok(())
    }
}

/// The producer does not take a message.
fn not_taken(record: &StreamRecord<'_>, error: &KafkaError) -> TargetError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => TargetError::fatal(
            FAILED,
            format_args!(
                "seq {} has {} bytes, which is more than librdkafka sends: add --property message.max.bytes=BYTES, and \
                 raise the topic's max.message.bytes",
                record.seq,
                record.payload.len()
            ),
        ),
        _ => refusal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_names::RecordNames;

    const CURSOR: Cursor = Cursor { history: 7, seq: 1, chain: 1 };

    fn record(history: u64, seq: u64) -> StreamRecord<'static> {
        StreamRecord {
            history,
            seq,
            epoch: 1,
            timestamp: 1,
            publisher: 1,
            publisher_seq: seq,
            destination: 0,
            names: RecordNames::default(),
            payload: b"",
            cursor: CURSOR,
            resume: CURSOR,
        }
    }

    fn tail(seq: u64, complete: u64) -> TailMessage {
        let resume = ResumePoint { complete, cursor: CURSOR };
        TailMessage { history: 7, seq, partitions: 2, resume }
    }

    #[test]
    fn a_partition_passes_over_what_it_has_and_a_last_message_that_the_stream_lacks_is_named() {
        let mut progress = PartitionProgress { tail: Some(tail(5, 2)), is_awaited: true };
        for (seq, has) in [(3, true), (5, true), (6, false), (7, false)] {
            assert_eq!(progress.has(&record(7, seq)), Ok(has), "{seq}");
        }
        for lost in [record(8, 5), record(7, 6)] {
            let mut progress = PartitionProgress { tail: Some(tail(5, 2)), is_awaited: true };
            let error = progress.has(&lost).expect_err("lost");
            assert!(matches!(error, TargetError::Fatal { code: INTEGRITY, what } if what.contains("seq 5")));
        }
        let mut before = PartitionProgress { tail: Some(tail(5, 5)), is_awaited: false };
        assert_eq!(before.has(&record(8, 6)), Ok(false), "it lies before what is read");
        assert_eq!(PartitionProgress { tail: None, is_awaited: false }.has(&record(7, 1)), Ok(false));
    }

    fn topic(more: impl FnOnce(&mut KafkaArgs)) -> Kafka {
        let mut args = KafkaArgs {
            connection: KafkaConnection {
                brokers: "127.0.0.1:1".to_owned(),
                user: None,
                password_file: None,
                property: vec![],
            },
            topic: "t".to_owned(),
            partitions: 1,
            transactional_id: None,
            after_purge: false,
            input: KafkaInputArgs::default(),
        };
        more(&mut args);
        Kafka::new(&args, Duration::from_secs(1), Arc::default()).expect("arguments")
    }

    #[test]
    fn the_greatest_complete_seq_of_all_ends_is_gone_on_behind() {
        let ends = |tails: &[Option<TailMessage>]| -> Vec<_> {
            tails.iter().map(|&last| PartitionTail { end: last.is_some().into(), last }).collect()
        };
        let kafka = topic(|_| {});
        let resume = kafka.resume(&ends(&[Some(tail(9, 4)), Some(tail(6, 5))]));
        assert_eq!(resume, Ok(Some(ResumePoint { complete: 5, cursor: CURSOR })));
        // A partition that never had a message is no reason to begin anew.
        assert_eq!(
            kafka.resume(&ends(&[Some(tail(9, 4)), None])).map(|resume| resume.map(|r| r.complete)),
            Ok(Some(4))
        );
        assert_eq!(kafka.resume(&ends(&[None, None])), Ok(None));
        let grown = kafka.resume(&ends(&[Some(tail(9, 4)), None, None])).expect_err("another count");
        assert!(
            matches!(grown, TargetError::Fatal { code: INTEGRITY, what } if what.contains("3 partitions"))
        );
    }

    #[test]
    fn a_topic_whose_messages_were_deleted_has_no_position() {
        let purged = [PartitionTail { end: 12, last: None }];
        let error = topic(|_| {}).resume(&purged).expect_err("purged");
        assert!(
            matches!(error, TargetError::Fatal { code: INTEGRITY, what } if what.contains("--after-purge"))
        );
        assert_eq!(topic(|args| args.after_purge = true).resume(&purged), Ok(None));
    }
}
