//! The gaps of a receiver and its requests for them: it writes requests, takes answers, and reports when no
//! repairer can help any more.

use super::{Receiver, ReceiverLimits, Start};
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::{Events, ReplicaEvent};
use crate::proto::gap::{DueRanges, Gaps};
use crate::proto::nack::{NackLimits, RequestTimer, Requests, Rtt};
use crate::proto::planted::{Mutation, planted};
use crate::proto::repairers::{Repairer, Repairers};
use lockstep_wire::{
    ADDRESS_PROOF_RETURNED, AddressProofBody, Epoch, HEADER_LEN, Header, Identity, Kind, MEMBERS_MAX,
    NACK_RANGES_MAX, Nanos, RepairReject, RepairRejectBody, Seq, SeqRange, write_address_proof, write_nack,
};
use std::net::SocketAddrV4;

/// Most addresses that are asked for repairs: four memberships of them.
const REPAIRERS_MAX: usize = 4 * MEMBERS_MAX;
/// A repairer that has not said anything for so many of the longest waits, while others said that they give
/// nothing, counts as gone: some hundreds of milliseconds, more than a restart takes.
const SILENT_WAITS: Nanos = 64;
/// And after so many a journal is asked: that costs little, and what the silent one has in its ring is young.
const SILENT_WAITS_REPLAY: Nanos = 8;
/// Room for a request of a receiver.
pub const NACK_LEN_MAX: usize = HEADER_LEN + 8 + NACK_RANGES_MAX * 16;

/// The state of the buffered frames and their bounds: while it stays the same, so does what is missing.
type Outline = (Seq, Seq, u64, usize);

/// The outstanding requests: of whom, and since when.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct RepairRequests {
    limits: NackLimits,
    me: Identity,
    repairers: Repairers,
    rtt: Rtt,
    requests: Requests,
    gaps: Gaps,
    /// The start of an epoch that is heard of.
    start: Option<RequestTimer>,
    /// When the gaps were last compared with the buffered frames.
    synced: Option<Outline>,
    /// The repairers that has said that it gives nothing of what is missing first, and why.
    abandoned: Vec<Abandoned>,
    /// The oldest seq that the last of them holds.
    oldest_seq: Seq,
    /// When the first and the last of them were heard.
    abandoned_at: (Nanos, Nanos),
    /// A repairer that asks for a proof of our address, and its demand.
    proof_due: Option<(SocketAddrV4, AddressProofBody)>,
}

/// A ring does not come back to what it has lost: this holds for as long as the same is missing first,
/// whatever else is repaired meanwhile, and whoever leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Abandoned {
    by: Identity,
    why: RepairReject,
    missing: Seq,
}

