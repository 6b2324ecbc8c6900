//! The end of a snapshot (GLIMPSE 5.0). A snapshot is a SoupBinTCP session of ITCH messages – system events,
//! directory, trading actions, restrictions, halts, retail interest, and an add for each displayed order –
//! and one message more, which says where the feed continues.
//!
//! ```text
//!  0     1                        21
//!  ┌─────┬────────────────────────┐
//!  │ 'G' │ sequence number        │   decimal digits in ASCII: the one number of the feed that is not binary
//!  └─────┴────────────────────────┘
//! ```

use crate::error::ItchError;
use crate::message::Message;

/// `G`: the snapshot is whole ("Snapshot Message").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndOfSnapshot {
    /// The feed's first message that the snapshot does not contain. The specification calls it the sequence
    /// number "when the snapshot was taken", and says of the message that it denotes where to begin with the
    /// feed; so it is the next one to apply.
    pub next_seq: u64,
}

impl EndOfSnapshot {
    /// The message type.
    pub const KIND: u8 = b'G';
    /// Bytes of the message, its type included.
    pub const LEN: usize = 21;

    /// The message that `bytes` are; they must be exactly this one. Blanks may stand on either side of the
    /// digits, and zeros before them.
    ///
    /// # Errors
    /// The type is another's, the length is not [`Self::LEN`], or the number is blank, no decimal number or
    /// beyond u64.
    pub fn parse(bytes: &[u8]) -> Result<Self, ItchError> {
        let (&kind, digits) = bytes.split_first().ok_or(ItchError::Empty)?;
        if kind != Self::KIND {
            return Err(ItchError::Kind { kind });
        }
        if bytes.len() != Self::LEN {
            return Err(ItchError::Length { kind, len: bytes.len(), expected: Self::LEN });
        }
        let wrong = ItchError::Number { kind, field: "next_seq", offset: 1 };
        let digits = trimmed(digits);
        if digits.is_empty() {
            return Err(wrong);
        }
        let number = digits.iter().try_fold(0u64, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        });
        number.map(|next_seq| Self { next_seq }).ok_or(wrong)
    }

    /// Its bytes: the digits right-justified, blanks on their left, as SoupBinTCP's numbers are.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [b' '; Self::LEN];
        out[0] = Self::KIND;
        let mut number = self.next_seq;
        for to in out[1..].iter_mut().rev() {
            *to = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        out
    }
}

/// Without the blanks on both sides; other white space is content.
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

/// A message of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotMessage {
    /// A part of the state, as the feed would send it.
    Part(Message),
    /// The last one.
    End(EndOfSnapshot),
}

impl SnapshotMessage {
    /// The message that `bytes` are; they must be exactly one. Editions of the specification differ in which
    /// messages of the feed a snapshot has, so every one is taken.
    ///
    /// # Errors
    /// Those of [`Message::parse`] and [`EndOfSnapshot::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ItchError> {
        match bytes.first() {
            Some(&EndOfSnapshot::KIND) => EndOfSnapshot::parse(bytes).map(Self::End),
            _ => Message::parse(bytes).map(Self::Part),
        }
    }
}
