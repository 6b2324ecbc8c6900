//! A machine as C has it: a table of functions, its inputs, and what collects its effects and its bytes.

use crate::guard::{guarded, slice, status, text};
use crate::status::{Failure, lockstep_status};
use lockstep_app::{DisconnectReason, Input, InputEvent, Output};
use lockstep_flat::FlatInputKind;
use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::io::{self, Write};

/// An input of a machine, at its place in the stream. `lockstep_input_kind` lists the fields of each kind.
/// Its pointers are valid until the callback returns; its texts do not end with 0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct lockstep_input {
    /// The seq of its entry; of a timer, that of the entry at or behind the time when it is due.
    pub seq: u64,
    /// The stream's time: when the leader stamped that entry, nanoseconds since the Unix epoch.
    pub time: u64,
    /// The publisher's number of the message.
    pub publisher_seq: u64,
    /// The key of the timer.
    pub key: u64,
    /// When the timer was due, by the stream's time.
    pub due: u64,
    /// By the kind.
    pub value: u64,
    /// The content of the message, the bytes that the timer was set with, or a name.
    pub payload: *const u8,
    /// Its bytes.
    pub payload_len: usize,
    /// The user; NULL without one.
    pub user: *const u8,
    /// Its bytes.
    pub user_len: usize,
    /// A `lockstep_input_kind`.
    pub kind: u32,
    /// The publisher's id: the destination of an answer.
    pub publisher: u32,
    /// The destination.
    pub destination: u32,
    /// By the kind.
    pub detail: u32,
}

impl lockstep_input {
    fn empty(kind: FlatInputKind, input: &Input<'_>) -> Self {
        let none = std::ptr::null();
        Self {
            seq: input.seq,
            time: input.time,
            publisher_seq: 0,
            key: 0,
            due: 0,
            value: 0,
            payload: none,
            payload_len: 0,
            user: none,
            user_len: 0,
            kind: kind as u32,
            publisher: 0,
            destination: 0,
            detail: 0,
        }
    }

    fn with_payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.as_ptr(), payload_len: payload.len(), ..self }
    }

    fn with_user(self, user: Option<&str>) -> Self {
        let Some(user) = user else { return self };
        Self { user: user.as_ptr(), user_len: user.len(), ..self }
    }

    /// The row of an input; `None` for an input of a later version.
    pub(crate) fn of(input: &Input<'_>) -> Option<Self> {
        use FlatInputKind as K;
        let of = |kind| Self::empty(kind, input);
        Some(match input.event {
            InputEvent::Message { publisher, publisher_seq, destination, user, payload } => {
                let row = Self { publisher, publisher_seq, destination, ..of(K::Message) };
                row.with_user(user).with_payload(payload)
            }
            InputEvent::Connected { user, publisher } => {
                Self { publisher, ..of(K::Connected) }.with_user(Some(user))
            }
            InputEvent::Disconnected { user, publisher, reason, cancels } => {
                let (detail, value) = (u32::from(reason as u8), u64::from(cancels));
                Self { publisher, detail, value, ..of(K::Disconnected) }.with_user(Some(user))
            }
            InputEvent::Opened { publisher, incarnation, name } => {
                Self { publisher, detail: incarnation, ..of(K::Opened) }.with_payload(name.as_bytes())
            }
            InputEvent::Closed { publisher } => Self { publisher, ..of(K::Closed) },
            InputEvent::DayStart { name } => of(K::DayStart).with_payload(name.as_bytes()),
            InputEvent::DayEnd => of(K::DayEnd),
            InputEvent::Timer { key, due, payload } => {
                Self { key, due, ..of(K::Timer) }.with_payload(payload)
            }
            InputEvent::Time => of(K::Time),
            InputEvent::TimeSetBack { before } => Self { value: before, ..of(K::TimeSetBack) },
            InputEvent::Membership { members } => Self { value: members as u64, ..of(K::Membership) },
            _ => return None,
        })
    }

    /// The input of a row.
    ///
    /// # Safety
    /// Its pointers are NULL, or valid for `'a` with their lengths.
    pub(crate) unsafe fn input<'a>(&self) -> Result<Input<'a>, Failure> {
        let Self { publisher, publisher_seq, destination, key, due, detail, value, .. } = *self;
        // SAFETY: as the caller promises.
        let payload = unsafe { slice("payload", self.payload, self.payload_len) }?;
        // SAFETY: as the caller promises.
        let user = unsafe { slice("user", self.user, self.user_len) }?;
        let words = |name, bytes: &'a [u8]| {
            std::str::from_utf8(bytes).map_err(|_| Failure::argument(name, "is not UTF-8"))
        };
        let (user, has_user) = (words("user", user)?, !self.user.is_null());
        let reason = || {
            let reason = u8::try_from(detail).ok().and_then(DisconnectReason::from_u8);
            reason.ok_or_else(|| Failure::argument("inputs", "has a reason that no client leaves for"))
        };
        use FlatInputKind as K;
        let kind = K::from_u32(self.kind)
            .ok_or_else(|| Failure::argument("inputs", "has a kind that is no lockstep_input_kind"))?;
        let event = match kind {
            K::Message => {
                let user = has_user.then_some(user);
                InputEvent::Message { publisher, publisher_seq, destination, user, payload }
            }
            K::Connected => InputEvent::Connected { user, publisher },
            K::Disconnected => {
                InputEvent::Disconnected { user, publisher, reason: reason()?, cancels: value != 0 }
            }
            K::Opened => {
                InputEvent::Opened { publisher, incarnation: detail, name: words("payload", payload)? }
            }
            K::Closed => InputEvent::Closed { publisher },
            K::DayStart => InputEvent::DayStart { name: words("payload", payload)? },
            K::DayEnd => InputEvent::DayEnd,
            K::Timer => InputEvent::Timer { key, due, payload },
            K::Time => InputEvent::Time,
            K::TimeSetBack => InputEvent::TimeSetBack { before: value },
            K::Membership => InputEvent::Membership { members: value as usize },
        };
        Ok(Input { seq: self.seq, time: self.time, event })
    }
}

