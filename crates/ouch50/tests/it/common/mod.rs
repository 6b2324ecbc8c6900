//! The specification's tables once more, written down apart from the crate: offset, width and value set of
//! each field, the options of each message. What the crate reads and writes is compared with them.

#![allow(dead_code, reason = "the tests of schemas use their part")]

pub mod samples;

use ouch50::{Inbound, OuchError, Outbound};
use proptest::prelude::*;

/// What a field may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Any number.
    Number,
    /// Printable ASCII.
    Text,
    /// One of these letters.
    Codes(&'static str),
    /// A reason of a rejection, in two bytes.
    Reason,
}
use Content::{Codes, Number, Reason, Text};

/// Offset and width of a field, and what it may have.
pub type Field = (usize, usize, Content);

/// Whether the appendage's length follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    Never,
    May,
    Must,
}
use Tail::{May, Must, Never};

/// One message of the specification.
#[derive(Debug)]
pub struct Row {
    pub is_inbound: bool,
    pub kind: u8,
    /// Bytes before the appendage's length.
    pub fixed: usize,
    pub tail: Tail,
    pub tags: &'static [u8],
    pub fields: &'static [Field],
}

const fn row(
    is_inbound: bool,
    kind: u8,
    fixed: usize,
    tail: Tail,
    tags: &'static [u8],
    fields: &'static [Field],
) -> Row {
    Row { is_inbound, kind, fixed, tail, tags, fields }
}

const SIDE: Content = Codes("BSTE");
const YES_NO: Content = Codes("YN");
const LIFE: Content = Codes("0356E");
const SHOWN: Content = Codes("YNAZ");
const ENTERED: Content = Codes("YNA");
const CAPACITY: Content = Codes("APRO");
const CROSS: Content = Codes("NOCHSREA");
const STATE: Content = Codes("LD");
const LIQUIDITY: Content = Codes("ACeHiJjkKLMmNnOpqRrtu07812359");
const STRATEGY: Content = Codes("*NYDOWRydowrZEPXS01245");
const CANCEL: Content = Codes("DEFGHIKQSTUXZe");

