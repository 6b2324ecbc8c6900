//! An entry of the log in each form of output.

use crate::cli::shared::fields::PayloadFields;
use crate::cli::shared::shown::write_escaped;
use lockstep_io::clock::Utc;
use lockstep_notary::to_hex as hex;
use lockstep_operations::journal::{ENTRY_SCHEMA, kind_name};
use lockstep_replica::journal::Checkpoint;
use lockstep_wire::{
    DayMark, EntryHeader, EntryKind, Epoch, EpochStartView, MembershipView, Nanos, OpenView, OrderView,
    PART_MORE, PART_NEXT, Seq, parse_genesis,
};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Bytes of a payload in a line of hexadecimal digits.
const HEX_LINE: usize = 16;

/// The forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum EntryForm {
    /// A line: seq, time, kind, publisher:number, destination and payload, with tabs between
    Text,
    /// A JSON object on a line
    Json,
    /// A line, and the payload in hexadecimal digits below it
    Hex,
}

/// An entry, with what its frame says about it.
pub(super) struct LogEntry<'a> {
    pub seq: Seq,
    /// Its frame's epoch.
    pub epoch: Epoch,
    pub history: u64,
    pub time: Nanos,
    pub header: &'a EntryHeader,
    pub kind: EntryKind,
    pub payload: &'a [u8],
    pub is_committed: bool,
}

impl LogEntry<'_> {
    /// Writes it.
    pub fn write(
        &self,
        out: &mut impl Write,
        form: EntryForm,
        names: &Checkpoint,
        fields: &mut PayloadFields,
    ) -> io::Result<()> {
        match form {
            EntryForm::Json => {
                let mut line = self.json(names);
                if self.is_whole_message() {
                    fields.add_json(&mut line, self.payload);
                }
                writeln!(out, "{line}")
            }
            EntryForm::Text => {
                self.write_head(out)?;
                out.write_all(b"\t")?;
                self.write_content(out, fields)?;
                out.write_all(b"\n")
            }
            EntryForm::Hex => {
                self.write_head(out)?;
                writeln!(out, "\t{} bytes", self.payload.len())?;
                self.write_hex(out)
            }
        }
    }

    fn write_head(&self, out: &mut impl Write) -> io::Result<()> {
        let (publisher, number) = (self.header.publisher, self.header.publisher_seq);
        write!(out, "{}\t{}\t{}\t", self.seq, Utc(self.time), kind_name(self.kind))?;
        match publisher {
            0 => write!(out, "-")?,
            _ => write!(out, "{publisher}:{number}")?,
        }
        write!(out, "\t{}", { self.header.destination })
    }

    /// A message's payload; of another kind, the meaning of it.
    fn write_content(&self, out: &mut impl Write, by_schema: &mut PayloadFields) -> io::Result<()> {
        if self.is_whole_message() {
            return by_schema.write(out, self.payload);
        }
        let fields = self.fields();
        if self.kind == EntryKind::Message || fields.is_empty() {
            return write_escaped(out, self.payload);
        }
        let is_empty = |value: &Value| value.as_str().is_some_and(str::is_empty);
        for (at, (key, value)) in fields.iter().filter(|(_, value)| !is_empty(value)).enumerate() {
            let gap = if at == 0 { "" } else { ", " };
            match value {
                Value::String(text) => write!(out, "{gap}{key} {}", text.escape_debug())?,
                Value::Array(list) => {
                    let words: Vec<_> = list.iter().map(|one| one.as_str().unwrap_or_default()).collect();
                    write!(out, "{gap}{key} {}", words.join(" "))?;
                }
                value => write!(out, "{gap}{key} {value}")?,
            }
        }
        Ok(())
    }

    fn write_hex(&self, out: &mut impl Write) -> io::Result<()> {
        for (line, bytes) in self.payload.chunks(HEX_LINE).enumerate() {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { *byte as char } else { '.' };
            let text: String = bytes.iter().map(shown).collect();
            let width = HEX_LINE * 3 - 1;
            writeln!(out, "  {:08x}  {:<width$}  |{text}|", line * HEX_LINE, digits.join(" "))?;
        }
        Ok(())
    }

    fn json(&self, names: &Checkpoint) -> Value {
        let EntryHeader { publisher, publisher_seq, destination, .. } = *self.header;
        let name = names.publishers.get(&publisher).map(|row| row.name.as_str());
        let mut line = json!({
            "schema": ENTRY_SCHEMA, "seq": self.seq, "timestamp_ns": self.time, "epoch": self.epoch.to_string(),
            "history": format!("{:016x}", self.history), "kind": kind_name(self.kind),
            "publisher": publisher, "publisher_name": name, "publisher_seq": publisher_seq,
            "destination": destination, "committed": self.is_committed,
            "payload_hex": hex(self.payload),
        });
        if let Some(part) = self.part() {
            line["part"] = part.into();
        }
        let fields = self.fields();
        if !fields.is_empty() {
            line["content"] = Value::Object(fields);
        }
        line
    }

    /// Whether the payload is all of a message, and no part of one.
    fn is_whole_message(&self) -> bool {
        self.kind == EntryKind::Message && self.part().is_none()
    }

    /// The place of a part in its message.
    fn part(&self) -> Option<&'static str> {
        match (self.header.flags & PART_NEXT != 0, self.header.flags & PART_MORE != 0) {
            (false, false) => None,
            (false, true) => Some("first"),
            (true, true) => Some("middle"),
            (true, false) => Some("last"),
        }
    }

    /// The meaning of the payload, where it is the protocol's.
    fn fields(&self) -> Map<String, Value> {
        let fields = match self.kind {
            EntryKind::Open => OpenView::parse(self.payload)
                .ok()
                .map(|open| json!({ "name": open.name, "incarnation": open.body.incarnation })),
            EntryKind::Close => Some(json!({ "reason_hex": hex(self.payload) })),
            EntryKind::Day => DayMark::parse(self.payload).ok().map(|mark| match mark.is_start {
                true => json!({ "begins": mark.name }),
                false => json!({ "ends": true }),
            }),
            EntryKind::Genesis => parse_genesis(self.payload).ok().map(|members| {
                let members: Vec<_> = members.map(|member| member.identity().to_string()).collect();
                json!({ "members": members })
            }),
            EntryKind::EpochStart => EpochStartView::parse(self.payload).ok().map(|start| {
                let members: Vec<_> = start.members().map(|member| member.identity().to_string()).collect();
                let mut fields = json!({ "epoch": start.epoch().to_string(), "members": members });
                if let Some(ancestor) = start.founded_on() {
                    fields["founded_on"] = format!("{:016x}", ancestor.history).into();
                }
                fields
            }),
            EntryKind::Membership => MembershipView::parse(self.payload).ok().map(|change| {
                let members: Vec<_> = change.members().map(|member| member.identity().to_string()).collect();
                json!({ "change": format!("{:?}", change.change()).to_lowercase(), "members": members })
            }),
            EntryKind::Order => OrderView::parse(self.payload)
                .ok()
                .map(|order| json!({ "order": order.order().name(), "operator": order.holder })),
            EntryKind::Message | EntryKind::ChangeCommitted => None,
        };
        match fields {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }
}
