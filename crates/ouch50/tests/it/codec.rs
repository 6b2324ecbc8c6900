//! The codec against the specification's tables: layouts, value sets, options, refusals, and that nothing
//! panics.

use crate::common::{
    Content, Either, ROWS, Row, TAGS, Tail, any_valid, element, fit, is_reason, join, samples,
};
use ouch50::codes::{CancelReason, Display, RejectReason, TimeInForce};
use ouch50::*;
use proptest::prelude::*;

/// A message of this row without options.
fn bare(row: &Row) -> Vec<u8> {
    join(row, &fit(row, vec![0x40; row.fixed]), &[])
}

fn parse(row: &Row, bytes: &[u8]) -> Result<Either, OuchError> {
    Either::parse(row.is_inbound, bytes)
}

fn find(is_inbound: bool, kind: u8) -> &'static Row {
    ROWS.iter().find(|row| (row.is_inbound, row.kind) == (is_inbound, kind)).unwrap()
}

#[test]
fn types_are_those_of_the_specification() {
    let of = |is_inbound| -> Vec<u8> {
        ROWS.iter().filter(|row| row.is_inbound == is_inbound).map(|row| row.kind).collect()
    };
    assert_eq!((Inbound::KINDS, Outbound::KINDS), (&of(true)[..], &of(false)[..]));
    assert_eq!(Options::ALL.tags().collect::<Vec<_>>(), TAGS.iter().map(|row| row.0).collect::<Vec<_>>());
    assert_eq!((EnterOrder::FIXED_LEN, Accepted::FIXED_LEN), (45, 62));
    assert_eq!(MassCancel::OPTIONS.tags().collect::<Vec<_>>(), [24, 27, 28]);
    assert!(!MassCancel::OPTIONS.contains(255));
}

#[test]
fn a_sample_of_each_type_is_read_as_it_was_written() {
    let samples = samples::all();
    assert_eq!(samples.len(), ROWS.len());
    for (sample, row) in samples.iter().zip(ROWS) {
        let message = sample.message;
        assert_eq!((message.is_inbound(), message.kind()), (row.is_inbound, row.kind));
        let bytes = message.written();
        assert_eq!(parse(row, &bytes), Ok(message));
        assert!(bytes.len() > row.fixed || row.tail == Tail::Never, "it has options: {message:?}");
        let mut buffer = vec![0xEE; bytes.len() + 1];
        assert_eq!(message.write(&mut buffer), Ok(bytes.len()));
        assert_eq!((&buffer[..bytes.len()], buffer[bytes.len()]), (&bytes[..], 0xEE));
        let needed = bytes.len();
        let mut short = vec![0xEE; needed - 1];
        assert_eq!(message.write(&mut short), Err(OuchError::NoRoom { needed }));
        assert!(short.iter().all(|byte| *byte == 0xEE), "nothing is written");
    }
}

/// A byte is refused exactly where the specification's table has no such value, and the error names the
/// place.
#[test]
fn each_letter_of_each_field_is_judged_by_the_specification() {
    for row in ROWS {
        for &(at, width, content) in row.fields {
            for value in 0..=u8::MAX {
                let mut bytes = bare(row);
                let last = at + width - 1;
                bytes[last] = value;
                judge(row, &bytes, (at, u16::from(value)), content, row.kind);
                if content == Content::Reason {
                    (bytes[at], bytes[last]) = (1, value);
                    assert!(parse(row, &bytes).is_err(), "no reason is that high");
                }
            }
        }
    }
}

