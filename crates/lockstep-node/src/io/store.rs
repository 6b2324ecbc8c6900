//! The journal's files in a directory. They are written with O_DIRECT if the file system allows it (data that
//! is written once need not fill the page cache), and with O_DSYNC in `power`. They are read through the page
//! cache.

use lockstep_io::host::FileSystem;
use lockstep_replica::journal::BLOCK_LEN;
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of one write; a group and its last block fit.
const BUFFER_LEN: usize = 512 << 10;

/// A directory of journal files.
#[derive(Debug)]
pub struct DirStore {
    dir: PathBuf,
    flags: i32,
    direct: bool,
    writers: BTreeMap<FileName, File>,
    /// Memory for an aligned copy.
    buffer: Vec<u8>,
}

impl DirStore {
    /// The files in `dir`, which must exist. In `power` each write returns when the device has it.
    pub fn new(dir: &Path, power: bool) -> Result<Self, StoreError> {
        let segments = dir.join("segments");
        let failed = |doing: &str, path: &Path, error: &io::Error| error_of(doing, &path.display(), error);
        if !segments.is_dir() {
            std::fs::create_dir(&segments).map_err(|e| failed("creating", &segments, &e))?;
        }
        let mut store = Self {
            dir: dir.to_path_buf(),
            flags: if power { libc::O_DSYNC } else { 0 },
            direct: true,
            writers: BTreeMap::new(),
            buffer: vec![0; BUFFER_LEN + BLOCK_LEN],
        };
        // `open` alone does not show whether O_DIRECT works: one block is tried.
        let probe = dir.join("segments/probe");
        let tried = store.options(store.flags).open(&probe).and_then(|file| {
            let block = &aligned(&mut store.buffer)[..BLOCK_LEN];
            file.write_all_at(block, 0)
        });
        match tried {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => store.direct = false,
            Err(error) => return Err(failed("writing", &probe, &error)),
        }
        std::fs::remove_file(&probe).map_err(|e| failed("removing", &probe, &e))?;
        Ok(store)
    }

    /// The files in `dir` for a reader; another thread or process writes them.
    pub fn reader(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), flags: 0, direct: false, writers: BTreeMap::new(), buffer: Vec::new() }
    }

    /// The file of segment `number`; `None` if it does not exist.
    pub fn open_segment(&self, number: u64) -> Option<File> {
        File::open(self.path(FileName::Segment(number))).ok()
    }

    /// Whether O_DIRECT is in effect.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    fn options(&self, flags: i32) -> OpenOptions {
        let mut options = OpenOptions::new();
        let direct = if self.direct { libc::O_DIRECT } else { 0 };
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(flags | direct);
        options
    }

    fn path(&self, file: FileName) -> PathBuf {
        self.dir.join(file.to_string())
    }

    fn error(&self, doing: &str, file: FileName, error: &io::Error) -> StoreError {
        error_of(doing, &self.path(file).display(), error)
    }

    fn writer(&mut self, file: FileName) -> Result<&File, StoreError> {
        if !self.writers.contains_key(&file) {
            // Zeros of the next segment are synced once, when it gets its name: acks that wait for the
            // present one should not wait for them.
            let flags = if file == FileName::Spare { 0 } else { self.flags };
            let opened = self.options(flags).open(self.path(file));
            self.writers.insert(file, opened.map_err(|e| self.error("opening", file, &e))?);
        }
        Ok(&self.writers[&file])
    }

    fn sync_dir(&self, file: FileName) -> Result<(), StoreError> {
        let path = self.path(file);
        let parent = path.parent().unwrap_or(&self.dir);
        let opened = File::open(parent).map_err(|e| error_of("opening", &parent.display(), &e))?;
        flushed(&parent.display(), || opened.sync_all())
    }
}

/// The system's error, in the journal's terms.
fn error_of(doing: &str, what: &dyn std::fmt::Display, error: &io::Error) -> StoreError {
    StoreError { doing: format!("{doing} {what}"), fault: fault_of(error), why: error.to_string() }
}

/// The class of a system error. Only an error that does not come from the device may be temporary.
fn fault_of(error: &io::Error) -> StoreFault {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound, _) => StoreFault::Missing,
        (ErrorKind::AlreadyExists, _) => StoreFault::Exists,
        (_, Some(libc::ENOSPC | libc::EDQUOT)) => StoreFault::NoSpace,
        (_, Some(libc::EROFS | libc::EACCES | libc::EPERM)) => StoreFault::ReadOnly,
        (_, Some(libc::EMFILE | libc::ENFILE)) => StoreFault::Descriptors,
        (_, Some(libc::ENOMEM)) => StoreFault::Memory,
        (_, Some(libc::EINTR | libc::EAGAIN)) => StoreFault::Passing,
        _ => StoreFault::Failed,
    }
}

