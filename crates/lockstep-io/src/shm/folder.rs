//! The folder in which the processes of a cluster find each other's rings: one file for each of them.
//!
//! A file belongs to its owner as long as the owner holds the lock (flock) on it, and the kernel releases
//! that lock when the owner dies. So a file with a free lock belongs to a dead process, and the next process
//! that comes removes it. A process that makes, looks for or removes files holds the lock of the folder
//! meanwhile, so that no process sees a file that its owner has not locked yet.
//!
//! The folder and its files are trusted if they belong to this user and no other user may touch them. A user
//! who can write into them could as well stop these processes or read their memory.

use super::ring::is_ring;
use crate::IoError;
use crate::clock::{Clock, random_u64};
use crate::private;
use bytemuck::{Pod, Zeroable};
use lockstep_wire::{packed_address, unpacked_address};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind};
use std::net::SocketAddrV4;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// The most processes of one cluster that share a folder.
pub(super) const MEMBERS_MAX: usize = 64;
/// The folder's lock is held while files are listed or one is made, and many processes may want it at once. A
/// process that joins waits longer than one that looks again, or leaves.
const JOIN_PATIENCE: Duration = Duration::from_secs(8);
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_TRY: Duration = Duration::from_millis(1);
/// The ports of addresses that exist in memory only; a socket has such a port only for a short time.
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// Every ring's file begins with this number.
const MAGIC: u64 = u64::from_le_bytes(*b"LKSTRING");
/// The version of the layout of file, rings and records.
const VERSION: u32 = 1;
/// The name of a ring's file, followed by a number.
const PREFIX: &str = "ring-";

/// The first 128 bytes of a file; the ring of group datagrams follows, then that of unicast ones.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ShmHeader {
    magic: u64,
    version: u32,
    pid: u32,
    /// The owner's unicast address: see [`packed_address`].
    address: u64,
    group_words: u64,
    unicast_words: u64,
    /// See [`ShmRole`].
    role: u64,
    reserved: [u64; 10],
}

const HEADER: usize = size_of::<ShmHeader>();
const _: () = assert!(HEADER == 128);

impl ShmHeader {
    /// Bytes of the whole file, if its rings are valid.
    fn file_bytes(&self) -> Option<u64> {
        let possible = is_ring(self.group_words) && is_ring(self.unicast_words);
        possible.then(|| HEADER as u64 + (self.group_words + self.unicast_words) * 8)
    }
}

/// The purpose of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShmRole {
    /// A process of a cluster: it writes both rings, and receives from all others.
    Member = 0,
    /// The owner of a card: it writes the group datagrams that the card brings, and reads no ring.
    Owner = 1,
    /// The readers of owners: it writes nothing.
    Listener = 2,
}

impl ShmRole {
    /// Whether a process of this role reads the rings of one of role `other`, the number in that process's
    /// file.
    pub fn hears(self, other: u64) -> bool {
        match self {
            Self::Member => other == Self::Member as u64,
            Self::Owner => false,
            Self::Listener => other == Self::Owner as u64,
        }
    }
}

/// The words of one ring in a mapped file.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    map: Arc<MmapRaw>,
    /// In bytes.
    at: usize,
    words: usize,
}

impl Mapped {
    fn new(map: &Arc<MmapRaw>, at: usize, words: u64) -> Self {
        let words = words as usize;
        assert!(at.is_multiple_of(8) && map.len() >= at + words * 8, "a ring outside its file");
        Self { map: map.clone(), at, words }
    }
}

impl Deref for Mapped {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping covers the words (asserted by `new`), begins at a page, and `at` is a multiple
        // of 8; it lives as long as `self`. All processes touch these words by atomics only. Readers map them
        // without the right to write, where loads of a word are still sound, and none of theirs stores.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.at).cast::<AtomicU64>(), self.words) }
    }
}

/// Both rings of one file.
pub(super) struct Rings {
    /// Their purpose: see [`ShmRole`].
    pub role: u64,
    pub address: SocketAddrV4,
    pub groups: Mapped,
    pub unicast: Mapped,
}

