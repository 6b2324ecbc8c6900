//! The files that a daemon reaches once it is set up, by Landlock (`landlock(7)`).
//!
//! A rule names a folder, and with it all that is below, also later; or a file, which it follows when that is
//! renamed, and not when another one takes its name. Files that are open already stay as they are.

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, make_bitflags,
};
use std::error::Error as _;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
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

/// The kernel's interface whose rights are judged here: an older one judges what it knows of them.
const INTERFACE: ABI = ABI::V5;

impl Reach {
    fn path(&self) -> &PathBuf {
        let (Self::Read(path) | Self::Write(path) | Self::Remove(path)) = self;
        path
    }

    fn rights(&self) -> BitFlags<AccessFs> {
        match self {
            Self::Read(_) => make_bitflags!(AccessFs::{ReadFile | ReadDir}),
            Self::Remove(_) => make_bitflags!(AccessFs::{RemoveFile | RemoveDir}),
            Self::Write(_) => make_bitflags!(AccessFs::{
                ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeDir | MakeReg | MakeSock
                    | Refer
            }),
        }
    }
}

/// What every daemon reads: the state of processes and cards, and what a backtrace needs.
const BY_ALL: [&str; 5] = ["/proc", "/sys", "/usr", "/lib", "/lib64"];

/// Rules that can be put on threads.
pub(super) struct Ruleset(RulesetCreated);

/// What the kernel answered.
fn answer(error: RulesetError) -> Error {
    let answered = error.source().and_then(|source| source.downcast_ref::<Error>()?.raw_os_error());
    answered.map_or_else(|| Error::other(error), Error::from_raw_os_error)
}

impl Ruleset {
    /// The rules by which a thread reaches these paths, and what every daemon reads. A path that is not there
    /// has no rule.
    pub fn new(reach: &[Reach]) -> Result<Self> {
        let handled = landlock::Ruleset::default().handle_access(AccessFs::from_all(INTERFACE));
        let mut ruleset = handled.and_then(landlock::Ruleset::create).map_err(answer)?;
        let by_all = BY_ALL.map(|path| Reach::Read(path.into()));
        for one in reach.iter().chain(&by_all) {
            if let Some(rule) = rule(one)? {
                ruleset = ruleset.add_rule(rule).map_err(answer)?;
            }
        }
        Ok(Self(ruleset))
    }

    /// Puts the rules on this thread, for ever; it gains no rights from now on, as Landlock demands.
    pub fn restrict(&self) -> Result<()> {
        match self.0.try_clone()?.restrict_self().map_err(answer)?.landlock {
            LandlockStatus::Available { .. } => Ok(()),
            LandlockStatus::NotEnabled => Err(Error::from_raw_os_error(libc::EOPNOTSUPP)),
            LandlockStatus::NotImplemented => Err(Error::from_raw_os_error(libc::ENOSYS)),
        }
    }
}

/// The rule by which a path is reached, if it is there and a file of its kind has such rights.
fn rule(reach: &Reach) -> Result<Option<PathBeneath<File>>> {
    let opened = File::options().read(true).custom_flags(libc::O_PATH).open(reach.path());
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let of_kind = if file.metadata()?.is_dir() { AccessFs::from_all } else { AccessFs::from_file };
    let rights = reach.rights() & of_kind(INTERFACE);
    Ok((!rights.is_empty()).then(|| PathBeneath::new(file, rights)))
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
        let ruleset = Ruleset::new(&reach).expect("rules");
        let has_landlock = thread::scope(|scope| scope.spawn(|| ruleset.restrict().is_ok()).join());
        if !has_landlock.expect("a thread") {
            println!("SKIPPED: this kernel has no Landlock");
            return;
        }
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
