//! Delivery of frames to the application, from where delivery stands on: when a frame is delivered, and its
//! entries.

use super::{Delivery, Message, SubscriberCore, SubscriberEvent};
use crate::engine::counters::Counter;
use crate::engine::parts::{Discarded, Joined, PartsLimits, Reassembly};
use crate::engine::receiver::Placement;
use crate::proto::log::LogEnd;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{
    Chain, DayMark, Entry, EntryKind, EpochStartView, FrameView, GATEWAYS, Header, Identity, MACHINES,
    MembershipView, Nanos, OpenView, OrderView, RESERVED, SETS, Seq,
};
use std::ops::ControlFlow;

/// Where delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct DeliveryCursor {
    /// The next seq to deliver; what lies before is skipped.
    pub next: Seq,
    /// Behind the last entry that was reported to the application.
    pub delivered_next: Seq,
    /// The chain before the frame that holds `next`, where it is known.
    pub chain: Option<Chain>,
    /// Messages that this poll may still deliver.
    pub left: usize,
    pub stopped: bool,
    /// Each frame is reported behind its entries.
    pub with_frames: bool,
    /// Entries from here on wait.
    pub deliver_bound: Seq,
}

impl Default for DeliveryCursor {
    /// At the beginning, where nothing is held.
    fn default() -> Self {
        Self {
            next: 0,
            delivered_next: 0,
            chain: None,
            left: 0,
            stopped: false,
            with_frames: false,
            deliver_bound: Seq::MAX,
        }
    }
}

impl SubscriberCore {
    /// From now on entries below `bound` are delivered. The others are received and wait in memory, so far as
    /// that has room; what has none is repaired or replayed when its turn comes.
    pub fn deliver_below(&mut self, bound: Seq) {
        self.cursor.deliver_bound = bound;
    }

    /// Whether the next entry waits for a higher bound.
    pub(super) fn is_at_bound(&self) -> bool {
        self.cursor.next >= self.cursor.deliver_bound
    }

    /// A live subscription begins where the log ended when it was first announced.
    pub(super) fn begin_live(&mut self) {
        if let (0, Some(end)) = (self.cursor.next, self.followed.end()) {
            self.cursor.next = end.next;
            self.cursor.chain = Some(end.chain);
            self.parts.begin(end.next);
        }
    }

    /// What becomes of a frame that was judged: it was live, or `repairer` repaired or replayed it.
    pub(super) fn take(
        &mut self,
        now: Nanos,
        placement: Placement,
        frame: &FrameView<'_>,
        repairer: Option<Identity>,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) {
        if let Some(from) = self.rx.take_retracted() {
            self.take_back(from, f);
        }
        if placement != Placement::Dropped {
            let header = frame.header;
            let leader = header.epoch().leader();
            self.losses.on_frame(now, header.first_seq, header.next_seq(), repairer, leader);
        }
        let Placement::Next(next) = placement else { return };
        let &LogEnd { next: end_next, chain, .. } = next.end();
        // Held already by a quorum, or by the leader alone where it is a quorum.
        let may = self.limits.delivery == Delivery::Stamped
            || self.followed.commit.commit_with(end_next) >= end_next;
        let may = may || planted(Mutation::DeliveredBeforeCommit);
        let at_once = may && !self.rx.frames.has_ready() && !self.cursor.stopped;
        if at_once && self.rx.frames.has_spare() {
            if deliver(&mut self.cursor, &mut self.parts, frame, chain, f) {
                self.rx.accept(&mut self.followed, next, &mut self.counters);
            } else {
                // The application stopped in the middle: the frame waits with the cursor in it.
                let inserted = self.rx.buffer(&mut self.followed, next, frame, &mut self.counters);
                assert!(inserted, "a frame at seq {} finds no room in the store", { frame.header.first_seq });
            }
        } else if !self.rx.buffer(&mut self.followed, next, frame, &mut self.counters) {
            return;
        }
        self.counters.add(Counter::FramesAccepted, 1);
        self.deliver_ready(f);
    }

    /// Nothing from `from` on survived a takeover: the stream continues there.
    fn take_back(&mut self, from: Seq, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) {
        let delivered_next = self.cursor.delivered_next;
        self.cursor.delivered_next = delivered_next.min(from);
        if self.cursor.next > from {
            self.cursor.next = from;
            self.cursor.chain = self.followed.end().filter(|end| end.next == from).map(|end| end.chain);
        }
        self.caught_up = false;
        self.parts.on_retract(from);
        if delivered_next > from && !planted(Mutation::RetractNotReported) {
            let stamped = self.limits.delivery == Delivery::Stamped;
            assert!(
                stamped,
                "seq {from} is lost, and everything below {delivered_next} was told as final (S6)"
            );
            let _ = f(SubscriberEvent::Retract { from });
        }
    }

