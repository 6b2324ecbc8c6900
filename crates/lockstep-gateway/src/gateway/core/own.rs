//! The gateway's own name: opened once no other gateway runs under it, renewed by heartbeats, and closed at
//! the end.
//!
//! ```text
//!   reading ──at the stream's end──▶ listening ──silence──▶ opening ──▶ open ──stop──▶ closed
//!                                       │ heartbeats                   │ another one's open
//!                                       ▼                                 ▼
//!                                  name taken                          fenced
//! ```
//! If the name is closed in the stream, or was never opened, the gateway opens it at once. A gateway that
//! died is silent, so its successor of the same name begins after three heartbeat intervals of silence. If
//! the former gateway is alive after all, it is fenced and ends.

use super::{Gateway, GatewayError, GatewayStream, OpenFor, PendingOpen};
use lockstep_core::engine::clients::GATEWAY;
use lockstep_core::engine::ports::Backlog;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{GATEWAYS, Nanos, PublisherId};

/// The number of heartbeats that a living gateway sends while another one listens, plus or minus one.
const LISTEN_HEARTBEATS: Nanos = 3;

/// The gateway's own name: see the module.
#[derive(Clone, Debug)]
pub(super) struct GatewayName {
    pub(super) name: String,
    /// Its id, while it is open.
    pub id: Option<PublisherId>,
    /// The nonce of its open.
    nonce: [u64; 2],
    begun: bool,
    /// Whether our open entry was delivered.
    seen: bool,
    heartbeat_at: Nanos,
    /// Since when it listens for another gateway of the same name.
    listens_since: Option<Nanos>,
    /// When the first heartbeat of another gateway was received.
    received_at: Option<Nanos>,
    /// Whether the gateway stops.
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
    /// Opens the name, sends a heartbeat, or closes the name after everything else: whatever is due.
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

    /// Whether the gateway listens for another one of the same name.
    pub fn is_listening(&self) -> bool {
        self.own.listens_since.is_some() && !self.own.begun
    }

    /// A heartbeat of a gateway was delivered. Another gateway of this name is alive if two of its heartbeats
    /// are received, at different moments, while this one listens. A single one may be left from a gateway
    /// that died.
    pub(super) fn on_previous_incarnation(&mut self, now: Nanos, gateway: PublisherId) {
        if !self.is_listening() || self.clients.gateway_of(&self.own.name) != Some(gateway) {
            return;
        }
        let first = *self.own.received_at.get_or_insert(now);
        if now >= first + self.limits.heartbeat_ns / 2 {
            self.failed.get_or_insert(GatewayError::NameTaken(self.own.name.clone()));
        }
    }

    /// Handles an open entry of a name: of two gateways that open the same name the later one has it.
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

    /// Handles a close entry.
    pub(super) fn on_own_closed(&mut self, publisher: PublisherId) {
        if self.own.id == Some(publisher) && self.own.stops {
            self.own.id = None;
        }
    }
}
