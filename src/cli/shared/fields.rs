//! Payloads as fields, by a schema: in lines of text and in JSON.

use crate::cli::shared::shown::{shown, write_escaped};
use lockstep_daemon::Failure;
use lockstep_daemon::failure::USAGE;
use lockstep_schema::{
    FieldColumn, FieldKind, FieldValue, NoMessage, PayloadMessage, PayloadSchema, TYPE_COLUMN, decimal,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::path::PathBuf;

/// Reasons that are counted one by one.
const REASONS_MAX: usize = 8;

/// The schema of a file.
pub fn read(path: &Path) -> Result<PayloadSchema, Failure> {
    let read = PayloadSchema::read(path);
    read.map(|(schema, _)| schema)
        .map_err(|error| Failure::new(USAGE, format!("schema {}: {error}", path.display())))
}

/// The flag.
#[derive(clap::Args, Debug, Default)]
pub struct FieldsArgs {
    /// Payloads as fields, by this schema: TOML, or an XML of Simple Binary Encoding
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
}

/// How payloads are printed: as fields where there is a schema and they are messages of it, else as they are.
#[derive(Debug, Default)]
pub struct PayloadFields {
    schema: Option<PayloadSchema>,
    /// Payloads that are no message, by the reason.
    refused: BTreeMap<NoMessage, u64>,
    /// Those of further reasons.
    others: u64,
}

/// Text in a line of fields: in quotes where its end would not be seen without.
fn write_text(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let is_plain = |byte: &u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\' | b'?' | b'{' | b'}' | b'[' | b']')
    };
    if !text.is_empty() && text.iter().all(is_plain) {
        return out.write_all(text);
    }
    out.write_all(b"\"")?;
    for (index, part) in text.split(|byte| *byte == b'"').enumerate() {
        if index > 0 {
            out.write_all(b"\\\"")?;
        }
        write_escaped(out, part)?;
    }
    out.write_all(b"\"")
}

fn write_value(out: &mut impl Write, column: &FieldColumn, value: FieldValue<'_>) -> io::Result<()> {
    match value {
        FieldValue::Number(number) if column.kind == FieldKind::Uint => write!(out, "{}", number as u64),
        FieldValue::Number(number) => out.write_all(decimal(number, column.decimals).as_bytes()),
        FieldValue::Text(text) => write_text(out, text),
        FieldValue::Bool(value) => write!(out, "{value}"),
        FieldValue::Float(value) => write!(out, "{value}"),
        FieldValue::Flags(names) => write_text(out, names.to_string().as_bytes()),
        FieldValue::Bytes(bytes) => write_text(out, bytes),
        FieldValue::Group(group) => {
            out.write_all(b"[")?;
            for (index, entry) in group.entries().enumerate() {
                out.write_all(if index == 0 { b"{" } else { b" {" })?;
                for (place, (_, column, value)) in entry.fields().enumerate() {
                    let gap = if place == 0 { "" } else { " " };
                    write!(out, "{gap}{}=", column.name)?;
                    match value {
                        Some(value) => write_value(out, column, value)?,
                        None => out.write_all(b"?")?,
                    }
                }
                out.write_all(b"}")?;
            }
            out.write_all(b"]")
        }
    }
}

impl PayloadFields {
    /// By the schema of the flag, if it is given.
    pub fn new(args: &FieldsArgs) -> Result<Self, Failure> {
        let schema = args.schema.as_deref().map(read).transpose()?;
        Ok(Self { schema, ..Self::default() })
    }

    fn message<'a>(&'a mut self, payload: &'a [u8]) -> Option<PayloadMessage<'a>> {
        match self.schema.as_ref()?.message(payload) {
            Ok(message) => Some(message),
            Err(why) => {
                let is_full = self.refused.len() >= REASONS_MAX && !self.refused.contains_key(&why);
                *(if is_full { &mut self.others } else { self.refused.entry(why).or_default() }) += 1;
                None
            }
        }
    }

