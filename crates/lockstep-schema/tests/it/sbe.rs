//! Schemas of Simple Binary Encoding.

use lockstep_schema::{FieldKind, FieldValue, NoMessage, PayloadSchema, decimal, hex};

pub(crate) const FILLS: &str = include_str!("fills.xml");

pub(crate) fn fills() -> PayloadSchema {
    PayloadSchema::parse(FILLS).expect("a schema")
}

/// A fill as another program wrote it: block length, template, schema, version, and the block.
fn fill(block_len: u16, version: u16) -> Vec<u8> {
    let header = [block_len, 300, 7, version].map(u16::to_le_bytes);
    let mut bytes = header.as_flattened().to_vec();
    bytes.extend(b"ORD1\0\0\0\0");
    bytes.extend((-99_610i64).to_le_bytes());
    bytes.extend(i64::MAX.to_le_bytes());
    bytes.extend([b'2', 0xee, 5, 0, 1]);
    bytes.extend((1u16 | 1 << 9 | 1 << 3).to_le_bytes());
    bytes.extend([9]);
    bytes.extend([1u16, 2, 3].map(u16::to_le_bytes).as_flattened());
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.extend(0.5f32.to_le_bytes());
    bytes.extend((-0.25f64).to_le_bytes());
    bytes.extend((-7i32).to_le_bytes());
    bytes.extend([0xfe]);
    bytes.resize(8 + 66, 0);
    bytes.extend((-2i16).to_le_bytes());
    bytes.extend([0, 0]);
    // One leg, and a note.
    bytes.extend([1, 0, 1, 0, 7, 2, 0]);
    bytes.extend(b"ok");
    bytes
}

fn shown(value: FieldValue<'_>, decimals: u8) -> String {
    match value {
        FieldValue::Number(number) => decimal(number, decimals),
        FieldValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
        FieldValue::Bool(value) => value.to_string(),
        FieldValue::Float(value) => value.to_string(),
        FieldValue::Flags(names) => names.to_string(),
        FieldValue::Bytes(bytes) => hex(bytes),
        FieldValue::Group(group) => group.json().to_string().replace('"', ""),
    }
}

/// The fields of a payload that have a value, as `name=value`.
pub(crate) fn read(schema: &PayloadSchema, payload: &[u8]) -> String {
    let message = schema.message(payload).expect("a message");
    let fields = message.fields().filter_map(|(_, column, value)| {
        value.map(|value| format!(" {}={}", column.name, shown(value, column.decimals)))
    });
    message.schema.name.clone() + &fields.collect::<String>()
}

#[test]
fn each_kind_of_type_is_read_where_the_standard_places_it_and_the_rest_is_named() {
    let schema = fills();
    assert_eq!(
        read(&schema, &fill(70, 2)),
        "new_fill cl_ord_id=ORD1 price=-99.610 party_side=sell party_desk=5 party_role=maker \
         terms=hidden|3|post_only halt_reason=efp_only share=0.5 rate=-0.25 spread_mantissa=-7 \
         spread_exponent=-2 late=-2 legs=[{leg:7}] note=6f6b"
    );
    let message = schema.messages().next().expect("a message");
    let left_out: Vec<_> = message.left_out.iter().map(|(name, _)| &**name).collect();
    assert_eq!(left_out, ["venue", "counts"]);
    assert_eq!((message.fixed_len, message.len), (78, 78 + 4 + 2));
    let columns: Vec<_> = schema.columns.iter().map(|column| (&*column.name, column.kind)).collect();
    assert!(columns.contains(&("price", FieldKind::Decimal)), "{columns:?}");
    // The name is a column of the stream's, or of another kind of field: the message is named too.
    assert!(columns.contains(&("new_fill_timestamp", FieldKind::Uint)), "{columns:?}");
    assert!(columns.contains(&("halted_price", FieldKind::Int)), "{columns:?}");
    let halted = [[5u16, 301, 7, 2].map(u16::to_le_bytes).as_flattened(), &[9, 0, 0, 0, 2]].concat();
    assert_eq!(read(&schema, &halted), "halted halted_price=9 halt_reason=market_event");
}

#[test]
fn what_an_older_program_wrote_has_no_later_field_and_what_a_newer_one_wrote_is_read_to_its_own_end() {
    let schema = fills();
    let older = fill(63, 1);
    let text = read(&schema, &older[..8 + 63]);
    assert!(text.ends_with("spread_exponent=-2") && !text.contains("late"), "{text}");
    // Bytes behind its block are those of its groups, not of a field that it does not know.
    assert!(read(&schema, &older).starts_with(&text) && !read(&schema, &older).contains("late"));
    let version_alone = fill(70, 1);
    assert_eq!(read(&schema, &version_alone), text.clone() + " legs=[{leg:7}] note=6f6b");
    let newer = fill(200, 9);
    assert!(read(&schema, &newer).ends_with("late=-2"));
    assert!(read(&schema, &newer[..20]).ends_with("cl_ord_id=ORD1"), "cut");
}