    #[inline]
    pub(super) fn deliver_ready(&mut self, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) {
        if self.rx.frames.has_ready() {
            self.deliver_buffered(f);
        }
    }

    /// Delivers buffered frames that may be delivered now.
    #[inline(never)]
    fn deliver_buffered(&mut self, f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>) {
        let bound = self.bound();
        while !self.cursor.stopped
            && let Some(frame) = self.rx.frames.front(bound)
        {
            if !deliver(&mut self.cursor, &mut self.parts, &frame, frame.chain_after(), f) {
                return;
            }
            self.rx.frames.pop_front();
        }
    }
}

/// Delivers the entries of one frame, behind which the chain is `chain_after`, from the cursor on. Returns
/// whether the frame is done.
#[inline]
fn deliver(
    cursor: &mut DeliveryCursor,
    parts: &mut Reassembly,
    frame: &FrameView<'_>,
    chain_after: Chain,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
) -> bool {
    let (first, next) = (frame.header.first_seq, frame.header.next_seq());
    let is_new = next > cursor.next;
    if is_new {
        cursor.chain = Some(frame.header.chain);
    }
    let skipped = cursor.next.saturating_sub(first);
    for (seq, entry) in (first..).zip(frame.entries()).skip(skipped as usize) {
        if cursor.stopped || seq >= cursor.deliver_bound {
            return false;
        }
        let delivered = deliver_entry(seq, frame.header, &entry, parts, f);
        cursor.next = seq + 1;
        if let Some((flow, is_message)) = delivered {
            cursor.delivered_next = seq + 1;
            cursor.left -= usize::from(is_message);
            cursor.stopped = flow.is_break();
        }
        cursor.stopped |= cursor.left == 0;
    }
    if next == cursor.next {
        cursor.chain = Some(chain_after);
    }
    if cursor.with_frames && is_new {
        cursor.stopped |= f(SubscriberEvent::Frame { bytes: frame.bytes }).is_break();
    }
    true
}

/// One entry as an event, and whether that is a message; `None` for an entry that cannot be read.
#[inline]
fn deliver_entry(
    seq: Seq,
    frame: &Header,
    entry: &Entry<'_>,
    parts: &mut Reassembly,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
) -> Option<(ControlFlow<()>, bool)> {
    if entry.kind() == EntryKind::Message && entry.header.flags == 0 && entry.header.destination < RESERVED {
        if !parts.is_empty() {
            parts.on_end(seq, entry.header.publisher);
        }
        let message = message(seq, frame.timestamp, entry, entry.payload);
        return Some((f(SubscriberEvent::Message(message)), true));
    }
    deliver_control(seq, frame, entry, parts, f)
}

/// An entry that is no message in one piece.
#[cold]
fn deliver_control(
    seq: Seq,
    frame: &Header,
    entry: &Entry<'_>,
    parts: &mut Reassembly,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
) -> Option<(ControlFlow<()>, bool)> {
    let timestamp = stamped_at(frame.timestamp, entry);
    // What has a number and is no next part ends what its publisher had begun.
    let is_part = entry.header.flags != 0 && entry.header.destination < RESERVED;
    if !is_part && !parts.is_empty() {
        parts.on_end(seq, entry.header.publisher);
    }
    let flow = match entry.kind() {
        EntryKind::Message if entry.header.destination >= RESERVED => f(of_lockstep(seq, timestamp, entry)),
        EntryKind::Message => return Some(deliver_part(seq, frame, entry, parts, f)),
        EntryKind::EpochStart => {
            let start = EpochStartView::parse(entry.payload).ok()?;
            let (members, history) = (start.members().len(), frame.history);
            // What one entry tells is told together: who says stop hears the rest of it.
            let founded = start
                .founded_on()
                .map(|left| f(SubscriberEvent::Founded { history, seq, ancestor: left.history }));
            let flows = [
                founded.unwrap_or(ControlFlow::Continue(())),
                f(SubscriberEvent::Epoch { epoch: start.epoch(), seq }),
                f(SubscriberEvent::Membership { seq, members }),
            ];
            flows.into_iter().find(ControlFlow::is_break).unwrap_or(ControlFlow::Continue(()))
        }
        EntryKind::Membership => {
            let changed = MembershipView::parse(entry.payload).ok()?;
            f(SubscriberEvent::Membership { seq, members: changed.members().len() })
        }
        EntryKind::Open | EntryKind::Close => {
            let (publisher, last) = (entry.header.publisher, entry.header.publisher_seq);
            let reason = entry.payload;
            if entry.kind() == EntryKind::Close {
                f(SubscriberEvent::Closed { seq, timestamp, publisher, reason })
            } else {
                let OpenView { body, name } = OpenView::parse(entry.payload).ok()?;
                let (incarnation, nonce) = (body.incarnation, body.nonce);
                f(SubscriberEvent::Opened { seq, timestamp, publisher, incarnation, nonce, last, name })
            }
        }
        EntryKind::Day => {
            let mark = DayMark::parse(entry.payload).ok()?;
            f(SubscriberEvent::Day { seq, timestamp, mark })
        }
        EntryKind::Order => {
            let order = OrderView::parse(entry.payload).ok()?;
            f(SubscriberEvent::Ordered { seq, timestamp, order })
        }
        EntryKind::Genesis | EntryKind::ChangeCommitted if planted(Mutation::PassedNotReported) => {
            return None;
        }
        kind @ (EntryKind::Genesis | EntryKind::ChangeCommitted) => {
            f(SubscriberEvent::Filtered { seq, kind })
        }
    };
    Some((flow, false))
}

