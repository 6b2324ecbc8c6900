//! A receiver: any feeds in, each message once and in order out.
//!
//! Whatever comes, from either feed or as an answer, goes into [`Client::on_datagram`]; copies are told by
//! their numbers alone, as answers need not have the datagrams of the feed. A packet ahead of a gap is kept;
//! the gap is asked for after a guard, which gives a second feed and reordering their time, and again when an
//! answer does not come, at the next server, until it is given up and said so.
//!
//! The nearest gap is asked for, and the next one when that is closed: a server answers a request with one
//! datagram, and requests for gaps behind it would come back before they can be used.
//!
//! ```text
//!   next ─▶ in order: out      ahead ─▶ kept      behind ─▶ dropped, as a copy
//!     ▲                                    │
//!     └── gap: guard ─ ask ─ ask the next ─┴─ given up: Lost
//! ```

use super::packet::{COUNT_MAX, Downstream, HEADER_LEN, Messages, MoldError, Request};
use crate::session::Session;

/// The timers and the memory of a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// From the discovery of a gap to its first request; 1 ms is ample between two feeds of one site.
    pub guard_ns: u64,
    /// From a request to the next one that is sent for want of an answer.
    pub retry_ns: u64,
    /// Requests in a row that bring nothing, before a gap is given up.
    pub tries_max: u32,
    /// Request servers, asked in turn; 0: gaps are given up when the guard is over.
    pub servers: u32,
    /// Most messages of a request.
    pub count_max: u16,
    /// How far ahead of a gap messages are kept. A packet further ahead is asked for again.
    pub ahead_max: usize,
    /// Most bytes of messages that are kept.
    pub ahead_bytes_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            guard_ns: 1_000_000,
            retry_ns: 50_000_000,
            tries_max: 8,
            servers: 1,
            count_max: 256,
            ahead_max: 8_192,
            ahead_bytes_max: 8 << 20,
        }
    }
}

/// Where a receiver begins. The specification leaves it to the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// With this message; 1 is the beginning of the session.
    At(u64),
    /// With the first one that is seen.
    FirstSeen,
}

/// What a receiver says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The next message.
    Message {
        /// Its number.
        seq: u64,
        /// May be empty.
        bytes: &'a [u8],
    },
    /// No server had these, from `from` up to, and without, `to`; what follows comes next.
    Lost {
        /// The first one.
        from: u64,
        /// Behind the last one.
        to: u64,
    },
    /// The feed has another session, from which nothing is taken: [`Client::pin`] it, or go on without. Said
    /// once for each that follows another.
    SessionChanged {
        /// Ours.
        from: Session,
        /// The other.
        to: Session,
        /// Number of what came of it.
        seq: u64,
    },
    /// The session is over, and everything of it was delivered or given up. Said once.
    Ended {
        /// The number that the next message would have had.
        next_seq: u64,
    },
}

/// What happened beside the events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClientCounters {
    /// Datagrams that were refused.
    pub malformed: u64,
    /// Datagrams of another session.
    pub other_session: u64,
    /// Messages that were there already: copies of the other feed, late ones, repeated answers.
    pub copies: u64,
    /// Messages too far ahead to be kept.
    pub beyond: u64,
    /// Requests.
    pub requests: u64,
    /// Messages that were given up.
    pub lost: u64,
}

/// The request for the nearest gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ask {
    /// The first missing message when it was sent, or the guard set.
    from: u64,
    /// Behind the gap of then.
    to: u64,
    due_at: u64,
    /// Requests that brought nothing, this one among them.
    tries: u32,
}

/// Messages ahead of a gap: a ring by number, whose memory is used again.
#[derive(Clone, Debug)]
struct Ahead {
    slots: Vec<Slot>,
    count: usize,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// 0: nothing.
    seq: u64,
    bytes: Vec<u8>,
}

/// What a slot may keep of memory while it is empty.
const SLOT_CAPACITY_RETAINED: usize = 2_048;

impl Ahead {
    fn slot(&self, seq: u64) -> usize {
        (seq % self.slots.len() as u64) as usize
    }

    fn has(&self, seq: u64) -> bool {
        self.count > 0 && self.slots[self.slot(seq)].seq == seq
    }

    /// Keeps a message that is at most the ring's length ahead of `next`; whether it did.
    fn put(&mut self, next: u64, seq: u64, bytes: &[u8], bytes_max: usize) -> bool {
        if seq - next >= self.slots.len() as u64 || self.bytes + bytes.len() > bytes_max {
            return false;
        }
        let at = self.slot(seq);
        let slot = &mut self.slots[at];
        slot.seq = seq;
        slot.bytes.clear();
        slot.bytes.extend_from_slice(bytes);
        self.count += 1;
        self.bytes += bytes.len();
        true
    }

    /// Empties the slot of `seq`, whose bytes stay readable until it is filled again; where it is.
    fn take(&mut self, seq: u64) -> Option<usize> {
        if !self.has(seq) {
            return None;
        }
        let at = self.slot(seq);
        self.slots[at].seq = 0;
        self.count -= 1;
        self.bytes -= self.slots[at].bytes.len();
        Some(at)
    }

