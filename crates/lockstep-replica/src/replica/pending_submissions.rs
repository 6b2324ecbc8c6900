//! A standby's pending submissions: the newest datagrams, buffered until all entries in them have their
//! place in the log. A new leader stamps them without waiting until publishers send them again.

use lockstep_core::engine::store::touched;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::publishers::{Admission, OpenAdmission, Publishers};
use lockstep_wire::{Entries, EntryKind, HEADER_LEN, Header, Nanos, OpenView, Seq};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// The header and the entries of a pending submission, which was checked when it arrived.
pub(super) fn opened(submission: &[u8]) -> Option<(&Header, Entries<'_>)> {
    let header = Header::look(submission)?;
    Some((header, Entries::known(&submission[HEADER_LEN..], header.count)))
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct PendingSubmission {
    at: usize,
    len: usize,
    received_at: Nanos,
}

/// See the module. Two are equal if they buffer the same datagrams, wherever in memory.
#[derive(Clone, Debug)]
pub(super) struct PendingSubmissions {
    memory: Vec<u8>,
    /// Oldest first.
    submissions: VecDeque<PendingSubmission>,
    /// Where the next one is written.
    next_at: usize,
    /// The log's end, the oldest and the newest datagram at the last check, ...
    judged: (Seq, PendingSubmission, PendingSubmission),
    /// ... and its result.
    waits_since: Option<Nanos>,
}

/// The shortest submission is a header and an entry: more than this many never fit.
fn most(bytes: usize) -> usize {
    bytes / 128
}

/// Datagrams that are checked where the oldest waits for a later one: a publisher sends a missing number
/// again.
const NEWEST: usize = 16;

impl PartialEq for PendingSubmissions {
    fn eq(&self, other: &Self) -> bool {
        self.all().eq(other.all())
    }
}

impl Eq for PendingSubmissions {}

impl Hash for PendingSubmissions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.submissions.len().hash(state);
        self.all().for_each(|pending| pending.hash(state));
    }
}

impl PendingSubmissions {
    fn all(&self) -> impl Iterator<Item = (Nanos, &[u8])> {
        self.submissions.iter().map(|pending| (pending.received_at, self.bytes(pending)))
    }

