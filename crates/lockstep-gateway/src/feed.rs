//! # feed: the committed stream as MoldUDP64
//!
//! A feed gives the messages of one source (everything, a destination, a channel) the numbers 1, 2, 3 … since
//! the trading day began, and multicasts them under the day's name as their session. Numbers are a function
//! of the stream: a feed that restarts continues at the same number, two feeds beside each other emit the
//! same numbers (A/B), and receivers request what they have missed. Its request server answers for the open
//! day and the one before.
//!
//! A message that does not fit a datagram has no number, in any feed of the same datagram length: it is
//! skipped and counted. `channels.*.message_len_max` refuses it where it is published.
//!
//! A block holds the message as it is, or what a mapping of the application makes of it:
//! [`Feed::with_mapping`]. The mapping sees nothing but the message, so numbers stay a function of the
//! stream.
//!
//! ```no_run
//! use lockstep_core::engine::ports::MemoryBacklog;
//! use lockstep_gateway::feed::{Feed, FeedSource};
//! use lockstep_gateway::gateway::users::Recipient;
//! use moldudp64::{RequestServer, ServerLimits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let day = || MemoryBacklog::new(16 << 30); // in memory; `lockstep feed` has it in a file
//! let requests = RequestServer::new(ServerLimits::default());
//! let feed = Feed::new(FeedSource::For(Recipient::Channel(7)), 1_472, [day(), day()], true, requests)?;
//! // Inside, the first byte says what a message is. Trades (`T`) go out, without that byte; nothing else does.
//! let feed = feed.with_mapping(|message, block| match message.payload.split_first() {
//!     Some((b'T', trade)) => {
//!         block.extend_from_slice(trade);
//!         true
//!     }
//!     _ => false,
//! });
//! // From here on as `lockstep feed` does: each event of a committed subscription to `on_stream`, then `turn`.
//! # let _ = feed.message_len_max();
//! # Ok(())
//! # }
//! ```

use super::gateway::ledger::{Ledger, LedgerDay};
use super::gateway::users::Recipient;
use lockstep_core::engine::clients::Clients;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::networks::Networks;
use lockstep_core::engine::parts::PartsBound;
use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{CHANNELS, Nanos};
use moldudp64::Session;
use moldudp64::{PackError, Packer, Push, RequestServer, SessionBounds};
use std::fmt;
use std::net::SocketAddr;

/// A heartbeat follows this time without a datagram (MoldUDP64 1.00, "Heartbeats": about a second).
const HEARTBEAT_NS: Nanos = 1_000_000_000;

/// The messages that a feed carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedSource {
    /// Every message.
    All,
    /// The messages for one recipient.
    For(Recipient),
}

/// Writes the block of a message, or returns that it has none: see [`Feed::with_mapping`].
type WriteBlock = dyn Fn(&Message<'_>, &mut Vec<u8>) -> bool + Send;

struct Mapping(Box<WriteBlock>);

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mapping")
    }
}

/// Why a feed ends.
#[derive(Debug)]
pub enum FeedError {
    /// The spool of its messages failed.
    Spool(BacklogError),
    /// A datagram length that no message fits, or a day's name that is no valid session.
    Pack(PackError),
    /// The day is larger than its spool: later messages could not be sent again.
    Full,
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(f),
            Self::Pack(error) => error.fmt(f),
            Self::Full => {
                f.write_str("the day is larger than gateway.spool_size: raise it, and start the feed again")
            }
        }
    }
}

impl std::error::Error for FeedError {}

impl From<BacklogError> for FeedError {
    fn from(error: BacklogError) -> Self {
        Self::Spool(error)
    }
}

impl From<PackError> for FeedError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

counter_group! {
    /// The counts of a feed.
    pub struct FeedCounts {
        ready gauge "feed_ready" "1 while the feed multicasts: the stream is read up to its end, and a leader is followed.",
        messages count "feed_messages" "Messages with a number, of all days.",
        datagrams count "feed_datagrams" "Datagrams multicast, heartbeats and ends of sessions among them.",
        too_long count "feed_too_long" "Messages passed over: longer than a datagram takes.",
        unmapped count "feed_unmapped" "Messages passed over: the mapping gave them no block.",
        requests_answered count "feed_answered" "Requests that were answered.",
        address_refused count "feed_address_refused" "Requests dropped as their address is in no network of feed.allow.",
    }
}