/// The specification's messages, in its order.
pub const ROWS: &[Row] = &[
    row(
        true,
        b'O',
        45,
        Must,
        &[2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 24, 25, 26, 28, 29, 30],
        &[
            (1, 4, Number),
            (5, 1, SIDE),
            (6, 4, Number),
            (10, 8, Text),
            (18, 8, Number),
            (26, 1, LIFE),
            (27, 1, ENTERED),
            (28, 1, CAPACITY),
            (29, 1, YES_NO),
            (30, 1, CROSS),
            (31, 14, Text),
        ],
    ),
    row(
        true,
        b'U',
        38,
        Must,
        &[3, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 25, 26, 27, 28, 29, 30],
        &[
            (1, 4, Number),
            (5, 4, Number),
            (9, 4, Number),
            (13, 8, Number),
            (21, 1, Codes("0356")),
            (22, 1, ENTERED),
            (23, 1, YES_NO),
            (24, 14, Text),
        ],
    ),
    row(true, b'X', 9, May, &[28], &[(1, 4, Number), (5, 4, Number)]),
    row(true, b'M', 10, May, &[25, 26, 28], &[(1, 4, Number), (5, 1, SIDE), (6, 4, Number)]),
    row(true, b'C', 17, Must, &[24, 27, 28], &[(1, 4, Number), (5, 4, Text), (9, 8, Text)]),
    row(true, b'D', 9, Must, &[28], &[(1, 4, Number), (5, 4, Text)]),
    row(true, b'E', 9, Must, &[28], &[(1, 4, Number), (5, 4, Text)]),
    row(true, b'Q', 1, May, &[28], &[]),
    row(false, b'S', 10, Never, &[], &[(1, 8, Number), (9, 1, Codes("SE"))]),
    row(
        false,
        b'A',
        62,
        Must,
        &[2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 25, 28, 29, 30],
        &[
            (1, 8, Number),
            (9, 4, Number),
            (13, 1, SIDE),
            (14, 4, Number),
            (18, 8, Text),
            (26, 8, Number),
            (34, 1, LIFE),
            (35, 1, SHOWN),
            (36, 8, Number),
            (44, 1, CAPACITY),
            (45, 1, YES_NO),
            (46, 1, CROSS),
            (47, 1, STATE),
            (48, 14, Text),
        ],
    ),
    row(
        false,
        b'U',
        66,
        Must,
        &[2, 3, 5, 6, 12, 15, 16, 17, 18, 28, 29, 30],
        &[
            (1, 8, Number),
            (9, 4, Number),
            (13, 4, Number),
            (17, 1, SIDE),
            (18, 4, Number),
            (22, 8, Text),
            (30, 8, Number),
            (38, 1, LIFE),
            (39, 1, SHOWN),
            (40, 8, Number),
            (48, 1, CAPACITY),
            (49, 1, YES_NO),
            (50, 1, CROSS),
            (51, 1, STATE),
            (52, 14, Text),
        ],
    ),
    row(false, b'C', 18, May, &[28], &[(1, 8, Number), (9, 4, Number), (13, 4, Number), (17, 1, CANCEL)]),
    row(
        false,
        b'D',
        32,
        May,
        &[28],
        &[
            (1, 8, Number),
            (9, 4, Number),
            (13, 4, Number),
            (17, 1, Codes("Q")),
            (18, 4, Number),
            (22, 8, Number),
            (30, 1, LIQUIDITY),
            (31, 1, STRATEGY),
        ],
    ),
    row(
        false,
        b'E',
        34,
        Must,
        &[28],
        &[
            (1, 8, Number),
            (9, 4, Number),
            (13, 4, Number),
            (17, 8, Number),
            (25, 1, LIQUIDITY),
            (26, 8, Number),
        ],
    ),
    row(
        false,
        b'B',
        36,
        May,
        &[28],
        &[(1, 8, Number), (9, 4, Number), (13, 8, Number), (21, 1, Codes("ECSX")), (22, 14, Text)],
    ),
    row(false, b'J', 29, May, &[28], &[(1, 8, Number), (9, 4, Number), (13, 2, Reason), (15, 14, Text)]),
    row(false, b'P', 13, May, &[28], &[(1, 8, Number), (9, 4, Number)]),
    row(false, b'I', 13, May, &[28], &[(1, 8, Number), (9, 4, Number)]),
    row(
        false,
        b'T',
        30,
        May,
        &[28],
        &[(1, 8, Number), (9, 4, Number), (13, 8, Number), (21, 1, SHOWN), (22, 8, Number)],
    ),
    row(
        false,
        b'M',
        18,
        May,
        &[25, 26, 28],
        &[(1, 8, Number), (9, 4, Number), (13, 1, SIDE), (14, 4, Number)],
    ),
    row(false, b'R', 14, Must, &[1, 22, 23, 28], &[(1, 8, Number), (9, 4, Number), (13, 1, Codes("RP"))]),
    row(
        false,
        b'X',
        25,
        Must,
        &[24, 27, 28],
        &[(1, 8, Number), (9, 4, Number), (13, 4, Text), (17, 8, Text)],
    ),
    row(false, b'G', 17, Must, &[28], &[(1, 8, Number), (9, 4, Number), (13, 4, Text)]),
    row(false, b'K', 17, Must, &[28], &[(1, 8, Number), (9, 4, Number), (13, 4, Text)]),
    row(false, b'Q', 13, May, &[28], &[(1, 8, Number), (9, 4, Number)]),
];

/// Appendix A: tag, width of the value, what it may have.
pub const TAGS: &[(u8, usize, Content)] = &[
    (1, 8, Number),
    (2, 4, Text),
    (3, 4, Number),
    (4, 1, Codes("RN ")),
    (5, 4, Number),
    (6, 1, Codes("LPMRQm")),
    (7, 4, Number),
    (9, 8, Number),
    (10, 1, Codes("LPMR")),
    (11, 4, Number),
    (12, 1, Codes("PN")),
    (13, 4, Number),
    (14, 4, Text),
    (15, 4, Number),
    (16, 1, Codes("YN ")),
    (17, 1, Codes("IOTQBD ")),
    (18, 1, Codes("0123SN ")),
    (22, 4, Number),
    (23, 8, Number),
    (24, 2, Number),
    (25, 1, YES_NO),
    (26, 4, Text),
    (27, 1, SIDE),
    (28, 1, Number),
    (29, 1, STRATEGY),
    (30, 2, Text),
];