/// Waits by `sync` until the device has `what`. After any error the kernel may have dropped the data that it
/// could not write, and a second call would not report that: it is never tried again.
fn flushed(what: &dyn std::fmt::Display, sync: impl Fn() -> io::Result<()>) -> Result<(), StoreError> {
    loop {
        match sync() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(StoreError { fault: StoreFault::Failed, ..error_of("syncing", what, &error) });
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// The part of `buffer` that starts at a multiple of the block size.
fn aligned(buffer: &mut [u8]) -> &mut [u8] {
    let skip = buffer.as_ptr().align_offset(BLOCK_LEN);
    &mut buffer[skip..]
}

impl Store for DirStore {
    fn write_at(&mut self, file: FileName, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        assert!(offset.is_multiple_of(BLOCK_LEN as u64) && bytes.len().is_multiple_of(BLOCK_LEN));
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = self.writer(file).and_then(|writer| {
            for (chunk, at) in bytes.chunks(BUFFER_LEN).zip((offset..).step_by(BUFFER_LEN)) {
                let copy = &mut aligned(&mut buffer)[..chunk.len()];
                copy.copy_from_slice(chunk);
                writer.write_all_at(copy, at).map_err(|e| error_of("writing", &file, &e))?;
            }
            Ok(())
        });
        self.buffer = buffer;
        written
    }

    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        let opened = File::open(self.path(file)).map_err(|e| self.error("opening", file, &e))?;
        let mut taken = 0;
        while taken < out.len() {
            match opened.read_at(&mut out[taken..], offset + taken as u64) {
                Ok(0) => break,
                Ok(more) => taken += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error("reading", file, &error)),
            }
        }
        Ok(taken)
    }

    fn reserve(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        let free = self.free_bytes()?;
        let fd = self.writer(file)?.as_raw_fd();
        // SAFETY: a plain call on an open descriptor; no memory is involved.
        if unsafe { libc::fallocate(fd, 0, 0, len as libc::off_t) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EOPNOTSUPP) {
            return Err(self.error("reserving room for", file, &error));
        }
        // This file system reserves nothing: at least the free space is checked.
        let stored_len = self.len(file)?;
        if len.saturating_sub(stored_len) > free {
            let full = io::Error::from_raw_os_error(libc::ENOSPC);
            return Err(self.error("reserving room for", file, &full));
        }
        Ok(())
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        let meta = std::fs::metadata(self.path(file));
        meta.map(|meta| meta.len()).map_err(|e| self.error("looking at", file, &e))
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        let segments = self.dir.join("segments");
        let failed = |e: &io::Error| error_of("listing", &segments.display(), e);
        let mut files = Vec::new();
        files.extend(self.path(FileName::Superblock).exists().then_some(FileName::Superblock));
        for entry in std::fs::read_dir(&segments).map_err(|e| failed(&e))? {
            let name = entry.map_err(|e| failed(&e))?.file_name();
            files.extend(name.to_str().and_then(|name| FileName::parse(&format!("segments/{name}"))));
        }
        Ok(files)
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<(), StoreError> {
        if self.flags & libc::O_DSYNC != 0 {
            let written = self.writer(from)?;
            flushed(&from, || written.sync_data())?;
        }
        self.writers.remove(&from);
        self.writers.remove(&to);
        std::fs::rename(self.path(from), self.path(to)).map_err(|e| self.error("renaming", from, &e))?;
        self.sync_dir(to)
    }

    fn truncate(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        let writer = self.writer(file)?;
        writer.set_len(len).map_err(|e| error_of("cutting", &file, &e))?;
        // A segment is truncated when it is sealed: it is not written any more.
        self.writers.remove(&file);
        Ok(())
    }

    fn replace(&mut self, file: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(file);
        let mut name = path.as_os_str().as_bytes().to_vec();
        name.extend_from_slice(b".new");
        let new = PathBuf::from(std::ffi::OsStr::from_bytes(&name));
        let written = File::create(&new).and_then(|mut out| {
            out.write_all(bytes)?;
            out.sync_data()
        });
        let replaced = written.and_then(|()| std::fs::rename(&new, &path));
        replaced.map_err(|e| self.error("replacing", file, &e))?;
        self.sync_dir(file)
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        self.writers.remove(&file);
        std::fs::remove_file(self.path(file)).map_err(|e| self.error("removing", file, &e))
    }

    fn sync(&mut self, file: FileName) -> Result<(), StoreError> {
        // Reading a missing file does not create it.
        let path = self.path(file);
        let opened = File::open(&path).map_err(|e| self.error("opening", file, &e))?;
        flushed(&path.display(), || opened.sync_data())?;
        self.sync_dir(file)
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        let of_folder = File::open(&self.dir)
            .and_then(|folder| FileSystem::of(&folder, &self.dir).map_err(|error| error.source));
        let found = of_folder.map_err(|e| error_of("looking at", &self.dir.display(), &e))?;
        Ok(found.free_bytes)
    }
}
