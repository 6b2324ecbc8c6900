//! Records → bytes of a file: what each format is behind, a pure function of the records.

use super::manifest::RowsBefore;
use crate::record::StreamRecord;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes that an encoder wrote and that are in no file yet. Clones are the same memory: the writers of
/// other crates own one, the folder takes the bytes from another.
#[derive(Clone, Debug, Default)]
pub struct EncodedBytes(Arc<Mutex<Vec<u8>>>);

impl EncodedBytes {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Adds some.
    pub fn push(&self, bytes: &[u8]) {
        self.lock().extend_from_slice(bytes);
    }

    /// All of them, in exchange for the empty `memory`.
    pub fn take(&self, memory: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.lock(), memory)
    }
}

impl Write for EncodedBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl EncodeError {
    /// The format has no place for this message, and takes the next one.
    pub fn is_of_message(&self) -> bool {
        matches!(self, Self::MessageLong { .. } | Self::MessageEmpty { .. })
    }
}

/// Why a record cannot be in a file of this format, ever.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The format's length field, or a datagram, does not take it.
    MessageLong {
        /// Its position in the stream.
        seq: u64,
        /// Its bytes.
        len: usize,
        /// What the format takes.
        max: usize,
    },
    /// A BinaryFILE ends with a message of no bytes.
    MessageEmpty {
        /// Its position in the stream.
        seq: u64,
    },
    /// The writer of the format refused it.
    Writer {
        /// Its position in the stream.
        seq: u64,
        /// The writer's reason.
        reason: String,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageLong { seq, len, max } => {
                write!(
                    f,
                    "message {seq} has {len} bytes: this format takes {max}, another --format takes all"
                )
            }
            Self::MessageEmpty { seq } => {
                write!(f, "message {seq} has no bytes: that ends a BinaryFILE, another --format takes it")
            }
            Self::Writer { seq, reason } => {
                write!(f, "message {seq} cannot be written: {reason}; or leave it out with --skip {seq}")
            }
        }
    }
}

impl std::error::Error for EncodeError {}

/// Encodes files of one format, one behind the other.
pub trait FileEncoder {
    /// Begins a file, whose first message is `first`, behind files with so many rows.
    fn begin(
        &mut self,
        first: &StreamRecord<'_>,
        before: RowsBefore,
        out: &EncodedBytes,
    ) -> Result<(), EncodeError>;

    /// Adds a record. Returns how many bytes that is, before compression: the size by which files are
    /// limited, so a function of the records alone.
    fn append(&mut self, record: &StreamRecord<'_>, out: &EncodedBytes) -> Result<u64, EncodeError>;

    /// Ends the file: all of its bytes are in `out` now.
    fn end(&mut self, out: &EncodedBytes) -> Result<(), EncodeError>;
}

/// The reason of a writer of another crate.
pub(crate) fn refused(seq: u64, error: impl fmt::Display) -> EncodeError {
    EncodeError::Writer { seq, reason: error.to_string() }
}
