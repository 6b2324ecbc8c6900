//! Points of the line protocol.
//!
//! Names are fields, and no tags: tags say which point it is, and a message that is written again by a bridge
//! that has not read the open would be a second point.

use crate::failure::{FAILED, USAGE};
use crate::file::csv::{NAME_COLUMNS, write_escaped, write_hex};
use crate::record::StreamRecord;
use crate::target::TargetError;
use lockstep_schema::{FieldKind, FieldValue, PayloadMessage, PayloadSchema, TYPE_COLUMN, decimal, hex};
use std::io::{self, Write};

/// Longest text of a field, as the server takes it.
const TEXT_LEN_MAX: usize = 65_535;

/// How a payload is spelt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum InfluxPayload {
    /// As `lockstep subscribe` prints it: text; control characters, backslashes and other bytes as escapes
    Escaped,
    /// Two hexadecimal digits a byte
    Hex,
    /// Not at all: the fields of --schema alone
    None,
}

/// Writes points.
#[derive(Debug)]
pub struct PointWriter {
    /// Escaped.
    measurement: String,
    payload: InfluxPayload,
    schema: Option<PayloadSchema>,
    /// Names are fields.
    has_names: bool,
    text: Vec<u8>,
}

impl PointWriter {
    /// Of this measurement.
    ///
    /// # Errors
    /// The schema has a field with a name of the bridge's own.
    pub fn new(
        measurement: &str,
        payload: InfluxPayload,
        schema: Option<PayloadSchema>,
        has_names: bool,
    ) -> Result<Self, TargetError> {
        let of_names = NAME_COLUMNS.into_iter().filter(|_| has_names);
        for own in ["history", "time"].into_iter().chain(of_names) {
            if schema.iter().flat_map(|schema| &schema.columns).any(|column| column.name == own) {
                let what = format!("--schema: {own} is a field of every point: choose another name");
                return Err(TargetError::fatal(USAGE, what));
            }
        }
        Ok(Self { measurement: name(measurement), payload, schema, has_names, text: Vec::new() })
    }

    /// Appends the point of `record` at `time`.
    ///
    /// # Errors
    /// A number or the payload is too large for a field.
    pub fn write(
        &mut self,
        record: &StreamRecord<'_>,
        time: i64,
        out: &mut Vec<u8>,
    ) -> Result<(), TargetError> {
        let written = self.write_point(record, time, out);
        written.map_err(|error| TargetError::fatal(FAILED, format_args!("seq {}: {error}", record.seq)))
    }

    fn write_point(&mut self, record: &StreamRecord<'_>, time: i64, out: &mut Vec<u8>) -> io::Result<()> {
        let Self { measurement, payload, schema, has_names, text } = self;
        let message = schema.as_ref().and_then(|schema| schema.message(record.payload).ok());
        write!(out, "{measurement},destination={},publisher={}", record.destination, record.publisher)?;
        if let Some(message) = message {
            write!(out, ",{TYPE_COLUMN}={}", name(&message.schema.name))?;
        }
        let numbers = [
            ("seq", record.seq),
            ("timestamp", record.timestamp),
            ("epoch", record.epoch),
            ("publisher_seq", record.publisher_seq),
        ];
        for (index, (field, number)) in numbers.into_iter().enumerate() {
            let number = i64::try_from(number).map_err(|_| too_large(field))?;
            write!(out, "{}{field}={number}i", if index == 0 { ' ' } else { ',' })?;
        }
        write!(out, ",history=\"{:016x}\"", record.history)?;
        if *payload != InfluxPayload::None {
            text.clear();
            match payload {
                InfluxPayload::Escaped => write_escaped(text, record.payload)?,
                _ => write_hex(text, record.payload),
            }
            write_text(out, "payload", text)?;
        }
        for (field, name) in NAME_COLUMNS.into_iter().zip([record.names.publisher, record.names.destination])
        {
            if let Some(name) = name.filter(|_| *has_names) {
                write_text(out, field, name.as_bytes())?;
            }
        }
        for (_, column, value) in message.into_iter().flat_map(PayloadMessage::fields) {
            match (value, column.kind) {
                // The server has no numbers without a sign.
                (Some(FieldValue::Number(number)), FieldKind::Uint) if number < 0 => {}
                (Some(FieldValue::Number(number)), kind) if kind.has_decimals() => {
                    write!(out, ",{}={}", column.name, decimal(number, column.decimals))?;
                }
                (Some(FieldValue::Number(number)), _) => write!(out, ",{}={number}i", column.name)?,
                (Some(FieldValue::Text(text)), _) => write_text(out, &column.name, text)?,
                // One that the server does not take has no value: the payload is beside it.
                (Some(FieldValue::Bytes(bytes)), _) if 2 * bytes.len() <= TEXT_LEN_MAX => {
                    write_text(out, &column.name, hex(bytes).as_bytes())?;
                }
                (Some(FieldValue::Group(group)), _) => {
                    let json = group.json().to_string();
                    if json.len() <= TEXT_LEN_MAX {
                        write_text(out, &column.name, json.as_bytes())?;
                    }
                }
                (Some(FieldValue::Bytes(_)), _) => {}
                (Some(FieldValue::Flags(names)), _) => {
                    write_text(out, &column.name, names.to_string().as_bytes())?;
                }
                (Some(FieldValue::Bool(value)), _) => write!(out, ",{}={value}", column.name)?,
                // Nor has it infinities, or what is no number.
                (Some(FieldValue::Float(value)), _) if value.is_finite() => {
                    write!(out, ",{}={value}", column.name)?;
                }
                (Some(FieldValue::Float(_)) | None, _) => {}
            }
        }
        writeln!(out, " {time}")
    }
}

