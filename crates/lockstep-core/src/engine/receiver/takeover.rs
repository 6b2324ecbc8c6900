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
use crate::proto::delivered_log::SuffixCheck;
use crate::proto::follow::Follow;
use crate::proto::lineage::Lineage;
use crate::proto::log::LogEnd;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Chain, EntryKind, Epoch, EpochStartView, FrameView, Header, Seq};

/// The epoch start with which `frame` begins.
pub(super) fn start_in<'a>(frame: &FrameView<'a>) -> Option<EpochStartView<'a>> {
    let first = frame.entries().next().filter(|entry| entry.kind() == EntryKind::EpochStart)?;
    let start = EpochStartView::parse(first.payload).ok()?;
    let fits = start.epoch() == frame.header.epoch() && start.body.base == frame.header.first_seq;
    fits.then_some(start)
}

impl Receiver {
    /// Whether an epoch above the followed one may be followed: a replica's promise may forbid it.
    fn may_follow(&self, epoch: Epoch) -> bool {
        self.follow.is_newer(epoch) && (epoch >= self.follow_floor || epoch == self.adopting)
    }

    /// A frame that begins with the start of its epoch tells that this epoch has won (S10). Part of
    /// [`Receiver::on_frame`]; a replica calls it before, and cuts its log before the frame is placed.
    #[inline]
    pub fn learn_start(&mut self, frame: &FrameView<'_>, counters: &mut Counters, events: &mut Events) {
        if self.may_follow(frame.header.epoch()) {
            self.learn_new_start(frame, counters, events);
        }
    }

    #[cold]
    fn learn_new_start(&mut self, frame: &FrameView<'_>, counters: &mut Counters, events: &mut Events) {
        let Some(start) = start_in(frame) else { return };
        if !self.follow.on_start(&start) {
            return;
        }
        self.requests.on_epoch(self.follow.epoch());
        if frame.header.history == self.lineage.history() {
            self.lineage = Lineage::of_start(frame.header.history, &start);
        }
        let (epoch, bound) = self.epoch_update;
        // What was seen stamped in an older epoch may never come to be: only this epoch's word counts.
        self.seen_next = frame.header.next_seq();
        // What was said of it while its start was not held may be anything.
        let known = self.commit.known_next().max(frame.header.commit_next);
        if epoch == self.follow.epoch() && self.follow.is_within_window(bound, known, true) {
            self.seen_next = self.seen_next.max(bound);
        }
        if epoch <= self.follow.epoch() {
            self.epoch_update = (Epoch::NONE, 0);
        }
        events.push(ReplicaEvent::Epoch { epoch: start.epoch(), base: start.body.base });
        if self.limits.count_when_accepted {
            self.drop_buffered();
        } else {
            self.forget(start.body.chain_at_base, events);
            if !self.contradicted {
                self.extend(counters);
                self.count();
            }
        }
    }

    /// Somebody speaks of seqs below `bound` in `epoch`. Returns whether that epoch is above the followed
    /// one: then nothing of it is used before its start is held, and it is asked for if it may be followed.
    pub(super) fn on_epoch_seen(&mut self, epoch: Epoch, bound: Seq) -> bool {
        if self.may_follow(epoch) {
            let (known_epoch, known_bound) = self.epoch_update;
            self.epoch_update =
                (known_epoch.max(epoch), if epoch > known_epoch { bound } else { known_bound.max(bound) });
        }
        self.follow.is_newer(epoch)
    }

    /// A promise described a log of `epoch` that ends at `next`: a candidate gets it (S5).
    pub fn on_announced_end(&mut self, epoch: Epoch, next: Seq) {
        if epoch == self.follow.epoch() {
            self.seen_next = self.seen_next.max(next);
            self.on_sent_below(next);
        } else {
            self.on_epoch_seen(epoch, next);
        }
    }

