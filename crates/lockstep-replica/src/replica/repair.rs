//! The repairs of a replica: a bounded number of frames per turn, so that the duty cycle continues
//! meanwhile. Members come first and have far larger budgets than readers: they gate the commit, and are few.
//!
//! ```text
//!   a member's ranges ─▶ afforded? ─▶ queued, in place of the queued repairs of the same range ─▶ to it
//!   a reader's ranges ─▶ referred? afforded? repeat? ─▶ queued ──(so many a turn)──▶ to the requester
//!                               └──▶ a refusal                 └─(three asked)──▶ to everybody, once
//! ```

use super::queries::{RepairerSeal, UnicastRequest, give};
use super::{Ctx, Leading, ReplicaCore, ReplicaEngine};
use crate::journal::ports::TailMemory;
use crate::journal::{RingSpan, Tail};
use crate::ports::Ports;
use lockstep_core::engine::counters::{Counter, Counters};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::proto::repair::{
    RepairDecision, RepairHistory, RepairHistoryLimits, RepairRange, led_cost, supersedes,
};
use lockstep_core::proto::requesters::{BudgetLimits, RequesterKind, Requesters};
use lockstep_wire::{
    Epoch, FrameView, Identity, MEMBERS_MAX, Nanos, RepairReject, RepairTrailer, Seq, SeqRange,
    packed_address, repair_trailer,
};
use std::net::SocketAddrV4;

/// Frames in the repair queue: a socket's worth of requests for a handful each. Further requests are
/// refused as limited.
const REPAIRS_QUEUED_MAX: usize = 1024;
/// The same for members: each may have four requests under way, the limit of the gaps that it tracks.
const MEMBER_REPAIRS_QUEUED_MAX: usize = 4 * 64 * MEMBERS_MAX;
/// Frames repaired in one turn: some 20 µs of sending, less than a standby's ack may wait unnoticed, ...
const REPAIRS_PER_TURN: usize = 16;
/// ... and by a leader, which stamps meanwhile.
const LED_PER_TURN: usize = 4;
/// When to ask again if too many frames wait: the time to send them, at a turn of 10 µs for each sixteen.
const BUSY_RETRY_NS: Nanos = 1_000_000;

/// A frame that waits to be repaired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct PendingRepair {
    span: RingSpan,
    first: Seq,
    bytes: u32,
    to: SocketAddrV4,
    token: u64,
    /// Not before this.
    at: Nanos,
}

impl PendingRepair {
    /// `None` once it has left the ring: the requester asks again, and is refused.
    fn frame<'t, M: TailMemory>(&self, tail: &'t Tail<M>) -> Option<FrameView<'t>> {
        tail.frame(self.span).ok().filter(|frame| frame.header.first_seq == self.first)
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct RepairQueue {
    requesters: Requesters,
    members: Requesters,
    history: RepairHistory,
    queued: Vec<PendingRepair>,
    queued_members: Vec<PendingRepair>,
    /// The epoch of the log from which the queued frames come.
    epoch: Epoch,
}

/// Why a range is refused, and when it may be asked for again.
pub(super) type RefusedRange = (RepairReject, Nanos);

