//! Files and folders in places where other users may make files too, such as `/dev/shm`, and secrets, which
//! lie where their user, root or an orchestrator has put them.

mod users;

pub use users::{FileOwner, command_as, named};

use super::IoError;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use zeroize::Zeroizing;

/// Mode bits by which other users may read, write or enter.
pub const OTHERS: u32 = 0o077;
/// Mode bits by which other users may write.
pub const OTHERS_WRITE: u32 = 0o022;

/// The user that this process runs as.
pub fn own_user() -> u32 {
    // SAFETY: a call without arguments that cannot fail.
    unsafe { libc::geteuid() }
}

/// The users whose files are trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileOwners(Option<Vec<u32>>);

impl FileOwners {
    /// Root, and the user that this process runs as.
    pub fn own() -> Self {
        Self(Some(vec![0, own_user()]))
    }

    /// Any user: for a file that its reader has named explicitly.
    pub fn anybody() -> Self {
        Self(None)
    }

    /// Adds the owners of these places, which a configuration names: the user of its daemons. A place that
    /// does not exist has no owner; for one that may not be looked at, the folder above it counts.
    pub fn with_owners_of<'a>(mut self, places: impl IntoIterator<Item = &'a Path>) -> Self {
        if let Some(users) = &mut self.0 {
            users.extend(places.into_iter().filter_map(owner_of));
            users.sort_unstable();
            users.dedup();
        }
        self
    }

    /// Whether this user is one of them.
    pub fn has(&self, user: u32) -> bool {
        self.0.as_ref().is_none_or(|users| users.contains(&user))
    }
}

fn owner_of(place: &Path) -> Option<u32> {
    match place.metadata() {
        Ok(metadata) => Some(metadata.uid()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => owner_of(place.parent()?),
        Err(_) => None,
    }
}

/// The kind of a file in words.
fn kind_of(kind: FileType) -> &'static str {
    match () {
        () if kind.is_file() => "a file",
        () if kind.is_dir() => "a folder",
        () if kind.is_symlink() => "a link",
        () if kind.is_fifo() => "a fifo",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// Opens a file for reading in a place where others may make files too. It accepts no link, no fifo and
/// nothing that waits; only a file of one of `owners` that no one else can write. The file may be truncated
/// while it is read, so do not map it.
///
/// # Errors
/// It is something else, another user's, or cannot be opened.
pub fn open_shared(path: &Path, owners: &FileOwners) -> io::Result<File> {
    let refuse = |why: String| Err(io::Error::new(ErrorKind::PermissionDenied, why));
    let judge = |metadata: &Metadata| match metadata.file_type() {
        kind if !kind.is_file() => {
            let what = kind_of(kind);
            Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("it is {what}, and must be a file: find out who made it"),
            ))
        }
        _ if !owners.has(metadata.uid()) => refuse(format!(
            "it is {}'s, who is neither root nor the user of these processes: it is not trusted; find out \
             who made it",
            named(metadata.uid())
        )),
        _ if owners.0.is_some() && metadata.permissions().mode() & OTHERS_WRITE != 0 => {
            let mode = metadata.permissions().mode() & 0o777;
            refuse(format!(
                "its mode is {mode:o}, so that others may write it: it is not trusted; chmod go-w it"
            ))
        }
        _ => Ok(()),
    };
    // Checked before it is opened, because opening a device may have an effect; and checked afterwards,
    // because it may be another file by then.
    judge(&path.symlink_metadata()?)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    judge(&file.metadata()?)?;
    Ok(file)
}

