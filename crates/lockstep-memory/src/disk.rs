//! # disk: files with a cache that can be lost
//!
//! The question: which part of a journal survives a loss of power? `journal::memory::MemoryStore` is durable
//! at once, so a missing sync, of a file or of the directory, would never show. Here every write, length and
//! name is in a cache first, and reaches the device when a call requires it. Nothing more is promised than
//! [`Store`] promises; any further durability of the real files is luck.
//!
//! ```text
//!   write, truncate ─▶ sectors of the cache ── sync, `power` ──▶ device
//!   create, rename, remove ─▶ names of the cache ── sync ──▶ device
//!                                  │ power lost: any of the sectors, lengths and names that are only
//!                                  ▼ cached are lost, in any order; a sector is old or new
//! ```
//!
//! Any call can be made the one in which the process dies, or the device fails ([`SimDisk::arm`]). The
//! caller chooses: a seed, or an exploration of all choices.

use lockstep_replica::journal::BLOCK_LEN;
use lockstep_replica::journal::ports::{FileName, Store, StoreError, StoreFault};
use std::cell::Cell;
use std::collections::BTreeMap;

/// The unit that a device writes as a whole or not at all, in bytes.
const SECTOR: usize = 512;

/// The fault of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskFault {
    /// The process dies in a call that changes something: none, some or all of it is done. No later call has
    /// an effect until [`SimDisk::revive`].
    Death,
    /// A reading call fails.
    ReadError,
    /// A writing call fails; any part of it is done.
    WriteError,
    /// A sync fails. The device never gets the cached data; the cache shows them all the same, and the next
    /// sync succeeds.
    SyncError,
}

/// A file's content, and the part of it that the device lacks.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    /// The device's bytes of each sector that differs; none for zeros.
    device: BTreeMap<u64, Stale>,
    device_len: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stale {
    old: Option<Box<[u8]>>,
    /// A failed sync has dropped it: no later sync brings it to the device.
    dropped: bool,
}

/// A change of the directory that the device lacks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Change {
    Named(FileName, u32),
    Renamed(FileName, FileName, u32),
    Removed(FileName),
}

/// The files of one journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimDisk {
    /// Durability `power`: writes are on the device when they return.
    power: bool,
    capacity_bytes: u64,
    inodes: BTreeMap<u32, Inode>,
    last_inode: u32,
    names: BTreeMap<FileName, u32>,
    device_names: BTreeMap<FileName, u32>,
    changes: Vec<Change>,
    /// A fault after so many more calls of its kind; the last number decides how much of that call is done.
    armed: Cell<Option<(DiskFault, u64, u64)>>,
    dead: Cell<bool>,
    struck: Cell<bool>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self {
            power: false,
            capacity_bytes: u64::MAX,
            inodes: BTreeMap::new(),
            last_inode: 0,
            names: BTreeMap::new(),
            device_names: BTreeMap::new(),
            changes: Vec::new(),
            armed: Cell::new(None),
            dead: Cell::new(false),
            struck: Cell::new(false),
        }
    }
}

/// The kind of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Sync,
    /// It changes names or lengths.
    Change,
}

/// A call that fails, and a number that decides how much of it is done; `None` where nothing is.
struct Struck {
    error: StoreError,
    salt: Option<u64>,
}

impl Struck {
    /// Whether an atomic call is done.
    fn is_done(&self) -> bool {
        self.salt.is_some_and(|salt| salt & 1 == 1)
    }
}

impl SimDisk {
    /// From now on each write is on the device when it returns, or not.
    pub fn set_power(&mut self, power: bool) {
        self.power = power;
    }

