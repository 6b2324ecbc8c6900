//! A reader's part in a takeover: it learns the start of a higher epoch, forgets what that epoch's log does
//! not contain, and continues from there.
//!
//! ```text
//!   start of e ─▶ may it be followed? ─▶ follow ─▶ cut the log ─▶ forget kept frames ─▶ count e's acks
//!                  no: a promise              (a reader; a replica cuts its journal itself: `cut_to`)
//! ```

use super::{Receiver, Start};
use crate::engine::counters::Counters;
use crate::engine::event::{Events, ReplicaEvent};
use crate::engine::followed::Followed;
use crate::proto::delivered_log::SuffixCheck;
use crate::proto::follow::Follow;
use crate::proto::lineage::Lineage;
use crate::proto::log::LogEnd;
use lockstep_wire::{Chain, EntryKind, Epoch, EpochStartView, FrameView, Header, Seq};

/// The epoch start with which `frame` begins.
pub(super) fn start_in<'a>(frame: &FrameView<'a>) -> Option<EpochStartView<'a>> {
    let first = frame.entries().next().filter(|entry| entry.kind() == EntryKind::EpochStart)?;
    let start = EpochStartView::parse(first.payload).ok()?;
    let fits = start.epoch() == frame.header.epoch() && start.body.base == frame.header.first_seq;
    fits.then_some(start)
}

impl Receiver {
    /// A frame that begins with the start of its epoch tells that this epoch has won (S10). Part of
    /// [`Receiver::on_frame`]; a replica calls it before, and cuts its log before the frame is placed.
    #[inline]
    pub fn learn_start(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        counters: &mut Counters,
        events: &mut Events,
    ) {
        if followed.may_follow(frame.header.epoch()) {
            self.learn_new_start(followed, frame, counters, events);
        }
    }

    #[cold]
    fn learn_new_start(
        &mut self,
        followed: &mut Followed,
        frame: &FrameView<'_>,
        counters: &mut Counters,
        events: &mut Events,
    ) {
        let Some(start) = start_in(frame) else { return };
        if !followed.epochs.on_start(&start) {
            return;
        }
        self.requests.on_epoch(followed.epoch());
        if frame.header.history == followed.history() {
            followed.lineage = Lineage::of_start(frame.header.history, &start);
        }
        let (epoch, bound) = followed.epoch_update;
        // What was seen stamped in an older epoch may never come to be: only this epoch's word counts.
        followed.seen_next = frame.header.next_seq();
        // The bound that was announced while its start was not held may be any number.
        let known = followed.commit.known_next().max(frame.header.commit_next);
        if epoch == followed.epoch() && followed.epochs.is_within_window(bound, known, true) {
            followed.seen_next = followed.seen_next.max(bound);
        }
        if epoch <= followed.epoch() {
            followed.epoch_update = (Epoch::NONE, 0);
        }
        events.push(ReplicaEvent::Epoch { epoch: start.epoch(), base: start.body.base });
        if followed.count_when_accepted {
            self.drop_buffered(followed);
        } else {
            self.forget(followed, start.body.chain_at_base, events);
            if !self.divergence.is_proven() {
                self.extend(followed, counters);
                followed.count();
            }
        }
    }

    /// A promise described a log of `epoch` that ends at `next`: a candidate gets it (S5).
    pub fn on_announced_end(&mut self, followed: &mut Followed, epoch: Epoch, next: Seq) {
        if epoch == followed.epoch() {
            followed.seen_next = followed.seen_next.max(next);
            self.on_sent_below(next);
        } else {
            followed.on_epoch_seen(epoch, next);
        }
    }

    /// A ballot names where its sender's log ends: what of it is missing here is asked for, as far as that
    /// log may reach.
    pub fn on_ballot(&mut self, followed: &mut Followed, header: &Header, counters: &mut Counters) {
        if header.epoch() != followed.epoch() || followed.believes(header, false, counters) {
            self.on_announced_end(followed, header.epoch(), header.first_seq);
        }
    }

    /// For a candidate: it follows only its own log, which ends at `end`. What was seen of any other log may
    /// never come to be. Frames of its epoch that are still under way are admitted.
    pub fn follow_replica_log(&mut self, followed: &mut Followed, end: LogEnd) {
        self.cut_to(followed, end, end.next);
        followed.adopting = end.epoch;
        followed.seen_next = end.next;
        followed.epoch_update = (Epoch::NONE, 0);
    }

    /// For an owner that holds nothing: whatever was followed is forgotten, and only `epoch` may be followed
    /// until [`Followed::raise_floor`] is called. A repairer says that its log ends at `next`.
    pub fn follow_only(&mut self, followed: &mut Followed, epoch: Epoch, next: Seq) {
        followed.epochs = Follow::default();
        self.cut_to(followed, LogEnd::BLANK, LogEnd::BLANK.next);
        (followed.floor, followed.adopting) = (Epoch(u64::MAX), epoch);
        (followed.epoch_update, followed.seen_next) = ((epoch, next), 1);
    }

    /// Goes back to what the followed epoch's log contains of what was passed.
    fn forget(&mut self, followed: &mut Followed, chain_at_base: Chain, events: &mut Events) {
        let commit_next = followed.commit.commit_next();
        match self.delivered.judge(&followed.epochs, commit_next, self.start.floor) {
            SuffixCheck::Intact => {}
            SuffixCheck::Cut { end, from } => {
                self.delivered.cut(&followed.epochs, end, from);
                if end.is_none() {
                    self.start.at = Start::From(from);
                }
                followed.end = end;
                // Without an end nothing is held above the commit, though the floor may lie there.
                followed.commit.on_cut(end.map_or(commit_next, |end| end.next));
                self.frames.cut(end.map_or(from, |end| end.next));
                self.retract_from = Some(self.retract_from.map_or(from, |before| before.min(from)));
            }
            SuffixCheck::Contradicted { at } => {
                let have = followed.end.map_or(0, |end| end.chain);
                let diverged = ReplicaEvent::Diverged { seq: at, have, seen: chain_at_base };
                self.divergence.on_commit_contradicted(diverged, events);
            }
        }
        self.drop_buffered(followed);
    }

    /// The first seq of those that the owner was given and that a takeover has taken back, once. A caller
    /// that receives frames asks behind each [`Receiver::on_frame`], before it looks at the placement.
    pub fn take_retracted(&mut self) -> Option<Seq> {
        self.retract_from.take()
    }

    /// For an owner that knows its log (a replica): what it holds of the followed epoch's log ends at `end`
    /// now. Its own log is that one below `same_to`, the rest waits beside it and is neither acknowledged nor
    /// committed here. Kept frames that the followed epoch does not own are forgotten; what follows `end` of
    /// the others is ready anew.
    ///
    /// # Panics
    /// If `same_to` lies below the own commit (S6): the owner looks before it cuts.
    pub fn cut_to(&mut self, followed: &mut Followed, end: LogEnd, same_to: Seq) {
        let commit_next = followed.commit.commit_next();
        assert!(
            same_to >= commit_next,
            "the log may not be cut at seq {same_to}: everything below {commit_next} is committed (S6)",
        );
        followed.end = Some(end);
        followed.commit.on_cut(same_to);
        self.frames.unready();
        self.drop_buffered(followed);
        self.advance(followed);
    }
}
