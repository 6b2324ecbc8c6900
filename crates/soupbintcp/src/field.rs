//! Blank-padded texts of a fixed width.
//!
//! SoupBinTCP pads a session on its left and names on their right, and some peers pad the other way. So a
//! field is stored and compared without its blanks, and padded when it is written.

use std::fmt;

/// A text of at most `N` bytes, without the blanks that pad it on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field<const N: usize> {
    /// Behind the text zeros, so that equal texts are equal bytes.
    bytes: [u8; N],
    len: u8,
}

/// The name of a session (SoupBinTCP 4.1 "Login Accepted Packet").
pub type Session = Field<10>;

/// Why a text is no field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldError {
    /// More bytes than the field is wide.
    Long {
        /// Bytes of the text.
        len: usize,
        /// Bytes of the field.
        width: usize,
    },
    /// A blank, control or non-ASCII byte.
    Byte {
        /// The first such.
        byte: u8,
    },
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long { len, width } => write!(f, "{len} bytes in a field of {width}: shorten it"),
            Self::Byte { byte } => {
                write!(f, "byte {byte:#04x} in a field: use letters and digits, or other printable ASCII")
            }
        }
    }
}

impl std::error::Error for FieldError {}

/// Without the blanks on both sides; other white space is content.
pub(crate) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

impl<const N: usize> Field<N> {
    /// Blanks only: for a session "the one that is active".
    pub const BLANK: Self = Self { bytes: [0; N], len: 0 };
    const FITS: () = assert!(N <= u8::MAX as usize);

    /// A text of ours; may be empty. The specifications ask for letters and digits; other printable ASCII
    /// passes, as sessions like `SIM-1` are in use.
    pub fn new(text: &[u8]) -> Result<Self, FieldError> {
        if text.len() > N {
            return Err(FieldError::Long { len: text.len(), width: N });
        }
        match text.iter().find(|byte| !byte.is_ascii_graphic()) {
            Some(&byte) => Err(FieldError::Byte { byte }),
            None => Ok(Self::from_trimmed(text)),
        }
    }

    /// What a peer wrote, without the blanks on both sides; whatever else it holds is kept.
    pub fn from_wire(wire: &[u8; N]) -> Self {
        Self::from_trimmed(trimmed(wire))
    }

    fn from_trimmed(text: &[u8]) -> Self {
        let () = Self::FITS;
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        Self { bytes, len: text.len() as u8 }
    }

    /// Without blanks.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Nothing but blanks.
    pub fn is_blank(&self) -> bool {
        self.len == 0
    }

    /// Printable ASCII without a blank within: what [`Field::new`] takes.
    pub fn is_plain(&self) -> bool {
        self.as_bytes().iter().all(u8::is_ascii_graphic)
    }

    /// Equal whatever the case of its letters: how user names and passwords are compared
    /// (SoupBinTCP 4.1 "Login Request Packet").
    pub fn is_same_name(&self, other: &Self) -> bool {
        self.as_bytes().eq_ignore_ascii_case(other.as_bytes())
    }

    /// The text first, then blanks.
    pub fn padded_right(&self) -> [u8; N] {
        let mut wire = [b' '; N];
        wire[..self.as_bytes().len()].copy_from_slice(self.as_bytes());
        wire
    }

    /// Blanks first, then the text.
    pub fn padded_left(&self) -> [u8; N] {
        let mut wire = [b' '; N];
        wire[N - self.as_bytes().len()..].copy_from_slice(self.as_bytes());
        wire
    }
}

impl<const N: usize> fmt::Display for Field<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Text(self.as_bytes()), f)
    }
}

impl<const N: usize> fmt::Debug for Field<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A peer's text as it may be shown: a log line or a terminal gets printable ASCII and dots, and at most
/// [`Text::LEN_MAX`] of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(
    /// As it came.
    pub &'a [u8],
);

impl Text<'_> {
    /// Bytes that are shown; of more the count is told.
    pub const LEN_MAX: usize = 256;
}

/// A byte, or a dot in place of what does not belong on a terminal.
pub(crate) fn shown(byte: u8) -> u8 {
    if matches!(byte, b' '..=b'~') { byte } else { b'.' }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.0[..self.0.len().min(Self::LEN_MAX)];
        head.iter().try_for_each(|&byte| write!(f, "{}", char::from(shown(byte))))?;
        match self.0.len() - head.len() {
            0 => Ok(()),
            more => write!(f, "… and {more} bytes"),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
