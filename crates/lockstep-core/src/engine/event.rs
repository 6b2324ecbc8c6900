//! What a node tells its operator: each change of role, epoch or health, as a small fixed value. The
//! engine pushes them into a bounded queue of its own; the outside formats them, off the hot thread.

use crate::proto::redundancy::UnavailableReason;
use lockstep_wire::LeaderLossReason;
use lockstep_wire::{Condition, Epoch, Header, Identity, Nanos, Reject, Seq};
use std::collections::VecDeque;
use std::net::SocketAddrV4;

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
    /// Stores and repairs, and has no vote.
    Learner = 3,
}

impl Role {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Standby => "standby",
            Self::Leader => "leader",
            Self::Learner => "learner",
        }
    }

    /// The role with this number, as a reply carries it.
    pub fn from_u32(role: u32) -> Option<Self> {
        [Self::Blank, Self::Standby, Self::Leader, Self::Learner].into_iter().nth(role as usize)
    }
}

/// Why a leader stopped stamping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum StepDownReason {
    /// It promised a higher epoch.
    Promised = 1,
    /// A member refused its epoch.
    Refused = 2,
    /// A leader of a higher epoch was received.
    Superseded = 3,
    /// It received nothing from a quorum.
    NoQuorum = 4,
    /// It handed over.
    Handover = 5,
}

impl StepDownReason {
    /// The reason with this number.
    pub fn from_u32(why: u32) -> Option<Self> {
        [Self::Promised, Self::Refused, Self::Superseded, Self::NoQuorum, Self::Handover]
            .into_iter()
            .find(|known| *known as u32 == why)
    }

    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Promised => "promised a higher epoch",
            Self::Refused => "refused by a member",
            Self::Superseded => "a higher epoch is led",
            Self::NoQuorum => "hears no quorum",
            Self::Handover => "handed over",
        }
    }
}

/// The sender of a datagram that was refused, by the words of the datagram: nothing vouches for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RefusedSender {
    /// The identity in its header.
    pub identity: Identity,
    /// The address from which it came by unicast; a group's datagram brings none.
    pub address: Option<SocketAddrV4>,
    /// The generation of the key that sealed it.
    pub generation: Option<u8>,
}

