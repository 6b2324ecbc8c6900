//! The words that all cards share: what is asked of processes, and what they indicate. Property functions
//! judge these, so that one function judges every protocol.
//!
//! A module is generic over what it carries: [`SendTo<M>`], [`Broadcast<M>`], [`Deliver<M>`], [`Propose<V>`],
//! [`Decide<V>`]. At the top of a stack `M` and `V` are [`Value`], and then they are translated to and from
//! the shared words.

use crate::protocol::{Detection, Pid, Pids, Word};
use serde::Serialize;
use std::fmt::{self, Debug};

/// The contents of a message, a proposed value, or what a register has: a letter. Of a register, `a` is what
/// it has at the start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Value(pub u8);

impl Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..26 => write!(f, "{}", char::from(b'a' + self.0)),
            more => write!(f, "v{more}"),
        }
    }
}

/// A request of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Ask {
    /// Sends a value to one process: of links.
    Send(Pid, Value),
    /// Broadcasts a value. Of a causal or a total order each value is broadcast once.
    Broadcast(Value),
    /// Proposes a value: of consensus.
    Propose(Value),
    /// Votes: of atomic commit.
    Vote(bool),
    /// Reads the register.
    Read,
    /// Writes to the register.
    Write(Value),
    /// Asks to join the group.
    Join,
    /// Asks to leave the group.
    Leave,
    /// Asks for the lock.
    Acquire,
    /// Returns the lock.
    Release,
    /// Transfers money from one account to another.
    Transfer {
        /// The account that loses.
        from: u8,
        /// The account that gains.
        to: u8,
        /// How much.
        amount: u8,
    },
    /// Reads all accounts at once.
    Audit,
}

impl Ask {
    /// The name of its kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Send(..) => "send",
            Self::Broadcast(_) => "broadcast",
            Self::Propose(_) => "propose",
            Self::Vote(_) => "vote",
            Self::Read => "read",
            Self::Write(_) => "write",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::Transfer { .. } => "transfer",
            Self::Audit => "audit",
        }
    }
}

/// An indication of a process.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Fact {
    /// Delivers a value that `from` sent or broadcast.
    Deliver {
        /// Its sender.
        from: Pid,
        /// What was sent.
        value: Value,
    },
    /// Collects a delivered message: it has no copy of it any more.
    Collected {
        /// Its sender.
        from: Pid,
        /// What was sent.
        value: Value,
    },
    /// Delivers, of terminating reliable broadcast, that the sender has failed.
    SenderFailed(Pid),
    /// Decides a value.
    Decide(Value),
    /// Decides to commit (`true`) or to abort.
    Outcome(bool),
    /// Installs a view of the group.
    View {
        /// Its number.
        number: u32,
        /// Its members.
        members: Pids,
    },
    /// A read returns.
    Returned(Value),
    /// A write returns.
    Written,
    /// The failure detector suspects a process.
    Suspect(Pid),
    /// It suspects it no more.
    Restore(Pid),
    /// It trusts a leader.
    Leader(Pid),
    /// Is the primary of this epoch from now on.
    Primary {
        /// Its number.
        epoch: u64,
    },
    /// Broadcasts a value as the primary of an epoch.
    Sent {
        /// That epoch.
        epoch: u64,
        /// What it broadcasts.
        value: Value,
    },
    /// Has the lock, with a fencing token.
    Granted(u64),
    /// A transfer of this process is committed (`true`) or aborted.
    Transferred(bool),
    /// The balances of all accounts, as an audit saw them.
    Balances(Vec<i8>),
    /// An account that this process stores has changed.
    Balance {
        /// The account.
        account: u8,
        /// Its balance now.
        balance: i8,
    },
    /// Anything else, of a user's own protocol: a kind and a number.
    Other(u8, u64),
}

/// A request that can be asked in the shared words.
pub trait Asked: Word {
    /// This request in the protocol's own type; `None` if it has no such request.
    fn of(ask: Ask) -> Option<Self>;
}

/// An indication that can be judged in the shared words.
pub trait Indicated: Word {
    /// The fact; `None` if no property is about it.
    fn fact(&self) -> Option<Fact>;
}

impl Asked for Ask {
    fn of(ask: Ask) -> Option<Self> {
        Some(ask)
    }
}

impl Indicated for Fact {
    fn fact(&self) -> Option<Fact> {
        Some(self.clone())
    }
}

/// The request of a link: to this process, this message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct SendTo<M>(pub Pid, pub M);

/// The request of a module that nobody asks for anything, as a failure detector. There is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum NoRequest {}

/// The request of a broadcast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Broadcast<M>(pub M);

/// The indication of a broadcast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Deliver<M> {
    /// The process that broadcast it.
    pub from: Pid,
    /// What it broadcast.
    pub message: M,
}

/// The request of consensus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Propose<V>(pub V);

/// The indication of consensus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Decide<V>(pub V);

impl Asked for SendTo<Value> {
    fn of(ask: Ask) -> Option<Self> {
        if let Ask::Send(to, value) = ask { Some(Self(to, value)) } else { None }
    }
}

impl Asked for NoRequest {
    fn of(_ask: Ask) -> Option<Self> {
        None
    }
}

impl Indicated for Detection {
    fn fact(&self) -> Option<Fact> {
        Some(match *self {
            Self::Suspect(pid) => Fact::Suspect(pid),
            Self::Restore(pid) => Fact::Restore(pid),
            Self::Leader(pid) => Fact::Leader(pid),
        })
    }
}

impl Asked for Broadcast<Value> {
    fn of(ask: Ask) -> Option<Self> {
        if let Ask::Broadcast(value) = ask { Some(Self(value)) } else { None }
    }
}

impl Indicated for Deliver<Value> {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Deliver { from: self.from, value: self.message })
    }
}

impl Asked for Propose<Value> {
    fn of(ask: Ask) -> Option<Self> {
        if let Ask::Propose(value) = ask { Some(Self(value)) } else { None }
    }
}

impl Indicated for Decide<Value> {
    fn fact(&self) -> Option<Fact> {
        Some(Fact::Decide(self.0))
    }
}

/// An event of a process, in the shared words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// Something is asked of it.
    Asked(Ask),
    /// It indicates something.
    Did(Fact),
}

impl Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(ask) => Debug::fmt(ask, f),
            Self::Did(fact) => Debug::fmt(fact, f),
        }
    }
}
