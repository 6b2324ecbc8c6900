//! The handle: it publishes, reads, or does both on one device. Its calls are those of every handle; the
//! names of one half alone (`lockstep_publisher_…`, `lockstep_subscriber_…`) lead here.

use crate::endpoint::lockstep_endpoint;
use crate::guard::{
    Guarded, Handle, Publishes, guarded, is_lent, number, slice, status, store, store_wanted, text, with,
    with_publisher,
};
use crate::status::{Failure, lockstep_status};
use crate::types::{
    delivery, give, lockstep_batch, lockstep_cursor, lockstep_on_event, lockstep_outcomes, lockstep_start,
    start,
};
use lockstep_client::internal::PublisherCore;
use lockstep_client::{DayMark, Participant, ParticipantEvent};
use lockstep_flat::{AbsentHalf, Batch, FlatEvent, FlatHandle};
use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;
use std::time::Duration;

/// Outcomes of one poll for which there is room from the start: those of the usual window, stamped and
/// committed.
const OUTCOMES_LEN: usize = 4_096;

/// Publishes messages into the stream and delivers the stream, over one device: for a program that does both
/// in one thread. Each datagram is received once.
///
/// A `lockstep_publisher` is one that only publishes, and a `lockstep_subscriber` one that only reads. Every
/// `lockstep_participant_…` takes them; a call of the half that the handle lacks is refused with
/// `LOCKSTEP_STATUS_ARGUMENT`.
#[derive(Debug)]
pub struct lockstep_participant(Guarded<State>);

#[derive(Debug)]
pub(crate) struct State {
    handle: FlatHandle,
    batch: Batch,
    /// Outcomes of a poll, until it has ended.
    outcomes: Vec<FlatEvent>,
}

/// Opens the sockets and joins the groups of the cluster of `endpoint`. The stream begins at `start` with the
/// first poll. `delivery` is a `lockstep_delivery`.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that is not closed; `start` is NULL (live) or points to a start; `out`
/// may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_connect(
    endpoint: *const lockstep_endpoint,
    start: *const lockstep_start,
    delivery: u32,
    out: *mut *mut lockstep_participant,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe {
        connected(out, || {
            let start = self::start(&start.as_ref().copied().unwrap_or_default())?;
            let endpoint = crate::endpoint::endpoint(endpoint)?;
            Ok(FlatHandle::Participant(Participant::connect(endpoint, self::delivery(delivery)?, start)?))
        })
    }
}

/// Stores a new handle at `out`.
///
/// # Safety
/// `out` is NULL, or may be written to.
pub(crate) unsafe fn connected(
    out: *mut *mut lockstep_participant,
    connect: impl FnOnce() -> Result<FlatHandle, Failure>,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises. Until there is a handle, there is none.
        unsafe { store("out", out, std::ptr::null_mut()) }?;
        let (handle, batch) = (connect()?, Batch::new());
        let room = if matches!(handle, FlatHandle::Subscriber(_)) { 0 } else { OUTCOMES_LEN };
        let outcomes = Vec::with_capacity(room);
        let handle = Box::new(lockstep_participant(Guarded::new(State { handle, batch, outcomes })));
        // SAFETY: as the caller promises.
        unsafe { store("out", out, Box::into_raw(handle)) }
    }))
}

/// Frees the handle, closes its sockets, and sets `*participant` to NULL. Messages without an outcome may be
/// stamped or not.
///
/// # Safety
/// `*participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_close(participant: *mut *mut lockstep_participant) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close(participant) };
}

impl Handle for lockstep_participant {
    type State = State;

    fn guard(&self) -> &Guarded<State> {
        &self.0
    }
}

impl Publishes for lockstep_participant {
    fn publisher(state: &mut State) -> Result<&mut PublisherCore, Failure> {
        Ok(state.handle.publisher_mut()?)
    }
}

impl From<AbsentHalf> for Failure {
    fn from(absent: AbsentHalf) -> Self {
        Self::argument("participant", &absent.to_string())
    }
}

impl State {
    /// What a handle with both halves has.
    pub(crate) fn both(&mut self) -> Result<&mut Participant, Failure> {
        Ok(self.handle.participant()?)
    }
}

/// Sleeps until there is something to poll for, or until `timeout_ns` have elapsed. Sends what is written
/// first. Returns 1 if a datagram has arrived, 0 if not, or a failure as a negative `lockstep_status`. Poll
/// in either case.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_wait(
    participant: *mut lockstep_participant,
    timeout_ns: u64,
) -> i64 {
    // SAFETY: as the caller promises.
    let waited =
        unsafe { with(participant, |state| Ok(state.handle.wait(Duration::from_nanos(timeout_ns))?)) };
    number(waited.map(usize::from))
}