    /// Sets the capacity of the device in bytes; its contents stay.
    pub fn set_capacity_bytes(&mut self, capacity_bytes: u64) {
        self.capacity_bytes = capacity_bytes;
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].bytes.len() as u64).sum()
    }

    /// Plans `disk_fault` for the call after the next `calls` ones that it applies to. `salt` decides how
    /// much of that call is done: equal numbers, equal parts.
    pub fn arm(&mut self, disk_fault: DiskFault, calls: u64, salt: u64) {
        self.armed.set(Some((disk_fault, calls, salt)));
    }

    /// Cancels a planned fault.
    pub fn disarm(&mut self) {
        self.armed.set(None);
    }

    /// Whether a fault is still planned.
    pub fn is_armed(&self) -> bool {
        self.armed.get().is_some()
    }

    /// Whether the process died in a call.
    pub fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Whether a fault has struck a call since the last call of this function.
    pub fn take_struck(&mut self) -> bool {
        self.struck.take()
    }

    /// Ends the death: the next process finds the files as the last one left them.
    pub fn revive(&mut self) {
        self.dead.set(false);
    }

    /// A file's bytes, to be damaged or inspected. The device still lacks what it lacked.
    pub fn file_mut(&mut self, file: FileName) -> Option<&mut Vec<u8>> {
        let inode = self.names.get(&file)?;
        self.inodes.get_mut(inode).map(|inode| &mut inode.bytes)
    }

    /// Whether the device lacks something of the files.
    pub fn is_dirty(&self) -> bool {
        !self.changes.is_empty() || self.is_dirty_where(|_| true)
    }

    /// Whether the device lacks something of one of those files.
    pub fn is_dirty_where(&self, is_meant: impl Fn(FileName) -> bool) -> bool {
        self.names.iter().any(|(file, inode)| is_meant(*file) && self.inodes[inode].is_stale())
    }

    /// The power is lost: of the data that the device lacks, `draw` chooses the part that reached it all the
    /// same. It is called for numbers below its argument, 0 always being "lost". Returns whether anything
    /// was lost.
    pub fn lose_power(&mut self, draw: &mut impl FnMut(u64) -> u64) -> bool {
        let mut lost = false;
        let mood = if self.changes.is_empty() { 0 } else { draw(3) };
        for change in std::mem::take(&mut self.changes) {
            let survives = match mood {
                0 => false,
                1 => true,
                _ => draw(2) == 1,
            };
            if !survives {
                lost = true;
                continue;
            }
            change.apply(&mut self.device_names);
        }
        self.names.clone_from(&self.device_names);
        self.forget_unnamed();
        for inode in self.inodes.values_mut() {
            lost |= inode.lose_power(draw);
        }
        self.revive();
        self.disarm();
        lost
    }

    /// The power is lost: the files that `loses` chooses lose everything that the device lacks, all others
    /// nothing.
    pub fn lose_power_of(&mut self, loses: impl Fn(FileName) -> bool) {
        for change in std::mem::take(&mut self.changes) {
            change.apply(&mut self.device_names);
        }
        self.names.clone_from(&self.device_names);
        self.forget_unnamed();
        for (file, inode) in &self.names {
            let draw = if loses(*file) { 0 } else { 1 };
            if let Some(inode) = self.inodes.get_mut(inode) {
                inode.lose_power(&mut |_| draw);
            }
        }
        self.revive();
    }

    /// The number of the newest segment; 0 if there is none.
    pub fn newest_segment(&self) -> u64 {
        let number = |file: &FileName| if let FileName::Segment(number) = file { *number } else { 0 };
        self.names.keys().map(number).max().unwrap_or(0)
    }

    /// Whether a fault strikes this call.
    fn meet(&self, call: Call, doing: &str, file: FileName) -> Result<(), Struck> {
        let fails = |fault, why: &str, salt| Struck { error: error(doing, file, fault, why), salt };
        if self.dead.get() {
            return Err(fails(StoreFault::Failed, DEAD, None));
        }
        let Some((disk_fault, calls, salt)) = self.armed.get() else { return Ok(()) };
        let befalls = match disk_fault {
            DiskFault::Death => call != Call::Read,
            DiskFault::ReadError => call == Call::Read,
            DiskFault::WriteError => matches!(call, Call::Write | Call::Change),
            DiskFault::SyncError => call == Call::Sync,
        };
        if !befalls {
            return Ok(());
        }
        if calls > 0 {
            self.armed.set(Some((disk_fault, calls - 1, salt)));
            return Ok(());
        }
        self.armed.set(None);
        self.struck.set(true);
        if disk_fault == DiskFault::Death {
            self.dead.set(true);
            return Err(fails(StoreFault::Failed, DEAD, Some(salt)));
        }
        Err(fails(StoreFault::Failed, "the device failed (as told)", Some(salt)))
    }

    fn inode(&self, doing: &str, file: FileName) -> Result<&Inode, StoreError> {
        let inode = self.names.get(&file).and_then(|inode| self.inodes.get(inode));
        inode.ok_or_else(|| error(doing, file, StoreFault::Missing, "no such file"))
    }

    /// The file, which is created where it is missing.
    fn inode_mut(&mut self, file: FileName) -> &mut Inode {
        let Self { names, changes, last_inode, inodes, .. } = self;
        let inode = *names.entry(file).or_insert_with(|| {
            *last_inode += 1;
            changes.push(Change::Named(file, *last_inode));
            *last_inode
        });
        inodes.entry(inode).or_default()
    }

    /// Bytes by which the file may grow.
    fn room(&self, file: FileName, len: u64) -> Result<(), u64> {
        let present = self.names.get(&file).map_or(0, |inode| self.inodes[inode].bytes.len() as u64);
        let free = self.capacity_bytes.saturating_sub(self.used_bytes());
        if len.saturating_sub(present) <= free { Ok(()) } else { Err(present + free) }
    }

    /// Brings all names of the directory of `file` to the device.
    fn sync_names(&mut self, file: FileName) {
        let beside = |other: FileName| is_above(other) == is_above(file);
        let (synced, left) = std::mem::take(&mut self.changes).into_iter().partition(|change| match change {
            Change::Named(file, _) | Change::Renamed(_, file, _) | Change::Removed(file) => beside(*file),
        });
        self.changes = left;
        let synced: Vec<Change> = synced;
        synced.into_iter().for_each(|change| change.apply(&mut self.device_names));
        self.forget_unnamed();
    }

    /// Drops files without a name, in the cache and on the device.
    fn forget_unnamed(&mut self) {
        let Self { inodes, names, device_names, changes, .. } = self;
        inodes.retain(|inode, _| {
            let changed = |change: &Change| matches!(change, Change::Named(_, one) | Change::Renamed(_, _, one) if one == inode);
            names.values().chain(device_names.values()).any(|named| named == inode) || changes.iter().any(changed)
        });
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<FileName, u32>) {
        match self {
            Self::Named(file, inode) => {
                names.insert(file, inode);
            }
            Self::Renamed(from, to, inode) => {
                if names.get(&from) == Some(&inode) {
                    names.remove(&from);
                }
                names.insert(to, inode);
            }
            Self::Removed(file) => {
                names.remove(&file);
            }
        }
    }
}

