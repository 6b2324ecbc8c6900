//! Inspects a journal for recovery, and founds a new history on one (see
//! [`lockstep_replica::journal::found`]).
//!
//! The copy of another node's journal becomes a journal of its own with its superblock, which is written
//! last. Until then the folder has a mark: all its files belong to an unfinished recovery, and the next
//! recovery starts from the beginning.

use super::{
    JournalConfig, JournalError, JournalFailure, boot, lock, look as inspect_for_run, make_private, owned,
    previous_tail, remove_all, superblock_of, sync_dir,
};
use crate::io::journal_thread::{self, ThreadSettings};
use crate::io::store::DirStore;
use crate::io::tail::MappedTail;
use lockstep_io::{IoError, private};
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault, TailSource};
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::{
    Completeness, Cut, ExpectedSegments, Founder, Gone, Inspection, JournalOpenError, JournalSummary,
    Settings, Superblock, found as found_on, gone, holdings, inspect as inspect_store,
};
use lockstep_wire::Seq;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// The mark in the folder of a journal that is being copied.
const MARK: &str = "recovering";

/// The content of a journal on which no process runs.
#[derive(Debug)]
pub struct RecoverySurvey {
    /// The findings. For an incomplete journal, only the content of its segments: a founding uses no more.
    pub inspected: Inspection,
    /// The histories to which it belongs.
    pub holdings: JournalSummary,
    /// A torn end, which a founding cuts.
    pub cut: Option<Cut>,
    /// Segments that should exist, and do not.
    pub gone: Vec<Gone>,
}

impl RecoverySurvey {
    /// Why the replica may have lost entries or promises that it acknowledged; `None` if the journal proves
    /// that it has not.
    pub fn doubt(&self) -> Option<&str> {
        match self.inspected.completeness() {
            Completeness::Complete => None,
            Completeness::Incomplete(why) => Some(why),
        }
    }

    /// The log is known to have reached this seq (exclusive).
    pub fn high_next(&self) -> Seq {
        self.inspected.high_next().max(self.inspected.superblock().high_next)
    }
}

