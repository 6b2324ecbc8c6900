//! The handle that publishes.

use crate::endpoint::lockstep_endpoint;
use crate::guard::{
    Guarded, Handle, Publishes, guarded, is_lent, number, slice, status, store, store_wanted, text, with,
    with_publisher,
};
use crate::status::{Failure, lockstep_status};
use crate::types::{give, lockstep_batch, lockstep_on_event, lockstep_outcomes};
use lockstep_client::internal::PublisherCore;
use lockstep_client::{DayMark, Publisher};
use lockstep_flat::{Batch, FlatEvent};
use std::ffi::{c_char, c_void};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Outcomes of one poll for which there is room from the start: those of the usual window, stamped and
/// committed.
pub(crate) const OUTCOMES_LEN: usize = 4_096;

/// Publishes messages into the stream.
#[derive(Debug)]
pub struct lockstep_publisher(Guarded<State>);

#[derive(Debug)]
pub(crate) struct State {
    handle: Publisher,
    batch: Batch,
    /// Outcomes of a poll, until it has ended.
    outcomes: Vec<FlatEvent>,
}

/// Opens the sockets and joins the groups of the cluster of `endpoint`.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_connect(
    endpoint: *const lockstep_endpoint,
    out: *mut *mut lockstep_publisher,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises. Until there is a handle, there is none.
        unsafe { store("out", out, std::ptr::null_mut()) }?;
        // SAFETY: as the caller promises.
        let handle = Publisher::connect(unsafe { crate::endpoint::endpoint(endpoint) }?)?;
        let state =
            Guarded::new(State { handle, batch: Batch::new(), outcomes: Vec::with_capacity(OUTCOMES_LEN) });
        // SAFETY: as the caller promises.
        unsafe { store("out", out, Box::into_raw(Box::new(lockstep_publisher(state)))) }
    }))
}

/// Frees the handle, closes its sockets, and sets `*publisher` to NULL. Messages without an outcome may be
/// stamped or not.
///
/// # Safety
/// `*publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_close(publisher: *mut *mut lockstep_publisher) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close(publisher) };
}

impl Handle for lockstep_publisher {
    type State = State;

    fn guard(&self) -> &Guarded<State> {
        &self.0
    }
}

impl Publishes for lockstep_publisher {
    fn publisher(state: &mut State) -> &mut PublisherCore {
        state.handle.core_mut()
    }
}

/// Sleeps until there is something to poll for, or until `timeout_ns` have elapsed. Sends what is written
/// first. Returns 1 if a datagram has arrived, 0 if not, or a failure as a negative `lockstep_status`. Poll
/// in either case.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_wait(publisher: *mut lockstep_publisher, timeout_ns: u64) -> i64 {
    // SAFETY: as the caller promises.
    let waited = unsafe { with(publisher, |state| Ok(state.handle.wait(Duration::from_nanos(timeout_ns))?)) };
    number(waited.map(usize::from))
}

/// One descriptor that is readable while the handle has datagrams to read: for poll, epoll, an event loop.
/// Poll the handle when it is readable until a poll returns 0, and after [`lockstep_publisher_due`] at the
/// latest. A failure is a negative `lockstep_status`. The handle owns the descriptor.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_fd(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(publisher, |state| Ok(state.handle.as_raw_fd() as usize)) })
}

/// Nanoseconds until the handle must be polled again, although nothing arrives; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_due(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe {
        with(publisher, |state| Ok(state.handle.due().as_nanos().min(i64::MAX as u128) as usize))
    })
}

/// Opens `name` and polls until it has its id, at most for `timeout_ns`. Events of these polls that concern
/// other names are lost; open names first.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `name` ends with 0; `out` may
/// be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_open(
    publisher: *mut lockstep_publisher,
    name: *const c_char,
    timeout_ns: u64,
    out: *mut u32,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let opened = unsafe {
        with(publisher, |state| {
            let timeout = Duration::from_nanos(timeout_ns);
            let id = state.handle.open(text("name", name)?, timeout)?;
            store("out", out, id)
        })
    };
    status(opened)
}

/// Copies a message of `len` bytes for `destination` into the open datagram and stores its number at `out`.
/// The next flush, poll or wait sends it. `LOCKSTEP_STATUS_BACKPRESSURE`: poll, and try again.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `payload` has `len` bytes;
/// `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_publish(
    publisher: *mut lockstep_publisher,
    id: u32,
    payload: *const u8,
    len: usize,
    destination: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let published = unsafe {
        with_publisher(publisher, |publishing| {
            let number = publishing.try_publish(id, destination, slice("payload", payload, len)?)?;
            store_wanted(out, number);
            Ok(())
        })
    };
    status(published)
}

/// Publishes a message under a number that the caller derives from its own state: a copy of the publisher may
/// have published it already. `LOCKSTEP_STATUS_AHEAD_OF_NUMBER` if what lies before it was neither handed in
/// here nor read in the stream: hand that in first, or, where a copy publishes it, poll and try again.
///
/// # Safety
/// As for [`lockstep_publisher_publish`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_publish_at(
    publisher: *mut lockstep_publisher,
    id: u32,
    number: u64,
    payload: *const u8,
    len: usize,
    destination: u32,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let published = unsafe {
        with_publisher(publisher, |publishing| {
            let payload = slice("payload", payload, len)?;
            publishing.try_publish_at(id, number, destination, payload)?;
            Ok(())
        })
    };
    status(published)
}

