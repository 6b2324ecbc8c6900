//! `backup verify`: all bytes of a backup are read.

use super::view::BackupView;
use crate::OperationError;
use lockstep_replica::journal::{Damage, Verified, verify_segments};
use std::path::Path;

/// What reading all of a backup has shown.
#[derive(Clone, Debug)]
pub struct BackupReading {
    /// How much was read.
    pub read: Verified,
    /// Its damage, by file, byte and seq: what is not as it was written.
    pub damage: Vec<Damage>,
}

impl BackupReading {
    /// Refuses the backup at `path` if anything in it is damaged.
    ///
    /// # Errors
    /// It is; the text has all places.
    pub fn refuse_damage(&self, path: &Path) -> Result<(), OperationError> {
        if self.damage.is_empty() {
            return Ok(());
        }
        let places: Vec<String> = self.damage.iter().map(|damage| format!("\n  {damage}")).collect();
        Err(OperationError::Integrity(format!("backup {} is damaged:{}", path.display(), places.concat())))
    }
}

/// Whether a file of the manifest is not there: then nothing names its place better.
fn is_gone(what: &str) -> bool {
    what.starts_with("the file is gone")
}

/// The backup at `path`, all of which was read and is as it was written.
///
/// # Errors
/// It is not, or cannot be read.
pub fn verified(path: &Path) -> Result<BackupView, OperationError> {
    let view = BackupView::open(path)?;
    verify(&view)?.refuse_damage(path)?;
    Ok(view)
}

/// Reads it: every record by its own seal, each file by its digest, and the log from its start to its end.
///
/// # Errors
/// Its files cannot be read; damage is none.
pub fn verify(view: &BackupView) -> Result<BackupReading, OperationError> {
    // What it should have: a manifest proves itself, and not that it was written by a backup.
    let unsound = view.manifest.unsound();
    let wrong = view.wrong_files()?;
    let read = verify_segments(view, 0).map_err(OperationError::failed)?;
    let mut damage = read.damage.clone();
    // A record names its place more exactly than the digest of its file.
    let is_gone =
        |damage: &Damage| wrong.iter().any(|(_, one)| one.file == damage.file && is_gone(&one.what));
    damage.retain(|damage| !is_gone(damage));
    let is_named = |file: &str| damage.iter().any(|damage| damage.file == file);
    let rest: Vec<Damage> =
        wrong.iter().filter(|(file, _)| !is_named(&file.file)).map(|(_, one)| one.clone()).collect();
    damage.extend(rest);
    let end = view.manifest.end();
    damage.extend(unsound);
    if damage.is_empty() && read.end != Some(end) {
        let what = format!("the segments end at {:?}, the manifest has {end:?}", read.end);
        damage.push(Damage::new(super::manifest::MANIFEST, 0, end.next, what));
    }
    Ok(BackupReading { read, damage })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::{BackupManifest, MANIFEST};
    use lockstep_core::proto::log::LogEnd;
    use lockstep_replica::journal::{ExpectedSegments, stored_log};

    #[test]
    fn a_backup_whose_manifest_lists_no_segments_is_damaged_and_not_restored() {
        let folder = tempfile::tempdir().expect("a folder");
        let nothing = lockstep_replica::journal::memory::MemoryStore::default();
        let log = stored_log(&nothing, ExpectedSegments::default()).expect("an empty log");
        for end in [LogEnd::BLANK, LogEnd { next: 400, ..LogEnd::BLANK }] {
            let mut manifest = BackupManifest::begin(7, &log, None);
            manifest.set_end(end);
            std::fs::write(folder.path().join(MANIFEST), manifest.text().expect("JSON")).expect("written");
            let failure = verified(folder.path()).expect_err("no backup");
            assert!(matches!(failure, OperationError::Integrity(_)), "{failure}");
        }
    }
}
