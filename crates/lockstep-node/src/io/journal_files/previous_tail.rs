//! Finds the tail of the last run if the configuration names another path now. Within a boot the tail shows
//! whether a journal is an older copy, and a new path must not hide that.

use super::{JournalFailure, replace_file};
use crate::io::store::DirStore;
use crate::io::tail::MappedTail;
use lockstep_io::IoError;
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::{Completeness, Inspection, JournalOpenError, Settings, inspect};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file in the journal's folder that has the path.
const FILE: &str = "tail-path";

/// Records that the journal in `dir` uses the tail at `path`.
///
/// # Errors
/// Those of the files.
pub(super) fn record(dir: &Path, path: &Path) -> Result<(), IoError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if recorded(dir).as_deref() == Some(path.as_path()) {
        return Ok(());
    }
    let written = replace_file(dir, FILE, path.as_os_str().as_bytes());
    written.map_err(|error| IoError::new(format!("writing {}", dir.join(FILE).display()), error))
}

fn recorded(dir: &Path) -> Option<PathBuf> {
    let bytes = std::fs::read(dir.join(FILE)).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(&bytes)))
}

/// The result of inspecting the journal with the tail at `path`, or without one, and with the tail of the
/// last run, which may lie elsewhere.
///
/// # Errors
/// Those of the journal's files.
pub(super) fn judged(
    dir: &Path,
    path: &Path,
    store: &DirStore,
    inspected: Inspection,
    settings: Settings,
) -> Result<Inspection, JournalFailure> {
    let is_known =
        inspected.ring() == &RingEvidence::Own || inspected.completeness() != &Completeness::Complete;
    let wanted = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let Some(previous) = recorded(dir).filter(|previous| !is_known && *previous != wanted) else {
        return Ok(inspected);
    };
    // A tail that belongs to another node by now, or no tail, proves nothing.
    let Ok(Some(ring)) = MappedTail::existing(&previous) else { return Ok(inspected) };
    let by_it = match inspect(store, Some(&ring), settings) {
        Err(JournalOpenError::Tail { .. } | JournalOpenError::Settings(_)) => return Ok(inspected),
        by_it => by_it?,
    };
    let why = match by_it.completeness() {
        Completeness::Incomplete(why) => why.clone(),
        Completeness::Complete if by_it.ring() == &RingEvidence::Own && !by_it.is_ring_spare() => {
            "it holds more than the segments, which are an older copy of themselves".to_owned()
        }
        Completeness::Complete => return Ok(inspected),
    };
    let shown = previous.display();
    Ok(inspected.doubted(format!("the tail of the last run, {shown}, still exists: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_tail_is_recorded_once_and_read_again() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(recorded(dir.path()), None);
        record(dir.path(), Path::new("/dev/shm/a tail")).expect("it can be written");
        assert_eq!(recorded(dir.path()).as_deref(), Some(Path::new("/dev/shm/a tail")));
        record(dir.path(), Path::new("/dev/shm/b")).expect("it can be written");
        assert_eq!(recorded(dir.path()).as_deref(), Some(Path::new("/dev/shm/b")));
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