/// Collects the effects of an input while it is applied.
pub struct lockstep_output {
    /// That of the input, for the time of the callback.
    pub(crate) inner: *mut Output,
}

/// Adds an effect to `output`.
///
/// # Safety
/// `output` is NULL, or what the callback that runs was given.
unsafe fn add(output: *mut lockstep_output, add: impl FnOnce(&mut Output)) -> Result<(), Failure> {
    // SAFETY: as the caller promises.
    let output = unsafe { output.as_mut() }.ok_or_else(|| Failure::argument("output", "is NULL"))?;
    // SAFETY: it is that of the input which is being applied, and nobody uses it meanwhile.
    add(unsafe { &mut *output.inner });
    Ok(())
}

/// Publishes a message to a destination: `LOCKSTEP_EVERYBODY`, a publisher, or a channel. It is in the stream
/// once, whichever copies of the machine run.
///
/// # Safety
/// `output` is that of the callback that runs; `payload` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_output_publish(
    output: *mut lockstep_output,
    payload: *const u8,
    len: usize,
    destination: u32,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { slice("payload", payload, len) }?;
        // SAFETY: as the caller promises.
        unsafe { add(output, |output| output.publish(destination, payload)) }
    }))
}

/// The timer `key` is due at `at`, nanoseconds since the Unix epoch by the stream's time, and at once if that
/// has passed. It comes back as an input, once, and never earlier. One with this key that is pending is
/// replaced.
///
/// # Safety
/// `output` is that of the callback that runs; `payload` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_output_timer_at(
    output: *mut lockstep_output,
    key: u64,
    at: u64,
    payload: *const u8,
    len: usize,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { slice("payload", payload, len) }?;
        // SAFETY: as the caller promises.
        unsafe { add(output, |output| output.timer_at(key, at, payload)) }
    }))
}

/// As [`lockstep_output_timer_at`], so many nanoseconds behind the input's time. Where the stream's time is
/// set back, what is left of them stays.
///
/// # Safety
/// As for [`lockstep_output_timer_at`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_output_timer_after(
    output: *mut lockstep_output,
    key: u64,
    after: u64,
    payload: *const u8,
    len: usize,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { slice("payload", payload, len) }?;
        // SAFETY: as the caller promises.
        unsafe { add(output, |output| output.timer_after(key, after, payload)) }
    }))
}

/// The timer `key` is cancelled, if it is pending.
///
/// # Safety
/// `output` is that of the callback that runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_output_cancel(output: *mut lockstep_output, key: u64) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(guarded(|| unsafe { add(output, |output| output.cancel(key)) }))
}

/// Takes the bytes that a callback gives: a snapshot, an answer, a text.
pub struct lockstep_sink {
    out: *mut c_void,
    write: unsafe fn(*mut c_void, &[u8]) -> io::Result<()>,
    error: Option<io::Error>,
}

/// # Safety
/// `out` is a `W` that nobody else uses.
unsafe fn write_to<W: Write>(out: *mut c_void, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: as the caller promises.
    unsafe { &mut *out.cast::<W>() }.write_all(bytes)
}

impl lockstep_sink {
    /// Runs `work` with a sink whose bytes `out` gets. Returns the first error of `out` beside its result.
    pub(crate) fn writing_to<W: Write, R>(
        out: &mut W,
        work: impl FnOnce(*mut lockstep_sink) -> R,
    ) -> (R, io::Result<()>) {
        let out = std::ptr::from_mut(out).cast();
        let mut sink = Self { out, write: write_to::<W>, error: None };
        let result = work(&raw mut sink);
        (result, sink.error.map_or(Ok(()), Err))
    }
}

