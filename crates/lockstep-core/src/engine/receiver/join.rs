//! Where a reader without a log begins.

use super::{Receiver, Start};
use crate::engine::followed::Followed;
use crate::proto::delivered_log::DeliveredLog;
use crate::proto::log::LogEnd;
use lockstep_wire::{Chain, Header, Kind, Seq};

/// A live reader that receives no leader begins after so many acks, some heartbeats' worth.
const ACKS_TRACKED: u8 = 16;

/// Where a reader begins.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ReaderStart {
    pub(super) at: Start,
    /// Nothing below is ever asked for.
    pub(super) floor: Seq,
    /// The chain before the frame with which the reader begins, where a cursor names it.
    pub(super) chain_wanted: Option<Chain>,
    /// The cursor's chain is not the chain of this log.
    chain_refused: bool,
    /// Acks of one epoch that a live reader has received before it began, and the furthest.
    acked: (u8, Header),
}

impl ReaderStart {
    pub(super) fn new(start: Start) -> Self {
        let (at, chain_wanted) = match start {
            Start::Cursor(cursor) => (Start::From(cursor.seq), Some(cursor.chain)),
            _ => (start, None),
        };
        Self {
            at,
            floor: if let Start::From(seq) = at { seq } else { 1 },
            chain_wanted,
            chain_refused: false,
            acked: (0, Header::new(Kind::Ack)),
        }
    }

    /// Where the log begins that is read: as the owner asked, or where a takeover made it begin anew.
    pub fn at(&self) -> Start {
        self.at
    }

    /// Whether the log is not the one that the cursor was taken from.
    pub fn is_chain_refused(&self) -> bool {
        self.chain_refused
    }

    /// The frame with which a reader begins has this chain before it. Returns whether it is not that of the
    /// cursor that it came with: then nothing of this log is taken.
    pub(super) fn refuses_chain(&mut self, seen: Chain) -> bool {
        let refused = self.chain_wanted.is_some_and(|wanted| wanted != seen);
        self.chain_refused |= refused;
        refused
    }

    /// The oldest that any journal holds begins with `first`.
    pub(super) fn on_oldest(&mut self, first: Seq) {
        if self.at == Start::Oldest {
            self.at = Start::From(first);
            self.floor = first;
        }
    }

    /// An ack came before a live reader began. A reader that does not receive the leader begins where the
    /// acks say that the log ends: otherwise it would never begin. It takes the furthest of some, as that of
    /// a replica that lags would put the reader where no repairer can repair. An ack below its sender's end
    /// carries no chain. Returns the furthest once there are enough.
    pub(super) fn on_ack(&mut self, header: &Header) -> Option<Header> {
        if self.at != Start::Live || header.chain == 0 {
            return None;
        }
        let (count, best) = self.acked;
        let position = (header.epoch(), header.first_seq);
        let best = if position >= (best.epoch(), best.first_seq) { *header } else { best };
        let count = if best.epoch() == self.acked.1.epoch() { count + 1 } else { 1 };
        self.acked = (count, best);
        (count >= ACKS_TRACKED).then_some(best)
    }

    /// The exclusive bound of what this reader takes for final. A cursor names what was read before.
    pub(super) fn final_next(&self, followed: &Followed) -> Seq {
        let is_resumed = followed.end.is_none() && self.chain_wanted.is_some();
        followed.commit.commit_next().max(if is_resumed { self.floor } else { 1 })
    }

    /// The chain before `next` in the own log, if that boundary is known.
    pub(super) fn chain_at(&self, followed: &Followed, delivered: &DeliveredLog, next: Seq) -> Option<Chain> {
        match (followed.end, self.at) {
            (Some(end), _) if end.next == next => Some(end.chain),
            (Some(_), _) => delivered.boundary(next).filter(|mark| mark.next == next).map(|mark| mark.chain),
            (None, Start::From(seq)) if seq == next => self.chain_wanted,
            (None, _) => None,
        }
    }

    /// Acks of another history do not count.
    pub(super) fn forget_acks(&mut self) {
        self.acked = (0, Header::new(Kind::Ack));
    }
}

impl Receiver {
    /// A live reader begins with the next message: behind the log that `header` describes.
    pub(super) fn begin_live(&mut self, followed: &mut Followed, header: &Header) {
        if self.start.at == Start::Live && followed.end.is_none() {
            let (next, epoch) = (header.first_seq, header.epoch());
            let anchor = LogEnd { next, epoch, chain: header.chain, timestamp: header.timestamp };
            self.anchor(followed, anchor, false);
        }
    }
}
