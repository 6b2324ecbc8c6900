//! A small model of the stream, for random tests of gateways: names with incarnations, submissions under way,
//! the log with its committed part, and what each user must receive from it.

use super::GatewayStream;
use lockstep_core::engine::clients::CLIENT;
use lockstep_core::engine::publisher::{PublishError, PublisherEvent};
use lockstep_wire::{CHANNELS, Destination, PublisherId, PublisherSeq};
use std::collections::{BTreeMap, VecDeque};

/// Bob numbers his messages, carol receives alice's and others', and mally sends anything.
pub(super) const USERS: [&str; 4] = ["alice", "bob", "carol", "mally"];
/// The user who numbers his messages.
pub(super) const BOB: usize = 1;
/// The application that answers.
pub(super) const APPLICATION: PublisherId = 1_000;
pub(super) const MESSAGE_LEN_MAX: usize = 50_000;
/// The most submissions of one gateway under way.
const WINDOW: usize = 6;

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Opened { publisher: PublisherId, incarnation: u32, nonce: [u64; 2], name: String },
    Closed { publisher: PublisherId, reason: Vec<u8> },
    Message { publisher: PublisherId, destination: Destination, payload: Vec<u8> },
    Day(Option<String>),
}

/// The submissions under way to the stream; each but an open is of an incarnation.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    /// Sent again as long as its sender waits for it; a late copy is valid only behind `after`.
    Open {
        name: String,
        nonce: [u64; 2],
        after: Option<u32>,
    },
    Message {
        publisher: PublisherId,
        incarnation: u32,
        destination: Destination,
        payload: Vec<u8>,
    },
    Close {
        publisher: PublisherId,
        incarnation: u32,
        reason: Vec<u8>,
    },
    Day(Option<String>),
    /// The application answers the client message with this index, with this many more bytes.
    Answer(usize, usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LineState {
    Opening,
    /// Its open entry was read and is not reported yet.
    Seen {
        at: usize,
    },
    Open,
    /// An entry that is not final yet ends it.
    Ending {
        at: usize,
        fenced: bool,
        opened: bool,
    },
    Fenced,
    Closed,
}

#[derive(Debug)]
struct Line {
    name: String,
    nonce: [u64; 2],
    incarnation: u32,
    /// The position of its open entry.
    opened_at: usize,
    state: LineState,
}

/// A publisher's handle: `engine::publisher` in small.
#[derive(Debug, Default)]
pub(super) struct Handle {
    /// The number that marks its submissions.
    pub(super) number: u64,
    lines: Vec<Line>,
    by_id: BTreeMap<PublisherId, usize>,
    pub(super) sent: VecDeque<Sent>,
    /// The number of entries that it has read.
    pub(super) read: usize,
    drawn: u64,
}

impl Handle {
    /// Each handle draws other nonces.
    pub(super) fn new(number: u64) -> Self {
        Self { number, drawn: number << 32, ..Self::default() }
    }

    fn line(&self, publisher: PublisherId) -> Result<&Line, PublishError> {
        let line =
            self.by_id.get(&publisher).map(|index| &self.lines[*index]).ok_or(PublishError::NotOpen)?;
        match line.state {
            LineState::Open if self.sent.len() >= WINDOW => Err(PublishError::Backpressure),
            LineState::Open => Ok(line),
            LineState::Fenced => Err(PublishError::Fenced),
            LineState::Closed => Err(PublishError::Closed),
            LineState::Ending { opened: true, .. } => Err(PublishError::Backpressure),
            LineState::Opening | LineState::Seen { .. } | LineState::Ending { .. } => {
                Err(PublishError::NotOpen)
            }
        }
    }

    /// Reads `entries` behind those that were read; everything below `committed` is final. Returns the
    /// events. An open that is fenced within the same `entries` is not reported as opened.
    pub(super) fn read(&mut self, entries: &[Entry], committed: usize) -> Vec<PublisherEvent> {
        for (at, entry) in (self.read..).zip(entries) {
            match entry {
                Entry::Opened { publisher, incarnation, nonce, name } => {
                    for (index, line) in
                        self.lines.iter_mut().enumerate().filter(|(_, line)| line.name == *name)
                    {
                        match line.state {
                            LineState::Opening if line.nonce == *nonce => {
                                self.by_id.insert(*publisher, index);
                                (line.incarnation, line.opened_at) = (*incarnation, at);
                                line.state = LineState::Seen { at };
                            }
                            LineState::Open | LineState::Seen { .. } if *incarnation > line.incarnation => {
                                let opened = line.state == LineState::Open;
                                line.state = LineState::Ending { at, fenced: true, opened };
                            }
                            _ => {}
                        }
                    }
                }
                Entry::Closed { publisher, .. } => {
                    if let Some(index) = self.by_id.get(publisher)
                        && let line = &mut self.lines[*index]
                        && matches!(line.state, LineState::Open | LineState::Seen { .. })
                    {
                        let opened = line.state == LineState::Open;
                        line.state = LineState::Ending { at, fenced: false, opened };
                    }
                }
                Entry::Message { .. } | Entry::Day(_) => {}
            }
        }
        self.read += entries.len();
        let mut events = Vec::new();
        for (&publisher, &ticket) in &self.by_id {
            let line = &mut self.lines[ticket];
            match line.state {
                LineState::Seen { at } if at < committed => {
                    line.state = LineState::Open;
                    events.push(PublisherEvent::Opened { ticket, publisher, publisher_seq: 1, last: 0 });
                }
                LineState::Ending { at, fenced, .. } if at < committed => {
                    line.state = if fenced { LineState::Fenced } else { LineState::Closed };
                }
                _ => {}
            }
        }
        events
    }

    /// Nothing from `from` on survived a takeover.
    pub(super) fn cut(&mut self, from: usize) {
        self.read = self.read.min(from);
        for line in &mut self.lines {
            if let LineState::Ending { at, opened, .. } = line.state
                && at >= from
            {
                line.state = if opened { LineState::Open } else { LineState::Seen { at: line.opened_at } };
            }
            if let LineState::Seen { at } = line.state
                && at >= from
            {
                line.state = LineState::Opening;
            }
        }
    }
}

impl GatewayStream for Handle {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        let line = Line { name: name.into(), nonce, incarnation: 0, opened_at: 0, state: LineState::Opening };
        let is_over =
            |old: &Line| old.name == name && matches!(old.state, LineState::Fenced | LineState::Closed);
        let ticket = self.lines.iter().position(is_over).unwrap_or(self.lines.len());
        self.by_id.retain(|_, index| *index != ticket);
        match self.lines.get_mut(ticket) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        self.sent.push_back(Sent::Open { name: name.into(), nonce, after: None });
        Some(ticket)
    }

    fn publish(
        &mut self,
        publisher: PublisherId,
        destination: Destination,
        payload: &[u8],
    ) -> Result<PublisherSeq, PublishError> {
        if payload.len() > MESSAGE_LEN_MAX {
            return Err(PublishError::TooLong { len: payload.len(), max: MESSAGE_LEN_MAX });
        }
        let (incarnation, payload) = (self.line(publisher)?.incarnation, payload.to_vec());
        self.sent.push_back(Sent::Message { publisher, incarnation, destination, payload });
        Ok(1)
    }

    fn close(&mut self, publisher: PublisherId, reason: &[u8]) -> Result<(), PublishError> {
        let (incarnation, reason) = (self.line(publisher)?.incarnation, reason.to_vec());
        self.sent.push_back(Sent::Close { publisher, incarnation, reason });
        Ok(())
    }

    fn draw(&mut self) -> [u64; 2] {
        self.drawn += 1;
        [self.drawn << 8, 0]
    }
}

