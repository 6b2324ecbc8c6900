//! The gateway's own name: opened once no other gateway lives under it, renewed by heartbeats, closed at the
//! end.
//!
//! ```text
//!   reading ──at the stream's end──▶ listening ──silence──▶ opening ──▶ open ──stop──▶ closed
//!                                       │ signs of life                   │ another one's open
//!                                       ▼                                 ▼
//!                                  name taken                          fenced
//! ```
//! A gateway whose name is closed in the stream, or was never opened, is not waited for. One that died is
//! silent, and its successor of the same name begins behind three beats of silence; should that one live
//! after all, it is fenced and ends.

use super::{Gateway, GatewayError, GatewayStream, OpenFor, PendingOpen};
use lockstep_core::engine::clients::GATEWAY;
use lockstep_core::engine::ports::Backlog;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{GATEWAYS, Nanos, PublisherId};

/// A living gateway sends this many heartbeats while another one listens, plus or minus one.
const LISTEN_HEARTBEATS: Nanos = 3;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct GatewayName {
    pub(super) name: String,
    /// Its id, while it is open.
    pub id: Option<PublisherId>,
    /// What it is opened with.
    nonce: [u64; 2],
    begun: bool,
    /// Our open entry was delivered.
    seen: bool,
    heartbeat_at: Nanos,
    /// Since when it is listened whether somebody lives under the name.
    listens_since: Option<Nanos>,
    /// When the first heartbeat of another gateway was received.
    received_at: Option<Nanos>,
    /// The gateway stops.
    pub stops: bool,
    closing: bool,
}

impl GatewayName {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            nonce: [0; 2],
            begun: false,
            seen: false,
            heartbeat_at: 0,
            listens_since: None,
            received_at: None,
            stops: false,
            closing: false,
        }
    }
}

impl<B: Backlog> Gateway<B> {
    /// Opens the name, shows that it lives, closes the name behind everything else: whatever is due.
    pub(super) fn turn_own(&mut self, now: Nanos, stream: &mut impl GatewayStream) {
        let Some(own) = self.own.id else { return self.open_own_name(now, stream) };
        if self.own.stops {
            if self.leaving.is_empty() && self.opens.is_empty() && !self.own.closing {
                self.own.closing = stream.close(own, b"").is_ok();
            }
        } else if now >= self.own.heartbeat_at && stream.publish(own, GATEWAYS, b"").is_ok() {
            self.own.heartbeat_at = now + self.limits.heartbeat_ns;
        }
    }

    fn open_own_name(&mut self, now: Nanos, stream: &mut impl GatewayStream) {
        if !self.caught_up || self.own.begun || self.own.stops || self.failed.is_some() {
            return;
        }
        let previous = self.clients.gateway_of(&self.own.name);
        let may_live = previous.is_some_and(|previous| self.clients.gateway(previous) != 0);
        let since = *self.own.listens_since.get_or_insert(now);
        if may_live && now < since + self.limits.heartbeat_ns * LISTEN_HEARTBEATS {
            return;
        }
        let drawn = stream.draw();
        if let Some(ticket) = stream.open(&format!("{GATEWAY}{}", self.own.name), drawn) {
            self.opens.insert(ticket, PendingOpen::new(drawn, OpenFor::Own));
            (self.own.nonce, self.own.begun) = (drawn, true);
        }
    }

    /// The gateway's id, while its name is open.
    pub fn own(&self) -> Option<PublisherId> {
        self.own.id
    }

    /// Whether the gateway listens whether somebody lives under its name.
    pub fn is_listening(&self) -> bool {
        self.own.listens_since.is_some() && !self.own.begun
    }

    /// A heartbeat of a gateway was delivered. Another gateway of this name lives if this one receives two of
    /// them, at different moments, while it listens. A single one may remain of a gateway that died.
    pub(super) fn on_previous_incarnation(&mut self, now: Nanos, gateway: PublisherId) {
        if !self.is_listening() || self.clients.gateway_of(&self.own.name) != Some(gateway) {
            return;
        }
        let first = *self.own.received_at.get_or_insert(now);
        if now >= first + self.limits.heartbeat_ns / 2 {
            self.failed.get_or_insert(GatewayError::NameTaken(self.own.name.clone()));
        }
    }

    /// An open entry of some name: of two that are opened as one the later has it.
    pub(super) fn on_own_opened(&mut self, publisher: PublisherId, nonce: [u64; 2]) {
        if !self.own.begun || self.clients.gateway_of(&self.own.name) != Some(publisher) {
            return;
        }
        if nonce == self.own.nonce {
            self.own.seen = true;
        } else if self.own.seen && !planted(Mutation::FencedGoesOn) {
            self.failed.get_or_insert(GatewayError::Fenced(self.own.name.clone()));
        }
    }

    /// A close entry.
    pub(super) fn on_own_closed(&mut self, publisher: PublisherId) {
        if self.own.id == Some(publisher) && self.own.stops {
            self.own.id = None;
        }
    }
}
