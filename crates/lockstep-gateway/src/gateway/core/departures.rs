//! Clients whose connections have ended and whose disconnects are not stamped yet.

use super::GatewayStream;
use lockstep_core::engine::clients::{Clients, DisconnectReason, close_payload};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, PublisherId};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    pub publisher: PublisherId,
    pub nonce: [u64; 2],
    /// Whether the open entry with that nonce was delivered.
    pub seen: bool,
    /// When its disconnect is due.
    pub due: Nanos,
    pub reason: DisconnectReason,
    pub cancels: bool,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    client: Departure,
    /// Whether the handle has reported a later open of its name, which a close would end.
    fenced: bool,
    /// Whether its close is under way.
    closing: bool,
}

/// All of them: see the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures(Vec<Leaving>);

impl Departures {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, client: Departure) {
        self.0.push(Leaving { client, fenced: false, closing: false });
    }

    /// Whether the client of this publisher leaves.
    pub fn has(&self, publisher: PublisherId) -> bool {
        self.0.iter().any(|leaving| leaving.client.publisher == publisher)
    }

    /// Whether the open with this nonce is to be closed.
    pub fn has_open(&self, nonce: [u64; 2]) -> bool {
        self.0.iter().any(|leaving| leaving.client.nonce == nonce)
    }

    /// The client has logged in again: it does not leave.
    pub fn remove(&mut self, publisher: PublisherId) {
        self.0.retain(|leaving| leaving.client.publisher != publisher);
    }

    /// The open entry with this nonce was delivered.
    pub fn on_delivered(&mut self, nonce: [u64; 2]) {
        for leaving in self.0.iter_mut().filter(|leaving| leaving.client.nonce == nonce) {
            leaving.client.seen = true;
        }
    }

    /// The handle has reported this publisher as open under `nonce`: a close of an earlier open would end it.
    pub fn fence_earlier(&mut self, publisher: PublisherId, nonce: [u64; 2]) {
        for Leaving { client, fenced, .. } in &mut self.0 {
            *fenced |= client.publisher == publisher && client.nonce != nonce;
        }
    }

    /// Closes the clients whose grace has passed, and forgets those that are closed.
    pub fn stamp(&mut self, now: Nanos, stream: &mut impl GatewayStream, clients: &Clients) {
        self.0.retain_mut(|Leaving { client: leaving, fenced, closing }| {
            if planted(Mutation::DisconnectForgotten) {
                return true;
            }
            let client = clients.get(leaving.publisher);
            let has_it = client.is_some_and(|client| client.nonce == leaving.nonce && client.open);
            // It is closed, or another login has it again, here or elsewhere.
            if leaving.seen && !has_it {
                return false;
            }
            if has_it && !*fenced && !*closing && now >= leaving.due {
                // A close that is refused now is tried again, until the stream shows its outcome.
                let reason = close_payload(leaving.reason, leaving.cancels);
                *closing = stream.close(leaving.publisher, &reason).is_ok();
            }
            true
        });
    }
}
