//! The handle that reads the streams of a set in their merged order.

use crate::guard::{Guarded, Handle, guarded, number, status, store, text, with};
use crate::status::{Failure, lockstep_status};
use crate::types::lockstep_batch;
use lockstep_flat::{FlatEvent, FlatPlace, MergedBatch};
use lockstep_streams::{MergedEvent, MergedStart, MergedSubscriber, StreamSet};
use std::ffi::{CString, c_char, c_void};
use std::ops::ControlFlow;
use std::time::Duration;

/// Delivers the streams of a set in their merged order, as committed: each entry has a number there, from 1
/// without holes, which is the same for all readers. Each stream's own order is kept, and a stream that is
/// idle or stalled holds up no other one. A program that reads one stream uses a `lockstep_subscriber`.
#[derive(Debug)]
pub struct lockstep_merged_subscriber {
    guarded: Guarded<State>,
    /// Each stream of the set, by its cluster.
    names: Vec<(u64, CString)>,
}

#[derive(Debug)]
pub(crate) struct State {
    merged: MergedSubscriber,
    batch: MergedBatch,
    /// The text of the last cursor.
    cursor: CString,
}

impl Handle for lockstep_merged_subscriber {
    type State = State;

    fn guard(&self) -> &Guarded<State> {
        &self.guarded
    }
}

/// Receives one event of the merged order with its place there. `payload` has `event->payload_len` bytes; all
/// of it is valid until the call returns. Returns true to go on, false to leave what follows for the next
/// poll. It may close the handle whose poll runs it: then it is freed when the poll has ended. All else with
/// that handle is refused with `LOCKSTEP_STATUS_IN_USE`, but `…_stream_name`. It does not leave by an
/// exception or `longjmp`.
pub type lockstep_on_merged = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        place: *const FlatPlace,
        event: *const FlatEvent,
        payload: *const u8,
    ) -> bool,
>;

/// Events of one poll in the merged order. All of it is valid until the next call with the handle.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct lockstep_merged_batch {
    /// The events.
    pub batch: lockstep_batch,
    /// The place of each; NULL without one.
    pub places: *const FlatPlace,
}

/// Reads the set of the file at `path` (NULL: the one that `LOCKSTEP_CONFIG` names, or
/// `/etc/lockstep/lockstep.toml`), and opens the streams that are merged at `start`. A file without
/// `[[streams]]` is a set of one stream. Variables `LOCKSTEP_…` replace single keys, except
/// `LOCKSTEP_STREAM`.
///
/// `start` is `live` (NULL: that), behind the newest cut of which it is certain that it counts, which is
/// looked for at most for `timeout_ns`; `beginning`, at the first entry of the home stream; or the text of a
/// [`lockstep_merged_subscriber_cursor`].
///
/// # Safety
/// `path` and `start` are NULL, or end with 0; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_connect(
    path: *const c_char,
    start: *const c_char,
    timeout_ns: u64,
    out: *mut *mut lockstep_merged_subscriber,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises. Until there is a handle, there is none.
        unsafe { store("out", out, std::ptr::null_mut()) }?;
        // SAFETY: as the caller promises.
        let start = unsafe { wanted("start", start) }?.unwrap_or("live");
        let start: MergedStart = start.parse().map_err(|why| Failure::new(lockstep_status::Argument, why))?;
        // SAFETY: as the caller promises.
        let set = match unsafe { wanted("path", path) }? {
            Some(path) => StreamSet::from_file(path)?,
            None => StreamSet::from_env()?,
        };
        let names =
            set.streams().iter().map(|(name, endpoint)| (endpoint.cluster(), of_text(name))).collect();
        let merged = MergedSubscriber::connect(set, start, Duration::from_nanos(timeout_ns))?;
        let state = State { merged, batch: MergedBatch::new(), cursor: CString::default() };
        let handle = Box::new(lockstep_merged_subscriber { guarded: Guarded::new(state), names });
        // SAFETY: as the caller promises.
        unsafe { store("out", out, Box::into_raw(handle)) }
    }))
}

/// The text at `words`, if it is not NULL.
///
/// # Safety
/// `words` is NULL, or points to a text that ends with 0 and is left alone for `'a`.
unsafe fn wanted<'a>(name: &str, words: *const c_char) -> Result<Option<&'a str>, Failure> {
    // SAFETY: as the caller promises.
    if words.is_null() { Ok(None) } else { unsafe { text(name, words) }.map(Some) }
}

