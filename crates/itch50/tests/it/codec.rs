//! The codec against the specification's tables: layouts, value sets, refusals, and that nothing panics.

use crate::common::{Content, ROWS, any_valid, fit, recorded, samples, valid};
use itch50::codes::{EventCode, PriceVariation};
use itch50::{
    Alpha, EndOfSnapshot, ItchError, MESSAGE_LEN_MAX, Message, Price4, Price8, SnapshotMessage, Stock,
    TextError, Timestamp,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn written(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(message.append(&mut out), out.len());
    out
}

#[test]
fn every_message_of_the_recorded_day_is_written_back_byte_for_byte() {
    let all = recorded();
    assert_eq!(all.len(), 12_012);
    for bytes in &all {
        let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        assert_eq!(written(&message), *bytes);
    }
}

#[test]
fn types_and_lengths_are_those_of_the_specification() {
    let ours: Vec<_> = Message::KINDS.iter().map(|&kind| (kind, Message::len_of(kind).unwrap())).collect();
    let theirs: Vec<_> = ROWS.iter().map(|&(kind, len, _)| (kind, len)).collect();
    assert_eq!(ours, theirs);
    assert_eq!(Message::len_of(b'G'), None, "a snapshot's, not the feed's");
    assert_eq!(ROWS.iter().map(|row| row.1).max(), Some(MESSAGE_LEN_MAX));
}

#[test]
fn a_sample_of_each_type_is_read_as_it_was_written() {
    let samples = samples::all();
    let kinds: BTreeSet<_> = samples.iter().map(|(message, _)| message.kind()).collect();
    assert_eq!(kinds.len(), ROWS.len());
    for (message, _) in samples {
        let bytes = written(&message);
        assert_eq!(Message::parse(&bytes), Ok(message));
        assert_eq!((bytes[0], bytes.len()), (message.kind(), message.encoded_len()));
        assert_eq!(message.head(), samples::head());
        let mut buffer = [0xEE; MESSAGE_LEN_MAX + 1];
        assert_eq!(message.write(&mut buffer), Ok(bytes.len()));
        assert_eq!((&buffer[..bytes.len()], buffer[bytes.len()]), (&bytes[..], 0xEE));
        let needed = bytes.len();
        let mut short = vec![0xEE; needed - 1];
        assert_eq!(message.write(&mut short), Err(ItchError::NoRoom { needed }));
        assert!(short.iter().all(|byte| *byte == 0xEE), "nothing is written");
    }
}

/// A byte is refused exactly where the specification's table has no such value, and the error names the
/// place.
#[test]
fn each_letter_of_each_field_is_judged_by_the_specification() {
    for row in ROWS {
        let bytes = fit(row, vec![0x40; row.1]);
        assert!(Message::parse(&bytes).is_ok(), "{row:?}");
        for &(at, width, content) in row.2 {
            for value in 0..=u8::MAX {
                let mut bytes = bytes.clone();
                bytes[at + width - 1] = value;
                let expected = match content {
                    Content::Codes(codes) if !codes.as_bytes().contains(&value) => "code",
                    Content::Text if !(b' '..=b'~').contains(&value) => "text",
                    _ => "",
                };
                match Message::parse(&bytes) {
                    Ok(message) => {
                        assert_eq!(expected, "", "{row:?} at {at}: {value:#04x}");
                        assert_eq!(written(&message), bytes);
                    }
                    Err(ItchError::Code { kind, offset, code, .. }) => {
                        assert_eq!((expected, kind, offset, code), ("code", row.0, at, value));
                    }
                    Err(ItchError::Text { kind, offset, byte, .. }) => {
                        assert_eq!((expected, kind, offset, byte), ("text", row.0, at, value));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn a_byte_too_few_or_too_many_an_unknown_type_and_nothing_are_refused() {
    for row in ROWS {
        let (kind, expected) = (row.0, row.1);
        let mut bytes = fit(row, vec![0; expected]);
        bytes.push(0);
        let refused = |len| Err(ItchError::Length { kind, len, expected });
        assert_eq!(Message::parse(&bytes), refused(expected + 1));
        for len in 1..expected {
            assert_eq!(Message::parse(&bytes[..len]), refused(len));
        }
    }
    assert_eq!(Message::parse(&[]), Err(ItchError::Empty));
    for kind in (0..=u8::MAX).filter(|kind| !ROWS.iter().any(|row| row.0 == *kind)) {
        assert_eq!(Message::parse(&[kind; 12]), Err(ItchError::Kind { kind }));
    }
    let delete = fit(&ROWS[15], vec![0; 19]);
    assert_eq!(itch50::AddOrder::parse(&delete), Err(ItchError::Kind { kind: b'D' }));
    assert_eq!(itch50::AddOrder::parse(&[]), Err(ItchError::Empty));
}

#[test]
fn the_end_of_a_snapshot_is_read_with_blanks_and_zeros_and_written_right_justified() {
    let end = EndOfSnapshot { next_seq: 12_013 };
    assert_eq!(&end.encode(), b"G               12013");
    let read = |text: &[u8; 21]| EndOfSnapshot::parse(text).map(|end| end.next_seq);
    assert_eq!(read(b"G               12013"), Ok(12_013));
    assert_eq!(read(b"G12013               "), Ok(12_013));
    assert_eq!(read(b"G00000000000000012013"), Ok(12_013));
    assert_eq!(read(b"G18446744073709551615"), Ok(u64::MAX));
    let wrong = Err(ItchError::Number { kind: b'G', field: "next_seq", offset: 1 });
    for text in [
        b"G18446744073709551616",
        b"G                    ",
        b"G                  -1",
        b"G                1 13",
        b"G                \t  1",
    ] {
        assert_eq!(read(text), wrong, "{text:?}");
    }
    let length = |len| Err(ItchError::Length { kind: b'G', len, expected: 21 });
    assert_eq!(EndOfSnapshot::parse(b"G12013"), length(6));
    assert_eq!(EndOfSnapshot::parse(b"G               12013 "), length(22));
    assert_eq!(EndOfSnapshot::parse(b"D"), Err(ItchError::Kind { kind: b'D' }));
    assert_eq!(SnapshotMessage::parse(&end.encode()), Ok(SnapshotMessage::End(end)));
    let (message, _) = samples::all()[0].clone();
    assert_eq!(SnapshotMessage::parse(&written(&message)), Ok(SnapshotMessage::Part(message)));
    assert_eq!(SnapshotMessage::parse(b""), Err(ItchError::Empty));
}

#[test]
fn texts_prices_and_times_say_what_they_take() {
    assert_eq!(Stock::new(b"TOO LONG!"), Err(TextError::Long { len: 9, width: 8 }));
    assert_eq!(Stock::new(b"A\tB"), Err(TextError::Byte { byte: b'\t' }));
    let text = Alpha::<8>::new(b"BRK A").unwrap();
    assert_eq!((text.as_bytes(), text.text(), text.is_blank()), (b"BRK A   ", &b"BRK A"[..], false));
    assert_eq!((text.to_string(), format!("{text:?}")), ("BRK A".to_owned(), "\"BRK A\"".to_owned()));
    assert!(Stock::BLANK.is_blank() && Stock::new(b"").unwrap() == Stock::BLANK);
    assert_eq!(Price4(12_345).to_string(), "1.2345");
    assert_eq!(Price4::MAX.to_string(), "200000.0000");
    assert_eq!(Price8(100_000_001).to_string(), "1.00000001");
    assert_eq!(Timestamp::new(Timestamp::NS_END), None);
    assert_eq!(Timestamp::new(Timestamp::NS_END - 1).map(Timestamp::ns), Some(0xFFFF_FFFF_FFFF));
    assert_eq!(EventCode::ALL.len(), 6);
    assert_eq!(PriceVariation::from_code(b' '), Some(PriceVariation::NotAvailable));
    assert_eq!(PriceVariation::from_code(b'0'), None);
}

#[test]
fn an_error_says_where_and_what() {
    let mut bytes = fit(&ROWS[10], vec![0; 36]);
    bytes[24] = 0xC3;
    let error = Message::parse(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message 'A': stock at byte 24 has the byte 0xc3: texts are printable ASCII"
    );
    let texts = [
        (ItchError::Empty, "no bytes"),
        (ItchError::Kind { kind: 0x1B }, "message type '.' (0x1b)"),
        (ItchError::Length { kind: b'A', len: 3, expected: 36 }, "'A' of 3 bytes: it has exactly 36"),
        (ItchError::Number { kind: b'G', field: "next_seq", offset: 1 }, "next_seq at byte 1"),
        (ItchError::NoRoom { needed: 36 }, "36 bytes: grow the buffer"),
    ];
    for (error, part) in texts {
        assert!(error.to_string().contains(part), "{error}");
    }
}

proptest! {
    #[test]
    fn any_valid_message_is_written_back_byte_for_byte(bytes in any_valid()) {
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(written(&message), bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert_eq!(written(&message), bytes.clone());
        }
        if let Ok(SnapshotMessage::End(end)) = SnapshotMessage::parse(&bytes) {
            prop_assert_eq!(EndOfSnapshot::parse(&end.encode()), Ok(end));
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_is_read_or_refused(
        bytes in any_valid(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let (mut bytes, at) = (bytes.clone(), at.index(bytes.len()));
        bytes[at] = value;
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert_eq!(written(&message), bytes);
        }
    }

    #[test]
    fn a_time_of_48_bits_survives(ns in 0..Timestamp::NS_END, bytes in valid(&ROWS[15])) {
        let mut bytes = bytes;
        bytes[5..11].copy_from_slice(&ns.to_be_bytes()[2..]);
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.head().time.ns(), ns);
    }
}
