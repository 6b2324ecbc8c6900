//! A segment's file that grows, and the files that are derived from a full one.

use super::manifest::BackupFile;
use crate::OperationError;
use lockstep_notary::to_hex as hex;
use lockstep_replica::journal::CopiedSegment;
use lockstep_replica::journal::ports::FileName;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes that are written at once.
const OUT_BYTES: usize = 1 << 20;

/// A segment's file that grows.
pub struct SegmentFile {
    path: PathBuf,
    out: BufWriter<File>,
    sha256: Sha256,
}

impl SegmentFile {
    /// The file of a segment that was begun with a header, in `segments` of the folder `dir`.
    pub fn create(
        dir: &Path,
        begun: (CopiedSegment, Vec<u8>),
    ) -> Result<(CopiedSegment, Self), OperationError> {
        let (segment, header) = begun;
        let path = dir.join(FileName::Segment(segment.number()).to_string());
        let opened = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| OperationError::of_file("creating", &path, &error))?;
        let out = BufWriter::with_capacity(OUT_BYTES, file);
        let mut created = Self { path, out, sha256: Sha256::new() };
        created.write(&header)?;
        Ok((segment, created))
    }

    /// The file at `path`, to go on behind its first `len` bytes.
    pub(super) fn reopen(path: PathBuf, len: u64) -> Result<Self, OperationError> {
        let open = || -> std::io::Result<(File, Sha256)> {
            let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
            file.set_len(len.min(file.metadata()?.len()))?;
            let (mut sha256, mut chunk) = (Sha256::new(), vec![0; OUT_BYTES]);
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok((file, sha256)),
                    taken => sha256.update(&chunk[..taken]),
                }
            }
        };
        let (file, sha256) = open().map_err(|error| OperationError::of_file("opening", &path, &error))?;
        Ok(Self { path, out: BufWriter::with_capacity(OUT_BYTES, file), sha256 })
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OperationError> {
        self.sha256.update(bytes);
        self.out.write_all(bytes).map_err(|error| OperationError::of_file("writing", &self.path, &error))
    }

    /// All of it is on the device when this returns.
    pub fn sync(&mut self) -> Result<(), OperationError> {
        let synced = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        synced.map_err(|error| OperationError::of_file("writing", &self.path, &error))
    }

    /// The SHA-256 of all of it.
    pub(super) fn digest(&self) -> String {
        hex(&self.sha256.clone().finalize())
    }

    /// Writes index and checkpoint of a full segment beside it.
    pub fn write_derived(dir: &Path, segment: &CopiedSegment) -> Result<Vec<BackupFile>, OperationError> {
        let write = |(file, bytes): (FileName, Vec<u8>)| {
            write_whole(&dir.join(file.to_string()), &bytes)?;
            Ok(BackupFile::of(file, &bytes))
        };
        segment.derived().into_iter().map(write).collect()
    }
}

/// Replaces a file: its old content or its new one, never a mixture.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OperationError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|error| OperationError::of_file("writing", path, &error))
}
