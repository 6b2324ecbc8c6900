//! # outputs: what a deterministic application publishes, each message once
//!
//! The question: an application reads the stream, and what it publishes follows from what it read. Copies of
//! it run at the same time, some start late, some die and start again from the beginning or from a snapshot,
//! and the network and the cluster do what they do. How does each output get into the stream once?
//!
//! The intuition: an output's number follows from the application's state, never from the wish to publish.
//! The first output of a name is its message 1, the next one follows; the stream itself says how far the name
//! is. So a copy hands in again whatever its state produces, and what the stream has already is skipped and
//! compared.
//!
//! ```text
//!   produced by the state ─▶ │ 5 │ 6 │ 7 │ 8 │ 9 │
//!                                  ▲       ▲
//!        read in the stream, equal ┘       └ handed in to the present handle
//! ```
//! 1. The owner reads the committed stream (or the stamped one: [`Outputs::set_final`]), from its beginning
//!    or from a cursor, and gives each event to [`Outputs::on_event`] before its own state takes it. An own
//!    message that stands there is compared with what this state has produced: [`Divergence`] if it is
//!    another one, and final. Of two leaders that stamp, the deposed one may get outputs of what the other
//!    one has stamped, which is no divergence: until a takeover takes them back nothing is handed in.
//! 2. What the state produces goes to [`Outputs::push`].
//! 3. [`Outputs::hand_in`] passes to the publisher's handle what the stream may lack. Until this state has
//!    produced and read all that the stream had when the name was opened, that is nothing.
//! 4. A snapshot holds [`Outputs::save`] beside the application's own state: an output that was produced and
//!    not read yet may never have been stamped. A subscription that is taken up again begins at the first
//!    part of a message that was not whole, and tells once more what lies between: that is not news, and the
//!    state takes nothing of it.
//!
//! What it does not do: make a state deterministic. Time, randomness and configuration must come by the
//! stream.

use super::publisher::{PublishError, PublisherCore, PublisherEvent};
use super::saved::{put_bytes, take_bytes, take_u32, take_u64};
use super::subscriber::{Message, SubscriberEvent};
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Destination, PublisherId, PublisherSeq, Seq};
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Buffers of outputs that are done with stay for the next outputs, so that nothing is allocated while these
/// leave as fast as they come: at most so many, ...
const SPARE_MAX: usize = 4_096;
/// ... each of at most so many bytes.
const SPARE_LEN_MAX: usize = 4_096;

/// What a snapshot begins with: the version of its form.
const SAVED: &[u8; 4] = b"OUT2";

/// One message that the state has produced.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Output {
    destination: Destination,
    payload: Vec<u8>,
    /// The number of its last part, once it was read.
    number: PublisherSeq,
    /// The entry that it follows from.
    of: Seq,
}

/// Memory alone, and no part of the state: any two are equal, and a copy begins without.
#[derive(Debug, Default)]
struct Spare(Vec<Vec<u8>>);

impl Clone for Spare {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Spare {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spare {}

impl Hash for Spare {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The stream has something else under the application's name than its state has produced: the copies are not
/// deterministic, or run different versions, or somebody else publishes under the name. The owner ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Divergence {
    /// Where the stream's message stands.
    pub seq: Seq,
    /// Which output it would be, counted from 1.
    pub output: u64,
    /// Whether the state has produced another one; else it has not produced so many.
    pub has_other: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, output, has_other } = self;
        let what = if *has_other { "is another message" } else { "was not produced at all" };
        write!(
            f,
            "the stream has output {output} of this application at seq {seq}, and here it {what}: copies that run \
             different versions or configurations, or that use anything but the stream, cannot share a name; end the \
             ones that are wrong, and give a new version a new name"
        )
    }
}

/// As [`Display`](fmt::Display): this is what a `main` prints that returns it.
impl fmt::Debug for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Divergence {}