impl RefusedSender {
    /// Of these bytes, if they begin with a header.
    pub fn of(bytes: &[u8], address: Option<SocketAddrV4>) -> Option<Self> {
        let header = Header::peek(bytes)?;
        Some(Self { identity: header.identity(), address, generation: header.key_generation() })
    }
}

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplicaEvent {
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
        /// It is an archiver, which is never a member.
        is_archiver: bool,
    },
    /// A blank node adopted the history that lists it.
    History {
        /// Its id.
        history: u64,
    },
    /// The start of an epoch is stored and followed.
    Epoch {
        /// Which.
        epoch: Epoch,
        /// Its start.
        base: Seq,
    },
    /// The leader of this epoch is suspected.
    LeaderSuspected {
        /// The epoch that we follow.
        epoch: Epoch,
        /// Why.
        why: LeaderLossReason,
    },
    /// The suspected leader is received again, before another leader took over.
    LeaderReturned {
        /// The epoch that we follow.
        epoch: Epoch,
        /// For how long it was suspected.
        lasted: Nanos,
    },
    /// A member does not hold the log that we lead, or is not received; or it does again.
    Member {
        /// Which.
        identity: Identity,
        /// Why it is unavailable; `None`: it is available again.
        unavailable: Option<UnavailableReason>,
        /// How many hold the log now, we included, ...
        available: u8,
        /// ... of how many members.
        listed: u8,
        /// How long it was unavailable, if it is available again.
        lasted: Nanos,
    },
    /// We ask to be promised this epoch.
    Candidate {
        /// The ballot.
        ballot: Epoch,
    },
    /// We led this epoch, and stopped stamping.
    SteppedDown {
        /// Ours.
        epoch: Epoch,
        /// Why.
        why: StepDownReason,
        /// Where our log ends.
        seq: Seq,
    },
    /// We lead, and an operator's order has let the log rise to this version.
    VersionRaised {
        /// The version of the frames from there on.
        version: u8,
        /// The seq of the order.
        seq: Seq,
    },
    /// We lead, and an operator's order has set the stream's time back.
    TimeSetBack {
        /// The time before.
        before: Nanos,
        /// The time after it: that of a quorum's clocks.
        after: Nanos,
        /// The seq of the order.
        seq: Seq,
    },
    /// The log from here on was another epoch's: it was replaced by that of `epoch` (S7).
    SuffixReplaced {
        /// The first seq.
        from: Seq,
        /// Whose log it is now.
        epoch: Epoch,
        /// Whose it was: the epoch in which it ended.
        old_epoch: Epoch,
        /// Its exclusive end.
        old_next: Seq,
    },
    /// A rule would have cut into what is committed (S6): the node stops.
    CommitContradicted {
        /// The first seq that would have gone.
        from: Seq,
        /// The committed stream.
        commit_next: Seq,
        /// For which epoch.
        epoch: Epoch,
    },
    /// The replaced suffix, or the one that has come, cannot be read in the ring: it was longer than that, or
    /// memory is damaged. The node stops, and reads its journal again when it is started.
    Overrun {
        /// The first seq that was replaced.
        from: Seq,
        /// The oldest that the ring holds.
        oldest: Seq,
    },
    /// Something is amiss from now on, or is no more.
    Condition {
        /// What.
        condition: Condition,
        /// Whether it begins.
        holds: bool,
        /// Its first number.
        a: u64,
        /// Its second number.
        b: u64,
        /// How long it lasted, where it ends.
        lasted: Nanos,
    },
    /// What this candidate lacks has left the ring of the witness that promised it: the takeover waits.
    TakeoverWaits {
        /// The first seq that it lacks.
        from: Seq,
        /// The oldest that the witness has.
        oldest: Seq,
        /// The witness.
        witness: Identity,
        /// Whose log has it.
        holder: Identity,
    },
    /// Each of two members was notified that the other is dead, and both lead: the node stops.
    DeclaredDeadBoth {
        /// The other's epoch.
        other: Epoch,
        /// Ours.
        own: Epoch,
    },
    /// The first datagram refused for this reason.
    Rejected {
        /// Why.
        reject: Reject,
        /// The datagram's sender; none of what is refused behind its decoding.
        sender: Option<RefusedSender>,
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
    /// Nothing of our history was received, and another history continues to send under our cluster's id.
    /// The node stops.
    OtherHistory {
        /// Ours.
        have: u64,
        /// The other's.
        seen: u64,
    },
    /// Somebody speaks in a history on which ours was founded: a replica that was left behind.
    AncestorHistory {
        /// The ancestor history.
        history: u64,
        /// Who.
        identity: Identity,
    },
    /// Somebody leads another history under our cluster's id, which is no ancestor of ours: two histories
    /// serve.
    OtherLeader {
        /// The other history.
        history: u64,
        /// The other leader.
        identity: Identity,
    },
    /// A history was founded on the one that this node holds, at `next`. A learner continues in it; a
    /// member stops, as does a learner that knows more to be committed, or whose log diverged before.
    Founded {
        /// The later history.
        history: u64,
        /// Where ours was left.
        next: Seq,
        /// Where our log ends.
        own_next: Seq,
        /// Everything below is committed, as far as this node knows.
        commit_next: Seq,
        /// Whether it continues there; else it stops.
        goes_on: bool,
    },
    /// A node named a round too far above those seen: it is not believed at once (reported once; it is
    /// counted).
    RoundRefused {
        /// The epoch that was named.
        epoch: Epoch,
        /// The greatest round that was seen before.
        seen: u32,
    },
    /// Another process lives under this identity, and began later: it stops.
    DuplicateIdentity {
        /// Ours.
        identity: Identity,
    },
    /// Another process lives under this identity, and began before this one. The node stops.
    DuplicateIdentityOlder {
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
    queue: VecDeque<ReplicaEvent>,
    dropped: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { queue: VecDeque::with_capacity(EVENTS_MAX), dropped: 0 }
    }
}

impl Events {
    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let count = self.queue.len();
        assert!(count <= EVENTS_MAX, "{count} events wait, at most {EVENTS_MAX}");
    }

    /// Something happened.
    pub fn push(&mut self, event: ReplicaEvent) {
        if self.queue.len() < EVENTS_MAX {
            self.queue.push_back(event);
        } else {
            self.dropped += 1;
        }
    }

    /// The oldest that nobody fetched.
    pub fn pop(&mut self) -> Option<ReplicaEvent> {
        self.queue.pop_front()
    }

    /// Events that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
