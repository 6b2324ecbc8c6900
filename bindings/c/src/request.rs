//! A request that a participant publishes, and the answer that it waits for.

use crate::guard::{slice, status, store_wanted, with};
use crate::participant::{State, lockstep_participant, row_of};
use crate::status::{Failure, lockstep_status};
use lockstep_client::RequestError;
use lockstep_flat::FlatEvent;
use std::ffi::c_void;
use std::time::Duration;

/// Receives one event while a request awaits its answer, and the request's number, which is 0 before the
/// request is published. `payload` has `event->payload_len` bytes and is valid until the call returns.
/// Returns true if the event is the answer; what it returns before the request is published is not looked at.
/// All calls with the handle are refused with `LOCKSTEP_STATUS_IN_USE`, but for closing: then the handle is
/// freed when the request has ended. It does not leave by an exception or `longjmp`.
pub type lockstep_is_answer = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        event: *const FlatEvent,
        payload: *const u8,
        number: u64,
    ) -> bool,
>;

/// Publishes a request of `len` bytes for `destination` and polls until `is_answer` returns true, at most for
/// `timeout_ns`. Its number is stored at `out`; 0 where it was not published.
///
/// `is_answer` receives every event of these polls, as every event is the program's and none comes again. The
/// entries of the stream behind the answer are left for the next poll. The answering application says in its
/// message which request it answers. A leader's death is no end: the request is sent again by itself, and
/// stamped once.
///
/// `LOCKSTEP_STATUS_TIMED_OUT`: no answer came in time, and one may come later, as an event of a later poll.
/// `LOCKSTEP_STATUS_BACKPRESSURE`: the window was full for the whole time, and the request was not published.
/// At once: `LOCKSTEP_STATUS_FENCED`, `LOCKSTEP_STATUS_CLOSED`, `LOCKSTEP_STATUS_NOT_ALLOWED`, and
/// `LOCKSTEP_STATUS_UNANSWERED`, where nobody knows an answer and none will be read.
///
/// # Safety
/// `participant` is NULL or a handle that is not closed; `payload` has `len` bytes;
/// `out` is NULL or may be written to.
#[unsafe(no_mangle)]
#[allow(
    clippy::too_many_arguments,
    reason = "a function of C, as its neighbours: a struct would be one more thing to fill"
)]
pub unsafe extern "C" fn lockstep_participant_request(
    participant: *mut lockstep_participant,
    id: u32,
    payload: *const u8,
    len: usize,
    destination: u32,
    timeout_ns: u64,
    is_answer: lockstep_is_answer,
    context: *mut c_void,
    out: *mut u64,
) -> lockstep_status {
    let mut request = 0;
    let work = |state: &mut State| {
        let is_answer = is_answer.ok_or_else(|| Failure::argument("is_answer", "is NULL"))?;
        // SAFETY: as the caller promises.
        let payload = unsafe { slice("payload", payload, len) }?;
        let timeout = Duration::from_nanos(timeout_ns);
        let answered = state.both()?.request(id, destination, payload, timeout, |event, number| {
            request = number;
            let (row, payload) = row_of(&event)?;
            // SAFETY: the function is one that the caller passed for this, and both pointers are valid for
            // the time of the call.
            unsafe { is_answer(context, &row, payload.as_ptr(), number) }.then_some(())
        });
        request = answered.as_ref().err().map_or(request, number_of);
        Ok(answered?)
    };
    // SAFETY: as the caller promises.
    let answered = unsafe { with(participant, work) };
    // SAFETY: as the caller promises.
    unsafe { store_wanted(out, request) };
    status(answered)
}

/// The number of a request that has no answer.
fn number_of(error: &RequestError) -> u64 {
    match error {
        RequestError::Lost { publisher_seq, .. }
        | RequestError::Ended { publisher_seq }
        | RequestError::TimedOut { publisher_seq, .. } => *publisher_seq,
        _ => 0,
    }
}
