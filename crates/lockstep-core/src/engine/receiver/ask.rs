//! The gaps of a receiver and its requests for them: it writes requests, takes answers, and reports when no
//! repairer can help any more.

use super::requests::{Abandoned, RepairRequests};
use super::{Receiver, Start};
use crate::engine::counters::{Counter, Counters};
use crate::engine::event::{Events, ReplicaEvent};
use crate::engine::followed::Followed;
use lockstep_wire::{
    ADDRESS_PROOF_RETURNED, AddressProofBody, Epoch, HEADER_LEN, Header, Kind, NACK_RANGES_MAX, Nanos,
    RepairReject, RepairRejectBody, Seq, SeqRange, write_address_proof, write_nack,
};
use std::net::SocketAddrV4;

/// A repairer that is silent for so many of the longest waits, while others refuse,
/// counts as gone: some hundreds of milliseconds, more than a restart takes.
const SILENT_WAITS: Nanos = 64;
/// And after so many a journal is asked: that costs little, and what the silent one has in its ring is young.
const SILENT_WAITS_REPLAY: Nanos = 8;
/// Room for a request of a receiver.
pub const NACK_LEN_MAX: usize = HEADER_LEN + 8 + NACK_RANGES_MAX * 16;
/// The start of an epoch and some parts that were received make holes of what lies far behind. Where there
/// are more, many entries are held already.
const HOLES_COUNTED: usize = 8;