/// A message to one of lockstep's own destinations.
fn of_lockstep<'a>(seq: Seq, timestamp: Nanos, entry: &Entry<'a>) -> SubscriberEvent<'a> {
    let (publisher, payload) = (entry.header.publisher, entry.payload);
    match entry.header.destination {
        GATEWAYS => SubscriberEvent::GatewayHeartbeat { seq, timestamp, publisher, payload },
        MACHINES => SubscriberEvent::MachineReport { seq, timestamp, publisher, payload },
        SETS => SubscriberEvent::SetNote { seq, timestamp, publisher, payload },
        _ => SubscriberEvent::Filtered { seq, kind: EntryKind::Message },
    }
}

/// A part of a message: with the last one it is told, under that one's seq and number.
fn deliver_part(
    seq: Seq,
    frame: &Header,
    entry: &Entry<'_>,
    parts: &mut Reassembly,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
) -> (ControlFlow<()>, bool) {
    let joined = parts.on_part(seq, frame.chain, entry);
    report_discarded(parts, f);
    match joined {
        Joined::Waits => (f(SubscriberEvent::Filtered { seq, kind: EntryKind::Message }), false),
        Joined::Whole(index) => {
            let whole = message(seq, frame.timestamp, entry, parts.message(index));
            let flow = f(SubscriberEvent::Message(whole));
            parts.on_delivered(index);
            (flow, true)
        }
    }
}

/// Reports messages that are discarded.
#[inline]
pub(super) fn report_discarded(
    parts: &mut Reassembly,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
) {
    while let Some(Discarded { publisher, from, bound }) = parts.next_discarded() {
        // It stands for no entry: there is nothing to leave for the next poll.
        let _ = f(SubscriberEvent::PartsDiscarded { publisher, from, bound });
    }
}

/// When an entry was stamped.
#[inline]
fn stamped_at(frame_time: Nanos, entry: &Entry<'_>) -> Nanos {
    frame_time + u64::from(entry.header.time_or_incarnation) + u64::from(planted(Mutation::TimeOff))
}

#[inline]
fn message<'a>(seq: Seq, frame_time: Nanos, entry: &Entry<'_>, payload: &'a [u8]) -> Message<'a> {
    Message {
        seq,
        publisher: entry.header.publisher,
        publisher_seq: entry.header.publisher_seq,
        destination: entry.header.destination ^ u32::from(planted(Mutation::DeliveryOff)),
        timestamp: stamped_at(frame_time, entry),
        payload,
    }
}

/// Delivers frames out of memory of the caller's: one that has judged them itself, and found them final.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FrameDelivery {
    cursor: DeliveryCursor,
    parts: Reassembly,
}

impl FrameDelivery {
    /// Delivers from the entry `next` on.
    pub fn new(next: Seq, parts: PartsLimits) -> Self {
        let cursor = DeliveryCursor { next, ..DeliveryCursor::default() };
        let mut parts = Reassembly::new(parts, false);
        parts.begin(next);
        Self { cursor, parts }
    }

    /// The next seq to be delivered.
    pub fn next(&self) -> Seq {
        self.cursor.next
    }

    /// From now on entries below `bound` are delivered, and the others wait.
    pub fn deliver_below(&mut self, bound: Seq) {
        self.cursor.deliver_bound = bound;
    }

    /// Delivers what is left of `frame`, at most `limit` messages; the next frame is the one behind it.
    /// Returns how many messages those were, and whether the frame is done and another one may follow.
    pub fn deliver(
        &mut self,
        frame: &FrameView<'_>,
        limit: usize,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> (usize, bool) {
        self.cursor.next = self.cursor.next.max(frame.header.first_seq);
        (self.cursor.left, self.cursor.stopped) = (limit, limit == 0);
        let is_done = deliver(&mut self.cursor, &mut self.parts, frame, frame.chain_after(), f);
        if !self.parts.is_empty() {
            self.parts.on_entry(self.cursor.next);
            report_discarded(&mut self.parts, f);
        }
        (limit - self.cursor.left, is_done && !self.cursor.stopped)
    }
}