/// Whether the file is in the journal's directory, and not in that of its segments.
fn is_above(file: FileName) -> bool {
    matches!(file, FileName::Superblock | FileName::Founding)
}

const DEAD: &str = "the process is dead";

fn error(doing: &str, file: FileName, fault: StoreFault, why: &str) -> StoreError {
    StoreError { doing: format!("{doing} {file}"), fault, why: why.to_string() }
}

fn full(doing: &str, file: FileName) -> StoreError {
    error(doing, file, StoreFault::NoSpace, "no space left on device")
}

/// Mixes a number: it decides which parts of a call are done.
fn mix(salt: u64, index: u64) -> u64 {
    let mut z = salt ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

impl Inode {
    /// Whether the device lacks something of it.
    fn is_stale(&self) -> bool {
        !self.device.is_empty() || self.device_len != self.bytes.len() as u64
    }

    /// The cache's sectors from `from` to below `to`, in bytes, are about to change.
    fn touch(&mut self, from: u64, to: u64) {
        for sector in from / SECTOR as u64..to.div_ceil(SECTOR as u64) {
            let bytes = &self.bytes;
            let stale = self.device.entry(sector).or_insert_with(|| {
                let at = (sector as usize * SECTOR).min(bytes.len());
                let old = &bytes[at..bytes.len().min(at + SECTOR)];
                let old = (*old != [0; SECTOR][..old.len()]).then(|| old.into());
                Stale { old, dropped: false }
            });
            stale.dropped = false;
        }
    }

    fn set_len(&mut self, len: u64) {
        let present = self.bytes.len() as u64;
        if len < present {
            self.touch(len, present);
        }
        self.bytes.resize(len as usize, 0);
    }

    /// Writes the sectors of `bytes` that `takes` chooses.
    fn write(&mut self, offset: u64, bytes: &[u8], takes: impl Fn(u64) -> bool) {
        for (index, sector) in (0..).zip(bytes.chunks(SECTOR)) {
            if !takes(index) {
                continue;
            }
            let at = offset + index * SECTOR as u64;
            let end = at + sector.len() as u64;
            self.touch(at, end);
            if (self.bytes.len() as u64) < end {
                self.bytes.resize(end as usize, 0);
            }
            self.bytes[at as usize..end as usize].copy_from_slice(sector);
        }
    }

    /// Brings the bytes from `from` to below `to` to the device.
    fn flush(&mut self, from: u64, to: u64) {
        let sectors = from / SECTOR as u64..to.div_ceil(SECTOR as u64);
        let flushed: Vec<u64> = self.device.range(sectors).map(|(sector, _)| *sector).collect();
        flushed.iter().for_each(|sector| drop(self.device.remove(sector)));
        self.device_len = self.device_len.max(to.min(self.bytes.len() as u64));
    }

    fn sync(&mut self) {
        self.device.retain(|_, stale| stale.dropped);
        self.device_len = self.bytes.len() as u64;
    }

    fn fail_to_sync(&mut self) {
        self.device.values_mut().for_each(|stale| stale.dropped = true);
    }

    fn lose_power(&mut self, draw: &mut impl FnMut(u64) -> u64) -> bool {
        let (len, device_len) = (self.bytes.len() as u64, self.device_len);
        let blocks = len.abs_diff(device_len) / BLOCK_LEN as u64;
        let left = match if len == device_len { 1 } else { draw(3) } {
            0 => device_len,
            1 => len,
            _ => len.min(device_len) + BLOCK_LEN as u64 * draw(blocks + 1),
        };
        let mut lost = left != len;
        self.bytes.resize(len.max(left) as usize, 0);
        let mood = if self.device.is_empty() { 0 } else { draw(4) };
        for (sector, stale) in std::mem::take(&mut self.device) {
            let survives = !stale.dropped
                && match mood {
                    0 => false,
                    1 => true,
                    _ => draw(2) == 1,
                };
            let at = (sector as usize * SECTOR).min(self.bytes.len());
            let end = (at + SECTOR).min(self.bytes.len());
            if survives || at == end {
                continue;
            }
            lost = true;
            let place = &mut self.bytes[at..end];
            place.fill(0);
            if let Some(old) = &stale.old {
                let len = old.len().min(place.len());
                place[..len].copy_from_slice(&old[..len]);
            }
        }
        self.bytes.resize(left as usize, 0);
        self.device_len = left;
        lost
    }
}

impl Store for SimDisk {
    fn write_at(&mut self, file: FileName, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        assert!(offset.is_multiple_of(BLOCK_LEN as u64), "writes start at a block, not at {offset}");
        assert!(bytes.len().is_multiple_of(BLOCK_LEN), "writes are whole blocks, not {} bytes", bytes.len());
        if let Err(Struck { error, salt }) = self.meet(Call::Write, "writing", file) {
            let dies = self.dead.get();
            if let Some(salt) = salt {
                let sectors = (bytes.len() / SECTOR) as u64;
                let inode = self.inode_mut(file);
                // A dying process has written a prefix; a failing device, any part.
                let first = mix(salt, u64::MAX) % (sectors + 1);
                inode.write(
                    offset,
                    bytes,
                    |index| if dies { index < first } else { mix(salt, index) & 1 == 1 },
                );
            }
            return Err(error);
        }
        let end = offset + bytes.len() as u64;
        if let Err(until) = self.room(file, end) {
            // A short write: as much as there was room for.
            let fits =
                (until.saturating_sub(offset)).min(bytes.len() as u64) as usize / BLOCK_LEN * BLOCK_LEN;
            if fits > 0 {
                self.inode_mut(file).write(offset, &bytes[..fits], |_| true);
            }
            return Err(full("writing", file));
        }
        // Zeros of the next segment may reach the device when it gets its name.
        let flushes = self.power && file != FileName::Spare;
        let inode = self.inode_mut(file);
        inode.write(offset, bytes, |_| true);
        if flushes {
            inode.flush(offset, end);
        }
        Ok(())
    }

    fn read_at(&self, file: FileName, offset: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        self.meet(Call::Read, "reading", file).map_err(|struck| struck.error)?;
        let content = self.inode("reading", file)?.bytes.get(offset as usize..).unwrap_or_default();
        let taken = content.len().min(out.len());
        out[..taken].copy_from_slice(&content[..taken]);
        Ok(taken)
    }

    fn reserve(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        self.meet(Call::Change, "reserving room for", file).map_err(|struck| struck.error)?;
        self.room(file, len).map_err(|_| full("reserving room for", file))?;
        let inode = self.inode_mut(file);
        if (inode.bytes.len() as u64) < len {
            inode.set_len(len);
        }
        Ok(())
    }

    fn len(&self, file: FileName) -> Result<u64, StoreError> {
        Ok(self.inode("looking at", file)?.bytes.len() as u64)
    }

    fn list(&self) -> Result<Vec<FileName>, StoreError> {
        Ok(self.names.keys().copied().collect())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<(), StoreError> {
        let struck = self.meet(Call::Change, "renaming", from).err();
        self.inode("renaming", from)?;
        // In this order: the content, the name, the directory.
        if self.power && struck.as_ref().is_none_or(|struck| struck.salt.is_some_and(|salt| salt & 3 > 0)) {
            self.inode_mut(from).sync();
        }
        let done = struck.as_ref().is_none_or(Struck::is_done);
        if done && let Some(inode) = self.names.remove(&from) {
            self.names.insert(to, inode);
            self.changes.push(Change::Renamed(from, to, inode));
        }
        if let Some(struck) = struck {
            return Err(struck.error);
        }
        if self.power {
            self.sync_names(to);
        }
        Ok(())
    }

    fn truncate(&mut self, file: FileName, len: u64) -> Result<(), StoreError> {
        self.meet(Call::Change, "cutting", file).map_err(|struck| struck.error)?;
        self.inode("cutting", file)?;
        self.room(file, len).map_err(|_| full("cutting", file))?;
        self.inode_mut(file).set_len(len);
        Ok(())
    }

    fn replace(&mut self, file: FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let struck = self.meet(Call::Change, "replacing", file).err();
        if struck.is_none() {
            self.room(file, bytes.len() as u64).map_err(|_| full("replacing", file))?;
        }
        let done = struck.as_ref().is_none_or(Struck::is_done);
        if done {
            self.last_inode += 1;
            let device_len = bytes.len() as u64;
            let inode = Inode { bytes: bytes.to_vec(), device: BTreeMap::new(), device_len };
            self.inodes.insert(self.last_inode, inode);
            self.names.insert(file, self.last_inode);
            self.changes.push(Change::Named(file, self.last_inode));
            if struck.is_none() {
                self.sync_names(file);
            }
        }
        struck.map_or(Ok(()), |struck| Err(struck.error))
    }

    fn remove(&mut self, file: FileName) -> Result<(), StoreError> {
        let struck = self.meet(Call::Change, "removing", file).err();
        self.inode("removing", file)?;
        let done = struck.as_ref().is_none_or(Struck::is_done);
        if done && self.names.remove(&file).is_some() {
            self.changes.push(Change::Removed(file));
        }
        struck.map_or(Ok(()), |struck| Err(struck.error))
    }

    fn sync(&mut self, file: FileName) -> Result<(), StoreError> {
        let struck = self.meet(Call::Sync, "syncing", file).err();
        self.inode("syncing", file)?;
        match struck {
            None => {
                self.inode_mut(file).sync();
                self.sync_names(file);
                Ok(())
            }
            Some(struck) => {
                if !self.dead.get() {
                    self.inode_mut(file).fail_to_sync();
                } else if struck.is_done() {
                    self.inode_mut(file).sync();
                }
                Err(struck.error)
            }
        }
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.capacity_bytes.saturating_sub(self.used_bytes()))
    }
}

#[cfg(test)]
mod tests;
mod vanish;
