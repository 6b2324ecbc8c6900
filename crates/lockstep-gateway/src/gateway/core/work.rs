//! Bounds what one turn may read from the ledger, for all clients and for one. A request may ask for a whole
//! day again, and a resend skips messages without output, so the bound counts what is read. The next turns do
//! the rest, and serve the other clients in between.

use std::collections::BTreeSet;

/// Messages that one turn reads.
pub(super) const TURN_ENTRIES: usize = 1_024;
/// Bytes of messages that one turn reads; the last message may exceed them.
pub(super) const TURN_BYTES: usize = 1 << 20;
/// Messages that one turn reads for one client.
pub(super) const CLIENT_ENTRIES: usize = 256;

/// Connections in the order of this turn: first those behind the last one that was served.
pub(super) fn in_turn(mut ready: BTreeSet<usize>, filled: usize) -> impl Iterator<Item = usize> {
    let behind = ready.split_off(&(filled + 1));
    behind.into_iter().chain(ready)
}

/// The work of a turn: see the module.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct TurnWork {
    /// Messages that were read in this turn.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Messages that were read for the present client.
    of_client: usize,
}

impl TurnWork {
    /// The next client's part of the turn begins.
    pub fn begin_client(&mut self) {
        self.of_client = 0;
    }

    /// A message of `len` bytes was read.
    pub fn on_read(&mut self, len: usize) {
        self.entries += 1;
        self.of_client += 1;
        self.bytes += len;
    }

    /// Whether this turn may read nothing more.
    pub fn is_over(&self) -> bool {
        self.entries >= TURN_ENTRIES || self.bytes >= TURN_BYTES
    }

    /// Whether it may read nothing more for the present client.
    pub fn is_spent(&self) -> bool {
        self.is_over() || self.of_client >= CLIENT_ENTRIES
    }
}
