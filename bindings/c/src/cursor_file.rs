//! The file in which a reader stores how far it has read.

use crate::guard::{Guarded, Handle, guarded, number, status, store, text, with};
use crate::status::{Failure, lockstep_status};
use crate::types::{lockstep_cursor, lockstep_start, start};
use lockstep_client::CursorFile;
use std::ffi::c_char;

/// The file in which a program stores the cursor behind what it has processed, for its next start. Each save
/// replaces it as a whole, and one process has it at a time, by a lock on the file beside it whose name ends
/// with `.lock`. What a program had processed since the last save comes again after a crash.
#[derive(Debug)]
pub struct lockstep_cursor_file(Guarded<CursorFile>);

impl Handle for lockstep_cursor_file {
    type State = CursorFile;

    fn guard(&self) -> &Guarded<CursorFile> {
        &self.0
    }
}

/// Opens the file at `path` and reads its cursor; a file that is absent has none, and is created by the first
/// save. `LOCKSTEP_STATUS_IN_USE`: somebody else has it open. `LOCKSTEP_STATUS_ARGUMENT`: it has anything but
/// a whole cursor.
///
/// # Safety
/// `path` ends with 0, and `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_file_open(
    path: *const c_char,
    out: *mut *mut lockstep_cursor_file,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises. Until there is a handle, there is none.
        unsafe { store("out", out, std::ptr::null_mut()) }?;
        // SAFETY: as the caller promises.
        let path = unsafe { text("path", path) }?;
        let file = Box::new(lockstep_cursor_file(Guarded::new(CursorFile::open(path)?)));
        // SAFETY: as the caller promises.
        unsafe { store("out", out, Box::into_raw(file)) }
    }))
}

/// Stores the cursor that was read or saved last at `out`. Returns 1, or 0 if there is none so far (then
/// nothing is stored), or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `file` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_file_cursor(
    file: *mut lockstep_cursor_file,
    out: *mut lockstep_cursor,
) -> i64 {
    // SAFETY: as the caller promises.
    let stored = unsafe {
        with(file, |file| match file.cursor() {
            Some(cursor) => store("out", out, cursor.into()).map(|()| 1),
            None => Ok(0),
        })
    };
    number(stored)
}

/// Stores at `out` where a subscription begins: at the cursor, or at `otherwise` (NULL: live) if there is
/// none. A cursor of another history or log ends the subscription, and never begins anew.
///
/// # Safety
/// `file` is NULL or a handle that is not closed; `otherwise` is NULL or points to a start; `out` may be
/// written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_file_start_or(
    file: *mut lockstep_cursor_file,
    otherwise: *const lockstep_start,
    out: *mut lockstep_start,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let chosen = unsafe {
        with(file, |file| {
            let otherwise = otherwise.as_ref().copied().unwrap_or_default();
            start(&otherwise)?;
            store("out", out, file.cursor().map_or(otherwise, |cursor| lockstep_start::at(cursor.into())))
        })
    };
    status(chosen)
}

/// Replaces the stored cursor. When it returns `LOCKSTEP_STATUS_OK`, the new one is on the disk: that takes
/// up to some milliseconds. To save the cursor that is stored already costs nothing. After a failure the file
/// has the previous cursor or this one.
///
/// # Safety
/// `file` is NULL or a handle that is not closed; `cursor` points to a cursor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_file_save(
    file: *mut lockstep_cursor_file,
    cursor: *const lockstep_cursor,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let saved = unsafe {
        with(file, |file| {
            let cursor = cursor.as_ref().ok_or_else(|| Failure::argument("cursor", "is NULL"))?;
            Ok(file.save((*cursor).into())?)
        })
    };
    status(saved)
}

/// Frees the handle, gives the file to others, and sets `*file` to NULL. It saves nothing.
///
/// # Safety
/// `*file` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_file_close(file: *mut *mut lockstep_cursor_file) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close(file) };
}
