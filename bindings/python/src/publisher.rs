//! What every handle that publishes has, and the handle that only publishes.

use crate::bytes::with_bytes;
use crate::endpoint::Endpoint;
use crate::errors::{of_absent, of_argument, of_io, of_open, of_publish};
use crate::guard::CheckedOut;
use crate::handle::Handle;
use crate::outcomes::Outcomes;
use crate::polled::Polled;
use crate::time::{Deadline, timeout};
use lockstep_client::internal::PublisherCore;
use lockstep_client::{DayMark, OpenError};
use lockstep_flat::{FlatEvent, FlatHandle, FlatKind};
use lockstep_io::clock::random_u64;
use pyo3::prelude::*;
use std::time::Duration;

/// What every handle that publishes has.
#[pyclass(name = "_Publishing", extends = Handle, subclass, frozen, module = "lockstep._native")]
pub(crate) struct Publishing;

fn handle<'a>(slf: &'a Bound<'_, Publishing>) -> PyResult<CheckedOut<'a, Polled>> {
    slf.as_super().get().handle()
}

/// What publishes.
fn publishing<'a>(polled: &'a mut CheckedOut<'_, Polled>) -> PyResult<&'a mut PublisherCore> {
    polled.handle.publisher_mut().map_err(of_absent)
}

/// A name, with what distinguishes the process that opens it, and the seconds for it.
type Opening<'a> = (&'a str, Option<(u64, u64)>, Option<f64>);

/// Opens a name.
fn open(
    polled: &mut CheckedOut<'_, Polled>,
    py: Python<'_>,
    (name, nonce, seconds): Opening<'_>,
) -> PyResult<u32> {
    let deadline = Deadline::after(polled.handle.now(), timeout(seconds)?);
    let nonce = match nonce {
        Some((first, second)) => [first, second],
        None => [random_u64().map_err(of_io)?, random_u64().map_err(of_io)?],
    };
    let ticket = publishing(polled)?.open(name, nonce);
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
const END_OF_DAY: DayMark<'_> = DayMark { is_start: false, name: "" };

/// The mark with which the trading day of this name begins.
fn start_of_day(name: &str) -> PyResult<DayMark<'_>> {
    if DayMark::is_name(name) {
        return Ok(DayMark { is_start: true, name });
    }
    Err(of_argument(format!("day '{name}' is no name: it has 1 to 16 ASCII letters and digits")))
}

#[pymethods]
impl Publishing {
    /// Opens a name and returns the publisher's id, at most for the timeout in seconds. Another process that
    /// has the name open is fenced, unless it has the same nonce. Events of these polls are delivered by the
    /// next call; the value of NAME_OPENED is the number of the last committed message.
    #[pyo3(signature = (name, timeout = Some(10.0), nonce = None), text_signature = "($self, name, timeout=10.0, nonce=None)")]
    fn open(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        name: &str,
        timeout: Option<f64>,
        nonce: Option<(u64, u64)>,
    ) -> PyResult<u32> {
        let mut handle = handle(slf)?;
        open(&mut handle, py, (name, nonce, timeout))
    }

    /// Copies a message into the open datagram and returns its number. The next flush, wait or poll sends it;
    /// its outcome is an event. Where the window is full it polls until there is room, for the timeout in
    /// seconds, and the events of these polls are delivered by the next call; BackpressureError when that is
    /// over: take events, and publish it again.
    #[pyo3(signature = (publisher, payload, destination = lockstep_client::EVERYBODY, timeout = Some(0.0)), text_signature = "($self, publisher, payload, destination=0, timeout=0.0)")]
    fn publish(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        publisher: u32,
        payload: &Bound<'_, PyAny>,
        destination: u32,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let publish = |publishing: &mut PublisherCore, bytes: &[u8]| {
            publishing.try_publish(publisher, destination, bytes)
        };
        handle(slf)?.publish(py, payload, timeout, publish)
    }

