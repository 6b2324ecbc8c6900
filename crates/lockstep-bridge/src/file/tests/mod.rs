//! Bytes of each format, and what a folder has after a crash at any operation.

mod folder;
mod formats;
mod memory;

use super::capture::{CaptureEncoder, CaptureForm};
use super::csv::{Csv, PayloadText};
use super::encode::{EncodeError, EncodedBytes, FileEncoder};
use super::framed::{BinaryFile, LengthPrefixed};
use super::manifest::RowsBefore;
use super::packets::PacketPath;
use super::parquet::{Parquet, ParquetCompression};
use crate::record::StreamRecord;
use lockstep_client::Cursor;
use lockstep_names::RecordNames;
use lockstep_schema::PayloadSchema;

/// 2026-11-27, half past nine.
const TIME: u64 = 1_795_771_800_000_000_000;
const HISTORY: u64 = 0x0123_4567_89ab_cdef;

/// A message of the stream.
#[derive(Clone)]
struct Sample {
    history: u64,
    seq: u64,
    timestamp: u64,
    payload: Vec<u8>,
}

impl Sample {
    /// Of every third message a part of another one is unfinished behind it.
    fn resume(&self) -> Cursor {
        let seq = if self.seq.is_multiple_of(3) { self.seq - 2 } else { self.seq + 1 };
        Cursor { history: self.history, seq, chain: self.seq }
    }

    fn record(&self) -> StreamRecord<'_> {
        StreamRecord {
            history: self.history,
            seq: self.seq,
            epoch: 3,
            timestamp: self.timestamp,
            publisher: 7,
            publisher_seq: self.seq * 2,
            destination: 1 << 31,
            names: RecordNames { publisher: Some("desk"), destination: None },
            payload: &self.payload,
            cursor: Cursor { history: self.history, seq: self.seq, chain: 1 },
            resume: self.resume(),
        }
    }
}

/// Messages of some sizes, as seqs that have holes; two stamped at a time; two days, and two histories.
fn samples(count: u64) -> Vec<Sample> {
    let sample = |index: u64| Sample {
        history: if index < count * 2 / 3 { HISTORY } else { HISTORY + 1 },
        seq: 2 + index + index / 10,
        timestamp: TIME + index / 2 * 1_000 + if index < count / 3 { 0 } else { 86_400_000_000_000 },
        payload: format!("{index} {}", "x".repeat((index * 7 % 200) as usize)).into_bytes(),
    };
    (0..count).map(sample).collect()
}

fn path() -> PacketPath {
    PacketPath {
        source: "192.0.2.1:5000".parse().expect("an address"),
        destination: "233.252.0.1:5001".parse().expect("an address"),
    }
}

/// An encoder of each format, with its name.
fn encoders() -> Vec<(&'static str, Box<dyn FileEncoder>)> {
    let schema = PayloadSchema::parse(
        "name = 'numbers'\n[[message]]\ntype = '1'\nname = 'one'\nfields = [\n\
         { name = 'first', offset = 0, length = 2, kind = 'ascii' },\n\
         { name = 'number', offset = 1, length = 4, kind = 'uint' } ]\n",
    );
    let parquet = |schema, compression| Parquet::new(schema, false, compression).expect("columns of Parquet");
    vec![
        ("csv", Box::new(Csv::new(PayloadText::Escaped, false))),
        ("hex", Box::new(Csv::new(PayloadText::Hex, false))),
        ("raw", Box::new(LengthPrefixed)),
        ("bin", Box::new(BinaryFile)),
        ("pcap", Box::new(CaptureEncoder::new(CaptureForm::Pcap, path(), None))),
        ("pcapng", Box::new(CaptureEncoder::new(CaptureForm::PcapNg, path(), None))),
        ("parquet", Box::new(parquet(None, ParquetCompression::Lz4))),
        ("schema", Box::new(parquet(Some(schema.expect("a schema")), ParquetCompression::None))),
    ]
}

/// The bytes of one file with these messages.
fn encode(
    encoder: &mut dyn FileEncoder,
    samples: &[Sample],
    before: RowsBefore,
) -> Result<Vec<u8>, EncodeError> {
    let out = EncodedBytes::default();
    encoder.begin(&samples[0].record(), before, &out)?;
    for sample in samples {
        encoder.append(&sample.record(), &out)?;
    }
    encoder.end(&out)?;
    Ok(out.take(Vec::new()))
}
