//! The record of an operator's orders: the leader that carries one out stamps who gave it, about what, and
//! the state in which it was judged.
//!
//! An order to a standby (a declaration of death) is recorded when that standby leads. An order without
//! effect is not recorded.

use super::{Leading, ReplicaCore, Turn};
use crate::journal::Tail;
use crate::journal::ports::TailMemory;
use lockstep_core::engine::counters::Counter;
use lockstep_core::proto::rights::Submitter;
use lockstep_core::proto::sequence::Stamp;
use lockstep_wire::{
    CommandReject, Entry, EntryKind, Identity, KeyHolder, MembershipView, Nanos, ORDER_LEN_MAX,
    OperatorOrder, OrderBody, PublisherNotice, Seq, write_order,
};
use std::sync::Arc;

/// Orders that wait to be recorded: more are not accepted.
const PENDING_MAX: usize = 16;

/// An operator: the holder of a key with the right to orders, or of a replica's key.
pub(super) type Operator = Option<Arc<KeyHolder>>;

/// An order that is carried out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct AcceptedOrder {
    body: OrderBody,
    operator: Operator,
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
        self.0.retain(|accepted| accepted.body.order != order as u8);
    }

    /// Whether nothing waits, which is the rule.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ReplicaCore {
    /// `order` about `subject`, which was judged by the membership of `membership_seq`, is carried out from
    /// here on.
    pub(super) fn accept_order(
        &mut self,
        order: OperatorOrder,
        subject: Option<Identity>,
        membership_seq: Seq,
        operator: Operator,
    ) {
        let body = OrderBody {
            subject: subject.map_or(0, Identity::packed),
            epoch: self.rx.follow.epoch().0,
            membership_seq,
            key: operator.as_ref().map_or(OrderBody::NO_KEY, |holder| holder.key),
            order: order as u8,
            holder_len: 0,
            reserved: 0,
        };
        self.pending_orders.0.push(AcceptedOrder { body, operator });
    }
}

impl Leading {
    /// A submitted order: a change of the membership, or the mark of a trading day.
    #[cold]
    pub(super) fn submit_order<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        turn: &Turn,
        entry: &Entry<'_>,
        (order, operator): (OperatorOrder, Operator),
        submitter: &mut Submitter,
    ) {
        // Its sender submits it again.
        if !core.pending_orders.has_room() {
            return core.drop_one(Counter::SubmissionsDropped);
        }
        let membership_seq = core.log.membership.seq;
        let (is_done, subject) = match order {
            OperatorOrder::Membership => {
                let subject = MembershipView::parse(entry.payload).ok();
                let subject = subject.map(|asked| asked.body.member.identity());
                (self.submit_change(core, tail, turn.wall, entry), subject)
            }
            _ => {
                let next = self.sequencer.stamp_next(&tail.end());
                self.submit(core, tail, turn, entry, submitter);
                (self.sequencer.stamp_next(&tail.end()) > next, None)
            }
        };
        if is_done {
            core.accept_order(order, subject, membership_seq, operator);
        }
    }

    /// A submitted order whose operator's key does not allow it: the status, or a notice, tells so.
    #[cold]
    pub(super) fn refuse_order(
        &mut self,
        core: &mut ReplicaCore,
        wall: Nanos,
        entry: &Entry<'_>,
        submitter: &Submitter,
    ) {
        match MembershipView::parse(entry.payload) {
            Ok(asked) if entry.kind() == EntryKind::Membership => {
                self.reject_change(asked.body.member.identity(), CommandReject::NotAllowed, wall);
            }
            _ => {
                let key = submitter.notice_key();
                self.refuse_message(core, PublisherNotice::NotAllowed, key, entry.header);
            }
        }
    }

    /// Records the orders that are carried out, in a frame of their own. Without room in the journal they are
    /// recorded at a later turn.
    #[cold]
    pub(super) fn stamp_orders<M: TailMemory>(
        &mut self,
        core: &mut ReplicaCore,
        tail: &mut Tail<M>,
        wall: Nanos,
    ) {
        while let Some(AcceptedOrder { body, operator }) = core.pending_orders.0.first() {
            let stamp =
                Stamp { kind: EntryKind::Order, flags: 0, publisher: 0, publisher_seq: 0, destination: 0 };
            let mut payload = [0; ORDER_LEN_MAX];
            let holder = operator.as_ref().map_or("", |holder| holder.name.as_str());
            let length = write_order(&mut payload, *body, holder);
            if !self.sequencer.fits(length) {
                self.close_frame(core, tail, false);
            }
            if self.append_entry(core, tail, wall, stamp, &payload[..length]).is_none() {
                return;
            }
            core.pending_orders.0.remove(0);
        }
        self.close_frame(core, tail, false);
    }
}
