//! # publishers: a message is stamped once, and in its publisher's order
//!
//! A function of the whole log, committed or not (S8). One small slot per publisher, found by its id
//! without a hash; names are looked at only when a publisher opens. Undoing the uncommitted part needs
//! no overlay: a publisher's numbers are contiguous, so the log itself says what they were before.

use super::planted::{Mutation, planted};
use lockstep_wire::{CALENDAR, Entry, EntryKind, OpenView, PublisherId, PublisherSeq, Seq};
use std::collections::{BTreeMap, VecDeque};

/// The decision about a submitted message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Admission {
    /// It is the next of its publisher: stamp it.
    Stamp,
    /// Stamped before.
    Duplicate,
    /// Something of its publisher is missing before it: hold it back.
    Hold,
    /// From an older process of this publisher.
    Fenced,
    /// No publisher with this id and incarnation has opened here.
    Unknown,
    /// The publisher is closed.
    Closed,
}

/// The decision about a submitted open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OpenAdmission {
    /// Stamp it as this id, incarnation and last number.
    Stamp(PublisherId, u32, PublisherSeq),
    /// The nonce is the current one, or `after` is not: it changes nothing.
    Stale,
    /// The table is full.
    Full,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Slot {
    last: PublisherSeq,
    incarnation: u32,
    closed: bool,
}

/// The state of one publisher, for replies and checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PublisherState {
    /// Its id.
    pub id: PublisherId,
    /// Current incarnation; 0: never opened.
    pub incarnation: u32,
    /// Drawn by that incarnation.
    pub nonce: [u64; 2],
    /// Its last number.
    pub last: PublisherSeq,
    /// Whether it is closed.
    pub closed: bool,
}

/// An open or close above the commit, and what was before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct TableChange {
    seq: Seq,
    before: PublisherState,
}

/// All publishers of the stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Publishers {
    /// By id; 0 is nobody.
    slots: Vec<Slot>,
    nonces: Vec<[u64; 2]>,
    names: Vec<String>,
    ids: BTreeMap<String, PublisherId>,
    /// The publisher of the trading days; 0: not opened yet.
    calendar: PublisherId,
    /// Opens and closes not yet committed, oldest first.
    changes: VecDeque<TableChange>,
    publishers_max: u32,
}

impl Publishers {
    /// An empty table for at most `publishers_max` names.
    pub fn new(publishers_max: u32) -> Self {
        let mut slots = Vec::with_capacity(publishers_max as usize + 1);
        slots.push(Slot::default());
        Self {
            slots,
            nonces: vec![[0; 2]],
            names: vec![String::new()],
            ids: BTreeMap::new(),
            calendar: 0,
            changes: VecDeque::new(),
            publishers_max,
        }
    }

    /// How many names have ever been opened: none is given back.
    pub fn used(&self) -> u32 {
        self.slots.len() as u32 - 1
    }

    /// How many names this replica takes while it leads. Those of other leaders' logs are kept, however many
    /// they are.
    pub fn publishers_max(&self) -> u32 {
        self.publishers_max
    }

    /// S8 (at most once, in order): whether the message `publisher_seq` of this incarnation is stamped now.
    #[inline]
    pub fn judge(&self, publisher: PublisherId, incarnation: u32, publisher_seq: PublisherSeq) -> Admission {
        let Some(slot) = self.slots.get(publisher as usize) else { return Admission::Unknown };
        if slot.incarnation != incarnation || incarnation == 0 {
            return if incarnation < slot.incarnation { Admission::Fenced } else { Admission::Unknown };
        }
        if slot.closed {
            return Admission::Closed;
        }
        match publisher_seq {
            seq if seq == slot.last + 1 => Admission::Stamp,
            seq if seq <= slot.last && planted(Mutation::NotOnce) => Admission::Stamp,
            seq if seq <= slot.last => Admission::Duplicate,
            _ if planted(Mutation::NoHoldBack) => Admission::Stamp,
            _ => Admission::Hold,
        }
    }

    /// What to do with an open by `open.name` that follows the incarnation in `open.body`. A late copy of
    /// an old open has a nonce or an `after` that is not current, and so fences nobody.
    pub fn judge_open(&self, open: &OpenView<'_>) -> OpenAdmission {
        let Some(&id) = self.ids.get(open.name) else {
            return match self.slots.len() as u32 {
                next if next > self.publishers_max => OpenAdmission::Full,
                next if open.body.incarnation == 0 => OpenAdmission::Stamp(next, 1, 0),
                _ => OpenAdmission::Stale,
            };
        };
        let slot = self.slots[id as usize];
        // A reader that follows the current incarnation has seen it, and seen it closed if it is: no late
        // copy.
        let follows = open.body.incarnation == slot.incarnation || planted(Mutation::LateOpenFences);
        if follows && (slot.closed || open.body.nonce != self.nonces[id as usize]) {
            OpenAdmission::Stamp(id, slot.incarnation + 1, slot.last)
        } else {
            OpenAdmission::Stale
        }
    }

