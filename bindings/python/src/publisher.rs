//! The handle that publishes.

use crate::batch::Batch;
use crate::bytes::with_bytes;
use crate::endpoint::Endpoint;
use crate::errors::{of_argument, of_io, of_open, of_publish};
use crate::event::Event;
use crate::guard::{CheckedOut, Guarded};
use crate::outcomes::Outcomes;
use crate::polled::{Polled, Polls};
use crate::time::{Deadline, timeout};
use lockstep_client::{DayMark, IoError, OpenError};
use lockstep_flat::{FlatEvent, FlatKind};
use lockstep_io::clock::random_u64;
use pyo3::prelude::*;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Publishes messages into the stream of a cluster; its events are outcomes. A handle belongs to one thread
/// at a time.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Publisher {
    guarded: Guarded<Polled<lockstep_client::Publisher>>,
}

impl Polls for lockstep_client::Publisher {
    fn turn(&mut self, limit: usize, batch: &mut lockstep_flat::Batch, _: ControlFlow<()>) -> usize {
        self.poll(limit, |event| batch.on_publisher(&event))
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
        self.outcomes()
    }

    fn position(&self) -> Option<lockstep_client::Cursor> {
        None
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// A name, with what distinguishes the process that opens it, and the seconds for it.
pub(crate) type Opening<'a> = (&'a str, Option<(u64, u64)>, Option<f64>);

/// Opens a name: `begin` sends for it.
pub(crate) fn open<H: Polls>(
    polled: &mut CheckedOut<'_, Polled<H>>,
    py: Python<'_>,
    (name, nonce, seconds): Opening<'_>,
    begin: impl FnOnce(&mut H, &str, [u64; 2]) -> Option<usize>,
) -> PyResult<u32> {
    let deadline = Deadline::after(polled.handle.now(), timeout(seconds)?);
    let nonce = match nonce {
        Some((first, second)) => [first, second],
        None => [random_u64().map_err(of_io)?, random_u64().map_err(of_io)?],
    };
    let ticket = begin(&mut polled.handle, name, nonce);
    let ticket = ticket.ok_or_else(|| of_open(OpenError::Name(name.to_owned())))?;
    let mut answer = None;
    polled.poll_until(py, deadline, |_, event| {
        let ours = |event: &&FlatEvent| event.detail == ticket as u32;
        match event.filter(ours).map(|event| (event.kind(), event)) {
            Some((Some(FlatKind::NameOpened), event)) => answer = Some(Ok(event.publisher)),
            Some((Some(FlatKind::NameRefused), event)) => answer = Some(Err((event.value, event.value2))),
            _ => {}
        }
        answer.is_some()
    })?;
    let name = name.to_owned();
    match answer {
        Some(Ok(publisher)) => Ok(publisher),
        Some(Err((1, max))) => Err(of_open(OpenError::TableFull(name, max as u32))),
        Some(Err(_)) => Err(of_open(OpenError::NotAllowed(name))),
        None => {
            let within = timeout(seconds)?.unwrap_or(Duration::MAX);
            Err(of_open(OpenError::TimedOut(name, within)))
        }
    }
}

/// The mark with which a trading day ends.
pub(crate) const END_OF_DAY: DayMark<'_> = DayMark { is_start: false, name: "" };

/// The mark with which the trading day of this name begins.
pub(crate) fn start_of_day(name: &str) -> PyResult<DayMark<'_>> {
    if DayMark::is_name(name) {
        return Ok(DayMark { is_start: true, name });
    }
    Err(of_argument(format!("day '{name}' is no name: it has 1 to 16 ASCII letters and digits")))
}

impl Publisher {
    fn handle(&self) -> PyResult<CheckedOut<'_, Polled<lockstep_client::Publisher>>> {
        self.guarded.check_out()
    }
}

#[pymethods]
impl Publisher {
    #[new]
    fn new(endpoint: &Bound<'_, Endpoint>) -> PyResult<Self> {
        let handle = lockstep_client::Publisher::connect(&endpoint.get().inner).map_err(of_io)?;
        Ok(Self { guarded: Guarded::new("Publisher", Polled::new(handle)) })
    }

    /// Opens a name and returns the publisher's id, at most for the timeout in seconds. Another process that
    /// has the name open is fenced, unless it has the same nonce. Events of these polls are delivered by the
    /// next call; the value of NAME_OPENED is the number of the last committed message.
    #[pyo3(signature = (name, timeout = Some(10.0), nonce = None), text_signature = "($self, name, timeout=10.0, nonce=None)")]
    fn open(
        &self,
        py: Python<'_>,
        name: &str,
        timeout: Option<f64>,
        nonce: Option<(u64, u64)>,
    ) -> PyResult<u32> {
        let mut handle = self.handle()?;
        open(&mut handle, py, (name, nonce, timeout), |handle, name, nonce| handle.begin_open(name, nonce))
    }

