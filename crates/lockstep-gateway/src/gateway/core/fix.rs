//! Clients that speak FIX: their sessions between sockets and stream.
//!
//! ```text
//!   bytes ─▶ FixSession ─▶ entries ─▶ stream ─▶ FixClient ─▶ records ─▶ ledger ─▶ bytes with their numbers
//! ```
//! A record is a message to the client without its number; the number is its position in the client's list of
//! the ledger. So a resend reads the list again, and nothing else is stored.

use super::login::CROWDED;
use super::work::TurnWork;
use super::{Gateway, GatewayCounts, GatewayError, GatewayStream, OUT_MAX};
use crate::fix::client::FixClient;
use crate::fix::note::{FixNote, RESET};
use crate::fix::orders::FixOrders;
use crate::fix::record::{FixEnds, FixRecord};
use crate::fix::session::{
    FixAccount, FixEnd, FixEvent, FixLogon, FixSession, FixSessionCounts, FixSessionLimits, FixSurroundings,
    FixTarget,
};
use crate::gateway::conn::{Conn, LoginAttempt, Phase};
use crate::gateway::ledger::Ledger;
use crate::gateway::protocol::Protocol;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::publisher::PublishError;
use lockstep_core::engine::subscriber::Message;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{GATEWAYS, Nanos, PublisherId, PublisherSeq, Seq};
use soupbintcp::{RejectReason, Session};
use std::net::SocketAddr;

/// Sent to a client whose message can never be published.
const UNPUBLISHED: &str = "its message is longer than the channel of its destination allows";
/// Sent behind the last message of a day.
const DAY_IS_OVER: &str = "the trading day has ended";
/// For the log: in this state the gateway does not know the numbers of the session.
const READS: &str = "the gateway still reads the stream";
/// Longest user name of a logon that is checked.
const USER_LEN_MAX: usize = 64;

/// The result of publishing entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Published {
    All,
    Waits,
    Over,
}

impl<B: Backlog> Gateway<B> {
    /// A FIX client has connected, to the gateway with this CompID: as [`Gateway::accept`].
    pub fn accept_fix(&mut self, now: Nanos, peer: SocketAddr, comp_id: &str) -> Option<(usize, u64)> {
        let limits = FixSessionLimits { login_ns: self.limits.soup.login_ns, ..self.limits.fix };
        let session = FixSession::new(now, limits, comp_id);
        self.accept_conn(now, peer, Protocol::Fix(Box::new(session)))
    }

    /// Takes the bytes in a connection's inbox.
    pub(super) fn take_fix(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Some(conn) = self.conn(index) else { return };
        let mut inbox = std::mem::take(&mut conn.inbox);
        conn.blocked = false;
        let mut at = 0;
        while at < inbox.len() && !self.is_blocked_fix(now, stream, index) {
            let Some((len, event)) = self.next_fix(now, index, &inbox[at..]) else { break };
            at += len;
            match event {
                None => break,
                Some(FixEvent::Logon(logon)) => self.on_fix_logon(now, index, *logon),
                Some(FixEvent::Taken { is_answered }) => {
                    self.counts.submitted += 1;
                    self.ready.insert(index);
                    if let Some(conn) = self.conn(index) {
                        conn.answer_uncounted |= is_answered;
                    }
                }
                Some(FixEvent::Cut(why)) => self.end(now, index, DisconnectReason::Fault, &why),
            }
        }
        self.publish_fix(now, stream, index);
        if let Some(conn) = self.conn(index) {
            inbox.drain(..at.min(inbox.len()));
            conn.inbox = inbox;
        }
    }

    /// Whether the next message must wait: for a logon that is being decided, for entries before it, or for
    /// its turn.
    fn is_blocked_fix(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) -> bool {
        let published = self.publish_fix(now, stream, index);
        let Some(conn) = self.conn(index) else { return true };
        if conn.is_over() || published == Published::Over {
            return true;
        }
        let Some(session) = conn.protocol.fix() else { return true };
        let is_open = session.is_open() && session.leaving().is_none();
        let waits = session.is_pending() || published == Published::Waits;
        let waits = waits || is_open && !(conn.may_be_answered(now) && conn.takes_credit(now));
        if waits {
            conn.blocked = true;
            self.counts.blocked += 1;
        }
        waits
    }

