//! Events of the stream: our opens, other gateways, messages for our clients, and the clients of lost
//! gateways.

use super::login::destinations;
use super::{
    FULL, Gateway, GatewayError, GatewayStream, Leaving, OTHER_DAY, OUT_MAX, OpenFor, PendingOpen, SUPERSEDED,
};
use crate::fix::client::FixClient;
use crate::gateway::audit::Audited;
use crate::gateway::conn::Phase;
use crate::gateway::users::Recipient;
use lockstep_core::engine::clients::{CLIENT, DisconnectReason, nonce};
use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::publisher::{OpenRefusal, PublisherEvent};
use lockstep_core::engine::subscriber::{Delivery, Message, SubscriberEvent};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{DayMark, Nanos, PublisherId};
use soupbintcp::packet::PAYLOAD_LEN_MAX;
use soupbintcp::{RejectReason, begin_at};
use std::collections::BTreeSet;

/// Sent to clients whose messages the gateway may not publish.
const KEY_REFUSED: &str =
    "the gateway's key, or a rule for recipients, does not allow your messages: they wait; tell its operator";
const NO_ROOM: &str =
    "the cluster's table of publishers is full (stream.publishers_max): no new name can log in";

/// Sent to a client whose message the gateway took too long to publish.
const DISCARDED: &str =
    "a long message of yours was not completed in time and is not delivered: log in again, and send it again";
/// Sent to clients of a gateway that began to read within a message of their day.
const LACKING: &str = "a message of this day began before the first entry that this gateway could read: it \
     counts again with the next day";

/// The reason of a reject when the gateway's key does not allow the client's name.
const NOT_ALLOWED: &str =
    "the gateway's key does not allow this client's name: `lockstep keys allow` changes what it allows";

