//! Files and folders in places where other users may make files too, like `/dev/shm`.

use super::IoError;
use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Bits of a mode by which others may read, write or enter.
pub const OTHERS: u32 = 0o077;
/// Bits of a mode by which others may write.
pub const OTHERS_WRITE: u32 = 0o022;

/// Refuses a file or folder that is not this user's, or whose mode has one of the bits `forbidden`.
///
/// # Errors
/// It is another user's, or others may touch it.
pub fn check(metadata: &Metadata, path: &Path, forbidden: u32) -> Result<(), IoError> {
    // SAFETY: a call without arguments that cannot fail.
    let user = unsafe { libc::geteuid() };
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.uid() == user && mode & forbidden == 0 {
        return Ok(());
    }
    let owner = metadata.uid();
    let doing = format!(
        "trust {}: it is user {owner}'s with mode {mode:o}, and has to be user {user}'s alone (mode 700, \
         files 600); remove it, or run all processes of the cluster as one user",
        path.display()
    );
    Err(IoError::because(doing, ErrorKind::PermissionDenied, "others may touch it"))
}

/// Makes a folder that is this user's alone, with those above it, if it is not there.
///
/// # Errors
/// It is another user's, or others may write in it, or the file system refuses it; the error begins with
/// `doing`.
pub fn make_folder(folder: &Path, doing: &str) -> Result<(), IoError> {
    let wrong = |error| IoError::new(doing.to_owned(), error);
    DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(wrong)?;
    check(&folder.symlink_metadata().map_err(wrong)?, folder, OTHERS_WRITE)
}

/// The text of a file that is this user's alone, is no link and has at most `len_max` bytes. `missing` says
/// what makes it. The memory of the text is overwritten when it is dropped.
///
/// # Errors
/// It is something else, or cannot be read; the error begins with `doing`.
pub fn read(path: &Path, doing: &str, missing: &str, len_max: u64) -> Result<Zeroizing<String>, IoError> {
    let wrong = |error| IoError::new(doing.to_owned(), error);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => missing,
                _ if error.raw_os_error() == Some(libc::ELOOP) => "; it is a link, and has to be a file",
                _ => "",
            };
            IoError::new(format!("{doing}{remedy}"), error)
        })?;
    let metadata = file.metadata().map_err(wrong)?;
    if !metadata.is_file() || metadata.len() > len_max {
        return Err(IoError::because(
            doing.to_owned(),
            ErrorKind::InvalidData,
            "it is no key file".to_owned(),
        ));
    }
    check(&metadata, path, OTHERS)?;
    // A text that grows would leave parts of itself behind. A file that grows meanwhile is cut, and refused.
    let mut text = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    file.take(metadata.len()).read_to_string(&mut text).map_err(wrong)?;
    Ok(text)
}
