//! The names of a handle that only reads: each call is that of a participant.

use crate::endpoint::lockstep_endpoint;
use crate::participant::*;
use crate::status::lockstep_status;
use crate::types::{delivery, lockstep_batch, lockstep_cursor, lockstep_on_event, lockstep_start, start};
use lockstep_client::Subscriber;
use lockstep_flat::FlatHandle;
use std::ffi::c_void;

/// Delivers the stream: a `lockstep_participant` that only reads.
pub type lockstep_subscriber = lockstep_participant;

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
    // SAFETY: as the caller promises.
    unsafe {
        connected(out, || {
            let start = self::start(&start.as_ref().copied().unwrap_or_default())?;
            let endpoint = crate::endpoint::endpoint(endpoint)?;
            Ok(FlatHandle::Subscriber(Subscriber::connect(endpoint, self::delivery(delivery)?, start)?))
        })
    }
}

/// [`lockstep_participant_close`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_close(subscriber: *mut *mut lockstep_subscriber) {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_close(subscriber) }
}

/// [`lockstep_participant_wait`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_wait(
    subscriber: *mut lockstep_subscriber,
    timeout_ns: u64,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_wait(subscriber, timeout_ns) }
}

/// [`lockstep_participant_fd`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_fd(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_fd(subscriber) }
}

/// [`lockstep_participant_due`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_due(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_due(subscriber) }
}

/// [`lockstep_participant_begin`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_begin(
    subscriber: *mut lockstep_subscriber,
    timeout_ns: u64,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_begin(subscriber, timeout_ns, on_event, context) }
}

/// [`lockstep_participant_deliver_next`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_deliver_next(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_deliver_next(subscriber) }
}

/// [`lockstep_participant_commit_next`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_commit_next(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_commit_next(subscriber) }
}

/// [`lockstep_participant_is_ended`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_is_ended(subscriber: *mut lockstep_subscriber) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_is_ended(subscriber) }
}

/// [`lockstep_participant_cursor`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_cursor(
    subscriber: *mut lockstep_subscriber,
    out: *mut lockstep_cursor,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_cursor(subscriber, out) }
}

/// [`lockstep_participant_poll`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_poll(
    subscriber: *mut lockstep_subscriber,
    limit: usize,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_poll(subscriber, limit, on_event, context) }
}

/// [`lockstep_participant_poll_batch`] of a subscriber.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_subscriber_poll_batch(
    subscriber: *mut lockstep_subscriber,
    limit: usize,
    out: *mut lockstep_batch,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_poll_batch(subscriber, limit, out) }
}
