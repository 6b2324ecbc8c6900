//! What the leader tells publishers of what it hears from them, beside the heartbeat's credit.

use super::{Nanos, ReplicaCore, Tail, send_small};
use crate::engine::counters::Counter;
use crate::engine::ports::{Group, Net};
use crate::journal::ports::TailMemory;
use crate::wire::{Kind, NOTICE_ROWS_MAX, NoticeRow, SMALL_LEN_MAX, write_notice};

/// A gap is told again after so many first rungs of the heartbeat: by then what was sent again has come.
const AGAIN_RUNGS: u64 = 8;

impl ReplicaCore {
    /// Tells publishers which of their numbers are missing: once a turn at the most, and not more often than
    /// the heartbeat's first rung.
    #[cold]
    pub(super) fn tell_missing<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &Tail<M>,
        now: Nanos,
        wall: Nanos,
    ) {
        let rung_ns = self.limits.beat.first_ns;
        self.notice_at = now + rung_ns;
        let mut rows = [NoticeRow::default(); NOTICE_ROWS_MAX];
        let publishers = &self.log.publishers;
        let last = |publisher, incarnation| {
            let state = publishers.state(publisher)?;
            (state.incarnation == incarnation && !state.closed).then_some(state.last)
        };
        let count = self.hold.missing(now, AGAIN_RUNGS * rung_ns, last, &mut rows);
        if count > 0 {
            self.number += 1;
            let header = self.header(Kind::Notice, wall, &tail.end());
            let mut out = [0; SMALL_LEN_MAX];
            let length = write_notice(&mut out, header, &rows[..count]);
            send_small(net, Group::Control, &out[..length]);
            self.counters.add(Counter::NoticesOut, count as u64);
        }
    }
}
