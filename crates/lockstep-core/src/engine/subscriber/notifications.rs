//! Notifications to a subscriber's application, and its answers.

use crate::engine::parts::PartsBound;
use lockstep_wire::{
    DayMark, Destination, EntryKind, Epoch, Nanos, OrderView, PublisherId, PublisherSeq, RepairReject,
    ReplayEndReason, Seq,
};

/// When a message is delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Delivery {
    /// When the leader's datagram arrives: two message delays; a takeover may retract an uncommitted tail.
    Stamped,
    /// When a quorum is known to hold it: three message delays, and final.
    #[default]
    Committed,
}

/// A message of the stream, borrowed for the time of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// Its place in the total order.
    pub seq: Seq,
    /// The publisher.
    pub publisher: PublisherId,
    /// The publisher's number of it.
    pub publisher_seq: PublisherSeq,
    /// The destination.
    pub destination: Destination,
    /// When it was stamped: nanoseconds since the Unix epoch, never falling along the stream.
    pub timestamp: Nanos,
    /// What it says.
    pub payload: &'a [u8],
}

/// An event that is reported to a subscriber, in the order of the stream. The callback's answer counts for
/// events that stand for an entry of the stream; for the others (`Retract`, `Lag`, what concerns replay,
/// the end) there is nothing to leave for the next poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SubscriberEvent<'a> {
    /// The next message.
    Message(Message<'a>),
    /// Everything below is final (told to `stamped` readers, once per poll).
    Committed {
        /// The exclusive bound.
        next: Seq,
    },
    /// Messages, epochs and memberships that were reported from here on did not survive a takeover
    /// (`stamped` readers only). Reported before any event of the new epoch, at once, also to an
    /// application that has returned [`ControlFlow::Break`](std::ops::ControlFlow::Break); what takes the
    /// place of the messages follows, from `from` on.
    Retract {
        /// The first seq that is taken back.
        from: Seq,
    },
    /// A new leadership begins here.
    Epoch {
        /// Which.
        epoch: Epoch,
        /// The seq of its start.
        seq: Seq,
    },
    /// The membership from here on.
    Membership {
        /// The seq of the entry that says so.
        seq: Seq,
        /// How many members it lists.
        members: usize,
    },
    /// A name is opened: from here on its messages are of this incarnation.
    Opened {
        /// The seq of the entry.
        seq: Seq,
        /// When it was stamped, as a message's.
        timestamp: Nanos,
        /// The name's id, for the life of the stream.
        publisher: PublisherId,
        /// A publisher that has a lower one is fenced.
        incarnation: u32,
        /// What its opener drew, or was configured with.
        nonce: [u64; 2],
        /// The number of its last message so far; 0 if there is none.
        last: PublisherSeq,
        /// The name.
        name: &'a str,
    },
    /// A publisher is closed.
    Closed {
        /// The seq of the entry.
        seq: Seq,
        /// When it was stamped, as a message's.
        timestamp: Nanos,
        /// Whose.
        publisher: PublisherId,
        /// What its owner said on closing it: at most [`lockstep_wire::CLOSE_LEN_MAX`] bytes, mostly none.
        reason: &'a [u8],
    },
    /// A gateway has told the other ones that it lives, or something about a client: nothing that an
    /// application answers.
    GatewayHeartbeat {
        /// The seq of the entry.
        seq: Seq,
        /// When it was stamped, as a message's.
        timestamp: Nanos,
        /// The gateway's id, or the client's.
        publisher: PublisherId,
        /// Empty of a heartbeat; else a note between gateways.
        payload: &'a [u8],
    },
    /// A replica of a state machine has reported to the others of the same machine: nothing that another
    /// application answers.
    MachineReport {
        /// The seq of the entry.
        seq: Seq,
        /// When it was stamped, as a message's.
        timestamp: Nanos,
        /// The replica's id.
        publisher: PublisherId,
        /// The report.
        payload: &'a [u8],
    },
    /// A coordinator or an operator has written about the streams of a set: how far they are merged, or which
    /// they are. Nothing that an application answers.
    SetNote {
        /// The seq of the entry.
        seq: Seq,
        /// When it was stamped, as a message's.
        timestamp: Nanos,
        /// Under whose name.
        publisher: PublisherId,
        /// The note.
        payload: &'a [u8],
    },
    /// The frame whose last entry was reported before, as it is stored everywhere (readers that asked for
    /// frames only).
    Frame {
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// An entry that tells an application nothing: one of the cluster's own, a notary's, or a part of a
    /// message whose last part is still to come. With it each seq is told of once, by this or by another
    /// event.
    Filtered {
        /// Its seq.
        seq: Seq,
        /// What it is.
        kind: EntryKind,
    },
    /// A trading day begins or ends here.
    Day {
        /// The seq of the entry.
        seq: Seq,
        /// When it was stamped, as a message's.
        timestamp: Nanos,
        /// Which of both, and the day's name.
        mark: DayMark<'a>,
    },
    /// The leader carries out an operator's order.
    Ordered {
        /// The seq of its record.
        seq: Seq,
        /// When it was recorded, nanoseconds since the Unix epoch.
        timestamp: Nanos,
        /// The order: its operator, its subject, and the state in which it was judged.
        order: OrderView<'a>,
    },
    /// Messages are missing and asked for.
    Gap {
        /// The first missing.
        from: Seq,
        /// The exclusive end of what was seen.
        to: Seq,
    },
    /// No repairer sends the missing range: the subscription ends here.
    Abandoned {
        /// The first missing.
        from: Seq,
        /// The oldest seq that can still be had.
        oldest: Seq,
        /// Why it is not sent.
        why: RepairReject,
    },
    /// A message that is larger than a datagram is discarded, and nothing of it is delivered: its publisher
    /// has left it unfinished for too long, or this reader began behind its first part. All readers that have
    /// read its first part discard it alike, and the publisher is told
    /// ([`PublisherEvent::Discarded`](crate::engine::publisher::PublisherEvent::Discarded)). The subscription
    /// goes on.
    PartsDiscarded {
        /// Whose.
        publisher: PublisherId,
        /// Where it began; with [`PartsBound::Beginning`], where it ended.
        from: Seq,
        /// Why.
        bound: PartsBound,
    },
    /// No group brings the leader any more, and replicas answer by unicast: or the groups bring it again. The
    /// stream goes on by repair meanwhile, slower.
    Multicast {
        /// Whether that begins.
        lost: bool,
    },
    /// Everything that was seen is delivered.
    CaughtUp {
        /// The next seq.
        next: Seq,
    },
    /// The missing range is no longer in anybody's memory: it is read from a journal, from this seq on. Live
    /// goes on behind it without a hole or a repeat; [`SubscriberEvent::CaughtUp`] tells when.
    Replaying {
        /// The first seq that is read.
        from: Seq,
    },
    /// The subscription cannot begin, or go on, here: nothing of this stream was delivered in the place of
    /// what was asked for. It ends.
    Refused {
        /// Why; none: no journal could be reached.
        why: Option<ReplayEndReason>,
        /// The next seq that was wanted.
        next: Seq,
    },
    /// From `seq` on the stream is of a new history: a quorum of the ancestor was lost for good, and the
    /// operator founded this one on what was left. What was delivered below `seq` stays; what the ancestor
    /// had at or above it, and was not delivered, is not in the stream.
    Founded {
        /// The new history.
        history: u64,
        /// Its first seq: that of the epoch start that founded it.
        seq: Seq,
        /// The ancestor history.
        ancestor: u64,
    },
    /// A new history was founded on an earlier part of the one that was read: everything below `have` was
    /// reported as final, and nothing from `next` on is in the new one. This is the alarm of an operator's
    /// recovery that lost entries which this application has seen. The subscription ends here.
    HistoryLost {
        /// The new history.
        history: u64,
        /// Its first seq.
        next: Seq,
        /// The exclusive bound of what was final here.
        have: Seq,
    },
    /// The leader's log ends before the place up to which this reader has read: the cluster has lost what
    /// was final, or the cursor is of another one. The subscription ends, and the operator must be
    /// notified.
    Ahead {
        /// The seq that would be next here.
        next: Seq,
        /// Where the leader's log ends.
        end: Seq,
        /// Whose log.
        epoch: Epoch,
    },
    /// Commit has lagged behind stamping for a while.
    Lag {
        /// Entries stamped and not committed.
        entries: u64,
        /// For how long.
        for_ns: Nanos,
    },
    /// Our log and the cluster's differ: two streams under one name. The subscription ends here.
    Diverged {
        /// Where.
        seq: Seq,
    },
}

impl SubscriberEvent<'_> {
    /// The seq of the entry that it tells of; `None` where it tells of something else.
    pub fn seq(&self) -> Option<Seq> {
        match *self {
            Self::Message(message) => Some(message.seq),
            Self::Epoch { seq, .. }
            | Self::Membership { seq, .. }
            | Self::Founded { seq, .. }
            | Self::Opened { seq, .. }
            | Self::Closed { seq, .. }
            | Self::GatewayHeartbeat { seq, .. }
            | Self::MachineReport { seq, .. }
            | Self::SetNote { seq, .. }
            | Self::Filtered { seq, .. }
            | Self::Ordered { seq, .. }
            | Self::Day { seq, .. } => Some(seq),
            _ => None,
        }
    }
}
