//! What a node tells its operator: each change of role, epoch or health, as a small fixed value. The
//! engine pushes them into a bounded queue of its own; the outside formats them, off the hot thread.

use crate::wire::{Epoch, Identity, Reject, Seq};
use std::collections::VecDeque;

/// What a replica is at present.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum Role {
    /// Holds nothing yet.
    Blank = 0,
    /// Follows and acknowledges.
    Standby = 1,
    /// Stamps.
    Leader = 2,
    /// Led before it stopped; follows, and a takeover is needed.
    AwaitsTakeover = 3,
    /// The membership does not list it: it is silent.
    Unlisted = 4,
}

impl Role {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Standby => "standby",
            Self::Leader => "leader",
            Self::AwaitsTakeover => "awaits takeover",
            Self::Unlisted => "unlisted",
        }
    }

    /// The role with this number, as a reply carries it.
    pub fn from_u32(role: u32) -> Option<Self> {
        [Self::Blank, Self::Standby, Self::Leader, Self::AwaitsTakeover, Self::Unlisted]
            .into_iter()
            .nth(role as usize)
    }
}

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The node changed its role.
    Role {
        /// Before.
        from: Role,
        /// Now.
        to: Role,
        /// In which epoch.
        epoch: Epoch,
        /// At which seq.
        seq: Seq,
    },
    /// A blank node adopted the history that lists it.
    History {
        /// Its id.
        history: u64,
    },
    /// The start of an epoch is held and followed.
    Epoch {
        /// Which.
        epoch: Epoch,
        /// Its start.
        base: Seq,
    },
    /// The journal takes nothing more for the present: segments lag, or the disk is full.
    JournalFull {
        /// The next seq that it could not store.
        seq: Seq,
    },
    /// The journal takes entries again.
    JournalFree {
        /// The next seq.
        seq: Seq,
    },
    /// The first datagram refused for this reason.
    Rejected {
        /// Why.
        reject: Reject,
    },
    /// The leader's chain differs from ours: two logs under one name. The node stops.
    Diverged {
        /// At which seq.
        seq: Seq,
        /// Ours.
        have: u64,
        /// The other's.
        seen: u64,
    },
    /// A replica acknowledged another log than ours: its ack counts for nothing.
    DivergentAck {
        /// Whose ack.
        identity: Identity,
        /// At which seq.
        seq: Seq,
        /// Ours.
        have: u64,
        /// The other's.
        seen: u64,
    },
    /// Another process speaks under this identity.
    Impostor {
        /// Ours.
        identity: Identity,
    },
    /// Missing frames were asked for.
    Gap {
        /// First missing.
        from: Seq,
        /// Exclusive end of what was seen.
        to: Seq,
    },
}

/// Most events that wait to be fetched; more are counted and dropped.
const EVENTS_MAX: usize = 64;

/// The queue.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Events {
    queue: VecDeque<Event>,
    dropped: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { queue: VecDeque::with_capacity(EVENTS_MAX), dropped: 0 }
    }
}

impl Events {
    /// Something happened.
    pub fn push(&mut self, event: Event) {
        if self.queue.len() < EVENTS_MAX {
            self.queue.push_back(event);
        } else {
            self.dropped += 1;
        }
    }

    /// The oldest that nobody fetched.
    pub fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    /// Events that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
