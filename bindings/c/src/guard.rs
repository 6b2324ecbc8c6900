//! The frame around the work of each function: no panic crosses, NULL is refused, and so are a handle of
//! another process and one that a call has already; a failure gets its text.
//!
//! ```text
//!   a call ─▶ takes the handle ─▶ work ─▶ gives it back ─▶ frees it, if a callback has closed it
//!                 └─ taken already: by this thread's poll: a callback may publish, nothing else
//!                                   by another thread: refused
//! ```

use crate::status::{Failure, lockstep_status};
use lockstep_client::internal::{ELSEWHERE, MadeIn, PublisherCore};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_char};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No call has the handle.
const FREE: usize = 0;
/// It is closed: whoever has it last frees it. No thread's token has this bit.
const CLOSED: usize = 1;

/// A handle, the process that it belongs to, who has it, and whether a call of it has panicked.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    inner: UnsafeCell<ManuallyDrop<T>>,
    /// The thread whose call has it, or [`FREE`]; with [`CLOSED`].
    user: AtomicUsize,
    /// What that call's callback publishes with, while it runs.
    lent: Cell<Option<NonNull<PublisherCore>>>,
    born: MadeIn,
    has_panicked: Cell<bool>,
}

impl<T> Drop for Guarded<T> {
    /// In a child the handle is the parent's: what its end would do there, it would do to the parent. The
    /// child's copies of its sockets go with the child.
    fn drop(&mut self) {
        if self.born.is_here() {
            // SAFETY: this is its only end, and nobody uses it behind that.
            unsafe { ManuallyDrop::drop(self.inner.get_mut()) };
        }
    }
}

/// A handle as C has it.
pub(crate) trait Handle {
    /// What a call works with.
    type State;

    fn guard(&self) -> &Guarded<Self::State>;
}

/// One that may publish.
pub(crate) trait Publishes: Handle {
    /// What it publishes with.
    ///
    /// # Errors
    /// It lacks the half that publishes.
    fn publisher(state: &mut Self::State) -> Result<&mut PublisherCore, Failure>;
}

/// What distinguishes this thread from all others that run: the address of something of its own. It is even.
#[inline]
fn this_thread() -> usize {
    thread_local! { static PLACE: u64 = const { 0 } }
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

impl<T> Guarded<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner: UnsafeCell::new(ManuallyDrop::new(inner)),
            user: AtomicUsize::new(FREE),
            lent: Cell::new(None),
            born: MadeIn::here(),
            has_panicked: Cell::new(false),
        }
    }

    /// Runs a callback, which may publish with `publisher` meanwhile.
    #[inline]
    pub(crate) fn lend<R>(&self, publisher: &mut PublisherCore, callback: impl FnOnce() -> R) -> R {
        self.lent.set(Some(NonNull::from(publisher)));
        let result = callback();
        self.lent.set(None);
        result
    }

    /// Takes the handle for a call.
    #[inline]
    fn take(&self) -> Result<(), Failure> {
        let me = this_thread();
        match self.user.compare_exchange(FREE, me, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(user) => Err(in_use(user & !CLOSED == me)),
        }
    }
}

#[cold]
fn in_use(by_callback: bool) -> Failure {
    let why = match by_callback {
        true => {
            "a callback calls back into the handle whose poll runs it: it may publish, claim and close; the rest waits \
             until the poll has ended"
        }
        false => "another thread is in a call with this handle: a handle belongs to one thread at a time",
    };
    Failure::new(lockstep_status::InUse, why)
}

/// The guard of a handle of this process that has not panicked.
///
/// # Safety
/// `handle` is NULL or a handle that is not freed.
#[inline]
unsafe fn guard_of<'a, H: Handle + 'a>(handle: *mut H) -> Result<&'a Guarded<H::State>, Failure> {
    // SAFETY: as the caller promises.
    let Some(handle) = (unsafe { handle.as_ref() }) else {
        let why = "the handle is NULL: it was closed, or never connected";
        return Err(Failure::new(lockstep_status::ClosedHandle, why));
    };
    let guard = handle.guard();
    if !guard.born.is_here() {
        return Err(Failure::new(lockstep_status::OtherProcess, ELSEWHERE));
    }
    Ok(guard)
}