    /// A message was stamped (leader) or is in the log (everybody else).
    #[inline]
    pub fn on_message(&mut self, publisher: PublisherId, publisher_seq: PublisherSeq) {
        if let Some(slot) = self.slots.get_mut(publisher as usize) {
            slot.last = publisher_seq;
        }
    }

    /// The entry `seq` of the log.
    pub fn on_entry(&mut self, seq: Seq, entry: &Entry<'_>) {
        match entry.kind() {
            EntryKind::Message | EntryKind::Day => {
                self.on_message(entry.header.publisher, entry.header.publisher_seq);
            }
            EntryKind::Open => {
                if let Ok(open) = OpenView::parse(entry.payload) {
                    self.on_open(seq, entry.header.publisher, &open);
                }
            }
            EntryKind::Close => {
                if let Some(before) = self.state(entry.header.publisher) {
                    self.changes.push_back(TableChange { seq, before });
                    let slot = &mut self.slots[before.id as usize];
                    (slot.closed, slot.last) = (true, entry.header.publisher_seq);
                }
            }
            EntryKind::Genesis
            | EntryKind::EpochStart
            | EntryKind::Membership
            | EntryKind::ChangeCommitted
            | EntryKind::Order => {}
        }
    }

    /// The stamped open of `id` at `seq`.
    pub fn on_open(&mut self, seq: Seq, id: PublisherId, open: &OpenView<'_>) {
        let index = id as usize;
        if index == self.slots.len() {
            self.slots.push(Slot::default());
            self.nonces.push([0; 2]);
            self.bind(open.name, id);
        }
        if let Some(before) = self.state(id) {
            self.changes.push_back(TableChange { seq, before });
            self.slots[index].incarnation = open.body.incarnation;
            self.slots[index].closed = false;
            self.nonces[index] = open.body.nonce;
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let (slots, names) = (self.slots.len(), self.ids.len());
        assert!(
            slots == self.nonces.len()
                && slots == self.names.len()
                && slots == names + 1
                && self.ids.iter().all(|(name, id)| self.name(*id) == Some(name)),
            "S8: each id has one name: {slots} rows, {names} names",
        );
        let pairs = self.changes.iter().zip(self.changes.iter().skip(1));
        assert!(
            pairs.into_iter().all(|(a, b)| a.seq < b.seq),
            "S8: what can be undone is in the order of the log: {:?}",
            self.changes,
        );
        let known = |change: &TableChange| (change.before.id as usize) < slots;
        assert!(self.changes.iter().all(known), "S8: what can be undone is of ids that are there");
    }

    /// What lies below `commit_next` is final: what was before it is forgotten.
    pub fn on_commit(&mut self, commit_next: Seq) {
        let early = planted(Mutation::UndoForgotten);
        while self.changes.front().is_some_and(|change| change.seq < commit_next || early) {
            self.changes.pop_front();
        }
    }

    /// The part above the commit can be undone (S8): the suffix of the log from `cut` on is exchanged for
    /// another. `suffix` are its entries, in order. What they changed is taken back, and the entries of the
    /// suffix that comes are to be run over what is left.
    pub fn on_cut<'a>(&mut self, cut: Seq, suffix: impl Iterator<Item = Entry<'a>>) {
        // The first number of each publisher in the suffix: its last one before is the one below.
        let mut firsts = BTreeMap::new();
        for entry in suffix.filter(|entry| entry.kind().is_numbered()) {
            firsts.entry(entry.header.publisher).or_insert(entry.header.publisher_seq);
        }
        while let Some(&TableChange { seq, before }) = self.changes.back()
            && seq >= cut
            && !planted(Mutation::OpenNotUndone)
        {
            self.changes.pop_back();
            let index = before.id as usize;
            let was_closed = self.slots[index].closed;
            self.slots[index] =
                Slot { last: before.last, incarnation: before.incarnation, closed: before.closed };
            if planted(Mutation::ClosedNotUndone) {
                self.slots[index].closed = was_closed;
            }
            if !planted(Mutation::NonceNotUndone) {
                self.nonces[index] = before.nonce;
            }
            // A name that was never opened below the cut is free again; ids were given in order.
            let is_last = index + 1 == self.slots.len() && !planted(Mutation::NameNotFreed);
            if before.incarnation == 0 && is_last {
                self.slots.pop();
                self.nonces.pop();
                if let Some(name) = self.names.pop() {
                    self.ids.remove(&name);
                    self.calendar = if name == CALENDAR { 0 } else { self.calendar };
                }
            }
        }
        for (publisher, first) in firsts {
            if let Some(slot) = self.slots.get_mut(publisher as usize) {
                let undone = slot.last.min(first.saturating_sub(1));
                slot.last = if planted(Mutation::NumberNotUndone) { slot.last } else { undone };
            }
        }
    }

