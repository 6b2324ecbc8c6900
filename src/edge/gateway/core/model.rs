//! The stream in small, for tests of whatever may happen to gateways: names with incarnations, what is under way to
//! them, the log, and what follows from it for each user.

use super::Stream;
use crate::edge::gateway::clients::CLIENT;
use crate::engine::publisher::{PublishError, PublisherEvent};
use crate::wire::{CHANNELS, Destination, PublisherId, PublisherSeq};
use std::collections::{BTreeMap, VecDeque};

/// Bob numbers what he says, carol hears alice and others, and mally says anything.
pub(super) const USERS: [&str; 4] = ["alice", "bob", "carol", "mally"];
/// Who answers.
pub(super) const APPLICATION: PublisherId = 1_000;
pub(super) const MESSAGE_LEN_MAX: usize = 50_000;
/// Submissions of one gateway that may be under way.
const WINDOW: usize = 6;

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Opened { publisher: PublisherId, incarnation: u32, nonce: [u64; 2], name: String },
    Closed { publisher: PublisherId, said: Vec<u8> },
    Message { publisher: PublisherId, destination: Destination, payload: Vec<u8> },
    Day(Option<String>),
}

/// What is under way to the stream; but for an open, of an incarnation.
pub(super) enum Sent {
    /// Sent again for as long as somebody waits for it; what is left of it then is good behind `after` alone.
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
        said: Vec<u8>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LineState {
    Opening,
    /// Its open entry was read and is not told yet.
    Seen,
    Open,
    Fenced,
    Closed,
}

struct Line {
    name: String,
    nonce: [u64; 2],
    incarnation: u32,
    state: LineState,
}

/// A publisher's handle: `engine::publisher` in small.
#[derive(Default)]
pub(super) struct Handle {
    lines: Vec<Line>,
    by_id: BTreeMap<PublisherId, usize>,
    pub(super) sent: VecDeque<Sent>,
    /// Entries that were read.
    pub(super) read: usize,
    drawn: u64,
}

impl Handle {
    /// No two draw the same.
    pub(super) fn new(number: u64) -> Self {
        Self { drawn: number << 32, ..Self::default() }
    }

    fn line(&self, publisher: PublisherId) -> Result<&Line, PublishError> {
        let line =
            self.by_id.get(&publisher).map(|index| &self.lines[*index]).ok_or(PublishError::NotOpen)?;
        match line.state {
            LineState::Open if self.sent.len() >= WINDOW => Err(PublishError::Backpressure),
            LineState::Open => Ok(line),
            LineState::Fenced => Err(PublishError::Fenced),
            LineState::Closed => Err(PublishError::Closed),
            LineState::Opening | LineState::Seen => Err(PublishError::NotOpen),
        }
    }

    /// Reads on; what it tells. An open that is fenced in the same piece is not told as opened.
    pub(super) fn read(&mut self, entries: &[Entry]) -> Vec<PublisherEvent> {
        for entry in entries {
            match entry {
                Entry::Opened { publisher, incarnation, nonce, name } => {
                    if let Some(index) = self.by_id.get(publisher)
                        && matches!(self.lines[*index].state, LineState::Open | LineState::Seen)
                    {
                        self.lines[*index].state = LineState::Fenced;
                    }
                    let own = |line: &Line| line.nonce == *nonce && line.name == *name;
                    if let Some(index) = self.lines.iter().position(own) {
                        self.by_id.insert(*publisher, index);
                        let line = &mut self.lines[index];
                        (line.incarnation, line.state) = (*incarnation, LineState::Seen);
                    }
                }
                Entry::Closed { publisher, .. } => {
                    if let Some(index) = self.by_id.get(publisher)
                        && matches!(self.lines[*index].state, LineState::Open | LineState::Seen)
                    {
                        self.lines[*index].state = LineState::Closed;
                    }
                }
                Entry::Message { .. } | Entry::Day(_) => {}
            }
        }
        let mut told = Vec::new();
        for (publisher, ticket) in &self.by_id {
            let line = &mut self.lines[*ticket];
            if line.state == LineState::Seen {
                line.state = LineState::Open;
                let (ticket, publisher) = (*ticket, *publisher);
                told.push(PublisherEvent::Opened { ticket, publisher, publisher_seq: 1, last: 0 });
            }
        }
        self.read += entries.len();
        told
    }
}

impl Stream for Handle {
    fn open(&mut self, name: &str, nonce: [u64; 2]) -> Option<usize> {
        let line = Line { name: name.into(), nonce, incarnation: 0, state: LineState::Opening };
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

    fn close(&mut self, publisher: PublisherId, said: &[u8]) -> Result<(), PublishError> {
        let (incarnation, said) = (self.line(publisher)?.incarnation, said.to_vec());
        self.sent.push_back(Sent::Close { publisher, incarnation, said });
        Ok(())
    }

    fn draw(&mut self) -> [u64; 2] {
        self.drawn += 1;
        [self.drawn << 8, 0]
    }
}

#[derive(Default)]
struct Name {
    id: PublisherId,
    incarnation: u32,
    is_closed: bool,
}

/// The log, and what follows from it for each user.
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    names: BTreeMap<String, Name>,
    pub(super) day: Option<String>,
    /// What each user hears of each day, in order.
    pub(super) sequences: BTreeMap<(String, usize), Vec<Vec<u8>>>,
    /// The last number of each user, and whether it was of this day.
    last: [(u64, bool); USERS.len()],
    answered: usize,
}

impl Log {
    pub(super) fn new(day: &str) -> Self {
        Self {
            entries: Vec::new(),
            names: BTreeMap::new(),
            day: Some(day.to_owned()),
            sequences: BTreeMap::new(),
            last: Default::default(),
            answered: 0,
        }
    }

