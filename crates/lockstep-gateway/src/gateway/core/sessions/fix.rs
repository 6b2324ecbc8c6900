//! Clients that speak FIX: their sessions between sockets and stream.
//!
//! ```text
//!   bytes ─▶ FixSession ─▶ entries ─▶ stream ─▶ FixClient ─▶ records ─▶ ledger ─▶ bytes with their numbers
//! ```
//! A record is a message to the client without its number; the number is its position in the client's list of
//! the ledger. So a resend reads the list again, and nothing else is stored.

use super::Sessions;
use crate::fix::client::FixClient;
use crate::fix::note::RESET;
use crate::fix::orders::FixOrders;
use crate::fix::record::{FixEnds, FixRecord};
use crate::fix::session::{
    FixAccount, FixEnd, FixEvent, FixSession, FixSessionCounts, FixSurroundings, FixTarget,
};
use crate::gateway::conn::{Conn, Phase};
use crate::gateway::core::state::StreamState;
use crate::gateway::core::work::TurnReader;
use crate::gateway::core::{GatewayCounts, GatewayStream, OUT_MAX};
use crate::gateway::ledger::Ledger;
use crate::gateway::protocol::Protocol;
use lockstep_core::engine::clients::DisconnectReason;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::publisher::PublishError;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{GATEWAYS, Nanos, PublisherId};

/// Sent to a client whose message can never be published.
const UNPUBLISHED: &str = "its message is longer than the channel of its destination allows";
/// Sent behind the last message of a day.
const DAY_IS_OVER: &str = "the trading day has ended";

/// The result of publishing the queued entries of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gateway::core) enum Published {
    All,
    Waits,
    Over,
}

impl Sessions {
    /// Whether the next message must wait: for a logon that is being decided, for entries before it, or for
    /// its turn.
    pub fn is_blocked_fix<B: Backlog>(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        index: usize,
        state: &StreamState<B>,
    ) -> bool {
        let published = self.publish_fix(now, stream, index, state);
        let Some(conn) = self.conns.get_mut(index) else { return true };
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
    pub fn next_fix<B: Backlog>(
        &mut self,
        now: Nanos,
        index: usize,
        bytes: &[u8],
        state: &StreamState<B>,
    ) -> Option<(usize, Option<FixEvent>)> {
        let none = FixOrders::default();
        let conn = self.conns.get_mut(index)?;
        let has_destination = state.destination_of(conn).is_some();
        let client = match &conn.phase {
            Phase::Open { publisher, .. } => state.fix.get(publisher),
            _ => None,
        };
        let orders = client.map_or(&none, FixClient::orders);
        let around = FixSurroundings { clocks: state.clocks, orders, has_destination };
        let is_open = conn.is_open();
        let session = conn.protocol.fix()?;
        let taken = session.on_bytes(now, bytes, around);
        count(&mut self.counts, session);
        // The bytes contained no message after all.
        if is_open && taken.event.is_none() {
            conn.allowance.give_back();
        }
        Some((taken.len, taken.event))
    }

    /// A session has taken a message, which may be one that it answers.
    pub fn on_taken_fix(&mut self, index: usize, is_answered: bool) {
        self.counts.submitted += 1;
        self.conns.mark_ready(index);
        if let Some(conn) = self.conns.get_mut(index) {
            conn.answer_uncounted |= is_answered;
        }
    }

    /// Publishes the queued entries of a session, as far as the stream accepts them.
    pub fn publish_fix<B: Backlog>(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        index: usize,
        state: &StreamState<B>,
    ) -> Published {
        let Some(conn) = self.conns.get_mut(index) else { return Published::Over };
        let destination = state.destination_of(conn);
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
                    self.drop_superseded(now, index);
                    return Published::Over;
                }
            }
        }
        Published::All
    }

    /// Both halves of a login are complete.
    pub fn accept_fix<B: Backlog>(&mut self, now: Nanos, index: usize, state: &mut StreamState<B>) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let Phase::Opening { nonce, publisher: Some(publisher), begins: Some(begins), .. } = &conn.phase
        else {
            return;
        };
        let (nonce, publisher, place) = (*nonce, *publisher, begins.0.clone());
        let mut refusal = None;
        (conn.place, conn.phase, conn.stalled_at) = (place, Phase::Open { publisher, nonce }, now);
        let client = state.fix.entry(publisher).or_default();
        if let Protocol::Fix(session) = &mut conn.protocol {
            let rate = conn.user.as_ref().map_or(1, |user| user.rate);
            refusal = session.accept(now, FixAccount { client, clocks: state.clocks, rate });
            count(&mut self.counts, session);
        }
        self.on_accepted(now, index, publisher, refusal.as_deref(), state);
    }

    /// The answer to a logon is the day's `count`th message to its client, and has this number.
    pub fn begin_fix<B: Backlog>(
        &mut self,
        publisher: PublisherId,
        (count, number): (u64, u64),
        ledger: &Ledger<B>,
    ) {
        let Some(index) = self.index_of(publisher) else { return };
        // Nothing is stored while no day is open.
        if ledger.next_number(&[publisher]) <= count {
            return;
        }
        if let Some(conn) = self.conns.get_mut(index)
            && let Protocol::Fix(session) = &mut conn.protocol
            && session.next_out().is_none()
        {
            session.begin(if planted(Mutation::FixCountsHere) { 1 } else { number });
            conn.place = ledger.place(&[publisher], count);
            self.conns.mark_ready(index);
        }
    }

    /// As [`Sessions::fill`], for an open session of FIX.
    pub(super) fn fill_fix<B: Backlog>(
        &mut self,
        now: Nanos,
        index: usize,
        state: &StreamState<B>,
        reader: &mut TurnReader,
    ) -> Result<(), BacklogError> {
        let StreamState { ledger, fix, clocks, .. } = state;
        let Some(conn) = self.conns.get_mut(index) else { return Ok(()) };
        let Phase::Open { publisher, .. } = conn.phase else { return Ok(()) };
        let Some(client) = fix.get(&publisher) else { return Ok(()) };
        let sending = FixSending { client, ledger, time: clocks.stream, publisher };
        let sent = sending.fill(now, conn, reader, &mut self.counts.fix_resent);
        let is_full = conn.waiting() >= OUT_MAX;
        let is_behind = is_full || conn.protocol.fix().is_some_and(|session| session.resend().is_some());
        let reason = conn.protocol.fix().and_then(|session| session.leaving());
        let day_is_over = conn.day_is_over && !is_behind && ledger.is_at_end(&conn.place);
        if !is_full && reader.is_spent() {
            self.conns.mark_ready(index);
        }
        let (count, ends) = sent?;
        self.counts.sent += count;
        if ends {
            self.finish_fix(now, index, reason.unwrap_or(DisconnectReason::Logout));
        } else if day_is_over {
            self.end_fix_day(now, index, clocks.stream);
        }
        Ok(())
    }

    /// Behind the last message of a day: no entry is stamped for this Logout, because the numbers end with
    /// the day.
    fn end_fix_day(&mut self, now: Nanos, index: usize, timestamp: Nanos) {
        if let Some(conn) = self.conns.get_mut(index)
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
        let Some(conn) = self.conns.get_mut(index).filter(|conn| asks && conn.is_open()) else {
            return false;
        };
        let Some(session) = conn.protocol.fix().filter(|session| session.next_out().is_some()) else {
            return false;
        };
        session.leaving().is_some() || session.part(now, reason, why)
    }

    /// Ends a connection without a Logout, or behind it.
    fn finish_fix(&mut self, now: Nanos, index: usize, reason: DisconnectReason) {
        let session = self.conns.get_mut(index).and_then(|conn| conn.protocol.fix());
        let why = session.map(|session| session.last_words().to_owned()).unwrap_or_default();
        self.leave(now, index, reason, &why);
        if let Some(conn) = self.conns.get_mut(index).filter(|conn| !conn.is_over()) {
            conn.phase = Phase::Over { since: now };
        }
    }

    /// Does what is due in a session of FIX. Returns whether its inbox should be taken again.
    pub fn turn_fix<B: Backlog>(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        (index, is_slow): (usize, bool),
        state: &StreamState<B>,
    ) -> bool {
        let Some(conn) = self.conns.get_mut(index) else { return false };
        let (blocked, takes_nothing) = (conn.blocked, conn.takes_nothing);
        let Some(session) = conn.protocol.fix() else { return false };
        if blocked {
            session.on_unread(now);
        }
        let ended = session.on_timer(now);
        count(&mut self.counts, session);
        if takes_nothing {
            conn.drop_output();
        }
        match ended {
            Some(FixEnd::LoginLate) => self.end(now, index, DisconnectReason::Broken, "no Logon in time"),
            Some(FixEnd::Silent) => self.end(now, index, DisconnectReason::Silent, "it was silent"),
            Some(FixEnd::Parted(reason)) => self.finish_fix(now, index, reason),
            None if is_slow => {
                self.cut(now, index, DisconnectReason::Slow, "it does not read what is sent to it");
            }
            None => return self.publish_fix(now, stream, index, state) == Published::All && blocked,
        }
        false
    }
}