impl Rings {
    fn new(map: MmapRaw, header: &ShmHeader) -> Self {
        let map = Arc::new(map);
        Self {
            role: header.role,
            address: unpacked_address(header.address),
            groups: Mapped::new(&map, HEADER, header.group_words),
            unicast: Mapped::new(&map, HEADER + header.group_words as usize * 8, header.unicast_words),
        }
    }
}

/// Another process's file.
pub(super) struct PeerFile {
    pub id: u64,
    path: PathBuf,
    file: File,
}

impl PeerFile {
    /// Whether its owner has died. Call it with the folder locked.
    pub fn is_dead(&self) -> bool {
        // A dead process holds no lock; a shared lock does not prevent others from the same check.
        self.file.try_lock_shared().is_ok_and(|()| self.file.unlock().is_ok())
    }

    /// Maps its rings for reading.
    pub fn map(&self) -> Result<Rings, IoError> {
        let header = self.header()?;
        let len = header.file_bytes().unwrap_or(0) as usize;
        let map = MmapOptions::new().len(len).populate().map_raw_read_only(&self.file);
        let map = map.map_err(|error| IoError::new(format!("map {}", self.path.display()), error))?;
        Ok(Rings::new(map, &header))
    }

    /// The process that owns a card according to this file, if any.
    pub fn owner_of_card(&self) -> Option<u32> {
        let header = self.header().ok()?;
        (header.role == ShmRole::Owner as u64).then_some(header.pid)
    }

    /// The address of its owner.
    fn address(&self) -> Result<SocketAddrV4, IoError> {
        self.header().map(|header| unpacked_address(header.address))
    }

    /// Its header, if that is plausible.
    fn header(&self) -> Result<ShmHeader, IoError> {
        let doing = || format!("read the rings of another process in {}", self.path.display());
        let wrong = |why: String| Err(IoError::because(doing(), ErrorKind::InvalidData, why));
        let mut bytes = [0; HEADER];
        self.file.read_exact_at(&mut bytes, 0).map_err(|error| IoError::new(doing(), error))?;
        let header: ShmHeader = bytemuck::pod_read_unaligned(&bytes);
        if header.magic != MAGIC {
            return wrong("it is no ring file of lockstep: move it to another folder".into());
        }
        if header.version != VERSION {
            let (theirs, pid) = (header.version, header.pid);
            return wrong(format!(
                "its version is {theirs}, ours is {VERSION}: process {pid} runs another release"
            ));
        }
        let len = self.file.metadata().map_err(|error| IoError::new(doing(), error))?.len();
        if header.file_bytes() != Some(len) {
            return wrong(format!("its {len} bytes are not what it says: end process {}", header.pid));
        }
        Ok(header)
    }
}

/// This process's file: it holds the lock as long as this value lives.
pub(super) struct OwnRings {
    pub id: u64,
    /// Holds the lock.
    _file: File,
}

/// The folder's lock, held.
pub(super) struct Locked<'a> {
    folder: &'a ShmFolder,
    /// Holds the lock.
    _dir: File,
}

/// The folder of the files.
#[derive(Clone, Debug)]
pub(super) struct ShmFolder {
    path: PathBuf,
}

impl ShmFolder {
    /// The folder of the cluster whose first group is `group`, within `parent`. It belongs to this network
    /// namespace, as an address means another machine in another one. It belongs to no particular user: two
    /// users of one cluster, whose processes would not receive from each other, get an error.
    pub fn new(parent: &Path, group: SocketAddrV4) -> Self {
        Self::named(parent, "rings", group)
    }

    /// The folder of the processes that receive one cluster through the owner of the card with this index.
    pub fn of_card(parent: &Path, card: u32, group: SocketAddrV4) -> Self {
        Self::named(parent, &format!("card-{card}"), group)
    }

