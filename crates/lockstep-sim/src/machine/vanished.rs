//! Whole files of a journal vanish, under a process that runs or while none does: a sealed segment, the
//! newest one, an index, a checkpoint, the checkpoint with which the oldest segment begins, a copy of the
//! superblock.
//!
//! ```text
//!   index, checkpoint of a sealed segment ─▶ computed anew, byte for byte; nothing else changes
//!   segment, tables of what was removed   ─▶ named by the node that runs, and served to nobody
//!   anything, while no process runs       ─▶ the next one has all that was acknowledged, or does not start
//! ```
//!
//! The node looks for its files once in a chore's interval. After a few of them whatever is gone has been
//! named or is there again, or the run fails.

use crate::check::Violation;
use crate::coverage::Event;
use crate::disk::SimDisk;
use crate::kinds::VanishedFile;
use crate::machine::CHORE_NS;
use crate::rng::Rng;
use lockstep_replica::journal::BLOCK_LEN;
use lockstep_replica::journal::ports::{FileName, Store};
use lockstep_replica::journal::side::SideThread;
use lockstep_wire::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// Looks of a node after which a file that is gone is named, or is there again; and one more for each that is
/// computed, as a look computes those of one segment.
const LOOKS: u32 = 6;

/// The files that have vanished from one journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vanished {
    /// Segments, until retention removes what lies behind them.
    segments: BTreeSet<u64>,
    /// Those of them that the present process has not named.
    unnamed: BTreeSet<u64>,
    /// The tables with which this segment begins, and whether the present process has named them.
    base: Option<(u64, bool)>,
    /// Files that are computed, with the bytes that they had.
    derived: BTreeMap<FileName, Vec<u8>>,
    /// One of them is of a segment that the process has named as damaged: it is computed once that is mended.
    waits: bool,
    /// A copy of the superblock vanished.
    has_half: bool,
    /// The looks of the process since then, and the time of the next one.
    looks: u32,
    next_look: Nanos,
}

impl Vanished {
    /// Whether a process may refuse to start on the journal, or stop.
    pub(crate) fn may_refuse(&self) -> bool {
        !self.segments.is_empty() || self.base.is_some() || self.has_half
    }

    /// Whether files are gone that a process has yet to compute.
    pub(crate) fn is_open(&self) -> bool {
        !self.derived.is_empty()
    }

    /// A process starts: it has named nothing yet.
    pub(crate) fn begin(&mut self) {
        self.unnamed.clone_from(&self.segments);
        self.base = self.base.map(|(number, _)| (number, false));
        (self.looks, self.next_look) = (0, 0);
    }

    /// Retention has removed the rest on purpose: it is not missed any more.
    fn forget_below(&mut self, oldest: u64) {
        self.segments.retain(|number| *number >= oldest);
        self.unnamed.retain(|number| *number >= oldest);
        self.base.take_if(|(number, _)| *number < oldest);
        // Where its segment or the one behind it is gone, nothing tells what it was.
        let Self { segments, derived, .. } = self;
        derived.retain(|file, _| {
            number_of(*file).is_some_and(|number| {
                number >= oldest && !segments.contains(&number) && !segments.contains(&(number + 1))
            })
        });
    }

