//! The specification's tables once more, written down apart from the crate: offset, width and value set of
//! each field. What the crate reads and writes is compared with them.

#![allow(dead_code, reason = "the tests of the bridge use their part")]

pub mod samples;

use proptest::prelude::*;

/// What a field may have.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Any number.
    Number,
    /// Printable ASCII.
    Text,
    /// One of these letters.
    Codes(&'static str),
    /// Any byte.
    Any,
}
use Content::{Any, Codes, Number, Text};

/// Offset and width of a field, and what it may have.
pub type Field = (usize, usize, Content);

/// Type, length, and the fields behind locate, tracking number and time.
pub type Row = (u8, usize, &'static [Field]);

/// The specification's messages, in its order.
pub const ROWS: &[Row] = &[
    (b'S', 12, &[(11, 1, Codes("OSQMEC"))]),
    (
        b'R',
        39,
        &[
            (11, 8, Text),
            (19, 1, Codes("QGSNAPZVM ")),
            (20, 1, Codes("DEQSGHJKCN ")),
            (21, 4, Number),
            (25, 1, Codes("YN")),
            (26, 1, Codes("ABCFILNOPQRSTUVW")),
            (27, 2, Text),
            (29, 1, Codes("PT")),
            (30, 1, Codes("YN ")),
            (31, 1, Codes("YNZ ")),
            (32, 1, Codes("12 ")),
            (33, 1, Codes("YN ")),
            (34, 4, Number),
            (38, 1, Codes("YN")),
        ],
    ),
    (b'H', 25, &[(11, 8, Text), (19, 1, Codes("HPQT")), (20, 1, Any), (21, 4, Text)]),
    (b'Y', 20, &[(11, 8, Text), (19, 1, Codes("012"))]),
    (
        b'L',
        26,
        &[
            (11, 4, Text),
            (15, 8, Text),
            (23, 1, Codes("YN")),
            (24, 1, Codes("NPSRL")),
            (25, 1, Codes("AEWSD")),
        ],
    ),
    (b'V', 35, &[(11, 8, Number), (19, 8, Number), (27, 8, Number)]),
    (b'W', 12, &[(11, 1, Codes("123"))]),
    (b'K', 28, &[(11, 8, Text), (19, 4, Number), (23, 1, Codes("AC")), (24, 4, Number)]),
    (b'J', 35, &[(11, 8, Text), (19, 4, Number), (23, 4, Number), (27, 4, Number), (31, 4, Number)]),
    (b'h', 21, &[(11, 8, Text), (19, 1, Codes("QBX")), (20, 1, Codes("HT"))]),
    (b'A', 36, &[(11, 8, Number), (19, 1, Codes("BS")), (20, 4, Number), (24, 8, Text), (32, 4, Number)]),
    (
        b'F',
        40,
        &[
            (11, 8, Number),
            (19, 1, Codes("BS")),
            (20, 4, Number),
            (24, 8, Text),
            (32, 4, Number),
            (36, 4, Text),
        ],
    ),
    (b'E', 31, &[(11, 8, Number), (19, 4, Number), (23, 8, Number)]),
    (b'C', 36, &[(11, 8, Number), (19, 4, Number), (23, 8, Number), (31, 1, Codes("YN")), (32, 4, Number)]),
    (b'X', 23, &[(11, 8, Number), (19, 4, Number)]),
    (b'D', 19, &[(11, 8, Number)]),
    (b'U', 35, &[(11, 8, Number), (19, 8, Number), (27, 4, Number), (31, 4, Number)]),
    (
        b'P',
        44,
        &[
            (11, 8, Number),
            (19, 1, Codes("BS")),
            (20, 4, Number),
            (24, 8, Text),
            (32, 4, Number),
            (36, 8, Number),
        ],
    ),
    (b'Q', 40, &[(11, 8, Number), (19, 8, Text), (27, 4, Number), (31, 8, Number), (39, 1, Codes("OCHI"))]),
    (b'B', 19, &[(11, 8, Number)]),
    (
        b'I',
        50,
        &[
            (11, 8, Number),
            (19, 8, Number),
            (27, 1, Codes("BSNOP")),
            (28, 8, Text),
            (36, 4, Number),
            (40, 4, Number),
            (44, 4, Number),
            (48, 1, Codes("OCHA")),
            (49, 1, Codes("L123456789ABC ")),
        ],
    ),
    (b'N', 20, &[(11, 8, Text), (19, 1, Codes("BSAN"))]),
    (
        b'O',
        48,
        &[
            (11, 8, Text),
            (19, 1, Codes("YN")),
            (20, 4, Number),
            (24, 4, Number),
            (28, 4, Number),
            (32, 8, Number),
            (40, 4, Number),
            (44, 4, Number),
        ],
    ),
];

/// Makes a message of this row of arbitrary bytes: letters become listed ones, texts printable.
pub fn fit(row: &Row, mut bytes: Vec<u8>) -> Vec<u8> {
    let (kind, len, fields) = *row;
    assert_eq!(bytes.len(), len);
    bytes[0] = kind;
    for &(at, width, content) in fields {
        for byte in &mut bytes[at..at + width] {
            match content {
                Text => *byte = b' ' + *byte % 95,
                Codes(codes) => *byte = codes.as_bytes()[usize::from(*byte) % codes.len()],
                Number | Any => {}
            }
        }
    }
    bytes
}

/// A valid message of this row.
pub fn valid(row: &'static Row) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), row.1).prop_map(|bytes| fit(row, bytes))
}

/// A valid message of any type.
pub fn any_valid() -> impl Strategy<Value = Vec<u8>> {
    (0..ROWS.len()).prop_flat_map(|index| valid(&ROWS[index]))
}

/// The recorded day, message by message (`tests/data/README.md` of the repository).
pub fn recorded() -> Vec<Vec<u8>> {
    use std::io::Read;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/ex20101224.TEST_ITCH_50.gz");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (mut rest, mut all) = (&bytes[..], Vec::new());
    while let [0, 0, kind, ..] = rest {
        let len = itch50::Message::len_of(*kind).unwrap_or_else(|| panic!("type {kind}"));
        all.push(rest[2..2 + len].to_vec());
        rest = &rest[2 + len..];
    }
    assert!(rest.is_empty(), "{} bytes behind the last message", rest.len());
    all
}

/// As Nasdaq's files have it: two bytes of length before each message.
pub fn framed<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        out.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
        out.extend_from_slice(message);
    }
    out
}
