//! The end of a topic: the last message of each partition.

use super::connection::{KafkaContext, KafkaReports, refusal};
use super::headers::{self, TailMessage};
use crate::clock;
use crate::failure::FENCED;
use crate::target::TargetError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest time of one call of librdkafka, between two looks at what else has happened.
const CALL: Duration = Duration::from_millis(500);
/// How far before the end the last message is looked for: markers of transactions, and messages of those that
/// were not committed, may lie behind it.
const BACK: [i64; 5] = [1, 2, 64, 4_096, i64::MAX];

/// A partition, as it is at a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionTail {
    /// The offset behind the last message.
    pub end: i64,
    /// The last message, if the partition has one.
    pub last: Option<TailMessage>,
}

/// Reads topics, each call with a bound in time.
pub struct PartitionReader<'a> {
    /// Its group is used for nothing.
    pub consumer: BaseConsumer<KafkaContext>,
    /// What the consumer reports.
    pub reports: &'a KafkaReports,
    /// The topic.
    pub topic: &'a str,
    /// The longest time of a call.
    pub timeout: Duration,
    /// Whether the process is asked to stop.
    pub stop: &'a AtomicBool,
}

impl PartitionReader<'_> {
    /// Calls until there is an answer.
    ///
    /// # Errors
    /// There is none in time, or one that no other try changes.
    pub fn call<T>(&self, mut call: impl FnMut(Duration) -> KafkaResult<T>) -> Result<T, TargetError> {
        let began = clock::now();
        loop {
            let error = match call(CALL.min(self.timeout)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let code = error.rdkafka_error_code();
            let is_early = matches!(
                code,
                Some(
                    RDKafkaErrorCode::OperationTimedOut
                        | RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::AllBrokersDown
                )
            );
            self.look(began, is_early.then_some(()).ok_or(&error))?;
        }
    }

    /// Looks at what was reported and at the clock; an error that is none of waiting is one at once.
    fn look(&self, began: Instant, error: Result<(), &KafkaError>) -> Result<(), TargetError> {
        // Reports come by polls; nothing is assigned here, or what is read is read again.
        let _ = self.consumer.poll(Duration::ZERO);
        if let Some(cut) = &self.reports.state().cut {
            return Err(TargetError::Retry(cut.clone()));
        }
        error.map_err(refusal)?;
        if began.elapsed() >= self.timeout {
            return Err(TargetError::retry(format_args!("does not answer for {:?}", self.timeout)));
        }
        if self.stop.load(Ordering::Acquire) {
            return Err(TargetError::retry("was not waited for: the process is asked to stop"));
        }
        Ok(())
    }

    /// How many partitions the topic has; `None` if there is no such topic.
    ///
    /// # Errors
    /// See [`PartitionReader::call`].
    pub fn partitions(&self) -> Result<Option<u32>, TargetError> {
        let metadata = self.call(|timeout| self.consumer.fetch_metadata(Some(self.topic), timeout))?;
        let Some(topic) = metadata.topics().first() else { return Ok(None) };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            Some(code) => return Err(refusal(&KafkaError::MetadataFetch(code))),
        }
        Ok(u32::try_from(topic.partitions().len()).ok().filter(|count| *count > 0))
    }

    /// The oldest offset and the one behind the last, of what is committed.
    ///
    /// # Errors
    /// See [`PartitionReader::call`].
    pub fn watermarks(&self, partition: i32) -> Result<(i64, i64), TargetError> {
        self.call(|timeout| self.consumer.fetch_watermarks(self.topic, partition, timeout))
    }

    /// The end of a partition.
    ///
    /// # Errors
    /// See [`PartitionReader::call`]; or the last message is not one of a bridge.
    pub fn tail(&self, partition: i32) -> Result<PartitionTail, TargetError> {
        let (oldest, end) = self.watermarks(partition)?;
        for back in BACK {
            let from = end.saturating_sub(back).max(oldest);
            if from == end {
                break;
            }
            if let Some(last) = self.last_from(partition, from, end)? {
                return Ok(PartitionTail { end, last: Some(last) });
            }
            if from == oldest {
                break;
            }
        }
        Ok(PartitionTail { end, last: None })
    }

    /// The last message at or behind `from`, if there is one.
    fn last_from(&self, partition: i32, from: i64, end: i64) -> Result<Option<TailMessage>, TargetError> {
        let mut assignment = TopicPartitionList::new();
        let begin = assignment.add_partition_offset(self.topic, partition, Offset::Offset(from));
        begin.and_then(|()| self.consumer.assign(&assignment)).map_err(|error| refusal(&error))?;
        let (began, mut last) = (clock::now(), None);
        let found = loop {
            match self.consumer.poll(CALL.min(Duration::from_millis(100))) {
                Some(Ok(message)) if message.partition() == partition => {
                    last = Some(self.read(&message)?);
                    if message.offset() + 1 >= end {
                        break last;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(eof))) if eof == partition => break last,
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) if is_fatal(&error) => return Err(refusal(&error)),
                Some(Err(_)) | None => self.look_without_poll(began)?,
            }
        };
        self.consumer.unassign().map_err(|error| refusal(&error))?;
        Ok(found)
    }

    fn look_without_poll(&self, began: Instant) -> Result<(), TargetError> {
        if let Some(cut) = &self.reports.state().cut {
            return Err(TargetError::Retry(cut.clone()));
        }
        let is_stopping = self.stop.load(Ordering::Acquire);
        if began.elapsed() >= self.timeout || is_stopping {
            return Err(TargetError::retry(format_args!(
                "its last message is not read for {:?}",
                self.timeout
            )));
        }
        Ok(())
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Result<TailMessage, TargetError> {
        message.headers().and_then(headers::read).ok_or_else(|| {
            let what = format!(
                "the message at offset {} of partition {} of topic {} is not one of a bridge (it has no header {}): \
                 another program writes to it; name another --topic",
                message.offset(),
                message.partition(),
                self.topic,
                crate::headers::SEQ
            );
            TargetError::fatal(FENCED, what)
        })
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let waits = [
        Code::OperationTimedOut,
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::Authentication,
        Code::Resolve,
        // Of the group, which is not used.
        Code::GroupAuthorizationFailed,
    ];
    !error.rdkafka_error_code().is_some_and(|code| waits.contains(&code))
}
