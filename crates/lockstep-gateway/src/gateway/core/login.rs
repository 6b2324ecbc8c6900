//! Logins: user, password, open entry.

use super::checks::Check;
use super::opens::OpenFor;
use super::sessions::CLOSED_EARLY;
use super::{FULL, Gateway, GatewayStream, OTHER_DAY};
use crate::fix::session::FixLogon;
use crate::gateway::audit::Audited;
use crate::gateway::conn::{LoginAttempt, Phase};
use crate::gateway::ledger::LedgerDay;
use lockstep_core::engine::clients::{CLIENT, nonce};
use lockstep_core::engine::ports::Backlog;
use lockstep_wire::Nanos;
use soupbintcp::{LoginRequest, RejectReason, Session};

/// Sent to a client whose login finds no room among the waiting ones.
const CROWDED: &str = "too many logins wait: try again in a second";
/// Sent if the waiting logins of the client's address have no room.
const CROWDED_ADDRESS: &str = "too many logins from your address wait: try again in a second";
/// The reason of a reject while the gateway starts.
const READS: &str = "the gateway still reads the stream: try again in a moment";
/// For the audit log alone: the gateway does not know the numbers of a FIX session yet.
const READS_FIX: &str = "the gateway still reads the stream";
const WRONG_PASSWORD: &str = "a wrong password, or a user that does not exist";
/// Longest user name of a logon that is checked.
const USER_LEN_MAX: usize = 64;

impl<B: Backlog> Gateway<B> {
    pub(super) fn on_login(&mut self, now: Nanos, index: usize, request: &LoginRequest) {
        let asked = LoginAttempt {
            user: String::from_utf8_lossy(request.username.as_bytes()).to_ascii_lowercase(),
            session: request.session,
            seq: request.seq,
        };
        self.begin_login(now, index, asked, request.password.as_bytes());
    }

    pub(super) fn on_fix_logon(&mut self, now: Nanos, index: usize, logon: FixLogon) {
        if !self.is_ready() {
            if let Some(conn) = self.sessions.conns.get_mut(index) {
                conn.phase = Phase::Deferred { logon: Box::new(logon), since: now };
            }
            return;
        }
        let user: String = logon.user.chars().take(USER_LEN_MAX).collect();
        self.begin_login(now, index, LoginAttempt { user, session: Session::BLANK, seq: 0 }, &logon.password);
    }

