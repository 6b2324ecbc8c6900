//! The events of the subscription of one stream, between its turn and that of the process that merges several
//! streams. Entries that are not merged yet wait in the memory of the subscription: it is held at its row.

use lockstep_core::engine::subscriber::{Message, SubscriberCore, SubscriberEvent};
use lockstep_wire::{Cursor, Epoch, Nanos, PublisherId, Seq};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A subscription of a process of the set.
pub(crate) type Tap = Rc<RefCell<TappedStream>>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct TappedStream {
    /// The events that were delivered and are not merged yet.
    pub(super) events: VecDeque<TappedEvent>,
    /// The seq of the newest one so far.
    pub(super) newest: Seq,
    /// The subscription delivers below it.
    pub(crate) bound: Seq,
    /// The epoch that is followed, and what is committed by the word of its leader.
    pub(super) committed: Option<(Epoch, Seq)>,
    /// The history that is read; 0 before it is known.
    pub(super) history: u64,
    /// The next seq that the subscription delivers, once it has begun, and its cursor there.
    pub(super) deliver_next: Option<Seq>,
    pub(super) cursor: Option<Cursor>,
    /// It has ended, in words.
    pub(super) ended: Option<String>,
}

/// An event that stands for an entry, as far as the merged order depends on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TappedEvent {
    Message {
        seq: Seq,
        timestamp: Nanos,
    },
    Epoch {
        seq: Seq,
        epoch: Epoch,
    },
    Founded {
        seq: Seq,
        history: u64,
        ancestor: u64,
    },
    Membership {
        seq: Seq,
        members: usize,
    },
    Note {
        seq: Seq,
        timestamp: Nanos,
        publisher: PublisherId,
        payload: Vec<u8>,
    },
    /// Of another kind.
    Other {
        seq: Seq,
        timestamp: Nanos,
    },
}

impl TappedEvent {
    fn of(event: &SubscriberEvent<'_>) -> Option<Self> {
        Some(match *event {
            SubscriberEvent::Message(Message { seq, timestamp, .. }) => Self::Message { seq, timestamp },
            SubscriberEvent::Epoch { seq, epoch } => Self::Epoch { seq, epoch },
            SubscriberEvent::Founded { seq, history, ancestor } => Self::Founded { seq, history, ancestor },
            SubscriberEvent::Membership { seq, members } => Self::Membership { seq, members },
            SubscriberEvent::SetNote { seq, timestamp, publisher, payload } => {
                Self::Note { seq, timestamp, publisher, payload: payload.to_vec() }
            }
            SubscriberEvent::Opened { seq, timestamp, .. }
            | SubscriberEvent::Closed { seq, timestamp, .. }
            | SubscriberEvent::GatewayHeartbeat { seq, timestamp, .. }
            | SubscriberEvent::MachineReport { seq, timestamp, .. }
            | SubscriberEvent::Day { seq, timestamp, .. }
            | SubscriberEvent::Ordered { seq, timestamp, .. } => Self::Other { seq, timestamp },
            ref other => Self::Other { seq: other.seq()?, timestamp: 0 },
        })
    }

    pub(super) fn seq(&self) -> Seq {
        match *self {
            Self::Message { seq, .. }
            | Self::Epoch { seq, .. }
            | Self::Founded { seq, .. }
            | Self::Membership { seq, .. }
            | Self::Note { seq, .. }
            | Self::Other { seq, .. } => seq,
        }
    }

    /// The event, as far as it was taken.
    pub(super) fn event(&self) -> SubscriberEvent<'_> {
        match *self {
            Self::Message { seq, timestamp } => SubscriberEvent::Message(Message {
                seq,
                publisher: 0,
                publisher_seq: 0,
                destination: 0,
                timestamp,
                payload: &[],
            }),
            Self::Epoch { seq, epoch } => SubscriberEvent::Epoch { epoch, seq },
            Self::Founded { seq, history, ancestor } => SubscriberEvent::Founded { history, seq, ancestor },
            Self::Membership { seq, members } => SubscriberEvent::Membership { seq, members },
            Self::Note { seq, timestamp, publisher, ref payload } => {
                SubscriberEvent::SetNote { seq, timestamp, publisher, payload }
            }
            Self::Other { seq, timestamp } => {
                SubscriberEvent::Closed { seq, timestamp, publisher: 0, reason: b"" }
            }
        }
    }
}

impl TappedStream {
    /// The subscription delivers an event.
    pub(crate) fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        // A process that was started again delivers once more what is no message.
        let Some(taken) = TappedEvent::of(event).filter(|taken| taken.seq() >= self.newest) else { return };
        self.newest = taken.seq();
        self.events.push_back(taken);
    }

    /// The end of a turn of the subscription.
    pub(crate) fn on_turn(&mut self, core: &SubscriberCore) {
        let follows = core.is_connected() && core.epoch() > Epoch::NONE;
        self.committed = follows.then(|| (core.epoch(), core.commit_next()));
        if core.history() != 0 {
            self.history = core.history();
        }
        (self.deliver_next, self.cursor) = (Some(core.deliver_next()), core.cursor());
    }

    /// The subscription has ended.
    pub(crate) fn on_ended(&mut self, why: &str) {
        self.ended = Some(why.to_owned());
    }
}
