//! Snapshots on a disk: each is written beside, then renamed, so that a crash leaves a whole one or none.

use lockstep_io::IoError;
use lockstep_machine::{Seq, ServedSnapshot, SnapshotError, SnapshotHead, verify_snapshot};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The suffix of a snapshot's name.
const SUFFIX: &str = ".snapshot";
/// The suffix of an incomplete snapshot.
const PART: &str = ".part";
/// The suffix of a snapshot's digest, beside it until it is announced.
const DIGEST: &str = ".sha256";
/// The suffix of the address of the peer that has served it, beside a snapshot that the stream has not
/// announced.
const UNPROVEN: &str = ".unproven";
/// Bytes of one read or write.
const BUFFER: usize = 1 << 20;

/// A snapshot in the folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StoredSnapshot {
    /// The exclusive bound of its entries.
    pub next: Seq,
    /// Its file.
    pub path: PathBuf,
}

/// Writes a file, and digests it.
pub struct DigestedFile {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Write for DigestedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.digest.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The snapshots of one replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotStore {
    folder: PathBuf,
    stay: usize,
    /// Younger snapshots are kept as well.
    age: Duration,
}

impl SnapshotStore {
    /// The snapshots in `folder`, which is made if it is missing; `stay` of them are kept.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path, stay: usize) -> Result<Self, IoError> {
        let wrong = |error| IoError::new(format!("make the folder of snapshots {}", folder.display()), error);
        fs::create_dir_all(folder).map_err(wrong)?;
        Ok(Self { folder: folder.to_owned(), stay: stay.max(1), age: Duration::ZERO })
    }

    /// Also keeps snapshots that are younger than `age`.
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// All complete snapshots, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<StoredSnapshot>, IoError> {
        let wrong =
            |error| IoError::new(format!("read the folder of snapshots {}", self.folder.display()), error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let next = path.file_name().and_then(|name| name.to_str()?.strip_suffix(SUFFIX)?.parse().ok());
            all.extend(next.map(|next| StoredSnapshot { next, path }));
        }
        all.sort();
        Ok(all)
    }

    /// The newest snapshot of this version of the machine with a right checksum. Damaged ones are logged and
    /// stay for analysis; so do those of another version.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest_sound(&self, version: u32) -> Result<Option<StoredSnapshot>, IoError> {
        for stored in self.list()?.into_iter().rev() {
            match verify(&stored.path) {
                Ok(head) if head.version == version => return Ok(Some(stored)),
                Ok(head) => {
                    tracing::warn!(
                        "the snapshot {} is of version {} of the machine and is not used: this is version {version}",
                        stored.path.display(),
                        head.version
                    );
                }
                Err(error) => {
                    tracing::error!(
                        "the snapshot {} is not used: {error}; the one before is",
                        stored.path.display()
                    );
                }
            }
        }
        Ok(None)
    }

    /// The file of the snapshot below `next` while it is being written.
    pub fn part(&self, next: Seq) -> PathBuf {
        self.folder.join(format!("{next:020}{PART}"))
    }

    /// Writes the part of the snapshot below `next`, whole and onto the disk: [`complete`](Self::complete)
    /// must follow.
    ///
    /// # Errors
    /// Those of the disk, and those of `write`.
    pub fn write_part(
        &self,
        next: Seq,
        write: impl FnOnce(&mut DigestedFile) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = BufWriter::with_capacity(BUFFER, File::create(self.part(next))?);
        let mut out = DigestedFile { file, digest: Sha256::new() };
        write(&mut out)?;
        out.flush()?;
        out.file.get_ref().sync_all()?;
        // It only serves the announcement, which has no digest without it.
        fs::write(self.beside(next, DIGEST), out.digest.finalize())
    }

    /// Takes the digest of the snapshot below `next`, once after it was written.
    pub(crate) fn take_digest(&self, next: Seq) -> Option<[u8; 32]> {
        let path = self.beside(next, DIGEST);
        let bytes = fs::read(&path).ok()?;
        let _ = fs::remove_file(&path); // a replica's next start does not need it
        bytes.try_into().ok()
    }

    fn beside(&self, next: Seq, suffix: &str) -> PathBuf {
        self.folder.join(format!("{next:020}{suffix}"))
    }

    /// Marks the snapshot below `next`, which is about to be complete, as served by `peer` and not announced
    /// in the stream.
    pub(crate) fn mark_unproven(&self, next: Seq, peer: SocketAddrV4) -> io::Result<()> {
        let path = self.beside(next, UNPROVEN);
        fs::write(&path, peer.to_string())?;
        File::open(&path)?.sync_all()
    }

    /// The peer that has served the snapshot below `next`, if the stream has not announced it.
    pub(crate) fn unproven(&self, next: Seq) -> Option<SocketAddrV4> {
        fs::read_to_string(self.beside(next, UNPROVEN)).ok()?.parse().ok()
    }

    /// The stream has announced the snapshot below `next`.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn set_proven(&self, next: Seq) -> Result<(), IoError> {
        remove(&self.beside(next, UNPROVEN))
    }

    /// Removes the snapshot below `next`, with its other files.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn remove(&self, next: Seq) -> Result<(), IoError> {
        remove(&self.stored(next).path)?;
        remove(&self.beside(next, DIGEST))?;
        remove(&self.beside(next, UNPROVEN))
    }

    /// All snapshots that are served to others: those that are proven.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_proven(&self) -> Result<Vec<StoredSnapshot>, IoError> {
        let mut all = self.list()?;
        all.retain(|stored| !self.beside(stored.next, UNPROVEN).exists());
        Ok(all)
    }

    /// The snapshot below `next`, once it is complete.
    pub fn stored(&self, next: Seq) -> StoredSnapshot {
        StoredSnapshot { next, path: self.folder.join(format!("{next:020}{SUFFIX}")) }
    }

    /// The part of the snapshot below `next` is whole, and on the disk.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn complete(&self, next: Seq) -> io::Result<StoredSnapshot> {
        let stored = self.stored(next);
        fs::rename(self.part(next), &stored.path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(stored)
    }

    /// Removes the part of the snapshot below `next`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn discard(&self, next: Seq) -> Result<(), IoError> {
        remove(&self.part(next))
    }

    /// The snapshots that are removed with the next one, and the newest and the young ones, which are kept;
    /// both oldest first.
    fn divided(&self) -> Result<(Vec<StoredSnapshot>, Vec<StoredSnapshot>), IoError> {
        let all = self.list()?;
        let newest_of_old = all.len().checked_sub(self.stay + 1).map(|at| all[at].next);
        // A snapshot whose age is unknown, because the clock was set back, is kept.
        let is_aged = |path: &Path| {
            let age = fs::metadata(path).and_then(|file| file.modified()).ok()?.elapsed().ok()?;
            Some(age >= self.age)
        };
        let goes = |stored: &StoredSnapshot| {
            newest_of_old.is_some_and(|old| stored.next <= old) && is_aged(&stored.path).unwrap_or(false)
        };
        Ok(all.into_iter().partition(goes))
    }

    /// The head of the oldest snapshot that is kept when the next one is written.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn oldest_to_stay(&self) -> Result<Option<SnapshotHead>, IoError> {
        // A damaged one needs nothing.
        let is_proven = |stored: &&StoredSnapshot| !self.beside(stored.next, UNPROVEN).exists();
        Ok(self.divided()?.1.iter().filter(is_proven).find_map(|stored| head(&stored.path).ok()))
    }

    /// Removes all but the newest and the young ones, and incomplete ones below `next`. A large file takes
    /// its time.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn trim(&self, next: Seq) -> Result<(), IoError> {
        let parts = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_old_part = |path: &PathBuf| {
            let number =
                path.file_name().and_then(|name| name.to_str()?.strip_suffix(PART)?.parse::<Seq>().ok());
            number.is_some_and(|number| number < next)
        };
        self.divided()?.0.iter().try_for_each(|stored| self.remove(stored.next))?;
        parts.filter(is_old_part).try_for_each(|path| remove(&path))
    }
}