    /// Room for datagrams of `bytes` in all.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            memory: touched(bytes),
            submissions: VecDeque::with_capacity(most(bytes)),
            next_at: 0,
            judged: (0, PendingSubmission::default(), PendingSubmission::default()),
            waits_since: None,
        }
    }

    /// Holds always. Panics with the rule that is broken.
    pub(super) fn invariants(&self) {
        let (count, bytes) =
            (self.submissions.len(), self.submissions.iter().map(|pending| pending.len).sum::<usize>());
        let room = self.memory.len();
        assert!(
            count <= most(room) && bytes <= room,
            "{count} datagrams of {bytes} bytes are kept in {room}"
        );
        let mut places: Vec<_> =
            self.submissions.iter().map(|pending| (pending.at, pending.at + pending.len)).collect();
        places.sort_unstable();
        let apart = places.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        assert!(
            apart && places.last().is_none_or(|last| last.1 <= room),
            "each has its own memory: {places:?}"
        );
    }

    /// Buffers a datagram; the oldest make room.
    pub(super) fn push(&mut self, datagram: &[u8], now: Nanos) {
        let len = datagram.len();
        if len > self.memory.len() || most(self.memory.len()) == 0 {
            return;
        }
        let at = if self.next_at + len > self.memory.len() { 0 } else { self.next_at };
        // What lies between the write position and the end of the new datagram is overwritten.
        let (next_at, end) = (self.next_at, at + len);
        let is_overwritten = |pending: &PendingSubmission| {
            if at < next_at {
                pending.at >= next_at || pending.at < end
            } else {
                (next_at..end).contains(&pending.at)
            }
        };
        while self.submissions.front().is_some_and(is_overwritten) && !planted(Mutation::PendingOverwritten) {
            self.submissions.pop_front();
        }
        // Not bounded by the queue's capacity: a copy of it has another.
        if self.submissions.len() == most(self.memory.len()) {
            self.submissions.pop_front();
        }
        self.memory[at..at + len].copy_from_slice(datagram);
        self.submissions.push_back(PendingSubmission { at, len, received_at: now });
        self.next_at = at + len;
    }

    /// Drops the oldest for as long as all entries in them have their place in the log, or never will.
    /// `log_next` is the end of the log, of which `publishers` is a function. Returns since when something
    /// has waited that could be stamped now: the oldest, or one of the newest where the oldest waits for a
    /// later arrival.
    pub(super) fn drop_committed(&mut self, log_next: Seq, publishers: &Publishers) -> Option<Nanos> {
        while let Some(&oldest) = self.submissions.front() {
            let newest = self.submissions.back().copied().unwrap_or_default();
            let same_log = self.judged.0 == log_next;
            if self.judged == (log_next, oldest, newest) || same_log && self.waits_since.is_some() {
                return self.waits_since;
            }
            let (keep, now) = self.has_deliverable(&oldest, publishers);
            if keep {
                let newer = self.submissions.iter().rev().take(NEWEST);
                let waiting = |pending: &&PendingSubmission| self.has_deliverable(pending, publishers).1;
                let found = if now { Some(oldest) } else { newer.copied().find(|pending| waiting(&pending)) };
                self.waits_since = found.map(|pending| pending.received_at);
                self.judged = (log_next, oldest, newest);
                return self.waits_since;
            }
            self.submissions.pop_front();
        }
        None
    }

    /// Whether something in it may still be stamped, and whether it could be now.
    fn has_deliverable(&self, pending: &PendingSubmission, publishers: &Publishers) -> (bool, bool) {
        let Some((_, entries)) = opened(self.bytes(pending)) else { return (false, false) };
        let mut waits = (false, false);
        for entry in entries {
            let header = &entry.header;
            let admission = match entry.kind() {
                EntryKind::Message | EntryKind::Close | EntryKind::Day => {
                    publishers.judge(header.publisher, header.time_or_incarnation, header.publisher_seq)
                }
                EntryKind::Open => {
                    match OpenView::parse(entry.payload).map(|open| publishers.judge_open(&open)) {
                        Ok(OpenAdmission::Stamp(..)) => Admission::Stamp,
                        _ => Admission::Duplicate,
                    }
                }
                _ => Admission::Duplicate,
            };
            waits.0 |= matches!(admission, Admission::Stamp | Admission::Hold);
            // A leader that refuses an operator's signature is not stuck, and only it checks signatures.
            waits.1 |= admission == Admission::Stamp && entry.kind() != EntryKind::Day;
        }
        waits
    }

    fn bytes(&self, pending: &PendingSubmission) -> &[u8] {
        &self.memory[pending.at..pending.at + pending.len]
    }

    /// Whether the buffered datagrams take half of the room: none of them is overwritten before.
    pub(super) fn is_half_full(&self) -> bool {
        let oldest = self.submissions.front().map_or(self.next_at, |pending| pending.at);
        let bytes = if oldest < self.next_at {
            self.next_at - oldest
        } else {
            self.memory.len() - oldest + self.next_at
        };
        !self.submissions.is_empty()
            && (bytes >= self.memory.len() / 2 || self.submissions.len() >= most(self.memory.len()) / 2)
    }

    /// The `index`th from the oldest.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        self.submissions.get(index).map(|pending| self.bytes(pending))
    }

    /// Drops copies: to an explorer a datagram that was received twice is one.
    pub(super) fn forget_copies(&mut self) {
        let all: Vec<_> = self.all().map(|(at, bytes)| (at, bytes.to_vec())).collect();
        self.clear();
        for (index, (at, bytes)) in all.iter().enumerate() {
            if !all[..index].iter().any(|(_, before)| before == bytes) {
                self.push(bytes, *at);
            }
        }
    }

    /// Drops all.
    pub(super) fn clear(&mut self) {
        self.submissions.clear();
        self.next_at = 0;
        self.judged = (0, PendingSubmission::default(), PendingSubmission::default());
    }
}
