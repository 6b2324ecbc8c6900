//! The owner of a journal, and the contents of it, by one reading of its log.

use super::kind_name;
use crate::OperationError;
use lockstep_node::JournalReader;
use lockstep_replica::journal::{StoredLog, Superblock};
use lockstep_wire::{DayMark, EntryKind, Epoch, FrameView, Identity, Nanos, PublisherId, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Rows of a kind that are remembered, the newest ones.
const ROWS_MAX: usize = 4_096;

/// What one reading of a log counts.
#[derive(Default, Debug)]
pub struct LogContent {
    /// Entries, by the word for their kind.
    pub entries: BTreeMap<&'static str, u64>,
    /// Messages and their bytes, by publisher.
    pub messages: BTreeMap<PublisherId, (u64, u64)>,
    /// Epochs: where each begins, and when.
    pub epochs: NewestRows<(Epoch, Seq, Nanos)>,
    /// Trading days.
    pub days: NewestRows<DayRow>,
    /// The time of the first entry that has one.
    pub first_time: Option<Nanos>,
    /// The time of the last entry.
    pub last_time: Nanos,
}

/// A trading day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayRow {
    /// Its name.
    pub name: String,
    /// The seq of its beginning.
    pub begins: Seq,
    /// That of its end; none while it is open.
    pub ends: Option<Seq>,
}

/// The newest rows, and how many there were.
#[derive(Debug)]
pub struct NewestRows<T> {
    /// The newest ones, the newest last.
    pub rows: VecDeque<T>,
    /// All that were met.
    pub count: u64,
}

impl<T> Default for NewestRows<T> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), count: 0 }
    }
}

impl<T> NewestRows<T> {
    fn push(&mut self, row: T) {
        self.count += 1;
        if self.rows.len() == ROWS_MAX {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// The last `most` rows, and how many are left out.
    pub fn last(&self, most: usize) -> (u64, impl Iterator<Item = &T>) {
        let skipped = self.rows.len().saturating_sub(most);
        (self.count - (self.rows.len() - skipped) as u64, self.rows.iter().skip(skipped))
    }
}

impl LogContent {
    fn take(&mut self, frame: &FrameView<'_>) {
        let (first, time, epoch) = (frame.header.first_seq, frame.header.timestamp, frame.header.epoch());
        // The birth of a history, and the start of its first epoch, have no time.
        self.first_time = self.first_time.or(Some(time).filter(|time| *time > 0));
        self.last_time = time;
        if self.epochs.rows.back().is_none_or(|(last, ..)| *last != epoch) {
            self.epochs.push((epoch, first, time));
        }
        for (seq, entry) in (first..).zip(frame.entries()) {
            let kind = entry.kind();
            *self.entries.entry(kind_name(kind)).or_default() += 1;
            match kind {
                EntryKind::Message => {
                    let (count, bytes) = self.messages.entry(entry.header.publisher).or_default();
                    (*count, *bytes) = (*count + 1, *bytes + entry.payload.len() as u64);
                }
                EntryKind::Day => match DayMark::parse(entry.payload) {
                    Ok(mark) if mark.is_start => {
                        self.days.push(DayRow { name: mark.name.to_owned(), begins: seq, ends: None });
                    }
                    _ => {
                        if let Some(open) = self.days.rows.back_mut().filter(|day| day.ends.is_none()) {
                            open.ends = Some(seq);
                        }
                    }
                },
                _ => {}
            }
        }
    }
}

/// What a journal is.
#[derive(Debug)]
pub struct JournalInfo {
    /// Its folder.
    pub dir: PathBuf,
    /// The process that has it open.
    pub open_by: Option<u32>,
    /// Its superblock; a backup has none, and a copy need not.
    pub superblock: Option<Superblock>,
    /// Its log, as far as that reached.
    pub log: StoredLog,
    /// The bytes of its segments.
    pub bytes: u64,
    /// What the log was seen to have.
    pub content: LogContent,
    /// Its damage, each with file and place.
    pub damage: Vec<String>,
}

impl JournalInfo {
    /// Reads it. Damage is no error: what lies before it is counted.
    ///
    /// # Errors
    /// There is no journal, or it cannot be read.
    pub fn read(journal: &JournalReader) -> Result<Self, OperationError> {
        let superblock = journal.superblock()?;
        let log = journal.log()?;
        let bytes = journal.overview()?.iter().flatten().map(|row| row.bytes).sum();
        let mut content = LogContent::default();
        let read = journal.read(log.oldest_seq, log.end.next, |frame| {
            content.take(frame);
            Ok::<_, OperationError>(ControlFlow::Continue(()))
        });
        // First what could be read, and then what could not.
        let unread = match read {
            Err(OperationError::Integrity(what)) => Some(what),
            read => read.map(|()| None)?,
        };
        let damage = log.damages().map(|damage| damage.to_string()).chain(unread).collect();
        let (dir, open_by) = (journal.dir().to_path_buf(), journal.open_by());
        Ok(Self { dir, open_by, superblock, log, bytes, content, damage })
    }

    /// The owner's identity, and its cluster.
    pub fn owner(&self) -> Option<(Identity, u64)> {
        let named = self.superblock.map(|superblock| (superblock.identity, superblock.cluster));
        named.or(self.log.owner)
    }

    /// The name of a publisher, if its open was read.
    pub fn publisher(&self, id: PublisherId) -> Option<&str> {
        self.log.checkpoint.publishers.get(&id).map(|row| row.name.as_str())
    }
}
