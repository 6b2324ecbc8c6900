//! How a leader sends: frames as bursts, followed by the heartbeat.

use super::{BURSTS_MAX, Ctx, Leading, ReplicaCore};
use crate::journal::ports::TailMemory;
use crate::journal::{RingSpan, Tail};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{HeartbeatBody, Kind, SMALL_LEN_MAX, write_heartbeat};

impl Leading {
    /// Sends the frames that wait, and `last` behind them, in one call.
    pub(super) fn send_frames<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net, last: &[u8]) {
        let (waiting, tail) = (self.outgoing_frames.len(), &*ctx.tail);
        if last.is_empty() && waiting > 0 && run_of_equal(tail, &self.outgoing_frames) == waiting {
            // The rule: the frames of a batch are one burst, and the device takes it.
            let burst = burst(tail, &self.outgoing_frames);
            let bytes = burst.bytes.len() as u64;
            let taken = net.send_group(Group::Data, &[burst]);
            if taken == waiting {
                self.outgoing_frames.clear();
                let counters = &mut ctx.core.counters;
                counters.add(Counter::FramesOut, taken as u64);
                counters.add(Counter::FramesOutBytes, bytes);
                return self.heartbeat_timer.on_sent(ctx.turn.now);
            }
            self.on_taken(ctx, waiting, taken, false);
        } else {
            let (frames, taken) = offer_bursts(net, ctx.tail, &self.outgoing_frames, last);
            self.on_taken(ctx, frames, taken, !last.is_empty());
        }
    }

    /// The device took the first `taken` of `frames` frames and, perhaps, the heartbeat behind them.
    #[cold]
    fn on_taken<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, frames: usize, taken: usize, heartbeats: bool) {
        let offered = frames + usize::from(heartbeats);
        let sent = taken.min(frames);
        let bytes: u64 = self.outgoing_frames[..sent].iter().map(|span| u64::from(span.len)).sum();
        self.outgoing_frames.drain(..sent);
        ctx.core.counters.add(Counter::FramesOut, sent as u64);
        ctx.core.counters.add(Counter::FramesOutBytes, bytes);
        ctx.core.counters.add(Counter::SendsShort, (offered - taken) as u64);
        if sent > 0 {
            self.heartbeat_timer.on_sent(ctx.turn.now);
        }
        if heartbeats && taken == offered {
            ctx.core.counters.add(Counter::HeartbeatsOut, 1);
        }
    }

    pub(super) fn send_heartbeat<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, net: &mut P::Net) {
        let mut heartbeat = [0; SMALL_LEN_MAX];
        let length = self.write_heartbeat(ctx, &mut heartbeat);
        self.send_frames(ctx, net, &heartbeat[..length]);
    }

    pub(super) fn write_heartbeat<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>, out: &mut [u8]) -> usize {
        ctx.core.outbox.number += 1;
        let commit_next = ctx.core.commit_next();
        let end = ctx.tail.end();
        let credit = ctx.core.limits.window.credit(end.next, commit_next, self.uncommitted.bytes());
        self.refused = std::mem::take(&mut self.refusing);
        let credit_entries = if self.refused { 0 } else { credit };
        let base = ctx.core.followed.epochs.base();
        let body = HeartbeatBody {
            membership_seq: ctx.core.log.membership.seq,
            epoch_start_seq: if planted(Mutation::HeartbeatOldStart) { 1 } else { base },
            process_nonce: ctx.core.limits.process_nonce,
            oldest_seq: ctx.tail.oldest_seq(),
            credit_entries,
            shares_over: self.shares.over(commit_next),
            successors: ctx.core.successors(),
        };
        write_heartbeat(
            out,
            ctx.core.keys(),
            ctx.core.header(Kind::Heartbeat, self.sequencer.time(ctx.turn.wall), &end),
            body,
        )
    }
}

impl ReplicaCore {
    /// The other members, most caught up first, ties by number.
    fn successors(&self) -> [u8; 8] {
        let members = self.log.membership;
        let mut ranked = [(0, 0); lockstep_wire::MEMBERS_MAX];
        let mut count = 0;
        for (position, member) in members.members().iter().enumerate() {
            if member.identity() != self.identity() || planted(Mutation::SuccessorsOff) {
                ranked[count] = (u64::MAX - self.followed.commit.acked(position), member.replica);
                count += 1;
            }
        }
        ranked[..count].sort_unstable();
        let mut out = [0; 8];
        for (place, &(_, replica)) in out.iter_mut().zip(&ranked[..count]) {
            *place = replica as u8;
        }
        out
    }
}

/// Offers the frames in as many bursts as they need, and `last` behind them. Returns how many frames were
/// offered, and how many datagrams were taken.
#[cold]
fn offer_bursts<M: TailMemory>(
    net: &mut impl Net,
    tail: &Tail<M>,
    spans: &[RingSpan],
    last: &[u8],
) -> (usize, usize) {
    let mut bursts = [Burst { bytes: &[], stride: 0 }; BURSTS_MAX];
    let (mut used, mut frames) = (0, 0);
    while used < BURSTS_MAX - 1 && frames < spans.len() {
        let run = run_of_equal(tail, &spans[frames..]);
        bursts[used] = burst(tail, &spans[frames..frames + run]);
        used += 1;
        frames += run;
    }
    if !last.is_empty() {
        bursts[used] = Burst { bytes: last, stride: last.len() };
        used += 1;
    }
    (frames, net.send_group(Group::Data, &bursts[..used]))
}

/// Spans that [`run_of_equal`] found to be a run, as one burst.
#[inline]
fn burst<'t, M: TailMemory>(tail: &'t Tail<M>, run: &[RingSpan]) -> Burst<'t> {
    let len = run.iter().map(|span| span.len).sum();
    Burst { bytes: tail.bytes(RingSpan { pos: run[0].pos, len }), stride: run[0].len as usize }
}

/// How many spans from the front are contiguous and have equal lengths (the last may be shorter).
#[inline]
fn run_of_equal<M: TailMemory>(tail: &Tail<M>, spans: &[RingSpan]) -> usize {
    let Some(first) = spans.first() else { return 0 };
    let mut run = 1;
    while let Some(next) = spans.get(run) {
        let before = spans[run - 1];
        let fits = before.len == first.len && next.len <= first.len && tail.is_adjacent(before, *next);
        if !fits {
            break;
        }
        run += 1;
    }
    run
}