/// Gives bytes: as often as a callback likes, one piece behind the other.
///
/// # Safety
/// `sink` is that of the callback that runs; `bytes` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_sink_write(
    sink: *mut lockstep_sink,
    bytes: *const u8,
    len: usize,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let bytes = unsafe { slice("bytes", bytes, len) }?;
        // SAFETY: as the caller promises.
        let sink = unsafe { sink.as_mut() }.ok_or_else(|| Failure::argument("sink", "is NULL"))?;
        if sink.error.is_none() {
            // SAFETY: `out` is what `write` was made for, and waits for the callback.
            sink.error = unsafe { (sink.write)(sink.out, bytes) }.err();
        }
        let error = sink.error.as_ref().map(|error| Failure::new(lockstep_status::Io, error.to_string()));
        error.map_or(Ok(()), Err)
    }))
}

thread_local! {
    /// Why the callback that runs fails.
    static WHY: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Within a callback of a machine: says why it fails. Returns `LOCKSTEP_STATUS_MACHINE`, for the callback to
/// return.
///
/// # Safety
/// `why` is NULL, or ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_fail(why: *const c_char) -> i32 {
    // SAFETY: as the caller promises.
    let why = guarded(|| unsafe { text("why", why) }.map(str::to_owned));
    WHY.with_borrow_mut(|last| *last = Some(why.unwrap_or_else(|_| "a text that is not UTF-8".to_owned())));
    lockstep_status::Machine as i32
}

/// What a callback has returned, with its reason.
pub(crate) fn outcome(returned: i32) -> Result<(), String> {
    if returned == lockstep_status::Ok as i32 {
        return Ok(());
    }
    let why = WHY.with_borrow_mut(Option::take);
    Err(why.unwrap_or_else(|| format!("the callback returns {returned}, and has not called lockstep_fail")))
}

/// A deterministic program over the stream: its state is a function of the inputs in their order. Copies of
/// it that run anywhere apply the same inputs, and each of its outputs is in the stream once.
///
/// A callback returns `LOCKSTEP_STATUS_OK`, or what [`lockstep_fail`] returns: then nothing is published of
/// that input, the machine gets no input more, and its replica ends with the text. It does not leave by an
/// exception or `longjmp`. Callbacks run in the calls of the handle that the machine was given to, one at a
/// time. Those that are NULL in the table are refused, but for the last four.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct lockstep_machine {
    /// The version of its rules and of its snapshots: raise it with each change of `apply`.
    pub version: u32,
    /// 0.
    pub reserved: u32,
    /// What `create` and `restore` are given; it is the caller's, and outlives the handle.
    pub context: *mut c_void,
    /// Stores a machine at the beginning of the stream at `self`.
    pub create: Option<unsafe extern "C" fn(context: *mut c_void, machine: *mut *mut c_void) -> i32>,
    /// Stores a machine with the state that a snapshot of this version has.
    pub restore: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            state: *const u8,
            len: usize,
            machine: *mut *mut c_void,
        ) -> i32,
    >,
    /// Applies the next input: what follows from it goes to `output`.
    pub apply: Option<
        unsafe extern "C" fn(
            machine: *mut c_void,
            input: *const lockstep_input,
            output: *mut lockstep_output,
        ) -> i32,
    >,
    /// Writes the whole state to `out`. Equal states write equal bytes.
    pub snapshot: Option<unsafe extern "C" fn(machine: *const c_void, out: *mut lockstep_sink) -> i32>,
    /// Frees the machine.
    pub destroy: Option<unsafe extern "C" fn(machine: *mut c_void)>,
    /// Answers a question about the state, which it does not change. NULL: nothing is answered. One that
    /// fails ends nothing: the answer is empty, and the log has the text.
    pub query: Option<
        unsafe extern "C" fn(
            machine: *const c_void,
            request: *const u8,
            len: usize,
            out: *mut lockstep_sink,
        ) -> i32,
    >,
    /// Writes what all copies have alike beside their rules, as a text for people. NULL: nothing is compared.
    pub settings: Option<unsafe extern "C" fn(machine: *const c_void, out: *mut lockstep_sink) -> i32>,
    /// A digest of the whole state, which a large machine maintains. NULL: that of the snapshot.
    pub digest: Option<unsafe extern "C" fn(machine: *const c_void) -> u64>,
    /// Writes the state as a text for people, which a debugger prints. NULL, or an empty text: it prints the
    /// snapshot. One that fails ends nothing: the text says so.
    pub state_text: Option<unsafe extern "C" fn(machine: *const c_void, out: *mut lockstep_sink) -> i32>,
}
