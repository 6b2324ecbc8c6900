//! Structs that C sees.

use crate::guard::{guarded, status, store, text};
use crate::status::{Failure, lockstep_status};
use lockstep_client::{Cursor, Outcomes, Start};
use lockstep_flat::{Batch, FlatEvent};
use std::ffi::{c_char, c_void};

/// Messages for everybody: the usual destination.
pub const LOCKSTEP_EVERYBODY: u32 = 0;
/// Destinations from here on are channels, counted from 0.
pub const LOCKSTEP_CHANNELS: u32 = 0x8000_0000;
/// Bytes of a cursor's text at most, the 0 at its end included.
pub const LOCKSTEP_CURSOR_TEXT: usize = 64;

/// Receives one event. `payload` has `event->payload_len` bytes and is valid until the call returns. Returns
/// true to go on, false to leave what follows for the next poll. It may publish with the handle whose poll
/// runs it (`…_publish`, `…_publish_at`, `…_claim`, `…_close_name`, `…_day`, `…_flush`, `…_is_drained`,
/// `…_outcomes`, `…_message_len_max`, `…_claim_len_max`) and close it: then it is freed when the poll has
/// ended. All else with that handle is refused with `LOCKSTEP_STATUS_IN_USE`, and so is publishing in the
/// callback of `…_open` and `…_begin`. It does not leave by an exception or `longjmp`.
pub type lockstep_on_event =
    Option<unsafe extern "C" fn(context: *mut c_void, event: *const FlatEvent, payload: *const u8) -> bool>;

/// Events of one poll. All of it is valid until the next call with the handle.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct lockstep_batch {
    /// The events, in the order of the stream; NULL without one.
    pub events: *const FlatEvent,
    /// How many.
    pub len: usize,
    /// The payloads: that of an event begins at `bytes + event->payload_at`; NULL if no event has any.
    pub bytes: *const u8,
    /// Bytes of all payloads.
    pub bytes_len: usize,
}

impl lockstep_batch {
    pub(crate) fn of(batch: &Batch) -> Self {
        let (rows, bytes) = (batch.rows(), batch.bytes());
        Self { events: or_null(rows), len: rows.len(), bytes: or_null(bytes), bytes_len: bytes.len() }
    }
}

/// A slice's address; NULL of an empty one, whose own is no address of memory.
fn or_null<T>(slice: &[T]) -> *const T {
    if slice.is_empty() { std::ptr::null() } else { slice.as_ptr() }
}

/// Gives one event to a callback of C, if there is one; returns its answer.
#[inline]
pub(crate) fn give(
    on_event: lockstep_on_event,
    context: *mut c_void,
    row: &FlatEvent,
    payload: &[u8],
) -> std::ops::ControlFlow<()> {
    let Some(on_event) = on_event else { return std::ops::ControlFlow::Continue(()) };
    // SAFETY: the function is one that the caller of the poll passed for this, and both pointers are valid
    // for the time of the call.
    let goes_on = unsafe { on_event(context, row, payload.as_ptr()) };
    if goes_on { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
}

/// What became of the messages of a handle so far, in numbers of messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct lockstep_outcomes {
    /// In the stream for ever.
    pub committed: u64,
    /// In the stream, and delivered by no reader, as the process was held up between the parts of a message.
    pub discarded: u64,
    /// Another message stands under the number.
    pub diverged: u64,
    /// Never stamped, as a newer process has opened the name.
    pub fenced: u64,
    /// Never stamped, as the publisher was closed before.
    pub closed: u64,
    /// Nobody knows: `LOCKSTEP_EVENT_KIND_OUTCOMES_UNKNOWN` was reported.
    pub unknown: u64,
    /// Without an outcome so far.
    pub open: u64,
}

impl From<Outcomes> for lockstep_outcomes {
    fn from(outcomes: Outcomes) -> Self {
        let Outcomes { committed, discarded, diverged, fenced, closed, unknown, open, .. } = outcomes;
        Self { committed, discarded, diverged, fenced, closed, unknown, open }
    }
}

/// When a message is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum lockstep_delivery {
    // Written from bindings/api.toml: deliveries.
    /// When the leader's datagram arrives; a takeover may retract it.
    Stamped = 0,
    /// When a quorum holds it; final.
    Committed = 1,
    // End of what is written from bindings/api.toml.
}