    /// The side thread has had its turn: it may have named files, or made them anew.
    pub(crate) fn judge(
        &mut self,
        now: Nanos,
        (side, store): (&SideThread, &SimDisk),
        is_able: bool,
    ) -> Result<Vec<Event>, Violation> {
        if self.unnamed.is_empty() && self.derived.is_empty() && self.base.is_none_or(|(_, named)| named) {
            return Ok(Vec::new());
        }
        self.forget_below(side.superblock().oldest_number);
        let mut events = Vec::new();
        let segments = &self.segments;
        // Those in a row are named by the first of them.
        let first_of = |number: u64| {
            (0..=number).rev().take_while(|number| segments.contains(number)).last().unwrap_or(number)
        };
        let damaged = side.written().damaged;
        let before = self.unnamed.len();
        self.unnamed.retain(|number| !damaged.contains(first_of(*number)));
        events.extend((self.unnamed.len()..before).map(|_| Event::VanishedNamed));
        if let Some((_, named)) = &mut self.base
            && !*named
            && side.damaged().0 > 0
        {
            *named = true;
            events.push(Event::VanishedNamed);
        }
        let present: Vec<FileName> =
            self.derived.keys().filter(|file| store.len(**file).is_ok()).copied().collect();
        for file in present {
            let was = self.derived.remove(&file).unwrap_or_default();
            let mut is = vec![0; was.len() + 1];
            let len = store.read_at(file, 0, &mut is).map_err(|error| error.to_string())?;
            if is[..len] != was {
                return Err(format!("S7: {file} was gone, and was computed anew into another"));
            }
            events.push(Event::VanishedDerived);
        }
        let is_named = |file: &FileName| number_of(*file).is_some_and(|number| damaged.contains(number));
        let waits = self.derived.keys().any(is_named);
        if std::mem::replace(&mut self.waits, waits) && !waits {
            self.looks = 0;
        }
        if is_able && now >= self.next_look {
            self.next_look = now + CHORE_NS;
            self.looks += 1;
        }
        if self.looks <= LOOKS + self.derived.len() as u32 {
            return Ok(events);
        }
        let base = self.base.filter(|(_, named)| !named).map(|(number, _)| FileName::Checkpoint(number - 1));
        let missed = self.unnamed.iter().map(|number| FileName::Segment(*number));
        let derived = self.derived.keys().filter(|file| !is_named(file));
        match missed.chain(base).chain(derived.copied()).next() {
            Some(file) => {
                Err(format!("VANISHED: {file} is gone, and its node neither names it nor makes it anew"))
            }
            None => Ok(events),
        }
    }

    /// Takes a file of that kind away. Returns its name, if there was one.
    pub(crate) fn take(
        &mut self,
        store: &mut SimDisk,
        file: VanishedFile,
        runs: bool,
        rng: &mut Rng,
    ) -> Option<FileName> {
        let files = store.list().ok()?;
        let mut segments: Vec<u64> = files
            .iter()
            .filter_map(|file| match file {
                FileName::Segment(number) | FileName::Packed(number) => Some(*number),
                _ => None,
            })
            .collect();
        segments.sort_unstable();
        segments.dedup();
        let (newest, oldest) = (segments.pop()?, *segments.first()?);
        let sealed = segments[rng.below(segments.len() as u64) as usize];
        let file = match file {
            VanishedFile::Newest if runs => return None,
            VanishedFile::Superblock if runs => return None,
            VanishedFile::Superblock => {
                let at = BLOCK_LEN * rng.below(2) as usize;
                store.file_mut(FileName::Superblock)?.get_mut(at..at + BLOCK_LEN)?.fill(0);
                self.has_half = true;
                return Some(FileName::Superblock);
            }
            VanishedFile::Sealed => of_segment(&files, sealed)?,
            VanishedFile::Newest => of_segment(&files, newest)?,
            VanishedFile::Index => FileName::Index(sealed),
            VanishedFile::Checkpoint => FileName::Checkpoint(sealed),
            VanishedFile::Base => FileName::Checkpoint(oldest.checked_sub(1)?),
        };
        let bytes = store.file_mut(file)?.clone();
        store.lose(file);
        match file {
            FileName::Segment(number) | FileName::Packed(number) => {
                self.segments.insert(number);
                self.derived.clear();
            }
            FileName::Checkpoint(number) if number < oldest => {
                self.base = Some((oldest, false));
                self.derived.clear();
            }
            file => {
                self.derived.insert(file, bytes);
            }
        }
        self.begin();
        Some(file)
    }
}

fn number_of(file: FileName) -> Option<u64> {
    match file {
        FileName::Segment(number)
        | FileName::Packed(number)
        | FileName::Checkpoint(number)
        | FileName::Index(number) => Some(number),
        _ => None,
    }
}

/// The file that has this segment.
fn of_segment(files: &[FileName], number: u64) -> Option<FileName> {
    [FileName::Segment(number), FileName::Packed(number)].into_iter().find(|file| files.contains(file))
}