    /// Gives memory of large messages back.
    fn drop_memory(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if slot.seq == 0 && slot.bytes.capacity() > SLOT_CAPACITY_RETAINED {
            slot.bytes = Vec::new();
        }
    }

    /// The first one from `next` on.
    fn first(&self, next: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        self.slots.iter().map(|slot| slot.seq).filter(|&seq| seq >= next && seq != 0).min()
    }

    fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
        (self.count, self.bytes) = (0, 0);
    }
}

/// A receiver's machine.
#[derive(Clone, Debug)]
pub struct Client {
    limits: ClientLimits,
    session: Option<Session>,
    /// Of the next message to deliver; 0 before the first datagram where any will do.
    next: u64,
    /// Behind the last message that is known to exist.
    known: u64,
    /// What the session ended with, and whether it was said.
    end: Option<u64>,
    is_ended: bool,
    foreign: Option<Session>,
    ahead: Ahead,
    /// The slot whose message was lent last.
    lent: Option<usize>,
    ask: Option<Ask>,
    server: u32,
    /// What `on_timer` has given up and `next_event` is to say.
    lost: Option<(u64, u64)>,
    counters: ClientCounters,
}

impl Client {
    /// A receiver of this session, or of the first one that it sees.
    pub fn new(session: Option<Session>, start: Start, limits: ClientLimits) -> Self {
        let slots = vec![Slot::default(); limits.ahead_max.max(1)];
        let next = match start {
            Start::At(seq) => seq.max(1),
            Start::FirstSeen => 0,
        };
        Self {
            limits,
            session,
            next,
            known: next,
            end: None,
            is_ended: false,
            foreign: None,
            ahead: Ahead { slots, count: 0, bytes: 0 },
            lent: None,
            ask: None,
            server: 0,
            lost: None,
            counters: ClientCounters::default(),
        }
    }

    /// The session, once there is one.
    pub fn session(&self) -> Option<Session> {
        self.session
    }

    /// Number of the next message to deliver; 0 as long as any will do.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Behind the last message that is known to exist.
    pub fn known_next(&self) -> u64 {
        self.known
    }

    /// Messages kept behind a gap, and their bytes.
    pub fn buffered(&self) -> (usize, usize) {
        (self.ahead.count, self.ahead.bytes)
    }

    /// What happened beside the events.
    pub fn counters(&self) -> &ClientCounters {
        &self.counters
    }

    /// Leaves the session for another, and begins there. What was kept is dropped.
    pub fn pin(&mut self, session: Session, start: Start) {
        let mut ahead = std::mem::replace(&mut self.ahead, Ahead { slots: Vec::new(), count: 0, bytes: 0 });
        ahead.clear();
        let old = Self::new(Some(session), start, ClientLimits { ahead_max: 0, ..self.limits });
        *self = Self { limits: self.limits, ahead, counters: self.counters, server: self.server, ..old };
    }

    /// A datagram, from any feed or request server. The events are read from what is returned, until there
    /// are no more; what is not read is not delivered, and will be missing.
    pub fn on_datagram<'c, 'd>(&'c mut self, now: u64, bytes: &'d [u8]) -> Result<Intake<'c, 'd>, MoldError> {
        let datagram = Downstream::decode(bytes).inspect_err(|_| self.counters.malformed += 1)?;
        let session = *self.session.get_or_insert(datagram.session());
        if datagram.session() != session {
            self.counters.other_session += 1;
            let is_new = self.foreign.replace(datagram.session()) != Some(datagram.session());
            let (to, seq) = (datagram.session(), datagram.seq());
            let event = is_new.then_some(Event::SessionChanged { from: session, to, seq });
            return Ok(Intake { client: self, now, messages: None, event });
        }
        if self.is_ended {
            return Ok(Intake { client: self, now, messages: None, event: None });
        }
        if self.next == 0 {
            (self.next, self.known) = (datagram.seq(), datagram.seq());
        }
        // Never backwards: copies and late ones say less than is known. Behind the end there is nothing.
        let is_end = matches!(datagram, Downstream::EndOfSession { .. });
        let next_seq = match self.end {
            Some(end) if !is_end => datagram.next_seq().min(end),
            _ => datagram.next_seq(),
        };
        self.known = self.known.max(next_seq);
        if is_end {
            self.end = Some(self.known);
        }
        let messages = match datagram {
            Downstream::Messages(messages) => Some(messages),
            _ => None,
        };
        Ok(Intake { client: self, now, messages, event: None })
    }

