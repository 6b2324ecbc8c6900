//! A journal by its paths: what the command line calls. Locks, maps, opens, and says whose fault it is.

use crate::io::IoError;
use crate::io::clock::{boot_id, random_u64};
use crate::io::store::DirStore;
use crate::io::tail::{MappedTail, TailReader, peek_label};
use crate::journal::ports::{FileName, Store, StoreError, StoreFault};
use crate::journal::superblock::NoSuperblock;
use crate::journal::{
    BLOCK_LEN, OpenError, Opened, SEGMENT_LEN_MIN, Settings, Superblock, Verified, format as format_store,
    open as open_store, verify as verify_store,
};
use crate::wire::{INCARNATION_MAX, Identity};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A journal could not be created or opened: which one, and why.
#[derive(Debug)]
pub struct JournalError {
    /// The journal's directory.
    pub dir: PathBuf,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a journal.
#[derive(Debug)]
pub enum Why {
    /// The journal itself.
    Open(OpenError),
    /// Another process has it; its id, if that could be read.
    Locked(Option<u32>),
    /// The system.
    Io(IoError),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal {}: ", self.dir.display())?;
        match &self.why {
            Why::Open(error) => error.fmt(f),
            Why::Locked(Some(pid)) => {
                write!(f, "process {pid} has it open: stop that one, or give each its own directory")
            }
            Why::Locked(None) => f.write_str("another process has it open: stop that one first (see fuser)"),
            Why::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<OpenError> for Why {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<StoreError> for Why {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

impl From<IoError> for Why {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// What the configuration says about a replica's journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// The tail's file, on tmpfs or hugetlbfs.
    pub tail: PathBuf,
    /// Bytes of the tail: the repair window.
    pub tail_len: u64,
    /// Bytes of a segment.
    pub segment_len: u64,
    /// The cluster's id.
    pub cluster: u64,
    /// The replica's number.
    pub replica: u32,
    /// Durability `power`.
    pub power: bool,
    /// Most bytes of a frame.
    pub frame_len_max: usize,
}

/// An open journal and what belongs to it. The lock is held while it lives.
#[derive(Debug)]
pub struct OpenJournal {
    /// What was recovered; the tail goes to the hot thread.
    pub opened: Opened<MappedTail>,
    /// The ring for the side thread.
    pub reader: TailReader,
    /// The files for the side thread.
    pub store: DirStore,
    /// Nobody else opens the journal while this lives.
    pub lock: Lock,
    /// What was obtained, for the log.
    pub remarks: Vec<String>,
}

/// The lock on a journal's directory.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// An incarnation, drawn at random by the kernel.
pub fn draw_incarnation() -> Result<u32, IoError> {
    loop {
        let drawn = random_u64()? as u32 & INCARNATION_MAX;
        if drawn != 0 {
            return Ok(drawn);
        }
    }
}

/// This boot of the machine, as the journal keeps it.
fn boot() -> Result<[u64; 2], IoError> {
    let id = boot_id()?;
    Ok([(id >> 64) as u64, id as u64])
}

/// Creates the journal of `identity` in `dir`, which is empty or does not exist.
pub fn format(dir: &Path, cluster: u64, identity: Identity) -> Result<Superblock, JournalError> {
    let work = || -> Result<Superblock, Why> {
        let doing = || format!("creating {} (give a directory that this user may write)", dir.display());
        std::fs::create_dir_all(dir).map_err(|e| IoError::new(doing(), e))?;
        let mut entries = std::fs::read_dir(dir).map_err(|e| IoError::new(doing(), e))?;
        if let Some(Ok(entry)) = entries.next() {
            return Err(OpenError::NotEmpty(entry.file_name().to_string_lossy().into_owned()).into());
        }
        let _lock = lock(dir)?;
        let mut store = DirStore::new(dir, true)?;
        Ok(format_store(&mut store, cluster, identity, boot()?)?)
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

/// Opens a replica's journal.
pub fn open(config: &JournalConfig) -> Result<OpenJournal, JournalError> {
    let work = || -> Result<OpenJournal, Why> {
        if !config.dir.join("superblock").exists() {
            return Err(OpenError::Missing.into());
        }
        check_sizes(config)?;
        let lock = lock(&config.dir)?;
        let mut store = DirStore::new(&config.dir, config.power)?;
        let boot = boot()?;
        let mut remarks = vec![format!(
            "segments are written with {}{}",
            if store.is_direct() { "O_DIRECT" } else { "the page cache (this file system has no O_DIRECT)" },
            if config.power { " and O_DSYNC" } else { "" }
        )];
        let mut tail_len = config.tail_len.next_multiple_of(BLOCK_LEN as u64);
        if let Some((label, held_len)) = peek_label(&config.tail).filter(|(label, _)| label.boot == boot) {
            let clean = Superblock::load(&store)?.is_ok_and(|(superblock, _)| superblock.clean);
            if label.cluster != config.cluster || label.identity.replica != config.replica {
                return Err(OpenError::Tail { cluster: label.cluster, identity: label.identity }.into());
            }
            if held_len != tail_len && !clean {
                remarks.push(format!(
                    "the tail keeps its {held_len} bytes: after the next clean stop it gets {tail_len}"
                ));
                tail_len = held_len;
            }
        }
        let memory = MappedTail::open(&config.tail, tail_len)?;
        let settings = Settings {
            cluster: config.cluster,
            replica: config.replica,
            boot,
            power: config.power,
            frame_len_max: config.frame_len_max,
            segment_len: config.segment_len,
        };
        let mut opened = open_store(&mut store, memory, settings)?;
        let reader = opened.tail.memory_mut().reader();
        remarks.push(format!("the tail has {tail_len} bytes in {}", config.tail.display()));
        Ok(OpenJournal { opened, reader, store, lock, remarks })
    };
    work().map_err(|why| JournalError { dir: config.dir.clone(), why })
}

/// Whose journal `dir` is, also while another process has it open.
pub fn identity(dir: &Path) -> Result<Identity, JournalError> {
    let work = || -> Result<Identity, Why> {
        if !dir.join("superblock").exists() {
            return Err(OpenError::Missing.into());
        }
        Ok(superblock_of(&DirStore::new(dir, false)?)?.identity)
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

fn superblock_of(store: &DirStore) -> Result<Superblock, Why> {
    match Superblock::load(store)? {
        Ok((superblock, _)) => Ok(superblock),
        Err(NoSuperblock::Damaged(damage)) => Err(OpenError::Damaged(damage).into()),
        Err(NoSuperblock::Version(version)) => Err(OpenError::Version(version).into()),
    }
}

/// Reads everything that the journal in `dir` has on disk. Nobody may have it open.
pub fn verify(dir: &Path) -> Result<Verified, JournalError> {
    let work = || -> Result<Verified, Why> {
        if !dir.join("superblock").exists() {
            return Err(OpenError::Missing.into());
        }
        let _lock = lock(dir)?;
        Ok(verify_store(&DirStore::new(dir, false)?)?)
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

fn check_sizes(config: &JournalConfig) -> Result<(), Why> {
    if config.segment_len < SEGMENT_LEN_MIN {
        let what = format!("segments of {} bytes: take at least {SEGMENT_LEN_MIN}", config.segment_len);
        return Err(OpenError::Settings(what).into());
    }
    crate::journal::Geometry::new(config.tail_len.next_multiple_of(BLOCK_LEN as u64), config.frame_len_max)
        .map_err(OpenError::Settings)?;
    Ok(())
}

/// Takes the lock of the journal in `dir`; the file holds our process id for whoever comes second.
fn lock(dir: &Path) -> Result<Lock, Why> {
    let path = dir.join("lock");
    let doing = |what: &str| format!("{what} {}", path.display());
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            let (doing, why) = (doing("opening"), e.to_string());
            Why::from(StoreError { doing, fault: StoreFault::ReadOnly, why })
        }
        _ => IoError::new(doing("opening"), e).into(),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(Why::Locked(pid));
        }
        Err(TryLockError::Error(error)) => return Err(IoError::new(doing("locking"), error).into()),
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|e| IoError::new(doing("writing"), e))?;
    Ok(Lock { _file: file })
}

/// Free bytes on the journal's device, and the bytes of its files: for status and alarms.
pub fn usage(store: &DirStore) -> Result<(u64, u64), StoreError> {
    let files = store.list()?;
    let used = files.into_iter().filter(|file| *file != FileName::Spare).map(|file| store.len(file));
    Ok((store.free_bytes()?, used.sum::<Result<u64, _>>()?))
}
