//! The report on bytes that differ from those written.

use lockstep_wire::Seq;
use std::fmt;

/// Bytes that were written and can no longer be read. Never the end of the log.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Damage {
    /// Which file, as named in the journal's directory; `tail` for the ring.
    pub file: String,
    /// Where in it, in bytes; for the ring a position.
    pub offset: u64,
    /// The first seq that is lost; 0 where no frame is concerned.
    pub seq: Seq,
    /// What was found.
    pub what: String,
}

impl Damage {
    /// Damage of `file` at `offset`, where `seq` should be.
    pub fn new(file: impl fmt::Display, offset: u64, seq: Seq, what: impl fmt::Display) -> Self {
        Self { file: file.to_string(), offset, seq, what: what.to_string() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}", self.file, self.offset)?;
        if self.seq != 0 {
            write!(f, " (seq {})", self.seq)?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Damage {}
