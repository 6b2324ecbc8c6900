//! What a request is answered with: a range of messages, or silence.
//!
//! The protocol knows no refusal, so each silence is counted by its reason. A request of 20 bytes brings a
//! whole datagram to an address that anybody can write upon it: so answers are rationed, for each address and
//! for all together, in tables that do not grow.

use super::packet::{MoldError, Request};
use crate::session::Session;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// How many answers, and how many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// One answer in this time, on average.
    pub interval_ns: u64,
    /// So many at once after a pause; at least 1.
    pub burst: u32,
}

/// The rations and the sizes of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerLimits {
    /// For each address, whatever its port: ports cost nothing. 10,000 a second are some 14 MB/s.
    pub source: Rate,
    /// For all together: 50,000 a second are half a gigabit line.
    pub total: Rate,
    /// Addresses that are remembered; the one that has asked for nothing for longest makes room.
    pub sources_max: usize,
    /// Sessions that are answered: the current one and former ones.
    pub sessions_max: usize,
    /// Most messages of an answer; what does not fit one datagram the owner leaves away.
    pub count_max: u16,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            source: Rate { interval_ns: 100_000, burst: 256 },
            total: Rate { interval_ns: 20_000, burst: 1_024 },
            sources_max: 256,
            sessions_max: 16,
            count_max: 1_024,
        }
    }
}

/// A session and the messages that are kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionBounds {
    /// Its name.
    pub session: Session,
    /// The first message that is kept.
    pub first: u64,
    /// The number behind the last one.
    pub next: u64,
}

/// What to send: the messages from `from` up to, and without, `to`, in order and as many as one datagram
/// takes. The client asks again for the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Of this session.
    pub session: Session,
    /// The first one.
    pub from: u64,
    /// Behind the last one.
    pub to: u64,
}

/// Why nothing is sent. Counted by [`Silence::index`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// It is no request.
    Malformed(MoldError),
    /// A session that is not known here.
    UnknownSession,
    /// Messages that are no longer kept.
    Gone,
    /// Messages that were not sent yet.
    Ahead,
    /// This address has had its ration.
    SourceRate,
    /// All together have had theirs.
    TotalRate,
}

impl Silence {
    /// Names of all reasons, in the order of [`Silence::index`].
    pub const NAMES: [&'static str; 6] =
        ["malformed", "unknown_session", "gone", "ahead", "source_rate", "total_rate"];

    /// Where this reason is counted.
    pub fn index(self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::UnknownSession => 1,
            Self::Gone => 2,
            Self::Ahead => 3,
            Self::SourceRate => 4,
            Self::TotalRate => 5,
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "not answered: {error}"),
            Self::UnknownSession => f.write_str("not answered: session unknown here, check the client's"),
            Self::Gone => f.write_str("not answered: no longer kept, the client must begin later"),
            Self::Ahead => f.write_str("not answered: not sent yet, check the client's session and number"),
            Self::SourceRate => {
                f.write_str("not answered: this address asks too often, raise its rate or slow it")
            }
            Self::TotalRate => f.write_str("not answered: all together ask too often, raise the rate"),
        }
    }
}

/// A table has no room for another session: forget one, or raise `sessions_max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableFull;

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for another session of requests: forget a former one, or raise sessions_max")
    }
}

impl std::error::Error for TableFull {}

/// A ration, as the time at which it is whole again (the generic cell rate algorithm): one number per
/// address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Ration {
    whole_at: u64,
}

impl Ration {
    fn has_one(self, now: u64, rate: &Rate) -> bool {
        let behind = rate.interval_ns.saturating_mul(u64::from(rate.burst.max(1) - 1));
        self.whole_at <= now.saturating_add(behind)
    }

    fn take(&mut self, now: u64, rate: &Rate) {
        self.whole_at = self.whole_at.max(now).saturating_add(rate.interval_ns);
    }
}

/// The rule by which requests are answered.
#[derive(Clone, Debug)]
pub struct RequestServer {
    limits: ServerLimits,
    sessions: Vec<SessionBounds>,
    sources: Vec<(IpAddr, Ration)>,
    total: Ration,
    answered: u64,
    silences: [u64; Silence::NAMES.len()],
}

impl RequestServer {
    /// Knows no session yet.
    pub fn new(limits: ServerLimits) -> Self {
        let sources = Vec::with_capacity(limits.sources_max);
        let sessions = Vec::with_capacity(limits.sessions_max);
        let silences = [0; Silence::NAMES.len()];
        Self { limits, sessions, sources, total: Ration::default(), answered: 0, silences }
    }

    /// The state of a session, new or known. Call it as often as that changes.
    pub fn set_session(&mut self, bounds: SessionBounds) -> Result<(), TableFull> {
        let is_full = self.sessions.len() >= self.limits.sessions_max;
        match self.sessions.iter_mut().find(|known| known.session == bounds.session) {
            Some(known) => *known = bounds,
            None if is_full => return Err(TableFull),
            None => self.sessions.push(bounds),
        }
        Ok(())
    }

    /// A session is no longer answered.
    pub fn forget_session(&mut self, session: Session) {
        self.sessions.retain(|known| known.session != session);
    }

    /// Requests that were answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Requests that were not, by [`Silence::index`].
    pub fn silences(&self) -> &[u64; Silence::NAMES.len()] {
        &self.silences
    }

    /// Addresses that are remembered: at most `sources_max`.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// A datagram on the port of requests, from `source`: to which the answer goes.
    pub fn on_request(&mut self, now: u64, source: SocketAddr, bytes: &[u8]) -> Result<Answer, Silence> {
        let decided = self.decide(now, source.ip(), bytes);
        match decided {
            Ok(_) => self.answered += 1,
            Err(silence) => self.silences[silence.index()] += 1,
        }
        decided
    }

    fn decide(&mut self, now: u64, source: IpAddr, bytes: &[u8]) -> Result<Answer, Silence> {
        let request = Request::decode(bytes).map_err(Silence::Malformed)?;
        let known = self.sessions.iter().find(|known| known.session == request.session);
        let bounds = *known.ok_or(Silence::UnknownSession)?;
        if request.seq >= bounds.next {
            return Err(Silence::Ahead);
        }
        if request.seq < bounds.first {
            return Err(Silence::Gone);
        }
        self.ration(now, source)?;
        let count = request.count.min(self.limits.count_max.max(1));
        let to = request.seq.saturating_add(u64::from(count)).min(bounds.next);
        Ok(Answer { session: bounds.session, from: request.seq, to })
    }

    /// The address first: one that asks too often takes nothing from the others.
    fn ration(&mut self, now: u64, source: IpAddr) -> Result<(), Silence> {
        let Self { limits, sources, total, .. } = self;
        let place = sources.iter().position(|(known, _)| *known == source);
        let mut own = place.map_or(Ration::default(), |place| sources[place].1);
        if !own.has_one(now, &limits.source) {
            return Err(Silence::SourceRate);
        }
        if !total.has_one(now, &limits.total) {
            return Err(Silence::TotalRate);
        }
        own.take(now, &limits.source);
        total.take(now, &limits.total);
        match place {
            Some(place) => sources[place].1 = own,
            None if sources.len() < limits.sources_max => sources.push((source, own)),
            // Whose ration is whole soonest loses least by being forgotten.
            None => {
                if let Some(oldest) = sources.iter_mut().min_by_key(|(_, ration)| ration.whole_at) {
                    *oldest = (source, own);
                }
            }
        }
        Ok(())
    }
}