    fn named(parent: &Path, what: &str, group: SocketAddrV4) -> Self {
        let namespace = std::fs::metadata("/proc/self/ns/net").map_or(0, |metadata| metadata.ino());
        let (ip, port) = (group.ip(), group.port());
        Self { path: parent.join(format!("lockstep-{what}-{namespace}-{ip}-{port}")) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder's lock; makes the folder if there is none.
    pub fn lock(&self) -> Result<Locked<'_>, IoError> {
        self.lock_or_make(true, JOIN_PATIENCE)
    }

    /// As [`lock`](Self::lock), for an existing folder: a process that looks for others, or leaves, makes no
    /// new one.
    ///
    /// # Errors
    /// As [`ShmFolder::lock`], or there is no folder.
    pub fn lock_existing(&self) -> Result<Locked<'_>, IoError> {
        self.lock_or_make(false, LOOK_PATIENCE)
    }

    fn lock_or_make(&self, makes: bool, patience: Duration) -> Result<Locked<'_>, IoError> {
        let doing = || format!("use the folder {}", self.path.display());
        let fails = |error| IoError::new(doing(), error);
        let began = Instant::now();
        while began.elapsed() < patience {
            if makes {
                let made = DirBuilder::new().mode(0o700).create(&self.path);
                made.or_else(
                    |error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) },
                )
                .map_err(fails)?;
            }
            let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            let dir = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
                Err(error) if makes && error.kind() == ErrorKind::NotFound => continue, // it is gone
                opened => opened.map_err(|error| {
                    IoError::new(format!("{}: it has to be a folder, and no link to one", doing()), error)
                })?,
            };
            let metadata = dir.metadata().map_err(fails)?;
            private::check(&metadata, &self.path, private::OTHERS)?;
            match dir.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    wait();
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(fails(error)),
            }
            // The last process to leave removes the folder: the lock must be on the present one.
            let is_there = std::fs::metadata(&self.path)
                .is_ok_and(|there| (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()));
            if is_there {
                return Ok(Locked { folder: self, _dir: dir });
            }
        }
        let why =
            format!("others have held its lock for {patience:?}: is one stopped that has a file in it?");
        Err(IoError::because(doing(), ErrorKind::TimedOut, why))
    }
}