impl Receiver {
    /// Whether an answer is awaited on the unicast socket.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.requests.is_waiting() || self.histories.is_waiting()
    }

    /// When something is to be asked for; `Nanos::MAX` while nothing is.
    pub fn next_deadline(&self, followed: &Followed) -> Nanos {
        let has_turn = self.requests.start.is_none() || self.requests.is_start_refused(followed);
        let due = self.requests.next_deadline(has_turn && self.requests.has_repairer());
        due.min(self.histories.next_deadline()).min(self.unlisted.next_deadline())
    }

    /// The first seq that is missing below what was seen, if there is room to take it.
    pub(super) fn missing_from(&self, followed: &Followed) -> Option<Seq> {
        let next = match (followed.end, self.start.at) {
            (Some(end), _) => end.next,
            (None, Start::From(seq)) => seq,
            (None, _) => return None,
        };
        let behind = followed.seen_next > next || self.frames.has_later();
        (behind && self.frames.has_spare()).then_some(next)
    }

    /// Whether more than `count` entries are missing behind the log, in the first holes of what was seen.
    pub fn is_missing_more_than(&self, followed: &Followed, count: Seq) -> bool {
        let Some(from) = self.missing_from(followed) else { return false };
        if followed.seen_next.saturating_sub(from) <= count {
            return false;
        }
        let holes = self.frames.missing(from, followed.seen_next);
        holes.take(HOLES_COUNTED).map(|hole| hole.to - hole.from).sum::<Seq>() > count
    }

    /// Writes a request into `out` if one is due, and returns its bytes and whom to ask. More may be due:
    /// they go in the next turn.
    #[inline]
    pub fn poll_nack(
        &mut self,
        followed: &mut Followed,
        now: Nanos,
        number: &mut u64,
        out: &mut [u8],
        counters: &mut Counters,
        events: &mut Events,
    ) -> Option<(usize, SocketAddrV4)> {
        // Mostly nothing is missing, asked for or awaited, and nothing of that has changed.
        let is_at_rest = self.joined
            && followed.end.is_some_and(|end| end.next >= followed.seen_next)
            && !self.frames.has_later()
            && !followed.awaits_start()
            // One test for both: each turn of a publisher asks some times.
            && !(self.histories.is_any() | self.unlisted.is_any())
            && self.requests.is_at_rest();
        if is_at_rest { None } else { self.poll_requests(followed, now, number, out, counters, events) }
    }

    #[inline(never)]
    fn poll_requests(
        &mut self,
        followed: &mut Followed,
        now: Nanos,
        number: &mut u64,
        out: &mut [u8],
        counters: &mut Counters,
        events: &mut Events,
    ) -> Option<(usize, SocketAddrV4)> {
        self.requests.poll(now, counters);
        if let Some((to, demanded)) = self.requests.proof_due.take() {
            let (kind, flags) = (Kind::AddressProof as u8, ADDRESS_PROOF_RETURNED);
            let header = Header { kind, flags, ..self.nack_header(followed, number, followed.epoch()) };
            return Some((write_address_proof(out, &self.limits.keys, header, demanded), to));
        }
        if (self.histories.is_any() || self.unlisted.is_any()) && std::mem::take(&mut self.is_led) {
            self.histories.on_led(now);
            self.unlisted.on_led();
        }
        if let Some(end) = followed.end.filter(|_| self.unlisted.is_any())
            && self.unlisted.prove_next(now, end.next)
        {
            followed.seen_next = followed.seen_next.max(end.next + 1);
        }
        if self.histories.is_any()
            && let Some((epoch, (token, to))) = self.histories.query(now, &mut self.requests)
        {
            // Under no history: it is asked for what it is founded on, not for frames of ours.
            let header = Header { history: 0, ..self.nack_header(followed, number, epoch) };
            counters.add(Counter::NacksOut, 1);
            return Some((write_nack(out, &self.limits.keys, header, token, &[]), to));
        }
        if followed.awaits_start() {
            let epoch = followed.epoch_update.0;
            if let Some((token, to)) = self.requests.request_start(now, epoch, counters) {
                let header = self.nack_header(followed, number, epoch);
                counters.add(Counter::NacksOut, 1);
                return Some((write_nack(out, &self.limits.keys, header, token, &[]), to));
            }
            if !self.requests.is_start_refused(followed) {
                return None;
            }
        } else {
            self.requests.start = None;
        }
        let missing = self.missing_from(followed);
        self.joined |= missing.is_none() && followed.end.is_some_and(|end| end.next > 1);
        let Some(from) = missing.filter(|_| !self.replaying) else {
            self.requests.gaps.clear();
            self.requests.synced = None;
            return None;
        };
        // A gap in this turn is asked for in a later one, even without a guard.
        let is_due = now >= self.requests.gaps.next_deadline();
        let bound = followed.seen_next.max(from + 1);
        self.requests.sync(now, &self.frames, from, bound, self.announced_next);
        let mut ranges = [SeqRange { from: 0, to: 0 }; NACK_RANGES_MAX];
        let (due, token) = is_due.then(|| self.requests.take_due(now, &mut ranges)).flatten()?;
        if let Some(from) = due.new_from.filter(|_| self.joined) {
            counters.add(Counter::Gaps, 1);
            events.push(ReplicaEvent::Gap { from, to: bound });
        }
        counters.add(Counter::NackRetries, u64::from(due.tries > 0));
        let to = self.requests.choose_repairer(due.place, due.tries)?;
        let header = self.nack_header(followed, number, followed.epoch());
        counters.add(Counter::NacksOut, 1);
        Some((write_nack(out, &self.limits.keys, header, token, &ranges[..due.count]), to))
    }

    /// A header in the name of this receiver.
    pub fn header(&self, followed: &Followed, kind: Kind, number: u64) -> Header {
        Header {
            cluster: self.limits.keys.cluster(),
            history: followed.history(),
            epoch: followed.epoch().0,
            sender: self.limits.me.replica,
            incarnation: self.limits.me.incarnation,
            number,
            ..Header::new(kind)
        }
    }

    fn nack_header(&self, followed: &Followed, number: &mut u64, epoch: Epoch) -> Header {
        *number += 1;
        let commit_next = followed.commit.commit_next();
        Header { epoch: epoch.0, commit_next, ..self.header(followed, Kind::Nack, *number) }
    }

    /// A repairer gave a reason instead of frames.
    pub fn on_repair_reject(
        &mut self,
        followed: &mut Followed,
        now: Nanos,
        header: &Header,
        body: &RepairRejectBody,
        counters: &mut Counters,
    ) {
        let missing = self.missing_from(followed);
        let Self { requests, histories, .. } = self;
        if !requests.requests.knows(body.token) {
            return;
        }
        counters.add(Counter::RefusalsIn, 1);
        let answered = requests.requests.on_response(body.token);
        // A node of another history can only be passed over: its epochs and commit are none of ours.
        if header.history == followed.history() {
            followed.commit.on_announced(header.epoch(), header.commit_next);
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
        if let Some(ask) = histories.query_mut() {
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
        let others = self.histories.query_mut();
        for request in [start.as_mut(), others].into_iter().flatten() {
            request.on_proof_demanded(now, demanded.token, count, limits);
        }
    }

    /// What no repairer gives any more: (first missing, oldest that one of them holds, why), once each of
    /// them has refused it. A repairer that stays silent is not waited for for ever.
    #[inline]
    pub fn abandoned(&self, followed: &Followed) -> Option<(Seq, Seq, RepairReject)> {
        self.requests.abandon_reason(|| self.missing_from(followed), SILENT_WAITS)
    }

    /// The same for an owner that can have a replay, and does not wait that long.
    #[inline]
    pub fn needs_replay(&self, followed: &Followed) -> Option<(Seq, Seq, RepairReject)> {
        self.requests.abandon_reason(|| self.missing_from(followed), SILENT_WAITS_REPLAY)
    }
}
