//! The gateway's clients as the stream has them: which are connected, by which gateway, since which entry.
//!
//! A client is a publisher whose name begins with [`CLIENT`]. Its login stamps an open entry, so everybody
//! sees it connect at one place of the order, and the gateway that had it before is fenced there. It leaves
//! by a close entry with the reason, stamped by the gateway that has it; or, where that gateway is gone, by
//! another gateway's open entry, which fences the dead one's pending messages, with a close behind it. The
//! nonce shows which of these an open is, and which gateway wrote it.
//!
//! All of this is a function of the stream: gateways and applications derive it by [`Clients`] alike.
//!
//! ```text
//!            login's open                     close, or a reaper's open
//!   away ──────────────────▶ connected ─────────────────────────────────▶ away
//!                                │ ▲
//!                                └─┘ login's open: another connection has taken its place
//! ```

use super::saved::{put_bytes, take, take_text, take_u32, take_u64};
use super::subscriber::SubscriberEvent;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::PublisherId;
use std::collections::BTreeMap;
use std::fmt;

/// What the names of clients begin with; the user's name follows, in lower case.
pub const CLIENT: &str = "client/";
/// What the names of gateways begin with.
pub const GATEWAY: &str = "gateway/";

/// Top byte of the first word of a login's nonce, ...
const LOGIN: u64 = 1;
/// ... and of an open by which a gateway takes a client away from a gateway that is gone.
const REAP: u64 = 2;

/// The nonce of an open that `gateway` stamps for a client. Everything but purpose and gateway is `drawn`.
pub fn nonce(gateway: PublisherId, reaps: bool, drawn: [u64; 2]) -> [u64; 2] {
    let purpose = if reaps { REAP } else { LOGIN };
    [purpose << 56 | drawn[0] >> 8, u64::from(gateway) << 32 | drawn[1] >> 32]
}

/// Why a client left. The numbers are the stream's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum DisconnectReason {
    /// It logged out.
    Logout = 1,
    /// Its connection broke, and it did not come back in time.
    Broken = 2,
    /// It was silent for too long.
    Silent = 3,
    /// It broke the protocol.
    Fault = 4,
    /// It did not take what it was sent.
    Slow = 5,
    /// Its user was disabled or removed.
    Disabled = 6,
    /// The trading day ended.
    DayEnd = 7,
    /// Its gateway stopped in order.
    Stopped = 8,
    /// Its gateway died.
    GatewayLost = 9,
}

impl DisconnectReason {
    const ALL: [Self; 9] = [
        Self::Logout,
        Self::Broken,
        Self::Silent,
        Self::Fault,
        Self::Slow,
        Self::Disabled,
        Self::DayEnd,
        Self::Stopped,
        Self::GatewayLost,
    ];

    /// The reason with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == number)
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logout => "it logged out",
            Self::Broken => "its connection broke",
            Self::Silent => "it was silent",
            Self::Fault => "it broke the protocol",
            Self::Slow => "it did not take what it was sent",
            Self::Disabled => "its user was disabled",
            Self::DayEnd => "the trading day ended",
            Self::Stopped => "its gateway stopped",
            Self::GatewayLost => "its gateway died",
        })
    }
}

/// Payload of a client's close entry: the reason, and 1 where its orders are to be cancelled.
pub fn close_payload(reason: DisconnectReason, cancels: bool) -> [u8; 2] {
    [reason as u8, u8::from(cancels)]
}

/// An application's event of a client, at one place of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatewayClientEvent<'a> {
    /// It has logged in: what it publishes, and what is addressed to it, goes by this id.
    Connected {
        /// The user's name.
        user: &'a str,
        /// Its id, for the life of the stream.
        publisher: PublisherId,
    },
    /// It has left.
    Disconnected {
        /// The user's name.
        user: &'a str,
        /// Its id.
        publisher: PublisherId,
        /// Why.
        reason: DisconnectReason,
        /// Whether its user asked for its orders to be cancelled then.
        cancels: bool,
    },
}