/// One descriptor that is readable while the handle has datagrams to read: for poll, epoll, an event loop.
/// Poll the handle when it is readable until a poll returns 0, and after [`lockstep_participant_due`] at the
/// latest. A failure is a negative `lockstep_status`. The handle owns the descriptor.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_fd(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(participant, |state| Ok(state.handle.fd() as usize)) })
}

/// Nanoseconds until the handle must be polled again, although nothing arrives; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_due(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe {
        with(participant, |state| Ok(state.handle.due().as_nanos().min(i64::MAX as u128) as usize))
    })
}

/// Opens `name` and polls until it has its id, at most for `timeout_ns`. `on_event` (NULL: nobody) receives
/// all events of these polls.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `name` ends with 0; `out`
/// may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_open(
    participant: *mut lockstep_participant,
    name: *const c_char,
    timeout_ns: u64,
    on_event: lockstep_on_event,
    context: *mut c_void,
    out: *mut u32,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let opened = unsafe {
        with(participant, |state| {
            let timeout = Duration::from_nanos(timeout_ns);
            let id = state
                .handle
                .open_with(text("name", name)?, timeout, |event| on(&event, on_event, context))??;
            store("out", out, id)
        })
    };
    status(opened)
}

/// Copies a message of `len` bytes for `destination` into the open datagram and stores its number at `out`.
/// The next flush, poll or wait sends it. `LOCKSTEP_STATUS_BACKPRESSURE`: poll, and try again.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `payload` has `len` bytes;
/// `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_publish(
    participant: *mut lockstep_participant,
    id: u32,
    payload: *const u8,
    len: usize,
    destination: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let published = unsafe {
        with_publisher(participant, |publishing| {
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
/// As for [`lockstep_participant_publish`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_publish_at(
    participant: *mut lockstep_participant,
    id: u32,
    number: u64,
    payload: *const u8,
    len: usize,
    destination: u32,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let published = unsafe {
        with_publisher(participant, |publishing| {
            let payload = slice("payload", payload, len)?;
            publishing.try_publish_at(id, number, destination, payload)?;
            Ok(())
        })
    };
    status(published)
}

/// As [`lockstep_participant_publish`], without a copy: stores at `payload` where the caller writes `len`
/// bytes before its next call with this handle. At most [`lockstep_participant_claim_len_max`] bytes.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `payload` may be written
/// to; `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_claim(
    participant: *mut lockstep_participant,
    id: u32,
    payload: *mut *mut u8,
    len: usize,
    destination: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let claimed = unsafe {
        with_publisher(participant, |publishing| {
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
/// `participant` is NULL or a handle that is not closed; `reason` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_close_name(
    participant: *mut lockstep_participant,
    id: u32,
    reason: *const u8,
    len: usize,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let closed = unsafe {
        with_publisher(participant, |publishing| Ok(publishing.try_close(id, slice("reason", reason, len)?)?))
    };
    status(closed)
}

/// Marks the start of the trading day `day`, a name of 1 to 16 ASCII letters and digits. The mark has a
/// number and an outcome like a message.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `day` ends with 0; `out` is NULL or may be
/// written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_start_day(
    participant: *mut lockstep_participant,
    id: u32,
    day: *const c_char,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { mark_day(participant, id, Some(day), out) }
}

/// Marks the end of the trading day. The mark has a number and an outcome like a message.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `out` is NULL or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_end_day(
    participant: *mut lockstep_participant,
    id: u32,
    out: *mut u64,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    unsafe { mark_day(participant, id, None, out) }
}

/// Marks the start of the trading day of this name, or without one the end.
///
/// # Safety
/// As for [`lockstep_participant_start_day`].
unsafe fn mark_day(
    handle: *mut lockstep_participant,
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
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_flush(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    if unsafe { is_lent(participant) } {
        return 0;
    }
    // SAFETY: as the caller promises.
    number(unsafe { with(participant, |state| Ok(state.handle.flush()?)) })
}

/// Stores at `out` what became of the messages so far. "Drained" says that each has an outcome, and not
/// which.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_outcomes(
    participant: *mut lockstep_participant,
    out: *mut lockstep_outcomes,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(unsafe {
        with_publisher(participant, |publishing| store("out", out, publishing.outcomes().into()))
    })
}

/// 1 if every published message has its outcome, whichever (`lockstep_participant_outcomes`), 0 if not, or a
/// failure as a negative `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_is_drained(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with_publisher(participant, |publishing| Ok(usize::from(publishing.is_drained()))) })
}

/// 1 if the handle follows a leader's stream, 0 if not, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_is_connected(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(participant, |state| Ok(usize::from(state.handle.is_connected()))) })
}

