//! A reader that has read what the cluster does not have.
//!
//! Every leader's log holds everything that was ever committed. So a leader whose log ends before the place
//! up to which a reader has read shows that something final is gone, or that the reader's cursor is another
//! cluster's: that reader must not wait until the stream has passed its place, and then continue in another
//! one. A lagging replica's datagrams count for nothing here, and one heartbeat may be late, or come from a
//! deposed leader: it takes a second of them, all of the newest epoch that is received. A busy reader's
//! socket may hold older ones for longer, while a journal brings it what was stamped since: one counts only
//! if everything was read since the one before.

use super::{Delivery, SubscriberCore, SubscriberEvent};
use crate::engine::ports::Net;
use crate::engine::receiver::Start;
use lockstep_wire::{Epoch, Header, Kind, Nanos, QueryKind, SMALL_LEN_MAX, Seq, write_query};
use std::ops::ControlFlow;

/// Heartbeats that say so for this long, ...
const CERTAIN_NS: Nanos = 1_000_000_000;
/// ... and at least so many of them, are believed.
const CONFIRMING_HEARTBEATS: u32 = 16;

/// The newest leader's heartbeats, compared with our place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Ahead {
    epoch: Epoch,
    /// Since when all of them say that its log ends before our place, and how many do.
    since: Nanos,
    heartbeats: u32,
    /// All that had arrived was read since the last heartbeat: the next one did not wait.
    is_fresh: bool,
    /// Replicas are to be told of it.
    is_news: bool,
}

impl Ahead {
    /// A heartbeat at `now`: the log of `epoch`'s leader ends at `end`, and this reader has read up to
    /// `read_next`. Returns whether it is certain from now on that this is too far.
    fn on_heartbeat(&mut self, now: Nanos, epoch: Epoch, end: Seq, read_next: Seq) -> bool {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        if epoch < self.epoch {
            return false;
        }
        if epoch > self.epoch || end >= read_next {
            *self = Self { epoch, ..Self::default() };
        }
        if end >= read_next || !is_fresh {
            return false;
        }
        self.heartbeats = self.heartbeats.saturating_add(1);
        if self.heartbeats == 1 {
            self.since = now;
        }
        self.heartbeats >= CONFIRMING_HEARTBEATS && now >= self.since + CERTAIN_NS
    }
}

impl SubscriberCore {
    /// Everything that had arrived on the groups was read.
    #[inline]
    pub(in crate::engine) fn on_drained(&mut self, now: Nanos) {
        self.ahead.is_fresh = true;
        self.leader_contact.on_received(now);
    }

    /// The exclusive bound of what was read of this stream, in this process or in the one whose cursor it
    /// goes on from.
    fn read_next(&self) -> Seq {
        let begun = match self.limits.start {
            Start::Cursor(cursor) => cursor.seq,
            Start::Behind(end, _) => end.next,
            Start::Live | Start::From(_) | Start::Oldest => 0,
        };
        // What a takeover took back of it was not read.
        let before = if self.cursor.next >= begun { begun } else { 0 };
        before.max(self.final_next())
    }

    /// The exclusive bound of what this process has delivered and knows to be final.
    fn final_next(&self) -> Seq {
        match self.limits.delivery {
            Delivery::Committed => self.cursor.delivered_next,
            Delivery::Stamped => self.cursor.delivered_next.min(self.reported_commit),
        }
    }

    /// A leader's heartbeat: where the subscription is ahead of the stream, it ends, and the application is
    /// notified why.
    #[inline]
    pub(super) fn poll_ahead(
        &mut self,
        now: Nanos,
        header: &Header,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        let (epoch, end, next) = (header.epoch(), header.first_seq, self.read_next());
        if self.ahead.on_heartbeat(now, epoch, end, next) && !self.ended {
            self.ended = true;
            // The cursor of a `stamped` reader may lie behind what a takeover took back: that is no loss.
            let is_final = self.limits.delivery == Delivery::Committed || end < self.final_next();
            self.ahead.is_news = is_final;
            let _ = f(SubscriberEvent::Ahead { next, end, epoch });
        }
    }

    /// Tells every replica how far we have read: for the operator this is an alarm of the cluster.
    #[inline]
    pub(super) fn report_ahead(&mut self, net: &mut impl Net) {
        if std::mem::take(&mut self.ahead.is_news) {
            self.report_all_ahead(net);
        }
    }

    #[cold]
    fn report_all_ahead(&mut self, net: &mut impl Net) {
        for index in 0..self.rx.requests.repairers().len() as u64 {
            self.number += 1;
            let header = Header {
                commit_next: self.read_next(),
                ..self.rx.header(&self.followed, Kind::Query, self.number)
            };
            let mut out = [0; SMALL_LEN_MAX];
            let length = write_query(&mut out, self.rx.keys(), header, 0, QueryKind::Node, "");
            if let Some(to) = self.rx.requests.address_at(index) {
                net.send_unicast(to, [&out[..length], &[]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::Identity;

    fn epoch(round: u32) -> Epoch {
        Epoch::new(round, Identity { replica: 1, incarnation: 1 })
    }

    /// Heartbeats each millisecond from `from` to `to` ms; when it was certain first, in ms.
    fn certain(ahead: &mut Ahead, (from, to): (Nanos, Nanos), round: u32, end: Seq) -> Option<Nanos> {
        (from..to).find(|ms| {
            ahead.is_fresh = true;
            ahead.on_heartbeat(ms * 1_000_000, epoch(round), end, 50)
        })
    }

    #[test]
    fn a_second_of_heartbeats_of_the_newest_epoch_is_believed() {
        let mut ahead = Ahead::default();
        assert_eq!(certain(&mut ahead, (10, 5_000), 3, 49), Some(1_010));
        assert_eq!(certain(&mut Ahead::default(), (10, 5_000), 3, 50), None, "it has all that we read");
    }

    #[test]
    fn heartbeats_that_waited_in_a_socket_while_a_journal_was_read_are_not() {
        let mut ahead = Ahead::default();
        for ms in 0..9_000 {
            // A thousand at a time, each older than what the journal brought meanwhile.
            ahead.is_fresh |= ms % 1_000 == 0;
            assert!(!ahead.on_heartbeat(ms * 1_000_000, epoch(3), 49, 50), "at {ms} ms");
        }
    }

    #[test]
    fn a_late_heartbeat_and_a_leader_whose_time_is_over_are_not() {
        let mut ahead = Ahead::default();
        assert_eq!(certain(&mut ahead, (0, 900), 3, 49), None);
        assert_eq!(certain(&mut ahead, (900, 901), 3, 60), None, "the others were late");
        assert_eq!(certain(&mut ahead, (901, 1_800), 3, 49), None, "it begins anew");
        // The next leader holds everything; what the old one goes on to say is nothing.
        assert_eq!(certain(&mut ahead, (1_800, 1_801), 4, 60), None);
        assert_eq!(certain(&mut ahead, (1_801, 9_000), 3, 49), None);
        // Three heartbeats in a second are too few.
        let mut slow = Ahead::default();
        let heartbeats = [0, 500, 1_100].map(|ms| {
            slow.is_fresh = true;
            slow.on_heartbeat(ms * 1_000_000, epoch(3), 49, 50)
        });
        assert_eq!(heartbeats, [false; 3]);
    }
}