impl<B: Backlog> Gateway<B> {
    /// Handles an event of the publisher's handle.
    pub fn on_publisher(&mut self, now: Nanos, stream: &mut impl GatewayStream, event: &PublisherEvent) {
        let (ticket, publisher) = match *event {
            PublisherEvent::Opened { ticket, publisher, .. } => (ticket, publisher),
            PublisherEvent::Refused { ticket, reason } => return self.on_refused(now, ticket, reason),
            PublisherEvent::NotAllowed { publisher, .. } => return self.on_not_allowed(now, publisher),
            PublisherEvent::Discarded { publisher, .. } => return self.on_discarded(now, publisher),
            _ => return,
        };
        let Some(PendingOpen { nonce, whom, .. }) = self.opens.remove(&ticket) else { return };
        // The reader may not have reached this open yet. But from here on the handle would send an earlier
        // login's messages under the later open, behind numbers that the client does not know.
        if let Some(&earlier) = self.by_publisher.get(&publisher) {
            self.supersede(now, earlier);
            self.forget(earlier);
        }
        self.fence_earlier(now, publisher, nonce);
        match whom {
            OpenFor::Own => self.own.id = Some(publisher),
            OpenFor::Login(index, number) => {
                let conn = self.conns.get_mut(index).and_then(Option::as_mut);
                let waits =
                    conn.filter(|(known, _)| *known == number).and_then(|(_, conn)| match &mut conn.phase {
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
                self.counts.reaped += 1;
                let reason = DisconnectReason::GatewayLost;
                self.leave_unseen(now, publisher, nonce, reason, cancels);
            }
        }
    }

    /// The leader does not stamp a client's message: the gateway's key does not allow the name or the
    /// destination, or the destination is a name with a rule that does not list the client. The message waits
    /// until it is allowed.
    fn on_not_allowed(&mut self, now: Nanos, publisher: PublisherId) {
        self.counts.not_allowed += 1;
        let Some(&index) = self.by_publisher.get(&publisher) else { return };
        let Some(conn) = self.conn(index).filter(|conn| conn.reported != Some(KEY_REFUSED)) else { return };
        conn.reported = Some(KEY_REFUSED);
        conn.protocol.debug(now, KEY_REFUSED, &mut conn.out);
        self.tell(now, index, Audited::NotAllowed, KEY_REFUSED);
    }

    /// A client's message stands in the stream and no reader delivers it. Its connection ends with a reason,
    /// because the stream does not have what the client has sent.
    fn on_discarded(&mut self, now: Nanos, publisher: PublisherId) {
        if let Some(&index) = self.by_publisher.get(&publisher) {
            self.end(now, index, DisconnectReason::Broken, DISCARDED);
        }
    }

    /// The handle has reported that `publisher` is open under `nonce`, and sends everything under that open
    /// from now on. Earlier opens of the name by this gateway are over, although the reader may not have
    /// reached the later one. So a login that waits for its entry is refused, and a disconnect that is due is
    /// not stamped, because its close would end the later open.
    fn fence_earlier(&mut self, now: Nanos, publisher: PublisherId, nonce: [u64; 2]) {
        for earlier in &mut self.leaving {
            earlier.fenced |= earlier.publisher == publisher && earlier.nonce != nonce;
        }
        for index in 0..self.conns.len() {
            let phase = self.conns[index].as_ref().map(|(_, conn)| &conn.phase);
            let is_earlier = phase.is_some_and(|phase| {
                matches!(phase, Phase::Opening { publisher: Some(own), nonce: other, .. }
                    if *own == publisher && *other != nonce)
            });
            if is_earlier {
                self.reject(now, index, RejectReason::SessionNotAvailable, SUPERSEDED);
            }
        }
    }

    /// The cluster has no room for another name, or does not allow it: the login that waits for it is
    /// refused. The name of a client to disconnect exists already.
    fn on_refused(&mut self, now: Nanos, ticket: usize, reason: OpenRefusal) {
        let Some(PendingOpen { whom, .. }) = self.opens.remove(&ticket) else { return };
        if let OpenFor::Own = whom {
            let name = self.own.name.clone();
            self.failed.get_or_insert(match reason {
                OpenRefusal::TableFull { .. } => GatewayError::NoRoom(name),
                _ => GatewayError::NotAllowed(name),
            });
        }
        let OpenFor::Login(index, number) = whom else { return };
        let waits = self.conns.get(index).and_then(Option::as_ref).is_some_and(|(known, conn)| {
            *known == number && matches!(conn.phase, Phase::Opening { ticket: own, .. } if own == ticket)
        });
        if waits {
            let why = match reason {
                OpenRefusal::TableFull { .. } => NO_ROOM,
                _ => NOT_ALLOWED,
            };
            self.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
    }

    /// A client of ours was never accepted, because its connection or its login ended.
    fn leave_broken(&mut self, now: Nanos, publisher: PublisherId, nonce: [u64; 2]) {
        let client = self.clients.get(publisher);
        let cancels = client
            .and_then(|client| self.users.get(&client.user))
            .is_some_and(|user| user.cancel_on_disconnect);
        self.leave_unseen(now, publisher, nonce, DisconnectReason::Broken, cancels);
    }

    /// Closes the publisher of this open, once its entry is delivered.
    fn leave_unseen(
        &mut self,
        now: Nanos,
        publisher: PublisherId,
        nonce: [u64; 2],
        reason: DisconnectReason,
        cancels: bool,
    ) {
        if self.leaving.iter().all(|leaving| leaving.nonce != nonce) {
            let seen = self.clients.get(publisher).is_some_and(|client| client.nonce == nonce);
            let (fenced, closing) = (false, false);
            self.leaving.push(Leaving { publisher, nonce, seen, fenced, closing, due: now, reason, cancels });
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
                self.send_early(now, message);
                self.pending.push(event);
            }
            _ => self.pending.push(event),
        }
        while let Some(delivery) = self.pending.pop_final(self.final_next) {
            self.on_final(now, stream, &delivery.event());
            self.pending.give_back(delivery);
        }
    }

    /// A message is stamped: users of early messages receive it now, under the number that it will have if no
    /// takeover retracts it. It is not part of the client's sequence, and may be left out.
    fn send_early(&mut self, now: Nanos, message: &Message<'_>) {
        let Self { conns, subscribed: hearers, ledger, pending, counts, .. } = self;
        let is_final = message.seq < self.final_next;
        if is_final || message.payload.len() + 8 > PAYLOAD_LEN_MAX || !ledger.takes(message) {
            return;
        }
        for index in hearers.get(&message.destination).into_iter().flatten() {
            let Some((_, conn)) = conns.get_mut(*index).and_then(Option::as_mut) else { continue };
            // A client that has not received all earlier messages could not use it.
            let is_wanted = conn.user.as_ref().is_some_and(|user| user.early);
            if !is_wanted || conn.waiting() >= OUT_MAX || !ledger.is_at_end(&conn.place) {
                continue;
            }
            let waiting = conn.place.destinations().map(|destination| pending.count(destination));
            let Some(waiting) = waiting.sum::<Option<u64>>() else { continue };
            let number = ledger.number_behind(&conn.place) + waiting;
            let early = [&number.to_be_bytes()[..], message.payload].concat();
            let sent = conn.protocol.soup().map(|server| server.unsequenced(now, &early, &mut conn.out));
            if sent.is_some_and(|sent| sent.is_ok()) {
                counts.early += 1;
                self.ready.insert(*index);
            }
        }
    }

    /// Handles an event that no takeover takes back.
    fn on_final(&mut self, now: Nanos, stream: &mut impl GatewayStream, event: &SubscriberEvent<'_>) {
        self.clients.on_event(event);
        self.clocks.on_event(event);
        let buffered = match event {
            SubscriberEvent::GatewayHeartbeat { seq, timestamp, publisher, payload } => {
                self.lost.on_sign_of_life(self.own.id, &self.clients, *publisher);
                self.on_previous_incarnation(now, *publisher);
                self.on_fix_note(now, (*seq, *timestamp), *publisher, payload)
            }
            SubscriberEvent::Message(message) => match self.on_fix_message(now, message) {
                Ok(false) => self.store(now, message),
                stored => stored.map(|_| ()),
            },
            SubscriberEvent::Opened { publisher, nonce, last, .. } => {
                self.lost.on_sign_of_life(self.own.id, &self.clients, *publisher);
                self.lost.on_unread(self.own.id, &self.clients, *publisher);
                self.on_fix_opened(*publisher, *last);
                self.on_own_opened(*publisher, *nonce);
                self.on_opened(now, stream, *publisher, *nonce);
                Ok(())
            }
            SubscriberEvent::Closed { publisher, .. } => {
                self.on_own_closed(*publisher);
                Ok(())
            }
            SubscriberEvent::Day { mark, .. } => self.on_day(now, mark),
            SubscriberEvent::CaughtUp { .. } => {
                self.caught_up = true;
                Ok(())
            }
            SubscriberEvent::PartsDiscarded { bound: PartsBound::Beginning, .. } => {
                self.on_lacking(now);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = buffered {
            self.failed = Some(GatewayError::Backlog(error));
        }
    }

    /// Stores a message for the clients that receive its destination.
    pub(super) fn store(&mut self, now: Nanos, message: &Message<'_>) -> Result<(), BacklogError> {
        let was_full = self.ledger.is_full();
        let buffered = if message.payload.len() > PAYLOAD_LEN_MAX {
            self.counts.too_long += 1;
            Ok(false)
        } else {
            self.ledger.on_message(message)
        };
        if self.ledger.is_full() && !was_full {
            self.cut_full(now);
        }
        if let (Ok(true), Some(hearers)) = (&buffered, self.subscribed.get(&message.destination)) {
            self.ready.extend(hearers);
        }
        buffered.map(|_| ())
    }

    /// A message of the open day began before the first entry that was read. Its destination is unknown, so
    /// no next number is known. Clients wait for the next day, as after a late start.
    fn on_lacking(&mut self, now: Nanos) {
        if !self.ledger.on_lacking() {
            return;
        }
        for index in 0..self.conns.len() {
            match self.conns[index].as_ref().map(|(_, conn)| &conn.phase) {
                Some(Phase::Open { .. }) => self.end(now, index, DisconnectReason::Stopped, LACKING),
                Some(Phase::Checking(_) | Phase::Opening { .. }) => {
                    self.reject(now, index, RejectReason::SessionNotAvailable, LACKING);
                }
                _ => {}
            }
        }
    }

    fn on_day(&mut self, now: Nanos, mark: &DayMark<'_>) -> Result<(), BacklogError> {
        if mark.is_start {
            // A client that has not received all of the former day is disconnected: its messages are no
            // longer stored.
            let why = "another trading day has begun";
            for index in 0..self.conns.len() {
                let Some((_, conn)) = self.conns[index].as_ref() else { continue };
                // The client of an open under way is disconnected when the open arrives.
                match &conn.phase {
                    Phase::Open { .. } if planted(Mutation::DayNotTurned) => {}
                    Phase::Open { .. } => self.end(now, index, DisconnectReason::DayEnd, why),
                    // Its first number is one of the former day.
                    Phase::Opening { begins: Some(_), .. } => {
                        self.reject(now, index, RejectReason::SessionNotAvailable, why);
                    }
                    Phase::Checking(asked) | Phase::Opening { asked, .. } if !asked.fits(mark.name) => {
                        self.reject(now, index, RejectReason::SessionNotAvailable, OTHER_DAY);
                    }
                    _ => {}
                }
            }
        } else {
            for (index, conn) in self.conns.iter_mut().enumerate() {
                if let Some((_, conn)) = conn.as_mut().filter(|(_, conn)| conn.is_open()) {
                    conn.day_is_over = true;
                    self.ready.insert(index);
                }
            }
        }
        if mark.is_start {
            self.fix.values_mut().for_each(FixClient::on_day);
        }
        self.ledger.on_day(mark)
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
        self.drop_fenced(now, publisher, nonce);
        let waits = self.conns.iter().position(|conn| {
            conn.as_ref().is_some_and(
                |(_, conn)| matches!(&conn.phase, Phase::Opening { nonce: own, .. } if *own == nonce),
            )
        });
        if let Some(index) = waits {
            let user = self.conns[index].as_ref().and_then(|(_, conn)| conn.user.as_ref());
            let destinations = destinations(user, publisher, &self.clients, &self.ledger);
            let next = self.ledger.next_number(&destinations);
            let last = self.clients.get(publisher).map_or(0, |client| client.last_number);
            let last = if planted(Mutation::LoginForgetsLast) { 0 } else { last };
            let Some((_, conn)) = self.conns[index].as_mut() else { return };
            let Phase::Opening { asked, begins, .. } = &mut conn.phase else { return };
            match begin_at(asked.seq, 1, next) {
                Ok(number) => {
                    *begins = Some((self.ledger.place(&destinations, number), number, last));
                    self.try_accept(now, stream, index);
                }
                Err(reason) => {
                    let why = "no such number yet: ask for 0 to begin with what comes next";
                    self.reject(now, index, reason, why);
                    self.leave_broken(now, publisher, nonce);
                }
            }
        } else if let Some(&index) = self.by_publisher.get(&publisher) {
            let conn = self.conns.get(index).and_then(Option::as_ref);
            let is_own = conn.is_some_and(
                |(_, conn)| matches!(conn.phase, Phase::Open { nonce: own, .. } if own == nonce),
            );
            if !is_own {
                self.supersede(now, index);
                self.forget(index);
            }
        }
        let user = self.clients.get(publisher).map(|client| client.user.clone());
        let by_name: Vec<_> = self
            .by_publisher
            .iter()
            .filter(|(_, index)| {
                let conn = self.conns.get(**index).and_then(Option::as_ref);
                let hears = conn.and_then(|(_, conn)| conn.user.as_ref()).map(|user| &user.hear);
                hears.is_some_and(|hears| {
                    hears
                        .iter()
                        .any(|whom| matches!(whom, Recipient::Client(name) if Some(name) == user.as_ref()))
                })
            })
            .map(|(own, index)| (*index, *own))
            .collect();
        by_name.into_iter().for_each(|(index, own)| self.listen(index, own));
    }

    /// An open of ours whose entry was delivered before this one of the same name is fenced by it: the handle
    /// may never report it as open.
    fn drop_fenced(&mut self, now: Nanos, publisher: PublisherId, nonce: [u64; 2]) {
        for leaving in self.leaving.iter_mut().filter(|leaving| leaving.nonce == nonce) {
            leaving.seen = true;
        }
        let mut fenced = Vec::new();
        self.opens.retain(|_, open| {
            if open.nonce == nonce {
                open.delivered = Some(publisher);
            }
            let is_fenced = open.nonce != nonce && open.delivered == Some(publisher);
            fenced.extend(is_fenced.then_some(open.whom));
            !is_fenced
        });
        for whom in fenced {
            if let OpenFor::Login(index, number) = whom
                && let Some((known, conn)) = self.conns.get(index).and_then(Option::as_ref)
                && *known == number
                && matches!(conn.phase, Phase::Opening { .. })
            {
                self.reject(now, index, RejectReason::SessionNotAvailable, SUPERSEDED);
            }
        }
    }

    /// The day has outgrown the spool: from here on the numbers would not be the stream's.
    fn cut_full(&mut self, now: Nanos) {
        tracing::error!(
            "the day is larger than gateway.spool_size: clients are cut, logins wait for the next day"
        );
        for index in 0..self.conns.len() {
            if self.conns[index].as_ref().is_some_and(|(_, conn)| conn.is_open()) {
                self.counts.cut += 1;
                self.end(now, index, DisconnectReason::Stopped, FULL);
            }
        }
    }

    /// Disconnects clients of lost gateways. The remaining gateway with the least id goes first, and each
    /// other one a heartbeat interval later, in case those before it die as well.
    pub(super) fn reap(&mut self, now: Nanos, stream: &mut impl GatewayStream) {
        let Some(own) = self.own.id.filter(|_| self.caught_up) else { return };
        // One at a time; the others continue to wait.
        if self.opens.values().any(|open| matches!(open.whom, OpenFor::Reap { .. })) {
            return;
        }
        let (mut opening, mut opened) = (BTreeSet::new(), BTreeSet::new());
        for (_, conn) in self.conns.iter().flatten() {
            if let Phase::Opening { nonce, publisher, .. } = &conn.phase {
                opening.insert(*nonce);
                opened.extend(*publisher);
            }
        }
        let is_served = |publisher: PublisherId, nonce: &[u64; 2]| {
            self.by_publisher.contains_key(&publisher)
                || opened.contains(&publisher)
                || opening.contains(nonce)
                || self.leaving.iter().any(|leaving| leaving.publisher == publisher)
        };
        let due = self.lost.due(now, own, (&self.clients, &self.users), &self.limits, is_served);
        if let Some((user, cancels)) = due.filter(|_| !planted(Mutation::NeverReaps)) {
            let nonce = nonce(own, true, stream.draw());
            if let Some(ticket) = stream.open(&format!("{CLIENT}{user}"), nonce) {
                self.opens.insert(ticket, PendingOpen::new(nonce, OpenFor::Reap { cancels }));
            }
        }
    }
}
