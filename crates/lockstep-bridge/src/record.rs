//! A message of the stream, as targets store it.

use lockstep_client::Cursor;
use lockstep_names::RecordNames;

/// A message of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamRecord<'a> {
    /// The history in which it was stamped.
    pub history: u64,
    /// Its place in the stream. Seqs rise and are not contiguous: the cluster's own entries take some.
    pub seq: u64,
    /// The epoch in which it was stamped.
    pub epoch: u64,
    /// When it was stamped: nanoseconds since the Unix epoch, never falling along the stream.
    pub timestamp: u64,
    /// The publisher's number.
    pub publisher: u32,
    /// The publisher's number of it.
    pub publisher_seq: u64,
    /// Its destination; 0 is everybody.
    pub destination: u32,
    /// The names of both, as far as they are known.
    pub names: RecordNames<'a>,
    /// Its bytes.
    pub payload: &'a [u8],
    /// A subscription that begins here reads this message, perhaps behind some that lie before it.
    pub cursor: Cursor,
    /// A subscription that begins here reads every message behind this one, and no other that is not before
    /// it: a function of the stream, whoever reads it.
    pub resume: Cursor,
}
