//! Lays aside a journal that cannot prove itself complete, and puts a blank one of a new identity in its
//! folder.
//!
//! ```text
//!   superblock, segments/…          the journal
//!   rejoins                         the identity that it asks to replace, until it has replaced it
//!   overtaken                       the identity of a journal that no other one continues, and is given up
//!   aside/superblock, segments/…   the journal that was laid aside: one at most
//! ```
//!
//! Every step can be repeated. A process that dies in between leaves either a journal that cannot prove
//! itself complete, as before, or the new one.

use super::{
    JournalError, JournalFailure, boot, check_empty, draw_incarnation, lock, make_private, remove_all,
    replace_file, superblock_of, sync_dir, usage,
};
use crate::io::store::DirStore;
use lockstep_io::IoError;
use lockstep_replica::journal::{JournalOpenError, format as format_store};
use lockstep_wire::Identity;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

const MARK: &str = "rejoins";
const OVERTAKEN: &str = "overtaken";
const ASIDE: &str = "aside";
/// The folder in which the new superblock is made.
const RENEWED: &str = "renewed";

/// The identity that the journal in `dir` asks to replace.
pub fn rejoining(dir: &Path) -> Option<Identity> {
    fs::read_to_string(dir.join(MARK)).ok()?.trim().parse().ok()
}

/// The journal in `dir` does not ask to replace an identity any more.
///
/// # Errors
/// Those of the files.
pub fn rejoined(dir: &Path) -> Result<(), IoError> {
    match fs::remove_file(dir.join(MARK)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(IoError::new(format!("removing {}", dir.join(MARK).display()), error))
        }
        _ => sync_dir(dir),
    }
}