/// Removes a file, if it exists.
fn remove(path: &Path) -> Result<(), IoError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(IoError::new(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Reads a whole snapshot, checks it, and returns its head.
///
/// # Errors
/// It is damaged, or cannot be read.
pub fn verify(path: &Path) -> Result<SnapshotHead, SnapshotError> {
    verify_snapshot(&mut BufReader::with_capacity(BUFFER, File::open(path)?))
}

/// What an announcement in the stream would state about this file, which was [verified](verify).
pub(crate) fn served(path: &Path, head: &SnapshotHead) -> io::Result<ServedSnapshot> {
    let (mut file, mut digest) = (File::open(path)?, Sha256::new());
    let bytes = io::copy(&mut file, &mut Hashing(&mut digest))?;
    let SnapshotHead { next, version, digest: state, .. } = *head;
    Ok(ServedSnapshot { next, version, digest: state, bytes, file: digest.finalize().into() })
}

/// Digests written bytes.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The head of a snapshot; the rest is not read.
///
/// # Errors
/// It is no snapshot, or cannot be read.
pub fn head(path: &Path) -> Result<SnapshotHead, SnapshotError> {
    SnapshotHead::read(&mut File::open(path)?)
}

/// The file of a snapshot, to be restored.
///
/// # Errors
/// It cannot be opened.
pub fn reader(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(BUFFER, File::open(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_young_snapshots_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SnapshotStore::open(folder.path(), 2).expect("a folder");
        let write = |next| {
            store.write_part(next, |out| out.write_all(b"x")).expect("a disk");
            store.complete(next).expect("a disk");
        };
        let left = || store.list().expect("a folder").iter().map(|stored| stored.next).collect::<Vec<_>>();
        (1..=4).for_each(write);
        let an_hour = store.clone().with_age(Duration::from_secs(3_600));
        an_hour.trim(4).expect("a disk");
        assert_eq!(left(), [1, 2, 3, 4]);
        store.write_part(2, |out| out.write_all(b"cut")).expect("a disk");
        store.trim(4).expect("a disk");
        assert_eq!((left(), store.part(2).exists()), (vec![3, 4], false));
    }
}