    /// Publishes a message under a number that the program derives from its own state: the stream skips a
    /// number that it has. AheadOfNumberError if numbers before it are missing. It waits as `publish` does.
    #[pyo3(signature = (publisher, number, payload, destination = lockstep_client::EVERYBODY, timeout = Some(0.0)), text_signature = "($self, publisher, number, payload, destination=0, timeout=0.0)")]
    fn publish_at(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        publisher: u32,
        number: u64,
        payload: &Bound<'_, PyAny>,
        destination: u32,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let publish = |publishing: &mut PublisherCore, bytes: &[u8]| {
            publishing.try_publish_at(publisher, number, destination, bytes)
        };
        handle(slf)?.publish(py, payload, timeout, publish)
    }

    /// Closes the publisher behind all of its messages; readers receive the reason. Its outcome is an event.
    #[pyo3(signature = (publisher, reason = None))]
    fn close_name(slf: &Bound<'_, Self>, publisher: u32, reason: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let mut handle = handle(slf)?;
        let mut close =
            |reason: &[u8]| publishing(&mut handle)?.try_close(publisher, reason).map_err(of_publish);
        match reason {
            Some(reason) => with_bytes(reason, close),
            None => close(b""),
        }
    }

    /// Marks the start of the trading day of this name, 1 to 16 ASCII letters and digits. The mark has a
    /// number and an outcome like a message.
    fn start_day(slf: &Bound<'_, Self>, publisher: u32, day: &str) -> PyResult<u64> {
        publishing(&mut handle(slf)?)?.try_day(publisher, start_of_day(day)?, None).map_err(of_publish)
    }

    /// Marks the end of the trading day. The mark has a number and an outcome like a message.
    fn end_day(slf: &Bound<'_, Self>, publisher: u32) -> PyResult<u64> {
        publishing(&mut handle(slf)?)?.try_day(publisher, END_OF_DAY, None).map_err(of_publish)
    }

    /// Sends what is written; returns the number of datagrams.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<usize> {
        handle(slf)?.handle.flush().map_err(of_absent)
    }

    /// Polls until every message has its outcome, or the timeout in seconds is over. Returns what became of
    /// those that had none when the last drain returned: it is true where all of them are committed. Events
    /// of these polls are delivered by the next call.
    #[pyo3(signature = (timeout = None))]
    fn drain(slf: &Bound<'_, Self>, py: Python<'_>, timeout: Option<f64>) -> PyResult<Outcomes> {
        handle(slf)?.drain(py, timeout)
    }

    /// What became of all messages of this handle so far.
    #[getter]
    fn outcomes(slf: &Bound<'_, Self>) -> PyResult<Outcomes> {
        Ok(Outcomes(handle(slf)?.handle.outcomes().map_err(of_absent)?))
    }

    /// Whether every published message has its outcome, whichever.
    #[getter]
    fn is_drained(slf: &Bound<'_, Self>) -> PyResult<bool> {
        handle(slf)?.handle.is_drained().map_err(of_absent)
    }

    /// Whether the handle follows a leader's stream.
    #[getter]
    fn is_connected(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(handle(slf)?.handle.is_connected())
    }

    /// Bytes of the longest message for a destination.
    #[pyo3(signature = (destination = lockstep_client::EVERYBODY), text_signature = "($self, destination=0)")]
    fn message_len_max(slf: &Bound<'_, Self>, destination: u32) -> PyResult<usize> {
        Ok(publishing(&mut handle(slf)?)?.message_len_max_for(destination))
    }
}

/// Publishes messages into the stream of a cluster; its events are outcomes. A handle belongs to one thread
/// at a time.
#[pyclass(extends = Publishing, frozen, module = "lockstep")]
pub(crate) struct Publisher;

#[pymethods]
impl Publisher {
    #[new]
    fn new(endpoint: &Bound<'_, Endpoint>) -> PyResult<PyClassInitializer<Self>> {
        let handle = lockstep_client::Publisher::connect(&endpoint.get().inner).map(FlatHandle::Publisher);
        let handle = Handle::connected("Publisher", handle)?;
        Ok(PyClassInitializer::from(handle).add_subclass(Publishing).add_subclass(Self))
    }
}