/// No other journal has what the one in `dir` lacks: its next start gives it up ([`renew`]).
///
/// # Errors
/// Those of the files.
pub fn overtake(dir: &Path) -> Result<(), JournalError> {
    let work = || -> Result<(), JournalFailure> {
        let identity = superblock_of(&DirStore::reader(dir))?.identity;
        replace_file(dir, OVERTAKEN, format!("{identity}\n").as_bytes())
            .map_err(|e| IoError::new(format!("writing {}", dir.join(OVERTAKEN).display()), e).into())
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

/// Whether the journal in `dir` has that mark, and not a former journal in this folder.
pub fn is_overtaken(dir: &Path) -> bool {
    let marked = fs::read_to_string(dir.join(OVERTAKEN)).ok().and_then(|marked| marked.trim().parse().ok());
    marked.is_some_and(|marked: Identity| {
        superblock_of(&DirStore::reader(dir)).is_ok_and(|superblock| superblock.identity == marked)
    })
}

/// Lays the journal in `dir` of replica `replica` aside, and makes a blank one of a new identity that asks to
/// replace `dead`. An empty folder gets the blank journal.
///
/// # Errors
/// A process has the journal open, it is another replica's, its owner is unknown, or the files fail.
pub fn renew(dir: &Path, cluster: u64, replica: u32, dead: Identity) -> Result<Identity, JournalError> {
    let work = || -> Result<Identity, JournalFailure> {
        let _lock = lock(dir)?;
        let failed = |e| JournalFailure::from(IoError::new(format!("laying {} aside", dir.display()), e));
        if dir.join("superblock").exists() {
            let before = superblock_of(&DirStore::reader(dir))?;
            if before.cluster != cluster {
                return Err(JournalOpenError::Cluster { seen: before.cluster, want: cluster }.into());
            }
            if before.identity.replica != replica {
                return Err(JournalOpenError::Replica { seen: before.identity, want: replica }.into());
            }
            make_room(dir, before.identity)?;
            mark(dir, dead).map_err(failed)?;
            lay_aside(dir, before.identity).map_err(failed)?;
        } else {
            check_empty(dir).map_err(failed)?.map_err(JournalOpenError::NotEmpty)?;
            mark(dir, dead).map_err(failed)?;
        }
        let identity = Identity { replica, incarnation: draw_incarnation()? };
        let renewed = dir.join(RENEWED);
        remove_all(&renewed).map_err(failed)?;
        make_private(&renewed).map_err(failed)?;
        format_store(&mut DirStore::new(&renewed, true)?, cluster, identity, boot()?)?;
        // From here on the folder belongs to the new identity.
        fs::rename(renewed.join("superblock"), dir.join("superblock")).map_err(failed)?;
        sync_dir(dir)?;
        remove_all(&renewed).map_err(failed)?;
        Ok(identity)
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

/// Removes the journal of an earlier identity that was laid aside. Beside the journal of `identity` there
/// must be room for another one of its size.
fn make_room(dir: &Path, identity: Identity) -> Result<(), JournalFailure> {
    let aside = dir.join(ASIDE);
    if !is_of(&aside, identity) {
        remove_all(&aside).map_err(|e| IoError::new(format!("removing {}", aside.display()), e))?;
    }
    let (free, used) = usage(&DirStore::new(dir, false)?)?;
    if used <= free {
        return Ok(());
    }
    let doing = format!("laying {} aside", dir.display());
    let why = format!("a second journal of its {used} bytes has no room in {free}: make room on its disk");
    Err(IoError::because(doing, ErrorKind::StorageFull, why).into())
}

/// Whether `aside` has the journal of `identity`.
fn is_of(aside: &Path, identity: Identity) -> bool {
    superblock_of(&DirStore::reader(aside)).is_ok_and(|before| before.identity == identity)
}

/// Moves everything but the superblock, which is copied first: it identifies the owner of the rest.
fn lay_aside(dir: &Path, identity: Identity) -> std::io::Result<()> {
    let aside = dir.join(ASIDE);
    if !is_of(&aside, identity) {
        remove_all(&aside)?;
        make_private(&aside)?;
        replace_file(&aside, "superblock", &fs::read(dir.join("superblock"))?)?;
    }
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let stays = ["superblock", "lock", MARK, ASIDE, RENEWED];
        // A process that looked in between has made the folder of segments anew.
        let is_empty = name == "segments" && fs::read_dir(dir.join(&name))?.next().is_none();
        if !is_empty && !stays.iter().any(|stays| name == *stays) {
            fs::rename(dir.join(&name), aside.join(&name))?;
        }
    }
    File::open(&aside)?.sync_all()
}

fn mark(dir: &Path, dead: Identity) -> std::io::Result<()> {
    replace_file(dir, MARK, format!("{dead}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::journal_files::format;

    const OWN: Identity = Identity { replica: 3, incarnation: 0x0a3_f9c1 };

    fn journal() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        format(dir.path(), 7, OWN).unwrap();
        fs::write(dir.path().join("segments/0000000001.seg"), b"what it held").unwrap();
        fs::write(dir.path().join("tail-path"), b"/dev/shm/tail").unwrap();
        dir
    }

    fn identity_in(dir: &Path) -> Identity {
        superblock_of(&DirStore::reader(dir)).unwrap().identity
    }

    #[test]
    fn a_journal_is_laid_aside_whole_and_a_blank_one_of_a_new_identity_takes_its_folder() {
        let dir = journal();
        let (dir, aside) = (dir.path(), dir.path().join("aside"));
        let new = renew(dir, 7, 3, OWN).unwrap();
        assert_eq!((identity_in(dir), identity_in(&aside)), (new, OWN));
        assert!(new != OWN && new.replica == 3);
        assert_eq!(fs::read(aside.join("segments/0000000001.seg")).unwrap(), b"what it held");
        assert!(aside.join("tail-path").exists() && !dir.join("tail-path").exists());
        assert_eq!(rejoining(dir), Some(OWN));
        // The next one replaces it.
        fs::create_dir_all(dir.join("segments")).unwrap();
        fs::write(dir.join("segments/0000000001.seg"), b"of the new one").unwrap();
        let newest = renew(dir, 7, 3, new).unwrap();
        assert_eq!((identity_in(dir), identity_in(&aside), rejoining(dir)), (newest, new, Some(new)));
        assert_eq!(fs::read(aside.join("segments/0000000001.seg")).unwrap(), b"of the new one");
        rejoined(dir).unwrap();
        rejoined(dir).unwrap();
        assert_eq!(rejoining(dir), None);
    }

    #[test]
    fn a_journal_is_overtaken_until_another_one_takes_its_place() {
        let dir = journal();
        assert!(!is_overtaken(dir.path()));
        overtake(dir.path()).unwrap();
        assert!(is_overtaken(dir.path()));
        let marked = fs::read(dir.path().join("overtaken")).unwrap();
        renew(dir.path(), 7, 3, OWN).unwrap();
        assert!(!is_overtaken(dir.path()));
        // A copy of the folder's files may bring the mark back.
        fs::write(dir.path().join("overtaken"), marked).unwrap();
        assert!(!is_overtaken(dir.path()));
    }

    #[test]
    fn a_process_that_dies_on_the_way_leaves_the_old_journal_or_the_new_one_and_nothing_is_lost() {
        // The result of each step if the next one is not reached.
        let marked = |dir: &Path| mark(dir, OWN).unwrap();
        let copied = |dir: &Path| {
            make_private(&dir.join(ASIDE)).unwrap();
            fs::copy(dir.join("superblock"), dir.join("aside/superblock")).unwrap();
        };
        let half_copied = |dir: &Path| {
            make_private(&dir.join(ASIDE)).unwrap();
            fs::write(dir.join("aside/superblock.new"), b"half").unwrap();
        };
        let moved = |dir: &Path| fs::rename(dir.join("segments"), dir.join("aside/segments")).unwrap();
        let made_anew = |dir: &Path| fs::create_dir(dir.join("segments")).unwrap();
        let half_made = |dir: &Path| {
            make_private(&dir.join(RENEWED)).unwrap();
            fs::write(dir.join("renewed/superblock"), b"half").unwrap();
        };
        type Step<'a> = &'a dyn Fn(&Path);
        let steps: [&[Step<'_>]; 6] = [
            &[&marked],
            &[&marked, &half_copied],
            &[&marked, &copied],
            &[&marked, &copied, &moved],
            &[&marked, &copied, &moved, &made_anew],
            &[&marked, &copied, &moved, &made_anew, &half_made],
        ];
        for (count, done) in steps.iter().enumerate() {
            let dir = journal();
            let dir = dir.path();
            done.iter().for_each(|step| step(dir));
            assert_eq!(identity_in(dir), OWN, "{count} steps");
            let new = renew(dir, 7, 3, OWN).unwrap();
            let aside = dir.join("aside");
            assert_eq!((identity_in(dir), identity_in(&aside)), (new, OWN), "{count} steps");
            let content = fs::read(aside.join("segments/0000000001.seg")).unwrap();
            assert_eq!(content, b"what it held", "{count} steps");
            assert!(!dir.join(RENEWED).exists());
        }
    }

    #[test]
    fn an_empty_folder_gets_a_blank_journal_and_one_of_another_or_of_nobody_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let new = renew(dir.path(), 7, 3, OWN).unwrap();
        assert_eq!((identity_in(dir.path()), rejoining(dir.path())), (new, Some(OWN)));
        assert!(!dir.path().join(ASIDE).exists());
        let dir = journal();
        for (cluster, replica) in [(8, 3), (7, 2)] {
            let refused = renew(dir.path(), cluster, replica, OWN).unwrap_err().to_string();
            assert!(refused.contains("give the right directory") || refused.contains("give each its own"));
            assert_eq!((identity_in(dir.path()), rejoining(dir.path())), (OWN, None));
        }
        fs::remove_file(dir.path().join("superblock")).unwrap();
        let refused = renew(dir.path(), 7, 3, OWN).unwrap_err().to_string();
        assert!(refused.contains("not empty"), "{refused}");
        assert!(dir.path().join("segments/0000000001.seg").exists() && rejoining(dir.path()).is_none());
    }
}
