//! A client behind gateways: it knows nothing of lockstep, counts its own numbers, and goes to another
//! gateway when its connection ends.
//!
//! The messages that it receives are compared with the books. It stores the messages that it sent itself: a
//! gateway reports only how many of them the stream has, and that is judged too.

use super::books::EdgeModel;
use super::copy::MachineUnderTest;
use super::users;
use crate::check::{Violation, digest};
use crate::rng::Rng;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, PublisherId};
use soupbintcp::{
    Client, ClientEnd, ClientEvent, ClientLimits, ClientState, LoginRequest, RejectReason, Timeout,
};
use soupbintcp::{Field, Text};
use std::collections::BTreeMap;

/// The time between two tries to connect.
const AGAIN_NS: Nanos = 1_000_000;
/// A connection that brings no message for so long is closed: its gateway may receive no stream.
const PATIENCE_NS: Nanos = 30_000_000;
/// The messages that it sends at once.
const SENT_AT_ONCE: usize = 4;

/// The timers of a client, at the speed of the world.
pub(super) const LIMITS: ClientLimits =
    ClientLimits { answer_ns: 40_000_000, silence_ns: 12_000_000, heartbeat_ns: 2_000_000 };

/// The outcome of a login or a message, for the coverage counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TraderEvent {
    Accepted,
    Refused,
    Message,
    Early,
    SessionEnded,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trader {
    pub(super) user: usize,
    /// Its connection, by number.
    pub(super) link: Option<u64>,
    client: Option<Client>,
    inbox: Vec<u8>,
    /// The last session that it was in, and its next number there, as it counts.
    session: String,
    next: u64,
    asked: (String, u64),
    /// The gateway that it tries next, and the time.
    pub(super) gateway: usize,
    pub(super) retry_at: Nanos,
    /// Its messages, sent or to be sent, by session: for one that numbers its messages.
    made: BTreeMap<String, Vec<Vec<u8>>>,
    /// The number of its next message on this connection, once it knows how many the stream has.
    payload: Option<u64>,
    /// For one that does not: the number of messages sent, and those of this connection.
    count: u64,
    sent_here: Vec<u64>,
    pub(super) left: u64,
    every_ns: Nanos,
    order_at: Nanos,
    pub(super) deaf_until: Nanos,
    /// It is to log out, and to return then.
    pub(super) leaves_until: Option<Nanos>,
    /// The time at which it last received or sent a message.
    moved_at: Nanos,
}

fn field<const N: usize>(text: &str) -> Result<Field<N>, Violation> {
    Field::new(text.as_bytes()).map_err(|error| format!("EDGE: {text}: {error}"))
}

impl Trader {
    pub(super) fn new(user: usize, orders: u64, every_ns: Nanos) -> Self {
        Self {
            user,
            link: None,
            client: None,
            inbox: Vec::new(),
            session: String::new(),
            next: 1,
            asked: (String::new(), 1),
            gateway: user,
            retry_at: 0,
            made: BTreeMap::new(),
            payload: None,
            count: 0,
            sent_here: Vec::new(),
            left: orders,
            every_ns,
            order_at: 0,
            deaf_until: 0,
            leaves_until: None,
            moved_at: 0,
        }
    }

    /// It has connected by this link: returns the login to be sent.
    pub(super) fn log_in(&mut self, now: Nanos, link: u64, rng: &mut Rng) -> Result<Vec<u8>, Violation> {
        // Mostly it continues; now and then it has lost its place, and requests all of its day, or the next
        // messages only.
        self.asked = match rng.below(16) {
            0 => (String::new(), 1),
            1 => (self.session.clone(), 1),
            2 => (String::new(), 0),
            _ => (self.session.clone(), self.next + u64::from(planted(Mutation::ResumesTooLate))),
        };
        let (session, seq) = &self.asked;
        let request = LoginRequest {
            username: field(users::name(self.user))?,
            password: field("secret")?,
            session: field(session)?,
            seq: *seq,
            timeout: Timeout::Absent,
        };
        let (mut client, mut out) = (Client::new(now, request, LIMITS), Vec::new());
        client.login(now, &mut out).map_err(|error| format!("EDGE: {error}"))?;
        (self.client, self.link, self.payload) = (Some(client), Some(link), None);
        self.inbox.clear();
        self.sent_here.clear();
        self.moved_at = now;
        Ok(out)
    }

