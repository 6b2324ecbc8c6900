//! A reader's part in a replay: frames that a journal sends, all of them committed.
//!
//! They come in order over one connection, from any replica or archiver. A committed entry is so in every
//! log (S6), so nothing has to be known of the epoch that is followed now: each frame is taken where it
//! follows, and its chain proves that it does. Starts of epochs among them are learned like any other.

use super::{Placement, Receiver, Start};
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::Events;
use crate::engine::followed::Followed;
use lockstep_wire::{Chain, FrameView, Seq};

impl Receiver {
    /// Judges a frame of a replay, which is committed; as [`Receiver::on_frame`].
    pub fn on_replayed(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        counters: &mut Counters,
        events: &mut Events,
    ) -> Placement {
        let header = frame.header;
        counters.add(Counter::ReplayedIn, 1);
        self.start.on_oldest(header.first_seq);
        self.learn_start(followed, frame, counters, events);
        let owner = followed.epochs.owner(header.first_seq);
        if self.divergence.is_proven() || owner.is_some_and(|owner| owner != header.epoch()) {
            counters.add(Counter::FramesUnowned, 1);
            return Placement::Dropped;
        }
        followed.commit.on_final(header.next_seq());
        followed.seen_next = followed.seen_next.max(header.next_seq());
        self.place(followed, frame, None, counters, events)
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
    /// did not receive: it begins where it is sure. `None` before a live reader has begun.
    pub fn replay_from(&self, followed: &Followed) -> Option<(Seq, Option<Chain>)> {
        let keeps_marks = followed.end.is_some() && !followed.count_when_accepted;
        let sure = self.committed_end(followed).filter(|_| keeps_marks);
        match (sure.or(followed.end), self.start.at) {
            (Some(end), _) if end.next == 1 => Some((1, None)),
            (Some(end), _) => Some((end.next, Some(end.chain))),
            (None, Start::From(seq)) => Some((seq, self.start.chain_wanted)),
            (None, Start::Oldest) => Some((0, None)),
            (None, _) => None,
        }
    }
}