/// The start of an epoch and some parts that were heard make holes of what lies far behind; where there are
/// more, many entries are held already.
const HOLES_COUNTED: usize = 8;

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

    /// Somebody gives nothing of what is missing first.
    fn on_abandoned(&mut self, now: Nanos, report: Abandoned, oldest_seq: Seq) {
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
    fn is_at_rest(&self) -> bool {
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

    pub(super) fn repairers_len(&self) -> usize {
        self.repairers.len()
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
    fn take_due(
        &mut self,
        now: Nanos,
        by_place: bool,
        ranges: &mut [SeqRange; NACK_RANGES_MAX],
    ) -> Option<(DueRanges, u64)> {
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

    /// Whether there is anybody to ask.
    fn has_repairer(&self, prefer: Option<SocketAddrV4>) -> bool {
        prefer.is_some() || !self.repairers.is_empty()
    }

    /// When something is to be asked for. Where gaps wait, theirs is no deadline: one at which nothing is
    /// done keeps a process awake (seed 95213046).
    fn next_deadline(&self, asks_gaps: bool) -> Nanos {
        let start = self.start.map_or(Nanos::MAX, |ask| ask.deadline());
        let waits = !asks_gaps && !planted(Mutation::DeadlineStays);
        if waits { start } else { start.min(self.gaps.next_deadline()) }
    }

    /// Sets the timers by what came since the last check.
    fn poll(&mut self, now: Nanos, counters: &mut Counters) {
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

impl Receiver {
    /// Whether an answer is awaited on the unicast socket.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        let requests = &self.requests;
        requests.start.is_some_and(|ask| ask.is_requested())
            || requests.gaps.list().iter().any(|gap| gap.request.is_requested())
            || self.other_histories.is_waiting()
    }

    /// When something is to be asked for; `Nanos::MAX` while nothing is.
    pub fn next_deadline(&self) -> Nanos {
        let has_turn = self.requests.start.is_none() || self.is_start_refused();
        let due = self.requests.next_deadline(has_turn && self.requests.has_repairer(self.prefer));
        due.min(self.other_histories.next_deadline()).min(self.unlisted.next_deadline())
    }

    /// How long an answer takes, smoothed; 0 while it is not known.
    pub fn rtt_ns(&self) -> Nanos {
        self.requests.rtt.smoothed_ns()
    }

    /// The repairers, in its order.
    pub fn repairers(&self) -> &Repairers {
        &self.requests.repairers
    }

    /// The repairers that may be asked for anything at all, in turn.
    pub fn address_at(&self, turn: u64) -> Option<SocketAddrV4> {
        let count = self.requests.repairers.len().max(1) as u64;
        self.requests.repairers.at((turn % count) as u32).map(|repairer| repairer.address)
    }

    /// A replica's log lists members: they repair as well, wherever the configuration put them. Few enough to
    /// be kept for good; the newest are asked like the others.
    pub fn add_repairers(&mut self, repairers: impl Iterator<Item = Repairer>) {
        repairers.for_each(|repairer| self.requests.repairers.add(repairer));
    }

    /// The first seq that is missing below what was seen, if there is room to take it.
    pub(super) fn missing_from(&self) -> Option<Seq> {
        let next = match (self.end, self.start) {
            (Some(end), _) => end.next,
            (None, Start::From(seq)) => seq,
            (None, _) => return None,
        };
        let behind = self.seen_next > next || self.store.len() > self.ready;
        (behind && self.has_spare()).then_some(next)
    }

    /// Whether more than `count` entries are missing behind the log, in the first holes of what was seen.
    pub fn is_missing_more_than(&self, count: Seq) -> bool {
        let Some(from) = self.missing_from() else { return false };
        if self.seen_next.saturating_sub(from) <= count {
            return false;
        }
        let holes = self.store.missing(self.ready, from, self.seen_next);
        holes.take(HOLES_COUNTED).map(|hole| hole.to - hole.from).sum::<Seq>() > count
    }

    /// Whether nothing is missing, asked for or awaited, and nothing of that has changed: the rule.
    #[inline]
    fn is_at_rest(&self) -> bool {
        self.joined
            && self.end.is_some_and(|end| end.next >= self.seen_next)
            && self.store.len() <= self.ready
            && self.epoch_update.0 == Epoch::NONE
            // One test for both: each turn of a publisher asks some times.
            && !(self.other_histories.is_any() | self.unlisted.is_any())
            && self.requests.is_at_rest()
    }

    /// Writes a request into `out` if one is due, and returns its bytes and whom to ask. More may be due:
    /// they go in the next turn.
    #[inline]
    pub fn poll_nack(
        &mut self,
        now: Nanos,
        number: &mut u64,
        out: &mut [u8],
        counters: &mut Counters,
        events: &mut Events,
    ) -> Option<(usize, SocketAddrV4)> {
        if self.is_at_rest() { None } else { self.poll_requests(now, number, out, counters, events) }
    }

    #[inline(never)]
    fn poll_requests(
        &mut self,
        now: Nanos,
        number: &mut u64,
        out: &mut [u8],
        counters: &mut Counters,
        events: &mut Events,
    ) -> Option<(usize, SocketAddrV4)> {
        self.requests.poll(now, counters);
        if let Some((to, demanded)) = self.requests.proof_due.take() {
            let epoch = self.follow.epoch();
            let flags = ADDRESS_PROOF_RETURNED;
            let kind = Kind::AddressProof as u8;
            let header = Header { kind, flags, ..self.nack_header(number, epoch) };
            return Some((write_address_proof(out, &self.limits.keys, header, demanded), to));
        }
        if (self.other_histories.is_any() || self.unlisted.is_any()) && std::mem::take(&mut self.is_led) {
            self.other_histories.on_led(now);
            self.unlisted.on_led();
        }
        if let Some(end) = self.end.filter(|_| self.unlisted.is_any())
            && self.unlisted.prove_next(now, end.next)
        {
            self.seen_next = self.seen_next.max(end.next + 1);
        }
        if self.other_histories.is_any()
            && let Some(asked) = self.query_history(now, number, out, counters)
        {
            return Some(asked);
        }
        if self.epoch_update.0 == Epoch::NONE {
            self.requests.start = None;
        } else {
            let asked = self.request_epoch_start(now, number, out, counters);
            if asked.is_some() || !self.is_start_refused() {
                return asked;
            }
        }
        let missing = self.missing_from();
        self.joined |= missing.is_none() && self.end.is_some_and(|end| end.next > 1);
        let Some(from) = missing.filter(|_| !self.replaying) else {
            self.requests.gaps.clear();
            self.requests.synced = None;
            return None;
        };
        // A gap in this turn is asked for in a later one, even without a guard.
        let is_due = now >= self.requests.gaps.next_deadline();
        let bound = self.seen_next.max(from + 1);
        self.sync(now, from, bound);
        if !is_due || !self.requests.has_repairer(self.prefer) {
            return None;
        }
        let mut ranges = [SeqRange { from: 0, to: 0 }; NACK_RANGES_MAX];
        let (due, token) = self.requests.take_due(now, self.prefer.is_none(), &mut ranges)?;
        if let Some(from) = due.new_from.filter(|_| self.joined) {
            counters.add(Counter::Gaps, 1);
            events.push(ReplicaEvent::Gap { from, to: bound });
        }
        counters.add(Counter::NackRetries, u64::from(due.tries > 0));
        let to = self.choose_repairer(due.place, due.tries)?;
        let header = self.nack_header(number, self.follow.epoch());
        counters.add(Counter::NacksOut, 1);
        Some((write_nack(out, &self.limits.keys, header, token, &ranges[..due.count]), to))
    }

    /// The missing range may have changed.
    fn sync(&mut self, now: Nanos, from: Seq, bound: Seq) {
        let outline = (from, bound, self.store.version(), self.ready);
        if self.requests.synced != Some(outline) {
            let unconfirmed = self.unconfirmed_from(from, bound);
            let RepairRequests { limits, me, gaps, repairers, synced, .. } = &mut self.requests;
            *synced = Some(outline);
            let first = repairers.first(now);
            let missing = self.store.missing(self.ready, from, bound);
            let guard = |from| now + limits.guard(*me, from);
            let apart_ns = |from| if from >= unconfirmed { limits.apart_ns } else { 0 };
            gaps.sync(missing, |from| RequestTimer::new(guard(from) + apart_ns(from), first));
            if limits.apart_ns > 0 {
                gaps.hasten(unconfirmed, guard);
            }
        }
    }

    /// Where that begins of which nothing but acks tells: behind all frames that came, and behind what was
    /// said to have left.
    fn unconfirmed_from(&self, from: Seq, bound: Seq) -> Seq {
        if self.limits.nack.apart_ns == 0 {
            return Seq::MAX;
        }
        let last = self.store.missing(self.ready, from, bound).last().filter(|range| range.to == bound);
        last.map_or(Seq::MAX, |range| range.from.max(self.announced_next))
    }

    /// S10: the start of an epoch is asked for by its epoch, and before anything else.
    fn request_epoch_start(
        &mut self,
        now: Nanos,
        number: &mut u64,
        out: &mut [u8],
        counters: &mut Counters,
    ) -> Option<(usize, SocketAddrV4)> {
        let epoch = self.epoch_update.0;
        let RepairRequests { limits, me, rtt, requests, repairers, start, .. } = &mut self.requests;
        let Some(ask) = start else {
            *start = Some(RequestTimer::new(now + limits.guard(*me, epoch.0), repairers.first(now)));
            return None;
        };
        let place = ask.due(now)? % (repairers.len().max(1) as u32);
        let token = requests.next(now, place);
        if self.prefer.is_none() {
            repairers.on_request_sent(now, place);
        }
        ask.on_sent(now, token, place, limits, rtt);
        let tries = ask.tries();
        counters.add(Counter::NackRetries, u64::from(tries > 0));
        let to = self.choose_repairer(place, tries)?;
        let header = self.nack_header(number, epoch);
        counters.add(Counter::NacksOut, 1);
        Some((write_nack(out, &self.limits.keys, header, token, &[]), to))
    }

    /// Whether everybody was asked for that start in vain: who heard of it may be the only one that has it,
    /// and gone. Then what is missing of the followed epoch is asked for as well, as by who never heard of
    /// another: a learner may find itself listed there, and its vote wanted. A member that promised asks for
    /// nothing below that (S2).
    fn is_start_refused(&self) -> bool {
        let tries = self.requests.start.map_or(0, |ask| ask.tries());
        self.follow_floor <= self.follow.epoch() && tries as usize > self.requests.repairers.len()
    }

    /// The repairer that is preferred has every second turn, and each of the others one of those between.
    fn choose_repairer(&self, place: u32, tries: u32) -> Option<SocketAddrV4> {
        let repairers = &self.requests.repairers;
        let in_turn = |place| repairers.at(place).map(|repairer| repairer.address);
        match self.prefer {
            Some(preferred) if tries.is_multiple_of(2) => Some(preferred),
            Some(_) => in_turn(tries / 2),
            None => in_turn(place),
        }
    }

    /// From now on requests have the tokens behind `token`, so that none is another receiver's at this
    /// address.
    pub(crate) fn number_requests_behind(&mut self, token: u64) {
        self.requests.requests.number_behind(token);
    }

    /// A header in the name of this receiver.
    pub fn header(&self, kind: Kind, number: u64) -> Header {
        Header {
            cluster: self.limits.keys.cluster(),
            history: self.lineage.history(),
            epoch: self.follow.epoch().0,
            sender: self.limits.me.replica,
            incarnation: self.limits.me.incarnation,
            number,
            ..Header::new(kind)
        }
    }

    pub(super) fn nack_header(&self, number: &mut u64, epoch: Epoch) -> Header {
        *number += 1;
        let commit_next = self.commit.commit_next();
        Header { epoch: epoch.0, commit_next, ..self.header(Kind::Nack, *number) }
    }

    /// A repairer gave a reason instead of frames.
    pub fn on_repair_reject(
        &mut self,
        now: Nanos,
        header: &Header,
        body: &RepairRejectBody,
        counters: &mut Counters,
    ) {
        let missing = self.missing_from();
        let history = self.lineage.history();
        let Self { requests, commit, other_histories: others, .. } = self;
        if !requests.requests.knows(body.token) {
            return;
        }
        counters.add(Counter::RefusalsIn, 1);
        let answered = requests.requests.on_response(body.token);
        // A node of another history can only be passed over: its epochs and commit are none of ours.
        if header.history == history {
            commit.on_announced(header.epoch(), header.commit_next);
            let reason = RepairReject::from_u32(body.reason).filter(|reason| reason.is_final());
            if let (Some(RepairReject::TooOld), Some((_, place))) = (reason, answered) {
                requests.repairers.on_too_old(now, place, body.oldest_seq);
            }
            // A late answer about what has come meanwhile says nothing of what is missing now; and what is
            // too old begins a range whose rest its giver may hold.
            let concerns = |why, missing: Seq| match why {
                RepairReject::TooOld => body.oldest_seq > missing,
                _ => (body.range.from..body.range.to).contains(&missing),
            };
            if let (Some(why), Some(missing)) = (reason, missing)
                && concerns(why, missing)
            {
                requests.on_abandoned(
                    now,
                    Abandoned { by: header.identity(), why, missing },
                    body.oldest_seq,
                );
            }
        }
        let (wait, count) = (Nanos::from(body.retry_after_ns), requests.repairers.len());
        if let Some(ask) = others.query_mut() {
            ask.on_refused(now, body.token, count, wait, &requests.limits);
        }
        match &mut requests.start {
            Some(ask) => ask.on_refused(now, body.token, count, wait, &requests.limits),
            None => requests.gaps.on_refused(now, body.token, body.range, count, wait, &requests.limits),
        }
    }

    /// PROOF-1: the repairer at `from` asks for a proof of our address. It is returned before anything else
    /// is requested, if the demand answers a request of ours.
    pub fn on_address_proof(
        &mut self,
        now: Nanos,
        from: Option<SocketAddrV4>,
        header: &Header,
        demanded: &AddressProofBody,
    ) {
        let Some(from) = from.filter(|_| header.flags & ADDRESS_PROOF_RETURNED == 0) else { return };
        let RepairRequests { requests, repairers, gaps, start, limits, proof_due, .. } = &mut self.requests;
        if requests.on_response(demanded.token).is_none() {
            return;
        }
        *proof_due = Some((from, *demanded));
        let count = repairers.len();
        gaps.on_proof_demanded(now, demanded.token, count, limits);
        let others = self.other_histories.query_mut();
        for request in [start.as_mut(), others].into_iter().flatten() {
            request.on_proof_demanded(now, demanded.token, count, limits);
        }
    }

    /// What no repairer gives any more: (first missing, oldest that one of them holds, why), once each of
    /// them has said so. One that never says anything is not waited for for ever.
    #[inline]
    pub fn abandoned(&self) -> Option<(Seq, Seq, RepairReject)> {
        self.abandon_reason(SILENT_WAITS)
    }

    /// The same for who can be replayed to, and does not wait that long.
    #[inline]
    pub fn needs_replay(&self) -> Option<(Seq, Seq, RepairReject)> {
        self.abandon_reason(SILENT_WAITS_REPLAY)
    }

    #[inline]
    fn abandon_reason(&self, silent_waits: Nanos) -> Option<(Seq, Seq, RepairReject)> {
        let RepairRequests {
            abandoned: gave_up,
            repairers,
            oldest_seq,
            abandoned_at: (since, until),
            limits,
            ..
        } = &self.requests;
        let last = gave_up.last()?;
        let missing = self.missing_from().filter(|missing| *missing == last.missing)?;
        let why = last.why;
        let long = *until >= since + silent_waits * limits.retry_ns_max;
        (long || gave_up.len() >= repairers.len().max(1)).then_some((missing, *oldest_seq, why))
    }
}
