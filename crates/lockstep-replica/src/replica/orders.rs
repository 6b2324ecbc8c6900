//! The record of an operator's orders: the leader that carries one out stamps who gave it, about what, and
//! the state in which it was judged.
//!
//! An order to a standby (a declaration of death) is recorded when that standby leads. An order without
//! effect is not recorded.

use super::commands::LastRejectedCommand;
use super::{Ctx, Leading, ReplicaCore};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::ReplicaEvent;
use lockstep_core::proto::log::LogEnd;
use lockstep_core::proto::publishers::Admission;
use lockstep_core::proto::rights::Submitter;
use lockstep_core::proto::sequence::{Sequencer, Stamp};
use lockstep_wire::{
    CommandReject, DayMark, Entry, EntryKind, Epoch, Header, KeyHolder, MembershipView, Nanos, OperatorOrder,
    OrderProof, OrderStatement, OrderView, PublisherNotice, Reject, Seq, Wall, day_arguments,
};
use std::sync::Arc;

/// Orders that wait to be recorded: more are not accepted.
const PENDING_MAX: usize = 16;

/// An operator: the holder of a key with the right to orders, or of a replica's key.
pub(super) type Operator = Option<Arc<KeyHolder>>;

/// An order that is carried out, and its record.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct AcceptedOrder {
    order: OperatorOrder,
    record: Vec<u8>,
}

/// Orders that are carried out, and not yet recorded, oldest first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct PendingOrders(Vec<AcceptedOrder>);

impl PendingOrders {
    /// Whether another order can be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < PENDING_MAX
    }

    /// Orders of this kind are carried out by nobody: they are not recorded.
    pub(super) fn forget(&mut self, order: OperatorOrder) {
        self.0.retain(|accepted| accepted.order != order);
    }

    /// Whether nothing waits, which is the rule.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The effect of an order on the frame of which it is the first entry, and on all that follow.
#[derive(Clone, Copy)]
enum FrameEffect {
    /// The frame is the first one of this version.
    Version(u8),
    /// The frame is the first one of a lower time than this, that of the stream before.
    Time(Wall),
}

impl FrameEffect {
    fn of(record: &[u8]) -> Option<Self> {
        let order = OrderView::parse(record).ok()?;
        order.version().map(Self::Version).or(order.time_before().map(|before| Self::Time(Wall(before))))
    }

    /// Whether the stream behind `end` still stands where the order was judged. A copy of an order of time
    /// that was carried out finds another time.
    fn is_due(self, sequencer: &Sequencer, end: &LogEnd, wall: Wall) -> bool {
        match self {
            Self::Version(_) => true,
            Self::Time(before) => Wall(end.timestamp) == before && sequencer.time(wall) < before,
        }
    }

    /// The open frame begins with the order, at `seq`.
    fn apply(self, core: &mut ReplicaCore, sequencer: &mut Sequencer, seq: Seq, wall: Wall) {
        match self {
            Self::Version(version) => {
                sequencer.raise(version);
                core.log.version = version;
                core.events.push(ReplicaEvent::VersionRaised { version, seq });
            }
            Self::Time(before) => {
                sequencer.set_back(wall);
                core.events.push(ReplicaEvent::TimeSetBack {
                    before: before.0,
                    after: sequencer.time(wall).0,
                    seq,
                });
            }
        }
    }
}

impl ReplicaCore {
    /// The record of an order that `operator` may give, if it is signed as it would be carried out.
    pub(super) fn prove_order(
        &mut self,
        now: Nanos,
        order: &OrderStatement<'_>,
        operator: &Operator,
        proof: Option<&OrderProof>,
    ) -> Result<Vec<u8>, CommandReject> {
        let judged =
            self.order_checks.record(&self.limits.receiver.keys, now, order, operator.as_deref(), proof);
        if judged.is_err() {
            self.reject(Reject::Signature);
        }
        judged
    }

    /// An order with this record is carried out from here on.
    pub(super) fn accept_order(&mut self, order: OperatorOrder, record: Vec<u8>) {
        self.pending_orders.0.push(AcceptedOrder { order, record });
    }
}

