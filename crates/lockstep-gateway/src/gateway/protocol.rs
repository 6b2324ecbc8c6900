//! What a connection's client speaks: SoupBinTCP or FIX. Both log in as users, publish, and are sent what the
//! ledger has for them; here is what the gateway says to either.

use crate::fix::session::FixSession;
use lockstep_wire::Nanos;
use soupbintcp::{Packet, RejectReason, Server};

/// See the module.
#[derive(Debug)]
pub(super) enum Protocol {
    Soup(Server),
    Fix(Box<FixSession>),
}

impl Protocol {
    pub fn soup(&mut self) -> Option<&mut Server> {
        match self {
            Self::Soup(server) => Some(server),
            Self::Fix(_) => None,
        }
    }

    pub fn fix(&mut self) -> Option<&mut FixSession> {
        match self {
            Self::Soup(_) => None,
            Self::Fix(session) => Some(session),
        }
    }

    pub fn is_fix(&self) -> bool {
        matches!(self, Self::Fix(_))
    }

    /// Text for humans, where the protocol has it without a number: an ended connection is sent nothing.
    pub fn debug(&mut self, now: Nanos, text: &str, out: &mut Vec<u8>) {
        if let Self::Soup(server) = self {
            let _ = server.debug(now, text, out);
        }
    }

    /// The last text of a connection that the gateway ends.
    pub fn last_words(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Self::Soup(_) = self {
            // Past the machine: after the client's own fault or silence it takes nothing more.
            let _ = Packet::Debug(text.as_bytes()).append(out); // our texts are short
        }
    }

    /// Refuses a login. FIX has a Logout for that, which would take a number of the session from somebody who
    /// has not shown that it is his, and engines count it whatever its number is: the connection is closed,
    /// as the specification allows. A user that has shown it is refused by a Logout that is stamped.
    pub fn reject(&mut self, reason: RejectReason, out: &mut Vec<u8>) {
        if let Self::Soup(server) = self {
            let _ = server.reject(reason, out); // a connection that has ended meanwhile is not told
        }
    }

    pub fn close(&mut self) {
        if let Self::Soup(server) = self {
            server.close();
        }
    }
}
