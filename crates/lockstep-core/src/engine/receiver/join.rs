//! Where a reader without a log begins.

use super::{ACKS_TRACKED, Receiver, Start};
use crate::proto::log::LogEnd;
use lockstep_wire::Header;

impl Receiver {
    /// A message from now on follows the log that `header` describes.
    pub(super) fn begin_live(&mut self, header: &Header) {
        if self.start == Start::Live && self.end.is_none() {
            let (next, epoch) = (header.first_seq, header.epoch());
            let anchor = LogEnd { next, epoch, chain: header.chain, timestamp: header.timestamp };
            self.anchor(anchor, false);
        }
    }

    /// A reader that cannot hear the leader begins where the acks say that the log ends: else it would never
    /// begin. Some are heard out, and the furthest is taken: one of who lags would put the reader where
    /// nobody can repair. An ack below its sender's end carries no chain.
    pub(super) fn begin_by_acks(&mut self, header: &Header) {
        if self.start != Start::Live || self.end.is_some() || header.chain == 0 {
            return;
        }
        let (count, best) = self.acked;
        let position = (header.epoch(), header.first_seq);
        let best = if position >= (best.epoch(), best.first_seq) { *header } else { best };
        let count = if best.epoch() == self.acked.1.epoch() { count + 1 } else { 1 };
        self.acked = (count, best);
        if count >= ACKS_TRACKED {
            self.begin_live(&best);
        }
    }
}