impl Leading {
    /// A submitted order: a change of the membership, or the mark of a trading day.
    #[cold]
    pub(super) fn submit_order<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
        entry: &Entry<'_>,
        order: OperatorOrder,
        operator: Operator,
        submitter: &mut Submitter,
    ) {
        // Its sender submits it again.
        if !ctx.core.pending_orders.has_room() {
            return ctx.core.drop_one(Counter::SubmissionsDropped);
        }
        match order {
            OperatorOrder::Membership => self.order_change(ctx, header, entry, operator),
            _ => self.order_day(ctx, entry, operator, submitter),
        }
    }

    fn order_change<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        header: &Header,
        entry: &Entry<'_>,
        operator: Operator,
    ) {
        let Ok(asked) = MembershipView::parse(entry.payload) else { return ctx.core.reject(Reject::Body) };
        let member = asked.body.member.identity();
        let epoch = ctx.core.followed.epoch();
        // Without an operator's key it may be for every epoch.
        let is_present = header.epoch() == epoch || header.epoch() == Epoch::NONE;
        let judged = match self.judge_submitted(ctx.core, &asked) {
            Ok(Some(_)) if !is_present => Err(CommandReject::Stale),
            Ok(Some(after)) => {
                let order = OrderStatement {
                    order: OperatorOrder::Membership,
                    history: ctx.core.followed.history(),
                    epoch,
                    membership_seq: asked.body.after,
                    subject: Some(member),
                    arguments: bytemuck::bytes_of(&asked.body),
                };
                let proven = ctx.core.prove_order(ctx.turn.now, &order, &operator, asked.proof.as_ref());
                proven.map(|record| Some((after, record)))
            }
            Ok(None) => Ok(None),
            Err(why) => Err(why),
        };
        match judged {
            Ok(None) => {}
            Ok(Some((after, record))) => {
                if self.stamp_change(ctx, asked.change(), asked.body.member, &after) {
                    ctx.core.accept_order(OperatorOrder::Membership, record);
                }
            }
            Err(why) => self.rejected_command = Some(LastRejectedCommand { member, why, at: ctx.turn.wall }),
        }
    }

    fn order_day<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        entry: &Entry<'_>,
        operator: Operator,
        submitter: &mut Submitter,
    ) {
        let header = entry.header;
        let Ok(mark) = DayMark::parse(entry.payload) else { return ctx.core.reject(Reject::Body) };
        match ctx.core.log.publishers.judge(
            header.publisher,
            header.time_or_incarnation,
            header.publisher_seq,
        ) {
            Admission::Stamp => {}
            // Held back, it would be stamped later and not be recorded.
            Admission::Hold => return ctx.core.drop_one(Counter::SubmissionsDropped),
            _ => return self.submit(ctx, entry, submitter),
        }
        let order = OrderStatement {
            order: OperatorOrder::Day,
            history: ctx.core.followed.history(),
            epoch: Epoch::NONE,
            membership_seq: 0,
            subject: None,
            arguments: &day_arguments(header, &mark),
        };
        match ctx.core.prove_order(ctx.turn.now, &order, &operator, DayMark::proof(entry.payload).as_ref()) {
            Ok(record) => {
                let next = self.sequencer.stamp_next(&ctx.tail.end());
                self.submit(ctx, entry, submitter);
                if self.sequencer.stamp_next(&ctx.tail.end()) > next {
                    ctx.core.accept_order(OperatorOrder::Day, record);
                }
            }
            Err(why) => {
                let notice = match why {
                    CommandReject::TooMany => PublisherNotice::Throttled,
                    _ => PublisherNotice::NotAllowed,
                };
                self.refuse_message(ctx.core, notice, submitter.notice_key(), header);
            }
        }
    }

    /// A submitted order whose operator's key does not allow it: the status, or a notice, tells so.
    #[cold]
    pub(super) fn refuse_order<P: Ports>(
        &mut self,
        ctx: &mut Ctx<'_, P>,
        entry: &Entry<'_>,
        submitter: &Submitter,
    ) {
        match MembershipView::parse(entry.payload) {
            Ok(asked) if entry.kind() == EntryKind::Membership => {
                let (member, why) = (asked.body.member.identity(), CommandReject::NotAllowed);
                self.rejected_command = Some(LastRejectedCommand { member, why, at: ctx.turn.wall });
            }
            _ => {
                let key = submitter.notice_key();
                self.refuse_message(ctx.core, PublisherNotice::NotAllowed, key, entry.header);
            }
        }
    }

    /// Records the orders that are carried out, in a frame of their own. Without room in the journal they are
    /// recorded at a later turn.
    #[cold]
    pub(super) fn stamp_orders<P: Ports>(&mut self, ctx: &mut Ctx<'_, P>) {
        let wall = ctx.turn.wall;
        while !ctx.core.pending_orders.is_empty() {
            let AcceptedOrder { order, record } = ctx.core.pending_orders.0.remove(0);
            let stamp = Stamp::of_cluster(EntryKind::Order);
            let effect = FrameEffect::of(&record);
            if effect.is_some() || !self.sequencer.fits(record.len()) {
                self.close_frame(ctx, false);
            }
            if effect.is_some_and(|effect| !effect.is_due(&self.sequencer, &ctx.tail.end(), wall)) {
                continue;
            }
            if self.append_entry(ctx, stamp, &record).is_none() {
                return ctx.core.pending_orders.0.insert(0, AcceptedOrder { order, record });
            }
            if let Some(effect) = effect {
                effect.apply(ctx.core, &mut self.sequencer, ctx.tail.end().next, wall);
            }
        }
        self.close_frame(ctx, false);
    }
}
