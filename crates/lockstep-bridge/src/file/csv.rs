//! CSV as RFC 4180 has it: a header, a line a message, CRLF.

use super::encode::{EncodeError, EncodedBytes, FileEncoder, refused};
use super::manifest::RowsBefore;
use crate::record::StreamRecord;
use csv::{Terminator, Writer, WriterBuilder};
use std::io::{self, Write};

/// The columns.
const COLUMNS: [&str; 7] =
    ["seq", "timestamp", "epoch", "publisher", "publisher_seq", "destination", "payload"];

/// Those behind them where names are asked for.
pub const NAME_COLUMNS: [&str; 2] = ["publisher_name", "destination_name"];

/// How a payload is spelt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum PayloadText {
    /// As `lockstep subscribe` prints it: text; control characters, backslashes and other bytes as escapes
    Escaped,
    /// Two hexadecimal digits a byte
    Hex,
}

/// Writes CSV.
#[derive(Debug)]
pub struct Csv {
    form: PayloadText,
    has_names: bool,
    writer: Option<Writer<EncodedBytes>>,
    /// A field's text.
    text: Vec<u8>,
}

impl Csv {
    /// With the names of publisher and destination behind the payload, if they are asked for.
    pub fn new(form: PayloadText, has_names: bool) -> Self {
        Self { form, has_names, writer: None, text: Vec::new() }
    }

    /// The line of a record; the bytes of its fields and of what is between them.
    fn write_line(&mut self, record: &StreamRecord<'_>) -> Result<u64, csv::Error> {
        let Some(writer) = &mut self.writer else { return Ok(0) };
        let mut bytes = 0;
        let numbers = [
            record.seq,
            record.timestamp,
            record.epoch,
            record.publisher.into(),
            record.publisher_seq,
            record.destination.into(),
        ];
        for number in numbers {
            self.text.clear();
            write!(self.text, "{number}")?;
            writer.write_field(&self.text)?;
            bytes += self.text.len() + 1;
        }
        self.text.clear();
        match self.form {
            PayloadText::Escaped => write_escaped(&mut self.text, record.payload)?,
            PayloadText::Hex => write_hex(&mut self.text, record.payload),
        }
        writer.write_field(&self.text)?;
        bytes += self.text.len();
        if self.has_names {
            for name in [record.names.publisher, record.names.destination] {
                let name = name.unwrap_or_default();
                writer.write_field(name)?;
                bytes += name.len() + 1;
            }
        }
        writer.write_record(None::<&[u8]>)?;
        Ok((bytes + 2) as u64)
    }
}

impl FileEncoder for Csv {
    fn begin(
        &mut self,
        first: &StreamRecord<'_>,
        _: RowsBefore,
        out: &EncodedBytes,
    ) -> Result<(), EncodeError> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out.clone());
        let names = NAME_COLUMNS.iter().filter(|_| self.has_names);
        writer.write_record(COLUMNS.iter().chain(names)).map_err(|error| refused(first.seq, error))?;
        self.writer = Some(writer);
        Ok(())
    }

    fn append(&mut self, record: &StreamRecord<'_>, _: &EncodedBytes) -> Result<u64, EncodeError> {
        self.write_line(record).map_err(|error| refused(record.seq, error))
    }

    fn end(&mut self, _: &EncodedBytes) -> Result<(), EncodeError> {
        let flushed = self.writer.take().map_or(Ok(()), |mut writer| writer.flush());
        flushed.map_err(|error| refused(0, error))
    }
}

/// Text as it is; backslashes, control characters and what is no UTF-8 as escapes.
pub fn write_escaped(out: &mut Vec<u8>, payload: &[u8]) -> io::Result<()> {
    for chunk in payload.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => out.extend_from_slice(b"\\\\"),
                char if char.is_control() => write!(out, "{}", char.escape_default())?,
                char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Two hexadecimal digits a byte.
pub fn write_hex(out: &mut Vec<u8>, payload: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in payload {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}
