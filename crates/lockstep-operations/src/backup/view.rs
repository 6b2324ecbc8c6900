//! A backup for its readers: the bytes that the manifest lists, of a folder or of a single file.

use super::archive;
use super::manifest::{BackupFile, BackupManifest, MANIFEST};
use crate::OperationError;
use crate::bounded::read_bytes;
use lockstep_notary::to_hex as hex;
use lockstep_replica::journal::Damage;
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const CHUNK_LEN: usize = 1 << 20;

/// Where the bytes of a file are.
#[derive(Clone, PartialEq, Eq, Debug)]
struct BackupPlace {
    path: PathBuf,
    offset: u64,
    len: u64,
    sha256: String,
}

/// A backup that is read.
#[derive(Debug)]
pub struct BackupView {
    /// What it is.
    pub manifest: BackupManifest,
    files: BTreeMap<FileName, BackupPlace>,
}

impl BackupView {
    /// The backup at `path`.
    pub fn open(path: &Path) -> Result<Self, OperationError> {
        let is_folder = path.is_dir();
        let members = if is_folder { BTreeMap::new() } else { archive::members(path)? };
        let missing = |what: &str| {
            let what =
                format!("{} is no backup: {what}; give what `lockstep backup --to` made", path.display());
            OperationError::refused(what)
        };
        let text = if is_folder {
            read_bytes(&path.join(MANIFEST), archive::MANIFEST_LEN_MAX)
                .map_err(|error| missing(&format!("{MANIFEST}: {error}")))?
        } else {
            let (offset, len) = *members.get(MANIFEST).ok_or_else(|| missing("it has no manifest"))?;
            let mut text = vec![0; len.min(archive::MANIFEST_LEN_MAX) as usize];
            let read = File::open(path).and_then(|file| file.read_exact_at(&mut text, offset));
            read.map_err(|error| missing(&error.to_string()))?;
            text
        };
        let text = String::from_utf8(text)
            .map_err(|_| OperationError::integrity(format!("{MANIFEST} is damaged: it is no text")))?;
        let manifest = BackupManifest::parse(&text)?;
        let mut files = BTreeMap::new();
        for file in manifest.files() {
            let place = if is_folder {
                BackupPlace {
                    path: path.join(&file.file),
                    offset: 0,
                    len: file.bytes,
                    sha256: file.sha256.clone(),
                }
            } else {
                // One that the archive lacks has no bytes: its length shows that.
                let (offset, len) = members.get(&file.file).copied().unwrap_or_default();
                let len = len.min(file.bytes);
                BackupPlace { path: path.to_path_buf(), offset, len, sha256: file.sha256.clone() }
            };
            files.insert(file.name()?, place);
        }
        Ok(Self { manifest, files })
    }

    /// Its files that are not what the manifest lists.
    pub fn wrong_files(&self) -> Result<Vec<(BackupFile, Damage)>, OperationError> {
        let mut wrong = Vec::new();
        for file in self.manifest.files() {
            let name = file.name()?;
            let what = match self.copy(name, &mut std::io::sink()) {
                Ok((len, _)) if len < file.bytes => {
                    Some((len, format!("it ends here, and the manifest lists {} bytes", file.bytes)))
                }
                Ok((_, sha256)) if sha256 != file.sha256 => {
                    Some((0, "its SHA-256 is not the one of the manifest".to_owned()))
                }
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::NotFound => Some((0, "the file is gone".to_owned())),
                Err(error) => Some((0, error.to_string())),
            };
            let segment = self.manifest.segments.iter().find(|one| one.file == *file);
            let seq = segment.map_or(0, |segment| segment.first_seq);
            let what = what.map(|(at, what)| match segment {
                Some(one) => (at, format!("{what}; it has seqs {} to {}", one.first_seq, one.next_seq - 1)),
                None => (at, what),
            });
            wrong.extend(what.map(|(at, what)| (file.clone(), Damage::new(name, at, seq, what))));
        }
        Ok(wrong)
    }

    /// Copies a file's bytes into `to`; returns how many, and their digest.
    pub fn copy(&self, file: FileName, to: &mut impl Write) -> std::io::Result<(u64, String)> {
        let place = self.files.get(&file).ok_or(ErrorKind::NotFound)?;
        let mut from = File::open(&place.path)?;
        from.seek(SeekFrom::Start(place.offset))?;
        let mut from = from.take(place.len);
        let (mut sha256, mut chunk, mut len) = (Sha256::new(), vec![0; CHUNK_LEN], 0);
        loop {
            match from.read(&mut chunk)? {
                0 => return Ok((len, hex(&sha256.finalize()))),
                taken => {
                    sha256.update(&chunk[..taken]);
                    to.write_all(&chunk[..taken])?;
                    len += taken as u64;
                }
            }
        }
    }

    /// Writes its files into the folder `dir`, as a journal has them.
    pub fn write_into(&self, dir: &Path) -> Result<(), OperationError> {
        for (name, place) in &self.files {
            let path = dir.join(name.to_string());
            let failed = |error: std::io::Error| {
                OperationError::failed(format!("writing {}: {error}", path.display()))
            };
            let mut file = File::create(&path).map_err(failed)?;
            let (_, sha256) = self.copy(*name, &mut file).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            if sha256 != place.sha256 {
                let what = format!(
                    "{name} of the backup changed while it was copied: copy the backup, and try again"
                );
                return Err(OperationError::integrity(what));
            }
        }
        Ok(())
    }

    fn place(&self, file: FileName) -> Result<&BackupPlace, StoreError> {
        self.files.get(&file).ok_or_else(|| StoreError {
            doing: format!("looking for {file}"),
            fault: StoreFault::Missing,
            why: "the manifest does not list it".into(),
        })
    }
}

/// Nothing of a backup is changed.
fn refused<T>(file: FileName) -> Result<T, StoreError> {
    let why = "a backup is only read".into();
    Err(StoreError { doing: format!("changing {file}"), fault: StoreFault::ReadOnly, why })
}

impl Store for BackupView {
    fn write_at(&mut self, file: FileName, _offset: u64, _bytes: &[u8]) -> Result<(), StoreError> {
        refused(file)
    }

    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        let place = self.place(file)?;
        let failed = |error: std::io::Error| StoreError {
            doing: format!("reading {file} of {}", place.path.display()),
            // The manifest lists it: one that is missing is damage too.
            fault: StoreFault::Failed,
            why: error.to_string(),
        };
        let left = place.len.saturating_sub(offset).min(out.len() as u64) as usize;
        let opened = File::open(&place.path).map_err(failed)?;
        let mut taken = 0;
        while taken < left {
            match opened.read_at(&mut out[taken..left], place.offset + offset + taken as u64) {
                Ok(0) => break,
                Ok(more) => taken += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(taken)
    }

    fn reserve(&mut self, file: FileName, _len: u64) -> Result<(), StoreError> {
        refused(file)
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        Ok(self.place(file)?.len)
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        Ok(self.files.keys().copied().collect())
    }

    fn rename(&mut self, from: FileName, _to: FileName) -> Result<(), StoreError> {
        refused(from)
    }

    fn truncate(&mut self, file: FileName, _len: u64) -> Result<(), StoreError> {
        refused(file)
    }

    fn replace(&mut self, file: FileName, _bytes: &[u8]) -> Result<(), StoreError> {
        refused(file)
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        refused(file)
    }

    fn sync(&mut self, file: FileName) -> Result<(), StoreError> {
        refused(file)
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