#[derive(Clone, Debug, Default)]
struct Name {
    id: PublisherId,
    incarnation: u32,
    is_closed: bool,
}

/// The state that follows from a log, or from its committed part.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    names: BTreeMap<String, Name>,
    pub(super) day: Option<String>,
    /// The messages that each user receives in each day, in order.
    pub(super) sequences: BTreeMap<(String, usize), Vec<Vec<u8>>>,
    /// The messages that each user sent, by the session in which it had logged in.
    published: BTreeMap<(String, usize), Vec<Vec<u8>>>,
    /// The session of each user's last login.
    login_day: [String; USERS.len()],
    /// The session that is open, or was open last.
    session: String,
    /// Each login of a user and each open that took it over: the gateway, and how many messages the user had
    /// sent in that day.
    pub(super) opens: Vec<(usize, PublisherId, u64)>,
    /// Messages of clients, with their publishers.
    orders: Vec<(PublisherId, Vec<u8>)>,
    answers: usize,
}

impl State {
    fn id(&self, user: usize) -> Option<PublisherId> {
        self.names.get(&format!("{CLIENT}{}", USERS[user])).map(|name| name.id)
    }

    fn user(&self, id: PublisherId) -> Option<usize> {
        (0..USERS.len()).find(|user| self.id(*user) == Some(id))
    }

    pub(super) fn incarnation(&self, name: &str) -> u32 {
        self.names.get(name).map_or(0, |name| name.incarnation)
    }

    /// The messages that a user sent, by session.
    pub(super) fn published_by(&self, user: usize) -> impl Iterator<Item = (&String, &Vec<Vec<u8>>)> {
        self.published
            .iter()
            .filter(move |((_, who), _)| *who == user)
            .map(|((session, _), published)| (session, published))
    }

    fn hears(&self, user: usize, destination: Destination) -> bool {
        match USERS[user] {
            "carol" => destination == 0 || destination == CHANNELS + 7 || Some(destination) == self.id(0),
            _ => Some(destination) == self.id(user),
        }
    }

