//! Schemas: what is refused, what a field has, and the examples beside the codecs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod any;
mod groups;

#[path = "../../../itch50/tests/it/common/samples.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod itch_samples;

#[path = "../../../ouch50/tests/it/common/mod.rs"]
mod ouch_tables;
mod sbe;

use itch_samples::Value;
use lockstep_schema::{FieldKind, FieldValue, PayloadSchema, decimal};
use ouch_tables::Content;
use std::collections::BTreeMap;

const ITCH: &str = include_str!("../../../../contrib/bridge/itch50.toml");
const OUCH_INBOUND: &str = include_str!("../../../../contrib/bridge/ouch50-inbound.toml");
const OUCH_OUTBOUND: &str = include_str!("../../../../contrib/bridge/ouch50-outbound.toml");

/// The value of a payload's first field.
fn first<'a>(schema: &'a PayloadSchema, payload: &'a [u8]) -> Option<FieldValue<'a>> {
    let message = schema.message(payload).expect("the type");
    message.fields().next().expect("a field").2
}

fn one(field: &str) -> String {
    format!("name = 'x'\n[[message]]\ntype = 'A'\nname = 'a'\nfields = [ {{ {field} }} ]\n")
}

#[test]
fn a_schema_that_is_wrong_is_refused_with_the_place_and_the_reason() {
    for (text, reason) in [
        ("name = 'x'\n".to_owned(), "missing field `message`"),
        ("name = 'x'\nmessages = []\n".into(), "unknown field `messages`"),
        (one("name = 'a', offset = 0, length = 9, kind = 'uint'"), "field 'a': length 9: choose from 1 to 8"),
        (one("name = 'a', offset = 0, length = 0, kind = 'ascii'"), "length 0: choose from 1 to 65536"),
        (one("name = 'a', offset = 65536, length = 1, kind = 'ascii'"), "ends beyond 65536 bytes"),
        (one("name = 'a', offset = 0, length = 4, kind = 'price'"), "a price needs decimals, from 0 to 18"),
        (one("name = 'a', offset = 0, length = 4, kind = 'decimal'"), "a decimal needs decimals"),
        (one("name = 'a', offset = 0, length = 4, kind = 'uint', decimals = 1"), "decimals are for prices"),
        (one("name = 'a', offset = 0, length = 4, kind = 'double'"), "unknown variant `double`"),
        (one("name = 'a', offset = 0, length = 3, kind = 'float'"), "length 3: choose 4 or 8"),
        (one("name = 'a', offset = 0, length = 2, kind = 'bool'"), "length 2: choose 1"),
        (one("name = 'a', offset = 0, length = 1, kind = 'enum'"), "an enum needs values"),
        (
            one("name = 'a', offset = 0, length = 1, kind = 'uint', values = { b = 1 }"),
            "values are for enums and sets",
        ),
        (one("name = 'a', offset = 0, length = 1, kind = 'set'"), "a set needs values, the bit of each"),
        (
            one("name = 'a', offset = 0, length = 1, kind = 'set', values = { b = 8 }"),
            "value 'b' is bit 8, and length 1 has 8 bits",
        ),
        (
            one("name = 'a', offset = 0, length = 1, kind = 'set', values = { b = 'B' }"),
            "value 'b' has letters: write the number of its bit",
        ),
        (one("name = 'a', offset = 0, length = 4, kind = 'uint', padding = 'zeros'"), "padding is for ascii"),
        (
            one("name = 'a', offset = 0, length = 1, kind = 'enum', values = { b = 256 }"),
            "value 'b' is 256, more than length 1 has",
        ),
        (
            one("name = 'a', offset = 0, length = 1, kind = 'enum', values = { b = 'BUY' }"),
            "value 'b' has 3 letters, and the length is 1",
        ),
        (
            one("name = 'a', offset = 0, length = 1, kind = 'enum', values = { b = 'B', c = 66 }"),
            "values 'b' and 'c' are the same",
        ),
        (one("name = 'A b', offset = 0, length = 4, kind = 'uint'"), "small letters, digits and '_'"),
        (one("name = 'seq', offset = 0, length = 4, kind = 'uint'"), "every file has a column of this name"),
        (one("name = 'a', offset = 0, length = 4, kind = 'uint'").replace("'A'", "'\u{e4}'"), "not ASCII"),
    ] {
        let error = PayloadSchema::parse(&text).expect_err(&text).to_string();
        assert!(error.contains(reason), "{error}\n{text}");
    }
    let first = one("name = 'a', offset = 0, length = 4, kind = 'uint'");
    let second = |kind: &str, field: &str| {
        format!("{first}[[message]]\ntype = '{kind}'\nname = 'b'\nfields = [ {{ {field} }} ]\n")
    };
    let other = second("B", "name = 'a', offset = 0, length = 4, kind = 'ascii'");
    let error = PayloadSchema::parse(&other).expect_err("two kinds").to_string();
    assert!(
        error.starts_with("line 9: message 'B', field 'a': another message has a field of this name"),
        "{error}"
    );
    let twice = second("A", "name = 'b', offset = 0, length = 4, kind = 'ascii'");
    let error = PayloadSchema::parse(&twice).expect_err("two messages").to_string();
    assert_eq!(error, "line 6: message 'A': the file has two messages of this type");
}

