//! The handle that reads the stream.

use crate::batch::Batch;
use crate::endpoint::{Cursor, Endpoint};
use crate::errors::{classes, of_argument, of_io};
use crate::event::Event;
use crate::guard::{CheckedOut, Guarded};
use crate::polled::{Polled, Polls};
use crate::time::{Deadline, timeout};
use lockstep_client::{Delivery, IoError, Start, SubscriberEvent};
use pyo3::prelude::*;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Reads the stream of a cluster. A handle belongs to one thread at a time.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Subscriber {
    guarded: Guarded<Polled<lockstep_client::Subscriber>>,
}

impl Polls for lockstep_client::Subscriber {
    fn turn(&mut self, limit: usize, batch: &mut lockstep_flat::Batch, flow: ControlFlow<()>) -> usize {
        self.poll(limit, |event| on_subscriber(batch, &event, flow))
    }

    fn sleep(&mut self, time: Duration) -> Result<bool, IoError> {
        self.wait(time)
    }

    fn due(&self) -> Duration {
        self.due()
    }

    fn fd(&self) -> RawFd {
        self.as_raw_fd()
    }

    fn now(&self) -> u64 {
        self.now()
    }

    fn outcomes(&self) -> lockstep_client::Outcomes {
        lockstep_client::Outcomes::default()
    }

    fn position(&self) -> Option<lockstep_client::Cursor> {
        self.cursor()
    }

    fn is_over(&self) -> bool {
        self.is_ended()
    }
}

/// Adds an event; leaves the rest if the batch is full, or `flow` says so.
#[inline]
pub(crate) fn on_subscriber(
    batch: &mut lockstep_flat::Batch,
    event: &SubscriberEvent<'_>,
    flow: ControlFlow<()>,
) -> ControlFlow<()> {
    if batch.on_subscriber(event).is_break() { ControlFlow::Break(()) } else { flow }
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
pub(crate) fn not_begun(seconds: Option<f64>) -> PyErr {
    let within = seconds.map_or_else(String::new, |seconds| format!(" within {seconds} s"));
    classes::TimedOutError::new_err(format!(
        "the subscription did not begin{within}: no leader was received on the data group; check that the \
         sequencers run and use the same interface and groups"
    ))
}

impl Subscriber {
    fn handle(&self) -> PyResult<CheckedOut<'_, Polled<lockstep_client::Subscriber>>> {
        self.guarded.check_out()
    }
}

#[pymethods]
impl Subscriber {
    #[new]
    #[pyo3(signature = (endpoint, start = StartArgument::Word("live".to_owned()), delivery = 1),
           text_signature = "(endpoint, start='live', delivery=1)")]
    fn new(endpoint: &Bound<'_, Endpoint>, start: StartArgument, delivery: u32) -> PyResult<Self> {
        let (start, delivery) = (start.read()?, self::delivery(delivery)?);
        let handle = lockstep_client::Subscriber::connect(&endpoint.get().inner, delivery, start);
        Ok(Self { guarded: Guarded::new("Subscriber", Polled::new(handle.map_err(of_io)?)) })
    }

    /// Polls until the subscription has its position: a live one delivers what is published after it. Events
    /// of these polls are delivered by the next call.
    #[pyo3(signature = (timeout = Some(10.0)), text_signature = "($self, timeout=10.0)")]
    fn begin(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let mut handle = self.handle()?;
        let deadline = Deadline::after(handle.handle.now(), self::timeout(timeout)?);
        let begun = handle.poll_until(py, deadline, |handle, _| handle.has_begun())?;
        if begun { Ok(()) } else { Err(not_begun(timeout)) }
    }

    /// Events that are there, as a list; never blocks. At most so many messages.
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
    /// ended.
    #[pyo3(signature = (timeout = None))]
    fn next_event(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Event>> {
        self.handle()?.next_event(py, timeout)
    }

    /// Sleeps until there is something to poll for, or until the timeout in seconds; returns whether there
    /// is.
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

    /// The position behind the last event that the program has received, as start of a later subscription;
    /// None until an event of the stream has come.
    #[getter]
    fn cursor(&self) -> PyResult<Option<Cursor>> {
        Ok(self.handle()?.cursor())
    }

    /// The next seq to be delivered; 0 before a live subscription has begun.
    #[getter]
    fn deliver_next(&self) -> PyResult<u64> {
        Ok(self.handle()?.handle.deliver_next())
    }

    /// The exclusive bound of what is final, as far as it was received here.
    #[getter]
    fn commit_next(&self) -> PyResult<u64> {
        Ok(self.handle()?.handle.commit_next())
    }

    /// Whether the subscription has its position.
    #[getter]
    fn has_begun(&self) -> PyResult<bool> {
        Ok(self.handle()?.handle.has_begun())
    }

    /// Whether the subscription has ended: the event before gave the reason.
    #[getter]
    fn is_ended(&self) -> PyResult<bool> {
        Ok(self.handle()?.handle.is_ended())
    }

    /// Closes the sockets. Calls after it are refused; to close again does nothing.
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

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        self.next_event(py, None)
    }
}
