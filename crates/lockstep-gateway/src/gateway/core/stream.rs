//! Events of the stream and of the publisher's handle: our opens, other gateways, messages for our clients,
//! and the clients of lost gateways.

use super::departures::Departure;
use super::opens::OpenFor;
use super::{Gateway, GatewayError, GatewayStream};
use crate::fix::note::FixNote;
use crate::fix::record::FixRecord;
use crate::gateway::conn::Phase;
use lockstep_core::engine::clients::{CLIENT, DisconnectReason, nonce};
use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, Message, SubscriberEvent};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, PublisherId, Seq};
use soupbintcp::{RejectReason, begin_at};

const NO_ROOM: &str =
    "the cluster's table of publishers is full (stream.publishers_max): no new name can log in";
/// The reason of a reject when the gateway's key does not allow the client's name.
const NOT_ALLOWED: &str =
    "the gateway's key does not allow this client's name: `lockstep keys allow` changes what it allows";

impl<B: Backlog> Gateway<B> {
    /// Handles an event of the publisher's handle.
    pub fn on_publisher(&mut self, now: Nanos, stream: &mut impl GatewayStream, event: &PublisherEvent) {
        match *event {
            PublisherEvent::Opened { ticket, publisher, .. } => {
                self.on_open_reported(now, stream, ticket, publisher);
            }
            PublisherEvent::Refused { ticket, reason } => self.on_refused(now, ticket, reason),
            PublisherEvent::NotAllowed { publisher, .. } => self.sessions.on_not_allowed(now, publisher),
            PublisherEvent::Discarded { publisher, .. } => self.sessions.on_discarded(now, publisher),
            _ => {}
        }
    }

    /// The handle has reported an open of ours; the reader may not have reached its entry yet.
    fn on_open_reported(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        ticket: usize,
        publisher: PublisherId,
    ) {
        let Some((nonce, whom)) = self.opens.remove(ticket) else { return };
        self.sessions.fence_earlier(now, publisher, nonce);
        match whom {
            OpenFor::Own => self.own.id = Some(publisher),
            OpenFor::Login(index, number) => {
                let conn = self.sessions.conns.numbered_mut((index, number));
                let waits = conn.and_then(|conn| match &mut conn.phase {
                    Phase::Opening { publisher, ticket: own, .. } if *own == ticket => Some(publisher),
                    _ => None,
                });
                match waits {
                    Some(waits) => {
                        *waits = Some(publisher);
                        self.try_accept(now, stream, index);
                    }
                    // Its client did not wait: it has connected and left.
                    None => self.leave_broken(now, publisher, nonce),
                }
            }
            OpenFor::Reap { cancels } => {
                self.sessions.counts.reaped += 1;
                self.leave_unseen(now, (publisher, nonce), DisconnectReason::GatewayLost, cancels);
            }
        }
    }

