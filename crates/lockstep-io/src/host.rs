//! # host: facts of this machine that no file shows

use crate::IoError;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `RAMFS_MAGIC` of `linux/magic.h`.
const RAMFS_MAGIC: u64 = 0x8584_58f6;
/// The room of a file system that does not count it (ramfs): more than any machine has.
const UNCOUNTED: u64 = 1 << 62;

/// A file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSystem {
    /// Bytes that an unprivileged user may still use.
    pub free_bytes: u64,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Inodes that may still be made; a huge number if the file system does not count them.
    pub free_inodes: u64,
    /// All inodes; 0 if the file system does not count them.
    pub total_inodes: u64,
    /// Bytes of a block: of a huge page on hugetlbfs.
    pub block_len: u64,
    /// Whether it consists of huge pages (hugetlbfs).
    pub is_huge: bool,
    /// Whether it is memory: tmpfs, ramfs or hugetlbfs.
    pub is_memory: bool,
}

impl FileSystem {
    /// The file system of an open file or folder, which is called `path` in errors.
    ///
    /// # Errors
    /// The kernel does not report it.
    pub fn of(file: &File, path: &Path) -> Result<Self, IoError> {
        // SAFETY: a struct of integers, for which zeros are a value; `fstatfs` fills it.
        let mut fs: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: an open descriptor, and a struct that lives across the call.
        if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut fs) } != 0 {
            return Err(IoError::last(format!("looking at the file system of {}", path.display())));
        }
        let block_len = fs.f_bsize as u64;
        // Room is counted in fragments, which are smaller than blocks on some network file systems.
        let unit_len = if fs.f_frsize > 0 { fs.f_frsize as u64 } else { block_len };
        // Signed with glibc, unsigned with musl.
        let kind = fs.f_type as u64;
        let is_huge = kind == libc::HUGETLBFS_MAGIC as u64;
        let is_ramfs = kind == RAMFS_MAGIC;
        Ok(Self {
            free_bytes: if is_ramfs { UNCOUNTED } else { fs.f_bavail as u64 * unit_len },
            total_bytes: if is_ramfs { UNCOUNTED } else { fs.f_blocks as u64 * unit_len },
            free_inodes: if fs.f_files == 0 { UNCOUNTED } else { fs.f_ffree as u64 },
            total_inodes: fs.f_files as u64,
            block_len,
            is_huge,
            is_memory: is_huge || is_ramfs || kind == libc::TMPFS_MAGIC as u64,
        })
    }

    /// The file system of a folder.
    ///
    /// # Errors
    /// There is no such folder, or the kernel does not report it.
    pub fn of_folder(folder: &Path) -> Result<Self, IoError> {
        let opened = File::open(folder)
            .map_err(|error| IoError::new(format!("looking at {}", folder.display()), error))?;
        Self::of(&opened, folder)
    }
}

/// Why data that a device has confirmed in this folder is lost with its host: the folder is in memory,
/// directly or beneath other file systems. `None`: it is on a device, as far as the kernel reports.
pub fn lost_with_host(folder: &Path) -> Option<String> {
    lost_beneath(folder, 4)
}

/// As [`lost_with_host`], through at most `layers` layers.
fn lost_beneath(folder: &Path, layers: usize) -> Option<String> {
    if FileSystem::of_folder(folder).ok()?.is_memory {
        return Some(format!("{} is memory", folder.display()));
    }
    let layers = layers.checked_sub(1)?;
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match layer_of(&text, &folder.canonicalize().ok()?) {
        Layer::Volatile => {
            Some(format!("{} is an overlay that syncs nothing (mount option volatile)", folder.display()))
        }
        Layer::Over(upper) => lost_beneath(&upper, layers).map(|why| format!("beneath the overlay {why}")),
        Layer::Device => lost_device(folder.metadata().ok()?.dev(), layers),
    }
}

/// The layer beneath a mounted file system.
#[derive(PartialEq, Eq, Debug)]
enum Layer {
    /// A device, or an unknown file system.
    Device,
    /// An overlay whose changes go to this folder.
    Over(PathBuf),
    /// An overlay that was mounted without syncs.
    Volatile,
}

/// The layer of the mount that `path` lies in, by the text of `/proc/self/mountinfo`.
fn layer_of(mountinfo: &str, path: &Path) -> Layer {
    let mount = mountinfo.lines().filter_map(|line| {
        let (place, options) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(place.split(' ').nth(4)?));
        let mut options = options.split(' ');
        let (kind, _source, options) = (options.next()?, options.next()?, options.next()?);
        path.starts_with(&point).then(|| (point.components().count(), kind, options))
    });
    // Of the mounts with the longest path the last one hides the others.
    let Some((_, "overlay", options)) = mount.max_by_key(|(depth, ..)| *depth) else { return Layer::Device };
    let mut options = options.split(',');
    if options.clone().any(|option| option == "volatile" || option == "fsync=volatile") {
        return Layer::Volatile;
    }
    let upper = options.find_map(|option| option.strip_prefix("upperdir="));
    upper.map_or(Layer::Device, |upper| Layer::Over(unescaped(upper).into()))
}

/// A path of mountinfo, which writes blanks and other special characters as octal numbers.
fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, letter)| text.replace(escape, letter))
}

/// As [`lost_with_host`], for a block device: one of memory, or a file as a device.
fn lost_device(device: u64, layers: usize) -> Option<String> {
    let place = format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
    let place = std::fs::canonicalize(place).ok()?;
    let name = place.file_name()?.to_str()?;
    let is_numbered = |begin: &str| {
        name.strip_prefix(begin)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if is_numbered("ram") || is_numbered("zram") {
        return Some(format!("the device {name} is memory"));
    }
    let file = std::fs::read_to_string(place.join("loop/backing_file")).ok()?;
    let why = lost_beneath(Path::new(file.trim_end()).parent()?, layers)?;
    Some(format!("beneath the device {name} {why}"))
}

/// The state in which the daemon that disciplines the kernel's clock has left it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClockState {
    /// Whether a daemon (NTP, PTP) keeps it synchronised.
    pub is_synchronised: bool,
    /// The greatest error that the daemon admits, in microseconds.
    pub error_max_us: u64,
}

/// The state of the kernel's clock; `None` where the kernel does not report it.
pub fn clock_state() -> Option<ClockState> {
    // SAFETY: plain integers; all zero is a value of it, and requests no change.
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
    fn what_lies_in_memory_is_lost_with_its_host_whatever_lies_above() {
        assert_eq!(lost_with_host(Path::new("/dev/shm")).as_deref(), Some("/dev/shm is memory"));
        assert_eq!(lost_with_host(Path::new("/no/such/folder")), None);
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /data rw - overlay overlay rw,lowerdir=/lo,upperdir=/run/u\\040p,workdir=/run/w\n\
                      31 22 0:41 / /fast rw - overlay overlay rw,upperdir=/up,workdir=/w,volatile\n\
                      32 30 8:2 / /data/disk rw - xfs /dev/sdb rw\n";
        let of = |path: &str| layer_of(mounts, Path::new(path));
        assert_eq!(of("/data/journal"), Layer::Over("/run/u p".into()));
        assert_eq!(
            (of("/fast/x"), of("/data/disk/x"), of("/var"), of("/database")),
            (Layer::Volatile, Layer::Device, Layer::Device, Layer::Device,)
        );
    }

    #[test]
    fn the_state_of_the_clock_is_readable_by_everybody() {
        assert!(clock_state().is_some());
    }
}
