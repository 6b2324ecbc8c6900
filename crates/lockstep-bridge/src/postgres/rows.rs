//! The rows of a transaction: their bytes, and what the table must have of them.

use crate::failure::FAILED;
use crate::record::StreamRecord;
use crate::target::TargetError;
use bytes::{BufMut, BytesMut};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Columns of a row.
const COLUMN_COUNT: i16 = 9;
/// Those of names.
const NAME_COLUMN_COUNT: i16 = 2;
/// Microseconds from the Unix epoch to 2000-01-01, where PostgreSQL's timestamps begin.
const PG_EPOCH_US: i64 = 946_684_800_000_000;

/// The rows of a COPY.
#[derive(Clone, Debug, Default)]
pub struct WrittenRows {
    seqs: Vec<u64>,
    sha256: Sha256,
    has_names: bool,
    /// The expression of the bytes of a schema's columns: of none it is empty.
    fields: Arc<str>,
}

impl WrittenRows {
    /// None, with or without names and columns of a schema.
    pub fn new(has_names: bool, fields: Arc<str>) -> Self {
        Self { has_names, fields, ..Self::default() }
    }

    /// All of them; none are left.
    pub fn take(&mut self) -> Self {
        let none = Self::new(self.has_names, Arc::clone(&self.fields));
        std::mem::replace(self, none)
    }

    /// Another one, behind the others; with the columns of a schema, as [`encode`] takes them.
    pub fn push(&mut self, record: &StreamRecord<'_>, fields: &[u8]) {
        self.seqs.push(record.seq);
        let Self { sha256, has_names, .. } = self;
        sha256.update(record.seq.to_be_bytes());
        sha256.update(record.timestamp.to_be_bytes());
        sha256.update(format!("{:016x}", record.history));
        for number in [record.epoch, record.publisher.into(), record.publisher_seq, record.destination.into()]
        {
            sha256.update(number.to_be_bytes());
        }
        sha256.update((record.payload.len() as u32).to_be_bytes());
        sha256.update(record.payload);
        let names = [record.names.publisher, record.names.destination];
        for name in names.into_iter().filter(|_| *has_names) {
            sha256.update(name.map_or(-1, |name| name.len() as i32).to_be_bytes());
            sha256.update(name.unwrap_or_default());
        }
        sha256.update(fields);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.seqs.len() as u64
    }

    /// The first seq and the last one.
    pub fn seqs(&self) -> Option<(u64, u64)> {
        self.seqs.first().copied().zip(self.seqs.last().copied())
    }