    fn id(&self, user: usize) -> Option<PublisherId> {
        self.names.get(&format!("{CLIENT}{}", USERS[user])).map(|name| name.id)
    }

    pub(super) fn incarnation(&self, name: &str) -> u32 {
        self.names.get(name).map_or(0, |name| name.incarnation)
    }

    fn hears(&self, user: usize, destination: Destination) -> bool {
        match USERS[user] {
            "carol" => destination == 0 || destination == CHANNELS + 7 || Some(destination) == self.id(0),
            _ => Some(destination) == self.id(user),
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        match &entry {
            Entry::Day(name) => {
                self.day.clone_from(name);
                self.last.iter_mut().for_each(|last| last.1 = false);
            }
            Entry::Message { publisher, destination, payload } => {
                let sender = (0..USERS.len()).find(|user| self.id(*user) == Some(*publisher));
                if let Some(user) = sender.filter(|user| USERS[*user] != "mally") {
                    let number = u64::from_be_bytes(*payload.first_chunk().expect("it begins with a number"));
                    let (last, of_today) = self.last[user];
                    let follows = match USERS[user] {
                        "bob" if !of_today => number == 1 || number == last + 1,
                        "bob" => number == last + 1,
                        _ => number > last,
                    };
                    assert!(follows, "{} said {number} behind {last}", USERS[user]);
                    self.last[user] = (number, true);
                }
                let hearers: Vec<_> =
                    (0..USERS.len()).filter(|user| self.hears(*user, *destination)).collect();
                for (day, user) in
                    self.day.iter().flat_map(|day| hearers.iter().map(move |user| (day, *user)))
                {
                    self.sequences.entry((day.clone(), user)).or_default().push(payload.clone());
                }
            }
            Entry::Opened { .. } | Entry::Closed { .. } => {}
        }
        self.entries.push(entry);
    }

    /// What is under way comes in; what an incarnation that is gone has said is not stamped.
    pub(super) fn stamp(&mut self, sent: Sent) {
        let count = self.names.len() as PublisherId;
        let live = |names: &BTreeMap<String, Name>, publisher, incarnation| {
            names
                .values()
                .any(|name| (name.id, name.incarnation, name.is_closed) == (publisher, incarnation, false))
        };
        match sent {
            Sent::Open { name, nonce, after } => {
                if after.is_some_and(|after| after != self.incarnation(&name)) {
                    return;
                }
                let known = self.names.entry(name.clone()).or_default();
                if known.id == 0 {
                    known.id = count + 1;
                }
                (known.incarnation, known.is_closed) = (known.incarnation + 1, false);
                let (publisher, incarnation) = (known.id, known.incarnation);
                self.push(Entry::Opened { publisher, incarnation, nonce, name });
            }
            Sent::Message { publisher, incarnation, destination, payload } => {
                if live(&self.names, publisher, incarnation) {
                    self.push(Entry::Message { publisher, destination, payload });
                }
            }
            Sent::Close { publisher, incarnation, said } => {
                if live(&self.names, publisher, incarnation) {
                    let name = self.names.values_mut().find(|name| name.id == publisher).expect("live");
                    name.is_closed = true;
                    self.push(Entry::Closed { publisher, said });
                }
            }
        }
    }

    /// The application answers each message of a client's, some at length.
    pub(super) fn answer(&mut self, more: usize) {
        while self.answered < self.entries.len() {
            if let Entry::Message { publisher, payload, .. } = &self.entries[self.answered]
                && (0..USERS.len()).any(|user| self.id(user) == Some(*publisher))
            {
                let payload = [b"ack ", &payload[..], &vec![b'.'; more]].concat();
                let destination = *publisher;
                self.push(Entry::Message { publisher: APPLICATION, destination, payload });
            }
            self.answered += 1;
        }
    }
}
