//! What was sent in a transaction, to be compared with what the table has of it.

use crate::record::StreamRecord;
use sha2::{Digest, Sha256};

/// The rows of a COPY.
#[derive(Clone, Debug, Default)]
pub struct WrittenRows {
    seqs: Vec<u64>,
    sha256: Sha256,
}

impl WrittenRows {
    /// Another one, behind the others.
    pub fn push(&mut self, record: &StreamRecord<'_>) {
        self.seqs.push(record.seq);
        let Self { sha256, .. } = self;
        sha256.update(record.seq.to_be_bytes());
        sha256.update(record.timestamp.to_be_bytes());
        sha256.update(format!("{:016x}", record.history));
        for number in [record.epoch, record.publisher.into(), record.publisher_seq, record.destination.into()]
        {
            sha256.update(number.to_be_bytes());
        }
        sha256.update((record.payload.len() as u32).to_be_bytes());
        sha256.update(record.payload);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.seqs.len() as u64
    }

    /// The first seq and the last one.
    pub fn seqs(&self) -> Option<(u64, u64)> {
        self.seqs.first().copied().zip(self.seqs.last().copied())
    }

    /// Their digest, as the statement of [`digest_of`] tells that of the table.
    pub fn digest(&self) -> String {
        self.sha256.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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

/// Tells how many rows of these seqs a table has, and their digest.
pub fn digest_of(table: &str, first: u64, last: u64) -> String {
    format!(
        "SELECT count(*), encode(sha256(coalesce(string_agg(int8send(seq) || int8send(timestamp_ns) || \
         convert_to(history, 'UTF8') || int8send(epoch) || int8send(publisher) || int8send(publisher_seq) || \
         int8send(destination) || int4send(octet_length(payload)) || payload, ''::bytea ORDER BY seq), '')), 'hex') \
         FROM {table} WHERE seq BETWEEN {first} AND {last}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_client::Cursor;

    #[test]
    fn a_row_that_is_refused_is_named_with_the_way_past_it() {
        let cursor = Cursor { history: 7, seq: 1, chain: 1 };
        let mut rows = WrittenRows::default();
        for seq in [3, 5, 9] {
            rows.push(&StreamRecord {
                history: 7,
                seq,
                epoch: 1,
                timestamp: 1,
                publisher: 1,
                publisher_seq: seq,
                destination: 0,
                payload: b"",
                cursor,
                resume: cursor,
            });
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
