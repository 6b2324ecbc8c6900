//! Whatever a file or a payload is: a schema or an error, a message or a reason.

use lockstep_schema::{FieldValue, PayloadSchema, SourceLanguage, generate, wireshark};
use proptest::prelude::*;

const FILLS: &str = include_str!("fills.xml");
const EACH: &str = include_str!("../../../../tests/foreign/schema/each.toml");

/// A text with some of its parts replaced, repeated or left out.
fn changed(text: &'static str) -> impl Strategy<Value = String> {
    let chars: Vec<char> = text.chars().collect();
    let change = (0..chars.len(), 0..12usize, "[0-9a-zA-Z<>'\"=/_ .-]{0,6}");
    prop::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut chars = chars.clone();
        for (at, len, new) in changes {
            let at = at.min(chars.len());
            chars.splice(at..(at + len).min(chars.len()), new.chars());
        }
        chars.into_iter().collect()
    })
}

fn look(text: &str, payloads: &[Vec<u8>]) {
    let Ok(schema) = PayloadSchema::parse(text) else { return };
    for payload in payloads {
        match schema.message(payload) {
            Ok(message) => message.fields().for_each(|(_, _, value)| {
                let _ = format!("{value:?}");
                if let Some(FieldValue::Group(group)) = value {
                    assert!(group.count() <= payload.len() && group.entries().count() == group.count());
                    drop(group.json());
                }
            }),
            Err(why) => drop(why.to_string()),
        }
    }
    schema.messages().for_each(|message| drop(schema.overlaps(message)));
    for language in [SourceLanguage::Rust, SourceLanguage::C, SourceLanguage::Cpp, SourceLanguage::Python] {
        let _ = generate(&schema, language, None);
    }
    for language in [SourceLanguage::Java, SourceLanguage::Go, SourceLanguage::Node] {
        let _ = generate(&schema, language, Some("it"));
    }
    let _ = wireshark(&schema);
}

/// Payloads that begin as those of the two schemas, and any.
fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let begun = |begin: &'static [u8]| {
        prop::collection::vec(any::<u8>(), 0..90).prop_map(move |rest| [begin, &rest].concat())
    };
    let any_begin = prop_oneof![
        begun(b""),
        begun(b"\x01\0\x2e\x01\x07\0\x02\0\x31\x09\0\x01\0"),
        begun(b"\x46\0\x2c\x01\x07\0\x02\0"),
        begun(b"..\x01\x02")
    ];
    prop::collection::vec(any_begin, 0..4)
}

proptest! {
    #[test]
    fn any_xml_is_a_schema_or_an_error_and_any_payload_a_message_or_a_reason(
        text in changed(FILLS), payloads in payloads(),
    ) {
        look(&text, &payloads);
    }

    #[test]
    fn any_toml_is_a_schema_or_an_error_and_any_payload_a_message_or_a_reason(
        text in changed(EACH), payloads in payloads(),
    ) {
        look(&text, &payloads);
    }
}

#[test]
fn a_name_that_would_end_a_comment_is_text_in_each_source() {
    let text = "name = \"a */ \\n \\u2028 \\\"\\\"\\\" \\\\u000a b\"\n[[message]]\nname = \"c */ \\n d\"\n";
    let schema = PayloadSchema::parse(text).expect("a schema");
    let all = [
        SourceLanguage::Rust,
        SourceLanguage::C,
        SourceLanguage::Cpp,
        SourceLanguage::Python,
        SourceLanguage::Java,
        SourceLanguage::Go,
        SourceLanguage::Node,
    ];
    for language in all {
        let source = generate(&schema, language, None).expect("a source");
        assert!(source.contains("a __ _ _ ___ _u000a b"), "{language:?}:\n{source}");
        assert!(source.contains("'c __ _ d'"), "{language:?}:\n{source}");
    }
    let script = wireshark(&schema);
    assert!(script.contains(r#""a */ \010 \226\128\168 \034\034\034 \092u000a b""#), "{script}");
}