/// Refuses a file or folder that is another user's, or whose mode has one of the bits `forbidden`. The error
/// names the user who should run the command, or the right mode; it does not propose to remove the file.
///
/// # Errors
/// It is another user's, or others may access it.
pub fn check(metadata: &Metadata, path: &Path, forbidden: u32) -> Result<(), IoError> {
    let user = own_user();
    let mode = metadata.permissions().mode() & 0o777;
    let shown = path.display();
    let (doing, why) = match (metadata.uid() == user, mode & forbidden) {
        (true, 0) => return Ok(()),
        (true, bits) => {
            let (others, taken) = match bits & OTHERS_WRITE == bits {
                true => ("may write", "go-w"),
                false => ("may touch", "go="),
            };
            let doing = format!("trust {shown}: others {others} it (mode {mode:o}); `chmod {taken} {shown}`");
            (doing, "others may touch it")
        }
        (false, _) => {
            let doing = format!("trust {shown}: {}", of_another(path, metadata, OwnUse::Writes));
            (doing, "it is another user's")
        }
    };
    Err(IoError::because(doing, ErrorKind::PermissionDenied, why))
}

/// How this process would use a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnUse {
    /// It only reads the file.
    Reads,
    /// It writes the file, or makes files beside it.
    Writes,
}

/// The remedy for a file or folder of another user: its owner, and the command of that user. No message
/// proposes to give up a key or a journal.
fn of_another(path: &Path, metadata: &Metadata, usage: OwnUse) -> String {
    let owner = FileOwner { user: metadata.uid(), group: metadata.gid() };
    let (user, shown) = (own_user(), path.display());
    let begin = format!("it is {}'s, and this process runs as {}", named(owner.user), named(user));
    let is_open = path.parent().and_then(|folder| folder.metadata().ok()).is_some_and(|folder| {
        // In a folder like /dev/shm any user may have made the file.
        folder.permissions().mode() & OTHERS_WRITE != 0
    });
    match (owner.user, usage) {
        (0, _) => {
            let recursive = if metadata.is_dir() { "-R " } else { "" };
            format!("{begin}: as root, `chown {recursive}{} {shown}`", users::for_chown(user))
        }
        (_, OwnUse::Writes) if is_open => format!(
            "{begin}: if the daemons run as {}, run `{}`; if not, another user has put it there: name \
             another path",
            named(owner.user),
            command_as(owner)
        ),
        (_, OwnUse::Writes) if user == 0 => {
            format!("{begin}, whose files the daemons could not use: run `{}`", command_as(owner))
        }
        _ => format!("{begin}: run `{}`", command_as(owner)),
    }
}

/// Makes a folder that is this user's alone, and those above it, if it does not exist.
///
/// # Errors
/// It is another user's, or others may write in it, or the file system refuses it; the error begins with
/// `doing`.
pub fn make_folder(folder: &Path, doing: &str) -> Result<(), IoError> {
    let wrong = |error| IoError::new(doing.to_owned(), error);
    DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(wrong)?;
    check(&folder.symlink_metadata().map_err(wrong)?, folder, OTHERS_WRITE)
}

/// The text of a secret: a file that only this user and root can read or change, of at most `len_max` bytes.
/// `missing` names the command that makes it. The memory of the text is overwritten when it is dropped.
///
/// # Errors
/// It is something else, or cannot be read; the error begins with `doing`.
pub fn read(path: &Path, doing: &str, missing: &str, len_max: u64) -> Result<Zeroizing<String>, IoError> {
    let wrong = |error| IoError::new(doing.to_owned(), error);
    let refused = |why: String| IoError::because(doing.to_owned(), ErrorKind::PermissionDenied, why);
    let (file, metadata, found) = open_placed(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => IoError::new(format!("{doing}{missing}"), error),
        _ => wrong(error),
    })?;
    judge_secret(&metadata, &found).map_err(refused)?;
    text_of(file, &metadata, len_max).map_err(wrong)
}

/// The text of a file that every user may read and only this user and root can change, of at most `len_max`
/// bytes: public keys, for instance.
///
/// # Errors
/// It is something else, or cannot be read; the error begins with `doing`.
pub fn read_public(path: &Path, doing: &str, len_max: u64) -> Result<Zeroizing<String>, IoError> {
    let wrong = |error| IoError::new(doing.to_owned(), error);
    let refused = |why: String| IoError::because(doing.to_owned(), ErrorKind::PermissionDenied, why);
    let (file, metadata, found) = open_placed(path).map_err(wrong)?;
    judge_owner(&metadata, &found).map_err(refused)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS_WRITE != 0 {
        return Err(refused(format!("others may write it (mode {mode:o}); chmod 644 it")));
    }
    text_of(file, &metadata, len_max).map_err(wrong)
}

