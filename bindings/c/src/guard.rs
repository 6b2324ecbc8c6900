//! The frame around the work of each function: no panic crosses, NULL is refused, and so is a handle of
//! another process; a failure gets its text.

use crate::status::{Failure, lockstep_status};
use lockstep_client::internal::{ELSEWHERE, MadeIn};
use std::ffi::{CStr, c_char};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A handle, the process that it belongs to, and whether a call of it has panicked.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    inner: ManuallyDrop<T>,
    born: MadeIn,
    has_panicked: bool,
}

impl<T> Drop for Guarded<T> {
    /// In a child the handle is the parent's: what its end would do there, it would do to the parent. The
    /// child's copies of its sockets go with the child.
    fn drop(&mut self) {
        if self.born.is_here() {
            // SAFETY: this is its only end, and nobody uses it behind that.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
    }
}

impl<T> Guarded<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner: ManuallyDrop::new(inner), born: MadeIn::here(), has_panicked: false }
    }

    /// Does `work` with the handle, if there is one.
    #[inline]
    pub(crate) fn with<R>(
        handle: Option<&mut Self>,
        work: impl FnOnce(&mut T) -> Result<R, Failure>,
    ) -> Result<R, lockstep_status> {
        let Some(guarded) = handle else {
            let why = "the handle is NULL: it was closed, or never connected";
            return Err(Failure::new(lockstep_status::ClosedHandle, why).report());
        };
        if !guarded.born.is_here() {
            return Err(Failure::new(lockstep_status::OtherProcess, ELSEWHERE).report());
        }
        if guarded.has_panicked {
            let why = "a call with this handle has panicked before: close it, and connect anew";
            return Err(Failure::new(lockstep_status::Panic, why).report());
        }
        match catch_unwind(AssertUnwindSafe(|| work(&mut guarded.inner))) {
            Ok(result) => result.map_err(Failure::report),
            Err(panic) => {
                guarded.has_panicked = true;
                Err(of_panic(panic.as_ref()).report())
            }
        }
    }
}

fn of_panic(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    Failure::new(lockstep_status::Panic, format!("lockstep has panicked, which is a defect: {text}"))
}

/// Does `work` that has no handle yet.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R, Failure>) -> Result<R, lockstep_status> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Failure::report),
        Err(panic) => Err(of_panic(panic.as_ref()).report()),
    }
}

/// The code of a call that returns only that.
pub(crate) fn status(result: Result<(), lockstep_status>) -> lockstep_status {
    result.err().unwrap_or(lockstep_status::Ok)
}

/// The number of a call that returns one.
pub(crate) fn number(result: Result<usize, lockstep_status>) -> i64 {
    match result {
        Ok(count) => count as i64,
        Err(status) => -i64::from(status as i32),
    }
}

/// Stores a result at `out`.
///
/// # Safety
/// `out` is NULL, or may be written to.
pub(crate) unsafe fn store<T>(name: &str, out: *mut T, value: T) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    // SAFETY: not NULL, and as the caller promises.
    unsafe { out.write(value) };
    Ok(())
}

/// Stores a result at `out`, where the caller wants it.
///
/// # Safety
/// `out` is NULL, or may be written to.
pub(crate) unsafe fn store_wanted<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL, and as the caller promises.
        unsafe { out.write(value) };
    }
}

/// The text at `text`.
///
/// # Safety
/// `text` is NULL, or points to a text that ends with 0 and is left alone for `'a`.
pub(crate) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    // SAFETY: not NULL, and as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::argument(name, "is not UTF-8"))
}

/// The bytes at `bytes`. NULL with a length of 0 is an empty slice.
///
/// # Safety
/// `bytes` is NULL, or points to `len` bytes that are left alone for `'a`.
pub(crate) unsafe fn slice<'a>(name: &str, bytes: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    match (bytes.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::argument(name, "is NULL")),
        // SAFETY: not NULL, and as the caller promises.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(bytes, len) }),
    }
}

/// Frees what `*handle` points to, and sets it to NULL.
///
/// # Safety
/// `handle` is NULL, or `*handle` is NULL or came from `Box::into_raw` and is used by nobody else.
pub(crate) unsafe fn close<T>(handle: *mut *mut T) {
    // SAFETY: as the caller promises.
    let Some(handle) = (unsafe { handle.as_mut() }) else { return };
    let owned = std::mem::replace(handle, std::ptr::null_mut());
    if !owned.is_null() {
        // SAFETY: as the caller promises.
        let owned = unsafe { Box::from_raw(owned) };
        // Sockets are closed; there is nobody to whom a panic could be reported.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
    }
}
