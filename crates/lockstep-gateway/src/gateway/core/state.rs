//! What the final part of the stream shows: clients, their messages, and their sessions of FIX. Every gateway
//! that has read the same entries has the same.

use crate::fix::client::FixClient;
use crate::fix::session::FixClocks;
use crate::gateway::conn::{Conn, Phase};
use crate::gateway::ledger::Ledger;
use crate::gateway::users::{Recipient, User, Users};
use lockstep_core::engine::clients::Clients;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{CHANNELS, DayMark, Destination, PublisherId, PublisherSeq};
use std::collections::BTreeMap;

/// The state of the stream: see the module.
#[derive(Debug)]
pub(super) struct StreamState<B> {
    pub ledger: Ledger<B>,
    pub clients: Clients,
    /// The FIX state of each client.
    pub fix: BTreeMap<PublisherId, FixClient>,
    /// The timestamp of the newest final entry, and the gateway's own clock, which the owner sets.
    pub clocks: FixClocks,
    /// Whether the stream was read up to its end once.
    pub caught_up: bool,
}

impl<B: Backlog> StreamState<B> {
    pub fn new(ledger: Ledger<B>) -> Self {
        Self {
            ledger,
            clients: Clients::default(),
            fix: BTreeMap::new(),
            clocks: FixClocks::default(),
            caught_up: false,
        }
    }

    /// The user's row of the client with this id.
    pub fn user_of<'a>(&self, users: &'a Users, publisher: PublisherId) -> Option<&'a User> {
        users.get(&self.clients.get(publisher)?.user)
    }

    /// Handles an open entry of a client: its state of FIX begins with the first one.
    pub fn on_opened(&mut self, users: &Users, publisher: PublisherId, last: PublisherSeq) {
        if self.clients.get(publisher).is_none() {
            return;
        }
        let is_listed = self.user_of(users, publisher).is_some_and(|user| user.fix);
        let stored = self.ledger.next_number(&[publisher]) - 1;
        let client = self.fix.entry(publisher).or_insert_with(|| FixClient::opened_behind(stored));
        client.set_listed(is_listed);
        client.on_opened(last);
    }

    /// The users' file was read again.
    pub fn list_fix_users(&mut self, users: &Users) {
        for (publisher, fix) in &mut self.fix {
            let user = self.clients.get(*publisher).and_then(|client| users.get(&client.user));
            fix.set_listed(user.is_some_and(|user| user.fix));
        }
    }

    /// A trading day begins or ends.
    pub fn on_day(&mut self, mark: &DayMark<'_>) -> Result<(), BacklogError> {
        if mark.is_start {
            self.fix.values_mut().for_each(FixClient::on_day);
        }
        self.ledger.on_day(mark)
    }

    /// A client from which this user receives or to which it sends, if its open entry may lie before the
    /// first entry read: its messages cannot be counted then.
    pub fn unread_name<'a>(&self, user: &'a User) -> Option<&'a str> {
        if self.ledger.is_whole() || planted(Mutation::UnreadNamesNobodys) {
            return None;
        }
        let named = user.hear.iter().chain([&user.destination]);
        let names = named.filter_map(|whom| match whom {
            Recipient::Client(name) => Some(name.as_str()),
            _ => None,
        });
        names.into_iter().find(|name| self.clients.id_of(name).is_none())
    }

    /// The destinations that a user with the client `own` receives, as far as the stream has them.
    pub fn received_by(&self, user: Option<&User>, own: PublisherId) -> Vec<Destination> {
        let hears = user.into_iter().flat_map(|user| &user.hear);
        let known = hears.filter_map(|whom| match whom {
            Recipient::Own => Some(own),
            Recipient::Everybody => self.ledger.has_broadcast().then_some(0),
            Recipient::Client(name) => self.clients.id_of(name),
            Recipient::Channel(number) => Some(CHANNELS + number),
        });
        let mut destinations: Vec<_> = known.collect();
        destinations.sort_unstable();
        destinations.dedup();
        destinations
    }

    /// The destination of the messages of a logged-in client, if the stream has it.
    pub fn destination_of(&self, conn: &Conn) -> Option<Destination> {
        let Phase::Open { publisher, .. } = conn.phase else { return None };
        match &conn.user.as_ref()?.destination {
            Recipient::Own => Some(publisher),
            Recipient::Everybody => Some(0),
            Recipient::Client(name) => self.clients.id_of(name),
            Recipient::Channel(number) => Some(CHANNELS + number),
        }
    }
}