/// A feed: see the module.
#[derive(Debug)]
pub struct Feed<B> {
    source: FeedSource,
    mapping: Mapping,
    len_max: usize,
    clients: Clients,
    today: Ledger<B>,
    /// The former day, and its session.
    previous: (Ledger<B>, Option<Session>),
    session: Session,
    packer: Packer,
    server: RequestServer,
    allow: Option<Networks>,
    caught_up: bool,
    sent_at: Nanos,
    heartbeat_ns: Nanos,
    /// The block of the message that is being taken, or sent again.
    block: Vec<u8>,
    /// The counts so far.
    pub counts: FeedCounts,
}

impl<B: Backlog> Feed<B> {
    /// A feed of `source` in datagrams of at most `len_max` bytes. `whole`: the stream is read from its first
    /// entry on. It has one spool for the open day, and one for the day before.
    ///
    /// # Errors
    /// No message fits `len_max`.
    pub fn new(
        source: FeedSource,
        len_max: usize,
        spools: [B; 2],
        whole: bool,
        server: RequestServer,
    ) -> Result<Self, FeedError> {
        let [today, before] = spools.map(|spool| Ledger::new(spool, whole, true));
        let session = session_of(super::gateway::ledger::FIRST_DAY)?;
        let packer = Packer::new(session, len_max)?;
        let clients = Clients::default();
        let mapping = Mapping(Box::new(as_it_is));
        let (previous, block) = ((before, None), Vec::new());
        let (caught_up, sent_at, counts) = (false, 0, FeedCounts::default());
        Ok(Self {
            source,
            mapping,
            len_max,
            clients,
            today,
            previous,
            session,
            packer,
            server,
            allow: None,
            caught_up,
            sent_at,
            heartbeat_ns: HEARTBEAT_NS,
            block,
            counts,
        })
    }

    /// From now on it answers requests of these networks alone; without networks, all requests.
    pub fn set_allowed(&mut self, networks: Option<Networks>) {
        self.allow = networks;
    }

    /// The same feed with blocks that `mapping` makes of the messages of the source. It writes a message's
    /// block, which may be empty, into empty memory, and returns `true`. If it returns `false`, the message
    /// is skipped and has no number.
    ///
    /// Feeds emit the same numbers if they have the same mapping, and if the mapping returns the same for
    /// equal messages wherever and whenever it is called. So change it only between two trading days, in all
    /// feeds of a group.
    #[must_use]
    pub fn with_mapping(
        mut self,
        mapping: impl Fn(&Message<'_>, &mut Vec<u8>) -> bool + Send + 'static,
    ) -> Self {
        self.mapping = Mapping(Box::new(mapping));
        self
    }

    /// The same feed with heartbeats after this time without a datagram, instead of a second.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat_ns: Nanos) -> Self {
        self.heartbeat_ns = heartbeat_ns;
        self
    }

    /// The longest block that fits a datagram.
    pub fn message_len_max(&self) -> usize {
        self.packer.message_len_max()
    }

    /// Whether it multicasts: it has read the stream to its end.
    pub fn is_live(&self) -> bool {
        self.caught_up
    }

    /// The session and the number of its next message; `None` while no day is known or open.
    pub fn next_number(&self) -> Option<(Session, u64)> {
        match self.today.day() {
            LedgerDay::Open(name) => session_of(name).ok().map(|session| (session, self.next())),
            _ => None,
        }
    }

    fn next(&self) -> u64 {
        self.today.next_number(&[0])
    }

    fn carries(&self, message: &Message<'_>) -> bool {
        match &self.source {
            FeedSource::All => true,
            FeedSource::For(Recipient::Everybody | Recipient::Own) => message.destination == 0,
            FeedSource::For(Recipient::Channel(number)) => message.destination == CHANNELS + number,
            FeedSource::For(Recipient::Client(name)) => self.clients.id_of(name) == Some(message.destination),
        }
    }

