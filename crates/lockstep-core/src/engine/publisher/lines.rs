//! The names of one handle: the state of each by the stream, in the order of the stream.
//!
//! ```text
//!   Querying ──reply──▶ Opening ──open entry──▶ Seen ──committed──▶ Open ──end entry──▶ Ending ─┬▶ Fenced
//!      │   ▲ no reply: next replica │ lost: asked again          committed: by another, or here └▶ Closed
//!      │   └────────────────────────┤
//!      └────────────────────────────┴─ no room, or no right to the name ──▶ Refused
//! ```
//!
//! Several processes may share a name and its nonce (copies of a deterministic application). Then the
//! stream may hold a message before this process has handed it in: where it stands is remembered, and the
//! message has its outcome when it is handed in.
//!
//! All of this is a function of the log that was read, committed or not. When a takeover cuts that log,
//! what was learned above the cut is taken back, and learned anew from what is read in its place:
//!
//! ```text
//!   Opening ◀── open entry lost ── Seen ◀─┬─ end entry lost ── Ending      a message that was stamped
//!                                  Open ◀─┘                                waits to be stamped again
//! ```

use super::stamped::{PayloadMatch, StampedRun};
use super::{PublishError, PublisherEvent};
use crate::engine::unfinished::Unfinished;
use crate::engine::window::{SubmitWindow, UnsettledMessages};
use crate::proto::parts::PartsBounds;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{
    Entries, Entry, EntryKind, FrameView, Header, Nanos, OpenView, PART_MORE, PublisherId, PublisherSeq,
    QueryReplyBody, Seq, entry_digest,
};
use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum NameState {
    Querying {
        asked_at: Nanos,
        tries: u32,
    },
    Opening {
        after: u32,
        sent_at: Nanos,
        tries: u32,
    },
    /// The open entry stands at this seq.
    Seen {
        at: Seq,
    },
    Open,
    /// An entry at this seq ends it once it is committed.
    Ending {
        at: Seq,
        fenced: bool,
        /// Whether it was open before.
        opened: bool,
    },
    Fenced,
    Closed,
    /// The leader's table of publishers had no room for it, or the key does not allow the name.
    Refused,
}

/// One name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PublisherName {
    pub(super) name: String,
    pub(super) nonce: [u64; 2],
    pub(super) state: NameState,
    pub(super) id: PublisherId,
    pub(super) incarnation: u32,
    /// The number of the next message.
    pub(super) next: PublisherSeq,
    /// Up to this number it was stamped before it was opened here: none of ours.
    resolved: PublisherSeq,
    /// What opened it, and is not undone by a takeover: the seq of the open entry, or the last one that
    /// the reply covers.
    opened_at: Seq,
    /// Whether it was an entry.
    by_entry: bool,
    /// The last number that was seen stamped.
    pub(super) stamped: PublisherSeq,
    /// Messages of a copy up to this seq are no longer remembered.
    forgotten: Seq,
    /// From this seq on its messages are watched, while it is being looked up; 0 else.
    watched_from: Seq,
    /// Another part stands under a number of the message that waits for its outcome.
    pub(super) diverged: bool,
    /// Messages without an outcome.
    pub(super) open: u64,
    /// The number of the first part that was read last, of a message in parts.
    begun: PublisherSeq,
    pub(super) outstanding: UnsettledMessages,
}

/// A message that a copy of us had stamped before we handed it in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Copied {
    line: u32,
    publisher_seq: PublisherSeq,
    seq: Seq,
    digest: u32,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PublisherNames {
    pub(super) list: Vec<PublisherName>,
    /// Line of each id; `u32::MAX` is none.
    by_id: Vec<u32>,
    pub(super) stamped: VecDeque<StampedRun>,
    copied: VecDeque<Copied>,
    window_entries: usize,
    /// Lines that are not open yet.
    pub(super) unopened: u32,
    /// Lines that an entry ends which is not committed yet.
    pub(super) ending: u32,
    /// What becomes of messages in parts, of all publishers: as readers see it.
    pub(super) parts: Unfinished,
}