/// One client as the stream has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayClient {
    /// The user's name.
    pub user: String,
    /// Its latest incarnation.
    pub incarnation: u32,
    /// The nonce of that.
    pub nonce: [u64; 2],
    /// Whether it is connected.
    pub connected: bool,
    /// Whether its latest incarnation is not closed: a client that was taken away from a gateway is open
    /// until then.
    pub open: bool,
    /// The gateway that stamped its latest open, and that gateway's incarnation then.
    pub gateway: (PublisherId, u32),
    /// The number that stands before the last message that it sent by a login of this trading day, if it
    /// numbers them.
    pub last_number: u64,
    /// Its latest open stands in this trading day: its messages are numbered within this day. Messages that
    /// an older login had pending when the day began are numbered within the day before.
    is_of_day: bool,
}

/// All clients and gateways of the stream, by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Clients {
    by_id: BTreeMap<PublisherId, GatewayClient>,
    ids: BTreeMap<String, PublisherId>,
    /// Incarnation of each gateway; 0 once it is closed.
    gateways: BTreeMap<PublisherId, u32>,
    /// Gateways by their names, without what all of them begin with.
    gateway_ids: BTreeMap<String, PublisherId>,
}

impl Clients {
    /// Takes the next event of a committed subscription. What it means for a client is returned, if anything.
    pub fn on_event<'a>(&'a mut self, event: &SubscriberEvent<'_>) -> Option<GatewayClientEvent<'a>> {
        match *event {
            SubscriberEvent::Opened { publisher, incarnation, nonce, name, .. } => {
                if let Some(gateway) = name.strip_prefix(GATEWAY) {
                    self.gateways.insert(publisher, incarnation);
                    self.gateway_ids.entry(gateway.to_owned()).or_insert(publisher);
                }
                let user = name.strip_prefix(CLIENT)?;
                self.on_opened(user, publisher, incarnation, nonce)
            }
            SubscriberEvent::Closed { publisher, reason: payload, .. } => {
                if let Some(incarnation) = self.gateways.get_mut(&publisher) {
                    *incarnation = 0;
                }
                let client = self.by_id.get_mut(&publisher)?;
                let was_connected = std::mem::take(&mut client.connected);
                client.open = false;
                let reason = payload
                    .first()
                    .and_then(|reason| DisconnectReason::from_u8(*reason))
                    .unwrap_or(DisconnectReason::Broken);
                let cancels = payload.get(1) == Some(&1);
                let user = &client.user;
                was_connected.then_some(GatewayClientEvent::Disconnected { user, publisher, reason, cancels })
            }
            SubscriberEvent::Message(message) => {
                if let Some(client) = self.by_id.get_mut(&message.publisher)
                    && client.is_of_day
                    && let Some(number) = message.payload.first_chunk::<8>()
                {
                    client.last_number = u64::from_be_bytes(*number);
                }
                None
            }
            SubscriberEvent::Day { mark, .. } => {
                if mark.is_start {
                    for client in self.by_id.values_mut() {
                        if !planted(Mutation::LastNumberStays) {
                            client.last_number = 0;
                        }
                        client.is_of_day = planted(Mutation::OlderLoginCounts);
                    }
                }
                None
            }
            _ => None,
        }
    }

