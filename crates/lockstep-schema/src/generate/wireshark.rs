//! A script of Lua for Wireshark: a table of the messages, and the dissector that reads it.

use super::Code;
use crate::text::{FieldKind, FieldOrder, FieldPadding};
use crate::{MessageField, MessageSchema, NumberPlace, PayloadSchema};

const SUPPORT: &str = include_str!("support/wireshark.txt");

/// The script. The dissector of lockstep calls it for each payload, if Wireshark has loaded it.
pub fn wireshark(schema: &PayloadSchema) -> String {
    let mut code = Code::default();
    let name = quoted(&schema.name);
    code.lines(0, format!("-- Written by `lockstep schema wireshark` from the schema {name}: change that."));
    code.lines(0, format!("local NAME = {name}"));
    code.lines(0, "\n-- By column: its name, its kind, and the digits behind its point.\nlocal COLUMNS = {");
    for column in &schema.columns {
        let (name, kind) = (quoted(&column.name), column.kind.word());
        code.lines(1, format!("{{ {name}, \"{kind}\", {} }},", column.decimals));
    }
    code.lines(0, "}");
    code.gap();
    code.lines(0, format!("local TYPE_AT, TYPE_LEN = {}, {}", schema.place.offset, schema.place.len));
    code.lines(0, format!("local HEADER = {}", header(schema)));
    code.lines(0, "\n-- By the bytes of the type: the name, and of each field the column, the place, the length, whether the\n-- least significant byte is first, what fills a text up, the bytes of none, its version, and names.\nlocal MESSAGES = {");
    for message in schema.messages.values() {
        let key = message.number.map(|number| bytes(number, schema.place.len, schema.place.order));
        code.lines(1, format!("[\"{}\"] = {{ {}, {{", key.unwrap_or_default(), quoted(&message.name)));
        rows(&mut code, message);
        code.lines(1, "} },");
    }
    code.lines(0, "}");
    match &schema.default {
        Some(message) => {
            code.lines(0, format!("local DEFAULT = {{ {}, {{", quoted(&message.name)));
            rows(&mut code, message);
            code.lines(0, "} }");
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
    let place = |NumberPlace { offset, len, order }: NumberPlace| {
        format!("{{ {offset}, {len}, {} }}", order == FieldOrder::Little)
    };
    let id = header.schema.map_or_else(
        || "nil".into(),
        |(at, id)| format!("{{ {}, {}, \"{}\" }}", at.offset, at.len, bytes(id, at.len, at.order)),
    );
    let version = header.version.map_or_else(|| "nil".into(), |(at, _)| place(at));
    format!(
        "{{ len = {}, block = {}, schema = {id}, version = {version} }}",
        header.len,
        place(header.block_len)
    )
}

fn rows(code: &mut Code, message: &MessageSchema) {
    for field in &message.fields {
        let MessageField { column, offset, len, order, .. } = field;
        let fill = if field.padding == FieldPadding::Zeros { 0 } else { 32 };
        let null = field.null.filter(|_| field.kind != FieldKind::Ascii);
        let null = null.map_or_else(|| "false".into(), |null| format!("\"{}\"", bytes(null, *len, *order)));
        let names = field.names.iter().map(|(number, name)| format!("[\"{number}\"] = {}", quoted(name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let (is_little, since, column) = (*order == FieldOrder::Little, field.since, column + 1);
        code.lines(
            2,
            format!("{{ {column}, {offset}, {len}, {is_little}, {fill}, {null}, {since}, {{ {names} }} }},"),
        );
    }
}
