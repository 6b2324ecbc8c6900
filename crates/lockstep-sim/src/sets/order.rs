//! The judge of the merged order: a plain fold of the committed logs, by the sentences of MERGE-1 to MERGE-3
//! and without a line of the code that readers run.

use crate::check::Violation;
use crate::check::facts::OracleFacts;
use crate::check::log_tree::TreeNode;
use crate::coverage::{Coverage, Event};
use crate::rng::Rng;
use lockstep_set::{CutEntry, CutPoint, LookBack, LookBackNext, MergePlace, MergePlaceRow, SetEntry, SetRow};
use lockstep_wire::{
    Entry, EntryKind, Epoch, FrameView, GATEWAYS, MACHINES, Nanos, PART_MORE, RESERVED, SETS, Seq,
};

/// A committed entry, as far as the order depends on it.
#[derive(Clone, Debug)]
struct LogEntry {
    epoch: Epoch,
    /// When it was stamped, if a reader of the stream receives that time; else 0.
    stamp: Nanos,
    /// Its payload, where it is addressed to the set's own channel.
    note: Option<Vec<u8>>,
}

/// The committed log of one stream.
#[derive(Clone, Debug, Default)]
struct CommittedLog {
    entries: Vec<LogEntry>,
    tip: Option<TreeNode>,
}

impl CommittedLog {
    fn grow(&mut self, facts: &OracleFacts) -> Result<(), Violation> {
        let tip = facts.reference.tip();
        for node in facts.tree.path(self.tip, tip) {
            let stem = facts.tree.stem(node);
            if stem.bytes.is_empty() {
                // Stamped before the world kept frames: the beginning of its history.
                let plain = |_| LogEntry { epoch: stem.epoch, stamp: 0, note: None };
                self.entries.extend((stem.first..stem.next).map(plain));
                continue;
            }
            let frame = FrameView::parse(&stem.bytes)
                .map_err(|reject| format!("MERGE: the tree has no frame: {reject}"))?;
            let epoch = frame.header.epoch();
            for entry in frame.entries() {
                let is_note = entry.header.destination == SETS && entry.kind() == EntryKind::Message;
                let (publisher, number) = (entry.header.publisher, entry.header.publisher_seq);
                if is_note && !facts.is_note(publisher, number, entry.payload) {
                    let at = self.entries.len() + 1;
                    return Err(format!("INTEGRITY: nobody published the note that stands at {at}"));
                }
                let stamp = if has_time(&entry) { timestamp_of(&frame, &entry) } else { 0 };
                let note = is_note.then(|| entry.payload.to_vec());
                self.entries.push(LogEntry { epoch, stamp, note });
            }
        }
        self.tip = tip;
        Ok(())
    }

    fn get(&self, seq: Seq) -> Option<&LogEntry> {
        self.entries.get(seq.checked_sub(1)? as usize)
    }
}

/// Whether a reader receives the time of an entry: not of the first parts of a message, and not of what says
/// nothing to an application.
fn has_time(entry: &Entry<'_>) -> bool {
    match entry.kind() {
        EntryKind::Message if entry.header.flags & PART_MORE != 0 => false,
        EntryKind::Message => match entry.header.destination {
            GATEWAYS | MACHINES | SETS => true,
            other => other < RESERVED,
        },
        EntryKind::Open | EntryKind::Close | EntryKind::Day | EntryKind::Order => true,
        EntryKind::Genesis | EntryKind::EpochStart | EntryKind::Membership | EntryKind::ChangeCommitted => {
            false
        }
    }
}

fn timestamp_of(frame: &FrameView<'_>, entry: &Entry<'_>) -> Nanos {
    frame.header.timestamp + Nanos::from(entry.header.time_or_incarnation)
}

/// A stream besides the home stream: how far it is merged, and its row in the last cut that counts.
#[derive(Clone, Copy, Debug)]
struct OtherStream {
    number: u64,
    next: Seq,
    row: Option<(Epoch, Seq)>,
}

/// See the module. The home stream is the first one, of number 1; stream `n` is that of the `n`th world.
#[derive(Clone, Debug)]
pub(super) struct SetOrder {
    logs: Vec<CommittedLog>,
    /// Stream and seq of each merged entry: that of number 1 is the first.
    pub(super) merged: Vec<(u64, Seq)>,
    home_next: Seq,
    list: u64,
    others: Vec<OtherStream>,
    /// The last cut that counts, and where the order stood there.
    last: CutPoint,
    /// As [`CutPoint::base`], and the greatest stamp, of what is merged.
    base: u64,
    time: Nanos,
    /// How many entries of each stream were ever committed, in any history.
    most: Vec<usize>,
    /// Where a history was founded, of each stream.
    founded: Vec<Option<Seq>>,
    /// Cuts that count, and that do not; lists behind the first one; rows of founded streams that are below
    /// those before; rows that ended below their bounds.
    counts: [u64; 5],
}