    /// The next of these messages that is to be delivered; those ahead of a gap are kept.
    fn next_of<'d>(&mut self, messages: &mut Messages<'d>) -> Option<Event<'d>> {
        for (seq, bytes) in messages {
            if seq < self.next {
                self.counters.copies += 1;
            } else if self.end.is_some_and(|end| seq >= end) {
                self.counters.beyond += 1;
            } else if seq == self.next {
                self.ahead.take(seq);
                self.next += 1;
                return Some(Event::Message { seq, bytes });
            } else if self.ahead.has(seq) {
                self.counters.copies += 1;
            } else if !self.ahead.put(self.next, seq, bytes, self.limits.ahead_bytes_max) {
                self.counters.beyond += 1;
            }
        }
        None
    }

    /// What can be delivered of what is kept, and the end.
    fn next_buffered(&mut self) -> Option<Event<'_>> {
        if self.is_ended {
            return None;
        }
        if let Some(at) = self.ahead.take(self.next) {
            let seq = self.next;
            self.next += 1;
            self.lent = Some(at);
            return Some(Event::Message { seq, bytes: &self.ahead.slots[at].bytes });
        }
        self.is_ended = self.end.is_some_and(|end| self.next >= end);
        self.is_ended.then_some(Event::Ended { next_seq: self.next })
    }

    /// What was lent is read, and what was given up comes before what follows it.
    fn next_lost(&mut self) -> Option<(u64, u64)> {
        if let Some(at) = self.lent.take() {
            self.ahead.drop_memory(at);
        }
        self.lost.take()
    }

    /// Behind the nearest gap, if there is one.
    fn gap_to(&self) -> Option<u64> {
        if self.next == 0 || self.ahead.has(self.next) {
            return None;
        }
        let to = self.ahead.first(self.next).unwrap_or(self.known);
        (to > self.next).then_some(to)
    }

    /// Sets the timer of the nearest gap by what came.
    fn look(&mut self, now: u64) {
        if self.next >= self.known || self.is_ended {
            self.ask = None;
            return;
        }
        // Nothing came of it: it is as it was, and nothing is searched.
        if self.ask.is_some_and(|ask| ask.from == self.next) {
            return;
        }
        self.ask = self.gap_to().map(|to| match self.ask {
            // An answer brought a part: the rest at once, of the same server.
            Some(ask) if ask.tries > 0 && self.next < ask.to => {
                Ask { from: self.next, to: ask.to, due_at: now, tries: 0 }
            }
            // The guard still runs.
            Some(ask) if self.next < ask.to => Ask { from: self.next, ..ask },
            _ => Ask { from: self.next, to, due_at: now.saturating_add(self.limits.guard_ns), tries: 0 },
        });
    }

    /// When [`Client::on_timer`] has something to do; `u64::MAX` if never.
    pub fn next_deadline(&self) -> u64 {
        self.ask.map_or(u64::MAX, |ask| ask.due_at)
    }

    /// A request that is due: the place of the server, and its bytes. Send it from the socket that is to get
    /// the answer. If instead a gap was given up, [`Client::next_event`] says so.
    pub fn on_timer(&mut self, now: u64) -> Option<(u32, [u8; HEADER_LEN])> {
        self.look(now);
        let session = self.session?;
        let ask = self.ask.filter(|ask| now >= ask.due_at)?;
        let Some(to) = self.gap_to() else {
            self.ask = None;
            return None;
        };
        if self.limits.servers == 0 || ask.tries >= self.limits.tries_max {
            self.give_up(now, to);
            return None;
        }
        if ask.tries > 0 {
            self.server = self.server.wrapping_add(1);
        }
        self.server %= self.limits.servers;
        let due_at = now.saturating_add(self.limits.retry_ns.max(1));
        self.ask = Some(Ask { from: self.next, to, due_at, tries: ask.tries + 1 });
        self.counters.requests += 1;
        let count = (to - self.next).min(u64::from(self.limits.count_max.clamp(1, COUNT_MAX))) as u16;
        Some((self.server, Request { session, seq: self.next, count }.encode()))
    }

    fn give_up(&mut self, now: u64, to: u64) {
        // Unread from before: one range that says both.
        let from = self.lost.map_or(self.next, |(from, _)| from);
        self.counters.lost += to - self.next;
        self.lost = Some((from, to));
        (self.next, self.ask) = (to, None);
        self.look(now);
    }

    /// What there is to say without a datagram: behind [`Client::on_timer`], until there is no more.
    pub fn next_event(&mut self, now: u64) -> Option<Event<'_>> {
        self.look(now);
        if let Some((from, to)) = self.next_lost() {
            return Some(Event::Lost { from, to });
        }
        self.next_buffered()
    }
}

/// The events of one datagram.
#[derive(Debug)]
pub struct Intake<'c, 'd> {
    client: &'c mut Client,
    now: u64,
    messages: Option<Messages<'d>>,
    event: Option<Event<'d>>,
}

impl Intake<'_, '_> {
    /// The next one, until there are no more.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        if let Some((from, to)) = self.client.next_lost() {
            return Some(Event::Lost { from, to });
        }
        if let Some(event) = self.event.take() {
            return Some(event);
        }
        if let Some(event) = self.messages.as_mut().and_then(|messages| self.client.next_of(messages)) {
            return Some(event);
        }
        self.messages = None;
        self.client.next_buffered()
    }
}

impl Drop for Intake<'_, '_> {
    /// Whatever was read: what is missing now is asked for.
    fn drop(&mut self) {
        self.client.look(self.now);
    }
}