    fn bind(&mut self, name: &str, id: PublisherId) {
        if id as usize >= self.names.len() {
            self.names.resize(id as usize + 1, String::new());
        }
        self.names[id as usize] = name.to_owned();
        self.ids.insert(name.to_owned(), id);
        if name == CALENDAR {
            self.calendar = id;
        }
    }

    /// The publisher of the trading days, under which only operators publish; 0: not opened yet.
    #[inline]
    pub fn calendar(&self) -> PublisherId {
        self.calendar
    }

    /// The name of a publisher.
    #[inline]
    pub fn name(&self, id: PublisherId) -> Option<&str> {
        self.names.get(id as usize).filter(|_| id != 0).map(String::as_str)
    }

    /// A publisher as the whole log has it.
    pub fn state(&self, id: PublisherId) -> Option<PublisherState> {
        let slot = self.slots.get(id as usize)?;
        Some(PublisherState {
            id,
            incarnation: slot.incarnation,
            nonce: self.nonces[id as usize],
            last: slot.last,
            closed: slot.closed,
        })
    }

    /// A publisher as the *committed* log has it: what may be told to somebody. Everything below
    /// `commit_next` is committed, whether [`Publishers::on_commit`] was told so or is told later in this
    /// turn; `uncommitted` are the entries of the log from there on, in order.
    pub fn committed<'a>(
        &self,
        name: &str,
        commit_next: Seq,
        uncommitted: impl Iterator<Item = Entry<'a>>,
    ) -> Option<PublisherState> {
        let mut state = self.state(*self.ids.get(name)?)?;
        if planted(Mutation::UncommittedOpenReported) {
            return Some(state);
        }
        let first = uncommitted
            .filter(|entry| entry.kind().is_numbered())
            .filter(|entry| entry.header.publisher == state.id)
            .map(|entry| entry.header.publisher_seq)
            .next();
        if let Some(first) = first.filter(|_| !planted(Mutation::ReplyOfTableEnd)) {
            state.last = first.saturating_sub(1);
        }
        let is_open =
            |change: &&TableChange| change.seq >= commit_next || planted(Mutation::ReplyBehindCommit);
        if let Some(change) = self.changes.iter().filter(is_open).find(|change| change.before.id == state.id)
        {
            let last = state.last;
            state = PublisherState { last, ..change.before };
        }
        (state.incarnation != 0).then_some(state)
    }

    /// Opens and closes that are not known to be committed, newest first: the seq of each, and what was
    /// before it.
    pub fn undo(&self) -> impl DoubleEndedIterator<Item = (Seq, PublisherState)> {
        self.changes.iter().rev().map(|change| (change.seq, change.before))
    }

    /// All publishers with their names, by id: what a checkpoint holds.
    pub fn iter(&self) -> impl Iterator<Item = (&str, PublisherState)> {
        self.ids.iter().filter_map(|(name, &id)| Some((name.as_str(), self.state(id)?)))
    }

    /// An open or close at `seq` that is not known to be committed, as a checkpoint holds what was before it:
    /// behind all [`Publishers::restore`]s, oldest first.
    pub fn restore_change(&mut self, seq: Seq, before: PublisherState) {
        self.changes.push_back(TableChange { seq, before });
    }

    /// Puts a publisher back as a checkpoint holds it. Ids are given out in order, so they come in order.
    pub fn restore(&mut self, name: &str, state: PublisherState) {
        let index = state.id as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::default());
            self.nonces.resize(index + 1, [0; 2]);
        }
        self.slots[index] = Slot { last: state.last, incarnation: state.incarnation, closed: state.closed };
        self.nonces[index] = state.nonce;
        self.bind(name, state.id);
    }
}

#[cfg(test)]
mod tests;