/// A text of ours as C has it: none has a 0 in it.
fn of_text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Frees the handle, closes its sockets, and sets `*merged_subscriber` to NULL.
///
/// # Safety
/// `*merged_subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_close(
    merged_subscriber: *mut *mut lockstep_merged_subscriber,
) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close(merged_subscriber) };
}

/// Sleeps until there is something to poll for, or until `timeout_ns` have elapsed. Returns 1 if a datagram
/// of one of the streams has arrived, 0 if not, or a failure as a negative `lockstep_status`. Poll in either
/// case.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_wait(
    merged_subscriber: *mut lockstep_merged_subscriber,
    timeout_ns: u64,
) -> i64 {
    // SAFETY: as the caller promises.
    let waited =
        unsafe { with(merged_subscriber, |state| Ok(state.merged.wait(Duration::from_nanos(timeout_ns))?)) };
    number(waited.map(usize::from))
}

/// One turn: receives from each stream, and calls `on_event` for at most `limit` messages and for every other
/// event, in the merged order. Never blocks. Returns the work done (0: an idle turn), or a failure as a
/// negative `lockstep_status`: a list names a stream that this program's file does not have, or its device
/// cannot be opened.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_poll(
    merged_subscriber: *mut lockstep_merged_subscriber,
    limit: usize,
    on_event: lockstep_on_merged,
    context: *mut c_void,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(merged_subscriber, |state| {
            Ok(state.merged.poll(limit, |event| give_merged(on_event, context, &event))?)
        })
    };
    number(polled)
}

/// Gives one event to a callback of C, if there is one; returns its answer.
fn give_merged(
    on_event: lockstep_on_merged,
    context: *mut c_void,
    event: &MergedEvent<'_>,
) -> ControlFlow<()> {
    let (Some(on_event), Some((place, row, payload))) = (on_event, FlatPlace::of_merged(event)) else {
        return ControlFlow::Continue(());
    };
    // SAFETY: the function is one that the caller of the poll passed for this, and all pointers are valid for
    // the time of the call.
    let goes_on = unsafe { on_event(context, &raw const place, &raw const row, payload.as_ptr()) };
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// One turn as [`lockstep_merged_subscriber_poll`], whose events are stored in memory of the handle: `*out`
/// describes it, until the next call with this handle. A batch has at most `limit` messages, and is full with
/// 256 KiB of payloads. Where a turn has brought events before it failed, they are stored, and the next turn
/// fails.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_poll_batch(
    merged_subscriber: *mut lockstep_merged_subscriber,
    limit: usize,
    out: *mut lockstep_merged_batch,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(merged_subscriber, |State { merged, batch, .. }| {
            batch.clear();
            let work = batch.poll(merged, limit, ControlFlow::Continue(()))?;
            let places = batch.places();
            let places = if places.is_empty() { std::ptr::null() } else { places.as_ptr() };
            store("out", out, lockstep_merged_batch { batch: lockstep_batch::of(batch.batch()), places })?;
            Ok(work)
        })
    };
    number(polled)
}

/// Stores at `out` the place behind the last delivered event as a text of a few hundred characters, in memory
/// of the handle, until the next call with it. A later handle that begins there delivers what this one has
/// not.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_cursor(
    merged_subscriber: *mut lockstep_merged_subscriber,
    out: *mut *const c_char,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let stored = unsafe {
        with(merged_subscriber, |state| {
            state.cursor = of_text(&state.merged.cursor().to_string());
            store("out", out, state.cursor.as_ptr())
        })
    };
    status(stored)
}

/// The number that the next merged entry gets; a failure is a negative `lockstep_status`.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_next_number(
    merged_subscriber: *mut lockstep_merged_subscriber,
) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(merged_subscriber, |state| Ok(state.merged.next_number() as usize)) })
}

/// 1 if the subscription of a stream has ended (the event before gave the reason), and the merged order with
/// it, 0 if not, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_is_ended(
    merged_subscriber: *mut lockstep_merged_subscriber,
) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(merged_subscriber, |state| Ok(usize::from(state.merged.is_ended()))) })
}

/// The name of the stream of a cluster in the set's file, valid until the handle is freed; empty if the set
/// has none, or for NULL. A callback of this handle may call it.
///
/// # Safety
/// `merged_subscriber` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_merged_subscriber_stream_name(
    merged_subscriber: *const lockstep_merged_subscriber,
    stream: u64,
) -> *const c_char {
    // SAFETY: as the caller promises.
    let names = unsafe { merged_subscriber.as_ref() }.map_or(&[][..], |merged| &merged.names);
    names.iter().find(|(cluster, _)| *cluster == stream).map_or(c"".as_ptr(), |(_, name)| name.as_ptr())
}