    /// Its connection is gone.
    pub(super) fn disconnect(&mut self, now: Nanos, gateways: usize) {
        (self.client, self.link, self.payload) = (None, None, None);
        self.gateway = (self.gateway + 1) % gateways.max(1);
        self.retry_at = self.retry_at.max(now + AGAIN_NS);
    }

    /// Whether it may read now.
    pub(super) fn reads(&self, now: Nanos) -> bool {
        now >= self.deaf_until
    }

    /// Bytes arrived. `own` is the id of the gateway that it is connected to, as the model has it.
    pub(super) fn on_bytes(
        &mut self,
        now: Nanos,
        bytes: &[u8],
        books: &EdgeModel,
        own: Option<PublisherId>,
        rng: &mut Rng,
        mut notify: impl FnMut(TraderEvent),
    ) -> Result<(), Violation> {
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(client) = &mut self.client {
            let taken = client.on_bytes(now, &inbox[used..]);
            let is_last = taken.event.is_none();
            used += taken.len;
            let event = match taken.event {
                None => None,
                Some(ClientEvent::Accepted { session, next_seq, .. }) => {
                    Some(self.on_accepted(now, session.as_bytes(), next_seq, books)?)
                }
                Some(ClientEvent::Message { seq, bytes }) => Some(self.on_message(now, seq, bytes, books)?),
                Some(ClientEvent::Unsequenced(bytes)) if self.payload.is_none() => {
                    let last = self.confirmed(bytes, books, own)?;
                    // Now and then some of it again.
                    self.payload = Some(last.saturating_sub(rng.below(3)) + 1);
                    None
                }
                Some(ClientEvent::Unsequenced(bytes)) => Some(self.on_early(bytes)?),
                Some(ClientEvent::Debug(text)) => self.on_debug(&Text(text).to_string()).map(|()| None)?,
                Some(ClientEvent::Ended(end)) => self.on_end(&end, books)?,
            };
            event.map(&mut notify);
            if is_last {
                break;
            }
        }
        inbox.drain(..used);
        self.inbox = inbox;
        Ok(())
    }

    /// Messages that the model has for it in this day.
    fn delivered(&self, day: Option<usize>, books: &EdgeModel) -> u64 {
        day.map_or(0, |day| books.all_delivered(day, self.user).count() as u64)
    }

    fn on_accepted(
        &mut self,
        now: Nanos,
        session: &[u8],
        next_seq: u64,
        books: &EdgeModel,
    ) -> Result<TraderEvent, Violation> {
        let session = String::from_utf8_lossy(session).into_owned();
        let (wanted, seq) = &self.asked;
        let is_other = !wanted.is_empty() && *wanted != session || *seq != 0 && *seq != next_seq;
        if !wanted.is_empty() && *wanted == self.session && next_seq > self.next {
            let who = users::name(self.user);
            return Err(format!("EDGE: {who} counts {} in {session}, and resumes at {next_seq}", self.next));
        }
        let day = books.day_of(&session);
        let known = self.delivered(day, books) + 1;
        if is_other || day.is_none() || next_seq > known {
            return Err(format!(
                "EDGE: {} asks for {:?} and is accepted at {next_seq} of {session:?}, of which it has {known}",
                users::name(self.user),
                self.asked
            ));
        }
        (self.session, self.next, self.moved_at) = (session, next_seq, now);
        if !users::is_numbered(self.user) {
            self.payload = Some(0);
        }
        Ok(TraderEvent::Accepted)
    }

