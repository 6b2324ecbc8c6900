//! Why bytes are no message, or a message cannot be written.

use crate::codes::RejectReason;
use std::fmt;

/// Why bytes are no message of OUCH 5.0, or a message was not written. The transport delimits messages, so
/// one that is refused costs nothing but itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OuchError {
    /// No byte at all, so not even a type.
    Empty,
    /// A type that this direction does not have, or another than was asked for.
    Kind {
        /// The letter.
        kind: u8,
    },
    /// Fewer bytes than the fields of the type need, or more where no appendage may follow them.
    Length {
        /// The letter.
        kind: u8,
        /// Bytes that there are.
        len: usize,
        /// Bytes of the type without options; with the length of its appendage, where that must be there.
        expected: usize,
    },
    /// An enumerated field with a code that the specification does not list for it.
    Code {
        /// The letter.
        kind: u8,
        /// The field's name in this crate.
        field: &'static str,
        /// Where it begins in the message.
        offset: usize,
        /// The code.
        code: u16,
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
    /// An appendage whose length is not that of the bytes behind it.
    Appendage {
        /// The letter.
        kind: u8,
        /// As its length field has it.
        length: u16,
        /// Bytes that follow.
        found: usize,
    },
    /// An option that ends beyond the appendage, or whose length does not even count its tag.
    OptionEnd {
        /// The letter.
        kind: u8,
        /// Where the option begins in the message.
        offset: usize,
    },
    /// A tag that the specification does not have.
    OptionUnknown {
        /// The letter.
        kind: u8,
        /// The tag.
        tag: u8,
        /// Where the option begins in the message.
        offset: usize,
    },
    /// An option that the specification does not list for this message.
    OptionUnlisted {
        /// The letter.
        kind: u8,
        /// The tag.
        tag: u8,
    },
    /// An option with a length that its tag does not have.
    OptionLength {
        /// The letter.
        kind: u8,
        /// The tag.
        tag: u8,
        /// Bytes of its value.
        len: usize,
        /// Bytes of every value of this tag.
        expected: usize,
    },
    /// An option that is there twice.
    OptionTwice {
        /// The letter.
        kind: u8,
        /// The tag.
        tag: u8,
    },
    /// A slice that is shorter than the message: only where we write.
    NoRoom {
        /// Bytes of the message.
        needed: usize,
    },
}

impl OuchError {
    /// The reason with which a venue may answer an order that was refused so. The specification assigns
    /// reasons to no malformed field; these are those of its list that name the field, and else "other".
    pub fn reject_reason(&self) -> RejectReason {
        match self {
            Self::Code { field, .. } => match *field {
                "side" => RejectReason::InvalidSide,
                "display" => RejectReason::InvalidDisplay,
                "cross_type" => RejectReason::InvalidCrossOrder,
                "price_type" | "discretion_price_type" => RejectReason::InvalidPegType,
                "aiq_strategy" => RejectReason::InvalidAiq,
                _ => RejectReason::Other,
            },
            Self::Text { field: "symbol", .. } => RejectReason::InvalidSymbol,
            _ => RejectReason::Other,
        }
    }
}

/// A letter as it may be shown: a dot in place of what does not belong on a terminal.
fn shown(byte: u8) -> char {
    if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' }
}

impl fmt::Display for OuchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no bytes: a message has at least its type"),
            Self::Kind { kind } => write!(
                f,
                "message type {:?} ({kind:#04x}) is not expected here: check the direction, and that the \
                 peer speaks OUCH 5.0",
                shown(*kind)
            ),
            Self::Length { kind, len, expected } => {
                write!(f, "message {:?} of {len} bytes: without options it has {expected}", shown(*kind))
            }
            Self::Code { kind, field, offset, code } => {
                let kind = shown(*kind);
                write!(f, "message {kind:?}: {field} at byte {offset} is {code:#04x}, which is not listed")
            }
            Self::Text { kind, field, offset, byte } => write!(
                f,
                "message {:?}: {field} at byte {offset} has the byte {byte:#04x}: texts are printable ASCII",
                shown(*kind)
            ),
            _ => self.fmt_options(f),
        }
    }
}

impl OuchError {
    fn fmt_options(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appendage { kind, length, found } => {
                write!(f, "message {:?}: an appendage of {length} bytes, and {found} follow", shown(*kind))
            }
            Self::OptionEnd { kind, offset } => write!(
                f,
                "message {:?}: the option at byte {offset} ends beyond the appendage: its length counts the \
                 tag and the value",
                shown(*kind)
            ),
            Self::OptionUnknown { kind, tag, offset } => {
                write!(f, "message {:?}: tag {tag} at byte {offset} is no option", shown(*kind))
            }
            Self::OptionUnlisted { kind, tag } => {
                write!(f, "message {:?} does not take the option with tag {tag}", shown(*kind))
            }
            Self::OptionLength { kind, tag, len, expected } => write!(
                f,
                "message {:?}: the option with tag {tag} has a value of {len} bytes instead of {expected}",
                shown(*kind)
            ),
            Self::OptionTwice { kind, tag } => {
                write!(f, "message {:?}: the option with tag {tag} is there twice", shown(*kind))
            }
            Self::NoRoom { needed } => write!(f, "no room for a message of {needed} bytes: grow the buffer"),
            _ => f.write_str("refused"),
        }
    }
}

impl std::error::Error for OuchError {}
