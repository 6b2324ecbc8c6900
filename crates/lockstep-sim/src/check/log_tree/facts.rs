//! The fact that each entry of a log must report to a reader.

use super::{Stem, Tree, TreeNode};
use crate::check::digest;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::{
    Destination, Entry, EntryKind, Epoch, EpochStartView, GATEWAYS, MACHINES, MembershipView, Nanos,
    OpenView, OrderBody, OrderView, PublisherId, PublisherSeq, RESERVED, SETS, Seq,
};

/// The fact that an entry reports to a reader, texts by their digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fact {
    /// A message: its publisher, its number, its destination, and its timestamp.
    Message(PublisherId, PublisherSeq, Destination, Nanos),
    /// A leadership begins, with so many members.
    Epoch(Epoch, usize),
    /// The membership, of so many.
    Membership(usize),
    /// A name is opened: its id, incarnation, nonce and last number, the name, and its timestamp.
    Opened(PublisherId, u32, [u64; 2], PublisherSeq, u64, Nanos),
    /// A name is closed, with this text, at this time.
    Closed(PublisherId, u64, Nanos),
    /// A gateway heartbeat.
    Alive(PublisherId),
    /// A report of a machine's replica, and its timestamp.
    Report(PublisherId, u64, Nanos),
    /// Nothing.
    Passed(EntryKind),
    /// A day begins or ends, at this time.
    Day(bool, u64, Nanos),
    /// An operator's order, and the holder of its key.
    Order(OrderBody, u64),
}

impl Fact {
    /// The fact of the entry of a frame of this time; `whole`: it is a message, or the last part of one that
    /// has all others in its log.
    pub(super) fn of_entry(frame_time: Nanos, entry: &Entry<'_>, whole: bool) -> Self {
        let header = entry.header;
        let at = frame_time + u64::from(header.time_or_incarnation);
        match entry.kind() {
            EntryKind::Message if header.destination == GATEWAYS => Self::Alive(header.publisher),
            EntryKind::Message if matches!(header.destination, MACHINES | SETS) => {
                Self::Report(header.publisher, digest(entry.payload), at)
            }
            EntryKind::Message if header.destination >= RESERVED => Self::Passed(EntryKind::Message),
            EntryKind::Message if whole => {
                Self::Message(header.publisher, header.publisher_seq, header.destination, at)
            }
            EntryKind::EpochStart => EpochStartView::parse(entry.payload)
                .map_or(Self::Passed(EntryKind::EpochStart), |start| {
                    Self::Epoch(start.epoch(), start.members().len())
                }),
            EntryKind::Membership => MembershipView::parse(entry.payload)
                .map_or(Self::Passed(EntryKind::Membership), |view| Self::Membership(view.members().len())),
            EntryKind::Open => OpenView::parse(entry.payload).map_or(Self::Passed(EntryKind::Open), |open| {
                let (incarnation, nonce) = (open.body.incarnation, open.body.nonce);
                let name = digest(open.name.as_bytes());
                Self::Opened(header.publisher, incarnation, nonce, header.publisher_seq, name, at)
            }),
            EntryKind::Close => Self::Closed(header.publisher, digest(entry.payload), at),
            EntryKind::Day => lockstep_wire::DayMark::parse(entry.payload)
                .map_or(Self::Passed(EntryKind::Day), |mark| {
                    Self::Day(mark.is_start, digest(mark.name.as_bytes()), at)
                }),
            EntryKind::Order => OrderView::parse(entry.payload)
                .map_or(Self::Passed(EntryKind::Order), |view| {
                    Self::Order(view.body, digest(view.holder.as_bytes()))
                }),
            kind @ (EntryKind::Message | EntryKind::Genesis | EntryKind::ChangeCommitted) => {
                Self::Passed(kind)
            }
        }
    }