    /// The cluster has no room for another name, or does not allow it: the login that waits for it is
    /// refused. The name of a client to disconnect exists already.
    fn on_refused(&mut self, now: Nanos, ticket: usize, reason: OpenRefusal) {
        let Some((_, whom)) = self.opens.remove(ticket) else { return };
        if let OpenFor::Own = whom {
            let name = self.own.name.clone();
            self.failed.get_or_insert(match reason {
                OpenRefusal::TableFull { .. } => GatewayError::NoRoom(name),
                _ => GatewayError::NotAllowed(name),
            });
        }
        let OpenFor::Login(index, number) = whom else { return };
        let waits =
            self.sessions.conns.numbered((index, number)).is_some_and(
                |conn| matches!(conn.phase, Phase::Opening { ticket: own, .. } if own == ticket),
            );
        if waits {
            let why = match reason {
                OpenRefusal::TableFull { .. } => NO_ROOM,
                _ => NOT_ALLOWED,
            };
            self.sessions.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
    }

    /// A client of ours was never accepted, because its connection or its login ended.
    fn leave_broken(&mut self, now: Nanos, publisher: PublisherId, nonce: [u64; 2]) {
        let user = self.state.user_of(&self.users, publisher);
        let cancels = user.is_some_and(|user| user.cancel_on_disconnect);
        self.leave_unseen(now, (publisher, nonce), DisconnectReason::Broken, cancels);
    }

    /// Closes the publisher of this open, once its entry is delivered.
    fn leave_unseen(
        &mut self,
        now: Nanos,
        (publisher, nonce): (PublisherId, [u64; 2]),
        reason: DisconnectReason,
        cancels: bool,
    ) {
        if !self.sessions.departures.has_open(nonce) {
            let seen = self.state.clients.get(publisher).is_some_and(|client| client.nonce == nonce);
            let departure = Departure { publisher, nonce, seen, due: now, reason, cancels };
            self.sessions.departures.add(departure);
        }
    }

    /// Handles an event of the subscription, in the order of the stream. An event of a `stamped` subscription
    /// waits until it is final: clients count the messages that they receive, and cannot take one back.
    pub fn on_stream(&mut self, now: Nanos, stream: &mut impl GatewayStream, event: &SubscriberEvent<'_>) {
        if self.limits.delivery == Delivery::Committed || planted(Mutation::StampedIsFinal) {
            return self.on_final(now, stream, event);
        }
        match event {
            SubscriberEvent::Committed { next } => self.final_next = self.final_next.max(*next),
            SubscriberEvent::Retract { from } => {
                assert!(*from >= self.final_next, "seq {from} is lost, and was reported as final (S6)");
                self.pending.on_retract(*from);
            }
            SubscriberEvent::Message(message) => {
                if message.seq >= self.final_next {
                    self.sessions.send_early(now, message, (&self.state.ledger, &self.pending));
                }
                self.pending.push(event);
            }
            _ => self.pending.push(event),
        }
        while let Some(delivery) = self.pending.pop_final(self.final_next) {
            self.on_final(now, stream, &delivery.event());
            self.pending.give_back(delivery);
        }
    }

    /// Handles an event that no takeover takes back.
    fn on_final(&mut self, now: Nanos, stream: &mut impl GatewayStream, event: &SubscriberEvent<'_>) {
        self.state.clients.on_event(event);
        self.state.clocks.on_event(event);
        let stored = match event {
            SubscriberEvent::GatewayHeartbeat { seq, timestamp, publisher, payload } => {
                self.lost.on_sign_of_life(self.own.id, &self.state.clients, *publisher);
                let heartbeat_ns = self.limits.heartbeat_ns;
                let alone = self.own.on_heartbeat(now, *publisher, heartbeat_ns, &self.state.clients);
                self.fail_on(alone);
                self.on_fix_note(now, (*seq, *timestamp), *publisher, payload)
            }
            SubscriberEvent::Message(message) => match self.on_fix_message(now, message) {
                Ok(false) => self.sessions.store(now, &mut self.state.ledger, message),
                stored => stored.map(|_| ()),
            },
            SubscriberEvent::Opened { publisher, nonce, last, .. } => {
                self.lost.on_sign_of_life(self.own.id, &self.state.clients, *publisher);
                self.lost.on_unread(self.own.id, &self.state.clients, *publisher);
                self.state.on_opened(&self.users, *publisher, *last);
                let opened = self.own.on_opened(*publisher, *nonce, &self.state.clients);
                self.fail_on(opened);
                self.on_opened(now, stream, *publisher, *nonce);
                Ok(())
            }
            SubscriberEvent::Closed { publisher, .. } => {
                self.own.on_closed(*publisher);
                Ok(())
            }
            SubscriberEvent::Day { mark, .. } => {
                self.sessions.on_day(now, mark);
                self.state.on_day(mark)
            }
            SubscriberEvent::CaughtUp { .. } => {
                self.state.caught_up = true;
                Ok(())
            }
            SubscriberEvent::PartsDiscarded { bound: PartsBound::Beginning, .. } => {
                if self.state.ledger.on_lacking() {
                    self.sessions.on_lacking(now);
                }
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = stored {
            self.failed = Some(GatewayError::Backlog(error));
        }
    }

    /// The gateway ends for this reason, unless it has another one.
    fn fail_on(&mut self, result: Result<(), GatewayError>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// Handles a message from or to a FIX client, or between two. Returns whether it is stored already.
    fn on_fix_message(&mut self, now: Nanos, message: &Message<'_>) -> Result<bool, BacklogError> {
        if let Some(client) = self.state.fix.get_mut(&message.publisher).filter(|client| client.is_fix()) {
            let mut records = Vec::new();
            client.on_own(message, &mut |record| records.push(encoded(&record)));
            self.store_records(now, message, message.publisher, &records)?;
            self.sessions.on_fix_delivered(message);
        }
        let client = self.state.fix.get_mut(&message.destination).filter(|client| client.is_fix());
        let Some(client) = client else { return Ok(false) };
        let mut records = Vec::new();
        if !client.on_application(message, &mut |record| records.push(encoded(&record))) {
            self.sessions.counts.fix_untranslated += 1;
        }
        self.store_records(now, message, message.destination, &records)?;
        Ok(true)
    }

    /// Handles a note between gateways.
    fn on_fix_note(
        &mut self,
        now: Nanos,
        (seq, timestamp): (Seq, Nanos),
        publisher: PublisherId,
        payload: &[u8],
    ) -> Result<(), BacklogError> {
        let Some(note) = FixNote::decode(payload) else { return Ok(()) };
        let Some(client) = self.state.fix.get_mut(&publisher) else { return Ok(()) };
        let next = self.state.ledger.next_number(&[publisher]);
        let mut records = Vec::new();
        let begins =
            client.on_note((seq, timestamp), &note, next - 1, &mut |record| records.push(encoded(&record)));
        let number = client.number_of(next);
        let message =
            Message { seq, publisher, publisher_seq: 0, destination: publisher, timestamp, payload };
        self.store_records(now, &message, publisher, &records)?;
        if begins {
            self.sessions.begin_fix(publisher, (next, number), &self.state.ledger);
        }
        Ok(())
    }

    /// Stores the messages to a client that result from one entry.
    fn store_records(
        &mut self,
        now: Nanos,
        of: &Message<'_>,
        destination: PublisherId,
        records: &[Vec<u8>],
    ) -> Result<(), BacklogError> {
        records.iter().try_for_each(|record| {
            let message = Message { destination, payload: record, ..*of };
            self.sessions.store(now, &mut self.state.ledger, &message)
        })
    }

    /// An open entry was delivered: one of ours is accepted from here on, and one of another gateway takes a
    /// client away. A client that subscribes to it by name receives its messages from now on.
    fn on_opened(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        publisher: PublisherId,
        nonce: [u64; 2],
    ) {
        self.sessions.departures.on_delivered(nonce);
        let fenced = self.opens.on_delivered(publisher, nonce);
        self.sessions.reject_fenced(now, fenced);
        let waits = self.sessions.conns.iter().find_map(|(index, conn)| {
            matches!(conn.phase, Phase::Opening { nonce: own, .. } if own == nonce).then_some(index)
        });
        match waits {
            Some(index) => self.on_login_delivered(now, stream, index, (publisher, nonce)),
            None => self.sessions.on_opened_elsewhere(now, publisher, nonce),
        }
        self.sessions.subscribe_by_name(publisher, &self.state);
    }

    /// The open entry of a login was delivered: the client's sequence begins or continues here.
    fn on_login_delivered(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        index: usize,
        (publisher, nonce): (PublisherId, [u64; 2]),
    ) {
        let Some(conn) = self.sessions.conns.get_mut(index) else { return };
        let destinations = self.state.received_by(conn.user.as_ref(), publisher);
        let ledger = &self.state.ledger;
        let last = self.state.clients.get(publisher).map_or(0, |client| client.last_number);
        let last = if planted(Mutation::LoginForgetsLast) { 0 } else { last };
        let Phase::Opening { asked, begins, .. } = &mut conn.phase else { return };
        match begin_at(asked.seq, 1, ledger.next_number(&destinations)) {
            Ok(number) => {
                *begins = Some((ledger.place(&destinations, number), number, last));
                self.try_accept(now, stream, index);
            }
            Err(reason) => {
                let why = "no such number yet: ask for 0 to begin with what comes next";
                self.sessions.reject(now, index, reason, why);
                self.leave_broken(now, publisher, nonce);
            }
        }
    }

    /// Disconnects clients of lost gateways. The remaining gateway with the least id goes first, and each
    /// other one a heartbeat interval later, in case those before it die as well.
    pub(super) fn reap(&mut self, now: Nanos, stream: &mut impl GatewayStream) {
        let Some(own) = self.own.id.filter(|_| self.state.caught_up) else { return };
        // One at a time; the others continue to wait.
        if self.opens.has_reap() {
            return;
        }
        let is_served = self.sessions.served();
        let due = self.lost.due(now, own, (&self.state.clients, &self.users), &self.limits, is_served);
        if let Some((user, cancels)) = due.filter(|_| !planted(Mutation::NeverReaps)) {
            let nonce = nonce(own, true, stream.draw());
            if let Some(ticket) = stream.open(&format!("{CLIENT}{user}"), nonce) {
                self.opens.add(ticket, nonce, OpenFor::Reap { cancels });
            }
        }
    }
}

fn encoded(record: &FixRecord<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}
