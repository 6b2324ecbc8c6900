//! What the stream and the publisher's handle show, as the sessions see it.

use super::Sessions;
use crate::gateway::audit::Audited;
use crate::gateway::conn::Phase;
use crate::gateway::core::opens::OpenFor;
use crate::gateway::core::state::StreamState;
use crate::gateway::core::{FULL, OTHER_DAY, OUT_MAX, SUPERSEDED};
use crate::gateway::ledger::Ledger;
use crate::gateway::pending::Pending;
use crate::gateway::users::Recipient;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::subscriber::Message;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{DayMark, Nanos, PublisherId};
use soupbintcp::RejectReason;
use soupbintcp::packet::PAYLOAD_LEN_MAX;

/// Sent to clients whose messages the gateway may not publish.
const KEY_REFUSED: &str =
    "the gateway's key, or a rule for recipients, does not allow your messages: they wait; tell its operator";
/// Sent to a client whose message the gateway took too long to publish.
const DISCARDED: &str =
    "a long message of yours was not completed in time and is not delivered: log in again, and send it again";
/// Sent to clients of a gateway that began to read within a message of their day.
const LACKING: &str = "a message of this day began before the first entry that this gateway could read: it \
     counts again with the next day";

impl Sessions {
    /// The leader does not stamp a client's message: the gateway's key does not allow the name or the
    /// destination, or the destination is a name with a rule that does not list the client. The message waits
    /// until it is allowed.
    pub fn on_not_allowed(&mut self, now: Nanos, publisher: PublisherId) {
        self.counts.not_allowed += 1;
        let Some(index) = self.index_of(publisher) else { return };
        let conn = self.conns.get_mut(index).filter(|conn| conn.reported != Some(KEY_REFUSED));
        let Some(conn) = conn else { return };
        conn.reported = Some(KEY_REFUSED);
        conn.protocol.debug(now, KEY_REFUSED, &mut conn.out);
        self.audit(now, index, Audited::NotAllowed, KEY_REFUSED);
    }

    /// A client's message stands in the stream and no reader delivers it. Its connection ends with a reason,
    /// because the stream does not have what the client has sent.
    pub fn on_discarded(&mut self, now: Nanos, publisher: PublisherId) {
        if let Some(index) = self.index_of(publisher) {
            self.end(now, index, DisconnectReason::Broken, DISCARDED);
        }
    }

    /// The handle has reported that `publisher` is open under `nonce`, and sends everything under that open
    /// from now on. Earlier opens of the name by this gateway are over, although the reader may not have
    /// reached the later one.
    ///
    /// An earlier login's messages would be sent under the later open, behind numbers that the client does
    /// not know: so it is replaced. A login that waits for its entry is refused, and a disconnect that is due
    /// is not stamped, because its close would end the later open.
    pub fn fence_earlier(&mut self, now: Nanos, publisher: PublisherId, nonce: [u64; 2]) {
        if let Some(earlier) = self.index_of(publisher) {
            self.drop_superseded(now, earlier);
        }
        self.departures.fence_earlier(publisher, nonce);
        for index in self.conns.indexes() {
            let is_earlier = self.conns.get(index).is_some_and(|conn| {
                matches!(conn.phase, Phase::Opening { publisher: Some(own), nonce: other, .. }
                    if own == publisher && other != nonce)
            });
            if is_earlier {
                self.reject(now, index, RejectReason::SessionNotAvailable, SUPERSEDED);
            }
        }
    }

    /// Refuses the logins of opens that can never be reported as open.
    pub fn reject_fenced(&mut self, now: Nanos, fenced: Vec<OpenFor>) {
        for whom in fenced {
            if let OpenFor::Login(index, number) = whom
                && let Some(conn) = self.conns.numbered((index, number))
                && matches!(conn.phase, Phase::Opening { .. })
            {
                self.reject(now, index, RejectReason::SessionNotAvailable, SUPERSEDED);
            }
        }
    }

    /// An open entry of `publisher` was delivered that no login here waits for: it takes the client away from
    /// a connection that has it under another open.
    pub fn on_opened_elsewhere(&mut self, now: Nanos, publisher: PublisherId, nonce: [u64; 2]) {
        let Some(index) = self.index_of(publisher) else { return };
        let is_own = self
            .conns
            .get(index)
            .is_some_and(|conn| matches!(conn.phase, Phase::Open { nonce: own, .. } if own == nonce));
        if !is_own {
            self.drop_superseded(now, index);
        }
    }