    fn on_message(
        &mut self,
        now: Nanos,
        seq: u64,
        bytes: &[u8],
        books: &EdgeModel,
    ) -> Result<TraderEvent, Violation> {
        let day = books.day_of(&self.session);
        let expected = day.and_then(|day| books.delivered(day, self.user, self.next));
        if seq != self.next || expected != Some(bytes) {
            return Err(format!(
                "EDGE: {} is sent {seq} of {}, it counts {}: {:?}, and the model has {:?}",
                users::name(self.user),
                self.session,
                self.next,
                shown(bytes),
                expected.map(shown)
            ));
        }
        (self.next, self.moved_at) = (self.next + 1, now);
        Ok(TraderEvent::Message)
    }

    /// The number of its messages that the stream has, as its gateway reports it.
    fn confirmed(&self, bytes: &[u8], books: &EdgeModel, own: Option<PublisherId>) -> Result<u64, Violation> {
        let last = bytes.try_into().map(u64::from_be_bytes).ok();
        let made = self.made.get(&self.session).map_or(0, Vec::len) as u64;
        let opens = books.opens.iter().filter(|open| open.user == self.user && Some(open.gateway) == own);
        let is_known = opens.map(|open| open.published).any(|published| Some(published) == last);
        last.filter(|last| is_known && *last <= made).ok_or_else(|| {
            format!(
                "EDGE: the gateway of {} reports that the stream has {last:?} of the {made} that it sent in {}",
                users::name(self.user),
                self.session
            )
        })
    }

    fn on_early(&self, bytes: &[u8]) -> Result<TraderEvent, Violation> {
        let number = bytes.first_chunk().map(|number| u64::from_be_bytes(*number));
        match number {
            Some(number) if number >= self.next => Ok(TraderEvent::Early),
            _ => Err(format!(
                "EDGE: {} is sent {number:?} early and counts {}",
                users::name(self.user),
                self.next
            )),
        }
    }

    fn on_debug(&self, text: &str) -> Result<(), Violation> {
        if text.contains("no such number") && self.asked == (self.session.clone(), self.next) {
            let who = users::name(self.user);
            return Err(format!("EDGE: {who} counts {} in {}, and is sent: {text}", self.next, self.session));
        }
        Ok(())
    }

    fn on_end(&mut self, end: &ClientEnd, books: &EdgeModel) -> Result<Option<TraderEvent>, Violation> {
        let who = users::name(self.user);
        match end {
            ClientEnd::EndOfSession => {
                let day = books.day_of(&self.session);
                let all = self.delivered(day, books);
                let is_over = day.is_some_and(|day| books.days[day].is_over);
                if !is_over || self.next != all + 1 {
                    return Err(format!(
                        "EDGE: the session {} of {who} ends, it counts {} of {all}, over: {is_over}",
                        self.session, self.next
                    ));
                }
                (self.session, self.next) = (String::new(), 1);
                Ok(Some(TraderEvent::SessionEnded))
            }
            ClientEnd::Rejected(RejectReason::NotAuthorized) => Err(format!("EDGE: {who} is not let in")),
            ClientEnd::Rejected(_) => {
                // Its session may have ended; then the open one begins anew.
                if books.open_day().is_none_or(|day| books.days[day].name != self.session) {
                    (self.session, self.next) = (String::new(), 1);
                }
                Ok(Some(TraderEvent::Refused))
            }
            ClientEnd::Fault(fault) => Err(format!("EDGE: what {who} is sent is no SoupBinTCP: {fault}")),
            _ => Ok(None),
        }
    }

