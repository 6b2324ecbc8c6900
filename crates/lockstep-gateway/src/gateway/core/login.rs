//! Logins: user, password, open entry; and the messages of logged-in clients.

use super::{Check, FULL, Gateway, GatewayStream, OTHER_DAY, OpenFor, PendingOpen, SUPERSEDED};
use crate::gateway::audit::Audited;
use crate::gateway::conn::{LoginAttempt, Phase};
use crate::gateway::ledger::{Ledger, LedgerDay};
use crate::gateway::users::{Recipient, User};
use lockstep_core::engine::clients::{CLIENT, Clients, DisconnectReason, nonce};
use lockstep_core::engine::ports::Backlog;
use lockstep_core::engine::publisher::PublishError;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{CHANNELS, Destination, Nanos, PublisherId};
use soupbintcp::Session;
use soupbintcp::{LoginRequest, RejectReason};
use std::net::SocketAddr;

/// Sent to a client whose login finds no room among the waiting ones.
pub(super) const CROWDED: &str = "too many logins wait: try again in a second";
/// Sent if the waiting logins of the client's address have no room.
const CROWDED_ADDRESS: &str = "too many logins from your address wait: try again in a second";
/// The reason of a reject while the gateway starts.
const READS: &str = "the gateway still reads the stream: try again in a moment";
/// For the audit log alone.
const CLOSED_EARLY: &str = "it closed the connection before its login was decided";
const CLOSED_WITHIN: &str = "it closed the connection before its login was whole";
const WRONG_PASSWORD: &str = "a wrong password, or a user that does not exist";

impl<B: Backlog> Gateway<B> {
    pub(super) fn on_login(&mut self, now: Nanos, index: usize, request: &LoginRequest) {
        let asked = LoginAttempt {
            user: String::from_utf8_lossy(request.username.as_bytes()).to_ascii_lowercase(),
            session: request.session,
            seq: request.seq,
        };
        self.begin_login(now, index, asked, request.password.as_bytes());
    }