    /// The fact of an entry that an event reports; `None` for an event about something else.
    pub fn of_event(event: &SubscriberEvent<'_>) -> Option<Self> {
        match *event {
            SubscriberEvent::Message(message) => Some(Self::Message(
                message.publisher,
                message.publisher_seq,
                message.destination,
                message.timestamp,
            )),
            SubscriberEvent::Epoch { epoch, .. } => Some(Self::Epoch(epoch, 0)),
            SubscriberEvent::Membership { members, .. } => Some(Self::Membership(members)),
            SubscriberEvent::Opened { timestamp, publisher, incarnation, nonce, last, name, .. } => {
                Some(Self::Opened(publisher, incarnation, nonce, last, digest(name.as_bytes()), timestamp))
            }
            SubscriberEvent::Closed { timestamp, publisher, reason, .. } => {
                Some(Self::Closed(publisher, digest(reason), timestamp))
            }
            SubscriberEvent::GatewayHeartbeat { publisher, .. } => Some(Self::Alive(publisher)),
            SubscriberEvent::MachineReport { timestamp, publisher, payload, .. }
            | SubscriberEvent::SetNote { timestamp, publisher, payload, .. } => {
                Some(Self::Report(publisher, digest(payload), timestamp))
            }
            SubscriberEvent::Filtered { kind, .. } => Some(Self::Passed(kind)),
            SubscriberEvent::Day { timestamp, mark, .. } => {
                Some(Self::Day(mark.is_start, digest(mark.name.as_bytes()), timestamp))
            }
            SubscriberEvent::Ordered { order, .. } => {
                Some(Self::Order(order.body, digest(order.holder.as_bytes())))
            }
            SubscriberEvent::Committed { .. }
            | SubscriberEvent::Retract { .. }
            | SubscriberEvent::Gap { .. }
            | SubscriberEvent::Abandoned { .. }
            | SubscriberEvent::PartsDiscarded { .. }
            | SubscriberEvent::Multicast { .. }
            | SubscriberEvent::CaughtUp { .. }
            | SubscriberEvent::Replaying { .. }
            | SubscriberEvent::Refused { .. }
            | SubscriberEvent::Founded { .. }
            | SubscriberEvent::HistoryLost { .. }
            | SubscriberEvent::Ahead { .. }
            | SubscriberEvent::Lag { .. }
            | SubscriberEvent::Diverged { .. } => None,
            unknown => unreachable!("the judge does not know {unknown:?}"),
        }
    }
}

impl Stem {
    /// Whether this frame's entry at `seq` may be this publisher's number: that of a message is known.
    pub fn has_number(&self, seq: Seq, publisher: PublisherId, number: PublisherSeq) -> bool {
        match self.fact(seq) {
            Some(Fact::Message(of, own, ..)) => (of, own) == (publisher, number),
            Some(Fact::Alive(of) | Fact::Report(of, ..)) => of == publisher,
            Some(Fact::Passed(kind)) => kind == EntryKind::Message,
            Some(Fact::Day(..)) => true,
            _ => false,
        }
    }

    /// The fact of this frame's entry at `seq`.
    fn fact(&self, seq: Seq) -> Option<Fact> {
        seq.checked_sub(self.first).and_then(|at| self.facts.get(at as usize)).copied()
    }

    /// Whether this frame's entry at `seq` reports this fact to a reader that received everything from
    /// `from` on.
    fn tells(&self, seq: Seq, reported: Fact, from: Seq) -> bool {
        let Some(fact) = self.fact(seq) else { return false };
        match (reported, fact) {
            (Fact::Epoch(reported, _), Fact::Epoch(epoch, _)) => reported == epoch,
            (Fact::Membership(reported), Fact::Epoch(_, members)) => reported == members,
            // A reader cannot join a message that began before it.
            (Fact::Passed(EntryKind::Message), Fact::Message(..)) => self.begin_of(seq) < from,
            _ => reported == fact,
        }
    }
}

impl Tree {
    /// The frames whose entry at `seq` reports this fact to a reader that received everything from `from`
    /// on.
    pub fn telling(&self, seq: Seq, reported: Fact, from: Seq) -> impl Iterator<Item = TreeNode> {
        self.containing(seq).filter(move |node| self.stem(*node).tells(seq, reported, from))
    }

    /// Whether the entry at `seq` of this frame reports this fact to a reader that received everything from
    /// `from` on.
    pub fn tells(&self, node: TreeNode, seq: Seq, reported: Fact, from: Seq) -> bool {
        self.stem(node).tells(seq, reported, from)
    }

    /// The entries of the log that ends with `log`, as a reader from its start receives them.
    pub fn history(&self, log: Option<TreeNode>) -> Vec<(Seq, Fact)> {
        let frames = self.path(None, log).into_iter().map(|node| self.stem(node));
        frames.flat_map(|stem| (stem.first..).zip(stem.facts.iter().copied())).collect()
    }

    /// Whether the log that ends with `log` has nothing from `from` on but entries that record the commit of
    /// a change, or an order.
    pub fn only_records_commit(&self, log: Option<TreeNode>, from: Seq) -> bool {
        let settles =
            |fact: &Fact| matches!(fact, Fact::Passed(EntryKind::ChangeCommitted) | Fact::Order(..));
        let frames = self.path(self.cut(log, from), log);
        frames.into_iter().all(|node| self.stem(node).facts.iter().all(settles))
    }

    /// The greatest bound of any log.
    pub fn stamped_next(&self) -> Seq {
        self.stamped_next.max(1)
    }

    /// Whether some log has so many names.
    pub fn has_names(&self, count: usize) -> bool {
        self.names_most >= count
    }
}
