//! Bounds what one turn may read from the ledger, for all clients and for one. A request may ask for a whole
//! day again, and a resend skips messages without output, so the bound counts what is read. The next turns do
//! the rest, and serve the other clients in between.

use crate::gateway::ledger::{DeliveryPlace, Ledger};
use lockstep_core::engine::ports::{Backlog, BacklogError};
use soupbintcp::packet::PAYLOAD_LEN_MAX;

/// Messages that one turn reads.
pub(super) const TURN_ENTRIES: usize = 1_024;
/// Bytes of messages that one turn reads; the last message may exceed them.
const TURN_BYTES: usize = 1 << 20;
/// Messages that one turn reads for one client.
pub(super) const CLIENT_ENTRIES: usize = 256;

/// Reads the ledger for the clients of one turn: see the module.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct TurnReader {
    /// Messages that were read in this turn.
    entries: usize,
    /// Their bytes.
    bytes: usize,
    /// Messages that were read for the present client.
    of_client: usize,
    /// The message that was read last.
    message: Vec<u8>,
}

impl TurnReader {
    /// A turn begins.
    pub fn begin_turn(&mut self) {
        (self.entries, self.bytes, self.of_client) = (0, 0, 0);
    }

    /// The next client's part of the turn begins.
    pub fn begin_client(&mut self) {
        self.of_client = 0;
    }

    /// Whether this turn may read nothing more.
    pub fn is_over(&self) -> bool {
        self.entries >= TURN_ENTRIES || self.bytes >= TURN_BYTES
    }

    /// Whether it may read nothing more for the present client.
    pub fn is_spent(&self) -> bool {
        self.is_over() || self.of_client >= CLIENT_ENTRIES
    }

    /// Reads the next message from `place` on, and moves `place` behind it. `None`: there is no further one.
    pub fn next<B: Backlog>(
        &mut self,
        ledger: &Ledger<B>,
        place: &mut DeliveryPlace,
    ) -> Result<Option<&[u8]>, BacklogError> {
        if !ledger.next(place, &mut self.message)? {
            return Ok(None);
        }
        self.entries += 1;
        self.of_client += 1;
        self.bytes += self.message.len();
        Ok(Some(&self.message))
    }

    /// Panics with the rule that is broken.
    pub fn invariants(&self) {
        assert!(self.entries <= TURN_ENTRIES, "a turn has read {} messages", self.entries);
        assert!(self.bytes < TURN_BYTES + PAYLOAD_LEN_MAX, "a turn has read {} bytes", self.bytes);
    }
}