    /// A user requests a login, by either protocol.
    pub(super) fn begin_login(&mut self, now: Nanos, index: usize, asked: LoginAttempt, password: &[u8]) {
        let session = match self.ledger.day() {
            LedgerDay::Open(name) => Some(name.clone()),
            _ => None,
        };
        let refusal = match session {
            _ if !self.is_ready() => Some(self.leader.or(READS)),
            None => Some("no trading day is open"),
            _ if self.ledger.is_full() => Some(FULL),
            Some(name) if !asked.fits(&name) => Some(OTHER_DAY),
            _ => None,
        };
        let Some(conn) = self.conn(index) else { return };
        let address = conn.peer.ip();
        conn.phase = Phase::Checking(asked.clone());
        if let Some(why) = refusal {
            return self.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
        if self.locks.is_locked(now, &asked.user, address) {
            self.counts.logins_locked += 1;
            let why = "too many failed logins: wait a minute";
            return self.reject(now, index, RejectReason::NotAuthorized, why);
        }
        let is_crowded = self.checking_of.of(address) >= self.limits.checks_per_address;
        if is_crowded || self.checking >= self.limits.checks_max {
            self.counts.logins_crowded += 1;
            let why = if is_crowded { CROWDED_ADDRESS } else { CROWDED };
            return self.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
        let number = self.conns[index].as_ref().map_or(0, |(number, _)| *number);
        let hash = self.users.get(&asked.user).map(|user| user.password.clone());
        let password = password.to_ascii_lowercase();
        self.checking += 1;
        self.checking_of.take(address);
        let is_known = self.locks.is_known(&asked.user, address);
        let check = Check { conn: (index, number), address, user: asked.user, password, hash };
        if is_known {
            self.checks.push_front(check);
        } else {
            self.checks.push_back(check);
        }
    }

    /// The next password to check, first those of users at addresses from which they have logged in before;
    /// [`Gateway::on_checked`] takes the result.
    pub fn next_check(&mut self) -> Option<Check> {
        self.checks.pop_front()
    }

    /// A password was checked.
    pub fn on_checked(&mut self, now: Nanos, stream: &mut impl GatewayStream, check: &Check, is_right: bool) {
        self.checking = self.checking.saturating_sub(usize::from(!planted(Mutation::CheckLeaks)));
        let (index, number) = check.conn;
        self.checking_of.give_back(check.address);
        if !is_right {
            // This counts for a closed connection too.
            self.counts.logins_failed += 1;
            self.locks.on_failure(now, &check.user, check.address);
        }
        let waits = self
            .conns
            .get(index)
            .and_then(Option::as_ref)
            .is_some_and(|(known, conn)| *known == number && matches!(conn.phase, Phase::Checking(_)));
        if !waits {
            // If the connection was ended meanwhile, its line is written now.
            if self.closed_early.remove(&number) {
                let (what, why) = match is_right {
                    true => (Audited::NoLogin, CLOSED_EARLY),
                    false => (Audited::Refused, WRONG_PASSWORD),
                };
                self.audit.tell(&mut self.counts, now, what, (&check.user, check.address), why);
            }
            return;
        }
        if !is_right {
            return self.reject_as(now, index, RejectReason::NotAuthorized, "", WRONG_PASSWORD);
        }
        self.locks.on_success(now, &check.user, check.address);
        let Some(user) = self.users.get(&check.user).filter(|user| !user.disabled).cloned() else {
            self.counts.logins_failed += 1;
            return self.reject_as(now, index, RejectReason::NotAuthorized, "", "the user is disabled");
        };
        if self.conn(index).is_some_and(|conn| conn.protocol.is_fix() != user.fix) {
            let why = if user.fix { "the user speaks FIX" } else { "the user does not speak FIX" };
            return self.reject_as(now, index, RejectReason::NotAuthorized, "", why);
        }
        if let Some(name) = unread_name(&user, &self.clients).filter(|_| !self.ledger.is_whole()) {
            let why = format!(
                "the gateway cannot read the stream's beginning and does not know {name} yet: try another gateway"
            );
            return self.reject(now, index, RejectReason::SessionNotAvailable, &why);
        }
        let nonce = nonce(self.own.id.unwrap_or(0), false, stream.draw());
        let Some(ticket) = stream.open(&format!("{CLIENT}{}", user.name), nonce) else {
            let why = "the gateway has opened too many names: ask its operator";
            return self.reject(now, index, RejectReason::SessionNotAvailable, why);
        };
        self.opens.insert(ticket, PendingOpen::new(nonce, OpenFor::Login(index, number)));
        if let Some(conn) = self.conn(index)
            && let Phase::Checking(asked) = &conn.phase
        {
            let asked = asked.clone();
            conn.user = Some(user);
            conn.phase = Phase::Opening { asked, ticket, nonce, publisher: None, begins: None };
        }
    }

    /// The client has closed a connection. One that sent no byte is only counted: so tunnels check whether a
    /// gateway is alive. While the password is being checked, the line waits for the result.
    pub(super) fn tell_closed(&mut self, now: Nanos, index: usize) {
        let Some((number, conn)) = self.conns.get(index).and_then(Option::as_ref) else { return };
        match conn.phase {
            Phase::Open { .. } | Phase::Over { .. } => {}
            Phase::Checking(_) => {
                self.closed_early.insert(*number);
            }
            Phase::New if !conn.has_spoken => self.counts.no_login += 1,
            Phase::New => self.tell(now, index, Audited::NoLogin, CLOSED_WITHIN),
            _ => self.tell(now, index, Audited::NoLogin, CLOSED_EARLY),
        }
    }

    /// Closes a connection that never became a client's, such as a tunnel's without a header.
    pub fn on_turned_away(&mut self, now: Nanos, peer: SocketAddr, why: &str) {
        self.audit.tell(&mut self.counts, now, Audited::NoLogin, ("", peer.ip()), why);
    }

    pub(super) fn reject(&mut self, now: Nanos, index: usize, reason: RejectReason, why: &str) {
        self.reject_as(now, index, reason, why, why);
    }

    /// Refuses a login. The audit log has a reason of its own, which the client does not learn.
    fn reject_as(&mut self, now: Nanos, index: usize, reason: RejectReason, why: &str, audited: &str) {
        self.counts.rejected += 1;
        self.tell(now, index, Audited::Refused, audited);
        let Some(conn) = self.conn(index) else { return };
        if !why.is_empty() {
            conn.protocol.debug(now, why, &mut conn.out); // the reject itself has only a letter
        }
        conn.protocol.reject(reason, &mut conn.out);
        conn.phase = Phase::Over { since: now };
    }

    /// Both halves of a login are complete: its publisher is open, and its open entry was delivered.
    pub(super) fn try_accept(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut).map(|(_, conn)| conn) else {
            return;
        };
        let Phase::Opening { nonce, publisher: Some(publisher), begins: Some(begins), .. } = &conn.phase
        else {
            return;
        };
        let (nonce, publisher, (place, number, last)) = (*nonce, *publisher, begins.clone());
        let LedgerDay::Open(day) = self.ledger.day() else {
            return self.reject(
                now,
                index,
                RejectReason::SessionNotAvailable,
                "the trading day has just ended",
            );
        };
        let Ok(session) = Session::new(day.as_bytes()) else { return };
        let Some(server) = conn.protocol.soup() else { return self.accept_fix_login(now, stream, index) };
        if server.accept(now, session, number, &mut conn.out).is_err() {
            // It has left meanwhile.
            conn.phase = Phase::Open { publisher, nonce };
            self.by_publisher.insert(publisher, index);
            return self.end(now, index, DisconnectReason::Broken, "");
        }
        (conn.place, conn.last_number, conn.phase) = (place, last, Phase::Open { publisher, nonce });
        conn.stalled_at = now;
        if conn.user.as_ref().is_some_and(|user| user.numbered) {
            // The session is open, and eight bytes fit.
            let _ = server.unsequenced(now, &last.to_be_bytes(), &mut conn.out);
        }
        self.on_accepted(now, index, publisher, None);
        self.take(now, stream, index);
    }

    /// A login is accepted: from here on its connection is the user's; in case of a refusal, until its Logout
    /// is sent.
    pub(super) fn on_accepted(
        &mut self,
        now: Nanos,
        index: usize,
        publisher: PublisherId,
        refusal: Option<&str>,
    ) {
        let Some(conn) = self.conn(index) else { return };
        conn.is_refused = refusal.is_some();
        match refusal {
            None => self.counts.accepted += 1,
            Some(_) => self.counts.rejected += 1,
        }
        let what = if refusal.is_none() { Audited::LoggedIn } else { Audited::Refused };
        self.tell(now, index, what, refusal.unwrap_or("logged in"));
        self.leaving.retain(|leaving| leaving.publisher != publisher);
        if let Some(before) = self.by_publisher.insert(publisher, index)
            && before != index
        {
            self.supersede(now, before);
        }
        self.listen(index, publisher);
        self.ready.insert(index);
    }

    /// Another connection of the same user replaces this one.
    pub(super) fn supersede(&mut self, now: Nanos, index: usize) {
        self.tell(now, index, Audited::Left, SUPERSEDED);
        if let Some(conn) = self.conn(index) {
            conn.protocol.debug(now, SUPERSEDED, &mut conn.out);
            conn.protocol.close();
            conn.phase = Phase::Over { since: now };
        }
        self.subscribed.values_mut().for_each(|hearers| {
            hearers.remove(&index);
        });
        self.counts.cut += 1;
    }

    pub(super) fn listen(&mut self, index: usize, own: PublisherId) {
        let user = self.conn(index).and_then(|conn| conn.user.clone());
        for destination in destinations(user.as_ref(), own, &self.clients, &self.ledger) {
            self.subscribed.entry(destination).or_default().insert(index);
            if let Some(conn) = self.conn(index) {
                conn.place.hear(destination);
            }
        }
    }

    /// The destination of a client's messages, if the stream has it.
    pub(super) fn destination_of(&self, index: usize) -> Option<Destination> {
        let (_, conn) = self.conns.get(index)?.as_ref()?;
        let Phase::Open { publisher, .. } = conn.phase else { return None };
        match &conn.user.as_ref()?.destination {
            Recipient::Own => Some(publisher),
            Recipient::Everybody => Some(0),
            Recipient::Client(name) => self.clients.id_of(name),
            Recipient::Channel(number) => Some(CHANNELS + number),
        }
    }

    /// Handles a client's message. `false`: it cannot be taken now.
    pub(super) fn on_message(
        &mut self,
        now: Nanos,
        stream: &mut impl GatewayStream,
        index: usize,
        message: &[u8],
    ) -> bool {
        let destination = self.destination_of(index);
        let Some((_, conn)) = self.conns.get_mut(index).and_then(Option::as_mut) else { return true };
        let (Phase::Open { publisher, .. }, Some(user)) = (&conn.phase, &conn.user) else { return true };
        let (publisher, numbered) = (*publisher, user.numbered);
        let Some(destination) = destination else {
            self.refuse(now, index, "the recipient of your messages has never logged in");
            return true;
        };
        let mut number = conn.last_number;
        if numbered {
            let sent = message.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
            match sent {
                Some(sent) if sent != 0 && sent <= number && !planted(Mutation::NumberTwiceTaken) => {
                    self.counts.duplicates += 1;
                    return true;
                }
                Some(sent) if sent == number + 1 => number = sent,
                Some(_) if planted(Mutation::NumberTwiceTaken) => {}
                _ => {
                    let why = "a message must begin with the next number: eight bytes, big-endian";
                    self.refuse(now, index, why);
                    return true;
                }
            }
        }
        if !conn.takes_credit(now) {
            return false;
        }
        match stream.publish(publisher, destination, message) {
            Ok(_) => {
                (conn.last_number, conn.reported) = (number, None);
                self.counts.submitted += 1;
                true
            }
            Err(PublishError::Backpressure) => {
                conn.allowance.give_back();
                false
            }
            Err(PublishError::TooLong { .. }) => {
                self.refuse(now, index, "a message exceeds the stream's limit (stream.message_len_max)");
                true
            }
            Err(PublishError::TooLongFor { .. }) => {
                let why = "a message exceeds its channel's limit (channels.*.message_len_max)";
                self.refuse(now, index, why);
                true
            }
            // Fenced, closed or not open: the stream reports that too, later.
            Err(_) => {
                self.supersede(now, index);
                self.forget(index);
                true
            }
        }
    }

    /// Refuses a message for good: the client receives the reason, once for consecutive equal reasons.
    pub(super) fn refuse(&mut self, now: Nanos, index: usize, why: &'static str) {
        self.counts.refused += 1;
        if let Some(conn) = self.conn(index)
            && conn.reported != Some(why)
        {
            conn.protocol.debug(now, why, &mut conn.out);
            conn.reported = Some(why);
        }
    }
}

/// A client from which this user receives or to which it sends, if its open entry may lie before the first
/// entry read: its messages cannot be counted then.
fn unread_name<'a>(user: &'a User, clients: &Clients) -> Option<&'a str> {
    if planted(Mutation::UnreadNamesNobodys) {
        return None;
    }
    let named = user.hear.iter().chain([&user.destination]);
    let names = named.filter_map(|whom| match whom {
        Recipient::Client(name) => Some(name.as_str()),
        _ => None,
    });
    names.into_iter().find(|name| clients.id_of(name).is_none())
}

/// The destinations that a user with the client `own` receives, as far as the stream has them.
pub(super) fn destinations<B: Backlog>(
    user: Option<&User>,
    own: PublisherId,
    clients: &Clients,
    ledger: &Ledger<B>,
) -> Vec<Destination> {
    let hears = user.into_iter().flat_map(|user| &user.hear);
    let known = hears.filter_map(|whom| match whom {
        Recipient::Own => Some(own),
        Recipient::Everybody => ledger.has_broadcast().then_some(0),
        Recipient::Client(name) => clients.id_of(name),
        Recipient::Channel(number) => Some(CHANNELS + number),
    });
    let mut destinations: Vec<_> = known.collect();
    destinations.sort_unstable();
    destinations.dedup();
    destinations
}