/// As [`lockstep_publisher_publish`], without a copy: stores at `payload` where the caller writes `len` bytes
/// before its next call with this handle. At most [`lockstep_publisher_claim_len_max`] bytes.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `payload` may be written to;
/// `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_claim(
    publisher: *mut lockstep_publisher,
    id: u32,
    payload: *mut *mut u8,
    len: usize,
    destination: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let claimed = unsafe {
        with_publisher(publisher, |publishing| {
            store("payload", payload, std::ptr::null_mut())?;
            let (number, memory) = publishing.try_claim(id, destination, len)?;
            store("payload", payload, memory.as_mut_ptr())?;
            store_wanted(out, number);
            Ok(())
        })
    };
    status(claimed)
}

/// Closes the publisher `id` behind all of its messages; the stream keeps `reason`. Its outcome is an event.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `reason` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_close_name(
    publisher: *mut lockstep_publisher,
    id: u32,
    reason: *const u8,
    len: usize,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let closed = unsafe {
        with_publisher(publisher, |publishing| Ok(publishing.try_close(id, slice("reason", reason, len)?)?))
    };
    status(closed)
}

/// Marks the start of the trading day `day`, a name of 1 to 16 ASCII letters and digits. The mark has a
/// number and an outcome like a message.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `day` ends with 0; `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_start_day(
    publisher: *mut lockstep_publisher,
    id: u32,
    day: *const c_char,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { mark_day(publisher, id, Some(day), out) }
}

/// Marks the end of the trading day. The mark has a number and an outcome like a message.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_end_day(
    publisher: *mut lockstep_publisher,
    id: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { mark_day(publisher, id, None, out) }
}

/// Marks the start of the trading day of this name, or without one the end.
///
/// # Safety
/// As for [`lockstep_publisher_start_day`].
pub(crate) unsafe fn mark_day<H: Publishes>(
    handle: *mut H,
    id: u32,
    day: Option<*const c_char>,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let marked = unsafe {
        with_publisher(handle, |publishing| {
            let name = day.map(|day| text("day", day)).transpose()?;
            if name.is_some_and(|name| !DayMark::is_name(name)) {
                return Err(Failure::argument("day", "is no name of 1 to 16 ASCII letters and digits"));
            }
            let mark = DayMark { is_start: name.is_some(), name: name.unwrap_or_default() };
            let number = publishing.try_day(id, mark, None)?;
            store_wanted(out, number);
            Ok(())
        })
    };
    status(marked)
}

/// Sends what is written. Returns the number of datagrams sent, or a failure as a negative `lockstep_status`.
/// In a callback it does nothing: what that publishes leaves when the poll ends.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_flush(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    if unsafe { is_lent(publisher) } {
        return 0;
    }
    // SAFETY: as the caller promises.
    number(unsafe { with(publisher, |state| Ok(state.handle.flush())) })
}

/// Stores at `out` what became of the messages so far. "Drained" says that each has an outcome, and not
/// which.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_outcomes(
    publisher: *mut lockstep_publisher,
    out: *mut lockstep_outcomes,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(unsafe { with_publisher(publisher, |publishing| store("out", out, publishing.outcomes().into())) })
}

/// 1 if every published message has its outcome, whichever (`lockstep_publisher_outcomes`), 0 if not, or a
/// failure as a negative `lockstep_status`.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_is_drained(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with_publisher(publisher, |publishing| Ok(usize::from(publishing.is_drained()))) })
}

/// 1 if the handle follows a leader's stream, 0 if not, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_is_connected(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(publisher, |state| Ok(usize::from(state.handle.is_connected()))) })
}

/// Bytes of the longest message for `destination`, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_message_len_max(
    publisher: *mut lockstep_publisher,
    destination: u32,
) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with_publisher(publisher, |publishing| Ok(publishing.message_len_max_for(destination))) })
}

/// Bytes of the longest message that can be claimed, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_claim_len_max(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with_publisher(publisher, |publishing| Ok(publishing.part_len_max())) })
}

/// One turn: receives, sends, and calls `on_event` for each outcome and every other event; at most `limit`
/// datagrams are read. Never blocks. Returns the work done (0: an idle turn), or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_poll(
    publisher: *mut lockstep_publisher,
    limit: usize,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(publisher, |State { handle, outcomes, .. }| {
            let work = handle.poll(limit, |event| outcomes.extend(FlatEvent::of_publisher(&event)));
            report(&(*publisher).0, handle.core_mut(), outcomes, on_event, context);
            Ok(work)
        })
    };
    number(polled)
}

/// One turn as [`lockstep_publisher_poll`], whose events are stored in memory of the handle: `*out` describes
/// it, until the next call with this handle. A batch has at most `limit` messages, and is full with 256 KiB
/// of payloads.
///
/// # Safety
/// `publisher` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_poll_batch(
    publisher: *mut lockstep_publisher,
    limit: usize,
    out: *mut lockstep_batch,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(publisher, |State { handle, batch, .. }| {
            batch.clear();
            let work = handle.poll(limit, |event| batch.on_publisher(&event));
            store("out", out, lockstep_batch::of(batch))?;
            Ok(work)
        })
    };
    number(polled)
}

/// Gives the outcomes of a poll to a callback of C, which may publish. There is nothing that it could leave
/// for the next poll.
pub(crate) fn report<T>(
    guard: &Guarded<T>,
    publisher: &mut PublisherCore,
    outcomes: &mut Vec<FlatEvent>,
    on_event: lockstep_on_event,
    context: *mut c_void,
) {
    for row in outcomes.drain(..) {
        let _ = guard.lend(publisher, || give(on_event, context, &row, &[]));
    }
}
