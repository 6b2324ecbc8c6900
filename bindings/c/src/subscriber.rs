//! The handle that reads.

use crate::endpoint::lockstep_endpoint;
use crate::guard::{Guarded, Handle, guarded, number, status, store, with};
use crate::status::lockstep_status;
use crate::types::{
    delivery, give, lockstep_batch, lockstep_cursor, lockstep_on_event, lockstep_start, start,
};
use lockstep_client::Subscriber;
use lockstep_flat::{Batch, FlatEvent};
use std::ffi::c_void;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Delivers the stream.
#[derive(Debug)]
pub struct lockstep_subscriber(Guarded<State>);

#[derive(Debug)]
pub(crate) struct State {
    handle: Subscriber,
    batch: Batch,
}

/// Opens the sockets and joins the groups of the cluster of `endpoint`. The stream begins at `start` with the
/// first poll. `delivery` is a `lockstep_delivery`.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that is not closed; `start` is NULL (live) or points to a start; `out`
/// may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_connect(
    endpoint: *const lockstep_endpoint,
    start: *const lockstep_start,
    delivery: u32,
    out: *mut *mut lockstep_subscriber,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises. Until there is a handle, there is none.
        unsafe { store("out", out, std::ptr::null_mut()) }?;
        // SAFETY: as the caller promises.
        let start = self::start(&unsafe { start.as_ref() }.copied().unwrap_or_default())?;
        // SAFETY: as the caller promises.
        let endpoint = unsafe { crate::endpoint::endpoint(endpoint) }?;
        let handle = Subscriber::connect(endpoint, self::delivery(delivery)?, start)?;
        let state = Guarded::new(State { handle, batch: Batch::new() });
        // SAFETY: as the caller promises.
        unsafe { store("out", out, Box::into_raw(Box::new(lockstep_subscriber(state)))) }
    }))
}

/// Frees the handle, closes its sockets, and sets `*subscriber` to NULL.
///
/// # Safety
/// `*subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_close(subscriber: *mut *mut lockstep_subscriber) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close(subscriber) };
}

impl Handle for lockstep_subscriber {
    type State = State;

    fn guard(&self) -> &Guarded<State> {
        &self.0
    }
}

/// Sleeps until there is something to poll for, or until `timeout_ns` have elapsed. Returns 1 if a datagram
/// has arrived, 0 if not, or a failure as a negative `lockstep_status`. Poll in either case.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_wait(
    subscriber: *mut lockstep_subscriber,
    timeout_ns: u64,
) -> i64 {
    // SAFETY: as the caller promises.
    let waited =
        unsafe { with(subscriber, |state| Ok(state.handle.wait(Duration::from_nanos(timeout_ns))?)) };
    number(waited.map(usize::from))
}

/// One descriptor that is readable while the handle has datagrams to read: for poll, epoll, an event loop.
/// Poll the handle when it is readable until a poll returns 0, and after [`lockstep_subscriber_due`] at the
/// latest. A failure is a negative `lockstep_status`. The handle owns the descriptor.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_fd(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(subscriber, |state| Ok(state.handle.as_raw_fd() as usize)) })
}

/// Nanoseconds until the handle must be polled again, although nothing arrives; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_due(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe {
        with(subscriber, |state| Ok(state.handle.due().as_nanos().min(i64::MAX as u128) as usize))
    })
}

/// Polls until the subscription has its position, at most for `timeout_ns`; `on_event` (NULL: nobody)
/// receives the events of these polls. A live subscription delivers what is published after it.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_begin(
    subscriber: *mut lockstep_subscriber,
    timeout_ns: u64,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let begun = unsafe {
        with(subscriber, |state| {
            let timeout = Duration::from_nanos(timeout_ns);
            Ok(state.handle.begin(timeout, |event| on(&event, on_event, context))?)
        })
    };
    status(begun)
}

/// The next seq to be delivered; 0 before a live subscription has begun; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_deliver_next(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(subscriber, |state| Ok(state.handle.deliver_next() as usize)) })
}

/// The exclusive bound of what is final, as far as it was received here; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_commit_next(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(subscriber, |state| Ok(state.handle.commit_next() as usize)) })
}

/// 1 if the subscription has ended (the event before gave the reason), 0 if not, or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_is_ended(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(subscriber, |state| Ok(usize::from(state.handle.is_ended()))) })
}

/// Stores the position behind the last delivered event at `out`, for `LOCKSTEP_START_KIND_CURSOR`. Returns 1,
/// or 0 before the subscription has begun (then nothing is stored), or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_cursor(
    subscriber: *mut lockstep_subscriber,
    out: *mut lockstep_cursor,
) -> i64 {
    // SAFETY: as the caller promises.
    let stored = unsafe {
        with(subscriber, |state| match state.handle.cursor() {
            Some(cursor) => store("out", out, cursor.into()).map(|()| 1),
            None => Ok(0),
        })
    };
    number(stored)
}

/// One turn: receives, and calls `on_event` for at most `limit` messages and for every other event, in the
/// order of the stream. Never blocks. Returns the work done (0: an idle turn), or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_poll(
    subscriber: *mut lockstep_subscriber,
    limit: usize,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(subscriber, |state| Ok(state.handle.poll(limit, |event| on(&event, on_event, context))))
    };
    number(polled)
}

/// One turn as [`lockstep_subscriber_poll`], whose events are stored in memory of the handle: `*out`
/// describes it, until the next call with this handle. A batch has at most `limit` messages, and is full with
/// 256 KiB of payloads.
///
/// # Safety
/// `subscriber` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_poll_batch(
    subscriber: *mut lockstep_subscriber,
    limit: usize,
    out: *mut lockstep_batch,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(subscriber, |State { handle, batch }| {
            batch.clear();
            let work = handle.poll(limit, |event| batch.on_subscriber(&event));
            store("out", out, lockstep_batch::of(batch))?;
            Ok(work)
        })
    };
    number(polled)
}

/// Gives a subscriber's event to a callback of C.
#[inline]
fn on(
    event: &lockstep_client::SubscriberEvent<'_>,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> ControlFlow<()> {
    FlatEvent::of_subscriber(event)
        .map_or(ControlFlow::Continue(()), |(row, payload)| give(on_event, context, &row, payload))
}