    /// Handles an event of the committed subscription; full datagrams are passed to `send`.
    ///
    /// # Errors
    /// See [`FeedError`].
    pub fn on_stream(
        &mut self,
        now: Nanos,
        event: &SubscriberEvent<'_>,
        send: &mut impl FnMut(&[u8]),
    ) -> Result<(), FeedError> {
        self.clients.on_event(event);
        match event {
            SubscriberEvent::Message(message) if self.carries(message) => self.on_message(now, message, send),
            SubscriberEvent::Day { mark, .. } => {
                self.flush(now, send);
                if mark.is_start {
                    let previous = match self.today.day() {
                        LedgerDay::Unknown => None,
                        _ => Some(self.session),
                    };
                    if let Some(session) = self.previous.1.take() {
                        self.server.forget_session(session);
                    }
                    std::mem::swap(&mut self.today, &mut self.previous.0);
                    self.previous.1 = previous;
                    self.session = session_of(mark.name)?;
                    self.packer = Packer::new(self.session, self.len_max)?;
                }
                if !(planted(Mutation::FeedNumbersGoOn) && mark.is_start) {
                    self.today.on_day(mark)?;
                }
                self.sent_at = 0;
                Ok(())
            }
            SubscriberEvent::CaughtUp { .. } => {
                self.caught_up = true;
                self.sent_at = 0;
                Ok(())
            }
            // The message began before the first entry that was read. Other feeds may count it.
            SubscriberEvent::PartsDiscarded { bound: PartsBound::Beginning, .. } => {
                self.flush(now, send);
                if self.today.on_lacking() {
                    self.server.forget_session(self.session);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_message(
        &mut self,
        now: Nanos,
        message: &Message<'_>,
        send: &mut impl FnMut(&[u8]),
    ) -> Result<(), FeedError> {
        self.block.clear();
        if !(self.mapping.0)(message, &mut self.block) {
            self.counts.unmapped += 1;
            return Ok(());
        }
        if self.block.len() > self.message_len_max() {
            self.counts.too_long += 1;
            return Ok(());
        }
        let number = self.next();
        // The ledger has one list, whatever the destination is.
        if !self.today.on_message(&Message { destination: 0, payload: &self.block, ..*message })? {
            return if self.today.is_full() { Err(FeedError::Full) } else { Ok(()) };
        }
        self.counts.messages += 1;
        if self.caught_up && self.packer.push(number, &self.block)? == Push::Full {
            self.flush(now, send);
            // An empty datagram has room for `message_len_max` bytes.
            let _ = self.packer.push(number, &self.block)?;
        }
        Ok(())
    }

    fn flush(&mut self, now: Nanos, send: &mut impl FnMut(&[u8])) {
        if let Some(datagram) = self.packer.flush() {
            send(datagram);
            self.counts.datagrams += 1;
            self.sent_at = now;
        }
    }

    /// After a batch of the stream: sends the open datagram, a heartbeat if one is due, or the end of the
    /// session.
    pub fn turn(&mut self, now: Nanos, send: &mut impl FnMut(&[u8])) {
        self.flush(now, send);
        if !self.caught_up || self.sent_at != 0 && now < self.sent_at + self.heartbeat_ns {
            return;
        }
        let next = self.next();
        let datagram = match self.today.day() {
            LedgerDay::Unknown => return,
            LedgerDay::Open(_) => self.packer.heartbeat(next - u64::from(planted(Mutation::HeartbeatBehind))),
            LedgerDay::Over => {
                self.packer.end_of_session(next - u64::from(planted(Mutation::FeedEndsBefore)))
            }
        };
        send(&datagram);
        self.counts.datagrams += 1;
        self.sent_at = now.max(1);
    }

    /// Handles a request for messages. Returns the datagram of the answer, if there is one.
    ///
    /// # Errors
    /// The spool failed.
    pub fn on_request(
        &mut self,
        now: Nanos,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, FeedError> {
        if !Networks::allow(self.allow.as_ref(), from.ip()) {
            self.counts.address_refused += 1;
            return Ok(None);
        }
        let today = (*self.today.day() != LedgerDay::Unknown).then_some(self.session);
        for (session, ledger) in [(today, &self.today), (self.previous.1, &self.previous.0)] {
            if let Some(session) = session {
                let bounds = SessionBounds { session, first: 1, next: ledger.next_number(&[0]) };
                // Two sessions, and the server has room for sixteen.
                let _ = self.server.set_session(bounds);
            }
        }
        let Ok(answer) = self.server.on_request(now, from, bytes) else { return Ok(None) };
        let is_previous = self.previous.1 == Some(answer.session);
        let ledger = if is_previous { &self.previous.0 } else { &self.today };
        let mut packer = Packer::new(answer.session, self.len_max)?;
        let mut place = ledger.place(&[0], answer.from + u64::from(planted(Mutation::AnswerOff)));
        for number in answer.from..answer.to {
            if !ledger.next(&mut place, &mut self.block)? || packer.push(number, &self.block)? == Push::Full {
                break;
            }
        }
        self.counts.requests_answered += 1;
        Ok(packer.flush().map(<[u8]>::to_vec))
    }
}

/// The mapping of a feed without one of its own.
fn as_it_is(message: &Message<'_>, block: &mut Vec<u8>) -> bool {
    block.extend_from_slice(message.payload);
    true
}

fn session_of(name: &str) -> Result<Session, PackError> {
    Session::new(name.as_bytes()).map_err(|_| PackError::Session)
}
