//! The requests of a receiver: which repairer is asked for what, since when, and which of them give nothing.

use super::ReceiverLimits;
use super::buffered::BufferedFrames;
use crate::engine::counters::{Counter, Counters};
use crate::engine::followed::Followed;
use crate::proto::gap::{DueRanges, Gaps};
use crate::proto::nack::{NackLimits, RequestTimer, Requests, Rtt};
use crate::proto::planted::{Mutation, planted};
use crate::proto::repairers::{Repairer, Repairers};
use lockstep_wire::{
    AddressProofBody, Epoch, Identity, MEMBERS_MAX, NACK_RANGES_MAX, Nanos, RepairReject, Seq, SeqRange,
};
use std::net::SocketAddrV4;

/// Most addresses that are asked for repairs: four memberships of them.
const REPAIRERS_MAX: usize = 4 * MEMBERS_MAX;

/// The state of the buffered frames and their bounds: while it stays the same, so does what is missing.
type Outline = (Seq, Seq, (u64, usize));

/// The outstanding requests: of whom, and since when.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RepairRequests {
    pub(super) limits: NackLimits,
    me: Identity,
    pub(super) repairers: Repairers,
    /// The repairer to ask first, and in every second try: a candidate asks who promised the best log.
    pub prefer: Option<SocketAddrV4>,
    rtt: Rtt,
    pub(super) requests: Requests,
    pub(super) gaps: Gaps,
    /// The start of an epoch that is heard of.
    pub(super) start: Option<RequestTimer>,
    /// When the gaps were last compared with the buffered frames.
    pub(super) synced: Option<Outline>,
    /// The repairers that give nothing of what is missing first, and why.
    abandoned: Vec<Abandoned>,
    /// The oldest seq that the last of them holds.
    oldest_seq: Seq,
    /// When the first and the last of them were heard.
    abandoned_at: (Nanos, Nanos),
    /// A repairer that asks for a proof of our address, and its demand.
    pub(super) proof_due: Option<(SocketAddrV4, AddressProofBody)>,
}

/// A ring does not come back to what it has lost: this holds for as long as the same is missing first,
/// whatever else is repaired meanwhile, and whoever leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Abandoned {
    pub(super) by: Identity,
    pub(super) why: RepairReject,
    pub(super) missing: Seq,
}

impl RepairRequests {
    /// Holds always. Panics with the rule that is broken.
    pub(super) fn invariants(&self) {
        self.gaps.invariants();
        self.requests.invariants();
        self.repairers.invariants();
        let count = self.abandoned.len();
        assert!(count <= REPAIRERS_MAX, "{count} have given up, at most {REPAIRERS_MAX}");
        let twice =
            (1..count).any(|at| self.abandoned[..at].iter().any(|one| one.by == self.abandoned[at].by));
        assert!(!twice, "each repairer gives up once: {:?}", self.abandoned);
    }

    pub(super) fn new(limits: &ReceiverLimits) -> Self {
        Self {
            limits: limits.nack,
            me: limits.me,
            repairers: Repairers::new(limits.me, &limits.repairers, REPAIRERS_MAX),
            prefer: None,
            rtt: Rtt::default(),
            requests: Requests::new(),
            gaps: Gaps::default(),
            start: None,
            synced: None,
            abandoned: Vec::with_capacity(REPAIRERS_MAX),
            oldest_seq: 0,
            abandoned_at: (0, 0),
            proof_due: None,
        }
    }

    /// Forgets what only measures time or numbers requests.
    pub(super) fn forget(&mut self) {
        self.restart();
        self.forget_refusals();
        self.rtt = Rtt::default();
        self.requests.clear();
        self.repairers.forget_silence();
        self.prefer = None;
    }

    /// The repairers, in its order.
    pub fn repairers(&self) -> &Repairers {
        &self.repairers
    }

    /// The repairers that may be asked for anything at all, in turn.
    pub fn address_at(&self, turn: u64) -> Option<SocketAddrV4> {
        let count = self.repairers.len().max(1) as u64;
        self.repairers.at((turn % count) as u32).map(|repairer| repairer.address)
    }

    /// A replica's log lists members: they repair as well, wherever the configuration put them. Few enough to
    /// be kept for good; the newest are asked like the others.
    pub fn add_repairers(&mut self, repairers: impl Iterator<Item = Repairer>) {
        repairers.for_each(|repairer| self.repairers.add(repairer));
    }

    /// From now on requests have the tokens behind `token`, so that none is another receiver's at this
    /// address.
    pub(crate) fn number_behind(&mut self, token: u64) {
        self.requests.number_behind(token);
    }

    /// The range that is missing is something else now, and no answer to an earlier request brings it.
    pub(super) fn restart(&mut self) {
        self.gaps.clear();
        self.start = None;
        self.synced = None;
    }

