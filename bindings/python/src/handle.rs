//! What every handle has, and what those that read have.

use crate::batch::Batch;
use crate::endpoint::Cursor;
use crate::errors::{classes, of_absent, of_argument, of_io};
use crate::event::Event;
use crate::guard::{CheckedOut, Guarded};
use crate::polled::Polled;
use crate::time::{Deadline, timeout};
use lockstep_client::{Delivery, IoError, Start};
use lockstep_flat::FlatHandle;
use pyo3::prelude::*;

/// What every handle has. A handle belongs to one thread at a time.
#[pyclass(name = "_Handle", subclass, frozen, module = "lockstep._native")]
pub(crate) struct Handle {
    guarded: Guarded<Polled>,
}

impl Handle {
    /// The handle of the class that Python calls so.
    pub(crate) fn connected(class: &'static str, handle: Result<FlatHandle, IoError>) -> PyResult<Self> {
        Ok(Self { guarded: Guarded::new(class, Polled::new(handle.map_err(of_io)?)) })
    }

    pub(crate) fn handle(&self) -> PyResult<CheckedOut<'_, Polled>> {
        self.guarded.check_out()
    }
}

/// What those that read have: the methods of their classes lead here.
impl Handle {
    pub(crate) fn begin(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let mut handle = self.handle()?;
        let deadline = Deadline::after(handle.handle.now(), self::timeout(timeout)?);
        let begun = handle.poll_until(py, deadline, |handle, _| handle.has_begun() != Ok(false))?;
        if begun { Ok(()) } else { Err(not_begun(timeout)) }
    }

    pub(crate) fn cursor(&self) -> PyResult<Option<Cursor>> {
        Ok(self.handle()?.cursor())
    }

    pub(crate) fn deliver_next(&self) -> PyResult<u64> {
        self.handle()?.handle.deliver_next().map_err(of_absent)
    }

    pub(crate) fn commit_next(&self) -> PyResult<u64> {
        self.handle()?.handle.commit_next().map_err(of_absent)
    }

    pub(crate) fn has_begun(&self) -> PyResult<bool> {
        self.handle()?.handle.has_begun().map_err(of_absent)
    }

    pub(crate) fn is_ended(&self) -> PyResult<bool> {
        self.handle()?.handle.is_ended().map_err(of_absent)
    }
}

#[pymethods]
impl Handle {
    /// Events and outcomes that are there, as a list; never blocks. At most so many of each.
    #[pyo3(signature = (limit = 256))]
    fn events(&self, py: Python<'_>, limit: i64) -> PyResult<Vec<Event>> {
        self.handle()?.events(py, limit)
    }

    /// Events in a batch, at most so many messages: those that are there, or the first ones until the timeout
    /// in seconds. Without events it is empty.
    #[pyo3(signature = (limit = 4096, timeout = Some(0.0)), text_signature = "($self, limit=4096, timeout=0.0)")]
    fn poll_batch(&self, py: Python<'_>, limit: i64, timeout: Option<f64>) -> PyResult<Batch> {
        self.handle()?.poll_batch(py, limit, timeout)
    }

    /// The next event, once there is one; None when the timeout in seconds is over, or the subscription has
    /// ended and each message has its outcome.
    #[pyo3(signature = (timeout = None))]
    pub(crate) fn next_event(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Event>> {
        self.handle()?.next_event(py, timeout)
    }

    /// Sends what is written, and sleeps until there is something to poll for, or until the timeout in
    /// seconds; returns whether there is.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.handle()?.wait(py, timeout)
    }

    /// A descriptor that is readable while there is something to receive, for select, epoll and event loops.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.handle()?.handle.fd())
    }

    /// Seconds until the handle must be polled, although nothing arrives.
    fn due(&self) -> PyResult<f64> {
        Ok(self.handle()?.due())
    }

    /// Closes the sockets. Messages without an outcome may be stamped or not. Calls after it are refused; to
    /// close again does nothing.
    fn close(&self) -> PyResult<()> {
        self.guarded.close()
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.guarded.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        drop(slf.get().handle()?);
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close()
    }
}

/// Where a subscription begins.
#[derive(FromPyObject)]
pub(crate) enum StartArgument {
    #[pyo3(transparent)]
    Cursor(Cursor),
    #[pyo3(transparent)]
    Seq(u64),
    #[pyo3(transparent)]
    Word(String),
    /// Less than a seq, or more.
    #[pyo3(transparent)]
    Number(i128),
    /// None of these.
    #[pyo3(transparent)]
    Other(Py<PyAny>),
}

impl StartArgument {
    pub(crate) fn read(self) -> PyResult<Start> {
        match self {
            Self::Cursor(Cursor(cursor)) => Ok(Start::Cursor(cursor)),
            Self::Seq(seq) => Ok(Start::From(seq)),
            Self::Word(word) if word == "live" => Ok(Start::Live),
            Self::Word(word) if word == "oldest" => Ok(Start::Oldest),
            Self::Word(word) => Err(of_argument(no_start(&format!("'{word}'")))),
            Self::Number(number) => Err(of_argument(no_start(&number.to_string()))),
            Self::Other(other) => Err(of_argument(no_start(&other.to_string()))),
        }
    }
}

fn no_start(what: &str) -> String {
    format!("start {what} is invalid: write 'live', 'oldest', a seq or a Cursor")
}

/// The number of `lockstep.Delivery`.
pub(crate) fn delivery(number: u32) -> PyResult<Delivery> {
    match number {
        0 => Ok(Delivery::Stamped),
        1 => Ok(Delivery::Committed),
        _ => Err(of_argument(format!("delivery {number} is no lockstep.Delivery"))),
    }
}

/// The failure of a subscription that has no position in time.
fn not_begun(seconds: Option<f64>) -> PyErr {
    let within = seconds.map_or_else(String::new, |seconds| format!(" within {seconds} s"));
    classes::TimedOutError::new_err(format!(
        "the subscription did not begin{within}: no leader was received on the data group; check that the \
         sequencers run and use the same interface and groups"
    ))
}