pub(crate) fn delivery(number: u32) -> Result<lockstep_client::Delivery, Failure> {
    const STAMPED: u32 = lockstep_delivery::Stamped as u32;
    const COMMITTED: u32 = lockstep_delivery::Committed as u32;
    match number {
        STAMPED => Ok(lockstep_client::Delivery::Stamped),
        COMMITTED => Ok(lockstep_client::Delivery::Committed),
        _ => Err(Failure::argument("delivery", "is no lockstep_delivery")),
    }
}

/// A position in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct lockstep_cursor {
    /// The history.
    pub history: u64,
    /// The next seq.
    pub seq: u64,
    /// The chain over everything before it.
    pub chain: u64,
}

impl From<Cursor> for lockstep_cursor {
    fn from(cursor: Cursor) -> Self {
        Self { history: cursor.history, seq: cursor.seq, chain: cursor.chain }
    }
}

impl From<lockstep_cursor> for Cursor {
    fn from(cursor: lockstep_cursor) -> Self {
        Self { history: cursor.history, seq: cursor.seq, chain: cursor.chain }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum lockstep_start_kind {
    // Written from bindings/api.toml: kinds of starts.
    /// At the end of the stream as it is at the first poll.
    Live = 0,
    /// At `seq`.
    From = 1,
    /// At the oldest entry that a journal has.
    Oldest = 2,
    /// At `cursor`.
    Cursor = 3,
    // End of what is written from bindings/api.toml.
}

/// Where a subscription begins: a `lockstep_start_kind` and what that kind needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct lockstep_start {
    /// A `lockstep_start_kind`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// For `LOCKSTEP_START_KIND_FROM`.
    pub seq: u64,
    /// For `LOCKSTEP_START_KIND_CURSOR`.
    pub cursor: lockstep_cursor,
}

impl lockstep_start {
    pub(crate) fn at(cursor: lockstep_cursor) -> Self {
        Self { kind: lockstep_start_kind::Cursor as u32, cursor, ..Self::default() }
    }
}

pub(crate) fn start(start: &lockstep_start) -> Result<Start, Failure> {
    const LIVE: u32 = lockstep_start_kind::Live as u32;
    const FROM: u32 = lockstep_start_kind::From as u32;
    const OLDEST: u32 = lockstep_start_kind::Oldest as u32;
    const CURSOR: u32 = lockstep_start_kind::Cursor as u32;
    match start.kind {
        LIVE => Ok(Start::Live),
        FROM => Ok(Start::From(start.seq)),
        OLDEST => Ok(Start::Oldest),
        CURSOR => Ok(Start::Cursor(start.cursor.into())),
        _ => Err(Failure::argument("start", "has a kind that is no lockstep_start_kind")),
    }
}

/// Writes a cursor as a text of at most `LOCKSTEP_CURSOR_TEXT` bytes, as `lockstep subscribe` prints it.
///
/// # Safety
/// `cursor` points to a cursor, and `text` to `LOCKSTEP_CURSOR_TEXT` bytes that may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_print(
    cursor: *const lockstep_cursor,
    text: *mut c_char,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let cursor = unsafe { cursor.as_ref() }.ok_or_else(|| Failure::argument("cursor", "is NULL"))?;
        if text.is_null() {
            return Err(Failure::argument("text", "is NULL"));
        }
        let printed = Cursor::from(*cursor).to_string();
        assert!(printed.len() < LOCKSTEP_CURSOR_TEXT, "{} bytes", printed.len());
        // SAFETY: as the caller promises, and shorter than that.
        unsafe {
            text.cast::<u8>().copy_from_nonoverlapping(printed.as_ptr(), printed.len());
            text.add(printed.len()).write(0);
        }
        Ok(())
    }))
}

/// Reads a cursor from the text that [`lockstep_cursor_print`] writes.
///
/// # Safety
/// `text` ends with 0, and `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_cursor_parse(
    text: *const c_char,
    out: *mut lockstep_cursor,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let words = unsafe { self::text("text", text) }?;
        let cursor: Cursor = words.parse().map_err(|why| Failure::new(lockstep_status::Argument, why))?;
        // SAFETY: as the caller promises.
        unsafe { store("out", out, cursor.into()) }
    }))
}