    /// The next message of these bytes.
    fn next_fix(&mut self, now: Nanos, index: usize, bytes: &[u8]) -> Option<(usize, Option<FixEvent>)> {
        let none = FixOrders::default();
        let destination = self.destination_of(index);
        let Self { conns, fix, clocks, counts, .. } = self;
        let (_, conn) = conns.get_mut(index).and_then(Option::as_mut)?;
        let client = match &conn.phase {
            Phase::Open { publisher, .. } => fix.get(publisher),
            _ => None,
        };
        let orders = client.map_or(&none, FixClient::orders);
        let around = FixSurroundings { clocks: *clocks, orders, has_destination: destination.is_some() };
        let is_open = conn.is_open();
        let session = conn.protocol.fix()?;
        let taken = session.on_bytes(now, bytes, around);
        count(counts, session);
        // The bytes contained no message after all.
        if is_open && taken.event.is_none() {
            conn.allowance.give_back();
        }
        Some((taken.len, taken.event))
    }

    fn on_fix_logon(&mut self, now: Nanos, index: usize, logon: FixLogon) {
        if !self.is_ready() {
            if let Some(conn) = self.conn(index) {
                conn.phase = Phase::Deferred { logon: Box::new(logon), since: now };
            }
            return;
        }
        let user: String = logon.user.chars().take(USER_LEN_MAX).collect();
        self.begin_login(now, index, LoginAttempt { user, session: Session::BLANK, seq: 0 }, &logon.password);
    }

    /// Publishes the queued entries of a session, as far as the stream accepts them.
    fn publish_fix(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) -> Published {
        let destination = self.destination_of(index);
        let Some((_, conn)) = self.conns.get_mut(index).and_then(Option::as_mut) else {
            return Published::Over;
        };
        let Phase::Open { publisher, .. } = conn.phase else { return Published::All };
        let Protocol::Fix(session) = &mut conn.protocol else { return Published::All };
        while let Some(entry) = session.next_entry() {
            let to = match entry.target {
                FixTarget::Gateways => GATEWAYS,
                // It had a destination when the message was taken, and no client's id is ever lost.
                FixTarget::Application => destination.unwrap_or(GATEWAYS),
            };
            match stream.publish(publisher, to, &entry.payload) {
                Ok(_) => session.on_published(),
                Err(PublishError::Backpressure) => return Published::Waits,
                Err(PublishError::TooLong { .. } | PublishError::TooLongFor { .. }) => {
                    self.counts.refused += 1;
                    if session.leaving().is_none() {
                        session.part(now, DisconnectReason::Fault, UNPUBLISHED);
                    }
                    self.finish_fix(now, index, DisconnectReason::Fault);
                    return Published::Over;
                }
                // Fenced, closed or not open: the stream reports that too, later.
                Err(_) => {
                    self.supersede(now, index);
                    self.forget(index);
                    return Published::Over;
                }
            }
        }
        Published::All
    }

    /// Both halves of a login are complete.
    pub(super) fn accept_fix_login(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Self { conns, fix, clocks, .. } = self;
        let Some((_, conn)) = conns.get_mut(index).and_then(Option::as_mut) else { return };
        let Phase::Opening { nonce, publisher: Some(publisher), begins: Some(begins), .. } = &conn.phase
        else {
            return;
        };
        let (nonce, publisher, place) = (*nonce, *publisher, begins.0.clone());
        let mut refusal = None;
        (conn.place, conn.phase, conn.stalled_at) = (place, Phase::Open { publisher, nonce }, now);
        let client = fix.entry(publisher).or_default();
        if let Protocol::Fix(session) = &mut conn.protocol {
            let rate = conn.user.as_ref().map_or(1, |user| user.rate);
            refusal = session.accept(now, FixAccount { client, clocks: *clocks, rate });
            count(&mut self.counts, session);
        }
        self.on_accepted(now, index, publisher, refusal.as_deref());
        self.publish_fix(now, stream, index);
        self.take_fix(now, stream, index);
    }