    fn is_live(&self, publisher: PublisherId, incarnation: u32) -> bool {
        let is = |name: &Name| (name.id, name.incarnation, name.is_closed) == (publisher, incarnation, false);
        self.names.values().any(is)
    }

    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Day(name) => {
                if let Some(name) = name {
                    self.session.clone_from(name);
                }
                self.day.clone_from(name);
            }
            Entry::Opened { publisher, incarnation, nonce, name } => {
                let known = self.names.entry(name.clone()).or_default();
                *known = Name { id: *publisher, incarnation: *incarnation, is_closed: false };
                if let Some(user) = self.user(*publisher) {
                    self.login_day[user].clone_from(&self.session);
                    let published = self.published.get(&(self.session.clone(), user)).map_or(0, Vec::len);
                    self.opens.push((user, (nonce[1] >> 32) as PublisherId, published as u64));
                }
            }
            Entry::Closed { publisher, .. } => {
                if let Some(name) = self.names.values_mut().find(|name| name.id == *publisher) {
                    name.is_closed = true;
                }
            }
            Entry::Message { publisher, destination, payload } => {
                self.answers += usize::from(*publisher == APPLICATION);
                if let Some(user) = self.user(*publisher) {
                    self.published
                        .entry((self.login_day[user].clone(), user))
                        .or_default()
                        .push(payload.clone());
                    self.orders.push((*publisher, payload.clone()));
                }
                let hearers = (0..USERS.len()).filter(|user| self.hears(*user, *destination));
                let hearers: Vec<_> = hearers.collect();
                for (day, user) in self.day.iter().flat_map(|day| hearers.iter().map(move |user| (day, user)))
                {
                    self.sequences.entry((day.clone(), *user)).or_default().push(payload.clone());
                }
            }
        }
    }
}

/// The log: its entries, and how many of them are committed.
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// The sender of each entry, and the submission that it was.
    origins: Vec<(u64, Sent)>,
    pub(super) committed: usize,
    /// The state after all entries.
    stamped: State,
    /// The state after the committed entries.
    pub(super) fixed: State,
    /// The number of answers under way or stamped.
    answering: usize,
}

/// A sender that is not known.
pub(super) const NOBODY: u64 = u64::MAX;

impl Log {
    pub(super) fn new(day: &str) -> Self {
        let state = State { day: Some(day.to_owned()), session: day.to_owned(), ..State::default() };
        Self {
            entries: Vec::new(),
            origins: Vec::new(),
            committed: 0,
            stamped: state.clone(),
            fixed: state,
            answering: 0,
        }
    }

    fn push(&mut self, entry: Entry, origin: (u64, Sent)) {
        self.stamped.take(&entry);
        self.entries.push(entry);
        self.origins.push(origin);
    }

    /// The open day, for the publisher that marks days.
    pub(super) fn day(&self) -> &Option<String> {
        &self.stamped.day
    }

    pub(super) fn incarnation(&self, name: &str) -> u32 {
        self.stamped.incarnation(name)
    }

    /// Submissions under way arrive; those of a former incarnation are not stamped.
    pub(super) fn stamp(&mut self, owner: u64, sent: Sent) {
        let entry = match sent.clone() {
            Sent::Open { name, nonce, after } => {
                if after.is_some_and(|after| after != self.stamped.incarnation(&name)) {
                    return;
                }
                let count = self.stamped.names.len() as PublisherId;
                let known = self.stamped.names.get(&name);
                let publisher = known.map_or(count + 1, |known| known.id);
                let incarnation = known.map_or(0, |known| known.incarnation) + 1;
                Entry::Opened { publisher, incarnation, nonce, name }
            }
            Sent::Message { publisher, incarnation, destination, payload } => {
                if !self.stamped.is_live(publisher, incarnation) {
                    return;
                }
                Entry::Message { publisher, destination, payload }
            }
            Sent::Close { publisher, incarnation, reason } => {
                if !self.stamped.is_live(publisher, incarnation) {
                    return;
                }
                Entry::Closed { publisher, reason }
            }
            Sent::Day(name) => Entry::Day(name),
            Sent::Answer(index, more) => {
                let (destination, order) = &self.fixed.orders[index];
                let payload = [b"ack ", &order[..], &vec![b'.'; more]].concat();
                Entry::Message { publisher: APPLICATION, destination: *destination, payload }
            }
        };
        self.push(entry, (owner, sent));
    }

    /// The application answers each committed message of a client, some at length.
    pub(super) fn answer(&mut self, more: usize) {
        while self.answering < self.fixed.orders.len() {
            self.stamp(NOBODY, Sent::Answer(self.answering, more));
            self.answering += 1;
        }
    }

    /// `count` more entries are committed.
    pub(super) fn commit(&mut self, count: usize) {
        let to = self.committed.saturating_add(count).min(self.entries.len());
        for entry in &self.entries[self.committed..to] {
            self.fixed.take(entry);
        }
        self.committed = to;
    }

    /// A takeover: nothing from `from` on, which is not committed, survived. Returns the senders and their
    /// submissions: each sends it again as long as it waits for it. The application does so at once, in its
    /// order.
    pub(super) fn retract(&mut self, from: usize) -> Vec<(u64, Sent)> {
        let from = from.max(self.committed);
        self.stamped = self.fixed.clone();
        for entry in &self.entries[self.committed..from] {
            self.stamped.take(entry);
        }
        self.entries.truncate(from);
        let lost = self.origins.split_off(from);
        let (answers, others): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|(_, sent)| matches!(sent, Sent::Answer(..)));
        self.answering -= answers.len();
        others
    }
}