/// Inspects the journal in `dir`, whichever node's it is, with the tail's file if that is known. It changes
/// nothing but the lock, which is held meanwhile.
///
/// # Errors
/// There is no journal, it is in use, or it cannot be read at all.
pub fn survey(dir: &Path, tail: Option<&Path>) -> Result<RecoverySurvey, JournalError> {
    let work = || -> Result<RecoverySurvey, JournalFailure> {
        if !private::is_there(&dir.join("superblock"))? {
            return Err(JournalOpenError::Missing.into());
        }
        let _lock = match lock(dir) {
            // No process writes there.
            Err(JournalFailure::Open(JournalOpenError::Store(StoreError {
                fault: StoreFault::ReadOnly,
                ..
            }))) => None,
            locked => Some(locked?),
        };
        let store = DirStore::reader(dir);
        let superblock = superblock_of(&store)?;
        let ring = tail.map(MappedTail::existing).transpose()?.flatten();
        survey_of(&store, &superblock, ring.as_ref(), tail.map(|tail| (dir, tail)))
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

fn survey_of(
    store: &DirStore,
    superblock: &Superblock,
    ring: Option<&MappedTail>,
    place: Option<(&Path, &Path)>,
) -> Result<RecoverySurvey, JournalFailure> {
    let label = ring.and_then(|ring| ring.label());
    let settings = Settings {
        cluster: superblock.cluster,
        replica: superblock.identity.replica,
        boot: boot()?,
        power: true,
        frame_len_max: label.map_or(lockstep_wire::DATAGRAM_LEN_MAX, |label| label.record_len_max as usize),
        segment_len: lockstep_replica::journal::SEGMENT_LEN_MIN,
    };
    let mut inspected = inspect_store(store, ring, settings)?;
    if inspected.completeness() != &Completeness::Complete && inspected.ring() == &RingEvidence::Own {
        inspected = inspect_store(store, None::<&MappedTail>, settings)?;
    }
    if let Some((dir, tail)) = place {
        inspected = previous_tail::judged(dir, tail, store, inspected, settings)?;
    }
    let gone = gone(store, ExpectedSegments::of(superblock))?;
    Ok(RecoverySurvey { holdings: holdings(store, &inspected)?, cut: inspected.cut(), gone, inspected })
}

/// Founds a history on the replica's own journal. The part of a proven tail beyond the segments is written to
/// them first; of an incomplete journal only the segments are used. A crash leaves either the old journal or
/// the new one.
///
/// # Errors
/// The journal is in use, not this replica's, or empty; or the files fail. Then the journal is unchanged.
pub fn found(config: &JournalConfig, founder: &Founder) -> Result<Superblock, JournalError> {
    let work = || -> Result<Superblock, JournalFailure> {
        let inspected = inspect_for_run(config).map_err(|error| error.why)?;
        let is_own = inspected.inspected.ring() == &RingEvidence::Own;
        if !is_own || inspected.inspected.completeness() != &Completeness::Complete {
            let mut store = inspected.store;
            let previous = *inspected.inspected.superblock();
            return Ok(found_on(&mut store, &previous, founder)?);
        }
        let started = inspected.start(|_| {
            journal_thread::prepare(ThreadSettings::new(true))
                .map_err(|error| JournalError { dir: config.dir.clone(), why: error.into() })
        });
        let (journal, side) = started.map_err(|error| error.why)?;
        let _lock = journal.lock;
        let (opened, reader) = (journal.opened, journal.reader);
        side.begin(journal.store, reader, opened.writer, opened.superblock).stop().map_err(|what| {
            JournalOpenError::Settings(format!("writing the tail to the segments: {what}"))
        })?;
        let mut store = DirStore::new(&config.dir, true)?;
        let previous = superblock_of(&store)?;
        Ok(found_on(&mut store, &previous, founder)?)
    };
    work().map_err(|why| JournalError { dir: config.dir.clone(), why })
}

/// As [`found`], on a copy of the segments in `from`, which stay unchanged. `config.dir` is empty, or has the
/// remains of an unfinished recovery.
///
/// # Errors
/// As [`found`]; or there is a journal already, or no room for the copy.
pub fn found_from(
    config: &JournalConfig,
    from: &Path,
    founder: &Founder,
) -> Result<Superblock, JournalError> {
    let at = |dir: &Path| {
        let dir = dir.to_path_buf();
        move |why| JournalError { dir, why }
    };
    let giving = || -> Result<(Superblock, DirStore, Option<super::Lock>), JournalFailure> {
        if !private::is_there(&from.join("superblock"))? {
            return Err(JournalOpenError::Missing.into());
        }
        let lock = match lock(from) {
            Err(JournalFailure::Open(JournalOpenError::Store(StoreError {
                fault: StoreFault::ReadOnly,
                ..
            }))) => None,
            locked => Some(locked?),
        };
        let store = DirStore::reader(from);
        let survey = survey_of(&store, &superblock_of(&store)?, None, None)?;
        let superblock = *survey.inspected.superblock();
        if superblock.cluster == config.cluster {
            Ok((superblock, store, lock))
        } else {
            Err(JournalOpenError::Cluster { seen: superblock.cluster, want: config.cluster }.into())
        }
    };
    let (previous, source, _repairer) = giving().map_err(at(from))?;
    found_on_copy(config, &previous, founder, |dir| {
        let is_frame_file = |file: &FileName| !matches!(file, FileName::Superblock | FileName::Spare);
        for file in source.list()?.into_iter().filter(is_frame_file) {
            let (theirs, ours) = (from.join(file.to_string()), dir.join(file.to_string()));
            let copied = std::fs::copy(&theirs, &ours).and_then(|_| File::open(&ours)?.sync_all());
            copied.map_err(|e| {
                IoError::new(format!("copying {} to {}", theirs.display(), ours.display()), e)
            })?;
        }
        Ok::<_, JournalFailure>(())
    })
    .map_err(at(&config.dir))
}

/// Founds a history on a log that `copy` writes into `segments` of the replica's folder, which is empty, or
/// has the remains of an unfinished recovery. `previous` describes the log's owner.
///
/// # Errors
/// Those of `copy`, and those of [`found_from`]. Until the superblock is written, the folder is no journal.
pub fn found_on_copy<E: From<JournalFailure>>(
    config: &JournalConfig,
    previous: &Superblock,
    founder: &Founder,
    copy: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<Superblock, E> {
    let dir = &config.dir;
    if let Some(founded) = resume(dir)? {
        return Ok(founded);
    }
    make_room(dir)?;
    let _lock = lock(dir)?;
    let mut store = DirStore::new(dir, true).map_err(JournalFailure::from)?;
    copy(dir)?;
    sync_dir(&dir.join("segments")).map_err(JournalFailure::from)?;
    let superblock = found_on(&mut store, previous, founder).map_err(JournalFailure::from)?;
    finish(dir)?;
    Ok(superblock)
}

/// The founding in `dir` is complete: from now on nothing in it belongs to an unfinished recovery.
pub(super) fn finish(dir: &Path) -> Result<(), JournalFailure> {
    let mark = dir.join(MARK);
    match std::fs::remove_file(&mark) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(IoError::new(format!("removing {}", mark.display()), error).into())
        }
        _ => Ok(()),
    }
}

/// The history of a recovery in `dir` that was interrupted after its last write: the recovery is completed.
fn resume(dir: &Path) -> Result<Option<Superblock>, JournalFailure> {
    if !dir.join(MARK).exists() || !dir.join("superblock").exists() {
        return Ok(None);
    }
    let _lock = lock(dir)?;
    let Ok(mut superblock) = superblock_of(&DirStore::reader(dir)) else { return Ok(None) };
    let mut store = DirStore::new(dir, true)?;
    // The second copy may be missing.
    superblock.store(&mut store)?;
    finish(dir)?;
    Ok(Some(superblock))
}

/// Makes the folder empty, with a mark and without the remains of an earlier attempt.
fn make_room(dir: &Path) -> Result<(), JournalFailure> {
    let doing = || format!("creating {} (give a directory that this user may write)", dir.display());
    make_private(dir).map_err(|e| IoError::new(doing(), e))?;
    let mark = dir.join(MARK);
    if !mark.exists() {
        let mut entries = std::fs::read_dir(dir).map_err(|e| IoError::new(doing(), e))?;
        if let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name().to_string_lossy().into_owned();
            return Err(JournalOpenError::NotEmpty(owned(dir, name)).into());
        }
    }
    File::create(&mark).and_then(|mark| mark.sync_all()).map_err(|e| IoError::new(doing(), e))?;
    sync_dir(dir)?;
    // A superblock beside the mark has no whole copy (`resume`), and no start has used it (`finish`).
    for file in ["superblock", "founding"] {
        match std::fs::remove_file(dir.join(file)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(IoError::new(doing(), e).into()),
            _ => {}
        }
    }
    remove_all(&dir.join("segments")).map_err(|e| IoError::new(doing(), e).into())
}
