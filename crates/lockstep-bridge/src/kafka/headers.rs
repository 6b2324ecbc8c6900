//! The headers of a message beside those of all brokers, and what they say of the position.

use crate::headers::{self, CURSOR, HISTORY, SEQ};
use crate::record::StreamRecord;
use lockstep_client::Cursor;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use std::str::FromStr;

/// All messages up to this seq are in the topic, whatever their partition.
pub const COMPLETE: &str = "Lockstep-Complete";
/// The number of partitions by which destinations were distributed.
pub const PARTITIONS: &str = "Lockstep-Partitions";

/// Where a bridge goes on that reads this message as the last one of its partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResumePoint {
    /// All messages up to this seq are in the topic.
    pub complete: u64,
    /// A subscription that begins here reads everything behind them.
    pub cursor: Cursor,
}

/// The last message of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TailMessage {
    /// Its history.
    pub history: u64,
    /// Its seq.
    pub seq: u64,
    /// How many partitions its bridge has distributed messages to.
    pub partitions: u32,
    /// Where to go on.
    pub resume: ResumePoint,
}

/// The headers of `record`.
pub fn of(record: &StreamRecord<'_>, partitions: u32, resume: ResumePoint) -> OwnedHeaders {
    // A subscription that begins at the cursor reads everything behind what is complete.
    let position = [
        (COMPLETE, resume.complete.to_string()),
        (CURSOR, resume.cursor.to_string()),
        (PARTITIONS, partitions.to_string()),
    ];
    let values: Vec<_> = headers::of(record).chain(position).collect();
    let headers = OwnedHeaders::new_with_capacity(values.len());
    values.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

/// What the headers of a message say; `None` if it is not one of a bridge.
pub fn read<H: Headers>(headers: &H) -> Option<TailMessage> {
    let text = |name: &str| {
        let value = headers.iter().find(|header| header.key == name).and_then(|header| header.value)?;
        std::str::from_utf8(value).ok()
    };
    Some(TailMessage {
        history: headers::history(text(HISTORY)?)?,
        seq: text(SEQ)?.parse().ok()?,
        partitions: text(PARTITIONS)?.parse().ok()?,
        resume: ResumePoint {
            complete: text(COMPLETE)?.parse().ok()?,
            cursor: Cursor::from_str(text(CURSOR)?).ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_names::RecordNames;

    #[test]
    fn what_is_written_is_read_and_other_headers_are_none() {
        let cursor = Cursor { history: 7, seq: 5, chain: 9 };
        let record = StreamRecord {
            history: 0xabc,
            seq: 8,
            epoch: 2,
            timestamp: 1,
            publisher: 3,
            publisher_seq: 4,
            destination: 6,
            names: RecordNames::default(),
            payload: b"",
            cursor,
            resume: cursor,
        };
        let resume = ResumePoint { complete: 4, cursor };
        let headers = of(&record, 3, resume);
        let wanted = TailMessage { history: 0xabc, seq: 8, partitions: 3, resume };
        assert_eq!(read(headers.as_borrowed()), Some(wanted));
        let other = OwnedHeaders::new().insert(Header { key: SEQ, value: Some("8") });
        assert_eq!(read(other.as_borrowed()), None);
    }
}
