//! A journal by its paths, for the command line: locks, maps and opens it, and reports which part failed.

mod previous_tail;
mod reading;
mod recovery;
mod rejoin;

pub use reading::{JournalReader, verify};
pub use recovery::{RecoverySurvey, found, found_from, found_on_copy, survey};
pub use rejoin::{is_overtaken, overtake, rejoined, rejoining, renew};

use crate::io::store::DirStore;
use crate::io::tail::{MappedTail, TailReader};
use lockstep_io::clock::{boot_id, random_u64};
use lockstep_io::{IoError, lock, private};
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault, TailSource};
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::{
    BLOCK_LEN, Completeness, Inspection, JournalOpenError, OpenedJournal, SEGMENT_LEN_MIN, Settings,
    Superblock, format as format_store, inspect as inspect_store,
};
use lockstep_wire::{INCARNATION_MAX, Identity};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A journal could not be created or opened.
#[derive(Debug)]
pub struct JournalError {
    /// The journal's directory.
    pub dir: PathBuf,
    /// The error.
    pub why: JournalFailure,
}

/// The reason of a [`JournalError`].
#[derive(Debug)]
pub enum JournalFailure {
    /// The journal's content.
    Open(JournalOpenError),
    /// Another process has the journal open; its id, if that could be read.
    Locked(Option<u32>),
    /// The system.
    Io(IoError),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal {}: ", self.dir.display())?;
        match &self.why {
            JournalFailure::Open(error) => error.fmt(f),
            JournalFailure::Locked(Some(pid)) => {
                write!(f, "process {pid} has it open: stop that one, or give each its own directory")
            }
            JournalFailure::Locked(None) => {
                f.write_str("another process has it open: stop that one first (see fuser)")
            }
            JournalFailure::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<JournalOpenError> for JournalFailure {
    fn from(error: JournalOpenError) -> Self {
        Self::Open(error)
    }
}

impl From<StoreError> for JournalFailure {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

impl From<IoError> for JournalFailure {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// The configuration of a replica's journal.
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
    /// Whether the durability is `power`.
    pub power: bool,
    /// Most bytes of a frame.
    pub frame_len_max: usize,
}

/// An inspected journal. Its lock is held as long as this value lives.
#[derive(Debug)]
pub struct InspectedJournal {
    /// The findings.
    pub inspected: Inspection,
    ring: Option<MappedTail>,
    store: DirStore,
    lock: Lock,
    config: JournalConfig,
}

/// An open journal and its parts. Its lock is held as long as this value lives.
#[derive(Debug)]
pub struct OpenJournal {
    /// The recovered state; the tail goes to the hot thread.
    pub opened: OpenedJournal<MappedTail>,
    /// The ring for the side thread.
    pub reader: TailReader,
    /// The files for the side thread.
    pub store: DirStore,
    /// No other process opens the journal as long as this lives.
    pub lock: Lock,
    /// Effective settings, for the log.
    pub remarks: Vec<String>,
}

/// The lock on a journal's directory.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// An incarnation, drawn at random.
pub fn draw_incarnation() -> Result<u32, IoError> {
    loop {
        let drawn = random_u64()? as u32 & INCARNATION_MAX;
        if drawn != 0 {
            return Ok(drawn);
        }
    }
}

/// The id of this boot of the machine, in the form in which the journal stores it.
pub fn boot() -> Result<[u64; 2], IoError> {
    let id = boot_id()?;
    Ok([(id >> 64) as u64, id as u64])
}

/// Makes a folder that only this user may enter, and those above it.
fn make_private(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Syncs the names in `dir` to the device.
fn sync_dir(dir: &Path) -> Result<(), IoError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|e| IoError::new(format!("syncing {}", dir.display()), e))
}

/// Replaces a file of `dir` by one with this content, as a whole and on the device.
fn replace_file(dir: &Path, name: &str, content: &[u8]) -> std::io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut out = File::create(&new)?;
    out.write_all(content)?;
    out.sync_all()?;
    std::fs::rename(new, dir.join(name))?;
    File::open(dir)?.sync_all()
}

/// Removes a folder with its content, if it exists.
fn remove_all(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Creates the journal of `identity` in `dir`, which is empty or does not exist.
pub fn format(dir: &Path, cluster: u64, identity: Identity) -> Result<Superblock, JournalError> {
    let work = || -> Result<Superblock, JournalFailure> {
        let doing = || format!("creating {} (give a directory that this user may write)", dir.display());
        make_private(dir).map_err(|e| IoError::new(doing(), e))?;
        check_empty(dir).map_err(|e| IoError::new(doing(), e))?.map_err(JournalOpenError::NotEmpty)?;
        let _lock = lock(dir)?;
        check_empty(dir).map_err(|e| IoError::new(doing(), e))?.map_err(JournalOpenError::NotEmpty)?;
        let mut store = DirStore::new(dir, true)?;
        if dir.join("superblock").exists() {
            // It was never whole, so its identity was never reported.
            store.remove(FileName::Superblock)?;
        }
        Ok(format_store(&mut store, cluster, identity, boot()?)?)
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

/// Checks that `dir` has nothing but the remains of a killed `format`: its lock, an empty folder of segments,
/// a superblock without its second copy. The error names what it has.
fn check_empty(dir: &Path) -> std::io::Result<Result<(), String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        found.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let segments = dir.join("segments");
    if segments.is_dir() {
        for entry in std::fs::read_dir(&segments)? {
            found.push(format!("segments/{}", entry?.file_name().to_string_lossy()));
        }
    }
    let is_remains = |name: &String| match name.as_str() {
        "lock" | "segments" | "segments/probe" => true,
        "superblock" => is_half_written(dir),
        _ => false,
    };
    Ok(match found.into_iter().find(|name| !is_remains(name)) {
        None => Ok(()),
        Some(name) => Err(owned(dir, name)),
    })
}

/// A file of `dir` in words, with the owner of its journal, if that is known.
fn owned(dir: &Path, name: String) -> String {
    match superblock_of(&DirStore::reader(dir)) {
        Ok(superblock) => format!("{name}, of the journal of {}", superblock.identity),
        Err(_) => name,
    }
}

/// Whether the second copy of the superblock was never written: a journal that was used has both.
fn is_half_written(dir: &Path) -> bool {
    match Superblock::load(&DirStore::reader(dir)) {
        Ok(Ok(copies)) => copies.older.is_none() && copies.newest.generation <= 1,
        Ok(Err(_)) => std::fs::metadata(dir.join("superblock")).is_ok_and(|meta| meta.len() == 0),
        Err(_) => false,
    }
}

/// Inspects a replica's journal. It changes nothing that a later start judges, and no other process can open
/// the journal meanwhile.
///
/// # Errors
/// It is missing, another replica's, or in use; it cannot be read; or damage leaves no usable log.
pub fn look(config: &JournalConfig) -> Result<InspectedJournal, JournalError> {
    let work = || -> Result<InspectedJournal, JournalFailure> {
        if !private::is_there(&config.dir.join("superblock"))? {
            return Err(JournalOpenError::Missing.into());
        }
        check_sizes(config)?;
        let lock = lock(&config.dir)?;
        let store = DirStore::new(&config.dir, config.power)?;
        let mut ring = MappedTail::existing(&config.tail)?;
        let settings = Settings {
            cluster: config.cluster,
            replica: config.replica,
            boot: boot()?,
            power: config.power,
            frame_len_max: config.frame_len_max,
            segment_len: config.segment_len,
        };
        let mut inspected = inspect_store(&store, ring.as_ref(), settings)?;
        let wanted = wanted_ring_len(config);
        if ring.as_ref().is_some_and(|ring| ring.ring_len() != wanted) && inspected.is_ring_spare() {
            // The segments contain everything, and a new ring may have another size.
            inspected = inspect_store(&store, None::<&MappedTail>, settings)?;
            ring = None;
        } else {
            inspected = previous_tail::judged(&config.dir, &config.tail, &store, inspected, settings)?;
        }
        Ok(InspectedJournal { inspected, ring, store, lock, config: config.clone() })
    };
    work().map_err(|why| JournalError { dir: config.dir.clone(), why })
}

/// Opens a replica's journal, for callers that need nothing else to start.
///
/// # Errors
/// Those of [`look`] and [`InspectedJournal::start`].
pub fn open(config: &JournalConfig) -> Result<OpenJournal, JournalError> {
    let (journal, ()) = look(config)?.start(|_| Ok::<_, JournalError>(()))?;
    Ok(journal)
}

impl InspectedJournal {
    /// The last part of a start: `outside` obtains everything else that may fail, then the ring is made if
    /// there is no usable one, and last the journal is marked as in use.
    ///
    /// # Errors
    /// Those of `outside`, and those of the journal: it may lack acknowledged entries (S9), there is no
    /// memory for the ring, or the files fail. In every case the next start judges the journal as it was.
    pub fn start<X, E: From<JournalError>>(
        self,
        outside: impl FnOnce(&Inspection) -> Result<X, E>,
    ) -> Result<(OpenJournal, X), E> {
        let Self { inspected, ring, mut store, lock, config } = self;
        let wanted = wanted_ring_len(&config);
        let mut remarks = vec![format!(
            "segments are written with {}{}",
            if store.is_direct() { "O_DIRECT" } else { "the page cache (this file system has no O_DIRECT)" },
            if config.power { " and O_DSYNC" } else { "" }
        )];
        remarks.extend(inspected.findings().iter().cloned());
        let failed = |why: JournalFailure| E::from(JournalError { dir: config.dir.clone(), why });
        let mut unrecorded = None;
        let obtain = |inspected: &Inspection| -> Result<(MappedTail, X), StartPhase<E>> {
            let effective = outside(inspected).map_err(StartPhase::Outside)?;
            // The present ring may be the proof of that: it stays.
            if let Completeness::Incomplete(why) = inspected.completeness() {
                return Err(StartPhase::Journal(JournalOpenError::Incomplete(why.clone()).into()));
            }
            // Without the record a later change of the path is not noticed; that must not prevent a start on
            // a full disk.
            unrecorded =
                previous_tail::record(&config.dir, &config.tail).err().map(|error| error.to_string());
            let fits =
                |ring: &MappedTail| inspected.ring() == &RingEvidence::Own || ring.ring_len() == wanted;
            let memory = match ring.filter(fits) {
                Some(ring) => ring,
                None => {
                    MappedTail::create(&config.tail, wanted).map_err(|e| StartPhase::Journal(e.into()))?
                }
            };
            Ok((memory, effective))
        };
        let started = inspected.start(&mut store, obtain);
        let (mut opened, effective) = started.map_err(|error| match error {
            StartPhase::Outside(error) => error,
            StartPhase::Journal(why) => failed(why),
        })?;
        remarks.extend(unrecorded);
        // A recovery that was interrupted after its last write is complete: nothing takes this journal for
        // its remains.
        recovery::finish(&config.dir).map_err(failed)?;
        let tail_len = opened.tail.memory_mut().ring_len();
        if tail_len != wanted {
            remarks.push(format!(
                "the tail keeps its {tail_len} bytes: after the next clean stop it gets {wanted}"
            ));
        }
        let reader = opened.tail.memory_mut().reader();
        remarks.push(format!("the tail has {tail_len} bytes in {}", config.tail.display()));
        Ok((OpenJournal { opened, reader, store, lock, remarks }, effective))
    }
}

fn wanted_ring_len(config: &JournalConfig) -> u64 {
    config.tail_len.next_multiple_of(BLOCK_LEN as u64)
}

/// The phase in which a start failed.
enum StartPhase<E> {
    Outside(E),
    Journal(JournalFailure),
}

impl<E> From<JournalOpenError> for StartPhase<E> {
    fn from(error: JournalOpenError) -> Self {
        Self::Journal(error.into())
    }
}

/// The identity of the node whose journal `dir` is, also while another process has it open.
pub fn identity(dir: &Path) -> Result<Identity, JournalError> {
    let work = || -> Result<Identity, JournalFailure> {
        if !private::is_there(&dir.join("superblock"))? {
            return Err(JournalOpenError::Missing.into());
        }
        Ok(superblock_of(&DirStore::new(dir, false)?)?.identity)
    };
    work().map_err(|why| JournalError { dir: dir.to_path_buf(), why })
}

fn superblock_of(store: &DirStore) -> Result<Superblock, JournalFailure> {
    Ok(Superblock::load(store)?.map_err(JournalOpenError::from)?.newest)
}

fn check_sizes(config: &JournalConfig) -> Result<(), JournalFailure> {
    if config.segment_len < SEGMENT_LEN_MIN {
        let what = format!("segments of {} bytes: take at least {SEGMENT_LEN_MIN}", config.segment_len);
        return Err(JournalOpenError::Settings(what).into());
    }
    lockstep_replica::journal::Geometry::new(
        config.tail_len.next_multiple_of(BLOCK_LEN as u64),
        config.frame_len_max,
    )
    .map_err(JournalOpenError::Settings)?;
    Ok(())
}

/// Takes the lock of the journal in `dir`; the file contains our process id, for a second process that tries.
/// No other user may make files there: a link put in place of our file would be written through.
fn lock(dir: &Path) -> Result<Lock, JournalFailure> {
    let path = dir.join("lock");
    let doing = |what: &str| format!("{what} {}", path.display());
    // The folder may be reached by a link: the permissions of its target count.
    let folder = dir.metadata().map_err(|e| IoError::new(format!("opening {}", dir.display()), e))?;
    private::check(&folder, dir, private::OTHERS_WRITE)?;
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            let (doing, why) = (doing("opening"), e.to_string());
            JournalFailure::from(StoreError { doing, fault: StoreFault::ReadOnly, why })
        }
        _ => IoError::new(doing("opening"), e).into(),
    })?;
    let holder = || {
        let mut text = String::new();
        (&file).rewind().and_then(|()| (&file).read_to_string(&mut text)).ok()?;
        text.trim().parse().ok()
    };
    match lock::lock(&file, holder) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(JournalFailure::Locked(holder())),
        Err(TryLockError::Error(error)) => return Err(IoError::new(doing("locking"), error).into()),
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|e| IoError::new(doing("writing"), e))?;
    Ok(Lock { _file: file })
}

/// Free bytes on the journal's device, and bytes of its files: for status and alarms.
pub fn usage(store: &DirStore) -> Result<(u64, u64), StoreError> {
    let files = store.list()?;
    let used = files.into_iter().filter(|file| *file != FileName::Spare).map(|file| store.len(file));
    Ok((store.free_bytes()?, used.sum::<Result<u64, _>>()?))
}