#[test]
fn a_schema_of_very_many_fields_is_read_and_one_without_end_is_refused() {
    // Comparing each with each would be 10^10 steps.
    const COUNT: usize = 100_000;
    let field = |at| format!("{{ name = 'f{at}', offset = 0, length = 1, kind = 'uint' }}");
    let fields: Vec<String> = (0..COUNT).map(field).collect();
    let text =
        format!("name = 'x'\n[[message]]\ntype = 'A'\nname = 'a'\nfields = [ {} ]\n", fields.join(", "));
    assert_eq!(PayloadSchema::parse(&text).expect("a schema").columns.len(), COUNT);
    let endless = PayloadSchema::read(std::path::Path::new("/dev/zero")).expect_err("no schema").to_string();
    assert!(endless.contains("it is no schema"), "{endless}");
}

#[test]
fn a_field_is_read_by_its_kind_and_order_or_is_nothing() {
    let value = |field: &str, payload: &[u8]| {
        let schema = PayloadSchema::parse(&one(field)).expect("a schema");
        first(&schema, payload).map(|value| match value {
            FieldValue::Number(number) => number.to_string(),
            FieldValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
            FieldValue::Bool(value) => value.to_string(),
            FieldValue::Float(value) => value.to_string(),
            FieldValue::Flags(names) => names.to_string(),
            other => format!("{other:?}"),
        })
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(value("name = 'f', offset = 1, length = 2, kind = 'uint'", b"A\x01\x02"), text("258"));
    let little = "name = 'f', offset = 1, length = 2, kind = 'uint', byte_order = 'little'";
    assert_eq!(value(little, b"A\x01\x02"), text("513"));
    assert_eq!(value("name = 'f', offset = 1, length = 3, kind = 'int'", b"A\xff\xff\xfe"), text("-2"));
    assert_eq!(
        value("name = 'f', offset = 1, length = 8, kind = 'uint'", b"A\xff\xff\xff\xff\xff\xff\xff\xff"),
        text("-1"),
        "the bits of 2^64 - 1"
    );
    let price = "name = 'f', offset = 1, length = 8, kind = 'price', decimals = 4";
    assert_eq!(value(price, b"A\0\0\0\0\0\0\0\x07"), text("7"));
    assert_eq!(value(price, b"A\xff\0\0\0\0\0\0\x07"), None, "more digits than the column has");
    assert_eq!(value("name = 'f', offset = 1, length = 4, kind = 'ascii'", b"A B  "), text(" B"));
    assert_eq!(value("name = 'f', offset = 1, length = 4, kind = 'ascii'", b"A\xc3\xa4  "), None);
    assert_eq!(value("name = 'f', offset = 1, length = 4, kind = 'ascii'", b"A B "), None, "too short");
    let schema = PayloadSchema::parse(&one(little)).expect("a schema");
    assert!(schema.message(b"B").is_err() && schema.message(b"").is_err());
}

/// A schema with its type at `place`, and these messages.
fn placed(place: &str, messages: &[&str]) -> String {
    let messages = messages.iter().map(|head| format!("[[message]]\n{head}\n"));
    format!("name = 'x'\nbyte_order = 'little'\n{place}\n{}", messages.collect::<String>())
}

#[test]
fn a_type_is_found_at_its_place_as_a_number_or_letters_and_every_other_payload_is_the_default() {
    let messages = ["type = 258\nname = 'number'", "type = 'AB'\nname = 'letters'", "name = 'other'"];
    let name = |text: &str, payload: &[u8]| {
        let schema = PayloadSchema::parse(text).expect(text);
        schema.message(payload).ok().map(|message| message.schema.name.clone())
    };
    let little = placed("[type]\noffset = 2\nlength = 2", &messages);
    let big = placed("[type]\noffset = 2\nlength = 2\nbyte_order = 'big'", &messages);
    for (text, payload, expected) in [
        (&little, &b"..\x02\x01"[..], "number"),
        (&big, b"..\x01\x02", "number"),
        (&big, b"..\x02\x01", "other"),
        (&little, b"..AB", "letters"),
        (&big, b"..AB", "letters"),
        (&little, b"..BA", "other"),
        (&little, b"..A", "other"),
        (&little, b"", "other"),
    ] {
        assert_eq!(name(text, payload).as_deref(), Some(expected), "{text}{payload:?}");
    }
    let strict = placed("[type]\noffset = 2\nlength = 2", &messages[..2]);
    assert_eq!((name(&strict, b"..BA"), name(&strict, b"..A")), (None, None));
    let first = placed("", &["type = 200\nname = 'byte'"]);
    assert_eq!(
        name(&first, b"\xc8").as_deref(),
        Some("byte"),
        "the first byte, unless the schema says where"
    );
}

#[test]
fn a_type_that_no_payload_can_have_is_refused_with_the_message_and_the_reason() {
    let two = "[type]\nlength = 2";
    for (text, reason) in [
        (placed("[type]\nlength = 9", &["name = 'a'"]), "[type]: length 9: choose from 1 to 8"),
        (placed("[type]\nlength = 0", &["name = 'a'"]), "[type]: length 0: choose from 1 to 8"),
        (placed("[type]\noffset = 65535\nlength = 2", &["name = 'a'"]), "[type]: it ends beyond 65536 bytes"),
        (
            placed(two, &["type = 65536\nname = 'a'"]),
            "message 65536: its type is 65536, more than length 2 has",
        ),
        (
            placed(two, &["type = 'A'\nname = 'a'"]),
            "message 'A': its type has 1 letters, and the length is 2",
        ),
        (placed(two, &["type = -1\nname = 'a'"]), "a number from 0, or letters in quotes"),
        (
            placed(two, &["type = 'AB'\nname = 'a'", "type = 0x4241\nname = 'b'"]),
            "message 16961: the file has two messages of this type",
        ),
        (
            placed(two, &["name = 'a'", "name = 'b'"]),
            "message without a type 'b': the file has two messages without a type",
        ),
    ] {
        let error = PayloadSchema::parse(&text).expect_err(&text).to_string();
        assert!(error.contains(reason), "{error}\n{text}");
    }
}

#[test]
fn bools_enums_and_floats_are_read_in_both_orders_or_are_nothing() {
    let check = |field: &str, payload: &[u8], expected: Option<FieldValue<'_>>| {
        let text = one(field);
        let schema = PayloadSchema::parse(&text).expect(&text);
        assert_eq!(first(&schema, payload), expected, "{field} of {payload:?}");
    };
    let bool = "name = 'f', offset = 1, length = 1, kind = 'bool'";
    check(bool, b"A\0", Some(FieldValue::Bool(false)));
    check(bool, b"A\x01", Some(FieldValue::Bool(true)));
    check(bool, b"A\x02", None);
    check(bool, b"A", None);
    let side = "name = 'f', offset = 1, length = 1, kind = 'enum', values = { buy = 'B', short = 7 }";
    check(side, b"AB", Some(FieldValue::Text(b"buy")));
    check(side, b"A\x07", Some(FieldValue::Text(b"short")));
    check(side, b"AX", None);
    check(side, b"A", None);
    let pair = "name = 'f', offset = 1, length = 2, kind = 'enum', values = { it = 'XY', n = 1 }";
    let little = |field: &str| format!("{field}, byte_order = 'little'");
    check(pair, b"AXY", Some(FieldValue::Text(b"it")));
    check(&little(pair), b"AXY", Some(FieldValue::Text(b"it")));
    check(pair, b"A\0\x01", Some(FieldValue::Text(b"n")));
    check(&little(pair), b"A\x01\0", Some(FieldValue::Text(b"n")));
    for (len, bytes) in [(4, 1.5f32.to_be_bytes().to_vec()), (8, 1.5f64.to_be_bytes().to_vec())] {
        let float = format!("name = 'f', offset = 1, length = {len}, kind = 'float'");
        let turned: Vec<u8> = bytes.iter().rev().copied().collect();
        check(&float, &[b"A", &bytes[..]].concat(), Some(FieldValue::Float(1.5)));
        check(&little(&float), &[b"A", &turned[..]].concat(), Some(FieldValue::Float(1.5)));
        check(&float, &[b"A", &bytes[..len - 1]].concat(), None);
    }
}

