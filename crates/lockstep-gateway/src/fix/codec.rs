//! Frames of tag=value FIX: begin string, body length and checksum around fields.
//!
//! ```text
//!   8=FIX.4.4 ∙ 9=LENGTH ∙ 35=TYPE ∙ … ∙ 10=CHECKSUM ∙        ∙ is SOH, byte 1
//!                          └── LENGTH bytes ──┘
//! ```
//! A frame with a wrong length or checksum is garbled: the specification ignores it, and the receiver
//! continues at the next begin string. A whole frame may still have malformed fields; its receiver rejects
//! the message and names the tag.

use super::dictionary::{data_of, length_of};
use std::fmt::Display;
use std::io::Write;

/// The byte behind each field.
pub const SOH: u8 = 1;
/// Longest accepted body of a message, in bytes.
pub const BODY_LEN_MAX: usize = 8 << 10;
/// The beginning of each frame.
const BEGIN: &[u8] = b"8=FIX";
/// The length of `8=FIXT.1.1` and similar begin strings, with SOH.
const BEGIN_LEN_MAX: usize = 16;
/// The most digits of a body length.
const LENGTH_DIGITS: usize = 6;
/// The length of `10=000` and SOH.
const TRAILER_LEN: usize = 7;

/// The first frame of the received bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Framed<'a> {
    /// More bytes are needed.
    Incomplete,
    /// The first bytes are no message.
    Garbled {
        /// The number of bytes to drop.
        len: usize,
        /// The reason.
        why: &'static str,
    },
    /// A message with the right length and checksum.
    Whole {
        /// The value of BeginString.
        begin: &'a [u8],
        /// The fields between body length and checksum.
        body: &'a [u8],
        /// Bytes of the whole frame.
        len: usize,
    },
}

/// Drops everything before the next begin string, or before what may become one.
fn garbled<'a>(bytes: &[u8], why: &'static str) -> Framed<'a> {
    let may_begin = |at: &usize| BEGIN.starts_with(&bytes[*at..bytes.len().min(at + BEGIN.len())]);
    Framed::Garbled { len: (1..bytes.len()).find(may_begin).unwrap_or(bytes.len()), why }
}

/// Sum of all bytes, modulo 256.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// The first frame of the received bytes.
pub fn next_frame(bytes: &[u8]) -> Framed<'_> {
    let begins = bytes.len().min(BEGIN.len());
    if bytes[..begins] != BEGIN[..begins] {
        return garbled(bytes, "it does not begin with 8=FIX");
    }
    let Some(begin_len) = bytes.iter().take(BEGIN_LEN_MAX).position(|byte| *byte == SOH) else {
        return if bytes.len() < BEGIN_LEN_MAX {
            Framed::Incomplete
        } else {
            garbled(bytes, "its begin string does not end")
        };
    };
    let rest = &bytes[begin_len + 1..];
    let known = rest.len().min(2);
    if rest[..known] != b"9="[..known] {
        return garbled(bytes, "body length is not its second field");
    }
    let digits = rest.iter().skip(2).take(LENGTH_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let body_len = rest.get(2..2 + digits).and_then(|digits| std::str::from_utf8(digits).ok());
    let (body_len, body_at) = match rest.get(2 + digits) {
        None if digits <= LENGTH_DIGITS => return Framed::Incomplete,
        Some(&SOH) if (1..=LENGTH_DIGITS).contains(&digits) => {
            (body_len.and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX), begin_len + digits + 4)
        }
        _ => return garbled(bytes, "its body length is no number"),
    };
    if body_len > BODY_LEN_MAX {
        return garbled(bytes, "its body is too long");
    }
    let (body_end, len) = (body_at + body_len, body_at + body_len + TRAILER_LEN);
    let Some(frame) = bytes.get(..len) else { return Framed::Incomplete };
    let (before, trailer) = frame.split_at(body_end);
    let (body, digits) = (&before[body_at..], &trailer[3..TRAILER_LEN - 1]);
    let is_closed = trailer.starts_with(b"10=") && trailer.ends_with(&[SOH]) && before.ends_with(&[SOH]);
    if !is_closed || !digits.iter().all(u8::is_ascii_digit) {
        return garbled(bytes, "its body length is wrong");
    }
    let sum = digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if sum != u32::from(checksum(before)) {
        return Framed::Garbled { len, why: "its checksum is wrong" };
    }
    if !body.starts_with(b"35=") {
        return Framed::Garbled { len, why: "message type is not its third field" };
    }
    Framed::Whole { begin: &before[2..begin_len], body, len }
}

/// A malformed or misplaced field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldFault {
    /// Its tag, if it has one.
    pub tag: Option<u32>,
    /// SessionRejectReason(373).
    pub reason: u32,
    /// The text for people.
    pub text: &'static str,
}

/// The fields of one message, in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FixFields<'a>(Vec<(u32, &'a [u8])>);