impl RepairQueue {
    pub(super) fn new(budget: BudgetLimits, history: RepairHistoryLimits) -> Self {
        Self {
            requesters: Requesters::new(RequesterKind::Reader, budget),
            members: Requesters::new(RequesterKind::Member, budget),
            history: RepairHistory::new(history),
            queued: Vec::with_capacity(REPAIRS_QUEUED_MAX),
            queued_members: Vec::with_capacity(MEMBER_REPAIRS_QUEUED_MAX),
            epoch: Epoch::NONE,
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub(super) fn invariants(&self) {
        self.requesters.invariants();
        self.members.invariants();
        self.history.invariants();
        let (pending, members) = (self.queued.len(), self.queued_members.len());
        assert!(
            pending <= REPAIRS_QUEUED_MAX,
            "REPAIR-4: {pending} frames wait to be given, at most {REPAIRS_QUEUED_MAX}"
        );
        assert!(
            members <= MEMBER_REPAIRS_QUEUED_MAX,
            "REPAIR-7: members wait for {members}, at most {MEMBER_REPAIRS_QUEUED_MAX}"
        );
    }

    /// Forgets all requesters and their requests.
    pub(super) fn clear(&mut self) {
        self.requesters.clear();
        self.members.clear();
        self.history.clear();
        self.queued.clear();
        self.queued_members.clear();
    }

    /// S11: what was granted was granted to a follower of the log's epoch. In another one it may not have it,
    /// and a frame that was exchanged is nobody's: whoever asked asks again, and is judged anew.
    fn of_epoch(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            self.queued.clear();
            self.queued_members.clear();
            self.epoch = epoch;
        }
    }

    /// Whether frames wait to be repaired.
    #[inline]
    pub(super) fn has_queued(&self) -> bool {
        !self.queued.is_empty() || !self.queued_members.is_empty()
    }

    /// A repairer sent the frame at `first` to everybody, with this trailer (REPAIR-3). Returns whether it
    /// was `me`: our own frame, looped back, brings nothing new.
    pub(super) fn on_shared(
        &mut self,
        now: Nanos,
        first: Seq,
        trailer: &RepairTrailer,
        me: Identity,
    ) -> bool {
        self.history.share(now, first);
        trailer.repairer() == me
    }

    /// A request was refused for its budget.
    pub(super) fn on_limited(&self, why: RepairReject, counters: &mut Counters) {
        if why != RepairReject::Referred {
            counters.add(Counter::NacksLimited, 1);
            counters.set(Counter::RequestersDropped, self.requesters.dropped());
        }
    }

    /// A member asks for `ranges`: this request supersedes frames of these ranges that already wait for it
    /// (REPAIR-7).
    pub(super) fn drop_queued(&mut self, now: Nanos, member: SocketAddrV4, ranges: &[SeqRange]) {
        let mut refund = 0;
        self.queued_members.retain(|pending| {
            let is_dropped = pending.to == member && supersedes(ranges, pending.first);
            refund += if is_dropped { u64::from(pending.bytes) } else { 0 };
            !is_dropped
        });
        if refund > 0 {
            self.members.refund(now, packed_address(member), refund);
        }
    }

    /// A member asks for `range`, which it may have: its frames are queued from now on, at most `left` of
    /// them. Otherwise returns the refusal, and its first seq.
    pub(super) fn enqueue_for_member<M: TailMemory>(
        &mut self,
        now: Nanos,
        tail: &Tail<M>,
        request: UnicastRequest,
        range: SeqRange,
        left: &mut usize,
    ) -> Result<(), (Seq, RefusedRange)> {
        self.of_epoch(tail.end().epoch);
        let UnicastRequest { from: to, token } = request;
        self.members.on_stream(now, tail.grown_bytes());
        let mut span = tail.find(range.from);
        while let Some(found) = span
            && *left > 0
        {
            let Ok(frame) = tail.frame(found) else { return Ok(()) };
            let first = frame.header.first_seq;
            if first >= range.to {
                break;
            }
            if self.queued_members.len() == MEMBER_REPAIRS_QUEUED_MAX {
                return Err((first.max(range.from), (RepairReject::Limited, BUSY_RETRY_NS)));
            }
            let bytes = frame.bytes.len() as u32;
            let afforded = self.members.charge(now, packed_address(to), u64::from(bytes));
            afforded.map_err(|refused| (first.max(range.from), refused))?;
            self.queued_members.push(PendingRepair { span: found, first, bytes, to, token, at: now });
            *left -= 1;
            span = tail.after(found);
        }
        Ok(())
    }
}

impl<P: Ports> ReplicaEngine<P> {
    /// Sends pending repairs, as many as one turn may.
    #[inline]
    pub(super) fn flush_repairs(&mut self, now: Nanos) {
        if self.core.repairs.has_queued() {
            self.send_batch(now);
        }
    }

