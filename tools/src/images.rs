//! Disks in files: ext4 on a loop device, whose picture can be taken at any instant.
//!
//! What the device has acknowledged lies in the image file (in its page cache, which here *is* the
//! device); what a program has written and the kernel holds back lies in the mounted file system's cache
//! and not in the file. So a copy of the file is what a disk holds after its machine lost power, as long
//! as nothing is written while it is copied.

use crate::netns::{Namespace, mounts_unsupported};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Bytes of a disk.
const DISK_LEN: u64 = 64 << 20;
/// Bytes that are compared at once.
const CHUNK_LEN: usize = 1 << 20;
/// Bytes that are written at least; what is zero stays a hole.
const BLOCK_LEN: usize = 4096;
/// The disk is quiet at the latest when the kernel has committed what it held back: some seconds.
const TAKES_MAX: usize = 10_000;

/// Why there can be no disks here, if so.
pub fn unsupported() -> Option<String> {
    mounts_unsupported().or_else(|| {
        let folder = folder();
        let (file, at) = (folder.path().join("probe"), folder.path().join("at"));
        let script = format!("{}\nmkdir {at:?}\nmount -o loop {file:?} {at:?}", mkfs(&file));
        let probe = Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output();
        let works = probe.is_ok_and(|output| output.status.success());
        (!works).then(|| "a disk in a file needs mkfs.ext4 and loop devices".to_owned())
    })
}

/// A folder for images: in memory, where there is room, because only the page cache counts.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = lockstep::io::tail::free_bytes(memory).is_ok_and(|bytes| bytes > 16 * DISK_LEN);
    let made = if has_room { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a temporary folder")
}

/// No lazy initialisation: a thread of the kernel's would write on and on.
fn mkfs(file: &Path) -> String {
    let options = "-q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    format!("truncate -s {DISK_LEN} {file:?}\nmkfs.ext4 {options} {file:?}")
}

/// A disk: its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    file: PathBuf,
}

impl Disk {
    /// A new one in `file`, empty: not even `lost+found` is there. It is mounted at `at` in `machine`, as
    /// long as that exists.
    pub fn new(machine: &Namespace, file: PathBuf, at: &Path) -> Self {
        let disk = Self { file };
        machine.shell(&mkfs(&disk.file));
        disk.mount(machine, at);
        machine.shell(&format!("rmdir {at:?}/lost+found && sync -f {at:?}"));
        disk
    }

    /// Mounts it at `at` in `machine`, as long as that exists.
    pub fn mount(&self, machine: &Namespace, at: &Path) {
        machine.shell(&format!("mkdir -p {at:?} && mount -o loop,noatime {:?} {at:?}", self.file));
    }

    /// What it holds now, as a disk of its own in `to`. It is copied until a whole pass finds nothing that
    /// has changed since the pass before: then all of it is of one instant.
    pub fn picture(&self, to: PathBuf) -> Self {
        let from = File::open(&self.file).expect("an image");
        let copy = OpenOptions::new().read(true).write(true).create_new(true).open(&to).expect("a new file");
        copy.set_len(DISK_LEN).expect("room for an image");
        let quiet = (0..TAKES_MAX).any(|_| update(&from, &copy).expect("a copy of an image") == 0);
        assert!(quiet, "{} never stops changing", self.file.display());
        Self { file: to }
    }
}

/// Makes `copy` equal to `from`, and returns how many blocks differed.
fn update(from: &File, copy: &File) -> std::io::Result<usize> {
    let (mut have, mut want) = (vec![0; CHUNK_LEN], vec![0; CHUNK_LEN]);
    let mut changed = 0;
    for at in (0..DISK_LEN).step_by(CHUNK_LEN) {
        from.read_exact_at(&mut want, at)?;
        copy.read_exact_at(&mut have, at)?;
        let blocks = have.chunks(BLOCK_LEN).zip(want.chunks(BLOCK_LEN)).zip((at..).step_by(BLOCK_LEN));
        for ((_, block), at) in blocks.filter(|((have, want), _)| have != want) {
            copy.write_all_at(block, at)?;
            changed += 1;
        }
    }
    Ok(changed)
}
