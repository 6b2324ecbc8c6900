//! The log that a node reads or leads: its history, its epoch, where what this node holds of it ends, and how
//! far it is committed. A leader has this of its own log. A reader has a [`super::receiver::Receiver`] beside
//! it, which fetches what is missing.

use super::counters::{Counter, Counters};
use super::receiver::{ReceiverLimits, Start};
use crate::proto::commit::{Commit, Durability};
use crate::proto::follow::Follow;
use crate::proto::lineage::Lineage;
use crate::proto::log::LogEnd;
use crate::proto::membership::Membership;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Chain, Cursor, Epoch, EpochBase, Header, HeartbeatBody, Identity, Seq};

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Followed {
    /// The followed epoch, and which epoch owns which seqs.
    pub epochs: Follow,
    /// How far the followed epoch is committed.
    pub commit: Commit,
    /// The history, and its ancestors.
    pub(super) lineage: Lineage,
    /// Where the own log ends; `None` before it is anchored.
    pub(super) end: Option<LogEnd>,
    /// The greatest exclusive bound that was seen stamped in the followed epoch.
    pub(super) seen_next: Seq,
    /// A replica's promise (S2): epochs below are neither followed nor asked for, ...
    pub floor: Epoch,
    /// ... except this one, whose log a candidate adopts.
    pub adopting: Epoch,
    /// The greatest epoch that was announced and whose start is not held, and the bound seen stamped in it.
    pub(super) epoch_update: (Epoch, Seq),
    /// As [`ReceiverLimits::count_when_accepted`].
    pub(super) count_when_accepted: bool,
}