fn text_of(file: File, metadata: &Metadata, len_max: u64) -> io::Result<Zeroizing<String>> {
    if metadata.len() > len_max {
        let why = format!("it has {} bytes, and {len_max} are the most", metadata.len());
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    // A text that grows would leave parts of itself in freed memory. A file that grows meanwhile is truncated
    // here, and refused.
    let mut text = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    file.take(metadata.len()).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a file is this user's or root's. Root also trusts another user's file if only that user or root
/// can have put it there: a command of root trusts the user of the cluster that it looks at.
fn judge_owner(metadata: &Metadata, found: &Path) -> Result<(), String> {
    let owner = metadata.uid();
    if is_own_or_roots(metadata) {
        return Ok(());
    }
    if own_user() != 0 {
        return Err(of_another(found, metadata, OwnUse::Reads));
    }
    match placed_by_another(found, owner) {
        None => Ok(()),
        Some((folder, why)) => Err(format!(
            "it is {}'s, and others may have put it there: the folder {} {why}",
            named(owner),
            folder.display()
        )),
    }
}

fn is_own_or_roots(metadata: &Metadata) -> bool {
    metadata.uid() == own_user() || metadata.uid() == 0
}

/// The folder through which a user other than `owner` and root can have put a file at this path, and how.
/// Above the file's own folder, a sticky folder, in which all make entries and change only their own, is
/// harmless.
fn placed_by_another(found: &Path, owner: u32) -> Option<(PathBuf, String)> {
    let folder = match found.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unknown = |error: io::Error| (folder.to_path_buf(), format!("cannot be looked at: {error}"));
    let whole = match folder.canonicalize() {
        Ok(whole) => whole,
        Err(error) => return Some(unknown(error)),
    };
    whole.ancestors().enumerate().find_map(|(above, at)| {
        let metadata = match at.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return Some(unknown(error)),
        };
        let mode = metadata.permissions().mode();
        let is_sticky = above > 0 && mode & libc::S_ISVTX != 0;
        let why = match metadata.uid() {
            other if other != owner && other != 0 => format!("is {}'s", named(other)),
            _ if mode & OTHERS_WRITE != 0 && !is_sticky => {
                format!("may be written by others (mode {:o}); `chmod go-w {}`", mode & 0o7777, at.display())
            }
            _ => return None,
        };
        Some((at.to_path_buf(), why))
    })
}

/// Whether only this user and root can read or change a secret. One of root's may be lent to a group, as an
/// orchestrator does for a user who is not root (mode 0440 or 0640); one of this user's own may not.
fn judge_secret(metadata: &Metadata, found: &Path) -> Result<(), String> {
    judge_owner(metadata, found)?;
    // SAFETY: a call without arguments that cannot fail.
    let group = unsafe { libc::getegid() };
    let is_lent = metadata.uid() == 0 && (own_user() != 0 || metadata.gid() != group);
    let (forbidden, mode) = (if is_lent { 0o037 } else { OTHERS }, metadata.permissions().mode() & 0o777);
    match mode & forbidden {
        0 => Ok(()),
        _ => Err(format!(
            "others may read it (mode {mode:o}); chmod 600 it, or let who mounts it give it to root and to this process's \
             group with mode 440 (Kubernetes: defaultMode and fsGroup; Docker: uid, gid and mode of the secret)"
        )),
    }
}

/// The most links that are followed.
const LINKS_MAX: usize = 16;

/// Opens a file in a place of this user, root or an orchestrator, and returns its metadata and real path.
/// Links are followed, because mounted secrets and configurations consist of them; but only if no one else
/// can redirect them. The caller judges the file.
///
/// # Errors
/// It is not a file, or cannot be opened; others may change where a link leads.
fn open_placed(path: &Path) -> io::Result<(File, Metadata, PathBuf)> {
    let denied = |error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied if error.raw_os_error().is_some() => {
            io::Error::new(ErrorKind::PermissionDenied, why_denied(path, &error))
        }
        _ => error,
    };
    let found = followed(path).map_err(denied)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let kind = found.symlink_metadata().map_err(denied)?.file_type();
    let refuse = |kind| {
        let why = format!("it is {}, and has to be a file", kind_of(kind));
        Err(io::Error::new(ErrorKind::InvalidData, why))
    };
    if !kind.is_file() {
        return refuse(kind);
    }
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&found).map_err(denied)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata, found)) } else { refuse(metadata.file_type()) }
}