impl PublisherNames {
    pub(super) fn new(window_entries: u32, bounds: PartsBounds) -> Self {
        let window_entries = window_entries as usize;
        Self {
            list: Vec::new(),
            by_id: Vec::new(),
            stamped: VecDeque::with_capacity(window_entries),
            copied: VecDeque::with_capacity(window_entries),
            window_entries,
            unopened: 0,
            ending: 0,
            parts: Unfinished::new(bounds, true),
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub(super) fn invariants(&self) {
        self.parts.invariants();
        let count = |is: fn(&NameState) -> bool| self.list.iter().filter(|line| is(&line.state)).count();
        let is_unopened = |state: &NameState| {
            matches!(state, NameState::Querying { .. } | NameState::Opening { .. } | NameState::Seen { .. })
        };
        let (unopened, ending) =
            (count(is_unopened), count(|state| matches!(state, NameState::Ending { .. })));
        assert!(
            (unopened, ending) == (self.unopened as usize, self.ending as usize),
            "{unopened} names are not open yet and {ending} end, {} and {} are counted",
            self.unopened,
            self.ending,
        );
        let bound = self.by_id.iter().filter(|line| **line != u32::MAX);
        assert!(
            bound.clone().all(|line| (*line as usize) < self.list.len()),
            "each id is of a name that is here"
        );
        let (stamped, copied, most) = (self.stamped.len(), self.copied.len(), self.window_entries);
        assert!(
            stamped <= 2 * most && copied <= most,
            "{stamped} rows of stamped messages, {copied} of copies"
        );
    }

    /// One more name, or one again that has ended here. Returns its ticket.
    pub(super) fn add(&mut self, name: &str, nonce: [u64; 2]) -> usize {
        let ticket = self.ended(name).unwrap_or(self.list.len());
        let line = PublisherName {
            name: name.to_owned(),
            nonce,
            state: NameState::Querying { asked_at: 0, tries: 0 },
            id: 0,
            incarnation: 0,
            next: 1,
            resolved: 0,
            opened_at: 0,
            by_entry: false,
            stamped: 0,
            forgotten: 0,
            watched_from: 0,
            diverged: false,
            open: 0,
            begun: 0,
            outstanding: UnsettledMessages::default(),
        };
        self.unopened += 1;
        match self.list.get_mut(ticket) {
            Some(_) => {
                self.unbind(ticket);
                self.list[ticket] = line;
            }
            None => self.list.push(line),
        }
        ticket
    }

    /// The ticket of a name that has ended here: opening it again takes no more room.
    pub(super) fn ended(&self, name: &str) -> Option<usize> {
        let is_over = |line: &PublisherName| {
            matches!(line.state, NameState::Fenced | NameState::Closed | NameState::Refused)
        };
        self.list.iter().position(|line| line.name == name && is_over(line))
    }

    /// The line of an id.
    #[inline]
    pub(super) fn of(&self, publisher: PublisherId) -> Option<usize> {
        let line = *self.by_id.get(publisher as usize)? as usize;
        (line < self.list.len()).then_some(line)
    }

    fn bind(&mut self, id: PublisherId, line: usize) {
        if self.by_id.len() <= id as usize {
            self.by_id.resize(id as usize + 1, u32::MAX);
        }
        self.by_id[id as usize] = line as u32;
    }

    /// The line has its id no more, which may become another name's. Where this handle has opened the name
    /// more than once, the id goes back to the newest of the others that is not over.
    fn unbind(&mut self, line: usize) {
        let Self { list, by_id, .. } = self;
        let id = list[line].id;
        let Some(bound) = by_id.get_mut(id as usize).filter(|bound| **bound == line as u32) else { return };
        let has_it = |(other, of): &(usize, &PublisherName)| {
            let is_there =
                matches!(of.state, NameState::Open | NameState::Seen { .. } | NameState::Ending { .. });
            *other != line && of.id == id && is_there
        };
        let newest = list.iter().enumerate().filter(has_it).max_by_key(|(_, of)| of.incarnation);
        *bound = newest.map_or(u32::MAX, |(other, _)| other as u32);
    }

    /// The line of `publisher`, if it is open; else why nothing is taken for it.
    #[inline]
    pub(super) fn open_line(&self, publisher: PublisherId) -> Result<usize, PublishError> {
        let index = self.of(publisher).ok_or(PublishError::NotOpen)?;
        if let NameState::Open = self.list[index].state { Ok(index) } else { Err(self.refusal(index)) }
    }

    #[cold]
    fn refusal(&self, index: usize) -> PublishError {
        match self.list[index].state {
            NameState::Fenced => PublishError::Fenced,
            NameState::Closed => PublishError::Closed,
            // What ends it is not final: a takeover may take it back.
            NameState::Ending { opened: true, .. } => PublishError::Backpressure,
            _ => PublishError::NotOpen,
        }
    }

    /// The next message of a line of which nothing is under way is `number`: what lies before is committed.
    pub(super) fn resume(&mut self, index: usize, number: PublisherSeq) {
        let line = &mut self.list[index];
        line.next = number;
        line.resolved = line.resolved.max(number - 1);
        line.stamped = line.stamped.max(number - 1);
        self.copied.retain(|copied| copied.line as usize != index || copied.publisher_seq >= number);
    }

    /// A message was handed in that a copy of us had stamped already: its outcome is known.
    #[cold]
    pub(super) fn on_copied(&mut self, line: u32, publisher_seq: PublisherSeq) {
        let known = self
            .copied
            .iter()
            .position(|copied| (copied.line, copied.publisher_seq) == (line, publisher_seq));
        let (seq, content) = known
            .and_then(|at| self.copied.remove(at))
            .map_or((0, PayloadMatch::Unknown), |copied| (copied.seq, PayloadMatch::Digest(copied.digest)));
        let bound = if seq == 0 { self.list[line as usize].forgotten } else { seq };
        self.stamped.push_back(StampedRun {
            bound,
            seq,
            publisher_seq,
            count: 1,
            line,
            content,
            reported: false,
            discarded: false,
        });
    }

    /// A replica reported what is committed of a name; `end_next` is where our own reading of the stream
    /// ends.
    pub(super) fn on_reply(&mut self, header: &Header, body: &QueryReplyBody, end_next: Seq) {
        let Some(index) = (body.token as usize).checked_sub(1).filter(|index| *index < self.list.len())
        else {
            return;
        };
        let line = &mut self.list[index];
        let NameState::Querying { .. } = line.state else { return };
        if body.incarnation == 0 || body.nonce != line.nonce {
            let opening = NameState::Opening { after: body.incarnation, sent_at: 0, tries: 0 };
            (line.state, line.watched_from) = (opening, 0);
            return;
        }
        // Open under our own nonce already: by our open whose entry we missed, or by a copy of us. What
        // the copy publishes is watched from here on; an answer that covers all before is the one we need.
        if line.watched_from == 0 {
            line.watched_from = end_next;
            line.id = body.publisher;
        }
        if header.commit_next >= line.watched_from {
            line.incarnation = body.incarnation;
            line.next = body.publisher_seq + 1;
            line.resolved = body.publisher_seq;
            line.stamped = line.stamped.max(body.publisher_seq);
            (line.opened_at, line.by_entry) = (header.commit_next - 1, false);
            line.state = NameState::Seen { at: line.opened_at };
        }
        let id = line.id;
        self.bind(id, index);
    }

    /// Looks for what concerns these lines in a frame of the log.
    pub(super) fn read(
        &mut self,
        now: Nanos,
        window: &mut SubmitWindow,
        frame: &FrameView<'_>,
        f: &mut impl FnMut(PublisherEvent),
    ) {
        let (mut seq, mut entries) = (frame.header.first_seq, frame.entries());
        while let Some(entry) = entries.next() {
            let mut count = 1;
            let is_whole = self.parts.read(seq, frame.header.chain, &entry);
            match (entry.kind(), self.of(entry.header.publisher)) {
                (EntryKind::Message | EntryKind::Day, Some(index)) => {
                    let place = (index, seq, is_whole);
                    count = self.read_messages(now, window, place, &entry, &mut entries, f);
                }
                (EntryKind::Close, Some(index)) => self.end(index, seq, false),
                (EntryKind::Open, _) => self.read_open(seq, &entry),
                _ => {}
            }
            seq += count;
        }
        self.parts.on_read(seq, 0);
    }

    /// Reads the message `entry` of the line at `index`, and takes out of `entries` those behind it that are
    /// ours like it. Returns how many they are.
    #[inline]
    fn read_messages(
        &mut self,
        now: Nanos,
        window: &mut SubmitWindow,
        (index, seq, is_whole): (usize, Seq, bool),
        entry: &Entry<'_>,
        entries: &mut Entries<'_>,
        f: &mut impl FnMut(PublisherEvent),
    ) -> u64 {
        let first = entry.header.publisher_seq;
        let line = &mut self.list[index];
        if entry.header.flags == PART_MORE {
            line.begun = first;
        }
        if first <= line.stamped {
            return 1;
        }
        match line.state {
            NameState::Open | NameState::Seen { .. } if first < line.next => {}
            NameState::Open | NameState::Seen { .. } | NameState::Querying { .. } => {
                self.read_copied(index, seq, entry);
                // A copy had it stamped, and so all before it.
                window.on_stamped(now, &mut self.list[index].outstanding, first);
                return 1;
            }
            _ => return 1,
        }
        let mut own = window.unstamped(&line.outstanding);
        let handed_in = own.next().filter(|own| own.header.publisher_seq == first);
        let is_other = handed_in.is_some_and(|own| !own.is_set(entry));
        // The place of a message in parts is that of its last one.
        let reported = entry.header.flags & PART_MORE == 0;
        // Of one whose first part was not read here it is not known.
        let discarded = reported && !is_whole && line.begun > line.resolved;
        let publisher = line.id;
        let mut count = 0;
        loop {
            if reported {
                f(PublisherEvent::Stamped { publisher, publisher_seq: first + count, seq: seq + count });
            }
            count += 1;
            let mut ahead = *entries;
            if reported
                && handed_in.is_some()
                && !is_other
                && let (Some(own), Some(next)) = (own.next(), ahead.next())
                && (next.header.kind, next.header.flags) == (entry.header.kind, entry.header.flags)
                && own.header.is_of(next.header)
                && own.payload == next.payload
            {
                *entries = ahead;
            } else {
                break;
            }
        }
        line.stamped = first + count - 1;
        window.on_stamped(now, &mut line.outstanding, line.stamped);
        let content = if is_other { PayloadMatch::Other } else { PayloadMatch::Same };
        self.stamped.push_back(StampedRun {
            bound: seq,
            seq,
            publisher_seq: first,
            count,
            line: index as u32,
            content,
            reported,
            discarded,
        });
        count
    }

    /// A copy of us had a message stamped that was not handed in here.
    #[cold]
    fn read_copied(&mut self, index: usize, seq: Seq, entry: &Entry<'_>) {
        let publisher_seq = entry.header.publisher_seq;
        self.list[index].stamped = publisher_seq;
        if self.copied.len() == self.window_entries
            && let Some(oldest) = self.copied.pop_front()
        {
            let line = &mut self.list[oldest.line as usize];
            line.forgotten = line.forgotten.max(oldest.seq);
        }
        let digest = entry_digest(entry.header, entry.payload);
        self.copied.push_back(Copied { line: index as u32, publisher_seq, seq, digest });
    }

    /// The first `count` of the oldest stamped messages have their outcome.
    #[inline]
    pub(super) fn on_outcomes(&mut self, count: u64) {
        match self.stamped.front_mut() {
            Some(oldest) if oldest.count > count => *oldest = oldest.behind(count),
            _ => _ = self.stamped.pop_front(),
        }
    }

    fn read_open(&mut self, seq: Seq, entry: &Entry<'_>) {
        let Ok(open) = OpenView::parse(entry.payload) else { return };
        let (id, last) = (entry.header.publisher, entry.header.publisher_seq);
        for index in 0..self.list.len() {
            let line = &mut self.list[index];
            if line.name != open.name {
                continue;
            }
            match line.state {
                NameState::Querying { .. } | NameState::Opening { .. } if line.nonce == open.body.nonce => {
                    line.state = NameState::Seen { at: seq };
                    line.id = id;
                    line.incarnation = open.body.incarnation;
                    line.next = last + 1;
                    (line.resolved, line.stamped) = (last, last);
                    (line.opened_at, line.by_entry) = (seq, true);
                    self.bind(id, index);
                }
                NameState::Open | NameState::Seen { .. } if open.body.incarnation > line.incarnation => {
                    self.end(index, seq, true);
                }
                _ => {}
            }
        }
    }

    /// An entry at `seq` ends a line. One that stands before what opened it ended an earlier life of it.
    fn end(&mut self, index: usize, seq: Seq, fenced: bool) {
        let line = &mut self.list[index];
        if seq <= line.opened_at {
            return;
        }
        let opened = match line.state {
            NameState::Open => true,
            NameState::Seen { .. } => false,
            _ => return,
        };
        self.unopened -= u32::from(!opened);
        line.state = NameState::Ending { at: seq, fenced, opened };
        self.ending += 1;
    }

    /// A takeover took back everything that was read from `from` on. Returns whether it is known what that
    /// was; else the outcomes of this handle's messages cannot be known any more.
    #[must_use]
    pub(super) fn on_cut(&mut self, from: Seq, f: &mut impl FnMut(PublisherEvent)) -> bool {
        let Self { list, stamped, copied, parts, .. } = self;
        parts.on_cut(from);
        if list.iter().any(|line| line.forgotten >= from) {
            return false;
        }
        let mut unstamp = |line: u32, publisher_seq: PublisherSeq| {
            let line = &mut list[line as usize];
            line.stamped = line.stamped.min(publisher_seq - 1).max(line.resolved);
            line.id
        };
        stamped.retain_mut(|messages| {
            let committed_count = messages.committed(from);
            let lost = messages.behind(committed_count);
            messages.count = committed_count;
            if lost.count > 0 {
                let publisher = unstamp(lost.line, lost.publisher_seq);
                for publisher_seq in
                    (lost.publisher_seq..).take(if lost.reported { lost.count as usize } else { 0 })
                {
                    if !planted(Mutation::UnstampedNotReported) {
                        f(PublisherEvent::Unstamped { publisher, publisher_seq });
                    }
                }
            }
            committed_count > 0
        });
        copied.retain(|copied| {
            let lost = copied.seq >= from;
            if lost {
                unstamp(copied.line, copied.publisher_seq);
            }
            !lost
        });
        for index in 0..self.list.len() {
            self.cut_line(index, from);
        }
        true
    }

    /// A line goes back to where it stood before `from`.
    fn cut_line(&mut self, index: usize, from: Seq) {
        let line = &mut self.list[index];
        line.watched_from = line.watched_from.min(from);
        if let NameState::Ending { at, opened, .. } = line.state
            && at >= from
        {
            if !planted(Mutation::EndingLeaks) {
                self.ending -= 1;
            }
            self.unopened += u32::from(!opened);
            line.state = if opened { NameState::Open } else { NameState::Seen { at: line.opened_at } };
        }
        if let NameState::Seen { at } = line.state
            && line.by_entry
            && at >= from
        {
            let after = line.incarnation.saturating_sub(1);
            line.state = NameState::Opening { after, sent_at: 0, tries: 0 };
            (line.resolved, line.stamped, line.opened_at, line.watched_from) = (0, 0, 0, 0);
            self.unbind(index);
        }
    }

    /// The leader refuses the open with this nonce. Returns the tickets that it ends.
    pub(super) fn on_refused(&mut self, nonce: [u64; 2]) -> impl Iterator<Item = usize> {
        let Self { list, unopened, .. } = self;
        list.iter_mut().enumerate().filter_map(move |(ticket, line)| {
            let ends = line.nonce == nonce && matches!(line.state, NameState::Opening { .. });
            if ends {
                line.state = NameState::Refused;
                *unopened -= 1;
            }
            ends.then_some(ticket)
        })
    }

    /// Another history begins at `next`: what a reply rested on at or above is not in it.
    pub(super) fn on_founded(&mut self, next: Seq) {
        for line in &mut self.list {
            if let NameState::Seen { at } = line.state
                && !line.by_entry
                && at >= next
            {
                line.state = NameState::Querying { asked_at: 0, tries: 0 };
                (line.resolved, line.stamped, line.opened_at, line.watched_from) = (0, 0, 0, 0);
            }
        }
    }

    /// Another leadership has begun: opens that are under way are sent at once.
    pub(super) fn hurry(&mut self) {
        for line in &mut self.list {
            if let NameState::Opening { after, .. } = line.state {
                line.state = NameState::Opening { after, sent_at: 0, tries: 0 };
            }
        }
    }
}
