//! Status codes and their texts.

use lockstep_client::{OpenError, PublishError, RequestError};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

/// Version of the binary interface. It rises when a program must be compiled anew.
pub const LOCKSTEP_ABI_VERSION: u32 = 2;

/// The result of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum lockstep_status {
    // Written from bindings/api.toml: statuses.
    /// It is done.
    Ok = 0,
    /// The window is full: poll, and publish again.
    Backpressure = 1,
    /// The publisher is not open in this handle.
    NotOpen = 2,
    /// The message is longer than the stream, the channel or (for a claim) one datagram takes.
    TooLong = 3,
    /// Numbers before the given one are missing: neither handed in here nor read in the stream.
    AheadOfNumber = 4,
    /// A newer process has opened the name.
    Fenced = 5,
    /// The publisher is closed.
    Closed = 6,
    /// The name is empty or too long, or the handle has too many.
    Name = 16,
    /// No leader answered in time.
    TimedOut = 17,
    /// The cluster's table of publishers is full.
    TableFull = 18,
    /// The key of this process does not allow it.
    NotAllowed = 19,
    /// A request has no answer, and none is awaited: its outcome is unknown, no reader delivers it, or the
    /// subscription has ended.
    Unanswered = 20,
    /// The operating system refused a call.
    Io = 32,
    /// The configuration is wrong or cannot be read.
    Config = 33,
    /// An argument is NULL where it may not be, not UTF-8, or out of its range.
    Argument = 34,
    /// The handle is NULL: it was closed, or never connected.
    ClosedHandle = 35,
    /// A defect of lockstep: the handle refuses all further calls. Please report the text.
    Panic = 36,
    /// The handle was connected in another process, of which this one is a fork.
    OtherProcess = 37,
    /// A call has the handle already: that of another thread, or the poll whose callback this is. Or somebody
    /// else has the file open.
    InUse = 38,
    /// A callback of a machine has failed: its replica, or its trial, has ended.
    Machine = 39,
    /// A replica of a machine cannot go on: its stream, its state or its snapshots need an operator.
    Replica = 40,
    /// A machine does not stand its trial: the text has the rule, what has broken it, and the story.
    Trial = 41,
    // End of what is written from bindings/api.toml.
}

use lockstep_status as Status;

/// Why a call failed. What publishing reports is written as a text only when that is asked for: backpressure
/// is no rare event.
#[derive(Clone, Debug)]
enum Why {
    Text(String),
    Publish(PublishError),
}

/// A failure: its code and its reason.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: lockstep_status,
    why: Why,
}

#[derive(Debug)]
struct Last {
    failure: Option<Failure>,
    text: CString,
}

thread_local! {
    /// The last failure of this thread, and its text once that was asked for.
    static LAST: RefCell<Last> = RefCell::new(Last { failure: None, text: CString::default() });
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, why: Why::Text(text.into()) }
    }

    /// An argument called `name` that is wrong because of `why`.
    pub(crate) fn argument(name: &str, why: &str) -> Self {
        Self::new(Status::Argument, format!("argument {name} {why}"))
    }

    /// Stores it for [`lockstep_error`]; returns the code.
    pub(crate) fn report(self) -> Status {
        let status = self.status;
        LAST.with_borrow_mut(|last| last.failure = Some(self));
        status
    }
}

/// The status with this name.
fn status_named(name: &str) -> Status {
    let named = NAMES.iter().find(|(_, one)| one.to_bytes() == name.as_bytes());
    named.map_or(Status::Io, |(status, _)| *status)
}

impl From<lockstep_client::IoError> for Failure {
    fn from(error: lockstep_client::IoError) -> Self {
        Self::new(status_named(error.status()), error.to_string())
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::new(status_named(error.status()), error.to_string())
    }
}

impl From<lockstep_client::ConfigErrors> for Failure {
    fn from(errors: lockstep_client::ConfigErrors) -> Self {
        Self::new(Status::Config, errors.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let status = match error {
            OpenError::Name(_) => Status::Name,
            OpenError::TimedOut(..) => Status::TimedOut,
            OpenError::TableFull(..) => Status::TableFull,
            OpenError::NotAllowed(_) => Status::NotAllowed,
            _ => Status::Io,
        };
        Self::new(status, error.to_string())
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let status = match error {
            PublishError::Backpressure => Status::Backpressure,
            PublishError::NotOpen => Status::NotOpen,
            PublishError::TooLong { .. } | PublishError::TooLongFor { .. } => Status::TooLong,
            PublishError::Ahead { .. } => Status::AheadOfNumber,
            PublishError::Fenced => Status::Fenced,
            PublishError::OtherProcess => Status::OtherProcess,
            _ => Status::Closed,
        };
        Self { status, why: Why::Publish(error) }
    }
}

/// The names of the statuses.
// Written from bindings/api.toml: names of statuses.
const NAMES: [(Status, &CStr); 22] = [
    (Status::Ok, c"OK"),
    (Status::Backpressure, c"BACKPRESSURE"),
    (Status::NotOpen, c"NOT_OPEN"),
    (Status::TooLong, c"TOO_LONG"),
    (Status::AheadOfNumber, c"AHEAD_OF_NUMBER"),
    (Status::Fenced, c"FENCED"),
    (Status::Closed, c"CLOSED"),
    (Status::Name, c"NAME"),
    (Status::TimedOut, c"TIMED_OUT"),
    (Status::TableFull, c"TABLE_FULL"),
    (Status::NotAllowed, c"NOT_ALLOWED"),
    (Status::Unanswered, c"UNANSWERED"),
    (Status::Io, c"IO"),
    (Status::Config, c"CONFIG"),
    (Status::Argument, c"ARGUMENT"),
    (Status::ClosedHandle, c"CLOSED_HANDLE"),
    (Status::Panic, c"PANIC"),
    (Status::OtherProcess, c"OTHER_PROCESS"),
    (Status::InUse, c"IN_USE"),
    (Status::Machine, c"MACHINE"),
    (Status::Replica, c"REPLICA"),
    (Status::Trial, c"TRIAL"),
];
// End of what is written from bindings/api.toml.

/// The name of a status: `IN_USE` of `LOCKSTEP_STATUS_IN_USE`. It is the same in every language. `UNKNOWN` of
/// a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn lockstep_status_name(status: i32) -> *const c_char {
    let named = NAMES.iter().find(|(one, _)| *one as i32 == status);
    named.map_or(c"UNKNOWN", |(_, name)| name).as_ptr()
}

/// The version of the binary interface of this library: a program that was compiled with another
/// `LOCKSTEP_ABI_VERSION` must not go on.
#[unsafe(no_mangle)]
pub extern "C" fn lockstep_abi_version() -> u32 {
    LOCKSTEP_ABI_VERSION
}

/// The library's version as a text, like `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn lockstep_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The text of the last failure of this thread: what failed, where, and what to do. Valid until the next call
/// of this function by this thread; empty before the first failure.
#[unsafe(no_mangle)]
pub extern "C" fn lockstep_error() -> *const c_char {
    LAST.with_borrow_mut(|last| {
        if let Some(Failure { why, .. }) = last.failure.take() {
            let text = match why {
                Why::Text(text) => text,
                Why::Publish(error) => error.to_string(),
            };
            last.text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        }
        last.text.as_ptr()
    })
}