    /// A client was opened: the clients that subscribe to it by name receive its messages from now on.
    pub fn subscribe_by_name<B: Backlog>(&mut self, opened: PublisherId, state: &StreamState<B>) {
        let name = state.clients.get(opened).map(|client| &client.user);
        let names = |hear: &Recipient| matches!(hear, Recipient::Client(hear) if Some(hear) == name);
        let by_name = self.by_publisher.iter().filter(|(_, index)| {
            let user = self.conns.get(**index).and_then(|conn| conn.user.as_ref());
            user.is_some_and(|user| user.hear.iter().any(names))
        });
        let by_name: Vec<_> = by_name.map(|(own, index)| (*index, *own)).collect();
        by_name.into_iter().for_each(|(index, own)| self.subscribe(index, own, state));
    }

    /// A message is stamped and not final: users of early messages receive it now, under the number that it
    /// will have if no takeover retracts it. It is not part of the client's sequence, and may be left out.
    pub fn send_early<B: Backlog>(
        &mut self,
        now: Nanos,
        message: &Message<'_>,
        (ledger, pending): (&Ledger<B>, &Pending),
    ) {
        if message.payload.len() + 8 > PAYLOAD_LEN_MAX || !ledger.takes(message) {
            return;
        }
        for index in self.subscribed.get(&message.destination).into_iter().flatten() {
            let Some(conn) = self.conns.get_mut(*index) else { continue };
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
                self.counts.early += 1;
                self.conns.mark_ready(*index);
            }
        }
    }

    /// Stores a final message in the ledger, for the clients that receive its destination.
    pub fn store<B: Backlog>(
        &mut self,
        now: Nanos,
        ledger: &mut Ledger<B>,
        message: &Message<'_>,
    ) -> Result<(), BacklogError> {
        let was_full = ledger.is_full();
        let stored = if message.payload.len() > PAYLOAD_LEN_MAX {
            self.counts.too_long += 1;
            Ok(false)
        } else {
            ledger.on_message(message)
        };
        if ledger.is_full() && !was_full {
            self.cut_full(now);
        }
        if let (Ok(true), Some(receivers)) = (&stored, self.subscribed.get(&message.destination)) {
            receivers.iter().for_each(|index| self.conns.mark_ready(*index));
        }
        stored.map(|_| ())
    }

    /// The day has outgrown the spool: from here on the numbers would not be the stream's.
    fn cut_full(&mut self, now: Nanos) {
        tracing::error!(
            "the day is larger than gateway.spool_size: clients are cut, logins wait for the next day"
        );
        for index in self.conns.indexes() {
            if self.conns.get(index).is_some_and(|conn| conn.is_open()) {
                self.cut(now, index, DisconnectReason::Stopped, FULL);
            }
        }
    }

    /// A message of the open day began before the first entry that was read. Its destination is unknown, so
    /// no next number is known. Clients wait for the next day, as after a late start.
    pub fn on_lacking(&mut self, now: Nanos) {
        for index in self.conns.indexes() {
            match self.conns.get(index).map(|conn| &conn.phase) {
                Some(Phase::Open { .. }) => self.end(now, index, DisconnectReason::Stopped, LACKING),
                Some(Phase::Checking(_) | Phase::Opening { .. }) => {
                    self.reject(now, index, RejectReason::SessionNotAvailable, LACKING);
                }
                _ => {}
            }
        }
    }

    /// A trading day begins or ends.
    pub fn on_day(&mut self, now: Nanos, mark: &DayMark<'_>) {
        if !mark.is_start {
            return self.conns.mark_ready_where(|conn| {
                conn.day_is_over |= conn.is_open();
                conn.is_open()
            });
        }
        // A client that has not received all of the former day is disconnected: its messages are no longer
        // stored.
        let why = "another trading day has begun";
        for index in self.conns.indexes() {
            let Some(conn) = self.conns.get(index) else { continue };
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
    }

    /// A FIX client's entry was stamped, so its session need not wait for it.
    pub fn on_fix_delivered(&mut self, message: &Message<'_>) {
        if let Some(index) = self.index_of(message.publisher)
            && let Some(session) = self.conns.get_mut(index).and_then(|conn| conn.protocol.fix())
        {
            session.on_delivered(message.publisher_seq);
        }
    }
}
