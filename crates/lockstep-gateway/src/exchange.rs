//! # exchange: the simplest application behind a gateway
//!
//! It acknowledges each message of a client to that client, and so shows what an application does: it reads
//! the committed stream, and publishes to its destinations. What it publishes is a function of what it
//! reads, and its number follows from that too ([`Outputs`]): so copies that run at the same time publish the
//! same, one that starts late or again hands in what the stream lacks, and each answer is stamped once.
//!
//! This is the application without its handles; a clone of it is a snapshot.

use super::gateway::clients::{Clients, GatewayClientEvent};
use lockstep_core::engine::outputs::{Divergence, Outputs};
use lockstep_core::engine::subscriber::SubscriberEvent;

/// What an answer begins with; the message that it answers follows.
pub const ACKNOWLEDGED: &[u8] = b"ack ";
/// The application's name, ...
pub const NAME: &str = "exchange";
/// ... and the nonce that its copies share.
pub const NONCE: [u64; 2] = [7, 7];

/// An event of its clients, in the order of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeEvent<'a> {
    /// A client connected or disconnected.
    Client(GatewayClientEvent<'a>),
    /// A client sent a message, which is acknowledged.
    Order {
        /// The client's user.
        user: &'a str,
        /// Its message.
        message: &'a [u8],
    },
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    clients: Clients,
    /// Its answers.
    pub answers: Outputs,
}

impl Default for Exchange {
    /// At the beginning of the stream.
    fn default() -> Self {
        Self { clients: Clients::default(), answers: Outputs::new(NAME) }
    }
}

impl Exchange {
    /// The next event of a committed subscription.
    ///
    /// # Errors
    /// The stream has other answers than this state.
    pub fn on_event(
        &mut self,
        event: &SubscriberEvent<'_>,
        mut on_event: impl FnMut(ExchangeEvent<'_>),
    ) -> Result<(), Divergence> {
        let Self { clients, answers } = self;
        if !answers.on_event(event)? {
            return Ok(());
        }
        if let Some(event) = clients.on_event(event) {
            on_event(ExchangeEvent::Client(event));
        }
        if let SubscriberEvent::Message(message) = event
            && let Some(client) = clients.get(message.publisher)
        {
            on_event(ExchangeEvent::Order { user: &client.user, message: message.payload });
            answers.push(message.publisher, &[ACKNOWLEDGED, message.payload].concat());
        }
        Ok(())
    }
}