    /// A ballot tells where its sender's log ends: what of it is missing here is asked for, as far as that
    /// log may reach.
    pub fn on_ballot(&mut self, header: &Header, counters: &mut Counters) {
        if header.epoch() != self.follow.epoch() || self.believes(header, false, counters) {
            self.on_announced_end(header.epoch(), header.first_seq);
        }
    }

    /// A replica promised `floor`: nothing below it is followed or asked for any more (S2).
    pub fn raise_floor(&mut self, floor: Epoch) {
        self.follow_floor = floor;
        self.adopting = Epoch::NONE;
        if self.epoch_update.0 < floor {
            self.epoch_update = (Epoch::NONE, 0);
        }
    }

    /// For a candidate: nobody is followed but its own log, which ends at `end`; what was seen of any other
    /// may never come to be. Frames of its epoch that are still under way are admitted.
    pub fn follow_replica_log(&mut self, end: LogEnd) {
        self.cut_to(end, end.next);
        self.adopting = end.epoch;
        self.seen_next = end.next;
        self.epoch_update = (Epoch::NONE, 0);
    }

    /// Whether the start of an epoch above the followed one is asked for.
    pub fn awaits_start(&self) -> bool {
        self.epoch_update.0 != Epoch::NONE
    }

    /// For an owner that holds nothing: whatever was followed is forgotten, and only `epoch` may be followed
    /// until [`Receiver::raise_floor`] is called. Somebody says that its log ends at `next`.
    pub fn follow_only(&mut self, epoch: Epoch, next: Seq) {
        self.follow = Follow::default();
        self.cut_to(LogEnd::BLANK, LogEnd::BLANK.next);
        (self.follow_floor, self.adopting) = (Epoch(u64::MAX), epoch);
        (self.epoch_update, self.seen_next) = ((epoch, next), 1);
    }

    /// Begins to count the acks of the followed epoch.
    pub(super) fn count(&mut self) {
        let follow = &self.follow;
        self.commit.on_epoch_started(follow.epoch(), follow.base(), follow.membership, follow.durability);
    }

    /// Goes back to what the followed epoch's log contains of what was passed.
    fn forget(&mut self, chain_at_base: Chain, events: &mut Events) {
        let commit_next = self.commit.commit_next();
        match self.delivered.judge(&self.follow, commit_next, self.floor) {
            SuffixCheck::Intact => {}
            SuffixCheck::Cut { end, from } => {
                self.delivered.cut(&self.follow, end, from);
                if end.is_none() {
                    self.start = Start::From(from);
                }
                self.end = end;
                // Without an end nothing is held above the commit, though the floor may lie there.
                self.commit.on_cut(end.map_or(commit_next, |end| end.next));
                self.ready = self.store.ending_below(self.ready, end.map_or(from, |end| end.next));
                self.retract_from = Some(self.retract_from.map_or(from, |before| before.min(from)));
            }
            SuffixCheck::Contradicted { at } => {
                self.contradicted = true;
                let have = self.end.map_or(0, |end| end.chain);
                events.push(ReplicaEvent::Diverged { seq: at, have, seen: chain_at_base });
            }
        }
        self.drop_buffered();
    }

    /// Forgets the frames that wait behind the log and whose epoch does not own their seqs, and whatever
    /// was asked for before.
    pub(super) fn drop_buffered(&mut self) {
        let follow = &self.follow;
        let all = planted(Mutation::BufferedFramesStay);
        self.store.retain(self.ready, |first, epoch| all || follow.owner(first) == Some(epoch));
        self.requests.restart();
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
    pub fn cut_to(&mut self, end: LogEnd, same_to: Seq) {
        let commit_next = self.commit.commit_next();
        assert!(
            same_to >= commit_next,
            "the log may not be cut at seq {same_to}: everything below {commit_next} is committed (S6)",
        );
        self.end = Some(end);
        self.commit.on_cut(same_to);
        self.ready = 0;
        self.drop_buffered();
        self.advance();
    }
}