    #[cold]
    fn send_batch(&mut self, now: Nanos) {
        let Self { net, tail, core, role, scratch } = self;
        let leads = role.leading().is_some();
        let max = if leads { LED_PER_TURN } else { REPAIRS_PER_TURN };
        let holdings = core.holdings(tail);
        core.repairs.of_epoch(holdings.end.epoch);
        let for_members = core.repairs.queued_members.len().min(max);
        for index in 0..for_members {
            if let Some(frame) = core.repairs.queued_members[index].frame(tail) {
                let PendingRepair { to, token, .. } = core.repairs.queued_members[index];
                let taken = give(net, core.repairer(), &holdings, (to, token), &frame);
                core.on_repaired(leads, u64::from(taken));
            }
        }
        core.repairs.queued_members.drain(..for_members);
        let (mut sent, mut retained) = (for_members, 0);
        for index in 0..core.repairs.queued.len() {
            let pending = core.repairs.queued[index];
            let is_shared = core.repairs.history.is_shared(pending.first);
            if sent == max || pending.at > now && !is_shared {
                core.repairs.queued[retained] = pending;
                retained += 1;
                continue;
            }
            let Some(frame) = pending.frame(tail) else { continue };
            let taken = if is_shared && frame.header.next_seq() <= holdings.commit_next {
                if core.repairs.history.share(now, pending.first) {
                    continue;
                }
                let (accepted, commit_next) = (holdings.end.epoch, holdings.commit_next);
                let (keys, repairer, history) = core.repairer();
                let trailer =
                    repair_trailer(keys, (repairer, history), accepted, commit_next, 0, frame.bytes);
                let length = frame.bytes.len() + trailer.len();
                scratch[..frame.bytes.len()].copy_from_slice(frame.bytes);
                scratch[frame.bytes.len()..length].copy_from_slice(&trailer);
                core.counters.add(Counter::RepairsMulticast, 1);
                net.send_group(Group::Data, &[Burst { bytes: &scratch[..length], stride: length }]) == 1
            } else {
                give(net, core.repairer(), &holdings, (pending.to, pending.token), &frame)
            };
            sent += 1;
            core.on_repaired(leads, u64::from(taken));
        }
        core.repairs.queued.truncate(retained);
    }
}

impl Leading {
    /// The highest log position that another live member with storage is known to hold.
    pub(super) fn members_next(&self, core: &ReplicaCore, now: Nanos) -> Seq {
        let members = core.log.membership.members().iter().zip(&self.member_contact);
        let alive = members.filter(|(member, last_contact)| {
            let silent = now.saturating_sub(**last_contact);
            **last_contact > 0 && silent < core.limits.failure_detector.timeout_ns && !member.is_witness()
        });
        let acked = alive.map(|(member, _)| core.followed.commit.acked_by(member.identity()));
        acked.max().unwrap_or(0)
    }
}

impl ReplicaCore {
    /// This replica as a repairer.
    pub(super) fn repairer(&self) -> RepairerSeal<'_> {
        (self.keys(), self.identity(), self.followed.history())
    }

    /// The range that it can repair.
    pub(super) fn holdings<M: TailMemory>(&self, tail: &Tail<M>) -> RepairRange {
        RepairRange { end: tail.end(), commit_next: self.commit_next(), oldest_seq: tail.oldest_seq() }
    }

    /// Counts frames that were repaired.
    pub(super) fn on_repaired(&mut self, leads: bool, frames: u64) {
        self.counters.add(Counter::RepairsOut, frames);
        if leads {
            self.counters.add(Counter::RepairsByLeader, frames);
        }
    }
}

impl<P: Ports> Ctx<'_, P> {
    /// A reader asks for `range`, which it may have: its frames are queued from now on, at most `left` of
    /// them. Otherwise returns the refusal, and its first seq.
    pub(super) fn enqueue(
        &mut self,
        leading: Option<&Leading>,
        request: UnicastRequest,
        range: SeqRange,
        left: &mut usize,
    ) -> Result<(), (Seq, RefusedRange)> {
        let (now, who) = (self.turn.now, packed_address(request.from));
        self.core.repairs.of_epoch(self.tail.end().epoch);
        self.core.repairs.requesters.on_stream(now, self.tail.grown_bytes());
        let others_next = leading.map_or(0, |leading| leading.members_next(self.core, now));
        let leads = leading.is_some();
        if leads && self.core.repairs.requesters.referral(now, who).refers(now, others_next, range) {
            self.core.counters.add(Counter::NacksReferred, 1);
            return Err((range.from, (RepairReject::Referred, 0)));
        }
        let mut span = self.tail.find(range.from);
        while let Some(found) = span
            && *left > 0
        {
            // Damage in memory is not repaired from here; the requester asks the next repairer.
            let Ok(frame) = self.tail.frame(found) else { return Ok(()) };
            let first = frame.header.first_seq;
            if first >= range.to {
                break;
            }
            let crowded = self.core.repairs.queued.len() == REPAIRS_QUEUED_MAX;
            match self.core.repairs.history.on_request(now, who, first) {
                RepairDecision::Ignored => self.core.counters.add(Counter::NacksIgnored, 1),
                RepairDecision::At(_) if crowded => {
                    return Err((first, (RepairReject::Limited, BUSY_RETRY_NS)));
                }
                RepairDecision::At(at) => {
                    let bytes = frame.bytes.len() as u32;
                    let mut cost = u64::from(bytes);
                    if leads {
                        cost = led_cost(cost, frame.header.next_seq(), others_next);
                    }
                    let afforded = self.core.repairs.requesters.charge(now, who, cost);
                    afforded.map_err(|refused| (first.max(range.from), refused))?;
                    let UnicastRequest { from: to, token } = request;
                    self.core.repairs.queued.push(PendingRepair { span: found, first, bytes, to, token, at });
                }
            }
            *left -= 1;
            span = self.tail.after(found);
        }
        Ok(())
    }
}
