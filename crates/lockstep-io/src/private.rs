//! Files and folders in places where other users may make files too, like `/dev/shm`.

use super::IoError;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

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
