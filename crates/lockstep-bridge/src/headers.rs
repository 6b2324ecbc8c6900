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
/// The publisher's name, where its open was read.
pub const PUBLISHER_NAME: &str = "Lockstep-Publisher-Name";
/// The name of the destination, likewise.
pub const DESTINATION_NAME: &str = "Lockstep-Destination-Name";
/// Where a subscription begins.
pub const CURSOR: &str = "Lockstep-Cursor";

/// The headers of `record` that say what it is, with their values.
pub fn of(record: &StreamRecord<'_>) -> impl Iterator<Item = (&'static str, String)> {
    let numbers = [
        (SEQ, record.seq.to_string()),
        (HISTORY, format!("{:016x}", record.history)),
        (EPOCH, record.epoch.to_string()),
        (TIMESTAMP, record.timestamp.to_string()),
        (PUBLISHER, record.publisher.to_string()),
        (PUBLISHER_SEQ, record.publisher_seq.to_string()),
        (DESTINATION, record.destination.to_string()),
    ];
    let names = [(PUBLISHER_NAME, record.names.publisher), (DESTINATION_NAME, record.names.destination)];
    // A header is a line.
    let is_line = |name: &&str| !name.chars().any(char::is_control);
    let names = names.map(|(key, name)| name.filter(is_line).map(|name| (key, name.to_owned())));
    numbers.into_iter().chain(names.into_iter().flatten())
}

/// The history of [`HISTORY`]'s value.
pub fn history(value: &str) -> Option<u64> {
    u64::from_str_radix(value, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_client::Cursor;
    use lockstep_names::RecordNames;

    #[test]
    fn names_stand_beside_numbers_where_they_are_known_and_are_a_line() {
        let cursor = Cursor { history: 7, seq: 1, chain: 1 };
        let record = |publisher, destination| StreamRecord {
            history: 7,
            seq: 2,
            epoch: 1,
            timestamp: 1,
            publisher: 3,
            publisher_seq: 4,
            destination: 5,
            names: RecordNames { publisher, destination },
            payload: b"",
            cursor,
            resume: cursor,
        };
        let names =
            |publisher, destination| -> Vec<_> { of(&record(publisher, destination)).skip(7).collect() };
        let (desk, risk) = ((PUBLISHER_NAME, "desk".to_owned()), (DESTINATION_NAME, "risk".to_owned()));
        assert_eq!(names(Some("desk"), Some("risk")), [desk.clone(), risk]);
        assert_eq!(names(Some("desk"), Some("two\r\nlines")), [desk]);
        assert_eq!(names(None, None), []);
    }
}