    fn on_opened(
        &mut self,
        user: &str,
        publisher: PublisherId,
        incarnation: u32,
        nonce: [u64; 2],
    ) -> Option<GatewayClientEvent<'_>> {
        self.ids.entry(user.to_owned()).or_insert(publisher);
        let gateway = (nonce[1] >> 32) as PublisherId;
        let gateway = (gateway, self.gateways.get(&gateway).copied().unwrap_or(0));
        let client = self.by_id.entry(publisher).or_insert_with(|| GatewayClient {
            user: user.to_owned(),
            incarnation,
            nonce,
            connected: false,
            open: true,
            gateway,
            last_number: 0,
            is_of_day: true,
        });
        (client.incarnation, client.nonce, client.gateway) = (incarnation, nonce, gateway);
        (client.open, client.is_of_day) = (true, true);
        if nonce[0] >> 56 != REAP {
            client.connected = true;
            return Some(GatewayClientEvent::Connected { user: &client.user, publisher });
        }
        // Whether its orders are to be cancelled stands in the close behind it; until then it is as good as
        // gone.
        None
    }

    /// The client with this id.
    pub fn get(&self, publisher: PublisherId) -> Option<&GatewayClient> {
        self.by_id.get(&publisher)
    }

    /// The id of a user's client, once it has logged in for the first time.
    pub fn id_of(&self, user: &str) -> Option<PublisherId> {
        self.ids.get(user).copied()
    }

    /// Incarnation of a gateway; 0 if it is closed or was never there.
    pub fn gateway(&self, publisher: PublisherId) -> u32 {
        self.gateways.get(&publisher).copied().unwrap_or(0)
    }

    /// The id of the gateway of this name, once it was opened for the first time.
    pub fn gateway_of(&self, name: &str) -> Option<PublisherId> {
        self.gateway_ids.get(name).copied()
    }

    /// The gateways that are open.
    pub fn gateways(&self) -> impl Iterator<Item = (PublisherId, u32)> {
        self.gateways.iter().map(|(id, incarnation)| (*id, *incarnation)).filter(|(_, open)| *open != 0)
    }

    /// Appends what a snapshot needs: taken between two events.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.by_id.len() as u32).to_le_bytes());
        for (id, client) in &self.by_id {
            let GatewayClient { user, incarnation, nonce, connected, open, gateway, last_number, is_of_day } =
                client;
            let numbers = [*id, *incarnation, gateway.0, gateway.1];
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            [nonce[0], nonce[1], *last_number]
                .iter()
                .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            out.push(u8::from(*connected) | u8::from(*open) << 1 | u8::from(*is_of_day) << 2);
            put_bytes(out, user.as_bytes());
        }
        out.extend_from_slice(&(self.gateway_ids.len() as u32).to_le_bytes());
        for (name, id) in &self.gateway_ids {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&self.gateway(*id).to_le_bytes());
            put_bytes(out, name.as_bytes());
        }
    }

    /// Those of a reader that continues from a snapshot; `rest` is what lies behind them afterwards. `None`:
    /// it is none.
    pub fn restore(rest: &mut &[u8]) -> Option<Self> {
        let mut clients = Self::default();
        for _ in 0..take_u32(rest)? {
            let (id, incarnation) = (take_u32(rest)?, take_u32(rest)?);
            let gateway = (take_u32(rest)?, take_u32(rest)?);
            let nonce = [take_u64(rest)?, take_u64(rest)?];
            let last_number = take_u64(rest)?;
            let [flags] = take(rest)?;
            let is = |bit: u8| flags >> bit & 1 == 1;
            let (connected, open, is_of_day) = (is(0), is(1), is(2));
            let user = take_text(rest)?;
            clients.ids.insert(user.clone(), id);
            let client =
                GatewayClient { user, incarnation, nonce, connected, open, gateway, last_number, is_of_day };
            clients.by_id.insert(id, client);
        }
        for _ in 0..take_u32(rest)? {
            let (id, incarnation) = (take_u32(rest)?, take_u32(rest)?);
            clients.gateways.insert(id, incarnation);
            clients.gateway_ids.insert(take_text(rest)?, id);
        }
        Some(clients)
    }

    /// Connected clients, and the gateway of each.
    pub fn connected(&self) -> impl Iterator<Item = (PublisherId, &GatewayClient)> {
        self.by_id.iter().filter(|(_, client)| client.connected).map(|(id, client)| (*id, client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(seq: u64, publisher: PublisherId, nonce: [u64; 2], name: &str) -> SubscriberEvent<'_> {
        SubscriberEvent::Opened {
            seq,
            timestamp: seq,
            publisher,
            incarnation: seq as u32,
            nonce,
            last: 0,
            name,
        }
    }

    #[test]
    fn a_snapshot_has_all_of_the_clients_and_none_that_is_cut_short_is_taken() {
        let mut clients = Clients::default();
        let login = |gateway| nonce(gateway, false, [1 << 9, 1 << 40]);
        clients.on_event(&opened(1, 1, [0, 0], "gateway/a"));
        clients.on_event(&opened(2, 2, [0, 0], "gateway/b"));
        clients.on_event(&opened(3, 3, login(1), "client/alice"));
        clients.on_event(&opened(4, 4, login(2), "client/bob"));
        clients.on_event(&opened(5, 4, nonce(1, true, [9 << 8, 9]), "client/bob"));
        clients.on_event(&SubscriberEvent::Closed { seq: 6, timestamp: 6, publisher: 2, reason: b"" });
        let mut saved = Vec::new();
        clients.save(&mut saved);
        saved.push(7);
        let mut rest = &saved[..];
        assert_eq!((Clients::restore(&mut rest), rest), (Some(clients), &[7][..]));
        for end in 0..saved.len() - 1 {
            assert_eq!(Clients::restore(&mut &saved[..end]), None, "{end} bytes");
        }
    }
}