    /// More is known of what is missing.
    pub(super) fn rearm(&mut self) {
        self.synced = None;
    }

    /// A repairer that gave nothing may be asked again.
    pub(super) fn forget_refusals(&mut self) {
        self.abandoned.clear();
        (self.oldest_seq, self.abandoned_at) = (0, (0, 0));
    }

    /// A repairer gives nothing of what is missing first.
    pub(super) fn on_abandoned(&mut self, now: Nanos, report: Abandoned, oldest_seq: Seq) {
        self.abandoned.retain(|before| before.missing == report.missing);
        if self.abandoned.is_empty() {
            self.abandoned_at.0 = now;
        }
        self.abandoned.retain(|before| before.by != report.by);
        if self.abandoned.len() < REPAIRERS_MAX {
            self.abandoned.push(report);
        }
        (self.abandoned_at.1, self.oldest_seq) = (now, oldest_seq);
    }

    /// Whether nothing is asked for, and no answer came since the last check. The demand for a proof is an
    /// answer.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.start.is_none()
            && self.synced.is_none()
            && self.gaps.list().is_empty()
            && !self.requests.has_response()
    }

    /// An epoch is followed.
    pub(super) fn on_epoch(&mut self, epoch: Epoch) {
        self.repairers.on_epoch(epoch);
    }

    /// A frame of `range` came as an answer to the request `token`, or as one to everybody. One that may not
    /// be used (who gave it does not know it to be committed) brings nothing: the next repairer may know
    /// more.
    pub(super) fn on_repair(&mut self, repairer: Identity, token: u64, range: SeqRange, admitted: bool) {
        let answered = self.requests.on_response(token);
        if answered.is_none() {
            self.repairers.on_repair(repairer.replica);
        }
        self.gaps.on_frames(answered, if admitted { range } else { SeqRange { from: 0, to: 0 } });
        if let Some(ask) = &mut self.start {
            ask.on_frames(answered, false);
        }
    }

    /// The request `token` was answered by a repairer of another history.
    pub(super) fn on_overheard_repair(&mut self, token: u64) {
        self.requests.on_response(token);
    }

    pub(super) fn first_repairer(&mut self, now: Nanos) -> u32 {
        self.repairers.first(now)
    }

    /// The repairer to ask now, if it is due, and under which token.
    pub(super) fn request_from_any(
        &mut self,
        now: Nanos,
        ask: &mut RequestTimer,
    ) -> Option<(u64, SocketAddrV4)> {
        let Self { limits, rtt, requests, repairers, .. } = self;
        ask.poll(now, limits, rtt);
        let place = ask.due(now)? % (repairers.len().max(1) as u32);
        let to = repairers.at(place)?.address;
        let token = requests.next(now, place);
        ask.on_sent(now, token, place, limits, rtt);
        Some((token, to))
    }

    /// The ranges that are due for one repairer, and the token of their request. It is asked by its place
    /// where none is preferred.
    pub(super) fn take_due(
        &mut self,
        now: Nanos,
        ranges: &mut [SeqRange; NACK_RANGES_MAX],
    ) -> Option<(DueRanges, u64)> {
        if !self.has_repairer() {
            return None;
        }
        let by_place = self.prefer.is_none();
        let Self { limits, rtt, gaps, requests, repairers, .. } = self;
        let mut token = 0;
        let first = |place, from| if by_place { repairers.first_with(now, place, from) } else { place };
        // A repairer that was silent has its turn all the same: it may be the only one that holds it.
        let due = gaps.take_due(now, first, repairers.len() as u32, ranges, |ask, place| {
            if token == 0 {
                token = requests.next(now, place);
            }
            ask.on_sent(now, token, place, limits, rtt);
        })?;
        if by_place {
            repairers.on_request_sent(now, due.place);
        }
        Some((due, token))
    }

    /// Whether there is a repairer to ask.
    pub(super) fn has_repairer(&self) -> bool {
        self.prefer.is_some() || !self.repairers.is_empty()
    }

    /// Whether an answer is awaited.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.start.is_some_and(|ask| ask.is_requested())
            || self.gaps.list().iter().any(|gap| gap.request.is_requested())
    }

    /// The repairer that is preferred has every second turn, and each of the others one of those between.
    pub(super) fn choose_repairer(&self, place: u32, tries: u32) -> Option<SocketAddrV4> {
        let in_turn = |place| self.repairers.at(place).map(|repairer| repairer.address);
        match self.prefer {
            Some(preferred) if tries.is_multiple_of(2) => Some(preferred),
            Some(_) => in_turn(tries / 2),
            None => in_turn(place),
        }
    }

    /// The missing range from `from` to `bound` may have changed. Of what lies at `announced_next` and above,
    /// no datagram says that it has left its leader.
    pub(super) fn sync(
        &mut self,
        now: Nanos,
        frames: &BufferedFrames,
        from: Seq,
        bound: Seq,
        announced_next: Seq,
    ) {
        let outline = (from, bound, frames.version());
        if self.synced != Some(outline) {
            let Self { limits, me, gaps, repairers, synced, .. } = self;
            let unconfirmed = match limits.apart_ns {
                0 => Seq::MAX,
                _ => unconfirmed_from(frames, from, bound, announced_next),
            };
            *synced = Some(outline);
            let first = repairers.first(now);
            let guard = |from| now + limits.guard(*me, from);
            let apart_ns = |from| if from >= unconfirmed { limits.apart_ns } else { 0 };
            let missing = frames.missing(from, bound);
            gaps.sync(missing, |from| RequestTimer::new(guard(from) + apart_ns(from), first));
            if limits.apart_ns > 0 {
                gaps.hasten(unconfirmed, guard);
            }
        }
    }

    /// S10: the start of an epoch is asked for by its epoch, and before anything else. Returns the token of
    /// the request and whom to ask, if it is due.
    pub(super) fn request_start(
        &mut self,
        now: Nanos,
        epoch: Epoch,
        counters: &mut Counters,
    ) -> Option<(u64, SocketAddrV4)> {
        let Self { limits, me, rtt, requests, repairers, start, prefer, .. } = self;
        let Some(ask) = start else {
            *start = Some(RequestTimer::new(now + limits.guard(*me, epoch.0), repairers.first(now)));
            return None;
        };
        let place = ask.due(now)? % (repairers.len().max(1) as u32);
        let token = requests.next(now, place);
        if prefer.is_none() {
            repairers.on_request_sent(now, place);
        }
        ask.on_sent(now, token, place, limits, rtt);
        let tries = ask.tries();
        counters.add(Counter::NackRetries, u64::from(tries > 0));
        Some((token, self.choose_repairer(place, tries)?))
    }

    /// Whether all repairers were asked in vain for the start of an epoch: the node that announced it may be
    /// the only one that has it, and gone. Then what is missing of the followed epoch is asked for as well,
    /// as by a node that never received another: a learner may find itself listed there, and its vote wanted.
    /// A member that promised asks for nothing below that (S2).
    pub(super) fn is_start_refused(&self, followed: &Followed) -> bool {
        let tries = self.start.map_or(0, |ask| ask.tries());
        followed.floor <= followed.epoch() && tries as usize > self.repairers.len()
    }

    /// Why no repairer gives what is missing first, `missing`: (the oldest seq that one of them holds, why),
    /// once each of them has refused it. A repairer that stays silent is waited for no longer than
    /// `silent_waits`.
    #[inline]
    pub(super) fn abandon_reason(
        &self,
        missing: impl FnOnce() -> Option<Seq>,
        silent_waits: Nanos,
    ) -> Option<(Seq, Seq, RepairReject)> {
        let Self { abandoned, repairers, oldest_seq, abandoned_at: (since, until), limits, .. } = self;
        let last = abandoned.last()?;
        let missing = missing().filter(|missing| *missing == last.missing)?;
        let long = *until >= since + silent_waits * limits.retry_ns_max;
        (long || abandoned.len() >= repairers.len().max(1)).then_some((missing, *oldest_seq, last.why))
    }

    /// When something is to be asked for. Where gaps wait, theirs is no deadline: one at which nothing is
    /// done keeps a process awake (seed 95213046).
    pub(super) fn next_deadline(&self, asks_gaps: bool) -> Nanos {
        let start = self.start.map_or(Nanos::MAX, |ask| ask.deadline());
        let waits = !asks_gaps && !planted(Mutation::DeadlineStays);
        if waits { start } else { start.min(self.gaps.next_deadline()) }
    }

    /// Sets the timers by what came since the last check.
    pub(super) fn poll(&mut self, now: Nanos, counters: &mut Counters) {
        let Self { limits, requests, rtt, repairers, gaps, start, .. } = self;
        requests.measure(now, |place, ns| {
            rtt.on_sample(ns);
            repairers.on_received(place);
            counters.set(Counter::RepairRtt, rtt.smoothed_ns());
        });
        gaps.poll(now, limits, rtt);
        if let Some(ask) = start {
            ask.poll(now, limits, rtt);
        }
    }
}

/// Where that begins of which only acks tell: behind all frames that came, and behind `announced_next`.
fn unconfirmed_from(frames: &BufferedFrames, from: Seq, bound: Seq, announced_next: Seq) -> Seq {
    let last = frames.missing(from, bound).last().filter(|range| range.to == bound);
    last.map_or(Seq::MAX, |range| range.from.max(announced_next))
}