/// Indices of the counts.
const COUNTED: [(usize, Event); 5] = [
    (0, Event::SetCuts),
    (1, Event::SetCutsVoid),
    (2, Event::SetLists),
    (3, Event::SetRowsLowered),
    (4, Event::SetRowsCutShort),
];

impl SetOrder {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            logs: vec![CommittedLog::default(); streams],
            merged: Vec::new(),
            home_next: 1,
            list: 0,
            others: Vec::new(),
            last: CutPoint::default(),
            base: 0,
            time: 0,
            most: vec![0; streams],
            founded: vec![None; streams],
            counts: [0; 5],
        }
    }

    /// The committed log of a stream has grown, perhaps. Returns whether a history was founded on what was
    /// left of it.
    pub(super) fn on_step(&mut self, stream: usize, facts: &OracleFacts) -> Result<bool, Violation> {
        let is_founded = facts.founding() != self.founded[stream];
        if is_founded {
            // The order is that of the streams as they are: it is folded anew.
            self.founded[stream] = facts.founding();
            self.logs[stream] = CommittedLog::default();
            let Self { logs, most, founded, .. } = std::mem::replace(self, Self::new(self.logs.len()));
            *self = Self { logs, most, founded, ..Self::new(self.logs.len()) };
        } else if self.logs[stream].tip == facts.reference.tip() {
            return Ok(false);
        }
        self.logs[stream].grow(facts)?;
        self.most[stream] = self.most[stream].max(self.logs[stream].entries.len());
        while self.merge_next() {}
        Ok(is_founded)
    }

    /// What this order has, by its counts.
    pub(super) fn count(&self, coverage: &mut Coverage) {
        for (index, event) in COUNTED {
            coverage.count_times(event, self.counts[index]);
        }
    }

    /// Entries that a stream has committed.
    pub(super) fn committed(&self, stream: u64) -> u64 {
        self.logs[stream as usize - 1].entries.len() as u64
    }

    /// The seq of the founding of a stream, if there was one.
    pub(super) fn founded_at(&self, stream: usize) -> Option<Seq> {
        self.founded[stream]
    }

    /// MERGE-4 (what a coordinator writes): its rows promise no more than was ever committed, and no entry
    /// below one is of a higher epoch.
    pub(super) fn check_promise(&self, cut: &CutEntry) -> Result<(), Violation> {
        for row in &cut.rows {
            let stream = row.stream as usize - 1;
            let is_higher = |entry: &LogEntry| entry.epoch > row.epoch() && row.epoch() > Epoch::NONE;
            let is_above = self.logs[stream].get(row.next - 1).is_some_and(is_higher);
            let may_be_above = self.founded[stream].is_some();
            if row.next > self.most[stream] as Seq + 1 || is_above && !may_be_above {
                return Err(format!("MERGE-4: {row:?} is written, {} are committed", self.most[stream]));
            }
        }
        Ok(())
    }

    /// MERGE-5 (where a reader may begin): the place that a look back finds that begins anywhere, if each
    /// row has ended at its bound.
    pub(super) fn look_back(&self, rng: &mut Rng) -> Option<MergePlace> {
        // Its own steps are not taken: it is read from anywhere.
        let mut look_back = LookBack::new(Seq::MAX);
        for seq in 1 + rng.below(self.home_next)..self.home_next {
            if let Some(note) = self.logs[0].get(seq).and_then(|entry| entry.note.as_ref()) {
                look_back.on_note(seq, note);
            }
        }
        let has_ended = |row: &MergePlaceRow| self.ends_whole(row.stream, row.row.1, row.row.0);
        match look_back.at_end() {
            LookBackNext::Place(place) => place.streams.iter().all(has_ended).then_some(place),
            LookBackNext::Farther | LookBackNext::Wait => None,
        }
    }

    /// Merges the next entry of the home stream, with those that a cut merges before it; false where it is
    /// not decided.
    fn merge_next(&mut self) -> bool {
        let Some(entry) = self.logs[0].get(self.home_next) else { return false };
        if let Some(note) = entry.note.clone() {
            if let Ok(list) = SetEntry::parse(&note)
                && list.number == self.list + 1
            {
                self.counts[2] += u64::from(self.list > 0);
                self.list = list.number;
                let known = std::mem::take(&mut self.others);
                let stays = |one: &&OtherStream| list.rows.iter().any(|row| row.stream == one.number);
                let left: u64 = known.iter().filter(|one| !stays(one)).map(|one| one.next).sum();
                let is_new = |row: &&SetRow| known.iter().all(|one| one.number != row.stream);
                let added: u64 = list.rows.iter().filter(is_new).map(|row| row.from).sum();
                self.base = self.base.wrapping_add(added).wrapping_sub(left);
                self.others.extend(list.rows.iter().map(|row| {
                    let stays = known.iter().find(|known| known.number == row.stream).copied();
                    stays.unwrap_or(OtherStream { number: row.stream, next: row.from, row: None })
                }));
            } else if let Ok(cut) = CutEntry::parse(&note) {
                if !self.counts(&cut) {
                    self.counts[1] += 1;
                } else if let Some(ends) = self.ends(&cut) {
                    self.take(&cut, &ends);
                } else {
                    return false;
                }
            }
        }
        let stamp = self.logs[0].get(self.home_next).map_or(0, |entry| entry.stamp);
        self.time = self.time.max(stamp);
        if self.last.seq == self.home_next {
            self.last.time = self.time;
        }
        self.merged.push((1, self.home_next));
        self.home_next += 1;
        true
    }

    /// MERGE-1: it names the last cut before it that counts, says rightly where the order stood there, and no
    /// row falls. A coordinator that has merged what a founding took away says it wrongly.
    fn counts(&self, cut: &CutEntry) -> bool {
        let same = cut.rows.iter().map(|row| row.stream).eq(self.others.iter().map(|other| other.number));
        let falls = cut.rows.iter().zip(&self.others).any(|(row, other)| match other.row {
            Some((epoch, next)) => row.epoch() < epoch || row.epoch() == epoch && row.next < next,
            None => row.next < other.next,
        });
        cut.after == self.last && same && !falls
    }

    /// MERGE-2: where each row ends: at its bound, or at the first seq below it whose epoch is higher. `None`
    /// while one is not decided.
    fn ends(&self, cut: &CutEntry) -> Option<Vec<Seq>> {
        let rows = cut.rows.iter().zip(&self.others);
        rows.map(|(row, other)| {
            let log = &self.logs[other.number as usize - 1];
            let mut end = other.next;
            while end < row.next {
                let entry = log.get(end)?;
                if entry.epoch > row.epoch() {
                    break;
                }
                end += 1;
            }
            Some(end)
        })
        .collect()
    }

    /// MERGE-3: directly before the cut, stream by stream.
    fn take(&mut self, cut: &CutEntry, ends: &[Seq]) {
        for ((row, other), end) in cut.rows.iter().zip(&mut self.others).zip(ends) {
            let log = &self.logs[other.number as usize - 1];
            let stamps = (other.next..*end).filter_map(|seq| log.get(seq)).map(|entry| entry.stamp);
            self.time = stamps.fold(self.time, Nanos::max);
            self.merged.extend((other.next..*end).map(|seq| (other.number, seq)));
            let is_lowered = other.row.is_some_and(|(epoch, next)| row.epoch() > epoch && row.next < next);
            self.counts[3] += u64::from(is_lowered);
            self.counts[4] += u64::from(*end < row.next);
            (other.next, other.row) = (*end, Some((row.epoch(), row.next)));
        }
        // Its time is that behind the cut itself.
        self.last = CutPoint { seq: self.home_next, list: self.list, base: self.base, time: 0 };
        self.counts[0] += 1;
    }

    /// The committed entries that no cut that counts has merged, in words; `None` if there is none.
    pub(super) fn lacking(&self) -> Option<String> {
        if self.home_next <= self.logs[0].entries.len() as Seq {
            let at = self.home_next;
            return Some(format!(
                "the home stream is merged below {at}, {} are committed",
                self.logs[0].entries.len()
            ));
        }
        if self.list == 0 {
            return Some("no list of streams is committed".to_owned());
        }
        let behind =
            |other: &&OtherStream| other.next <= self.logs[other.number as usize - 1].entries.len() as Seq;
        self.others
            .iter()
            .find(behind)
            .map(|other| format!("stream {} is merged below {}", other.number, other.next))
    }

    /// Whether the entry before `next` in a stream is of no higher epoch than `epoch`.
    fn ends_whole(&self, stream: u64, next: Seq, epoch: Epoch) -> bool {
        let log = &self.logs[stream as usize - 1];
        next <= 1 || log.get(next - 1).is_some_and(|entry| entry.epoch <= epoch)
    }
}