    /// Handles an open entry of a client: its state begins with the first one.
    pub(super) fn on_fix_opened(&mut self, publisher: PublisherId, last: PublisherSeq) {
        let Some(client) = self.clients.get(publisher) else { return };
        let is_listed = self.users.get(&client.user).is_some_and(|user| user.fix);
        let stored = self.ledger.next_number(&[publisher]) - 1;
        let client = self.fix.entry(publisher).or_insert_with(|| FixClient::opened_behind(stored));
        client.set_listed(is_listed);
        client.on_opened(last);
    }

    /// The users' file was read again.
    pub(super) fn list_fix_users(&mut self) {
        for (publisher, fix) in &mut self.fix {
            let user = self.clients.get(*publisher).and_then(|client| self.users.get(&client.user));
            fix.set_listed(user.is_some_and(|user| user.fix));
        }
    }

    /// Handles a message from or to a FIX client, or between two. Returns whether it is stored already.
    pub(super) fn on_fix_message(&mut self, now: Nanos, message: &Message<'_>) -> Result<bool, BacklogError> {
        if let Some(client) = self.fix.get_mut(&message.publisher).filter(|client| client.is_fix()) {
            let mut records = Vec::new();
            client.on_own(message, &mut |record| records.push(encoded(&record)));
            self.store_records(now, message, message.publisher, &records)?;
            if let Some(&index) = self.by_publisher.get(&message.publisher)
                && let Some(session) = self.conn(index).and_then(|conn| conn.protocol.fix())
            {
                session.on_delivered(message.publisher_seq);
            }
        }
        let client = self.fix.get_mut(&message.destination).filter(|client| client.is_fix());
        let Some(client) = client else { return Ok(false) };
        let mut records = Vec::new();
        if !client.on_application(message, &mut |record| records.push(encoded(&record))) {
            self.counts.fix_untranslated += 1;
        }
        self.store_records(now, message, message.destination, &records)?;
        Ok(true)
    }

