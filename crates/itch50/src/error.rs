//! Why bytes are no message.

use std::fmt;

/// Why bytes are no message of TotalView-ITCH 5.0, or a message was not written. The transport delimits
/// messages, so one that is refused costs nothing but itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItchError {
    /// No byte at all, so not even a type.
    Empty,
    /// A type that the specification does not have, or another than was asked for.
    Kind {
        /// The letter.
        kind: u8,
    },
    /// A length that messages of this type do not have.
    Length {
        /// The letter.
        kind: u8,
        /// Bytes that there are.
        len: usize,
        /// Bytes of every message of this type.
        expected: usize,
    },
    /// An enumerated field with a code that the specification does not list.
    Code {
        /// The letter.
        kind: u8,
        /// The field's name in this crate.
        field: &'static str,
        /// Where it begins in the message.
        offset: usize,
        /// The code.
        code: u8,
    },
    /// A text with a byte that is not printable ASCII.
    Text {
        /// The letter.
        kind: u8,
        /// The field's name in this crate.
        field: &'static str,
        /// Where it begins in the message.
        offset: usize,
        /// The first such byte.
        byte: u8,
    },
    /// A number in ASCII digits that is blank, no decimal number, or beyond u64.
    Number {
        /// The letter.
        kind: u8,
        /// The field's name in this crate.
        field: &'static str,
        /// Where it begins in the message.
        offset: usize,
    },
    /// A slice that is shorter than the message: only where we write.
    NoRoom {
        /// Bytes of the message.
        needed: usize,
    },
}

/// A letter as it may be shown: a dot in place of what does not belong on a terminal.
fn shown(byte: u8) -> char {
    if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' }
}

impl fmt::Display for ItchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no bytes: a message has at least its type"),
            Self::Kind { kind } => write!(
                f,
                "message type {:?} ({kind:#04x}) is not expected here: check that the sender speaks \
                 TotalView-ITCH 5.0",
                shown(*kind)
            ),
            Self::Length { kind, len, expected } => write!(
                f,
                "message {:?} of {len} bytes: it has exactly {expected}, check the transport's lengths",
                shown(*kind)
            ),
            Self::Code { kind, field, offset, code } => write!(
                f,
                "message {:?}: {field} at byte {offset} is {:?} ({code:#04x}), which the specification does \
                 not list",
                shown(*kind),
                shown(*code)
            ),
            Self::Text { kind, field, offset, byte } => write!(
                f,
                "message {:?}: {field} at byte {offset} has the byte {byte:#04x}: texts are printable ASCII",
                shown(*kind)
            ),
            Self::Number { kind, field, offset } => {
                write!(f, "message {:?}: {field} at byte {offset} is no decimal number of u64", shown(*kind))
            }
            Self::NoRoom { needed } => write!(f, "no room for a message of {needed} bytes: grow the buffer"),
        }
    }
}

impl std::error::Error for ItchError {}