    /// Copies a message into the open datagram and returns its number. The next flush, wait or poll sends it;
    /// its outcome is an event. Where the window is full it polls until there is room, for the timeout in
    /// seconds, and the events of these polls are delivered by the next call; BackpressureError when that is
    /// over: take events, and publish it again.
    #[pyo3(signature = (publisher, payload, destination = lockstep_client::EVERYBODY, timeout = Some(0.0)), text_signature = "($self, publisher, payload, destination=0, timeout=0.0)")]
    fn publish(
        &self,
        py: Python<'_>,
        publisher: u32,
        payload: &Bound<'_, PyAny>,
        destination: u32,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let publish = |handle: &mut lockstep_client::Publisher, bytes: &[u8]| {
            handle.try_publish(publisher, destination, bytes)
        };
        self.handle()?.publish(py, payload, timeout, publish)
    }

    /// Publishes a message under a number that the program derives from its own state: the stream skips a
    /// number that it has. AheadOfNumberError if numbers before it are missing. It waits as `publish` does.
    #[pyo3(signature = (publisher, number, payload, destination = lockstep_client::EVERYBODY, timeout = Some(0.0)), text_signature = "($self, publisher, number, payload, destination=0, timeout=0.0)")]
    fn publish_at(
        &self,
        py: Python<'_>,
        publisher: u32,
        number: u64,
        payload: &Bound<'_, PyAny>,
        destination: u32,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let publish = |handle: &mut lockstep_client::Publisher, bytes: &[u8]| {
            handle.try_publish_at(publisher, number, destination, bytes)
        };
        self.handle()?.publish(py, payload, timeout, publish)
    }

    /// Closes the publisher behind all of its messages; readers receive the reason. Its outcome is an event.
    #[pyo3(signature = (publisher, reason = None))]
    fn close_name(&self, publisher: u32, reason: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let mut handle = self.handle()?;
        let mut close = |reason: &[u8]| handle.handle.try_close(publisher, reason).map_err(of_publish);
        match reason {
            Some(reason) => with_bytes(reason, close),
            None => close(b""),
        }
    }

    /// Marks the start of the trading day of this name, 1 to 16 ASCII letters and digits. The mark has a
    /// number and an outcome like a message.
    fn start_day(&self, publisher: u32, day: &str) -> PyResult<u64> {
        self.handle()?.handle.try_day(publisher, start_of_day(day)?).map_err(of_publish)
    }

    /// Marks the end of the trading day. The mark has a number and an outcome like a message.
    fn end_day(&self, publisher: u32) -> PyResult<u64> {
        self.handle()?.handle.try_day(publisher, END_OF_DAY).map_err(of_publish)
    }

    /// Sends what is written; returns the number of datagrams.
    fn flush(&self) -> PyResult<usize> {
        Ok(self.handle()?.handle.flush())
    }

    /// Outcomes and other events that are there, as a list; never blocks.
    #[pyo3(signature = (limit = 256))]
    fn events(&self, py: Python<'_>, limit: i64) -> PyResult<Vec<Event>> {
        self.handle()?.events(py, limit)
    }

    /// The same in a batch, or the first ones until the timeout in seconds. Without events it is empty.
    #[pyo3(signature = (limit = 4096, timeout = Some(0.0)), text_signature = "($self, limit=4096, timeout=0.0)")]
    fn poll_batch(&self, py: Python<'_>, limit: i64, timeout: Option<f64>) -> PyResult<Batch> {
        self.handle()?.poll_batch(py, limit, timeout)
    }

    /// The next event, once there is one; None when the timeout in seconds is over.
    #[pyo3(signature = (timeout = None))]
    fn next_event(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Event>> {
        self.handle()?.next_event(py, timeout)
    }

    /// Sends what is written, and sleeps until there is something to poll for, or until the timeout in
    /// seconds; returns whether there is.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.handle()?.wait(py, timeout)
    }

    /// Polls until every message has its outcome, or the timeout in seconds is over. Returns what became of
    /// those that had none when the last drain returned: it is true where all of them are committed. Events
    /// of these polls are delivered by the next call.
    #[pyo3(signature = (timeout = None))]
    fn drain(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Outcomes> {
        self.handle()?.drain(py, timeout)
    }

    /// What became of all messages of this handle so far.
    #[getter]
    fn outcomes(&self) -> PyResult<Outcomes> {
        Ok(Outcomes(self.handle()?.handle.outcomes()))
    }

    /// Whether every published message has its outcome, whichever.
    #[getter]
    fn is_drained(&self) -> PyResult<bool> {
        Ok(self.handle()?.handle.is_drained())
    }

    /// Whether the handle follows a leader's stream.
    #[getter]
    fn is_connected(&self) -> PyResult<bool> {
        Ok(self.handle()?.handle.is_connected())
    }

    /// Bytes of the longest message for a destination.
    #[pyo3(signature = (destination = lockstep_client::EVERYBODY), text_signature = "($self, destination=0)")]
    fn message_len_max(&self, destination: u32) -> PyResult<usize> {
        Ok(self.handle()?.handle.message_len_max_for(destination))
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