    /// The messages that it sends now.
    pub(super) fn say(
        &mut self,
        now: Nanos,
        machine: &dyn MachineUnderTest,
        rng: &mut Rng,
    ) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        let numbered = users::is_numbered(self.user);
        let Self {
            client: Some(client),
            made,
            session,
            payload: says,
            left,
            count,
            sent_here: published_here,
            order_at,
            ..
        } = self
        else {
            return Ok(out);
        };
        let _ = client.on_timer(now, &mut out); // the owner checks whether it has ended
        if client.state() != ClientState::Open {
            return Ok(out);
        }
        if self.leaves_until.is_some() {
            let _ = client.logout(now, &mut out); // it is open
            return Ok(out);
        }
        let mut sent = 0;
        while let Some(number) = *says
            && sent < SENT_AT_ONCE
        {
            let orders = made.entry(session.clone()).or_default();
            let is_again = numbered && (number as usize) <= orders.len();
            if !is_again {
                if *left == 0 || now < *order_at {
                    break;
                }
                *left -= 1;
                *order_at = now + self.every_ns / 2 + rng.below(self.every_ns);
                *count += 1;
                let first = if numbered { number } else { *count };
                let more = [0, 3, 30, 200, 1_200, 3_400]
                    [rng.below(if count.is_multiple_of(8) { 6 } else { 5 }) as usize];
                let content = machine.message(self.user, *count);
                let content = content.unwrap_or_else(|| vec![self.user as u8; more]);
                orders.push([&first.to_be_bytes()[..], &content].concat());
            }
            let order = if numbered { &orders[number as usize - 1] } else { &orders[orders.len() - 1] };
            client.unsequenced(now, order, &mut out).map_err(|error| format!("EDGE: {error}"))?;
            if numbered {
                *says = Some(number + 1);
            } else {
                published_here.push(digest(order));
            }
            self.moved_at = now;
            sent += 1;
        }
        Ok(out)
    }

    /// The reason why its connection has ended, if it has.
    pub(super) fn ended(&self, now: Nanos) -> bool {
        let Some(client) = &self.client else { return false };
        client.ended().is_some() || now >= self.moved_at + PATIENCE_NS
    }

    /// The time of its next action without an arrival.
    pub(super) fn next_at(&self) -> Nanos {
        let Some(client) = &self.client else { return self.retry_at };
        let mut at = client.next_deadline().min(self.moved_at + PATIENCE_NS);
        let orders = self.made.get(&self.session).map_or(0, Vec::len) as u64;
        if let Some(number) = self.payload {
            if users::is_numbered(self.user) && number <= orders {
                at = 0;
            } else if self.left > 0 {
                at = at.min(self.order_at);
            }
        }
        if client.ended().is_some() || self.leaves_until.is_some() && client.state() == ClientState::Open {
            at = 0;
        }
        at
    }

    /// Whether it is logged in, and has everything that the books have for it, sent and received.
    pub(super) fn is_done(&self, books: &EdgeModel) -> Result<(), String> {
        let who = users::name(self.user);
        let Some(day) = books.open_day() else { return Err(format!("{who}: no day is open")) };
        let is_open = self.client.as_ref().is_some_and(|client| client.state() == ClientState::Open);
        if !is_open || books.days[day].name != self.session {
            return Err(format!("{who}: not logged in"));
        }
        let all = books.all_delivered(day, self.user).count() as u64;
        let published = books.published(day, self.user);
        let wants = match users::is_numbered(self.user) {
            true => self.made.get(&self.session).map_or(0, Vec::len) != published.len(),
            false => self.sent_here.iter().any(|order| !published.contains(order)),
        };
        if self.left > 0 || wants || self.next != all + 1 {
            let (left, next) = (self.left, self.next);
            return Err(format!(
                "{who}: {left} left, {} in the stream, next {next} of {all}",
                published.len()
            ));
        }
        Ok(())
    }

    /// Its messages of each session are in the stream in its order, each once.
    pub(super) fn judge(&self, books: &EdgeModel) -> Result<(), Violation> {
        let who = users::name(self.user);
        for (session, made) in &self.made {
            let Some(day) = books.day_of(session) else { continue };
            let published = books.published(day, self.user);
            let made: Vec<_> = made.iter().map(|order| digest(order)).collect();
            let is_right = match users::is_numbered(self.user) {
                true => made.starts_with(published),
                // Some may be lost with a connection.
                false => {
                    let mut rest = made.iter();
                    published.iter().all(|order| rest.any(|made| made == order))
                }
            };
            if !is_right {
                return Err(format!(
                    "EDGE: {who} said {} orders in {session}, and the stream has {} of them, not each once and in order",
                    made.len(),
                    published.len()
                ));
            }
        }
        Ok(())
    }
}

/// The beginning of a message.
fn shown(bytes: &[u8]) -> String {
    format!("{} bytes {:02x?}", bytes.len(), &bytes[..bytes.len().min(16)])
}