/// Why nothing is published under the name any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OutputsEnd {
    /// Another process has opened the name under another nonce.
    Fenced,
    /// Somebody has closed it.
    Closed,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outputs {
    name: String,
    /// The state has taken every entry below, as its snapshot says.
    taken_next: Seq,
    /// The name's id, once an open entry of it was read or the handle reported it.
    own: Option<PublisherId>,
    /// Produced, in order, and not both read and handed in.
    waiting: VecDeque<Output>,
    spare: Spare,
    /// So many of `waiting` were read in the stream, ...
    read: usize,
    /// ... and so many were handed in to the present handle, or need not be.
    handed: usize,
    /// The first number of the output behind those that were handed in.
    next: PublisherSeq,
    /// The number of the last own message in the stream, as far as it was read.
    read_number: PublisherSeq,
    /// Outputs that were read in the stream, in all.
    count: u64,
    /// The handle's ticket of the name.
    ticket: Option<usize>,
    /// The handle's id, and the last number that the stream had when it was opened.
    open: Option<(PublisherId, PublisherSeq)>,
    end: Option<OutputsEnd>,
    /// Nothing is handed in: another version of the application is in force.
    is_silent: bool,
    /// The entry that the state takes at present.
    at: Seq,
    /// What follows from entries below is handed in.
    final_next: Seq,
    /// The first other output than this state's, at an entry that is not final yet.
    doubt: Option<Divergence>,
}