#[test]
fn every_schema_of_the_page_is_one() {
    let page = include_str!("../../../../docs/SCHEMAS.md");
    let blocks: Vec<_> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 2);
    for text in blocks {
        PayloadSchema::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    let kinds = FieldKind::ALL.map(|kind| format!("`{}`", kind.word()));
    let table = page.lines().filter(|line| line.starts_with("| `")).collect::<String>();
    assert!(kinds.iter().all(|kind| table.contains(kind)), "{kinds:?}");
}

#[test]
fn sets_and_decimals_are_read_in_both_orders_and_a_zero_ends_a_text() {
    let read = |field: &str, payload: &[u8]| {
        let schema = PayloadSchema::parse(&one(field)).expect(field);
        let value = first(&schema, payload);
        value.map(|value| match value {
            FieldValue::Flags(names) => names.to_string(),
            FieldValue::Number(number) => decimal(number, schema.columns[0].decimals),
            FieldValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        })
    };
    let text = |text: &str| Some(text.to_owned());
    let set = "name = 'f', offset = 1, length = 2, kind = 'set', values = { low = 0, high = 15 }";
    assert_eq!(read(set, b"A\x80\x03"), text("low|1|high"));
    assert_eq!(read(&format!("{set}, byte_order = 'little'"), b"A\x01\x80"), text("low|high"));
    assert_eq!((read(set, b"A\0\0"), read(set, b"A\0")), (text(""), None));
    let signed = "name = 'f', offset = 1, length = 8, kind = 'decimal', decimals = 3";
    assert_eq!(read(signed, &[b"A", &(-7i64).to_be_bytes()[..]].concat()), text("-0.007"));
    let limit = 10i64.pow(18);
    assert_eq!(read(signed, &[b"A", &(-limit).to_be_bytes()[..]].concat()), None);
    assert_eq!(read(signed, &[b"A", &(limit - 1).to_be_bytes()[..]].concat()), text("999999999999999.999"));
    let zeros = "name = 'f', offset = 1, length = 4, kind = 'ascii', padding = 'zeros'";
    assert_eq!(read(zeros, b"AB \0x"), text("B "));
    assert_eq!(read(zeros, b"AB\xff\0x"), None);
    assert_eq!(
        [(5, 4), (5, 0), (12_345, 2), (i64::MIN, 18)]
            .map(|(number, decimals)| lockstep_schema::decimal(number, decimals)),
        ["0.0005", "5", "123.45", "-9.223372036854775808"]
    );
}

