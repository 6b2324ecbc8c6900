//! The name of a session: ten bytes, blanks behind it (MoldUDP64 1.00 "Downstream Packet").

use std::fmt;

/// A session's name, without the blanks that pad it on the wire. Some peers pad on the left: both sides are
/// trimmed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// Behind the name zeros, so that equal names are equal bytes.
    bytes: [u8; Self::LEN],
    len: u8,
}

/// Why a text names no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionError {
    /// More bytes than the field is wide.
    Long {
        /// Bytes of the text.
        len: usize,
    },
    /// A blank, control or non-ASCII byte.
    Byte {
        /// The first such.
        byte: u8,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long { len } => write!(f, "a session's name of {len} bytes: at most {} fit", Session::LEN),
            Self::Byte { byte } => {
                write!(
                    f,
                    "byte {byte:#04x} in a session's name: use letters and digits, or other printable ASCII"
                )
            }
        }
    }
}

impl std::error::Error for SessionError {}

impl Session {
    /// Bytes on the wire.
    pub const LEN: usize = 10;
    /// No name: nothing but blanks on the wire.
    pub const BLANK: Self = Self { bytes: [0; Self::LEN], len: 0 };

    /// The session of this name. The specification asks for letters and digits; other printable ASCII passes,
    /// as sessions like `SIM-1` are in use.
    ///
    /// # Errors
    /// The name is too long, or has bytes that are not printable.
    ///
    /// ```
    /// let session = moldudp64::Session::new(b"20261122A")?;
    /// assert_eq!(session.padded(), *b"20261122A ");
    /// # Ok::<(), moldudp64::SessionError>(())
    /// ```
    pub fn new(name: &[u8]) -> Result<Self, SessionError> {
        if name.len() > Self::LEN {
            return Err(SessionError::Long { len: name.len() });
        }
        match name.iter().find(|byte| !byte.is_ascii_graphic()) {
            Some(&byte) => Err(SessionError::Byte { byte }),
            None => Ok(Self::of(name)),
        }
    }

    /// What a peer wrote, without the blanks on both sides; whatever else it holds stays.
    pub fn from_wire(wire: &[u8; Self::LEN]) -> Self {
        let from = wire.iter().position(|&byte| byte != b' ').unwrap_or(Self::LEN);
        let to = wire.iter().rposition(|&byte| byte != b' ').map_or(from, |last| last + 1);
        Self::of(&wire[from..to])
    }

    fn of(name: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[..name.len()].copy_from_slice(name);
        Self { bytes, len: name.len() as u8 }
    }

    /// Without blanks.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Nothing but blanks.
    pub fn is_blank(&self) -> bool {
        self.len == 0
    }

    /// Printable ASCII without a blank within: what [`Session::new`] takes.
    pub fn is_plain(&self) -> bool {
        self.as_bytes().iter().all(u8::is_ascii_graphic)
    }

    /// As it is sent: the name, then blanks.
    pub fn padded(&self) -> [u8; Self::LEN] {
        let mut wire = [b' '; Self::LEN];
        wire[..self.as_bytes().len()].copy_from_slice(self.as_bytes());
        wire
    }
}

/// Fit for a log or a terminal: what is not printable is a dot.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |byte: u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' };
        self.as_bytes().iter().try_for_each(|&byte| write!(f, "{}", shown(byte)))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