impl Outputs {
    /// Those of an application that publishes under `name`, at the beginning of the stream.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            taken_next: 0,
            own: None,
            waiting: VecDeque::new(),
            spare: Spare::default(),
            read: 0,
            handed: 0,
            next: 1,
            read_number: 0,
            count: 0,
            ticket: None,
            open: None,
            end: None,
            is_silent: false,
            at: 0,
            final_next: Seq::MAX,
            doubt: None,
        }
    }

    /// The subscription is a stamped one, and every entry below `next` is final: what follows from a later
    /// one waits, as it may never have been. Without this the subscription is a committed one.
    ///
    /// # Errors
    /// The stream has other outputs than this state, and they are final now.
    pub fn set_final(&mut self, next: Seq) -> Result<(), Divergence> {
        self.final_next = next;
        self.doubt.filter(|doubt| doubt.seq < next).map_or(Ok(()), Err)
    }

    /// Every entry below is known to be final; `Seq::MAX` of a committed subscription.
    pub fn final_next(&self) -> Seq {
        self.final_next
    }

    /// Whether nothing is handed in from now on. What the state produces is compared with the stream all the
    /// same.
    pub fn set_silent(&mut self, is_silent: bool) {
        if self.is_silent != is_silent {
            self.is_silent = is_silent;
            self.rebase();
        }
    }

    /// The state has produced the next output.
    pub fn push(&mut self, destination: Destination, payload: &[u8]) {
        let mut bytes = self.spare.0.pop().unwrap_or_default();
        bytes.extend_from_slice(payload);
        self.waiting.push_back(Output { destination, payload: bytes, number: 0, of: self.at });
    }

    /// The subscription tells something, in its order. Returns whether it is news for the state:
    /// behind a snapshot what the state has taken before may be told again, and must not be taken twice.
    ///
    /// # Errors
    /// The stream has other outputs than this state.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) -> Result<bool, Divergence> {
        match event.seq() {
            Some(seq) => self.on_entry(seq, event),
            None => Ok(true),
        }
    }

    /// As [`Outputs::on_event`], of an entry of the stream into which the outputs go, where the state reads
    /// several streams in one order: `at` is the entry's number in that order. Where this describes entries
    /// by seqs, these are then such numbers.
    ///
    /// # Errors
    /// As [`Outputs::on_event`].
    pub fn on_entry(&mut self, at: Seq, event: &SubscriberEvent<'_>) -> Result<bool, Divergence> {
        if !self.on_foreign_entry(at) {
            return Ok(false);
        }
        match *event {
            SubscriberEvent::Opened { publisher, name, last, .. } if name == self.name => {
                self.own = Some(publisher);
                // Parts that an earlier incarnation began and did not end have numbers, and are no message.
                self.read_number = self.read_number.max(last);
                self.rebase();
            }
            SubscriberEvent::Message(message) if self.is_own(&message) => self.on_own(&message)?,
            _ => {}
        }
        Ok(true)
    }

    /// As [`Outputs::on_entry`], of an entry of another stream of that order.
    pub fn on_foreign_entry(&mut self, at: Seq) -> bool {
        let is_news = at >= self.taken_next;
        if is_news {
            self.at = at;
        }
        is_news
    }

    /// A message of the application's name. Behind one that is in doubt nothing is compared.
    fn on_own(&mut self, message: &Message<'_>) -> Result<(), Divergence> {
        let (seq, output) = (self.at, self.count + 1);
        if self.doubt.is_some() {
            return Ok(());
        }
        let own = self.waiting.get_mut(self.read);
        let has_other = own.is_some();
        let equal =
            |own: &&mut Output| (own.destination, &own.payload[..]) == (message.destination, message.payload);
        let Some(own) = own.filter(equal) else {
            let found = Divergence { seq, output, has_other };
            if seq < self.final_next {
                return Err(found);
            }
            self.doubt = Some(found);
            return Ok(());
        };
        own.number = message.publisher_seq;
        (self.read, self.count, self.read_number) = (self.read + 1, output, message.publisher_seq);
        self.rebase();
        Ok(())
    }

    /// Whether the application published `message` itself, in this copy or another.
    pub fn is_own(&self, message: &Message<'_>) -> bool {
        Some(message.publisher) == self.own
    }

    /// What was read needs not be handed in while no handle is open, or none is used; and what is both is
    /// done with.
    fn rebase(&mut self) {
        if self.open.is_none() {
            self.handed = self.read;
        } else if self.is_silent {
            self.handed = self.handed.max(self.read);
        }
        if self.handed <= self.read {
            let behind = self.handed.checked_sub(1).and_then(|last| self.waiting.get(last));
            let is_last = self.handed == self.read;
            self.next =
                if is_last { self.read_number } else { behind.map_or(self.next - 1, |one| one.number) } + 1;
        }
        self.drop_done();
    }

    /// Outputs that were both read and handed in are done with.
    fn drop_done(&mut self) {
        let done = self.read.min(self.handed);
        for Output { mut payload, .. } in self.waiting.drain(..done) {
            if self.spare.0.len() < SPARE_MAX && payload.capacity() <= SPARE_LEN_MAX {
                payload.clear();
                self.spare.0.push(payload);
            }
        }
        (self.read, self.handed) = (self.read - done, self.handed - done);
    }

    /// Begins to open the name in a new handle, under the nonce that all copies share. Returns whether the
    /// name is valid and finds room there.
    pub fn begin_open(&mut self, publisher: &mut PublisherCore, nonce: [u64; 2]) -> bool {
        self.on_outcomes_unknown();
        self.ticket = publisher.open(&self.name, nonce);
        self.ticket.is_some()
    }

    /// The publisher's handle reports an event: to be called with each of them.
    pub fn on_publisher(&mut self, event: &PublisherEvent) {
        match *event {
            PublisherEvent::Opened { ticket: opened, publisher, last, .. } if Some(opened) == self.ticket => {
                self.own = Some(publisher);
                self.open = Some((publisher, last));
            }
            PublisherEvent::Fenced { publisher, .. } if self.is_open_as(publisher) => {
                self.end = Some(OutputsEnd::Fenced);
            }
            PublisherEvent::Closed { publisher, .. } if self.is_open_as(publisher) => {
                self.end = Some(OutputsEnd::Closed);
            }
            PublisherEvent::OutcomesUnknown => self.on_outcomes_unknown(),
            _ => {}
        }
    }

    fn is_open_as(&self, publisher: PublisherId) -> bool {
        self.open.is_some_and(|(open, _)| open == publisher)
    }

    /// The handle is of no more use: [`Outputs::begin_open`] with another one. What was handed in may be in
    /// the stream or not, which is read there.
    fn on_outcomes_unknown(&mut self) {
        (self.open, self.ticket) = (None, None);
        self.rebase();
    }

    fn hands_in_nothing(&self) -> bool {
        self.is_silent || self.doubt.is_some()
    }

    /// Hands in what the stream may lack, as far as the publisher's window takes it. Returns how many
    /// messages.
    ///
    /// # Errors
    /// A message that is not taken for good: too long, or the name is not this handle's any more.
    pub fn hand_in(&mut self, publisher: &mut PublisherCore) -> Result<usize, PublishError> {
        let Some((own, last)) = self.open.filter(|_| !self.hands_in_nothing()) else { return Ok(0) };
        let mut count = 0;
        while let Some(output) = self.waiting.get(self.handed) {
            if output.of >= self.final_next && !planted(Mutation::OutputBeforeCommit) {
                break;
            }
            if planted(Mutation::NumberByTheWish) {
                match publisher.try_publish(own, output.destination, &output.payload) {
                    Ok(number) => (self.next, self.handed, count) = (number + 1, self.handed + 1, count + 1),
                    Err(PublishError::Backpressure) => break,
                    Err(error) => return Err(error),
                }
                continue;
            }
            if self.next <= last && planted(Mutation::BelowLastHandedIn) {
                self.next = last + 1;
            }
            if self.next <= last {
                // It stands in the stream, or its first parts do.
                if self.handed < self.read {
                    self.next = output.number + 1;
                    self.handed += 1;
                    continue;
                }
                if self.next + publisher.parts_of(output.payload.len()) - 1 <= last {
                    break;
                }
            }
            match publisher.try_publish_at(own, self.next, output.destination, &output.payload) {
                Ok(number) => {
                    self.next = number + 1;
                    self.handed += 1;
                    count += 1;
                }
                // Another copy has published what lies before: it is read in a moment.
                Err(PublishError::Backpressure | PublishError::Ahead { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        self.drop_done();
        Ok(count)
    }

    /// Outputs that wait for room in the publisher's window. Where they are many, the owner reads no more
    /// until there are fewer. It is 0 while the stream is still read up to where the name was when it was
    /// opened.
    pub fn backlog(&self) -> usize {
        match self.open {
            Some((_, last)) if self.next > last && !self.hands_in_nothing() => {
                let (of, final_next) = (|output: &Output| output.of, self.final_next);
                self.waiting.partition_point(|output| of(output) < final_next).saturating_sub(self.handed)
            }
            _ => 0,
        }
    }

    /// Whether the name is open: then outputs may be handed in.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether every output was read in the stream.
    pub fn is_drained(&self) -> bool {
        self.read == self.waiting.len()
    }

    /// Outputs that were read in the stream.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Outputs that the state has produced, in all.
    pub fn produced(&self) -> u64 {
        self.count + (self.waiting.len() - self.read) as u64
    }

    /// The oldest output that was produced, and not read in the stream: the entry that it follows from, its
    /// destination and its content.
    pub fn awaited(&self) -> Option<(Seq, Destination, &[u8])> {
        let output = self.waiting.get(self.read)?;
        Some((output.of, output.destination, &output.payload))
    }

    /// The name's id, once the stream or the handle has shown it.
    pub fn publisher(&self) -> Option<PublisherId> {
        self.own
    }

    /// Why nothing is published any more, if that is so.
    pub fn end(&self) -> Option<OutputsEnd> {
        self.end
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends what a snapshot needs: taken where the subscription stands, with the application's own state.
    /// Every entry below `deliver_next`, which the subscription says, was told to both.
    pub fn save(&self, deliver_next: Seq, out: &mut Vec<u8>) {
        let from = if planted(Mutation::SnapshotForgets) { self.waiting.len() } else { self.read };
        let unread = self.waiting.range(from..);
        out.extend_from_slice(SAVED);
        // Right behind a snapshot the subscription stands before what the state has.
        out.extend_from_slice(&deliver_next.max(self.taken_next).to_le_bytes());
        out.extend_from_slice(&self.own.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.read_number.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&(unread.len() as u64).to_le_bytes());
        for output in unread {
            out.extend_from_slice(&output.destination.to_le_bytes());
            put_bytes(out, &output.payload);
        }
    }

    /// Those of an application that continues from a snapshot; and what of `saved` lies behind them.
    /// `None`: it is none.
    pub fn restore<'a>(name: &str, saved: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut rest = saved.strip_prefix(SAVED)?;
        let (taken_next, own) = (take_u64(&mut rest)?, take_u32(&mut rest)?);
        let (read_number, count) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        let mut outputs = Self {
            taken_next,
            own: (own > 0).then_some(own),
            next: read_number.checked_add(1)?,
            read_number,
            count,
            ..Self::new(name)
        };
        for _ in 0..take_u64(&mut rest)? {
            let destination = take_u32(&mut rest)?;
            outputs.push(destination, take_bytes(&mut rest)?);
        }
        Some((outputs, rest))
    }
}