impl<'a> FixFields<'a> {
    /// Parses a frame's body: all readable fields, and the first fault. Fields behind a fault are read as
    /// well, because the number by which it is answered may be one of them.
    pub fn parse(mut body: &'a [u8]) -> (Self, Option<FieldFault>) {
        let (mut fields, mut data, mut fault) = (Vec::new(), None, None);
        while !body.is_empty() {
            let read = field(body, data).and_then(|(tag, value, len)| {
                let next = data_of(tag).map(|of| length(value).map(|len| (of, len)).ok_or(wrong_length(tag)));
                Ok((tag, value, len, next.transpose()?))
            });
            match read {
                Ok((tag, value, len, next)) => {
                    fields.push((tag, value));
                    (body, data) = (&body[len..], next);
                }
                Err(found) => {
                    fault = fault.or(Some(found));
                    let len = body.iter().position(|byte| *byte == SOH).map_or(body.len(), |at| at + 1);
                    (body, data) = (&body[len..], None);
                }
            }
        }
        (Self(fields), fault.or(data.map(|(of, _)| no_data(of))))
    }

    /// The first value of this tag.
    pub fn get(&self, tag: u32) -> Option<&'a [u8]> {
        self.0.iter().find(|(known, _)| *known == tag).map(|(_, value)| *value)
    }

    /// The message type; empty if there is none.
    pub fn kind(&self) -> &'a [u8] {
        self.get(super::tags::MSG_TYPE).unwrap_or_default()
    }

    /// The first value of this tag, as a number.
    pub fn number(&self, tag: u32) -> Option<u64> {
        self.get(tag).and_then(number)
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a [u8])> {
        self.0.iter().copied()
    }
}

/// SessionRejectReason: invalid tag number, required tag missing, tag without a value, incorrect data format.
const INVALID_TAG: u32 = 0;
const MISSING: u32 = 1;
const EMPTY: u32 = 4;
const FORMAT: u32 = 6;

fn no_data(of: u32) -> FieldFault {
    FieldFault { tag: Some(of), reason: MISSING, text: "data must follow its length" }
}

fn wrong_length(tag: u32) -> FieldFault {
    FieldFault { tag: Some(tag), reason: FORMAT, text: "the length of data is no number" }
}

/// The length of a data field. A value that no memory can hold is longer than any message.
fn length(value: &[u8]) -> Option<usize> {
    number(value).map(|len| usize::try_from(len).unwrap_or(usize::MAX))
}

/// The first field: tag, value, and its length with SOH. `data`: the tag of a data field that must stand
/// here, and its length.
fn field(body: &[u8], data: Option<(u32, usize)>) -> Result<(u32, &[u8], usize), FieldFault> {
    let nameless = FieldFault { tag: None, reason: INVALID_TAG, text: "a field has no tag" };
    let equals = body.iter().take(11).position(|byte| *byte == b'=').ok_or(nameless)?;
    let tag = number(&body[..equals]).and_then(|tag| u32::try_from(tag).ok()).filter(|tag| *tag > 0);
    let tag = tag.ok_or(nameless)?;
    let fault = |reason, text| FieldFault { tag: Some(tag), reason, text };
    let rest = &body[equals + 1..];
    let len = match data {
        Some((of, len)) if of == tag => rest.get(len).filter(|end| **end == SOH).map(|_| len),
        Some((of, _)) => return Err(no_data(of)),
        None => {
            if let Some(before) = length_of(tag) {
                let text = "a length must precede its data";
                return Err(FieldFault { tag: Some(before), reason: MISSING, text });
            }
            rest.iter().position(|byte| *byte == SOH)
        }
    };
    let value = len.and_then(|len| rest.get(..len)).ok_or(fault(FORMAT, "a field has no end"))?;
    if value.is_empty() {
        return Err(fault(EMPTY, "a field has no value"));
    }
    Ok((tag, value, equals + 1 + value.len() + 1))
}

/// A number that consists of digits alone; `None` for anything else, and above 2^64.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends a field.
pub fn put(out: &mut Vec<u8>, tag: u32, value: impl Display) {
    // Writing to a vector never fails.
    let _ = write!(out, "{tag}={value}\x01");
}

/// Appends a field with foreign text: bytes that are not printable become question marks.
pub fn put_text(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    let _ = write!(out, "{tag}=");
    out.extend(value.iter().map(|byte| if (b' '..=b'~').contains(byte) { *byte } else { b'?' }));
    out.push(SOH);
}

