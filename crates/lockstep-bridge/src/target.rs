//! The port to a target: what the bridge asks of it, and how it fails.

use crate::record::StreamRecord;
use lockstep_client::Cursor;
use lockstep_names::OpenedNames;
use std::fmt;

/// Where a target ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetPosition {
    /// The history of the last message that the target has durably ([`StreamRecord::history`]).
    pub history: u64,
    /// Its seq; 0 if the target has a cursor and no message.
    pub seq: u64,
    /// Where a subscription begins that reads everything behind that message, if the target stores cursors:
    /// [`StreamRecord::cursor`] of the last message, or that of the last [`Target::commit`]. Messages up to
    /// `seq` that it brings again are passed over. Without one the stream is read from `seq` on, and the
    /// history of that message is compared.
    pub cursor: Option<Cursor>,
}

/// A system that stores the stream.
pub trait Target {
    /// The target as messages name it, such as `table lockstep_stream of PostgreSQL at 127.0.0.1:5432`.
    fn name(&self) -> String;

    /// Where the target ends; `None` if it is empty. Asked at each start and after each failure: it drops the
    /// connection of before, connects, and forgets what was appended and not committed.
    fn position(&mut self) -> Result<Option<TargetPosition>, TargetError>;

    /// The names that the target has stored: those that were opened before its position, as far as it has
    /// that stream.
    fn names(&self) -> OpenedNames {
        OpenedNames::default()
    }

    /// Names that were read so far, for a target that stores them. Some may be opened behind what is
    /// appended and committed next.
    fn on_names(&mut self, _names: &OpenedNames) {}

    /// Whether the target has this message, although it lies behind its position: it is passed over then.
    fn has(&mut self, _record: &StreamRecord<'_>) -> Result<bool, TargetError> {
        Ok(false)
    }

    /// Takes a message; it need not be durable before [`Target::commit`].
    fn append(&mut self, record: &StreamRecord<'_>) -> Result<(), TargetError>;

    /// Makes everything appended durable. A subscription that begins at `cursor` reads everything that has
    /// not been appended by now.
    fn commit(&mut self, cursor: Cursor) -> Result<(), TargetError>;

    /// The end that was asked for is reached, and committed: nothing is appended behind it.
    fn finish(&mut self) -> Result<(), TargetError> {
        Ok(())
    }
}

/// Why a target does not do what is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetError {
    /// It may pass: down, slow, full, refused. The bridge says it once, and tries again.
    Retry(String),
    /// It does not pass by itself: what, where, and what to do.
    Fatal {
        /// The exit code.
        code: u8,
        /// The sentence.
        what: String,
    },
}

impl TargetError {
    /// One that may pass.
    pub fn retry(what: impl fmt::Display) -> Self {
        Self::Retry(what.to_string())
    }

    /// One that does not pass by itself.
    pub fn fatal(code: u8, what: impl fmt::Display) -> Self {
        Self::Fatal { code, what: what.to_string() }
    }
}
