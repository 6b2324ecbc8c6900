//! A failure as an exception: its class is the status, its text says what failed, where, and what to do.

use lockstep_client::{ConfigErrors, IoError, OpenError, PublishError};
use lockstep_flat::AbsentHalf;
use lockstep_node::JournalError;
use pyo3::PyErr;

/// The classes, which Python defines.
pub(crate) mod classes {
    pyo3::import_exception!(lockstep._errors, AheadOfNumberError);
    pyo3::import_exception!(lockstep._errors, ArgumentError);
    pyo3::import_exception!(lockstep._errors, BackpressureError);
    pyo3::import_exception!(lockstep._errors, ClosedError);
    pyo3::import_exception!(lockstep._errors, ClosedHandleError);
    pyo3::import_exception!(lockstep._errors, ConfigError);
    pyo3::import_exception!(lockstep._errors, FencedError);
    pyo3::import_exception!(lockstep._errors, InUseError);
    pyo3::import_exception!(lockstep._errors, IoError);
    pyo3::import_exception!(lockstep._errors, JournalError);
    pyo3::import_exception!(lockstep._errors, NameRefusedError);
    pyo3::import_exception!(lockstep._errors, NotAllowedError);
    pyo3::import_exception!(lockstep._errors, NotOpenError);
    pyo3::import_exception!(lockstep._errors, OtherProcessError);
    pyo3::import_exception!(lockstep._errors, PanicError);
    pyo3::import_exception!(lockstep._errors, ReplicaError);
    pyo3::import_exception!(lockstep._errors, TableFullError);
    pyo3::import_exception!(lockstep._errors, TimedOutError);
    pyo3::import_exception!(lockstep._errors, TooLongError);
    pyo3::import_exception!(lockstep._errors, TrialError);
}

/// The failure of an argument that the call does not take.
pub(crate) fn of_argument(text: impl Into<String>) -> PyErr {
    classes::ArgumentError::new_err(text.into())
}

/// The failure of a call of the half that a handle lacks. No class has such a call.
pub(crate) fn of_absent(absent: AbsentHalf) -> PyErr {
    of_argument(format!("the handle {absent}"))
}

pub(crate) fn of_publish(error: PublishError) -> PyErr {
    let text = error.to_string();
    match error {
        PublishError::Backpressure => classes::BackpressureError::new_err(text),
        PublishError::NotOpen => classes::NotOpenError::new_err(text),
        PublishError::TooLong { .. } | PublishError::TooLongFor { .. } => {
            classes::TooLongError::new_err(text)
        }
        PublishError::Ahead { .. } => classes::AheadOfNumberError::new_err(text),
        PublishError::Fenced => classes::FencedError::new_err(text),
        PublishError::OtherProcess => classes::OtherProcessError::new_err(text),
        _ => classes::ClosedError::new_err(text),
    }
}

pub(crate) fn of_open(error: OpenError) -> PyErr {
    let text = error.to_string();
    match error {
        OpenError::Name(_) => classes::NameRefusedError::new_err(text),
        OpenError::TimedOut(..) => classes::TimedOutError::new_err(text),
        OpenError::TableFull(..) => classes::TableFullError::new_err(text),
        OpenError::NotAllowed(_) => classes::NotAllowedError::new_err(text),
        _ => classes::IoError::new_err(text),
    }
}

pub(crate) fn of_io(error: IoError) -> PyErr {
    let text = error.to_string();
    match error.status() {
        "TIMED_OUT" => classes::TimedOutError::new_err(text),
        "ARGUMENT" => of_argument(text),
        "IN_USE" => classes::InUseError::new_err(text),
        "OTHER_PROCESS" => classes::OtherProcessError::new_err(text),
        _ => classes::IoError::new_err(text),
    }
}

pub(crate) fn of_config(errors: ConfigErrors) -> PyErr {
    classes::ConfigError::new_err(errors.to_string())
}

pub(crate) fn of_journal(error: JournalError) -> PyErr {
    classes::JournalError::new_err(error.to_string())
}
