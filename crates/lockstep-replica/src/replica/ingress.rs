//! Which submissions the leader accepts, and which notices publishers receive beside the heartbeat's
//! credit.

use super::{Leading, Nanos, ReplicaCore, Tail, Turn, send_small};
use crate::journal::ports::TailMemory;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::{Group, Net};
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{
    Condition, EntryHeader, Kind, NOTICE_ROWS_MAX, NoticeRow, PublisherNotice, SMALL_LEN_MAX, write_notice,
};

/// A gap is reported again after this many first rungs of the heartbeat: by then retransmissions have
/// arrived.
const AGAIN_RUNGS: u64 = 8;
/// From this fill level of the table of publishers on the operator is notified.
const FULL_PERCENT: u64 = 80;

impl Leading {
    /// Whether this message's publisher has not used up its share of a scarce window.
    #[inline]
    pub(super) fn has_share(&mut self, core: &mut ReplicaCore, end: &LogEnd, header: &EntryHeader) -> bool {
        let (stamp_next, commit_next) = (self.sequencer.stamp_next(end), core.commit_next());
        let window = &core.limits.window;
        if window.half().credit(stamp_next, commit_next, self.uncommitted.bytes()) > 0 {
            return true;
        }
        let who = (header.publisher, header.time_or_incarnation);
        let has = self.shares.take(window, (stamp_next, commit_next), who, header.publisher_seq);
        core.counters.add(Counter::SubmissionsOverShare, u64::from(!has));
        has
    }

    /// Whether a notice to publishers is due.
    #[inline]
    pub(super) fn has_notices(&self) -> bool {
        !self.hold.is_empty() || self.shares.has_throttled() || !self.opens_refused.is_empty()
    }

    /// An open finds no room in the table of publishers: its publisher is notified. A publisher that finds
    /// no room in the list of notifications asks again.
    #[cold]
    pub(super) fn refuse_open(&mut self, core: &mut ReplicaCore, nonce: [u64; 2]) {
        core.counters.add(Counter::OpensRefused, 1);
        if planted(Mutation::OpenerNotNotified) {
            return;
        }
        if self.opens_refused.len() < NOTICE_ROWS_MAX && !self.opens_refused.contains(&nonce) {
            self.opens_refused.push(nonce);
        }
    }

    /// Notifies publishers whose open finds no room, whose numbers are missing (with the numbers), and
    /// whose share is used up: at most once per turn, and not more often than the heartbeat's first rung.
    #[cold]
    pub(super) fn send_publisher_notices<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        net: &mut impl Net,
        tail: &Tail<M>,
        turn: &Turn,
    ) {
        let Turn { now, wall, .. } = *turn;
        let rung_ns = core.limits.heartbeat.first_ns;
        self.notice_at = now + rung_ns;
        let mut rows = [NoticeRow::default(); NOTICE_ROWS_MAX];
        let publishers_max = core.log.publishers.publishers_max();
        let mut count = 0;
        for [from, to] in self.opens_refused.drain(..) {
            let notice = PublisherNotice::TableFull as u32;
            rows[count] =
                NoticeRow { publisher: 0, incarnation: publishers_max, from, to, notice, reserved: 0 };
            count += 1;
        }
        count += self.shares.drain_throttled(&mut rows[count..]);
        // While nothing is accepted a retransmission is of no use.
        if !self.refusing {
            let (publishers, shares) = (&core.log.publishers, &self.shares);
            let last = |publisher, incarnation| {
                let state = publishers.state(publisher)?;
                let is_open = state.incarnation == incarnation && !state.closed;
                (is_open && !shares.is_over(publisher)).then_some(state.last)
            };
            count += self.hold.missing(now, AGAIN_RUNGS * rung_ns, last, &mut rows[count..]);
        }
        if count > 0 {
            core.outbox.number += 1;
            let header = core.header(Kind::PublisherNotice, wall, &tail.end());
            let mut out = [0; SMALL_LEN_MAX];
            let length = write_notice(&mut out, core.rx.keys(), header, &rows[..count]);
            send_small(net, Group::Control, &out[..length]);
            core.counters.add(Counter::NoticesOut, count as u64);
        }
    }
}

impl ReplicaCore {
    /// Called once per heartbeat of a leader: the fill level of its table of publishers.
    pub(super) fn check_publisher_table(&mut self, now: Nanos) {
        let (used, max) = (self.log.publishers.used(), self.log.publishers.publishers_max());
        self.counters.set(Counter::Publishers, u64::from(used));
        let full = u64::from(used) * 100 >= u64::from(max) * FULL_PERCENT;
        if full || self.conditions.holds(Condition::PublishersNearlyFull) {
            let numbers = (u64::from(used), u64::from(max));
            self.set_condition(Condition::PublishersNearlyFull, full, now, numbers);
        }
    }
}