/// Does `work` with the handle, if there is one.
///
/// # Safety
/// `handle` is NULL or a handle that is not freed.
#[inline]
pub(crate) unsafe fn with<H: Handle, R>(
    handle: *mut H,
    work: impl FnOnce(&mut H::State) -> Result<R, Failure>,
) -> Result<R, lockstep_status> {
    // SAFETY: as the caller promises.
    let guard = unsafe { guard_of(handle) }.map_err(Failure::report)?;
    guard.take().map_err(Failure::report)?;
    let result = if guard.has_panicked.get() {
        let why = "a call with this handle has panicked before: close it, and connect anew";
        Err(Failure::new(lockstep_status::Panic, why))
    } else {
        // SAFETY: this call has taken the handle, so nobody else has a reference to what is in it.
        let state = unsafe { &mut *guard.inner.get() };
        catch_unwind(AssertUnwindSafe(|| work(state))).unwrap_or_else(|panic| {
            guard.has_panicked.set(true);
            Err(of_panic(panic.as_ref()))
        })
    };
    let gave_back = guard.user.compare_exchange(this_thread(), FREE, Ordering::Release, Ordering::Acquire);
    if gave_back.is_err() {
        // SAFETY: it was closed while this call had it, and so nobody uses it again.
        unsafe { free(handle) };
    }
    result.map_err(Failure::report)
}

/// Whether a callback of this handle asks, which may publish.
///
/// # Safety
/// `handle` is NULL or a handle that is not freed.
pub(crate) unsafe fn is_lent<H: Handle>(handle: *mut H) -> bool {
    // SAFETY: as the caller promises.
    let guard = unsafe { guard_of(handle) };
    guard.is_ok_and(|guard| {
        guard.user.load(Ordering::Relaxed) & !CLOSED == this_thread() && guard.lent.get().is_some()
    })
}

/// Does `work` with what publishes: also in a callback of this handle.
///
/// # Safety
/// `handle` is NULL or a handle that is not freed.
#[inline]
pub(crate) unsafe fn with_publisher<H: Publishes, R>(
    handle: *mut H,
    work: impl FnOnce(&mut PublisherCore) -> Result<R, Failure>,
) -> Result<R, lockstep_status> {
    // SAFETY: as the caller promises.
    let guard = unsafe { guard_of(handle) }.map_err(Failure::report)?;
    if guard.user.load(Ordering::Relaxed) & !CLOSED == this_thread()
        && let Some(mut lent) = guard.lent.get()
    {
        // SAFETY: the poll that runs the callback in which we are has lent it, and does not touch it before
        // that returns; this thread is in no other call.
        let publisher = unsafe { lent.as_mut() };
        return match catch_unwind(AssertUnwindSafe(|| work(publisher))) {
            Ok(result) => result.map_err(Failure::report),
            Err(panic) => {
                guard.has_panicked.set(true);
                Err(of_panic(panic.as_ref()).report())
            }
        };
    }
    // SAFETY: as the caller promises.
    unsafe { with(handle, |state| work(H::publisher(state)?)) }
}

/// # Safety
/// `handle` came from `Box::into_raw`, is closed, and no call has it.
unsafe fn free<H>(handle: *mut H) {
    // SAFETY: as the caller promises.
    let owned = unsafe { Box::from_raw(handle) };
    // Sockets are closed; there is nobody to whom a panic could be reported.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
}

/// Frees what `*handle` points to, and sets it to NULL. In a callback of that handle it is freed when the
/// poll has ended.
///
/// # Safety
/// `handle` is NULL, or `*handle` is NULL or a handle that is not freed.
pub(crate) unsafe fn close<H: Handle>(handle: *mut *mut H) {
    // SAFETY: as the caller promises.
    let Some(owned) = (unsafe { taken(handle) }) else { return };
    // SAFETY: as the caller promises.
    let user = unsafe { (*owned).guard() }.user.fetch_or(CLOSED, Ordering::AcqRel);
    if user == FREE {
        // SAFETY: as the caller promises, and no call has it.
        unsafe { free(owned) };
    }
}

/// What `*handle` points to, which is NULL from now on.
///
/// # Safety
/// `handle` is NULL, or may be written to.
unsafe fn taken<T>(handle: *mut *mut T) -> Option<*mut T> {
    // SAFETY: as the caller promises.
    let handle = unsafe { handle.as_mut() }?;
    Some(std::mem::replace(handle, std::ptr::null_mut())).filter(|owned| !owned.is_null())
}

/// Frees what `*handle` points to, which no call guards, and sets it to NULL.
///
/// # Safety
/// `handle` is NULL, or `*handle` is NULL or came from `Box::into_raw` and is used by nobody else.
pub(crate) unsafe fn close_unguarded<T>(handle: *mut *mut T) {
    // SAFETY: as the caller promises.
    if let Some(owned) = unsafe { taken(handle) } {
        // SAFETY: as the caller promises.
        unsafe { free(owned) };
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
    // SAFETY: as the caller promises.
    unsafe { slice_of(name, bytes, len) }
}

/// The elements at `elements`. NULL with a length of 0 is an empty slice.
///
/// # Safety
/// `elements` is NULL, or points to `len` elements that are left alone for `'a`.
pub(crate) unsafe fn slice_of<'a, T>(name: &str, elements: *const T, len: usize) -> Result<&'a [T], Failure> {
    match (elements.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::argument(name, "is NULL")),
        // SAFETY: not NULL, and as the caller promises.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(elements, len) }),
    }
}
