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

use super::opens::{OpenFor, PendingOpens};
use super::{GatewayError, GatewayStream};
use lockstep_core::engine::clients::{Clients, GATEWAY};
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

/// What a turn of the name depends on.
pub(super) struct OwnTurn<'a> {
    /// Whether the stream was read up to its end, and the gateway has not failed.
    pub may_open: bool,
    /// Whether no client leaves and no open is under way.
    pub may_close: bool,
    pub heartbeat_ns: Nanos,
    pub clients: &'a Clients,
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

    /// Opens the name, sends a heartbeat, or closes the name after everything else: whatever is due.
    pub fn turn(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        turn: &OwnTurn<'_>,
        opens: &mut PendingOpens,
    ) {
        let Some(own) = self.id else { return self.open(now, stream, turn, opens) };
        if self.stops {
            if turn.may_close && !self.closing {
                self.closing = stream.close(own, b"").is_ok();
            }
        } else if now >= self.heartbeat_at && stream.publish(own, GATEWAYS, b"").is_ok() {
            self.heartbeat_at = now + turn.heartbeat_ns;
        }
    }

    fn open(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        turn: &OwnTurn<'_>,
        opens: &mut PendingOpens,
    ) {
        if !turn.may_open || self.begun || self.stops {
            return;
        }
        let previous = turn.clients.gateway_of(&self.name);
        let may_live = previous.is_some_and(|previous| turn.clients.gateway(previous) != 0);
        let since = *self.listens_since.get_or_insert(now);
        if may_live && now < since + turn.heartbeat_ns * LISTEN_HEARTBEATS {
            return;
        }
        let drawn = stream.draw();
        if let Some(ticket) = stream.open(&format!("{GATEWAY}{}", self.name), drawn) {
            opens.add(ticket, drawn, OpenFor::Own);
            (self.nonce, self.begun) = (drawn, true);
        }
    }

    /// Whether the gateway listens for another one of the same name.
    pub fn is_listening(&self) -> bool {
        self.listens_since.is_some() && !self.begun
    }

    /// A heartbeat of a gateway was delivered. Another gateway of this name is alive if two of its heartbeats
    /// are received, at different moments, while this one listens. A single one may be left from a gateway
    /// that died.
    pub fn on_heartbeat(
        &mut self,
        now: Nanos,
        gateway: PublisherId,
        heartbeat_ns: Nanos,
        clients: &Clients,
    ) -> Result<(), GatewayError> {
        if !self.is_listening() || clients.gateway_of(&self.name) != Some(gateway) {
            return Ok(());
        }
        let first = *self.received_at.get_or_insert(now);
        if now >= first + heartbeat_ns / 2 {
            return Err(GatewayError::NameTaken(self.name.clone()));
        }
        Ok(())
    }

    /// Handles an open entry of a name: of two gateways that open the same name the later one has it.
    pub fn on_opened(
        &mut self,
        publisher: PublisherId,
        nonce: [u64; 2],
        clients: &Clients,
    ) -> Result<(), GatewayError> {
        if !self.begun || clients.gateway_of(&self.name) != Some(publisher) {
            return Ok(());
        }
        if nonce == self.nonce {
            self.seen = true;
        } else if self.seen && !planted(Mutation::FencedGoesOn) {
            return Err(GatewayError::Fenced(self.name.clone()));
        }
        Ok(())
    }

    /// Handles a close entry.
    pub fn on_closed(&mut self, publisher: PublisherId) {
        if self.id == Some(publisher) && self.stops {
            self.id = None;
        }
    }
}
