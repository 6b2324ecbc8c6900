//! What one turn may read of the ledger, for all clients and for one. A request may ask for a whole day
//! again, and messages that are left out of a resend make no output: so the bound is in what is read. The
//! next turns do what is left, and serve the other clients between.

use std::collections::BTreeSet;

/// Messages that one turn reads, ...
pub(super) const TURN_ENTRIES: usize = 1_024;
/// ... and their bytes; the last one may go beyond.
pub(super) const TURN_BYTES: usize = 1 << 20;
/// Those that it reads for one client.
pub(super) const CLIENT_ENTRIES: usize = 256;

/// Connections in the order of this turn: behind the last one that had its own.
pub(super) fn in_turn(mut ready: BTreeSet<usize>, filled: usize) -> impl Iterator<Item = usize> {
    let behind = ready.split_off(&(filled + 1));
    behind.into_iter().chain(ready)
}

/// See the module.
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
    /// The next client's turn.
    pub fn begin_client(&mut self) {
        self.of_client = 0;
    }

    /// A message of so many bytes was read.
    pub fn on_read(&mut self, len: usize) {
        self.entries += 1;
        self.of_client += 1;
        self.bytes += len;
    }

    /// Whether this turn reads nothing more.
    pub fn is_over(&self) -> bool {
        self.entries >= TURN_ENTRIES || self.bytes >= TURN_BYTES
    }

    /// Whether it reads nothing more for the present client.
    pub fn is_spent(&self) -> bool {
        self.is_over() || self.of_client >= CLIENT_ENTRIES
    }
}
