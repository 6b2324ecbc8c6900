//! Acks: they count towards the commit, and tell how far the stream is stamped. Those of replicas that the
//! known membership does not list tell nothing while a leader is heard (GAP-3).
//!
//! ```text
//!   an ack tells of more, its sender is not listed ─▶ is a leader heard? ─▶ the next entry is asked for
//!                                                       yes: it is noise      it may list the sender
//! ```
//! A node whose log is old may know only members that are gone, or that it does not hear. All that its log
//! needs to go on is its next entry, so such an ack is believed for that one and no more: a lie costs
//! requests for a single seq.

use super::{Receiver, UNLED_NS};
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::Events;
use crate::engine::followed::Followed;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Epoch, Header, Nanos, Seq};

/// What acks of the unlisted told since a leader was heard.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct UnlistedAcks {
    /// Up to here entries are stamped by the furthest of them; 0 while none tells of more than the own log.
    next: Seq,
    /// Since when no leader was heard.
    unled_since: Option<Nanos>,
}

impl UnlistedAcks {
    /// Whether one tells of more than the own log.
    #[inline]
    pub(super) fn is_any(&self) -> bool {
        self.next != 0
    }

    /// When something is to be done.
    #[inline]
    pub(super) fn next_deadline(&self) -> Nanos {
        match self.unled_since {
            Some(since) if self.is_any() => since + UNLED_NS,
            _ => Nanos::MAX,
        }
    }

    /// Forgets what only measures time.
    pub(super) fn forget(&mut self) {
        self.unled_since = None;
    }

    /// An ack of one that is not listed, for a log that ends at `next`.
    #[cold]
    fn on_ack(&mut self, header: &Header, next: Seq) {
        if header.first_seq > next {
            self.next = self.next.max(header.first_seq);
        }
    }

    /// Whether they are believed of the entry `next`, with which the own log goes on: once no leader was
    /// heard for [`UNLED_NS`]. What they told is used up then: the next ack tells it again.
    #[cold]
    pub(super) fn prove_next(&mut self, now: Nanos, next: Seq) -> bool {
        let since = *self.unled_since.get_or_insert(now);
        let is_due = now >= since + UNLED_NS;
        is_due && std::mem::take(&mut self.next) > next
    }

    /// A leader is heard, and tells more than they do.
    pub(super) fn on_led(&mut self) {
        *self = Self::default();
    }
}

impl Receiver {
    /// A replica's ack: it counts, and it names an epoch and a bound. It names how far the stream is stamped
    /// if a member or the leader sent it. An ack of another sender shows only, where nobody leads, that there
    /// is one more entry: an entry that is still missing may list that sender.
    pub fn on_ack(
        &mut self,
        followed: &mut Followed,
        header: &Header,
        counters: &mut Counters,
        events: &mut Events,
    ) {
        counters.add(Counter::AcksIn, 1);
        let (epoch, from) = (header.epoch(), header.identity());
        followed.commit.on_announced(epoch, header.commit_next);
        let others = planted(Mutation::AckOfAnyEpochCounts);
        if followed.epochs.is_newer(epoch) && followed.epoch() != Epoch::NONE && !followed.lists(from) {
            return self.pass_over(followed, header, counters);
        }
        if !followed.on_epoch_seen(epoch, header.first_seq) && epoch == followed.epoch() || others {
            if followed.is_divergent(header) {
                return self.divergence.on_divergent_ack(followed.end, header, events);
            }
            followed.commit.on_ack(from, epoch, header.first_seq);
            // An ack below the own end brings nothing new, whoever sent it.
            if followed.end.is_none_or(|end| end.next < header.first_seq) {
                self.learn_of_end(followed, header, counters);
            }
        }
    }

    fn learn_of_end(&mut self, followed: &mut Followed, header: &Header, counters: &mut Counters) {
        if !followed.lists(header.identity()) {
            return self.pass_over(followed, header, counters);
        }
        if followed.believes(header, false, counters) {
            followed.seen_next = followed.seen_next.max(header.first_seq);
            if followed.end.is_none()
                && let Some(best) = self.start.on_ack(header)
            {
                self.begin_live(followed, &best);
            }
        }
    }

    /// An ack of a sender that is not listed.
    fn pass_over(&mut self, followed: &Followed, header: &Header, counters: &mut Counters) {
        counters.add(Counter::AcksUnlisted, 1);
        let leads = followed.epoch().leader() == self.limits.me;
        if let Some(end) = followed.end.filter(|_| !leads) {
            self.unlisted.on_ack(header, end.next);
        }
    }
}
