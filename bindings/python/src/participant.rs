//! The handle that publishes and reads, on one device.

use crate::batch::Batch;
use crate::bytes::with_bytes;
use crate::endpoint::{Cursor, Endpoint};
use crate::errors::{of_io, of_publish};
use crate::event::Event;
use crate::guard::{CheckedOut, Guarded};
use crate::outcomes::Outcomes;
use crate::polled::{Polled, Polls};
use crate::publisher::{END_OF_DAY, open, start_of_day};
use crate::subscriber::{StartArgument, delivery, not_begun, on_subscriber};
use crate::time::{Deadline, timeout};
use lockstep_client::{IoError, ParticipantEvent};
use pyo3::prelude::*;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Publishes messages into the stream and reads it, over one device: each datagram is received once. A handle
/// belongs to one thread at a time.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Participant {
    guarded: Guarded<Polled<lockstep_client::Participant>>,
}

impl Polls for lockstep_client::Participant {
    fn turn(&mut self, limit: usize, batch: &mut lockstep_flat::Batch, flow: ControlFlow<()>) -> usize {
        self.poll(limit, |event| match event {
            ParticipantEvent::Subscriber(event) => on_subscriber(batch, &event, flow),
            ParticipantEvent::Publisher(event) => {
                batch.on_publisher(&event);
                ControlFlow::Continue(())
            }
        })
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
        self.cursor()
    }

    fn is_over(&self) -> bool {
        self.is_ended() && self.is_drained()
    }
}

impl Participant {
    fn handle(&self) -> PyResult<CheckedOut<'_, Polled<lockstep_client::Participant>>> {
        self.guarded.check_out()
    }
}

#[pymethods]
impl Participant {
    #[new]
    #[pyo3(signature = (endpoint, start = StartArgument::Word("live".to_owned()), delivery = 1),
           text_signature = "(endpoint, start='live', delivery=1)")]
    fn new(endpoint: &Bound<'_, Endpoint>, start: StartArgument, delivery: u32) -> PyResult<Self> {
        let (start, delivery) = (start.read()?, self::delivery(delivery)?);
        let handle = lockstep_client::Participant::connect(&endpoint.get().inner, delivery, start);
        Ok(Self { guarded: Guarded::new("Participant", Polled::new(handle.map_err(of_io)?)) })
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
        let publish = |handle: &mut lockstep_client::Participant, bytes: &[u8]| {
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
        let publish = |handle: &mut lockstep_client::Participant, bytes: &[u8]| {
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

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        self.next_event(py, None)
    }
}
