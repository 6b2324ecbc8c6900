//! A reader's part in a replay: frames that a journal sends, all of them committed.
//!
//! They come in order over one connection, from any replica or archiver. A committed entry is so in every
//! log (S6), so nothing has to be known of the epoch that is followed now: each frame is taken where it
//! follows, and its chain proves that it does. Starts of epochs among them are learned like any other.

use super::{Placement, Receiver, Start};
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::Events;
use lockstep_wire::{Chain, Cursor, FrameView, Seq};

impl Receiver {
    /// Judges a frame of a replay, which is committed; as [`Receiver::on_frame`].
    pub fn on_replayed(
        &mut self,
        frame: &FrameView<'_>,
        counters: &mut Counters,
        events: &mut Events,
    ) -> Placement {
        let header = frame.header;
        counters.add(Counter::ReplayedIn, 1);
        if self.start == Start::Oldest {
            self.start = Start::From(header.first_seq);
            self.floor = header.first_seq;
        }
        self.learn_start(frame, counters, events);
        let owner = self.follow.owner(header.first_seq);
        if self.contradicted || owner.is_some_and(|owner| owner != header.epoch()) {
            counters.add(Counter::FramesUnowned, 1);
            return Placement::Dropped;
        }
        self.commit.on_final(header.next_seq());
        self.seen_next = self.seen_next.max(header.next_seq());
        self.place(frame, None, counters, events)
    }

    /// Whether repairers are left alone, because a replay brings what is missing.
    pub fn set_replaying(&mut self, replaying: bool) {
        if self.replaying != replaying {
            self.replaying = replaying;
            self.requests.restart();
            self.requests.forget_refusals();
        }
    }

    /// What a replay would have to begin with: the next seq, 0 for the oldest there is, and the chain there,
    /// as far as it is known. What a reader holds behind its commit may not have survived a takeover that it
    /// did not hear of: it begins where it is sure. `None` before a live reader has begun.
    pub fn replay_from(&self) -> Option<(Seq, Option<Chain>)> {
        let keeps_marks = self.end.is_some() && !self.limits.count_when_accepted;
        let sure = self.committed_end().filter(|_| keeps_marks);
        match (sure.or(self.end), self.start) {
            (Some(end), _) if end.next == 1 => Some((1, None)),
            (Some(end), _) => Some((end.next, Some(end.chain))),
            (None, Start::From(seq)) => Some((seq, self.chain_wanted)),
            (None, Start::Oldest) => Some((0, None)),
            (None, _) => None,
        }
    }

    /// The frame with which a reader begins has this chain before it. Returns whether it is not that of the
    /// cursor that it came with: then nothing of this log is taken.
    pub(super) fn refuses_chain(&mut self, seen: Chain) -> bool {
        let refused = self.chain_wanted.is_some_and(|wanted| wanted != seen);
        if refused {
            self.chain_refused = true;
        }
        refused
    }

    /// Whether the log is not the one that the cursor was taken from.
    pub fn chain_refused(&self) -> bool {
        self.chain_refused
    }

    /// Where a reader that has been told everything below `next` can come back to: `chain` is the one before
    /// the frame that holds it.
    pub fn cursor(&self, next: Seq, chain: Chain) -> Option<Cursor> {
        let known = self.history() != 0 && next > 0;
        known.then_some(Cursor { history: self.history(), seq: next, chain })
    }
}