fn judge(row: &Row, bytes: &[u8], (at, value): (usize, u16), content: Content, kind: u8) {
    let byte = value as u8;
    let expected = match content {
        Content::Codes(codes) if !codes.as_bytes().contains(&byte) => "code",
        Content::Reason if !is_reason(value) => "code",
        Content::Text if !(b' '..=b'~').contains(&byte) => "text",
        _ => "",
    };
    match parse(row, bytes) {
        Ok(message) => {
            assert_eq!(expected, "", "{row:?} at {at}: {value:#06x}");
            assert_eq!(message.written(), bytes);
        }
        Err(OuchError::Code { kind: of, offset, code, .. }) => {
            assert_eq!((expected, of, offset, code), ("code", kind, at, value), "{row:?}");
        }
        Err(OuchError::Text { kind: of, offset, byte: found, .. }) => {
            assert_eq!((expected, of, offset, found), ("text", kind, at, byte), "{row:?}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn each_letter_of_each_option_is_judged_by_the_specification() {
    for &(tag, width, content) in TAGS {
        let row = ROWS.iter().find(|row| row.tags.contains(&tag)).unwrap();
        for value in 0..=u8::MAX {
            let mut one = element(tag, [0x40; 8]);
            *one.last_mut().unwrap() = value;
            assert_eq!(one.len(), 2 + width);
            let bytes = join(row, &fit(row, vec![0x40; row.fixed]), &[one]);
            judge(row, &bytes, (row.fixed + 4, u16::from(value)), content, row.kind);
        }
    }
}

#[test]
fn a_message_takes_the_options_that_are_listed_for_it_and_no_others() {
    for row in ROWS.iter().filter(|row| row.tail != Tail::Never) {
        let kind = row.kind;
        let fixed = fit(row, vec![0x40; row.fixed]);
        for tag in 0..=u8::MAX {
            let width = TAGS.iter().find(|known| known.0 == tag).map(|known| known.1);
            let one = width.map_or(vec![2, tag, 0], |_| element(tag, [0x40; 8]));
            let expected = match width {
                None => Some(OuchError::OptionUnknown { kind, tag, offset: row.fixed + 2 }),
                Some(_) if !row.tags.contains(&tag) => Some(OuchError::OptionUnlisted { kind, tag }),
                Some(_) => None,
            };
            assert_eq!(parse(row, &join(row, &fixed, std::slice::from_ref(&one))).err(), expected);
            let Some(expected) = width.filter(|_| expected.is_none()) else { continue };
            let twice = join(row, &fixed, &[one.clone(), one.clone()]);
            assert_eq!(parse(row, &twice), Err(OuchError::OptionTwice { kind, tag }));
            for len in (0..=9).filter(|len| *len != expected) {
                let mut other = vec![1 + len as u8, tag];
                other.resize(2 + len, b'N');
                let refused = OuchError::OptionLength { kind, tag, len, expected };
                assert_eq!(parse(row, &join(row, &fixed, &[other])), Err(refused));
            }
        }
    }
}

#[test]
fn lengths_that_are_wrong_are_refused_for_their_own_reason() {
    for row in ROWS {
        let (kind, fixed) = (row.kind, fit(row, vec![0x40; row.fixed]));
        let expected = row.fixed + if row.tail == Tail::Must { 2 } else { 0 };
        for len in 1..row.fixed {
            assert_eq!(parse(row, &fixed[..len]), Err(OuchError::Length { kind, len, expected }));
        }
        let len = row.fixed;
        match row.tail {
            Tail::Must => assert_eq!(parse(row, &fixed), Err(OuchError::Length { kind, len, expected })),
            Tail::May | Tail::Never => assert!(parse(row, &fixed).is_ok()),
        }
        let with = |tail: &[u8]| parse(row, &[&fixed[..], tail].concat());
        assert_eq!(with(&[0]), Err(OuchError::Length { kind, len: len + 1, expected }));
        if row.tail == Tail::Never {
            assert_eq!(with(&[0, 0]), Err(OuchError::Length { kind, len: len + 2, expected }));
            continue;
        }
        assert!(with(&[0, 0]).is_ok(), "an empty appendage");
        let appendage = |length, found| Err(OuchError::Appendage { kind, length, found });
        assert_eq!(with(&[0, 0, 2]), appendage(0, 1));
        assert_eq!(with(&[0, 3, 2, 28]), appendage(3, 2));
        assert_eq!(with(&[1, 0, 2, 28, 0]), appendage(256, 3));
        let end = |offset| Err(OuchError::OptionEnd { kind, offset: row.fixed + offset });
        assert_eq!(with(&[0, 1, 2]), end(2));
        assert_eq!(with(&[0, 2, 0, 28]), end(2));
        assert_eq!(with(&[0, 3, 3, 28, 1]), end(2));
        if row.tags.contains(&28) {
            assert_eq!(with(&[0, 4, 2, 28, 1, 9]), end(5));
        }
    }
    assert_eq!(Inbound::parse(&[]), Err(OuchError::Empty));
    assert_eq!(Outbound::parse(&[]), Err(OuchError::Empty));
    assert_eq!(CancelOrder::parse(&[]), Err(OuchError::Empty));
    assert_eq!(CancelOrder::parse(b"D"), Err(OuchError::Kind { kind: b'D' }));
    for kind in 0..=u8::MAX {
        let refused = OuchError::Kind { kind };
        assert_eq!(Inbound::parse(&[kind]).err() == Some(refused), !Inbound::KINDS.contains(&kind));
        assert_eq!(Outbound::parse(&[kind]).err() == Some(refused), !Outbound::KINDS.contains(&kind));
    }
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let sample = |kind: u8, is_inbound| {
        let all = samples::all();
        let at = ROWS.iter().position(|row| (row.is_inbound, row.kind) == (is_inbound, kind)).unwrap();
        all[at].message.written()
    };
    let cancel = b"X\x00\x00\x00\x02\x00\x00\x00\x64\x00\x03\x02\x1C\x05";
    assert_eq!(sample(b'X', true), cancel);
    let rejected =
        b"J\x00\x00\x1F\x1A\xCE\xD9\xF0\x7B\x00\x00\x00\x02\x00\x1DSECOND        \x00\x03\x02\x1C\x05";
    assert_eq!(sample(b'J', false), rejected);
    let restated = b"R\x00\x00\x1F\x1A\xCE\xD9\xF0\x7B\x00\x00\x00\x02R\x00\x1D\
        \x09\x01\x01\x02\x03\x04\x05\x06\x07\x08\x05\x16\x00\x00\x00\x32\
        \x09\x17\x00\x00\x00\x00\x00\x16\xF0\xA8\x02\x1C\x05";
    assert_eq!(sample(b'R', false), restated);
    let bare = CancelOrder { user_ref_num: 2, quantity: 0, options: Options::NONE };
    let mut out = b"before".to_vec();
    assert_eq!(bare.append(&mut out), Ok(9));
    assert_eq!(out, b"beforeX\x00\x00\x00\x02\x00\x00\x00\x00", "no length without options");
    let query = AccountQuery { options: Options::channel(0) };
    assert_eq!(Either::In(query.into()).written(), b"Q");
    let query = AccountQuery { options: Options::channel(7) };
    assert_eq!(Either::In(query.into()).written(), b"Q\x00\x03\x02\x1C\x07");
    assert_eq!(format!("{query:?}"), "AccountQuery { options: Options { user_ref_idx: 7 } }");
}

#[test]
fn a_value_that_the_message_does_not_take_is_not_written() {
    let samples = samples::all();
    let Either::In(Inbound::EnterOrder(order)) = samples[0].message else { panic!("an order") };
    let Either::In(Inbound::ReplaceOrder(replace)) = samples[1].message else { panic!("a replacement") };
    let code = |kind, field, offset, code| Err(OuchError::Code { kind, field, offset, code });
    let mut out = Vec::new();
    let hidden = EnterOrder { display: Display::Conformant, ..order };
    assert_eq!(hidden.append(&mut out), code(b'O', "display", 27, u16::from(b'Z')));
    let late = ReplaceOrder { time_in_force: TimeInForce::AfterHours, ..replace };
    assert_eq!(late.append(&mut out), code(b'U', "time_in_force", 21, u16::from(b'E')));
    let Either::Out(Outbound::AiqCanceled(aiq)) = samples[12].message else { panic!("a cancel") };
    let other = AiqCanceled { reason: CancelReason::System, ..aiq };
    assert_eq!(other.append(&mut out), code(b'D', "reason", 17, u16::from(b'Z')));
    let options = Options { route: Alpha::new(b"RTE1").ok(), ..order.options };
    let unlisted = Err(OuchError::OptionUnlisted { kind: b'O', tag: 14 });
    assert_eq!(EnterOrder { options, ..order }.append(&mut out), unlisted);
    assert_eq!(Inbound::from(EnterOrder { options, ..order }).write(&mut [0; 256]), unlisted);
    assert!(out.is_empty(), "nothing is appended");
}

#[test]
fn a_malformed_order_can_be_answered() {
    let row = find(true, b'O');
    let mut bytes = bare(row);
    bytes[1..5].copy_from_slice(&7u32.to_be_bytes());
    bytes[31..45].copy_from_slice(b"MINE          ");
    let name = OrderName { user_ref_num: 7, cl_ord_id: ClOrdId::new(b"MINE").unwrap() };
    let reasons = [
        (5, RejectReason::InvalidSide),
        (10, RejectReason::InvalidSymbol),
        (26, RejectReason::Other),
        (27, RejectReason::InvalidDisplay),
        (30, RejectReason::InvalidCrossOrder),
    ];
    for (at, reason) in reasons {
        let mut bytes = bytes.clone();
        bytes[at] = 0x07;
        assert_eq!(Inbound::parse(&bytes).unwrap_err().reject_reason(), reason);
        assert_eq!(OrderName::peek(&bytes), Some(name));
    }
    let options =
        [(6, RejectReason::InvalidPegType), (29, RejectReason::InvalidAiq), (4, RejectReason::Other)];
    for (tag, reason) in options {
        let bytes = join(row, &bytes[..row.fixed], &[vec![2, tag, b'?']]);
        assert_eq!(Inbound::parse(&bytes).unwrap_err().reject_reason(), reason);
        assert_eq!(OrderName::peek(&bytes), Some(name));
    }
    bytes[31] = 0xFF;
    assert_eq!(OrderName::peek(&bytes), Some(OrderName { cl_ord_id: ClOrdId::BLANK, ..name }));
    assert_eq!(OrderName::peek(&bytes[..44]), None);
    let replace = bare(find(true, b'U'));
    assert_eq!(OrderName::peek(&replace).map(|name| name.user_ref_num), Some(0x4040_4040));
    for bytes in [&b""[..], b"X", &bare(find(true, b'X'))] {
        assert_eq!(OrderName::peek(bytes), None);
    }
}

#[test]
fn texts_and_prices_say_what_they_take() {
    assert_eq!(Symbol::new(b"TOO LONG!"), Err(TextError::Long { len: 9, width: 8 }));
    assert_eq!(Firm::new(b"A\x7F"), Err(TextError::Byte { byte: 0x7F }));
    let text = Symbol::new(b"BRK A").unwrap();
    assert_eq!((text.as_bytes(), text.text(), text.is_blank()), (b"BRK A   ", &b"BRK A"[..], false));
    assert_eq!((text.to_string(), format!("{text:?}")), ("BRK A".to_owned(), "\"BRK A\"".to_owned()));
    assert_eq!(Price(1_503_400).to_string(), "150.3400");
    assert_eq!(Price::MARKET.to_string(), "200000.0000");
    assert_eq!(Price::MARKET_FOR_CROSS.to_string(), "214748.3647");
    let offsets = [-12_500, 12_500, -1, i32::MIN].map(|offset| SignedPrice(offset).to_string());
    assert_eq!(offsets, ["-1.2500", "1.2500", "-0.0001", "-214748.3648"]);
    assert_eq!(RejectReason::ALL.len(), 52);
    assert_eq!(RejectReason::from_code(0x34), None);
}

#[test]
fn an_error_says_where_and_what() {
    let kind = b'O';
    let texts = [
        (OuchError::Empty, "no bytes"),
        (OuchError::Kind { kind: 0x1B }, "message type '.' (0x1b)"),
        (OuchError::Length { kind, len: 3, expected: 47 }, "'O' of 3 bytes: without options it has 47"),
        (
            OuchError::Text { kind, field: "symbol", offset: 10, byte: 7 },
            "symbol at byte 10 has the byte 0x07",
        ),
        (OuchError::Appendage { kind, length: 3, found: 2 }, "an appendage of 3 bytes, and 2 follow"),
        (OuchError::OptionEnd { kind, offset: 47 }, "byte 47 ends beyond"),
        (OuchError::OptionUnknown { kind, tag: 8, offset: 47 }, "tag 8 at byte 47 is no option"),
        (OuchError::OptionUnlisted { kind, tag: 14 }, "does not take the option with tag 14"),
        (OuchError::OptionLength { kind, tag: 3, len: 1, expected: 4 }, "1 bytes instead of 4"),
        (OuchError::OptionTwice { kind, tag: 3 }, "tag 3 is there twice"),
        (OuchError::NoRoom { needed: 47 }, "47 bytes: grow the buffer"),
    ];
    for (error, part) in texts {
        assert!(error.to_string().contains(part), "{error}");
    }
}

proptest! {
    #[test]
    fn any_valid_message_is_written_back_byte_for_byte((index, bytes) in any_valid()) {
        let message = parse(&ROWS[index], &bytes).unwrap();
        prop_assert_eq!(message.written(), bytes);
    }

    #[test]
    fn options_are_read_in_any_order(
        index in 0..ROWS.len(), seeds in any::<[[u8; 8]; 21]>(), order in Just((0..21).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let row = &ROWS[index];
        let fixed = fit(row, vec![0x40; row.fixed]);
        let elements: Vec<_> = row.tags.iter().zip(seeds).map(|(tag, seed)| element(*tag, seed)).collect();
        let shuffled: Vec<_> = order.iter().filter_map(|at: &usize| elements.get(*at).cloned()).collect();
        let message = parse(row, &join(row, &fixed, &shuffled)).unwrap();
        prop_assert_eq!(message.written(), join(row, &fixed, &elements));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        for is_inbound in [true, false] {
            if let Ok(message) = Either::parse(is_inbound, &bytes) {
                prop_assert_eq!(Either::parse(is_inbound, &message.written()), Ok(message));
            }
        }
        let _ = OrderName::peek(&bytes);
    }

    #[test]
    fn a_message_with_some_bytes_changed_cut_or_appended_is_read_or_refused(
        (index, bytes) in any_valid(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in 0..4usize, more in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = bytes;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        bytes.extend(more);
        for is_inbound in [ROWS[index].is_inbound, !ROWS[index].is_inbound] {
            if let Ok(message) = Either::parse(is_inbound, &bytes) {
                prop_assert_eq!(Either::parse(is_inbound, &message.written()), Ok(message));
            }
        }
        let _ = OrderName::peek(&bytes);
    }
}
