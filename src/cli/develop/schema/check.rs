//! `lockstep schema check`: the messages of a schema, and their fields.

use crate::cli::shared::shown::shown;
use lockstep_daemon::Failure;
use lockstep_schema::{
    FieldColumn, FieldKind, FieldOrder, FieldPadding, MessageField, MessagePart, MessageSchema, NumberPlace,
    PartForm, PayloadSchema, shown_type,
};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.schema/1";

/// Prints them, and on stderr what is allowed and seldom meant.
pub fn run(schema: &PayloadSchema, json: bool) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        writeln!(out, "{}", json_of(schema))?;
    } else {
        write(schema, &mut out)?;
    }
    out.flush()?;
    for message in schema.messages() {
        for (one, other) in schema.overlaps(message) {
            eprintln!("{}: {one} and {other} share bytes", shown(&message.name));
        }
    }
    Ok(0)
}

fn order_word(order: FieldOrder) -> &'static str {
    match order {
        FieldOrder::Big => "big",
        FieldOrder::Little => "little",
    }
}

fn type_words(schema: &PayloadSchema, message: &MessageSchema) -> String {
    match message.number {
        Some(number) => format!("type {}", shown_type(number, schema.type_place().len)),
        None => "every other payload".to_owned(),
    }
}

/// The kind of a field, with what belongs to it.
fn kind_words(column: &FieldColumn, field: &MessageField) -> String {
    let mut words = field.kind.word().to_owned();
    if field.kind.has_decimals() {
        words += &format!(", {} decimals", column.decimals);
    }
    if field.kind != FieldKind::Ascii && field.len > 1 {
        words += &format!(", {}-endian", order_word(field.order));
    }
    if field.padding == FieldPadding::Zeros && field.kind == FieldKind::Ascii {
        words += ", padded with zeros";
    }
    if field.null.is_some() {
        words += ", optional";
    }
    if field.since > 0 {
        words += &format!(", since version {}", field.since);
    }
    let names = field.names.iter().map(|(number, name)| match field.kind {
        FieldKind::Enum => format!("{name} = {}", shown_type(*number, field.len)),
        _ => format!("{name} = bit {number}"),
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() { words } else { format!("{words}: {}", names.join(", ")) }
}

fn write(schema: &PayloadSchema, out: &mut impl Write) -> io::Result<()> {
    let NumberPlace { offset, len, order } = schema.type_place();
    let count = schema.messages().count();
    writeln!(
        out,
        "{}: messages {count}, type at byte {offset}, length {len}, {}-endian",
        shown(&schema.name),
        order_word(order)
    )?;
    for message in schema.messages() {
        let (name, words) = (shown(&message.name), type_words(schema, message));
        writeln!(out, "\n{name}: {words}, {} bytes, line {}", message.len, message.line)?;
        let name_of = |field: &MessageField| &*schema.columns[field.column].name;
        let left_out = message.left_out.iter().map(|(name, _)| name.len());
        let widths = message.fields.iter().map(|field| name_of(field).len()).chain(left_out);
        let width = widths.max().unwrap_or(0);
        for field in &message.fields {
            let (name, kind) = (name_of(field), kind_words(&schema.columns[field.column], field));
            writeln!(out, "  {name:<width$}  {:>5} {:>5}  {kind}", field.offset, field.len)?;
        }
        for (name, why) in &message.left_out {
            writeln!(out, "  {:<width$}  not shown: {why}", shown(name))?;
        }
        write_parts(out, "  ", &schema.columns, &message.parts)?;
    }
    Ok(())
}

/// The words of a part, with what belongs to it.
fn part_words(column: &FieldColumn, part: &MessagePart) -> String {
    let mut words = match &part.form {
        PartForm::Group(group) => format!("group, entries of {} bytes", group.block_len),
        PartForm::Data(_) => format!("{}, behind its length", column.kind.word()),
    };
    if part.since > 0 {
        words += &format!(", since version {}", part.since);
    }
    words
}

/// The parts behind a block; a field of a group has its place in the entry.
fn write_parts(
    out: &mut impl Write,
    indent: &str,
    columns: &[FieldColumn],
    parts: &[MessagePart],
) -> io::Result<()> {
    for part in parts {
        let column = &columns[part.column];
        writeln!(out, "{indent}{}  {}", column.name, part_words(column, part))?;
        let PartForm::Group(group) = &part.form else { continue };
        let deeper = format!("{indent}  ");
        for field in &group.fields {
            let column = &group.columns[field.column];
            let (name, kind) = (&column.name, kind_words(column, field));
            writeln!(out, "{deeper}{name}  {:>5} {:>5}  {kind}", field.offset, field.len)?;
        }
        for (name, why) in &group.left_out {
            writeln!(out, "{deeper}{}  not shown: {why}", shown(name))?;
        }
        write_parts(out, &deeper, &group.columns, &group.parts)?;
    }
    Ok(())
}

fn fields_json(columns: &[FieldColumn], fields: &[MessageField]) -> Vec<Value> {
    let json = |field: &MessageField| {
        let column = &columns[field.column];
        let mut row = json!({
            "name": column.name, "offset": field.offset, "length": field.len, "kind": field.kind.word(),
        });
        if field.kind.has_decimals() {
            row["decimals"] = column.decimals.into();
        }
        if field.kind != FieldKind::Ascii {
            row["byte_order"] = order_word(field.order).into();
        }
        if !field.names.is_empty() {
            let values = field.names.iter().map(|(number, name)| (name.clone(), (*number).into()));
            row["values"] = Value::Object(values.collect());
        }
        row
    };
    fields.iter().map(json).collect()
}

fn left_out_json(left_out: &[(String, String)]) -> Vec<Value> {
    left_out.iter().map(|(name, why)| json!({ "name": name, "why": why })).collect()
}

fn parts_json(columns: &[FieldColumn], parts: &[MessagePart]) -> Vec<Value> {
    let json = |part: &MessagePart| {
        let column = &columns[part.column];
        let mut row = json!({ "name": column.name, "kind": column.kind.word(), "since_version": part.since });
        if let PartForm::Group(group) = &part.form {
            row["length"] = group.block_len.into();
            row["fields"] = fields_json(&group.columns, &group.fields).into();
            row["parts"] = parts_json(&group.columns, &group.parts).into();
            row["not_shown"] = left_out_json(&group.left_out).into();
        }
        row
    };
    parts.iter().map(json).collect()
}

fn json_of(schema: &PayloadSchema) -> Value {
    let message = |message: &MessageSchema| {
        json!({
            "name": message.name, "type": message.number, "length": message.len, "line": message.line,
            "fields": fields_json(&schema.columns, &message.fields),
            "parts": parts_json(&schema.columns, &message.parts),
            "not_shown": left_out_json(&message.left_out),
        })
    };
    let NumberPlace { offset, len, order } = schema.type_place();
    json!({
        "schema": SCHEMA, "name": schema.name,
        "type_offset": offset, "type_length": len, "type_byte_order": order_word(order),
        "messages": schema.messages().map(message).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = 'x'\n[[message]]\ntype = 'T'\nname = 'trade'\nfields = [\n\
        { name = 'stock', offset = 1, length = 8, kind = 'ascii' },\n\
        { name = 'price', offset = 9, length = 4, kind = 'price', decimals = 2, byte_order = 'little' },\n\
        { name = 'side', offset = 13, length = 1, kind = 'enum', values = { buy = 'B', none = 0 } }]\n\
        [[message]]\nname = 'other'\n";

    fn schema() -> PayloadSchema {
        PayloadSchema::parse(TEXT).expect("a schema")
    }

    #[test]
    fn each_message_is_printed_with_its_type_and_the_place_and_kind_of_each_field() {
        let mut out = Vec::new();
        write(&schema(), &mut out).expect("memory takes all");
        let expected = "\
x: messages 2, type at byte 0, length 1, big-endian

trade: type 84 'T', 14 bytes, line 2
  stock      1     8  ascii
  price      9     4  price, 2 decimals, little-endian
  side      13     1  enum: none = 0, buy = 66 'B'

other: every other payload, 0 bytes, line 9
";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn json_has_the_same() {
        let json = json_of(&schema());
        assert_eq!((&json["schema"], &json["type_length"]), (&SCHEMA.into(), &1.into()));
        let trade = &json["messages"][0];
        assert_eq!((&trade["type"], &trade["length"]), (&84.into(), &14.into()));
        let price = json!({ "name": "price", "offset": 9, "length": 4, "kind": "price", "decimals": 2,
            "byte_order": "little" });
        assert_eq!(trade["fields"][1], price);
        assert_eq!(trade["fields"][2]["values"], json!({ "none": 0, "buy": 66 }));
        assert_eq!(json["messages"][1]["type"], Value::Null);
    }
}
