//! The files that a daemon reaches once it is set up, by Landlock (`landlock(7)`): three system calls.
//!
//! A rule names a folder, and with it all that is below, also later; or a file, which it follows when that is
//! renamed, and not when another one takes its name. Files that are open already stay as they are.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// What may be done with the files below a folder, or with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Read.
    Read(PathBuf),
    /// Read, written, made, renamed and removed.
    Write(PathBuf),
    /// Removed: what a daemon has made there earlier.
    Remove(PathBuf),
}

/// Rights of `linux/landlock.h`, `LANDLOCK_ACCESS_FS_*`.
mod right {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    pub(super) const REMOVE_DIR: u64 = 1 << 4;
    pub(super) const REMOVE_FILE: u64 = 1 << 5;
    pub(super) const MAKE_DIR: u64 = 1 << 7;
    pub(super) const MAKE_REG: u64 = 1 << 8;
    pub(super) const MAKE_SOCK: u64 = 1 << 9;
    pub(super) const REFER: u64 = 1 << 13;
    pub(super) const TRUNCATE: u64 = 1 << 14;
    pub(super) const IOCTL_DEV: u64 = 1 << 15;
    /// Those that a rule for a file may name.
    pub(super) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
}

/// All rights that a version of the kernel's interface knows.
fn known(version: libc::c_long) -> u64 {
    let bits = match version {
        ..=1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << bits) - 1
}

impl Reach {
    fn path(&self) -> &PathBuf {
        let (Self::Read(path) | Self::Write(path) | Self::Remove(path)) = self;
        path
    }

    fn rights(&self) -> u64 {
        use right::*;
        match self {
            Self::Read(_) => READ_FILE | READ_DIR,
            Self::Remove(_) => REMOVE_FILE | REMOVE_DIR,
            Self::Write(_) => {
                READ_FILE
                    | READ_DIR
                    | WRITE_FILE
                    | TRUNCATE
                    | REMOVE_FILE
                    | REMOVE_DIR
                    | MAKE_DIR
                    | MAKE_REG
                    | MAKE_SOCK
                    | REFER
            }
        }
    }
}

/// What every daemon reads: the state of processes and cards, and what a backtrace needs.
const BY_ALL: [&str; 5] = ["/proc", "/sys", "/usr", "/lib", "/lib64"];

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// `struct landlock_ruleset_attr` of the first version, which later kernels take as well.
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent: i32,
}

/// Rules that can be put on threads.
pub(super) struct Ruleset(OwnedFd);

fn result(number: libc::c_long) -> Result<libc::c_long> {
    if number < 0 { Err(Error::last_os_error()) } else { Ok(number) }
}

impl Ruleset {
    /// The rules by which a thread reaches these paths, and what every daemon reads. A path that is not there
    /// has no rule.
    pub fn new(reach: &[Reach]) -> Result<Self> {
        // SAFETY: a call that asks for the version: without attributes.
        let version = result(unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<u8>(),
                0,
                CREATE_RULESET_VERSION,
            )
        })?;
        let handled = known(version);
        let attributes = RulesetAttributes { handled_access_fs: handled };
        // SAFETY: the attributes are of the shape and size that is named, and live across the call.
        let made = result(unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &raw const attributes,
                size_of::<RulesetAttributes>(),
                0,
            )
        })?;
        // SAFETY: a descriptor that the kernel has just made for us.
        let ruleset = Self(unsafe { OwnedFd::from_raw_fd(made as i32) });
        let by_all = BY_ALL.map(|path| Reach::Read(path.into()));
        for one in reach.iter().chain(&by_all) {
            ruleset.add(one, handled)?;
        }
        Ok(ruleset)
    }

    fn add(&self, reach: &Reach, handled: u64) -> Result<()> {
        let opened =
            File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(reach.path());
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let of_kind = if file.metadata()?.is_dir() { u64::MAX } else { right::OF_FILES };
        let rule =
            PathBeneath { allowed_access: reach.rights() & handled & of_kind, parent: file.as_raw_fd() };
        if rule.allowed_access == 0 {
            return Ok(());
        }
        // SAFETY: the rule has the kernel's shape, and it and both descriptors live across the call.
        let added = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.0.as_raw_fd(),
                RULE_PATH_BENEATH,
                &raw const rule,
                0,
            )
        };
        result(added).map(drop)
    }

    /// Puts the rules on this thread, for ever.
    pub fn restrict(&self) -> Result<()> {
        // SAFETY: a call without pointers; it forbids this thread to gain rights, as Landlock demands.
        result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
        // SAFETY: a call without pointers; the descriptor is ours.
        result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0) }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::thread;

    #[test]
    fn a_confined_thread_reaches_its_own_files_alone_and_those_that_take_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["read", "write", "remove", "other"] {
            fs::create_dir(path(name)).expect("a folder");
            fs::write(path(name).join("file"), name).expect("a file");
        }
        let reach = [
            Reach::Read(path("read")),
            Reach::Write(path("write")),
            Reach::Remove(path("remove")),
            Reach::Write(path("absent")),
        ];
        let Ok(ruleset) = Ruleset::new(&reach) else {
            println!("SKIPPED: this kernel has no Landlock");
            return;
        };
        fs::write(path("read").join("new"), "later").expect("a file");
        let open = fs::read_to_string(path("other").join("file")).expect("so that the others can fail");
        assert_eq!(open, "other");
        let confined = thread::scope(|scope| {
            scope
                .spawn(|| {
                    ruleset.restrict().expect("a ruleset can be put on a thread");
                    let kind = |done: Result<()>| done.err().map(|error| error.kind());
                    let read = |name: &str| kind(fs::read(path(name)).map(drop));
                    let write = |name: &str| kind(fs::write(path(name), "new"));
                    let allowed = [
                        read("read/file"),
                        read("read/new"),
                        write("write/file"),
                        write("write/new"),
                        kind(fs::rename(path("write/new"), path("write/file"))),
                        kind(fs::remove_file(path("write/file"))),
                        kind(fs::remove_file(path("remove/file"))),
                        kind(fs::read_to_string("/proc/self/status").map(drop)),
                    ];
                    let denied = [
                        write("read/file"),
                        kind(fs::remove_file(path("read/file"))),
                        read("other/file"),
                        write("other/new"),
                        write("remove/new"),
                        kind(fs::read_dir(path("other")).map(drop)),
                        kind(fs::read("/etc/passwd").map(drop)),
                    ];
                    (allowed, denied)
                })
                .join()
                .expect("a thread")
        });
        assert_eq!(confined.0, [None; 8]);
        assert_eq!(confined.1, [Some(ErrorKind::PermissionDenied); 7]);
    }
}