    /// Their digest, as the statement of [`Self::digest_of`] tells that of the table.
    pub fn digest(&self) -> String {
        self.sha256.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The statement that tells how many rows of these seqs a table has, and their digest.
    pub fn digest_of(&self, table: &str, first: u64, last: u64) -> String {
        let name = |column: &str| {
            let text = format!("convert_to(coalesce({column}, ''), 'UTF8')");
            format!(
                " || int4send(CASE WHEN {column} IS NULL THEN -1 ELSE octet_length({text}) END) || {text}"
            )
        };
        let names = match self.has_names {
            true => name("publisher_name") + &name("destination_name"),
            false => String::new(),
        };
        let fields = &self.fields;
        format!(
            "SELECT count(*), encode(sha256(coalesce(string_agg(int8send(seq) || int8send(timestamp_ns) || \
             convert_to(history, 'UTF8') || int8send(epoch) || int8send(publisher) || int8send(publisher_seq) || \
             int8send(destination) || int4send(octet_length(payload)) || payload{names}{fields}, ''::bytea ORDER BY seq), '')), \
             'hex') FROM {table} WHERE seq BETWEEN {first} AND {last}"
        )
    }

    /// What the server's refusal of a row means, and the way past it. `place` is where it says that it was.
    pub fn refused(&self, message: &str, code: &str, place: Option<&str>) -> String {
        let line =
            place.and_then(|place| place.split_once("line ")?.1.split([',', ':', ' ']).next()?.parse().ok());
        let seq = line.and_then(|line: usize| self.seqs.get(line.checked_sub(1)?));
        let (which, skip) = match (seq, self.seqs()) {
            (Some(seq), _) => (format!("the message of seq {seq}"), seq.to_string()),
            (None, Some((first, last))) => (format!("a message of seqs {first} to {last}"), "SEQ".to_owned()),
            (None, None) => ("a message".to_owned(), "SEQ".to_owned()),
        };
        format!("refuses {which}: {message} ({code}); mend the table, or leave it out with --skip {skip}")
    }
}

/// Whether the error of this code is about what a row says: data, constraints, and what a trigger raises.
pub fn is_of_content(code: &str) -> bool {
    matches!(&code[..2], "22" | "23" | "P0")
}

/// A row of a binary COPY; behind it the columns of a schema: their number, and their bytes.
///
/// # Errors
/// A number does not fit into its column.
pub fn encode(
    record: &StreamRecord<'_>,
    has_names: bool,
    (field_count, fields): (i16, &[u8]),
    out: &mut BytesMut,
) -> Result<(), TargetError> {
    let bigint = |value: u64, column: &str| {
        i64::try_from(value).map_err(|_| {
            let what = format!("{column} {value} of seq {} does not fit into a bigint", record.seq);
            TargetError::fatal(FAILED, what)
        })
    };
    let (seq, epoch) = (bigint(record.seq, "seq")?, bigint(record.epoch, "epoch")?);
    let (stamp, number) =
        (bigint(record.timestamp, "timestamp")?, bigint(record.publisher_seq, "publisher_seq")?);
    out.put_i16(COLUMN_COUNT + if has_names { NAME_COLUMN_COUNT } else { 0 } + field_count);
    for value in [seq, stamp / 1_000 - PG_EPOCH_US, stamp] {
        out.put_i32(8);
        out.put_i64(value);
    }
    out.put_i32(16);
    out.put_slice(format!("{:016x}", record.history).as_bytes());
    for value in [epoch, record.publisher.into(), number, record.destination.into()] {
        out.put_i32(8);
        out.put_i64(value);
    }
    out.put_i32(record.payload.len() as i32);
    out.put_slice(record.payload);
    let names = [record.names.publisher, record.names.destination];
    for name in names.into_iter().filter(|_| has_names) {
        // NULL has the length -1, and nothing behind it.
        out.put_i32(name.map_or(-1, |name| name.len() as i32));
        out.put_slice(name.unwrap_or_default().as_bytes());
    }
    out.put_slice(fields);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_client::Cursor;
    use lockstep_names::RecordNames;

    #[test]
    fn a_row_has_the_bytes_of_a_binary_copy_and_a_number_that_does_not_fit_is_named() {
        let cursor = Cursor { history: 7, seq: 1, chain: 1 };
        let record = StreamRecord {
            history: 0xab,
            seq: 3,
            epoch: 4,
            timestamp: 946_684_800_000_001_999,
            publisher: 5,
            publisher_seq: 6,
            destination: u32::MAX,
            names: RecordNames::default(),
            payload: b"it",
            cursor,
            resume: cursor,
        };
        let mut out = BytesMut::new();
        encode(&record, false, (0, b""), &mut out).expect("a row");
        let bigint = |value: i64| [&8i32.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let mut wanted = 9i16.to_be_bytes().to_vec();
        for value in [3, 1, 946_684_800_000_001_999] {
            wanted.extend(bigint(value));
        }
        wanted.extend([0, 0, 0, 16].iter().chain(b"00000000000000ab"));
        for value in [4, 5, 6, i64::from(u32::MAX)] {
            wanted.extend(bigint(value));
        }
        wanted.extend([0, 0, 0, 2].iter().chain(b"it"));
        assert_eq!(out.to_vec(), wanted);
        let names = RecordNames { publisher: Some("desk"), destination: None };
        let mut named = BytesMut::new();
        encode(&StreamRecord { names, ..record }, true, (1, &[0xff; 4]), &mut named).expect("a row");
        wanted[1] = 12;
        wanted.extend([0, 0, 0, 4].iter().chain(b"desk").chain(&[0xff; 8]));
        assert_eq!(named.to_vec(), wanted);
        let error = encode(&StreamRecord { seq: 1 << 63, ..record }, false, (0, b""), &mut out)
            .expect_err("too great");
        assert!(matches!(error, TargetError::Fatal { what, .. } if what.contains("seq 9223372036854775808")));
    }

    #[test]
    fn a_row_that_is_refused_is_named_with_the_way_past_it() {
        let cursor = Cursor { history: 7, seq: 1, chain: 1 };
        let mut rows = WrittenRows::default();
        for seq in [3, 5, 9] {
            rows.push(
                &StreamRecord {
                    history: 7,
                    seq,
                    epoch: 1,
                    timestamp: 1,
                    publisher: 1,
                    publisher_seq: seq,
                    destination: 0,
                    names: RecordNames::default(),
                    payload: b"",
                    cursor,
                    resume: cursor,
                },
                b"",
            );
        }
        let refusal = |place| rows.refused("too short", "23514", place);
        assert!(
            refusal(Some("COPY lockstep_stream, line 2")).contains("seq 5")
                && refusal(Some("line 2")).contains("--skip 5")
        );
        for place in [None, Some("at COMMIT"), Some("line 9"), Some("line 0"), Some("line x")] {
            assert!(
                refusal(place).contains("seqs 3 to 9") && refusal(place).contains("--skip SEQ"),
                "{place:?}"
            );
        }
    }
}