    /// Writes `trade stock=AB shares=7`, or the payload with escapes. One without any value is
    /// `trade payload=…`, as no field has that name.
    pub fn write(&mut self, out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
        if self.write_fields(out, payload)? { Ok(()) } else { write_escaped(out, payload) }
    }

    /// The same of a message of the schema; false of any other payload, and nothing is written.
    pub fn write_fields(&mut self, out: &mut impl Write, payload: &[u8]) -> io::Result<bool> {
        let Some(message) = self.message(payload) else { return Ok(false) };
        out.write_all(shown(&message.schema.name).as_bytes())?;
        if message.fields().all(|(.., value)| value.is_none()) {
            out.write_all(b" payload=")?;
            write_text(out, payload)?;
            return Ok(true);
        }
        for (_, column, value) in message.fields() {
            write!(out, " {}=", column.name)?;
            match value {
                Some(value) => write_value(out, column, value)?,
                None => out.write_all(b"?")?,
            }
        }
        Ok(true)
    }

    /// Adds the message's name and its fields to a line of JSON.
    pub fn add_json(&mut self, line: &mut Value, payload: &[u8]) {
        let Some(message) = self.message(payload) else { return };
        line["fields"] = message.json();
        line[TYPE_COLUMN] = message.schema.name.clone().into();
    }

    /// Whether there is a schema.
    pub fn has_schema(&self) -> bool {
        self.schema.is_some()
    }

    /// For people: payloads that are no message of the schema, and why.
    pub fn report(&self) {
        if let Some(words) = self.refusals() {
            eprintln!("{words}");
        }
    }