/// Whether Appendix C has this reason.
pub fn is_reason(code: u16) -> bool {
    matches!(code, 1..=0x33 | 0x40)
}

/// Makes arbitrary bytes a value of this content.
fn fit_field(content: Content, bytes: &mut [u8]) {
    match content {
        Number => {}
        Text => bytes.iter_mut().for_each(|byte| *byte = b' ' + *byte % 95),
        Codes(codes) => bytes[0] = codes.as_bytes()[usize::from(bytes[0]) % codes.len()],
        Reason => bytes.copy_from_slice(&[0, 1 + bytes[1] % 0x33]),
    }
}

/// The fields of a message of this row, made of arbitrary bytes.
pub fn fit(row: &Row, mut bytes: Vec<u8>) -> Vec<u8> {
    assert_eq!(bytes.len(), row.fixed);
    bytes[0] = row.kind;
    for &(at, width, content) in row.fields {
        fit_field(content, &mut bytes[at..at + width]);
    }
    bytes
}

/// The element of an option, its value made of arbitrary bytes.
pub fn element(tag: u8, seed: [u8; 8]) -> Vec<u8> {
    let &(_, width, content) = TAGS.iter().find(|row| row.0 == tag).expect("a tag");
    let mut value = seed[..width].to_vec();
    fit_field(content, &mut value);
    [&[1 + width as u8, tag], &value[..]].concat()
}

/// A message of these fields and elements; its length follows where it must or there are elements.
pub fn join(row: &Row, fixed: &[u8], elements: &[Vec<u8>]) -> Vec<u8> {
    let elements = elements.concat();
    let mut bytes = fixed.to_vec();
    if row.tail == Must || !elements.is_empty() {
        bytes.extend_from_slice(&u16::try_from(elements.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(&elements);
    }
    bytes
}

/// A valid message of this row with ascending tags: as it is written.
pub fn valid(row: &'static Row) -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::collection::vec(any::<u8>(), row.fixed);
    let chosen = prop::sample::subsequence(row.tags, 0..=row.tags.len());
    let seeds = any::<[[u8; 8]; 21]>();
    (fixed, chosen, seeds).prop_map(|(fixed, chosen, seeds)| {
        let elements: Vec<_> = chosen.iter().zip(seeds).map(|(tag, seed)| element(*tag, seed)).collect();
        join(row, &fit(row, fixed), &elements)
    })
}

/// The index of a row, and a valid message of it.
pub fn any_valid() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (0..ROWS.len()).prop_flat_map(|index| valid(&ROWS[index]).prop_map(move |bytes| (index, bytes)))
}

/// A message of either direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Either {
    In(Inbound),
    Out(Outbound),
}

impl Either {
    pub fn parse(is_inbound: bool, bytes: &[u8]) -> Result<Self, OuchError> {
        if is_inbound { Inbound::parse(bytes).map(Self::In) } else { Outbound::parse(bytes).map(Self::Out) }
    }

    pub fn is_inbound(&self) -> bool {
        matches!(self, Self::In(_))
    }

    pub fn kind(&self) -> u8 {
        match self {
            Self::In(message) => message.kind(),
            Self::Out(message) => message.kind(),
        }
    }

    pub fn encoded_len(&self) -> usize {
        match self {
            Self::In(message) => message.encoded_len(),
            Self::Out(message) => message.encoded_len(),
        }
    }

    pub fn write(&self, out: &mut [u8]) -> Result<usize, OuchError> {
        match self {
            Self::In(message) => message.write(out),
            Self::Out(message) => message.write(out),
        }
    }

    pub fn append(&self, out: &mut Vec<u8>) -> Result<usize, OuchError> {
        match self {
            Self::In(message) => message.append(out),
            Self::Out(message) => message.append(out),
        }
    }

    pub fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let len = self.append(&mut out).expect("a message that was read");
        assert_eq!((len, len), (out.len(), self.encoded_len()));
        out
    }
}
