//! The place of a received frame in the log.

use crate::proto::log::LogEnd;

/// A frame that is the next one of the log, and has no place yet. Its owner gives it one:
/// [`super::Receiver::accept`] once it is taken, or [`super::Receiver::buffer`] until it can be. One that is
/// dropped comes again by repair.
#[must_use = "the frame is the next one: accept it, buffer it, or drop it for repair to bring it again"]
#[derive(PartialEq, Eq, Debug)]
pub struct NextFrame {
    pub(super) end: LogEnd,
}

impl NextFrame {
    /// Where the log ends with it.
    pub fn end(&self) -> &LogEnd {
        &self.end
    }
}

/// What became of a frame.
#[derive(PartialEq, Eq, Debug)]
pub enum Placement {
    /// It is the next one: the log would end behind it.
    Next(NextFrame),
    /// It is buffered until the gap before it is filled.
    Stored,
    /// It is not used; the counters say why.
    Dropped,
}