    fn refusals(&self) -> Option<String> {
        let count = self.refused.values().sum::<u64>() + self.others;
        let mut reasons: Vec<_> =
            self.refused.iter().map(|(why, count)| (*count, format!("{count} {why}"))).collect();
        reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let mut words: Vec<_> = reasons.into_iter().map(|(_, words)| words).collect();
        words.extend((self.others > 0).then(|| format!("{} of other types", self.others)));
        (count > 0).then(|| {
            let reasons = words.join("; ");
            format!("payloads that are no message of the schema, printed as they are: {count} ({reasons})")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "name = 'x'\n[[message]]\ntype = 'T'\nname = 'trade report'\nfields = [\n\
        { name = 'stock', offset = 1, length = 4, kind = 'ascii' },\n\
        { name = 'big', offset = 5, length = 8, kind = 'uint' },\n\
        { name = 'change', offset = 13, length = 1, kind = 'int' },\n\
        { name = 'price', offset = 14, length = 2, kind = 'price', decimals = 2 },\n\
        { name = 'on', offset = 16, length = 1, kind = 'bool' },\n\
        { name = 'side', offset = 17, length = 1, kind = 'enum', values = { buy = 'B' } },\n\
        { name = 'terms', offset = 18, length = 1, kind = 'set', values = { hidden = 0, ioc = 2 } },\n\
        { name = 'ratio', offset = 19, length = 4, kind = 'float' }]\n";

    fn fields() -> PayloadFields {
        let schema = Some(PayloadSchema::parse(TEXT).expect("a schema"));
        PayloadFields { schema, ..PayloadFields::default() }
    }

    fn trade(stock: &[u8; 4], ratio: f32) -> Vec<u8> {
        let big = u64::MAX.to_be_bytes();
        let rest = [0xff, 0, 7, 1, b'B', 0b1101];
        [b"T", &stock[..], &big, &rest, &ratio.to_be_bytes()].concat()
    }

    fn written(fields: &mut PayloadFields, payload: &[u8]) -> String {
        let mut out = Vec::new();
        fields.write(&mut out, payload).expect("memory takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_payload_is_a_line_of_its_fields_and_one_without_a_value_says_so() {
        let line = "trade report stock=AB big=18446744073709551615 change=-1 price=0.07 on=true side=buy terms=hidden|ioc|3 ratio=1.5";
        assert_eq!(written(&mut fields(), &trade(b"AB  ", 1.5)), line);
        let cut = written(&mut fields(), b"TA B\"\0");
        assert_eq!(cut, "trade report stock=\"A B\\\"\" big=? change=? price=? on=? side=? terms=? ratio=?");
        assert_eq!(written(&mut fields(), b"TA B"), "trade report payload=\"TA B\"");
        let odd = written(&mut fields(), &trade(b"\n=?\\", 1.5));
        assert!(odd.contains(" stock=\"\\n=?\\\\\" "), "{odd}");
        let empty = written(&mut fields(), &trade(b"    ", 1.5));
        assert!(empty.contains(" stock=\"\" "), "{empty}");
    }

    #[test]
    fn a_group_is_a_list_of_entries_in_text_and_in_json() {
        let text = include_str!("../../../crates/lockstep-schema/tests/it/fills.xml");
        let schema = Some(PayloadSchema::parse(text).expect("a schema"));
        let mut fields = PayloadFields { schema, ..PayloadFields::default() };
        let header = [1u16, 302, 7, 2].map(u16::to_le_bytes);
        let leg = [&b"2"[..], &1_500i64.to_le_bytes(), b"\x02\0\0\x01\x07\0\x03A B"].concat();
        let parts = [b"1\x09\0\x02\0", &leg[..], &leg, b"\x04\0\0\0\x02\0\xff[\x01}"].concat();
        let payload = [header.as_flattened(), &parts].concat();
        let leg = "{side=sell px=1.500 md_allocs=[{qty=7 account=\"A B\"}]}";
        assert_eq!(
            written(&mut fields, &payload),
            format!("basket side=buy legs=[{leg} {leg}] hedges=[] raw=\"\\xff[\" remark=\"}}\"")
        );
        let mut line = json!({});
        fields.add_json(&mut line, &payload);
        let leg = json!({ "side": "sell", "px": "1.500", "md_allocs": [{ "qty": 7, "account": "A B" }] });
        assert_eq!(line["fields"]["legs"], json!([leg, leg]));
        assert_eq!((&line["fields"]["raw"], &line["fields"]["hedges"]), (&json!("ff5b"), &json!([])));
        let cut = written(&mut fields, &payload[..20]);
        assert_eq!(cut, "basket side=buy legs=? hedges=? raw=? remark=?");
    }

    #[test]
    fn json_has_the_fields_as_what_they_are_and_those_without_a_value_as_null() {
        let mut line = json!({});
        fields().add_json(&mut line, &trade(b"AB  ", f32::INFINITY));
        let expected = json!({
            "message_type": "trade report",
            "fields": { "stock": "AB", "big": u64::MAX, "change": -1, "price": "0.07", "on": true, "side": "buy",
                "terms": ["hidden", "ioc", "3"], "ratio": "inf" },
        });
        assert_eq!(line, expected);
        let mut line = json!({});
        fields().add_json(&mut line, b"TAB");
        assert_eq!((&line["fields"]["stock"], &line["fields"]["ratio"]), (&Value::Null, &Value::Null));
        assert!(line["fields"].as_object().is_some_and(|fields| fields.len() == 8), "{line}");
    }

    #[test]
    fn what_is_no_message_is_printed_as_it_is_and_counted_by_its_reason() {
        let mut fields = fields();
        assert_eq!(fields.refusals(), None);
        for payload in [&b"X\n"[..], b"X", b"\x01", b""] {
            let mut line = json!({});
            fields.add_json(&mut line, payload);
            assert_eq!(line, json!({}));
        }
        assert_eq!(written(&mut fields, b"X\n"), "X\\n");
        let words = "payloads that are no message of the schema, printed as they are: 5 (3 type 88 'X', which no message has; 1 \
                     shorter than the 1 bytes in which a type ends; 1 type 1, which no message has)";
        assert_eq!(fields.refusals().as_deref(), Some(words));
        for kind in 0..50 {
            written(&mut fields, &[kind]);
        }
        let words = fields.refusals().expect("words");
        assert!(words.contains("as they are: 55 (") && words.ends_with("; 44 of other types)"), "{words}");
        let mut none = PayloadFields::default();
        assert_eq!((written(&mut none, b"a\n"), none.refusals()), ("a\\n".to_owned(), None));
    }
}
