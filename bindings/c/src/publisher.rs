//! The names of a handle that only publishes: each call is that of a participant.

use crate::endpoint::lockstep_endpoint;
use crate::participant::*;
use crate::status::lockstep_status;
use crate::types::{lockstep_batch, lockstep_on_event, lockstep_outcomes};
use lockstep_client::Publisher;
use lockstep_flat::FlatHandle;
use std::ffi::{c_char, c_void};

/// Publishes messages into the stream: a `lockstep_participant` that only publishes.
pub type lockstep_publisher = lockstep_participant;

/// Opens the sockets and joins the groups of the cluster of `endpoint`.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_connect(
    endpoint: *const lockstep_endpoint,
    out: *mut *mut lockstep_publisher,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe {
        connected(out, || {
            Ok(FlatHandle::Publisher(Publisher::connect(crate::endpoint::endpoint(endpoint)?)?))
        })
    }
}

/// [`lockstep_participant_close`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_close(publisher: *mut *mut lockstep_publisher) {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_close(publisher) }
}

/// [`lockstep_participant_wait`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_wait(publisher: *mut lockstep_publisher, timeout_ns: u64) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_wait(publisher, timeout_ns) }
}

/// [`lockstep_participant_fd`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_fd(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_fd(publisher) }
}

/// [`lockstep_participant_due`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_due(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_due(publisher) }
}

/// [`lockstep_participant_open`] of a publisher. Its events of these polls that concern other names are
/// lost; open names first.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_open(
    publisher: *mut lockstep_publisher,
    name: *const c_char,
    timeout_ns: u64,
    out: *mut u32,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_open(publisher, name, timeout_ns, None, std::ptr::null_mut(), out) }
}

/// [`lockstep_participant_publish`] of a publisher.
///
/// # Safety
/// As there.
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
    unsafe { lockstep_participant_publish(publisher, id, payload, len, destination, out) }
}

/// [`lockstep_participant_publish_at`] of a publisher.
///
/// # Safety
/// As there.
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
    unsafe { lockstep_participant_publish_at(publisher, id, number, payload, len, destination) }
}

/// [`lockstep_participant_claim`] of a publisher.
///
/// # Safety
/// As there.
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
    unsafe { lockstep_participant_claim(publisher, id, payload, len, destination, out) }
}

/// [`lockstep_participant_close_name`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_close_name(
    publisher: *mut lockstep_publisher,
    id: u32,
    reason: *const u8,
    len: usize,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_close_name(publisher, id, reason, len) }
}

/// [`lockstep_participant_start_day`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_start_day(
    publisher: *mut lockstep_publisher,
    id: u32,
    day: *const c_char,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_start_day(publisher, id, day, out) }
}

/// [`lockstep_participant_end_day`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_end_day(
    publisher: *mut lockstep_publisher,
    id: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_end_day(publisher, id, out) }
}

/// [`lockstep_participant_flush`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_flush(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_flush(publisher) }
}

/// [`lockstep_participant_outcomes`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_outcomes(
    publisher: *mut lockstep_publisher,
    out: *mut lockstep_outcomes,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_outcomes(publisher, out) }
}

/// [`lockstep_participant_is_drained`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_is_drained(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_is_drained(publisher) }
}

/// [`lockstep_participant_is_connected`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_is_connected(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_is_connected(publisher) }
}

/// [`lockstep_participant_message_len_max`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_message_len_max(
    publisher: *mut lockstep_publisher,
    destination: u32,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_message_len_max(publisher, destination) }
}

/// [`lockstep_participant_claim_len_max`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_claim_len_max(publisher: *mut lockstep_publisher) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_claim_len_max(publisher) }
}

/// [`lockstep_participant_poll`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_poll(
    publisher: *mut lockstep_publisher,
    limit: usize,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_poll(publisher, limit, on_event, context) }
}

/// [`lockstep_participant_poll_batch`] of a publisher.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_publisher_poll_batch(
    publisher: *mut lockstep_publisher,
    limit: usize,
    out: *mut lockstep_batch,
) -> i64 {
    // SAFETY: as the caller promises.
    unsafe { lockstep_participant_poll_batch(publisher, limit, out) }
}