/// Adds what happened in a session.
fn count(counts: &mut GatewayCounts, session: &mut FixSession) {
    let FixSessionCounts { garbled, asked, abandoned } = session.take_counts();
    counts.fix_garbled += garbled;
    counts.fix_asked += asked;
    counts.fix_gaps_abandoned += abandoned;
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
        reader: &mut TurnReader,
        resent: &mut u64,
    ) -> Result<(u64, bool), BacklogError> {
        let mut sent = 0;
        let Protocol::Fix(session) = &mut conn.protocol else { return Ok((0, false)) };
        let Some(ends) = session.ends().cloned() else { return Ok((0, false)) };
        while conn.out.len() - conn.sent < OUT_MAX && !reader.is_spent() {
            if session.resend().is_some() {
                *resent += self.resend(session, &ends, reader, &mut conn.out, conn.sent)?;
                if session.resend().is_some_and(|resend| resend.next > resend.to && resend.gap.is_none()) {
                    session.on_resent(now);
                }
                continue;
            }
            if session.next_out().is_none() {
                break;
            }
            let Some(message) = reader.next(self.ledger, &mut conn.place)? else { break };
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
        reader: &mut TurnReader,
        out: &mut Vec<u8>,
        sent_len: usize,
    ) -> Result<u64, BacklogError> {
        let Some(resend) = session.resend() else { return Ok(0) };
        let mut resent = 0;
        let mut place = self.ledger.place(&[self.publisher], self.client.count_of(resend.next));
        while resend.next <= resend.to && out.len() - sent_len < OUT_MAX && !reader.is_spent() {
            let Some(message) = reader.next(self.ledger, &mut place)? else {
                // No sent message is ever missing, so this ends no resend too early.
                resend.to = resend.next - 1;
                break;
            };
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