/// Whether something exists at this path. A place that this user may not look at does not count as missing.
///
/// # Errors
/// The system does not report it; the text names the owner of the place, and the command of that user.
pub fn is_there(path: &Path) -> Result<bool, IoError> {
    path.try_exists().map_err(|error| {
        let (doing, kind) = (format!("look at {}", path.display()), error.kind());
        match kind {
            ErrorKind::PermissionDenied => IoError::because(doing, kind, why_denied(path, &error)),
            _ => IoError::new(doing, error),
        }
    })
}

/// The remedy where the system does not let this user read a file: the owner of the file, or of the folder
/// that leads to it.
fn why_denied(path: &Path, error: &io::Error) -> String {
    let seen = path.ancestors().find_map(|at| Some((at, at.metadata().ok()?)));
    match seen {
        Some((at, metadata)) if metadata.uid() != own_user() => {
            let which = if at == path { String::new() } else { format!("the folder {}: ", at.display()) };
            format!("{error}: {which}{}", of_another(at, &metadata, OwnUse::Reads))
        }
        _ => error.to_string(),
    }
}

/// The path to which `path` leads, link by link. A path without a link stays as it is, and its folders are
/// not judged. From the first link on, no one else may be able to change an entry that is followed.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut left: Vec<OsString> = components(path);
    let (mut at, mut links) = (PathBuf::from(if path.is_absolute() { "/" } else { "." }), 0);
    while let Some(name) = left.pop() {
        let next = at.join(&name);
        let metadata = next.symlink_metadata()?;
        if !metadata.is_symlink() {
            if links > 0 {
                judge_entry(&at, &next, &metadata, left.is_empty())?;
            }
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "it is a link that leads through too many others",
            ));
        }
        judge_entry(&at, &next, &metadata, false)?;
        let target = std::fs::read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        left.extend(components(&target));
    }
    Ok(at)
}

/// The parts of a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
    let mut parts: Vec<OsString> = parts.map(|part| part.as_os_str().to_owned()).collect();
    parts.reverse();
    parts
}

/// Whether only this user and root can replace `entry` in `folder`. An orchestrator puts its links into a
/// sticky folder, in which all may make entries and change only their own; the file itself must not lie in
/// one.
fn judge_entry(folder: &Path, entry: &Path, metadata: &Metadata, is_last: bool) -> io::Result<()> {
    let of_folder = folder.metadata()?;
    let mode = of_folder.permissions().mode();
    let is_sticky = mode & libc::S_ISVTX != 0;
    let of = |metadata: &Metadata| format!("it is {}'s", named(metadata.uid()));
    let why = match (is_own_or_roots(&of_folder), is_own_or_roots(metadata)) {
        (false, _) => format!("the folder {}: {}", folder.display(), of(&of_folder)),
        (_, false) => format!("{}: {}", entry.display(), of(metadata)),
        _ if mode & OTHERS_WRITE != 0 && (!is_sticky || is_last) => {
            format!("others may write the folder {} (mode {:o})", folder.display(), mode & 0o7777)
        }
        _ => return Ok(()),
    };
    let text = format!(
        "it is a link that others may lead elsewhere: {why}; name the file itself, or put it where root alone writes"
    );
    Err(io::Error::new(ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests;
