//! # host: facts of this machine that no file shows

use crate::IoError;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

/// A file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSystem {
    /// Bytes that a user without rights may still take.
    pub free_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
    /// Bytes of a block: of a huge page, where it consists of those.
    pub block_len: u64,
    /// Whether it consists of huge pages (hugetlbfs).
    pub is_huge: bool,
    /// Whether it is memory: tmpfs or hugetlbfs.
    pub is_memory: bool,
}

impl FileSystem {
    /// That of an open file or folder, which is called `path` in errors.
    ///
    /// # Errors
    /// The kernel does not report it.
    pub fn of(file: &File, path: &Path) -> Result<Self, IoError> {
        // SAFETY: a struct of integers, for which zeros are a value; `fstatfs` fills it.
        let mut fs: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: an open descriptor and a struct of ours.
        if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut fs) } != 0 {
            return Err(IoError::last(format!("looking at the file system of {}", path.display())));
        }
        let block_len = fs.f_bsize as u64;
        // Room is counted in fragments, which are smaller than blocks on some network file systems.
        let unit_len = if fs.f_frsize > 0 { fs.f_frsize as u64 } else { block_len };
        // Signed with glibc, unsigned with musl.
        let kind = fs.f_type as u64;
        let is_huge = kind == libc::HUGETLBFS_MAGIC as u64;
        Ok(Self {
            free_bytes: fs.f_bavail as u64 * unit_len,
            total_bytes: fs.f_blocks as u64 * unit_len,
            block_len,
            is_huge,
            is_memory: is_huge || kind == libc::TMPFS_MAGIC as u64,
        })
    }

    /// That of a folder.
    ///
    /// # Errors
    /// There is no such folder, or the kernel does not report it.
    pub fn of_folder(folder: &Path) -> Result<Self, IoError> {
        let opened = File::open(folder)
            .map_err(|error| IoError::new(format!("looking at {}", folder.display()), error))?;
        Self::of(&opened, folder)
    }
}

/// The kernel's clock, as the daemon that disciplines it has left it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClockState {
    /// Whether a daemon (NTP, PTP) keeps it synchronised.
    pub is_synchronised: bool,
    /// The greatest error that the daemon admits, in microseconds.
    pub error_max_us: u64,
}

/// The state of the kernel's clock; `None` where the kernel does not report it.
pub fn clock_state() -> Option<ClockState> {
    // SAFETY: plain integers; all zero is a value of it, and asks for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` lives across the call.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    (result >= 0).then(|| ClockState {
        is_synchronised: result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0,
        error_max_us: state.maxerror.max(0) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_disks_and_has_room() {
        let memory = FileSystem::of_folder(Path::new("/dev/shm")).unwrap();
        assert!(memory.is_memory && !memory.is_huge && memory.total_bytes >= memory.free_bytes, "{memory:?}");
        let other = FileSystem::of_folder(Path::new("/proc")).unwrap();
        assert!(!other.is_memory, "{other:?}");
        assert!(FileSystem::of_folder(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn the_state_of_the_clock_is_readable_by_everybody() {
        assert!(clock_state().is_some());
    }
}