    /// A logon of FIX waits until the gateway can decide it, at most as long as a login may take.
    pub(super) fn scan_deferred(&mut self, now: Nanos, index: usize) {
        let has_room = self.is_ready() && self.checks.has_room(&self.limits);
        let Some(conn) = self.sessions.conns.get(index) else { return };
        let Phase::Deferred { logon, since } = &conn.phase else { return };
        let is_late = now >= *since + self.limits.soup.login_ns;
        if has_room && !self.checks.is_crowded(&self.limits, conn.peer.ip()) {
            let logon = logon.as_ref().clone();
            self.on_fix_logon(now, index, logon);
        } else if is_late {
            let why = if self.is_ready() { CROWDED } else { self.leader.or(READS_FIX) };
            self.sessions.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
    }

    /// A user requests a login, by either protocol.
    pub(super) fn begin_login(&mut self, now: Nanos, index: usize, asked: LoginAttempt, password: &[u8]) {
        let session = match self.state.ledger.day() {
            LedgerDay::Open(name) => Some(name.clone()),
            _ => None,
        };
        let refusal = match session {
            _ if !self.is_ready() => Some(self.leader.or(READS)),
            None => Some("no trading day is open"),
            _ if self.state.ledger.is_full() => Some(FULL),
            Some(name) if !asked.fits(&name) => Some(OTHER_DAY),
            _ => None,
        };
        let Some(conn) = self.sessions.conns.get_mut(index) else { return };
        let address = conn.peer.ip();
        conn.phase = Phase::Checking(asked.clone());
        if let Some(why) = refusal {
            return self.sessions.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
        if self.checks.locks.is_locked(now, &asked.user, address) {
            self.sessions.counts.logins_locked += 1;
            let why = "too many failed logins: wait a minute";
            return self.sessions.reject(now, index, RejectReason::NotAuthorized, why);
        }
        let is_crowded = self.checks.is_crowded(&self.limits, address);
        if is_crowded || !self.checks.has_room(&self.limits) {
            self.sessions.counts.logins_crowded += 1;
            let why = if is_crowded { CROWDED_ADDRESS } else { CROWDED };
            return self.sessions.reject(now, index, RejectReason::SessionNotAvailable, why);
        }
        let number = self.sessions.conns.number(index).unwrap_or(0);
        let hash = self.users.get(&asked.user).map(|user| user.password.clone());
        let password = password.to_ascii_lowercase();
        self.checks.add(Check { conn: (index, number), address, user: asked.user, password, hash });
    }

    /// The next password to check, first those of users at addresses from which they have logged in before;
    /// [`Gateway::on_checked`] takes the result.
    pub fn next_check(&mut self) -> Option<Check> {
        self.checks.next()
    }

    /// A password was checked.
    pub fn on_checked(&mut self, now: Nanos, stream: &mut impl GatewayStream, check: &Check, is_right: bool) {
        let (index, number) = check.conn;
        self.checks.on_result(now, check, is_right);
        if !is_right {
            // This counts for a closed connection too.
            self.sessions.counts.logins_failed += 1;
        }
        let conn = self.sessions.conns.numbered(check.conn);
        if !conn.is_some_and(|conn| matches!(conn.phase, Phase::Checking(_))) {
            // If the connection was ended meanwhile, its line is written now.
            if self.checks.take_closed(number) {
                let (what, why) = if is_right {
                    (Audited::NoLogin, CLOSED_EARLY)
                } else {
                    (Audited::Refused, WRONG_PASSWORD)
                };
                self.sessions.audit_closed(now, what, (&check.user, check.address), why);
            }
            return;
        }
        if !is_right {
            return self.sessions.reject_as(now, index, RejectReason::NotAuthorized, "", WRONG_PASSWORD);
        }
        self.checks.locks.on_success(now, &check.user, check.address);
        let Some(user) = self.users.get(&check.user).filter(|user| !user.disabled).cloned() else {
            self.sessions.counts.logins_failed += 1;
            return self.sessions.reject_as(
                now,
                index,
                RejectReason::NotAuthorized,
                "",
                "the user is disabled",
            );
        };
        if self.sessions.conns.get(index).is_some_and(|conn| conn.protocol.is_fix() != user.fix) {
            let why = if user.fix { "the user speaks FIX" } else { "the user does not speak FIX" };
            return self.sessions.reject_as(now, index, RejectReason::NotAuthorized, "", why);
        }
        if let Some(name) = self.state.unread_name(&user) {
            let why = format!(
                "the gateway cannot read the stream's beginning and does not know {name} yet: try another gateway"
            );
            return self.sessions.reject(now, index, RejectReason::SessionNotAvailable, &why);
        }
        let nonce = nonce(self.own.id.unwrap_or(0), false, stream.draw());
        let Some(ticket) = stream.open(&format!("{CLIENT}{}", user.name), nonce) else {
            let why = "the gateway has opened too many names: ask its operator";
            return self.sessions.reject(now, index, RejectReason::SessionNotAvailable, why);
        };
        self.opens.add(ticket, nonce, OpenFor::Login(index, number));
        if let Some(conn) = self.sessions.conns.get_mut(index)
            && let Phase::Checking(asked) = &conn.phase
        {
            let asked = asked.clone();
            conn.user = Some(user);
            conn.phase = Phase::Opening { asked, ticket, nonce, publisher: None, begins: None };
        }
    }

    /// Both halves of a login are complete: its publisher is open, and its open entry was delivered.
    pub(super) fn try_accept(&mut self, now: Nanos, stream: &mut impl GatewayStream, index: usize) {
        let Some(conn) = self.sessions.conns.get_mut(index) else { return };
        let Phase::Opening { nonce, publisher: Some(publisher), begins: Some(begins), .. } = &conn.phase
        else {
            return;
        };
        let (nonce, publisher, (place, number, last)) = (*nonce, *publisher, begins.clone());
        let LedgerDay::Open(day) = self.state.ledger.day() else {
            let why = "the trading day has just ended";
            return self.sessions.reject(now, index, RejectReason::SessionNotAvailable, why);
        };
        let Ok(session) = Session::new(day.as_bytes()) else { return };
        if let Some(server) = conn.protocol.soup() {
            if server.accept(now, session, number, &mut conn.out).is_err() {
                conn.phase = Phase::Open { publisher, nonce };
                return self.sessions.on_accepted_late(now, index, publisher);
            }
            (conn.place, conn.last_number, conn.phase) = (place, last, Phase::Open { publisher, nonce });
            conn.stalled_at = now;
            if conn.user.as_ref().is_some_and(|user| user.numbered) {
                // The session is open, and eight bytes fit.
                let _ = server.unsequenced(now, &last.to_be_bytes(), &mut conn.out);
            }
            self.sessions.on_accepted(now, index, publisher, None, &self.state);
        } else {
            self.sessions.accept_fix(now, index, &mut self.state);
            self.sessions.publish_fix(now, stream, index, &self.state);
        }
        self.take(now, stream, index);
    }
}
