//! Payloads behind their lengths: for `lockstep publish --length-prefixed`, and as BinaryFILE of Nasdaq.

use super::encode::{EncodeError, EncodedBytes, FileEncoder};
use super::manifest::RowsBefore;
use crate::record::StreamRecord;

/// Each payload behind its length, 4 bytes little-endian: what `journal export --format raw` writes and
/// `publish --length-prefixed` reads.
#[derive(Debug)]
pub struct LengthPrefixed;

impl FileEncoder for LengthPrefixed {
    fn begin(&mut self, _: &StreamRecord<'_>, _: RowsBefore, _: &EncodedBytes) -> Result<(), EncodeError> {
        Ok(())
    }

    fn append(&mut self, record: &StreamRecord<'_>, out: &EncodedBytes) -> Result<u64, EncodeError> {
        let (seq, len) = (record.seq, record.payload.len());
        let prefix = u32::try_from(len)
            .map_err(|_| EncodeError::MessageLong { seq, len, max: u32::MAX as usize })?
            .to_le_bytes();
        out.push(&prefix);
        out.push(record.payload);
        Ok((prefix.len() + len) as u64)
    }

    fn end(&mut self, _: &EncodedBytes) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// Nasdaq's BinaryFILE 1.00: each payload behind its length, 2 bytes big-endian; a length of 0 ends the file.
#[derive(Debug)]
pub struct BinaryFile;

impl FileEncoder for BinaryFile {
    fn begin(&mut self, _: &StreamRecord<'_>, _: RowsBefore, _: &EncodedBytes) -> Result<(), EncodeError> {
        Ok(())
    }

    fn append(&mut self, record: &StreamRecord<'_>, out: &EncodedBytes) -> Result<u64, EncodeError> {
        let (seq, len) = (record.seq, record.payload.len());
        if len == 0 {
            return Err(EncodeError::MessageEmpty { seq });
        }
        let prefix = u16::try_from(len)
            .map_err(|_| EncodeError::MessageLong { seq, len, max: usize::from(u16::MAX) })?
            .to_be_bytes();
        out.push(&prefix);
        out.push(record.payload);
        Ok((prefix.len() + len) as u64)
    }

    fn end(&mut self, out: &EncodedBytes) -> Result<(), EncodeError> {
        out.push(&[0, 0]);
        Ok(())
    }
}
