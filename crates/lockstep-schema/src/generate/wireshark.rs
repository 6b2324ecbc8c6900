//! A script of Lua for Wireshark: a table of the messages, and the dissector that reads it.

use super::Code;
use crate::text::{FieldKind, FieldOrder, FieldPadding};
use crate::{FieldColumn, MessageField, MessagePart, NumberPlace, PartForm, PayloadSchema};

const SUPPORT: &str = include_str!("support/wireshark.txt");

/// The script. The dissector of lockstep calls it for each payload, if Wireshark has loaded it.
pub fn wireshark(schema: &PayloadSchema) -> String {
    let mut code = Code::default();
    let name = quoted(&schema.name);
    code.lines(0, format!("-- Written by `lockstep schema wireshark` from the schema {name}: change that."));
    code.lines(0, format!("local NAME = {name}"));
    // Columns of groups stand behind those of messages: which one is the first of a group, its rows say.
    let (mut columns, mut messages) = (schema.columns.clone(), Code::default());
    for message in schema.messages.values() {
        let key = message.number.map(|number| bytes(number, schema.place.len, schema.place.order));
        messages.lines(1, format!("[\"{}\"] = {{ {}, {{", key.unwrap_or_default(), quoted(&message.name)));
        rows(&mut messages, 2, &message.fields, 0);
        messages.lines(1, "}, {");
        parts(&mut messages, 2, &message.parts, (&schema.columns, 0), &mut columns);
        messages.lines(1, "} },");
    }
    code.lines(0, "\n-- By column: its name, its kind, and the digits behind its point.\nlocal COLUMNS = {");
    for column in &columns {
        let (name, kind) = (quoted(&column.name), column.kind.word());
        code.lines(1, format!("{{ {name}, \"{kind}\", {} }},", column.decimals));
    }
    code.lines(0, "}");
    code.gap();
    code.lines(0, format!("local TYPE_AT, TYPE_LEN = {}, {}", schema.place.offset, schema.place.len));
    code.lines(0, format!("local HEADER = {}", header(schema)));
    code.lines(0, "\n-- By the bytes of the type: the name, of each field the column, the place, the length, whether the least\n-- significant byte is first, what fills a text up, the bytes of none, its version, and names; and of each group or\n-- data behind them the column, its version, the bytes before it, the places of a block's length (a group's) and of the\n-- count, and a group's fields and parts.\nlocal MESSAGES = {");
    code.text(&messages.0);
    code.lines(0, "}");
    match &schema.default {
        Some(message) => {
            code.lines(0, format!("local DEFAULT = {{ {}, {{", quoted(&message.name)));
            rows(&mut code, 1, &message.fields, 0);
            code.lines(0, "}, {} }");
        }
        None => code.lines(0, "local DEFAULT = nil"),
    }
    code.text(SUPPORT);
    code.0
}

/// Text as Lua writes it.
fn quoted(text: &str) -> String {
    let shown = |byte: u8| match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\{byte:03}"),
    };
    format!("\"{}\"", text.bytes().map(shown).collect::<String>())
}

/// A number as its bytes stand, in hexadecimal digits.
fn bytes(number: u64, len: usize, order: FieldOrder) -> String {
    let mut bytes = number.to_le_bytes()[..len].to_vec();
    if order == FieldOrder::Big {
        bytes.reverse();
    }
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn header(schema: &PayloadSchema) -> String {
    let Some(header) = schema.header else { return "nil".into() };
    let id = header.schema.map_or_else(
        || "nil".into(),
        |(at, id)| format!("{{ {}, {}, \"{}\" }}", at.offset, at.len, bytes(id, at.len, at.order)),
    );
    let version = header.version.map_or_else(|| "nil".into(), |(at, _)| lua(at));
    format!(
        "{{ len = {}, block = {}, schema = {id}, version = {version} }}",
        header.len,
        lua(header.block_len)
    )
}

fn lua(NumberPlace { offset, len, order }: NumberPlace) -> String {
    format!("{{ {offset}, {len}, {} }}", order == FieldOrder::Little)
}

/// The rows of parts, whose columns begin behind `first`; those of groups are added to `columns`.
fn parts(
    code: &mut Code,
    depth: usize,
    parts_of: &[MessagePart],
    (own, first): (&[FieldColumn], usize),
    columns: &mut Vec<FieldColumn>,
) {
    for part in parts_of {
        let (column, since) = (first + part.column + 1, part.since);
        match &part.form {
            PartForm::Data(place) => {
                let (len, length) = (place.header_len, lua(place.length));
                code.lines(depth, format!("{{ {column}, {since}, {len}, false, {length} }},"));
            }
            PartForm::Group(group) => {
                let (from, dimension) = (columns.len(), group.dimension);
                // A filter names the group: `lockstep.field.legs.side`.
                let path = &own[part.column].name;
                let inner = group
                    .columns
                    .iter()
                    .map(|column| FieldColumn { name: format!("{path}.{}", column.name), ..column.clone() });
                let inner: Vec<_> = inner.collect();
                columns.extend(inner.iter().cloned());
                let (block, count) = (lua(dimension.block_len), lua(dimension.count));
                code.lines(depth, format!("{{ {column}, {since}, {}, {block}, {count}, {{", dimension.len));
                rows(code, depth + 1, &group.fields, from);
                code.lines(depth, "}, {");
                parts(code, depth + 1, &group.parts, (&inner, from), columns);
                code.lines(depth, "} },");
            }
        }
    }
}

/// The rows of fields, whose columns begin behind `first`.
fn rows(code: &mut Code, depth: usize, fields: &[MessageField], first: usize) {
    for field in fields {
        let MessageField { column, offset, len, order, .. } = field;
        let fill = if field.padding == FieldPadding::Zeros { 0 } else { 32 };
        let null = field.null.filter(|_| field.kind != FieldKind::Ascii);
        let null = null.map_or_else(|| "false".into(), |null| format!("\"{}\"", bytes(null, *len, *order)));
        let names = field.names.iter().map(|(number, name)| format!("[\"{number}\"] = {}", quoted(name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let (is_little, since, column) = (*order == FieldOrder::Little, field.since, first + column + 1);
        code.lines(
            depth,
            format!("{{ {column}, {offset}, {len}, {is_little}, {fill}, {null}, {since}, {{ {names} }} }},"),
        );
    }
}