fn too_large(field: &str) -> io::Error {
    io::Error::other(format!("its {field} is larger than a field takes"))
}

fn write_text(out: &mut Vec<u8>, field: &str, text: &[u8]) -> io::Result<()> {
    if text.len() > TEXT_LEN_MAX {
        return Err(too_large(field));
    }
    write!(out, ",{field}=\"")?;
    for &byte in text {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Ok(())
}

/// A measurement or the value of a tag.
pub fn name(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, ',' | ' ' | '=') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_client::Cursor;
    use lockstep_names::RecordNames;

    fn record(payload: &[u8]) -> StreamRecord<'_> {
        StreamRecord {
            history: 0xab,
            seq: 3,
            epoch: 4,
            timestamp: 5,
            publisher: 6,
            publisher_seq: 7,
            destination: 8,
            names: RecordNames::default(),
            payload,
            cursor: Cursor { history: 7, seq: 1, chain: 1 },
            resume: Cursor { history: 7, seq: 4, chain: 1 },
        }
    }

    fn point(payload: &[u8], form: InfluxPayload, schema: Option<&str>) -> String {
        let schema = schema.map(|text| PayloadSchema::parse(text).expect("a schema"));
        let mut writer = PointWriter::new("my feed", form, schema, false).expect("names");
        let mut out = Vec::new();
        writer.write(&record(payload), 9, &mut out).expect("a point");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_point_has_the_stream_and_its_text_in_quotes() {
        let fields = "my\\ feed,destination=8,publisher=6 seq=3i,timestamp=5i,epoch=4i,publisher_seq=7i,history=\"00000000000000ab\"";
        let text = point(b"a \"b\"\n\\", InfluxPayload::Escaped, None);
        assert_eq!(text, format!("{fields},payload=\"a \\\"b\\\"\\\\n\\\\\\\\\" 9\n"));
        assert_eq!(point(b"\x01z", InfluxPayload::Hex, None), format!("{fields},payload=\"017a\" 9\n"));
        assert_eq!(point(b"\x01z", InfluxPayload::None, None), format!("{fields} 9\n"));
    }

    #[test]
    fn fields_of_a_schema_are_fields_and_the_type_is_a_tag() {
        let schema = "name = 'x'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = [\
            { name = 'stock', offset = 1, length = 4, kind = 'ascii' }, \
            { name = 'shares', offset = 5, length = 1, kind = 'uint' }, \
            { name = 'price', offset = 6, length = 2, kind = 'price', decimals = 2 }]";
        let text = point(b"TAB  \x07\x01\x02", InfluxPayload::None, Some(schema));
        assert!(
            text.contains(",message_type=trade seq=3i")
                && text.ends_with(",stock=\"AB\",shares=7i,price=2.58 9\n"),
            "{text}"
        );
    }

    #[test]
    fn bools_enums_and_floats_are_fields_and_a_number_that_the_server_lacks_is_none() {
        let schema = "name = 'x'\n[[message]]\nname = 'all'\nfields = [\
            { name = 'on', offset = 0, length = 1, kind = 'bool' }, \
            { name = 'side', offset = 1, length = 1, kind = 'enum', values = { buy = 'B' } }, \
            { name = 'ratio', offset = 2, length = 4, kind = 'float' }, \
            { name = 'terms', offset = 6, length = 1, kind = 'set', values = { hidden = 0, ioc = 2 } }, \
            { name = 'spread', offset = 7, length = 1, kind = 'decimal', decimals = 2 }]";
        let of = |ratio: f32| {
            point(
                &[b"\x01B", &ratio.to_be_bytes()[..], b"\x05\xff"].concat(),
                InfluxPayload::None,
                Some(schema),
            )
        };
        assert!(
            of(-2.5).ends_with(",on=true,side=\"buy\",ratio=-2.5,terms=\"hidden|ioc\",spread=-0.01 9\n"),
            "{}",
            of(-2.5)
        );
        assert!(
            of(f32::NAN).ends_with(",side=\"buy\",terms=\"hidden|ioc\",spread=-0.01 9\n"),
            "{}",
            of(f32::NAN)
        );
    }

    #[test]
    fn names_that_are_known_and_asked_for_are_fields_which_do_not_say_which_point_it_is() {
        let known = RecordNames { publisher: Some("desk \"1\""), destination: None };
        let written = |has_names, names| {
            let mut writer = PointWriter::new("m", InfluxPayload::None, None, has_names).expect("names");
            let (mut out, record) = (Vec::new(), StreamRecord { names, ..record(b"") });
            writer.write(&record, 9, &mut out).expect("a point");
            String::from_utf8(out).expect("text")
        };
        let without = written(true, RecordNames::default());
        assert_eq!(written(false, known), without);
        let (point, fields) = without.split_once(' ').expect("tags and fields");
        let named = fields.replace(" 9\n", ",publisher_name=\"desk \\\"1\\\"\" 9\n");
        assert_eq!(written(true, known), format!("{point} {named}"));
        let schema = "name = 'x'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = [\
            { name = 'publisher_name', offset = 1, length = 4, kind = 'ascii' }]";
        let schema = || Some(PayloadSchema::parse(schema).expect("a schema"));
        PointWriter::new("m", InfluxPayload::None, schema(), false).expect("the name is free");
        let refused =
            PointWriter::new("m", InfluxPayload::None, schema(), true).expect_err("it is the bridge's");
        assert!(matches!(refused, TargetError::Fatal { what, .. } if what.contains("publisher_name")));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_seq() {
        let mut writer = PointWriter::new("m", InfluxPayload::Hex, None, false).expect("names");
        let long = vec![0; 40_000];
        let error = writer.write(&record(&long), 9, &mut Vec::new()).expect_err("too long");
        assert!(
            matches!(error, TargetError::Fatal { code: FAILED, what } if what.contains("seq 3") && what.contains("payload"))
        );
    }

    #[test]
    fn a_group_is_a_text_of_json_and_one_that_is_too_long_is_none() {
        let schema = include_str!("../../../lockstep-schema/tests/it/fills.xml");
        let of = |hedges: usize| {
            let mut payload = [1u16, 302, 7, 2].map(u16::to_le_bytes).as_flattened().to_vec();
            payload.extend(b"1\x09\0\0\0\x04\0");
            payload.extend((hedges as u16).to_le_bytes());
            payload.extend(0.5f32.to_le_bytes().repeat(hedges));
            payload.extend(b"\x02\0\xff\0\x01a");
            point(&payload, InfluxPayload::None, Some(schema))
        };
        let text = of(1);
        let wanted =
            ",side=\"buy\",legs=\"[]\",hedges=\"[{\\\"ratio\\\":0.5}]\",raw=\"ff00\",remark=\"a\" 9\n";
        assert!(text.ends_with(wanted), "{text}");
        assert!(of(10_000).ends_with(",legs=\"[]\",raw=\"ff00\",remark=\"a\" 9\n"));
    }
}