/// Appends a frame around these fields, which begin with the message type.
pub fn seal(begin: &str, fields: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let _ = write!(out, "8={begin}\x019={}\x01", fields.len());
    out.extend_from_slice(fields);
    let sum = checksum(&out[start..]);
    let _ = write!(out, "10={sum:03}\x01");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        seal("FIX.4.4", text.replace('|', "\x01").as_bytes(), &mut out);
        out
    }

    #[test]
    fn a_message_of_the_specification_is_read_and_written_byte_for_byte() {
        // A heartbeat of FIX 4.2, from many an engine's tests.
        let text = "8=FIX.4.2|9=49|35=0|34=2|49=BRKR|52=20261121-10:00:00|56=INVMGR|".replace('|', "\x01");
        let fields = "35=0|34=2|49=BRKR|52=20261121-10:00:00|56=INVMGR|".replace('|', "\x01");
        let mut out = Vec::new();
        seal("FIX.4.2", fields.as_bytes(), &mut out);
        assert!(out.starts_with(text.as_bytes()), "{:?}", String::from_utf8_lossy(&out));
        let sum: u32 = text.bytes().map(u32::from).sum();
        assert!(out.ends_with(format!("10={:03}\x01", sum % 256).as_bytes()));
        let Framed::Whole { begin, body, len } = next_frame(&out) else { panic!("it is whole") };
        assert_eq!((begin, body, len), (&b"FIX.4.2"[..], fields.as_bytes(), out.len()));
        let (fields, fault) = FixFields::parse(body);
        assert_eq!((fields.kind(), fields.number(34), fault), (&b"0"[..], Some(2), None));
    }

    #[test]
    fn a_frame_in_pieces_is_awaited_and_one_that_is_garbled_is_dropped_up_to_the_next() {
        let whole = frame("35=0|34=7|");
        for len in 0..whole.len() {
            assert_eq!(next_frame(&whole[..len]), Framed::Incomplete, "{len} bytes");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = bytes[at].wrapping_add(1);
            bytes.extend_from_slice(&whole);
            bytes.extend(std::iter::repeat_n(b'x', BODY_LEN_MAX));
            let mut rest = &bytes[..];
            let mut found = 0;
            while !rest.is_empty() && found == 0 {
                match next_frame(rest) {
                    Framed::Garbled { len, .. } => rest = &rest[len..],
                    Framed::Whole { body, .. } => {
                        assert_eq!(body, b"35=0\x0134=7\x01", "byte {at} was changed");
                        found += 1;
                    }
                    Framed::Incomplete => break,
                }
            }
            // A larger body length may swallow the next frame; no other change does.
            assert!(found == 1 || (10..16).contains(&at), "byte {at} was changed");
        }
    }

    #[test]
    fn a_field_that_is_none_is_named_and_data_may_have_any_byte() {
        let parse = |text: &'static str| {
            let (fields, fault) = FixFields::parse(text.as_bytes());
            (fields, fault.map(|fault| (fault.tag, fault.reason)))
        };
        assert_eq!(parse("35=D\x0111=\x01").1, Some((Some(11), 4)));
        assert_eq!(parse("35=D\x01x=1\x01").1, Some((None, 0)));
        assert_eq!(parse("35=D\x010=1\x01").1, Some((None, 0)));
        assert_eq!(parse("35=D\x0158\x01").1, Some((None, 0)));
        let (fields, fault) = parse("35=A\x0195=5\x0196=a\x01=b\x01\x0134=1\x01");
        assert_eq!((fields.get(96), fields.number(34), fault), (Some(&b"a\x01=b\x01"[..]), Some(1), None));
        assert_eq!(parse("35=A\x0195=50\x0196=ab\x01").1, Some((Some(96), 6)));
        for before in ["49=", "x=1", "0=1", "58", "96=a", "95=x", "95=9\x0196=ab"] {
            let text = format!("35=D\x01{before}\x0134=7\x01");
            let (fields, fault) = FixFields::parse(text.as_bytes());
            assert!(fault.is_some() && fields.number(34) == Some(7), "{before}: {fault:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut rest = &bytes[..];
            loop {
                match next_frame(rest) {
                    Framed::Incomplete => break,
                    Framed::Garbled { len, .. } => {
                        prop_assert!(len > 0 && len <= rest.len());
                        rest = &rest[len..];
                    }
                    Framed::Whole { body, len, .. } => {
                        let _ = FixFields::parse(body);
                        rest = &rest[len..];
                    }
                }
                if rest.is_empty() { break; }
            }
            let _ = FixFields::parse(&bytes);
        }

        #[test]
        fn what_was_written_is_read_as_it_was(fields in prop::collection::vec((1_u32..5_000, "[ -~]{1,20}"), 0..20)) {
            let is_plain = |tag: u32| data_of(tag).is_none() && length_of(tag).is_none();
            let fields: Vec<_> = fields.into_iter().filter(|(tag, _)| is_plain(*tag)).collect();
            let mut body = Vec::new();
            put(&mut body, 35, "D");
            for (tag, value) in &fields {
                put_text(&mut body, *tag, value.as_bytes());
            }
            let mut out = Vec::new();
            seal("FIXT.1.1", &body, &mut out);
            let framed = next_frame(&out);
            prop_assert_eq!(&framed, &Framed::Whole { begin: b"FIXT.1.1", body: &body, len: out.len() });
            let (read, fault) = FixFields::parse(&body);
            prop_assert_eq!(fault, None);
            let read: Vec<_> = read.iter().skip(1).map(|(tag, value)| (tag, String::from_utf8_lossy(value).into_owned())).collect();
            prop_assert_eq!(read, fields);
        }
    }
}
