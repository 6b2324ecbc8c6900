//! What the script of `lockstep schema wireshark` shows of a payload is what the schema says of it.

use super::capture::{CONFIGURED_PORT, Packet, Tshark, udp};
use super::samples;
use crate::schema::{EACH, FILLS, again};
use lockstep_schema::{FieldColumn, FieldKind, FieldValue, PayloadMessage, PayloadSchema, decimal, hex};
use lockstep_testkit::processes::{command, run};
use lockstep_wire::{EntryHeader, EntryKind, Kind, PART_MORE};
use std::path::Path;
use tempfile::TempDir;

/// A packet with one message.
fn packet(payload: &[u8], flags: u8) -> Packet {
    let entry = EntryHeader { flags, ..samples::entry(EntryKind::Message) };
    udp(CONFIGURED_PORT, &samples::frame(samples::header(Kind::Frame), &[(entry, payload)], 0))
}

/// The script of a schema, in a file.
fn script(folder: &TempDir, schema: &str) -> String {
    let mut write = command(&["schema", "wireshark", schema]);
    write.current_dir(env!("CARGO_MANIFEST_DIR"));
    let file = folder.path().join("payloads.lua");
    std::fs::write(&file, run(write, b"").with_code(0).out).expect("a file");
    format!("lua_script:{}", file.display())
}

fn shown(column: &FieldColumn, value: FieldValue<'_>) -> String {
    match value {
        FieldValue::Number(number) if column.kind == FieldKind::Uint => (number as u64).to_string(),
        FieldValue::Number(number) => decimal(number, column.decimals),
        FieldValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
        FieldValue::Bool(value) => if value { "True" } else { "False" }.to_owned(),
        // tshark prints 15 digits.
        FieldValue::Float(value) => format!("{value:.14e}").parse::<f64>().expect("a number").to_string(),
        FieldValue::Flags(names) => names.to_string(),
        FieldValue::Bytes(bytes) => hex(bytes),
        FieldValue::Group(group) => group.count().to_string(),
    }
}

/// The lines of a block's fields, with those of the entries behind each group.
fn lines<'a>(
    prefix: &str,
    fields: impl Iterator<Item = (usize, &'a FieldColumn, Option<FieldValue<'a>>)>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (_, column, value) in fields {
        let Some(value) = value else { continue };
        let is_part = matches!(column.kind, FieldKind::Utf8 | FieldKind::Bytes);
        if is_part && matches!(value, FieldValue::Text(b"") | FieldValue::Bytes(b"")) {
            continue; // data without a byte has no place to show
        }
        let name = format!("{prefix}{}", column.name);
        lines.push(format!("{name}: {}", shown(column, value)).trim_end().to_owned());
        let FieldValue::Group(group) = value else { continue };
        for entry in group.entries() {
            lines.extend(self::lines(&format!("{name}."), entry.fields()));
        }
    }
    lines
}

/// The lines of a payload's fields, as the schema has them; none if it is no message.
fn read(schema: &PayloadSchema, payload: &[u8]) -> Vec<String> {
    let Ok(message) = schema.message(payload) else { return Vec::new() };
    [format!("Message: {}", message.schema.name)].into_iter().chain(lines("", message.fields())).collect()
}

/// Whether a group or data has no value.
fn has_broken_part(message: PayloadMessage<'_>) -> bool {
    let fixed = message.schema.fields.len();
    message.fields().skip(fixed).any(|(.., value)| value.is_none())
}

/// The lines that tshark prints of it.
fn printed(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("Message: "));
    let is_entry = |line: &str| line.rsplit(' ').next().is_some_and(|last| last.parse::<u32>().is_ok());
    let lines = lines.take_while(|line| line.contains(": ") || is_entry(line));
    let lines = lines.filter(|line| line.contains(": "));
    lines.filter(|line| !line.starts_with("[message_type")).map(str::to_owned).collect()
}

#[test]
fn fields_of_payloads_are_those_of_the_schema_whichever_script_is_loaded_first() {
    let Some(tshark) = Tshark::find() else { return };
    for (word, path) in [("each", EACH), ("fills", FILLS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let script = script(&folder, path);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let (schema, _) = PayloadSchema::read(&path).expect("a schema");
        let payloads = again().into_iter().filter(|(of, ..)| *of == word).map(|(_, payload, _)| payload);
        let cut =
            (1..24).step_by(3).map(|len| again()[if word == "each" { 0 } else { 11 }].1[..len].to_vec());
        for payload in payloads.chain(cut) {
            let options = format!("lockstep.udp_ports:{CONFIGURED_PORT}");
            let text = tshark.says(&[packet(&payload, 0)], &["-X", &script, "-o", &options, "-V"]);
            let (mut printed, read) = (printed(&text), read(&schema, &payload));
            // Of a group that does not end in the payload Wireshark shows the entries up to that one.
            if schema.message(&payload).is_ok_and(has_broken_part) {
                printed.truncate(read.len());
            }
            assert_eq!(printed, read, "{payload:02x?}\n{text}");
        }
    }
}

#[test]
fn a_filter_finds_a_message_by_its_fields_and_a_part_of_a_message_is_none() {
    let Some(tshark) = Tshark::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(&folder, EACH);
    let each = again().swap_remove(0).1;
    let packets = [packet(b"z ", 0), packet(&each, 0), packet(&each, PART_MORE)];
    let found = |filter: &str| tshark.found(&packets, filter, &["-X", &script]);
    assert_eq!(found("lockstep.message_type == \"each\""), [1]);
    assert_eq!(found("lockstep.field.side == \"sell\" && lockstep.field.u6 > 1000000000000"), [1]);
    assert_eq!(found("lockstep.field.last_price == 123.45 && lockstep.field.i8 < 0"), [1]);
    assert_eq!(found("lockstep.field.terms contains \"post_only\""), [1]);
    assert_eq!(found("lockstep.field.stock == \"z\""), [0]);
    assert_eq!(tshark.found(&packets, "lockstep.invalid", &["-X", &script]), super::NONE);
}
