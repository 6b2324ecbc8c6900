//! Requests and messages of GBCAST.

use crate::cards::isis::{AbcastMessage, Packet};
use crate::{Ask, Asked, Pid, Pids, Value};
use serde::Serialize;

/// A request: which of the two broadcasts. In the shared words a to m are CBCASTs, and n to z ABCASTs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GroupRequest {
    /// In causal order.
    Cbcast(Value),
    /// In total order.
    Abcast(Value),
}

impl Asked for GroupRequest {
    fn of(ask: Ask) -> Option<Self> {
        let Ask::Broadcast(value) = ask else { return None };
        Some(if value < Value(13) { Self::Cbcast(value) } else { Self::Abcast(value) })
    }
}

/// An entry of the ABCAST queue.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GbcastEntry {
    /// An ABCAST.
    Message(Value),
    /// A GBCAST: this process has failed.
    Failure(Pid),
}

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum GbcastMessage {
    /// Of ABCAST, which is part 2 as well.
    Abcast(AbcastMessage<GbcastEntry>),
    /// Of CBCAST.
    Cbcast(Packet<Value>),
    /// Step 1.1: these processes have failed.
    Start(Pids),
    /// Step 1.4: no ABCAST of them is without its final priority here.
    Flushed(Pids),
    /// Step 3.3: the CBCASTs that came before this failure, where no more was accepted of these, and whether
    /// the list is final.
    IdList(Pid, Pids, Packet<Value>, bool),
    /// Step 3.4: all that come before it.
    Before(Pid, Packet<Value>),
}
