//! Which submissions the leader accepts, and which notices publishers receive beside the heartbeat's
//! credit.

use super::{Ctx, Leading, Nanos, ReplicaCore, send_small};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::Group;
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
        !self.hold.is_empty() || self.shares.has_throttled() || !self.refusals.is_empty()
    }

    /// An open finds no room in the table of publishers, or its key may not open the name: its publisher is
    /// notified.
    #[cold]
    pub(super) fn refuse_open(
        &mut self,
        core: &mut ReplicaCore,
        notice: PublisherNotice,
        (key, [from, to]): (u32, [u64; 2]),
    ) {
        core.counters.add(Counter::OpensRefused, 1);
        if planted(Mutation::OpenerNotNotified) {
            return;
        }
        let incarnation = match notice {
            PublisherNotice::TableFull => core.log.publishers.publishers_max(),
            _ => 0,
        };
        self.notify(NoticeRow { publisher: 0, incarnation, from, to, notice: notice as u32, key });
    }

    /// A message is not stamped, as its key does not allow it, or has used up its rate: the holder of that
    /// key is notified, and not the publisher in whose name it may have been forged.
    #[cold]
    pub(super) fn refuse_message(
        &mut self,
        core: &mut ReplicaCore,
        notice: PublisherNotice,
        key: u32,
        header: &EntryHeader,
    ) {
        let counter = match notice {
            PublisherNotice::Throttled => Counter::SubmissionsOverRate,
            _ => Counter::SubmissionsNotAllowed,
        };
        core.counters.add(counter, 1);
        let (publisher, incarnation) = (header.publisher, header.time_or_incarnation);
        // A number of 0 is no message's, and one at the end has no next.
        let (from, to) = (header.publisher_seq, header.publisher_seq.saturating_add(1));
        if publisher == 0 || from == 0 || from == to {
            return;
        }
        let notice = notice as u32;
        let is_of = |row: &NoticeRow| (row.publisher, row.notice, row.key) == (publisher, notice, key);
        if !self.refusals.iter().any(is_of) {
            self.notify(NoticeRow { publisher, incarnation, from, to, notice, key });
        }
    }

    /// Adds a row to the next notice. A publisher that finds no room in it submits again.
    fn notify(&mut self, row: NoticeRow) {
        if self.refusals.len() < NOTICE_ROWS_MAX && !self.refusals.contains(&row) {
            self.refusals.push(row);
        }
    }

    /// Notifies publishers of what is refused, whose numbers are missing (with the numbers), and
    /// whose share is used up: at most once per turn, and not more often than the heartbeat's first rung.
    #[cold]
    pub(super) fn send_publisher_notices<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) {
        let now = ctx.turn.now;
        let rung_ns = ctx.core.limits.heartbeat.first_ns;
        self.notice_at = now + rung_ns;
        let mut rows = [NoticeRow::default(); NOTICE_ROWS_MAX];
        let mut count = 0;
        // What was refused may have come again meanwhile, and been stamped.
        let publishers = &ctx.core.log.publishers;
        let last = |publisher| publishers.state(publisher).map_or(0, |state| state.last);
        let throttled = PublisherNotice::Throttled as u32;
        for row in
            self.refusals.drain(..).filter(|row| row.notice != throttled || row.from > last(row.publisher))
        {
            rows[count] = row;
            count += 1;
        }
        count += self.shares.drain_throttled(last, &mut rows[count..]);
        // While nothing is accepted a retransmission is of no use.
        if !self.refusing {
            let shares = &self.shares;
            let last = |publisher, incarnation| {
                let state = publishers.state(publisher)?;
                let is_open = state.incarnation == incarnation && !state.closed;
                (is_open && !shares.is_over(publisher)).then_some(state.last)
            };
            count += self.hold.missing(now, AGAIN_RUNGS * rung_ns, last, &mut rows[count..]);
        }
        if count > 0 {
            ctx.core.outbox.number += 1;
            let header = ctx.header(Kind::PublisherNotice);
            let mut out = [0; SMALL_LEN_MAX];
            let length = write_notice(&mut out, ctx.core.keys(), header, &rows[..count]);
            send_small(net, Group::Control, &out[..length]);
            ctx.core.counters.add(Counter::NoticesOut, count as u64);
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
