//! Sends from a file to a socket, without a copy in this process.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Sends up to `len` bytes of `file` from `offset` on; returns how many the socket took.
///
/// # Errors
/// `WouldBlock` while the socket is full; `InvalidInput` where this file system cannot do it.
pub(super) fn send_file(to: &impl AsRawFd, file: &File, offset: u64, len: usize) -> io::Result<usize> {
    let mut at = offset as libc::off_t;
    // SAFETY: both descriptors are open during the call, and `at` is local; no other memory is involved: the
    // kernel moves pages.
    let sent = unsafe { libc::sendfile(to.as_raw_fd(), file.as_raw_fd(), &raw mut at, len) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}
