//! The oldest segments of a stopped node's journal are removed, as retention does.

use crate::OperationError;
use crate::backup::verified;
use lockstep_node::{JournalReader, NodeSettings, Trimmed};
use lockstep_replica::journal::{Damage, LogComparison, StoredLog};
use lockstep_wire::{DayMark, EntryKind, Seq};
use std::ops::ControlFlow;
use std::path::Path;

/// What a trim would remove.
pub struct TrimPlan {
    journal: JournalReader,
    log: StoredLog,
    before: Seq,
    /// How many segments would be removed.
    pub segments: usize,
    /// The seqs of those, and of segments that are gone already, the end exclusive; none where there is
    /// nothing to remove.
    pub seqs: Option<(Seq, Seq)>,
    /// Segments that are gone already: a trim says that they are missed no longer.
    pub lost: Vec<Damage>,
}

impl TrimPlan {
    /// Of this node's journal, which no process may have open: segments all of whose entries lie before
    /// `before`.
    ///
    /// # Errors
    /// A process has it open, `before` lies beyond the commit or in the open trading day, or it cannot be
    /// read.
    pub fn new(settings: &NodeSettings, before: Seq) -> Result<Self, OperationError> {
        let journal = JournalReader::open(&settings.journal)?;
        if let Some(pid) = journal.open_by() {
            return Err(OperationError::refused(format_args!(
                "process {pid} has the journal open: stop it first, or set retention_size or retention_age, which a running \
                 node follows"
            )));
        }
        let log = journal.log()?;
        let before = bound(before, &journal, &log)?;
        let rows = journal.overview()?;
        let gone: Vec<_> =
            rows.iter().flatten().filter(|row| row.is_sealed && row.seqs.1 <= before).collect();
        let lost: Vec<_> = log.gone.iter().filter(|one| (1..=before).contains(&one.to_next)).collect();
        let from =
            gone.first().map(|row| row.seqs.0).into_iter().chain(lost.first().map(|one| one.from)).min();
        let to_next =
            gone.last().map(|row| row.seqs.1).into_iter().chain(lost.last().map(|one| one.to_next)).max();
        let (segments, lost) = (gone.len(), lost.into_iter().map(|one| one.damage()).collect());
        Ok(Self { seqs: from.zip(to_next), segments, lost, journal, log, before })
    }

    /// The bound, as it was asked for.
    pub fn before(&self) -> Seq {
        self.before
    }

    /// The journal's folder.
    pub fn dir(&self) -> &Path {
        self.journal.dir()
    }

    /// Whether the backup at `path` has what would be removed; all of it is read.
    ///
    /// # Errors
    /// It has not, is damaged, or has another log.
    pub fn check_covered_by(&self, path: &Path) -> Result<(), OperationError> {
        let manifest = verified(path)?.manifest;
        let to_next = self.seqs.map_or(0, |(_, to_next)| to_next);
        if manifest.oldest_seq > self.log.oldest_seq || manifest.next < to_next {
            return Err(OperationError::refused(format_args!(
                "the backup has seqs {} to {}, and {} to {} would be removed",
                manifest.oldest_seq,
                manifest.next - 1,
                self.log.oldest_seq,
                to_next - 1
            )));
        }
        if !path.is_dir() {
            return Err(OperationError::refused(
                "give a backup that is a folder: its log is compared with the journal's",
            ));
        }
        let backup = JournalReader::open(path)?;
        match self.journal.compare(&backup, [&self.log, &backup.log()?])? {
            LogComparison::Equal { .. } => Ok(()),
            _ => Err(OperationError::integrity(
                "the backup has another log than the journal (`lockstep journal diff` shows where they part)",
            )),
        }
    }
}

/// What a trim has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrimDone {
    /// The numbers of the segments that were removed.
    pub removed: Vec<u64>,
    /// The numbers of those that were gone before, and are missed no longer.
    pub missed_no_longer: Vec<u64>,
    /// Where the journal begins now.
    pub oldest_seq: Seq,
}

/// Removes what the plan has. Nobody has it afterwards but a backup or another node.
///
/// # Errors
/// A process has the journal open by now, or files fail.
pub fn trim(settings: &NodeSettings, plan: &TrimPlan) -> Result<TrimDone, OperationError> {
    let Trimmed { removed, accepted } = lockstep_node::trim(settings, plan.before)?;
    let oldest_seq = JournalReader::open(&settings.journal)?.log()?.oldest_seq;
    let missed_no_longer = accepted.map(|gone| (gone.first..=gone.last).collect()).unwrap_or_default();
    Ok(TrimDone { removed, missed_no_longer, oldest_seq })
}

/// The seq up to which segments may be removed: not beyond the commit, nor into the open trading day.
fn bound(wanted: Seq, journal: &JournalReader, log: &StoredLog) -> Result<Seq, OperationError> {
    if wanted > log.commit_next {
        let what = format!(
            "--before {wanted}: the journal knows only what lies before seq {} to be committed",
            log.commit_next
        );
        return Err(OperationError::Refused(what));
    }
    let mut open_day = None;
    journal.read(log.oldest_seq, log.end.next, |frame| {
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            if entry.kind() == EntryKind::Day {
                let begins = DayMark::parse(entry.payload).is_ok_and(|mark| mark.is_start);
                open_day = begins.then_some(seq);
            }
        }
        Ok::<_, OperationError>(ControlFlow::Continue(()))
    })?;
    match open_day {
        Some(begins) if wanted > begins => {
            let what = format!("--before {wanted}: the open trading day begins at seq {begins}, and stays");
            Err(OperationError::Refused(what))
        }
        _ => Ok(wanted),
    }
}
