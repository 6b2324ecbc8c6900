//! The protocol of a connection's client: SoupBinTCP or FIX. By both, clients log in as users, publish, and
//! receive their messages of the ledger; here is what the gateway sends in either protocol.

use crate::fix::session::FixSession;
use lockstep_wire::Nanos;
use soupbintcp::{Packet, RejectReason, Server};

/// The protocol of a connection: see the module.
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

    /// Sends text for people, if the protocol has a message without a number for it. An ended connection
    /// receives nothing.
    pub fn debug(&mut self, now: Nanos, text: &str, out: &mut Vec<u8>) {
        if let Self::Soup(server) = self {
            let _ = server.debug(now, text, out);
        }
    }

    /// The last text to a connection that the gateway ends.
    pub fn last_words(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Self::Soup(_) = self {
            // Not through the protocol's state machine, which accepts nothing after the client's own fault or
            // silence.
            let _ = Packet::Debug(text.as_bytes()).append(out); // our texts are short
        }
    }

    /// Refuses a login. FIX has a Logout for that, which takes a number of the session, and engines count it
    /// whatever its number is. A client that is not authenticated must not be able to use one up: so the
    /// connection is closed, as the specification allows. An authenticated user is refused by a Logout that
    /// is stamped.
    pub fn reject(&mut self, reason: RejectReason, out: &mut Vec<u8>) {
        if let Self::Soup(server) = self {
            let _ = server.reject(reason, out); // a connection that has ended meanwhile receives nothing
        }
    }

    pub fn close(&mut self) {
        if let Self::Soup(server) = self {
            server.close();
        }
    }
}