impl Locked<'_> {
    /// The files of others, without those in `known`. Files of dead processes are removed.
    pub fn others(&self, known: &[u64]) -> Result<Vec<Result<PeerFile, IoError>>, IoError> {
        let mut others = Vec::new();
        for id in self.ids()? {
            if known.contains(&id) {
                continue;
            }
            match self.open(id) {
                Ok(Some(found)) if found.is_dead() => self.remove(id),
                Ok(Some(found)) => others.push(Ok(found)),
                Ok(None) => {}
                Err(error) => others.push(Err(error)),
            }
        }
        Ok(others)
    }

    /// All files of others, each of which must be valid. There must be room for one more.
    pub fn all_others(&self) -> Result<Vec<PeerFile>, IoError> {
        let others = self.others(&[])?.into_iter().collect::<Result<Vec<_>, _>>()?;
        if others.len() < MEMBERS_MAX {
            return Ok(others);
        }
        let doing = format!(
            "join the folder {}: {MEMBERS_MAX} processes are in it, and more there cannot be; end one, or run \
             this one on another host",
            self.folder.path().display()
        );
        Err(IoError::because(doing, ErrorKind::QuotaExceeded, "the folder is full"))
    }

    /// The numbers of all files with the name of a ring.
    pub fn ids(&self) -> Result<Vec<u64>, IoError> {
        let path = &self.folder.path;
        let fails = |error| IoError::new(format!("list the folder {}", path.display()), error);
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(path).map_err(fails)? {
            let name = entry.map_err(fails)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            ids.extend(number.and_then(|number| u64::from_str_radix(number, 16).ok()));
        }
        Ok(ids)
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.path.join(format!("{PREFIX}{id:016x}"))
    }

    /// The file of this number; `None` if it was removed.
    fn open(&self, id: u64) -> Result<Option<PeerFile>, IoError> {
        let path = self.path(id);
        let doing = || format!("use {}: it has to be a plain file of this user alone", path.display());
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| IoError::new(doing(), error))?,
        };
        let metadata = file.metadata().map_err(|error| IoError::new(doing(), error))?;
        if !metadata.is_file() {
            return Err(IoError::because(
                doing(),
                ErrorKind::InvalidInput,
                "it is of another kind: move it to another folder",
            ));
        }
        private::check(&metadata, &path, private::OTHERS)?;
        Ok(Some(PeerFile { id, path, file }))
    }

    /// Removes the file of this number, if it exists.
    pub fn remove(&self, id: u64) {
        let _ = std::fs::remove_file(self.path(id)); // another process may have removed it
    }

    /// Removes this process's file, and the folder if it is empty then.
    pub fn leave(&self, own: &OwnRings) {
        self.remove(own.id);
        let _ = std::fs::remove_dir(&self.folder.path); // usually it has other files
    }

    /// Makes this process's file, for an owner at `address` (port 0: any free one).
    pub fn make(
        &self,
        role: ShmRole,
        address: SocketAddrV4,
        others: &[PeerFile],
        [group_words, unicast_words]: [usize; 2],
    ) -> Result<(OwnRings, Rings), IoError> {
        let id = random_u64()?;
        let path = self.path(id);
        let doing = || format!("make the ring file {}", path.display());
        let address = self.free_address(address, others)?;
        let header = ShmHeader {
            magic: MAGIC,
            version: VERSION,
            pid: std::process::id(),
            address: packed_address(address),
            group_words: group_words as u64,
            unicast_words: unicast_words as u64,
            role: role as u64,
            ..ShmHeader::zeroed()
        };
        let Some(len) = header.file_bytes() else {
            let why = format!("rings of {group_words} and {unicast_words} words cannot be");
            return Err(IoError::because(doing(), ErrorKind::InvalidInput, why));
        };
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|error| IoError::new(doing(), error))?;
        let filled = fill(&file, &header, len).map_err(|error| {
            let remedy = format!(
                "{}: it takes {} KiB of memory; give the folder room, or ask for less",
                doing(),
                len >> 10
            );
            IoError::new(remedy, error)
        });
        match filled {
            Ok(map) => Ok((OwnRings { id, _file: file }, Rings::new(map, &header))),
            Err(error) => {
                self.remove(id);
                Err(error)
            }
        }
    }

    /// `wanted`, or with port 0 an address there that none of `others` has.
    fn free_address(&self, wanted: SocketAddrV4, others: &[PeerFile]) -> Result<SocketAddrV4, IoError> {
        let taken = others.iter().map(PeerFile::address).collect::<Result<Vec<_>, _>>()?;
        let path = self.folder.path.display();
        if wanted.port() == 0 {
            let candidates = FREE_PORTS.map(|port| SocketAddrV4::new(*wanted.ip(), port));
            // There are more ports than members. The search begins at a changing port, so that an address is
            // not soon used again.
            let start = Clock::start().now() as usize % FREE_PORTS.len();
            let mut turned = candidates.clone().skip(start).chain(candidates);
            return turned.find(|address| !taken.contains(address)).ok_or_else(|| {
                IoError::because(format!("find a port in {path}"), ErrorKind::AddrInUse, "all are taken")
            });
        }
        if taken.contains(&wanted) {
            let doing =
                format!("take the address {wanted} in {path}: is this node running already? Stop it first");
            return Err(IoError::because(doing, ErrorKind::AddrInUse, "another process has it"));
        }
        Ok(wanted)
    }
}

/// Locks and sizes a new file, writes its header, and maps it. All of its memory is allocated before the
/// first store: a store into a hole of a full file system would kill the process.
fn fill(file: &File, header: &ShmHeader, len: u64) -> Result<MmapRaw, Error> {
    file.try_lock().map_err(Error::from)?;
    // SAFETY: the descriptor is open across the call, and the call takes no pointers.
    let answer = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len as libc::off_t) };
    if answer != 0 {
        return Err(Error::from_raw_os_error(answer));
    }
    file.write_all_at(bytemuck::bytes_of(header), 0)?;
    MmapOptions::new().len(len as usize).populate().map_raw(file)
}

/// Releases the lock.
fn wait() {
    std::thread::sleep(LOCK_TRY);
}
