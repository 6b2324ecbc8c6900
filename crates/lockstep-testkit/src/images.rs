//! Disks in files: ext4 on a loop device, whose picture can be taken at any instant.
//!
//! What the device has acknowledged lies in the image file (in its page cache, which here *is* the
//! device); what a program has written and the kernel holds back lies in the mounted file system's cache
//! and not in the file. So a copy of the file is what a disk holds after its machine lost power, as long
//! as nothing is written while it is copied.
//!
//! A device may have a cache that loses power as well ([`Cache::Volatile`]): then it keeps only what it was
//! told to flush. Its image lies on a file system of its own on a second loop device, whose page cache is
//! that cache, and the picture is taken of the lower one:
//!
//! ```text
//!  journal ─▶ ext4 ─▶ loop ─▶ file on ext4 ─▶ loop ─▶ file
//!                             └ the cache ┘           └ the picture
//! ```

use crate::netns::{Namespace, mounts_unsupported};
use crate::processes::memory_folder;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a disk.
const DISK_LEN: u64 = 64 << 20;
/// Bytes of what lies under the cache of one.
const LOWER_LEN: u64 = 96 << 20;
/// Bytes that are compared at once.
const CHUNK_LEN: usize = 1 << 20;
/// Bytes that are written at least; what is zero stays a hole.
const BLOCK_LEN: usize = 4096;
/// The disk is quiet at the latest when the kernel has committed what it held back: some seconds.
const TAKES_MAX: usize = 10_000;

/// Why there can be no disks here, if so.
pub fn unsupported() -> Option<String> {
    mounts_unsupported().or_else(|| {
        let folder = memory_folder();
        let (file, at) = (folder.path().join("probe"), folder.path().join("at"));
        let script = format!("{}\n{}", mkfs(&file, DISK_LEN), mount(&file, &at));
        let probe = Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output();
        let works = probe.is_ok_and(|output| output.status.success());
        (!works).then(|| "a disk in a file needs mkfs.ext4 and loop devices".to_owned())
    })
}

/// No lazy initialisation: a thread of the kernel's would write on and on.
fn mkfs(file: &Path, len: u64) -> String {
    let options = "-q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    format!("truncate -s {len} {file:?}\nmkfs.ext4 {options} {file:?}")
}

fn mount(file: &Path, at: &Path) -> String {
    format!("mkdir -p {at:?}\nmount -o loop,noatime {file:?} {at:?}")
}

/// What happens to what a device has taken and had no order to flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// It keeps all that it has taken.
    Safe,
    /// Nothing of that is left.
    Volatile,
}

/// A disk: its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    file: PathBuf,
    cache: Cache,
}

impl Disk {
    /// A new one in `file`, empty: not even `lost+found` is there. It is mounted at `at` in `machine`, as
    /// long as that exists.
    pub fn new(machine: &Namespace, file: PathBuf, at: &Path, cache: Cache) -> Self {
        let disk = Self { file, cache };
        machine.shell(&mkfs(&disk.file, disk.len()));
        if cache == Cache::Volatile {
            let lower = Self::lower(at);
            machine.shell(&mount(&disk.file, &lower));
            machine.shell(&mkfs(&lower.join("disk"), DISK_LEN));
            machine.shell(&mount(&lower.join("disk"), at));
        } else {
            machine.shell(&mount(&disk.file, at));
        }
        // The next picture begins with all of this.
        machine.shell(&format!("rmdir {at:?}/lost+found\nsync -f {at:?}"));
        disk
    }

    /// Mounts it at `at` in `machine`, as long as that exists.
    pub fn mount(&self, machine: &Namespace, at: &Path) {
        match self.cache {
            Cache::Safe => machine.shell(&mount(&self.file, at)),
            Cache::Volatile => {
                let lower = Self::lower(at);
                machine.shell(&format!("{}\n{}", mount(&self.file, &lower), mount(&lower.join("disk"), at)))
            }
        };
    }

    fn lower(at: &Path) -> PathBuf {
        at.with_extension("lower")
    }

    fn len(&self) -> u64 {
        if self.cache == Cache::Safe { DISK_LEN } else { LOWER_LEN }
    }

    /// What it holds now, as a disk of its own in `to`. It is copied until a whole pass finds nothing that
    /// has changed since the pass before: then all of it is of one instant.
    pub fn picture(&self, to: PathBuf) -> Self {
        let from = File::open(&self.file).expect("an image");
        let copy = OpenOptions::new().read(true).write(true).create_new(true).open(&to).expect("a new file");
        copy.set_len(self.len()).expect("room for an image");
        let quiet =
            (0..TAKES_MAX).any(|_| update(&from, &copy, self.len()).expect("a copy of an image") == 0);
        assert!(quiet, "{} never stops changing", self.file.display());
        Self { file: to, cache: self.cache }
    }
}

/// Makes `copy` equal to `from`, and returns how many blocks differed.
fn update(from: &File, copy: &File, len: u64) -> std::io::Result<usize> {
    let (mut have, mut want) = (vec![0; CHUNK_LEN], vec![0; CHUNK_LEN]);
    let mut changed = 0;
    for at in (0..len).step_by(CHUNK_LEN) {
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
