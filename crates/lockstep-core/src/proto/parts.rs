//! # parts: when a message that was left unfinished is discarded
//!
//! The question: a message that is larger than a datagram is in the stream as several entries, and its
//! publisher may die between two of them. How long does a reader wait for the rest? It holds memory for it,
//! and its resume position lies at the first part.
//!
//! The intuition: what becomes of a message must follow from the stream alone, or two readers deliver two
//! streams. So no clock, no setting and no memory of a reader decides, but what stands between the first part
//! and the place where the reader is.
//!
//! ```text
//!   first part ──▶ open ──▶ last part: delivered
//!                    │ an open or the close of the name, an entry of it that is not the next part
//!                    │ more than 2^18 entries behind its first part
//!                    │ longer than any message, or what began with it and behind it takes 64 MiB
//!                    └──▶ discarded: it is no message, whatever comes
//! ```
//!
//! Each of these looks at nothing before the first part. So all readers that have the first part agree,
//! wherever they began; and who begins 2^18 entries before a place has every message that ends behind it.

use super::planted::{Mutation, planted};
use lockstep_wire::{MESSAGE_LEN_MAX, Seq};

/// How much of the stream may lie between the parts of a message, and how much of one may be open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PartsBounds {
    /// All parts of a message lie within so many entries behind its first.
    pub span: Seq,
    /// Bytes of all messages that are open, each part with [`PartsBounds::part_cost`].
    pub open: usize,
    /// What a part counts for beside its bytes: what a reader keeps of it.
    pub part_cost: usize,
    /// Bytes of the longest message.
    pub message_len: usize,
    /// Parts of one message: the shortest frame that a configuration allows takes 560 bytes.
    pub parts: usize,
}

/// Those of every reader. They are part of the protocol: readers with other ones deliver other messages.
pub const PARTS_BOUNDS: PartsBounds =
    PartsBounds { span: 1 << 18, open: 64 << 20, part_cost: 256, message_len: MESSAGE_LEN_MAX, parts: 128 };

impl Default for PartsBounds {
    fn default() -> Self {
        PARTS_BOUNDS
    }
}

impl PartsBounds {
    /// The last entry at which a message may still be open whose first part stands at `first`.
    pub fn last_of(&self, first: Seq) -> Seq {
        first.saturating_add(self.span)
    }

    /// PARTS-1 (what is left unfinished): whether the oldest open message, whose first part stands at
    /// `first`, is discarded before the entry `at` is read, where all that are open take `open` bytes.
    pub fn discards(&self, first: Seq, at: Seq, open: usize) -> bool {
        let is_full = open > self.open && !planted(Mutation::PartsUnbounded);
        at > self.last_of(first) + u64::from(planted(Mutation::PartsSpanLonger)) || is_full
    }

    /// Whether a message of so many parts and bytes is longer than any may be.
    pub fn is_too_long(&self, parts: usize, bytes: usize) -> bool {
        parts > self.parts || bytes > self.message_len
    }
}