/// Bytes of the longest message for `destination`, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_message_len_max(
    participant: *mut lockstep_participant,
    destination: u32,
) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe {
        with_publisher(participant, |publishing| Ok(publishing.message_len_max_for(destination)))
    })
}

/// Bytes of the longest message that can be claimed, or a failure as a negative `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_claim_len_max(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with_publisher(participant, |publishing| Ok(publishing.part_len_max())) })
}

/// Polls until the subscription has its position, at most for `timeout_ns`; `on_event` (NULL: nobody)
/// receives the events of these polls. A live subscription delivers what is published after it.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_begin(
    participant: *mut lockstep_participant,
    timeout_ns: u64,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> lockstep_status {
    // SAFETY: as the caller promises.
    let begun = unsafe {
        with(participant, |state| {
            let timeout = Duration::from_nanos(timeout_ns);
            Ok(state.handle.begin_with(timeout, |event| on(&event, on_event, context))??)
        })
    };
    status(begun)
}

/// The next seq to be delivered; 0 before a live subscription has begun; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_deliver_next(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(participant, |state| Ok(state.handle.deliver_next()? as usize)) })
}

/// The exclusive bound of what is final, as far as it was received here; a failure is a negative
/// `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_commit_next(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(participant, |state| Ok(state.handle.commit_next()? as usize)) })
}

/// 1 if the subscription has ended (the event before gave the reason), 0 if not, or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_is_ended(participant: *mut lockstep_participant) -> i64 {
    // SAFETY: as the caller promises.
    number(unsafe { with(participant, |state| Ok(usize::from(state.handle.is_ended()?))) })
}

/// Stores the position behind the last delivered event at `out`, for `LOCKSTEP_START_KIND_CURSOR`. Returns 1,
/// or 0 before the subscription has begun (then nothing is stored), or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_cursor(
    participant: *mut lockstep_participant,
    out: *mut lockstep_cursor,
) -> i64 {
    // SAFETY: as the caller promises.
    let stored = unsafe {
        with(participant, |state| match state.handle.cursor()? {
            Some(cursor) => store("out", out, cursor.into()).map(|()| 1),
            None => Ok(0),
        })
    };
    number(stored)
}

/// One turn: receives, sends, and calls `on_event` for at most `limit` messages and for every other event, in
/// the order of the stream. Never blocks. Returns the work done (0: an idle turn), or a failure as a negative
/// `lockstep_status`.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_poll(
    participant: *mut lockstep_participant,
    limit: usize,
    on_event: lockstep_on_event,
    context: *mut c_void,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(participant, |State { handle, outcomes, .. }| {
            let guard = &(*participant).0;
            let work = handle.poll_with(limit, |event, publisher| match (&event, publisher) {
                (ParticipantEvent::Publisher(event), _) => {
                    outcomes.extend(FlatEvent::of_publisher(event));
                    ControlFlow::Continue(())
                }
                (_, Some(publisher)) => guard.lend(publisher, || on(&event, on_event, context)),
                (_, None) => on(&event, on_event, context),
            });
            // There is nothing that a callback could leave for the next poll.
            for row in outcomes.drain(..) {
                let _ = guard.lend(handle.publisher_mut()?, || give(on_event, context, &row, &[]));
            }
            Ok(work)
        })
    };
    number(polled)
}

/// One turn as [`lockstep_participant_poll`], whose events are stored in memory of the handle: `*out`
/// describes it, until the next call with this handle. A batch has at most `limit` messages, and is full with
/// 256 KiB of payloads.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_participant_poll_batch(
    participant: *mut lockstep_participant,
    limit: usize,
    out: *mut lockstep_batch,
) -> i64 {
    // SAFETY: as the caller promises.
    let polled = unsafe {
        with(participant, |State { handle, batch, .. }| {
            batch.clear();
            let work = handle.poll_with(limit, |event, _| batch.on_participant(&event));
            store("out", out, lockstep_batch::of(batch))?;
            Ok(work)
        })
    };
    number(polled)
}

/// Gives an event of either half to a callback of C.
#[inline]
fn on(event: &ParticipantEvent<'_>, on_event: lockstep_on_event, context: *mut c_void) -> ControlFlow<()> {
    row_of(event).map_or(ControlFlow::Continue(()), |(row, payload)| give(on_event, context, &row, payload))
}

/// An event of either half as C has it; none of a kind without a number.
#[inline]
pub(crate) fn row_of<'a>(event: &ParticipantEvent<'a>) -> Option<(FlatEvent, &'a [u8])> {
    match event {
        ParticipantEvent::Subscriber(event) => FlatEvent::of_subscriber(event),
        ParticipantEvent::Publisher(event) => FlatEvent::of_publisher(event).map(|row| (row, [].as_slice())),
    }
}
