//! Opens under way: the handle has not reported their names as open yet.

use lockstep_wire::PublisherId;
use std::collections::BTreeMap;

/// The purpose of an open.
#[derive(Clone, Copy, Debug)]
pub(super) enum OpenFor {
    Own,
    /// The login of the connection with this index and number.
    Login(usize, u64),
    /// The disconnect of a client whose gateway is lost.
    Reap {
        cancels: bool,
    },
}

/// An open under way.
#[derive(Clone, Copy, Debug)]
struct PendingOpen {
    nonce: [u64; 2],
    /// The publisher of its open entry, once that was delivered.
    delivered: Option<PublisherId>,
    whom: OpenFor,
}

/// The opens under way, by ticket.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingOpens(BTreeMap<usize, PendingOpen>);

impl PendingOpens {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, ticket: usize, nonce: [u64; 2], whom: OpenFor) {
        self.0.insert(ticket, PendingOpen { nonce, delivered: None, whom });
    }

    /// The handle has reported the outcome of an open. Returns its nonce and purpose.
    pub fn remove(&mut self, ticket: usize) -> Option<([u64; 2], OpenFor)> {
        self.0.remove(&ticket).map(|open| (open.nonce, open.whom))
    }

    /// Whether a client of a lost gateway is being disconnected.
    pub fn has_reap(&self) -> bool {
        self.0.values().any(|open| matches!(open.whom, OpenFor::Reap { .. }))
    }

    /// The open entry of `publisher` with this nonce was delivered. An open of ours whose entry of the same
    /// name was delivered before is fenced by it: the handle may never report it as open, so it is removed
    /// and returned.
    pub fn on_delivered(&mut self, publisher: PublisherId, nonce: [u64; 2]) -> Vec<OpenFor> {
        let mut fenced = Vec::new();
        self.0.retain(|_, open| {
            if open.nonce == nonce {
                open.delivered = Some(publisher);
            }
            let is_fenced = open.nonce != nonce && open.delivered == Some(publisher);
            fenced.extend(is_fenced.then_some(open.whom));
            !is_fenced
        });
        fenced
    }
}
