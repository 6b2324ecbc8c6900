//! How a payload looks in each of the output's forms.

use super::Failure;
use super::args::SubscribeArgs;
use super::failure::INTEGRITY;
use crate::client::Message;
use crate::wire::Seq;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The version of a line of `subscribe --json`.
pub const MESSAGE_SCHEMA: &str = "lockstep.message/1";

/// The forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A line: seq, publisher:publisher_seq, destination and payload, with tabs between.
    Text,
    /// A JSON object on a line.
    Json,
    /// The payload behind its length, 4 bytes little-endian.
    Raw,
}

impl Form {
    /// The one that the flags ask for.
    pub fn of(args: &SubscribeArgs) -> Self {
        match (args.json, args.raw) {
            (true, _) => Self::Json,
            (_, true) => Self::Raw,
            _ => Self::Text,
        }
    }

    /// Writes one message.
    pub fn write(self, out: &mut impl Write, message: &Message<'_>) -> io::Result<()> {
        let Message { seq, publisher, publisher_seq, destination, payload, .. } = *message;
        match self {
            Self::Text => {
                write!(out, "{seq}\t{publisher}:{publisher_seq}\t{destination}\t")?;
                write_escaped(out, payload)?;
                out.write_all(b"\n")
            }
            Self::Json => writeln!(out, "{}", json_of(message)),
            Self::Raw => {
                out.write_all(&(payload.len() as u32).to_le_bytes())?;
                out.write_all(payload)
            }
        }
    }

    /// Writes that messages from `from` on are taken back.
    ///
    /// # Errors
    /// Those of `out`; and the raw form has no place for it.
    pub fn write_retract(self, out: &mut impl Write, from: Seq) -> Result<(), Failure> {
        match self {
            Self::Text => writeln!(out, "retract from {from}")?,
            Self::Json => writeln!(out, "{}", json!({ "schema": MESSAGE_SCHEMA, "retract_from": from }))?,
            Self::Raw => {
                let what = format!(
                    "messages from seq {from} on were taken back, and --raw cannot say so: use --committed"
                );
                return Err(Failure::new(INTEGRITY, what));
            }
        }
        Ok(())
    }
}

fn json_of(message: &Message<'_>) -> Value {
    let mut line = json!({
        "schema": MESSAGE_SCHEMA,
        "seq": message.seq,
        "publisher": message.publisher,
        "publisher_seq": message.publisher_seq,
        "destination": message.destination,
        "timestamp_ns": message.timestamp,
    });
    match std::str::from_utf8(message.payload) {
        Ok(text) => line["payload"] = text.into(),
        Err(_) => line["payload_hex"] = hex(message.payload).into(),
    }
    line
}

/// Hexadecimal digits, two a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text as it is; backslashes, control characters and what is no UTF-8 as escapes, so that a message is
/// one line whatever it says.
fn write_escaped(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    for chunk in payload.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => out.write_all(b"\\\\")?,
                char if char.is_control() => write!(out, "{}", char.escape_default())?,
                char => write!(out, "{char}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let message =
            Message { seq: 7, publisher: 1, publisher_seq: 2, destination: 3, timestamp: 4, payload };
        form.write(&mut out, &message).expect("memory takes all");
        out
    }

    #[test]
    fn a_message_is_one_line_of_text_whatever_it_says() {
        let text = written(Form::Text, b"a\nb\\\xff\xc3\xa4");
        assert_eq!(String::from_utf8(text).unwrap(), "7\t1:2\t3\ta\\nb\\\\\\xff\u{e4}\n");
    }

    #[test]
    fn json_has_the_payload_as_text_or_else_in_hex() {
        let line = |payload| -> Value { serde_json::from_slice(&written(Form::Json, payload)).unwrap() };
        assert_eq!(
            (&line(b"a\n")["payload"], &line(b"\xff\x01")["payload_hex"]),
            (&json!("a\n"), &json!("ff01"))
        );
    }

    #[test]
    fn raw_is_what_publish_reads_length_prefixed() {
        assert_eq!(written(Form::Raw, b"abc"), b"\x03\0\0\0abc");
    }
}
