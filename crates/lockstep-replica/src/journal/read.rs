//! Reads the log back from the segments, at the reader's pace: `verify`, digests, replay. A cold path: it
//! allocates, and it reads data for which no hot thread waits.

use crate::journal::damage::Damage;
use crate::journal::extents::Extents;
use crate::journal::gone::Gone;
use crate::journal::index::{FramePosition, Index};
use crate::journal::packed::file_of;
use crate::journal::ports::{FileName, Store, StoreError};
use crate::journal::record::Record;
use crate::journal::segment::RECORDS_AT;
use crate::journal::walk::{Walk, WalkItem, read_header};
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{FrameView, Header, Reject, Seq};

/// The numbers of all segments, ascending.
pub(crate) fn numbers<S: Store>(store: &S) -> Result<Vec<u64>, StoreError> {
    let mut numbers: Vec<u64> = store
        .list()?
        .into_iter()
        .filter_map(|file| match file {
            FileName::Segment(number) | FileName::Packed(number) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    // Both exist for a moment.
    numbers.dedup();
    Ok(numbers)
}

/// A reader over the frames of the log from the one with `from` on, up to the end of the segments.
pub fn read_segments<S: Store>(store: &S, from: Seq) -> Result<LogReader<'_, S>, StoreError> {
    LogReader::over(store, &numbers(store)?, from)
}

/// Reads frames of the log, superseded ones left out.
pub struct LogReader<'s, S> {
    store: &'s S,
    numbers: Vec<u64>,
    runs: Extents<FramePosition>,
    walk: Option<Walk<'s, S>>,
    number: u64,
    next: Seq,
    /// The end behind the last frame read, once one was.
    end: Option<LogEnd>,
    /// The run ends behind the frame that is lent out.
    leave: bool,
    failed: bool,
}

impl<'s, S: Store> LogReader<'s, S> {
    /// As [`read_segments`], over the segments `numbers` only.
    pub(crate) fn over(store: &'s S, numbers: &[u64], from: Seq) -> Result<Self, StoreError> {
        let mut runs = Extents::unbounded();
        for &number in numbers {
            // A damaged header hides the start of the segment; its frames show it as well.
            let first = read_header(store, number)?.map_or(0, |header| header.first_seq);
            Index::load(store, number, first)?.replay(&mut runs);
        }
        Ok(Self {
            store,
            numbers: numbers.to_vec(),
            runs,
            walk: None,
            number: 0,
            next: from.max(1),
            end: None,
            leave: false,
            failed: false,
        })
    }

    /// The oldest seq that segments hold; `None` if they hold no frame.
    pub fn oldest_seq(&self) -> Option<Seq> {
        self.runs.list().first().map(|run| run.first_seq)
    }

    /// The position where the search for the next record starts: (segment, offset).
    fn place(&self) -> FramePosition {
        (self.number, self.walk.as_ref().map_or(0, Walk::offset))
    }

    /// The next frame; `None` at the end of the segments' log. After damage nothing more comes. The first
    /// frame is the one that contains the requested seq, or the oldest one.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows the reader's buffer")]
    pub fn next(&mut self) -> Result<Option<Result<FrameView<'_>, Damage>>, StoreError> {
        while !self.failed {
            if std::mem::take(&mut self.leave) {
                self.walk = None;
            }
            if self.walk.is_none() && !self.seek()? {
                break;
            }
            let Some(walk) = self.walk.as_mut() else { break };
            let bad = match walk.step()? {
                WalkItem::Record(offset, Record::Frame(frame), _) if frame.header.next_seq() > self.next => {
                    let header = *frame.header;
                    return Ok(Some(self.deliver(offset, &header)));
                }
                WalkItem::Record(..) => continue,
                WalkItem::End(_) => None,
                WalkItem::Bad(_, reject) => Some(reject),
            };
            if let Some(damage) = self.go_on(bad)? {
                self.failed = true;
                return Ok(Some(Err(damage)));
            }
        }
        Ok(None)
    }

    /// Opens the walk at or before the frame with `next`. False if no segment holds it.
    fn seek(&mut self) -> Result<bool, StoreError> {
        let list = self.runs.list();
        let oldest =
            (self.end.is_none() && list.first().is_some_and(|run| run.first_seq > self.next)).then_some(0);
        let Some(run) = self.runs.find(self.next).or(oldest).map(|index| list[index]) else {
            return Ok(false);
        };
        // The last segment of the run that begins at or before the seq.
        let (mut number, mut first) = (run.at.0, run.first_seq);
        for &later in self.numbers.iter().filter(|later| **later > run.at.0) {
            if run.end.is_some_and(|end| later > end.0) {
                break;
            }
            match read_header(self.store, later)? {
                Ok(header) if header.first_seq <= self.next => (number, first) = (later, header.first_seq),
                _ => break,
            }
        }
        let from = if number == run.at.0 { run.at.1 } else { RECORDS_AT };
        let limit = run.end.filter(|end| end.0 == number).map_or(u64::MAX, |end| end.1);
        let offset = Index::load(self.store, number, first)?.hint(self.next, from, limit);
        self.number = number;
        self.walk = Some(Walk::new(self.store, number, offset));
        Ok(true)
    }

    /// Continues in the segment behind the one that ends here, with something `bad` or without. Damage at a
    /// segment's end was judged when the next one was begun: that starts where the log really ended.
    fn go_on(&mut self, bad: Option<Reject>) -> Result<Option<Damage>, StoreError> {
        let (number, offset) = self.place();
        let damage =
            |what: &dyn std::fmt::Display| Damage::new(file_of(self.store, number), offset, self.next, what);
        let Some(later) = self.numbers.iter().copied().find(|later| *later > number) else {
            self.failed = true;
            return Ok(bad.map(|reject| damage(&reject)));
        };
        let first = read_header(self.store, later)?.map_or(Seq::MAX, |header| header.first_seq);
        if first > self.next {
            if bad.is_none() && later > number + 1 {
                let to_next = if first == Seq::MAX { 0 } else { first };
                let gone = Gone { first: number + 1, last: later - 1, from: self.next, to_next };
                return Ok(Some(gone.damage()));
            }
            let what = format!("{} does not go on there", FileName::Segment(later));
            return Ok(Some(bad.map_or_else(|| damage(&what), |reject| damage(&reject))));
        }
        self.number = later;
        self.walk = Some(Walk::new(self.store, later, 0));
        Ok(None)
    }

    /// Returns the frame that the walk has just passed; the search for the next one continues in the run
    /// that holds it.
    fn deliver(&mut self, offset: u64, header: &Header) -> Result<FrameView<'_>, Damage> {
        let damage = |what: &str| Damage::new(FileName::Segment(self.number), offset, header.first_seq, what);
        let mut ends = self.runs.list().iter().map(|run| run.next_seq);
        self.leave = ends.any(|end| self.next < end && header.next_seq() >= end);
        let before = self.end.unwrap_or(LogEnd {
            next: header.first_seq,
            epoch: header.epoch(),
            chain: header.chain,
            timestamp: header.timestamp,
        });
        let Some(frame) = self.walk.as_ref().and_then(|walk| walk.passed(header)) else {
            self.failed = true;
            return Err(damage("lost while it was read"));
        };
        match before.follow(&frame) {
            Ok(end) => {
                self.end = Some(end);
                self.next = end.next;
                Ok(frame)
            }
            Err(misfit) => {
                self.failed = true;
                Err(damage(&format!("does not follow what is before it ({misfit:?})")))
            }
        }
    }
}