impl Followed {
    /// What a receiver with these limits follows that begins at `start`.
    pub fn new(limits: &ReceiverLimits, start: Start) -> Self {
        let mut history = limits.history;
        let (end, mut commit) = match start {
            Start::From(1) => (Some(LogEnd::BLANK), Commit::new(1)),
            Start::Behind(end, commit_next) => (Some(end), Commit::new(commit_next)),
            Start::Live | Start::From(_) | Start::Oldest => (None, Commit::new(1)),
            // What it was read from is known: another history is refused like on any other day.
            Start::Cursor(cursor) => {
                history = cursor.history;
                (None, Commit::new(1))
            }
        };
        if let Some(end) = end {
            commit.on_log_end(end.next);
        }
        Self {
            epochs: Follow::default(),
            commit,
            lineage: Lineage::of(history),
            end,
            seen_next: 1,
            floor: Epoch::NONE,
            adopting: Epoch::NONE,
            epoch_update: (Epoch::NONE, 0),
            count_when_accepted: limits.count_when_accepted,
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        self.epochs.invariants();
        self.commit.invariants();
        assert!(self.adopting == Epoch::NONE || self.count_when_accepted, "S5: a reader adopts nobody's log",);
    }

    /// The followed epoch; [`Epoch::NONE`] before the start of one is held.
    #[inline]
    pub fn epoch(&self) -> Epoch {
        self.epochs.epoch()
    }

    /// The history that is read; 0 while none was received.
    #[inline]
    pub fn history(&self) -> u64 {
        self.lineage.history()
    }

    /// The history that is read, and its ancestors.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// For an owner whose log tells the lineage.
    pub fn set_lineage(&mut self, lineage: Lineage) {
        self.lineage = lineage;
    }

    /// A source speaks in `history`. A reader that has received no history yet reads this one.
    pub fn adopt_history(&mut self, history: u64) {
        if self.lineage.history() == 0 {
            self.lineage = Lineage::of(history);
        }
    }

    /// Where the own log ends; `None` before it is anchored.
    #[inline]
    pub fn end(&self) -> Option<LogEnd> {
        self.end
    }

    /// The exclusive bound of what was seen stamped.
    #[inline]
    pub fn seen_next(&self) -> Seq {
        self.seen_next
    }

    /// Where a reader to whom everything below `next` was delivered can come back to: `chain` is the one
    /// before the frame that holds `next`.
    pub fn cursor(&self, next: Seq, chain: Chain) -> Option<Cursor> {
        let known = self.history() != 0 && next > 0;
        known.then_some(Cursor { history: self.history(), seq: next, chain })
    }

    /// As a recovered log has it: the epoch that it ends in is followed, and counted where it may be.
    pub fn restore(&mut self, table: &[EpochBase], membership: Membership, durability: Durability) {
        self.epochs.restore(table, membership, durability);
        if let Some(end) = self.end
            && end.epoch == self.epoch()
            && end.epoch.round() > 0
        {
            self.count();
        }
    }

    /// A leader's own frame is in its journal, which ends at `end` now.
    #[inline]
    pub fn on_stamped(&mut self, end: LogEnd) {
        self.end = Some(end);
        // The start of an epoch is not followed yet, and not counted by the epoch before: this replica may
        // have led that one alone, by another durability (S4).
        if self.epoch() == end.epoch {
            self.on_stored(&end);
        }
    }

    /// A replica's journal ends at `end` now. A frame that waits for room there is not held, and neither
    /// acknowledged nor committed here.
    #[inline]
    pub fn on_stored(&mut self, end: &LogEnd) {
        if end.epoch == self.epoch() && self.commit.epoch() != end.epoch {
            self.count();
        }
        self.commit.on_log_end(end.next);
    }

    /// Everything below `next` in a replica's own log is shown to be committed, although no frame of the
    /// followed epoch has said so of it.
    pub fn on_proven(&mut self, next: Seq) {
        self.commit.on_final(next);
        self.commit.on_log_end(next);
    }

    /// The leader announces which membership is in force where its log ends: a reader that began in the
    /// middle of an epoch counts acks from then on.
    pub fn on_announced_membership(&mut self, header: &Header, body: &HeartbeatBody) {
        self.commit.on_membership_announced(header.epoch(), body.membership_seq, header.first_seq);
    }

    /// The next frame of the log may change who votes. A replica reports what its own log says itself, once
    /// it is stored: what it stages belongs to another log than the acks that it counts.
    #[inline]
    pub(super) fn learn_change(&mut self, change: Option<(Membership, Membership)>) {
        if let Some((before, after)) = change
            && !self.count_when_accepted
        {
            self.commit.on_membership(after.seq, before, after);
        }
    }

    /// Begins to count the acks of the followed epoch.
    pub(super) fn count(&mut self) {
        let follow = &self.epochs;
        self.commit.on_epoch_started(follow.epoch(), follow.base(), follow.membership, follow.durability);
    }

    /// Whether an epoch above the followed one may be followed: a replica's promise may forbid it.
    #[inline]
    pub(super) fn may_follow(&self, epoch: Epoch) -> bool {
        self.epochs.is_newer(epoch) && (epoch >= self.floor || epoch == self.adopting)
    }

    /// A datagram names seqs below `bound` in `epoch`. Returns whether that epoch is above the followed one:
    /// then nothing of it is used before its start is held, and it is asked for if it may be followed.
    pub(super) fn on_epoch_seen(&mut self, epoch: Epoch, bound: Seq) -> bool {
        if self.may_follow(epoch) {
            let (known_epoch, known_bound) = self.epoch_update;
            self.epoch_update =
                (known_epoch.max(epoch), if epoch > known_epoch { bound } else { known_bound.max(bound) });
        }
        self.epochs.is_newer(epoch)
    }

    /// Whether the start of an epoch above the followed one is asked for.
    #[inline]
    pub fn awaits_start(&self) -> bool {
        self.epoch_update.0 != Epoch::NONE
    }

    /// A replica promised `floor`: nothing below it is followed or asked for any more (S2).
    pub fn raise_floor(&mut self, floor: Epoch) {
        self.floor = floor;
        self.adopting = Epoch::NONE;
        if self.epoch_update.0 < floor {
            self.epoch_update = (Epoch::NONE, 0);
        }
    }

    /// Whether an epoch is below the followed one. A datagram of such an epoch is counted.
    pub(super) fn is_stale(&self, epoch: Epoch, counters: &mut Counters) -> bool {
        let stale = epoch < self.epoch();
        if stale {
            counters.add(Counter::FramesStale, 1);
        }
        stale
    }

    /// Whether the stream's end that a header of the followed epoch names is possible: no log of that epoch
    /// reaches further beyond its commit than its window allows. An impossible seq is asked of no repairer,
    /// and counted. `led` means that the leader itself names it.
    #[inline]
    pub(super) fn believes(&self, header: &Header, led: bool, counters: &mut Counters) -> bool {
        header.first_seq <= self.seen_next || self.believes_new(header, led, counters)
    }

    fn believes_new(&self, header: &Header, led: bool, counters: &mut Counters) -> bool {
        let known = self.commit.known_next().max(header.commit_next);
        let believed = self.epochs.is_within_window(header.first_seq, known, led);
        if !believed {
            counters.add(Counter::BoundsRefused, 1);
        }
        believed
    }

    /// Whether `from` may say where the stream ends: a member, as far as is known here, or the leader.
    pub(super) fn lists(&self, from: Identity) -> bool {
        self.epochs.membership.lists(from)
            || self.commit.lists(from)
            || from == self.epoch().leader()
            || planted(Mutation::AnyBoundBelieved)
    }

    /// The own chain, if the log whose end `header` reports ends where the own log does, in the same epoch:
    /// only then can the two be compared.
    #[inline]
    pub(super) fn comparable_chain(&self, header: &Header) -> Option<Chain> {
        let end = self.end?;
        (end.next == header.first_seq && end.epoch == header.epoch()).then_some(end.chain)
    }

    /// Whether an ack has another chain than the own log: then it is of another log, and counts for nothing.
    /// Only the leader's word shows which of the two logs is wrong. An ack below its sender's end carries no
    /// chain.
    #[inline]
    pub(super) fn is_divergent(&self, header: &Header) -> bool {
        header.chain != 0 && self.comparable_chain(header).is_some_and(|own| own != header.chain)
    }
}