#[test]
fn a_payload_of_another_template_or_schema_or_without_a_header_is_none_and_says_why() {
    let schema = fills();
    let mut other = fill(70, 2);
    other[4] = 8;
    assert_eq!(schema.message(&other).err(), Some(NoMessage::Schema(8, 7)));
    other[2] = 0;
    assert_eq!(schema.message(&other).err(), Some(NoMessage::Type(256, 2)));
    assert_eq!(schema.message(&other[..3]).err(), Some(NoMessage::Short(4)));
    let cut = fill(70, 2);
    assert_eq!(schema.message(&cut[..5]).err(), Some(NoMessage::Short(8)));
    let words = [NoMessage::Schema(8, 7), NoMessage::Type(0x4142, 2), NoMessage::Short(4)];
    assert_eq!(
        words.map(|why| why.to_string()),
        [
            "of schema 8, and the file is schema 7",
            "type 16706 'AB', which no message has",
            "shorter than the 4 bytes in which a type ends",
        ]
    );
}

#[test]
fn what_is_wrong_in_an_xml_is_refused_with_its_line_and_the_remedy() {
    let change = |from: &str, to: &str| {
        assert!(FILLS.contains(from), "{from}");
        FILLS.replacen(from, to, 1)
    };
    for (text, reason) in [
        ("<a/>".to_owned(), "line 1: a schema of Simple Binary Encoding begins with <messageSchema>"),
        (change("</types>", ""), "XML: "),
        (change("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>"), "XML: "),
        (change("littleEndian", "middle"), "line 3: byteOrder 'middle': write littleEndian or bigEndian"),
        (
            change("\"Id\" primitiveType=\"char\"", "\"Id\" primitiveType=\"uint7\""),
            "'ClOrdID': primitiveType 'uint7'",
        ),
        (
            change("type=\"Terms\"", "type=\"Term\""),
            "line 69: message 'NewFill', field 'terms': type 'Term' is not in",
        ),
        (
            change("blockLength=\"70\"", "blockLength=\"66\""),
            "its fields take 68 bytes, and blockLength is 66",
        ),
        (
            change("id=\"301\"", "id=\"300\""),
            "line 80: message 'Halted': the file has two messages of this type",
        ),
        (change("id=\"301\"", "id=\"70000\""), "its id is 70000, more than the 2 bytes of templateId have"),
        (change("id=\"301\"", "id=\"x\""), "id 'x': write a number that fits"),
        (
            change("name=\"templateId\"", "name=\"kind\""),
            "'messageHeader' has no templateId that is an integer: add it",
        ),
        (
            change(
                "name=\"blockLength\" primitiveType=\"uint16\"",
                "name=\"blockLength\" primitiveType=\"char\" length=\"20\"",
            ),
            "'messageHeader' has no blockLength that is an integer: add it",
        ),
        (
            change(
                "name=\"version\" primitiveType=\"uint16\"",
                "name=\"version\" primitiveType=\"uint16\" offset=\"65535\"",
            ),
            "'messageHeader': it ends beyond 65536 bytes",
        ),
        (
            change("<choice name=\"PostOnly\">9", "<choice name=\"PostOnly\">16"),
            "set 'PostOnly': '16' is no bit",
        ),
        (change(">9</validValue>", ">900</validValue>"), "enum 'EFPOnly': '900' is no value of this type"),
        (change("name=\"Byte\"", "name=\"Id\""), "line 30: two types have the name 'Id': rename one"),
        (change("type=\"Side\"", "type=\"Party\""), "too many types in one another"),
        (change("length=\"8\"", "length=\"99999999999\""), "the longest message has 65536 bytes"),
        (change("offset=\"66\"", "offset=\"65530\""), "field 'late': it ends beyond 65536 bytes"),
        (change("<types>", "<xi:include href='a' xmlns:xi='x'/><types>"), "xi:include is not read"),
    ] {
        let error = PayloadSchema::parse(&text).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}\nwanted: {reason}");
    }
}

#[test]
fn types_that_multiply_end_as_an_error_and_names_that_meet_become_two() {
    let mut types = String::from(
        "<composite name='c0'><type name='x' primitiveType='char' presence='constant'>a</type></composite>",
    );
    for depth in 1..8 {
        let refs: String = (0..20).map(|at| format!("<ref name='r{at}' type='c{}'/>", depth - 1)).collect();
        types += &format!("<composite name='c{depth}'>{refs}</composite>");
    }
    let with = |more: &str, fields: &str| {
        let text = FILLS.replacen("<types>", &format!("<types>{more}"), 1);
        text.replacen("<field name=\"price\" id=\"1\" type=\"int32\"/>", fields, 1)
    };
    let error = PayloadSchema::parse(&with(&types, "<field name='bomb' id='9' type='c7'/>"));
    assert!(error.expect_err("a bomb").to_string().contains("too many types in one another"));
    let deep = "<a>".repeat(200_000);
    assert!(PayloadSchema::parse(&deep).is_err());
    let pair = "<enum name='Twin' encodingType='char'><validValue name='A'>A</validValue>\
                 <validValue name='a'>a</validValue></enum>";
    let fields = "<field name='It' id='1' type='Twin'/><field name='it' id='2' type='Twin'/>";
    let schema = PayloadSchema::parse(&with(pair, fields)).expect("a schema");
    let header = [3u16, 301, 7, 2].map(u16::to_le_bytes);
    let payload = [header.as_flattened(), b"Aa\x02"].concat();
    assert_eq!(read(&schema, &payload), "halted it=a it_2=a_97 halt_reason=market_event");
}
