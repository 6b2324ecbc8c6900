//! One frame becomes events: what an entry says to an application, and what it does not.

use super::{Cursor, Flow, Message, SubscriberEvent};
use crate::engine::parts::{Joined, Parts};
use crate::wire::{Entry, EntryKind, EpochStartView, FrameView, MembershipView, Nanos, Seq};

/// Delivers the entries of one frame from the cursor on. Returns whether the frame is done.
pub(super) fn deliver(
    cursor: &mut Cursor,
    parts: &mut Parts,
    frame: &FrameView<'_>,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> Flow,
) -> bool {
    for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
        if seq >= cursor.next {
            if cursor.stopped {
                return false;
            }
            let flow = tell(seq, frame.header.timestamp, &entry, parts, f);
            cursor.next = seq + 1;
            cursor.told_next = if flow.is_some() { seq + 1 } else { cursor.told_next };
            if flow.is_some() && entry.kind() == EntryKind::Message {
                cursor.left -= 1;
            }
            cursor.stopped = flow == Some(Flow::Stop) || cursor.left == 0;
        }
    }
    true
}

/// One entry as an event; `None` for entries that are the cluster's own business, and for parts of a message
/// that is not whole: they are passed over.
fn tell(
    seq: Seq,
    frame_time: Nanos,
    entry: &Entry<'_>,
    parts: &mut Parts,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> Flow,
) -> Option<Flow> {
    match entry.kind() {
        EntryKind::Message if entry.header.flags != 0 => tell_part(seq, frame_time, entry, parts, f),
        EntryKind::Message => {
            Some(f(SubscriberEvent::Message(message(seq, frame_time, entry, entry.payload))))
        }
        EntryKind::EpochStart => {
            let start = EpochStartView::parse(entry.payload).ok()?;
            let flow = f(SubscriberEvent::Epoch { epoch: start.epoch(), seq });
            let members = start.members().len();
            Some(if flow == Flow::Stop { flow } else { f(SubscriberEvent::Membership { seq, members }) })
        }
        EntryKind::Membership => {
            let changed = MembershipView::parse(entry.payload).ok()?;
            Some(f(SubscriberEvent::Membership { seq, members: changed.members().len() }))
        }
        EntryKind::Open | EntryKind::Close => {
            if !parts.is_empty() {
                parts.on_end(seq, entry.header.publisher);
            }
            None
        }
        EntryKind::Birth => None,
    }
}

/// A part of a message: with the last one it is told, under that one's seq and number.
#[cold]
fn tell_part(
    seq: Seq,
    frame_time: Nanos,
    entry: &Entry<'_>,
    parts: &mut Parts,
    f: &mut impl FnMut(SubscriberEvent<'_>) -> Flow,
) -> Option<Flow> {
    match parts.on_part(seq, entry) {
        Joined::Waits => None,
        Joined::GivenUp(publisher, from, bound) => {
            Some(f(SubscriberEvent::GivenUp { publisher, from, bound }))
        }
        Joined::Whole(index) => {
            let whole = message(seq, frame_time, entry, parts.message(index));
            let flow = f(SubscriberEvent::Message(whole));
            parts.on_delivered(index);
            Some(flow)
        }
    }
}

#[inline]
fn message<'a>(seq: Seq, frame_time: Nanos, entry: &Entry<'_>, payload: &'a [u8]) -> Message<'a> {
    Message {
        seq,
        publisher: entry.header.publisher,
        publisher_seq: entry.header.publisher_seq,
        destination: entry.header.destination,
        timestamp: frame_time + u64::from(entry.header.time_or_incarnation),
        payload,
    }
}