#[test]
fn fields_that_share_bytes_are_named_by_twos() {
    let text = "name = 'x'\n[[message]]\nname = 'a'\nfields = [\
        { name = 'late', offset = 8, length = 2, kind = 'uint' }, \
        { name = 'whole', offset = 0, length = 9, kind = 'ascii' }, \
        { name = 'part', offset = 2, length = 2, kind = 'uint' }, \
        { name = 'free', offset = 10, length = 2, kind = 'uint' }]\n";
    let schema = PayloadSchema::parse(text).expect("a schema");
    let message = schema.messages().next().expect("a message");
    assert_eq!(schema.overlaps(message), [("whole", "part"), ("whole", "late")]);
}

#[test]
fn the_schema_of_itch_reads_of_each_message_what_the_codec_wrote() {
    let schema = PayloadSchema::parse(ITCH).expect("the example");
    for (message, fields) in itch_samples::all() {
        let mut payload = Vec::new();
        message.append(&mut payload);
        let read = schema.message(&payload).unwrap_or_else(|why| panic!("{message:?}: {why}"));
        let types = read.schema;
        let head = itch_samples::head_fields();
        let mut expected: BTreeMap<&str, Value> = head.into_iter().chain(fields).collect();
        let time = expected.remove("timestamp").expect("a time");
        expected.insert("time_ns", time);
        assert_eq!(types.fields.len(), expected.len(), "{}", types.name);
        for (_, column, value) in read.fields() {
            let value = value.unwrap_or_else(|| panic!("{}.{}", types.name, column.name));
            let is_same = match (value, expected[column.name.as_str()]) {
                (FieldValue::Number(number), Value::Number(wanted)) => number as u64 == wanted,
                (FieldValue::Text(text), Value::Text(wanted)) => text == wanted.trim_end().as_bytes(),
                _ => false,
            };
            assert!(is_same, "{}.{}: {value:?}", types.name, column.name);
        }
    }
}

