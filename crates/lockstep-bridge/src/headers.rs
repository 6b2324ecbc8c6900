//! The headers that a message has in a broker.

use crate::record::StreamRecord;

/// The history, 16 hexadecimal digits.
pub const HISTORY: &str = "Lockstep-History";
/// The seq.
pub const SEQ: &str = "Lockstep-Seq";
/// The epoch.
pub const EPOCH: &str = "Lockstep-Epoch";
/// The stamp, in nanoseconds since 1970.
pub const TIMESTAMP: &str = "Lockstep-Timestamp";
/// The publisher's number.
pub const PUBLISHER: &str = "Lockstep-Publisher";
/// The publisher's number of the message.
pub const PUBLISHER_SEQ: &str = "Lockstep-Publisher-Seq";
/// The destination; 0 is everybody.
pub const DESTINATION: &str = "Lockstep-Destination";
/// Where a subscription begins.
pub const CURSOR: &str = "Lockstep-Cursor";

/// The headers of `record` that say what it is, with their values.
pub fn of(record: &StreamRecord<'_>) -> [(&'static str, String); 7] {
    [
        (SEQ, record.seq.to_string()),
        (HISTORY, format!("{:016x}", record.history)),
        (EPOCH, record.epoch.to_string()),
        (TIMESTAMP, record.timestamp.to_string()),
        (PUBLISHER, record.publisher.to_string()),
        (PUBLISHER_SEQ, record.publisher_seq.to_string()),
        (DESTINATION, record.destination.to_string()),
    ]
}

/// The history of [`HISTORY`]'s value.
pub fn history(value: &str) -> Option<u64> {
    u64::from_str_radix(value, 16).ok()
}