    /// Handles a note between gateways.
    pub(super) fn on_fix_note(
        &mut self,
        now: Nanos,
        (seq, timestamp): (Seq, Nanos),
        publisher: PublisherId,
        payload: &[u8],
    ) -> Result<(), BacklogError> {
        let Some(note) = FixNote::decode(payload) else { return Ok(()) };
        let Some(client) = self.fix.get_mut(&publisher) else { return Ok(()) };
        let next = self.ledger.next_number(&[publisher]);
        let mut records = Vec::new();
        let begins =
            client.on_note((seq, timestamp), &note, next - 1, &mut |record| records.push(encoded(&record)));
        let number = client.number_of(next);
        let message =
            Message { seq, publisher, publisher_seq: 0, destination: publisher, timestamp, payload };
        self.store_records(now, &message, publisher, &records)?;
        if begins {
            self.begin_fix(publisher, next, number);
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
        records
            .iter()
            .try_for_each(|record| self.store(now, &Message { destination, payload: record, ..*of }))
    }

    /// The answer to a logon is the day's `count`th message to its client, and has this number.
    fn begin_fix(&mut self, publisher: PublisherId, count: u64, number: u64) {
        let Some(&index) = self.by_publisher.get(&publisher) else { return };
        // Nothing is stored while no day is open.
        if self.ledger.next_number(&[publisher]) <= count {
            return;
        }
        let place = self.ledger.place(&[publisher], count);
        if let Some(conn) = self.conn(index)
            && let Protocol::Fix(session) = &mut conn.protocol
            && session.next_out().is_none()
        {
            session.begin(if planted(Mutation::FixCountsHere) { 1 } else { number });
            conn.place = place;
            self.ready.insert(index);
        }
    }

    /// Moves messages from the ledger into a connection's output, as many as fit.
    pub(super) fn fill_fix(&mut self, now: Nanos, index: usize) {
        let Self { conns, ledger, message, counts, failed, fix, clocks, work, ready, .. } = self;
        let Some((_, conn)) = conns.get_mut(index).and_then(Option::as_mut) else { return };
        let Phase::Open { publisher, .. } = conn.phase else { return };
        if conn.takes_nothing {
            return;
        }
        if conn.waiting() == 0 {
            conn.stalled_at = now;
        }
        let Some(client) = fix.get(&publisher) else { return };
        let sending = FixSending { client, ledger, time: clocks.stream, publisher };
        let sent = sending.fill(now, conn, (message, work), &mut counts.fix_resent);
        let is_full = conn.waiting() >= OUT_MAX;
        let is_behind = is_full || conn.protocol.fix().is_some_and(|session| session.resend().is_some());
        let reason = conn.protocol.fix().and_then(|session| session.leaving());
        if !is_full && work.is_spent() {
            ready.insert(index);
        }
        match sent {
            Err(error) => *failed = Some(GatewayError::Backlog(error)),
            Ok((count, ends)) => {
                counts.sent += count;
                let day_is_over = conn.day_is_over && !is_behind && ledger.is_at_end(&conn.place);
                if ends {
                    self.finish_fix(now, index, reason.unwrap_or(DisconnectReason::Logout));
                } else if day_is_over {
                    self.end_fix_day(now, index);
                }
            }
        }
    }

    /// Behind the last message of a day: no entry is stamped for this Logout, because the numbers end with
    /// the day.
    fn end_fix_day(&mut self, now: Nanos, index: usize) {
        let timestamp = self.clocks.stream;
        if let Some(conn) = self.conn(index)
            && let Protocol::Fix(session) = &mut conn.protocol
            && let Some((number, ends)) = session.next_out().zip(session.ends())
        {
            let fields = format!("35=5\x0158={DAY_IS_OVER}\x01");
            let record = FixRecord { flags: 0, timestamp, fields: fields.as_bytes() };
            ends.write(&record, number, timestamp, &mut conn.out);
        }
        self.finish_fix(now, index, DisconnectReason::DayEnd);
    }

    /// The gateway wants to end a FIX session: a Logout is sent first. `true`: it is queued, and the
    /// connection ends behind it.
    pub(super) fn part_fix(&mut self, now: Nanos, index: usize, reason: DisconnectReason, why: &str) -> bool {
        let asks = matches!(reason, DisconnectReason::Disabled | DisconnectReason::Stopped);
        let Some(conn) = self.conn(index).filter(|conn| asks && conn.is_open()) else { return false };
        let Some(session) = conn.protocol.fix().filter(|session| session.next_out().is_some()) else {
            return false;
        };
        session.leaving().is_some() || session.part(now, reason, why)
    }

    /// Ends a connection without a Logout, or behind it.
    fn finish_fix(&mut self, now: Nanos, index: usize, reason: DisconnectReason) {
        let session = self.conn(index).and_then(|conn| conn.protocol.fix());
        let why = session.map(|session| session.last_words().to_owned()).unwrap_or_default();
        self.leave(now, index, reason, &why);
        if let Some(conn) = self.conn(index).filter(|conn| !conn.is_over()) {
            conn.phase = Phase::Over { since: now };
        }
    }

    /// A logon waits until the gateway can decide it, at most as long as a login may take.
    fn scan_deferred(&mut self, now: Nanos, index: usize) {
        let has_room = self.is_ready() && self.checking < self.limits.checks_max;
        let Some((_, conn)) = self.conns.get_mut(index).and_then(Option::as_mut) else { return };
        let Phase::Deferred { logon, since } = &mut conn.phase else { return };
        let is_late = now >= *since + self.limits.soup.login_ns;
        if has_room && self.checking_of.of(conn.peer.ip()) < self.limits.checks_per_address {
            let logon = logon.as_ref().clone();
            self.on_fix_logon(now, index, logon);
        } else if is_late {
            let why = if self.is_ready() { CROWDED } else { self.leader.or(READS) };
            self.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
    }

    pub(super) fn scan_fix(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        index: usize,
        is_slow: bool,
    ) {
        self.scan_deferred(now, index);
        let Self { conns, counts, .. } = self;
        let Some((_, conn)) = conns.get_mut(index).and_then(Option::as_mut) else { return };
        let (blocked, takes_nothing) = (conn.blocked, conn.takes_nothing);
        let Some(session) = conn.protocol.fix() else { return };
        if blocked {
            session.on_unread(now);
        }
        let ended = session.on_timer(now);
        count(counts, session);
        if takes_nothing {
            conn.drop_output();
        }
        match ended {
            Some(FixEnd::LoginLate) => self.end(now, index, DisconnectReason::Broken, "no Logon in time"),
            Some(FixEnd::Silent) => self.end(now, index, DisconnectReason::Silent, "it was silent"),
            Some(FixEnd::Parted(reason)) => self.finish_fix(now, index, reason),
            None if is_slow => {
                self.counts.cut += 1;
                self.end(now, index, DisconnectReason::Slow, "it does not read what is sent to it");
            }
            None => {
                let published = self.publish_fix(now, stream, index);
                if blocked && published == Published::All {
                    self.take_fix(now, stream, index);
                }
            }
        }
    }
}

/// Adds what happened in a session.
fn count(counts: &mut GatewayCounts, session: &mut FixSession) {
    let FixSessionCounts { garbled, asked, abandoned } = session.take_counts();
    counts.fix_garbled += garbled;
    counts.fix_asked += asked;
    counts.fix_gaps_abandoned += abandoned;
}

fn encoded(record: &FixRecord<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

/// The sources of a connection's output.
struct FixSending<'a, B> {
    client: &'a FixClient,
    ledger: &'a Ledger<B>,
    time: Nanos,
    publisher: PublisherId,
}

impl<B: Backlog> FixSending<'_, B> {
    /// Appends requested resends, then unsent messages, as many as fit. Returns how many were sent for the
    /// first time, and whether the last one was a Logout.
    fn fill(
        &self,
        now: Nanos,
        conn: &mut Conn,
        (message, work): (&mut Vec<u8>, &mut TurnWork),
        resent: &mut u64,
    ) -> Result<(u64, bool), BacklogError> {
        let mut sent = 0;
        let Protocol::Fix(session) = &mut conn.protocol else { return Ok((0, false)) };
        let Some(ends) = session.ends().cloned() else { return Ok((0, false)) };
        while conn.out.len() - conn.sent < OUT_MAX && !work.is_spent() {
            if session.resend().is_some() {
                *resent += self.resend(session, &ends, (message, work), &mut conn.out, conn.sent)?;
                if session.resend().is_some_and(|resend| resend.next > resend.to && resend.gap.is_none()) {
                    session.on_resent(now);
                }
                continue;
            }
            if session.next_out().is_none() || !self.ledger.next(&mut conn.place, message)? {
                break;
            }
            work.on_read(message.len());
            let Some(record) = FixRecord::decode(message) else { continue };
            if record.flags & RESET != 0 {
                session.restart();
            }
            let Some(number) = session.next_out() else { break };
            ends.write(&record, number, self.time, &mut conn.out);
            session.on_sent(now, &record);
            sent += 1;
            if record.is_logout() {
                return Ok((sent, true));
            }
        }
        Ok((sent, false))
    }

    /// One step of a resend: messages of the application, and gap fills for messages of the session.
    fn resend(
        &self,
        session: &mut FixSession,
        ends: &FixEnds,
        (message, work): (&mut Vec<u8>, &mut TurnWork),
        out: &mut Vec<u8>,
        sent_len: usize,
    ) -> Result<u64, BacklogError> {
        let Some(resend) = session.resend() else { return Ok(0) };
        let mut resent = 0;
        let mut place = self.ledger.place(&[self.publisher], self.client.count_of(resend.next));
        while resend.next <= resend.to && out.len() - sent_len < OUT_MAX && !work.is_spent() {
            if !self.ledger.next(&mut place, message)? {
                // No sent message is ever missing, so this ends no resend too early.
                resend.to = resend.next - 1;
                break;
            }
            work.on_read(message.len());
            let leaves_out =
                |record: &FixRecord<'_>| record.is_admin() || planted(Mutation::FixGapOverReport);
            let record = FixRecord::decode(message).filter(|record| !leaves_out(record));
            match (record, resend.gap) {
                (None, _) => {
                    resend.gap.get_or_insert(resend.next);
                }
                (Some(record), gap) => {
                    if let Some(gap) = gap {
                        ends.write_gap_fill(gap, resend.next, self.time, out);
                        resend.gap = None;
                    }
                    ends.write_again(&record, resend.next, self.time, out);
                    resent += 1;
                }
            }
            resend.next += 1;
        }
        if resend.next > resend.to
            && let Some(gap) = resend.gap.take()
        {
            ends.write_gap_fill(gap, resend.next, self.time, out);
        }
        Ok(resent)
    }
}
