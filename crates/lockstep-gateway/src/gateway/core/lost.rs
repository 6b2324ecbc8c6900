//! Other gateways by their heartbeats, and the clients of lost ones.

use super::GatewayLimits;
use crate::gateway::users::Users;
use lockstep_core::engine::clients::Clients;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, PublisherId};
use std::collections::{BTreeMap, BTreeSet};

/// The state of other gateways: see the module.
#[derive(Clone, Debug, Default)]
pub(super) struct LostGateways {
    /// The number of our own heartbeats delivered since each other gateway's last one.
    heartbeats_since: BTreeMap<PublisherId, u32>,
    /// Clients of lost gateways, and since when the loss is known.
    orphans: BTreeMap<PublisherId, ([u64; 2], Nanos)>,
}

impl LostGateways {
    /// An entry of a gateway was delivered; `own` is the id of this gateway.
    pub fn on_sign_of_life(&mut self, own: Option<PublisherId>, clients: &Clients, publisher: PublisherId) {
        if Some(publisher) == own {
            self.heartbeats_since.values_mut().for_each(|heartbeats| *heartbeats += 1);
        } else if clients.gateway(publisher) != 0 || self.heartbeats_since.contains_key(&publisher) {
            self.heartbeats_since.insert(publisher, 0);
        }
    }

    /// A client was opened by a gateway whose own open was never read, because the stream's beginning is
    /// gone: its silence counts from here on.
    pub fn on_unread(&mut self, own: Option<PublisherId>, clients: &Clients, publisher: PublisherId) {
        let Some((gateway, _)) = clients.get(publisher).map(|client| client.gateway) else { return };
        let is_read = clients.gateways().any(|(known, _)| known == gateway);
        if !is_read && Some(gateway) != own {
            self.heartbeats_since.entry(gateway).or_insert(0);
        }
    }

    /// A client to disconnect now, and whether its orders must be canceled. `is_served`: this gateway has the
    /// client, or is logging it in.
    pub fn due(
        &mut self,
        now: Nanos,
        own: PublisherId,
        (clients, users): (&Clients, &Users),
        limits: &GatewayLimits,
        is_served: impl Fn(PublisherId, &[u64; 2]) -> bool,
    ) -> Option<(String, bool)> {
        let is_lost = |gateway: PublisherId| {
            if planted(Mutation::LivingReaped) {
                return gateway != own;
            }
            let heartbeats = self.heartbeats_since.get(&gateway);
            gateway != own && heartbeats.is_some_and(|heartbeats| *heartbeats > limits.lost_heartbeats)
        };
        let known: BTreeSet<_> = clients.gateways().map(|(id, _)| id).collect();
        let rank = known.iter().filter(|id| **id < own && !is_lost(**id)).count() as u64;
        let mut orphans = BTreeMap::new();
        for (publisher, client) in clients.connected() {
            let (gateway, incarnation) = client.gateway;
            // Our own open that belongs to no connection was left behind.
            let is_gone = gateway == own || clients.gateway(gateway) != incarnation || is_lost(gateway);
            if is_gone && !is_served(publisher, &client.nonce) {
                let since = self.orphans.get(&publisher).filter(|(nonce, _)| *nonce == client.nonce);
                let since = since.map_or(now, |(_, since)| *since);
                orphans.insert(publisher, (client.nonce, since));
            }
        }
        self.orphans = orphans;
        self.orphans.iter().find_map(|(publisher, (_, since))| {
            let client = clients.get(*publisher)?;
            let user = users.get(&client.user);
            let grace_ns = Nanos::from(user.map_or(0, |user| user.grace_ms)) * 1_000_000;
            let cancels = user.is_some_and(|user| user.cancel_on_disconnect);
            (now >= since + grace_ns + rank * limits.heartbeat_ns).then(|| (client.user.clone(), cancels))
        })
    }
}