#[test]
fn the_schemas_of_ouch_have_the_fields_of_each_message_of_the_specification() {
    let schemas = [OUCH_OUTBOUND, OUCH_INBOUND].map(|text| PayloadSchema::parse(text).expect("an example"));
    for row in ouch_tables::ROWS {
        let schema = &schemas[usize::from(row.is_inbound)];
        let name = char::from(row.kind);
        let payload = [row.kind];
        let message = schema.message(&payload).unwrap_or_else(|why| panic!("no {name}: {why}"));
        let fields: Vec<_> = message
            .schema
            .fields
            .iter()
            .map(|field| (field.offset, field.len, schema.columns[field.column].kind))
            .collect();
        let kind_of = |content: Content, found: FieldKind| match content {
            Content::Text | Content::Codes(_) => FieldKind::Ascii,
            // Which of its numbers are prices, the tables do not have.
            Content::Number if found == FieldKind::Price => FieldKind::Price,
            Content::Number | Content::Reason => FieldKind::Uint,
        };
        let expected = row.fields.iter().zip(&fields);
        let expected: Vec<_> = expected
            .map(|((at, len, content), (.., found))| (*at, *len, kind_of(*content, *found)))
            .collect();
        assert_eq!((row.fields.len(), &fields), (fields.len(), &expected), "{name}");
    }
}
