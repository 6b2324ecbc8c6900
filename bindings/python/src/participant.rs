//! The handle that publishes and reads, on one device.

use crate::endpoint::{Cursor, Endpoint};
use crate::event::Event;
use crate::handle::{Handle, StartArgument, delivery};
use crate::publisher::Publishing;
use lockstep_flat::FlatHandle;
use pyo3::prelude::*;

/// Publishes messages into the stream and reads it, over one device: each datagram is received once. A handle
/// belongs to one thread at a time.
#[pyclass(extends = Publishing, frozen, module = "lockstep")]
pub(crate) struct Participant;

#[pymethods]
impl Participant {
    #[new]
    #[pyo3(signature = (endpoint, start = StartArgument::Word("live".to_owned()), delivery = 1),
           text_signature = "(endpoint, start='live', delivery=1)")]
    fn new(
        endpoint: &Bound<'_, Endpoint>,
        start: StartArgument,
        delivery: u32,
    ) -> PyResult<PyClassInitializer<Self>> {
        let (start, delivery) = (start.read()?, self::delivery(delivery)?);
        let handle = lockstep_client::Participant::connect(&endpoint.get().inner, delivery, start);
        let handle = Handle::connected("Participant", handle.map(FlatHandle::Participant))?;
        Ok(PyClassInitializer::from(handle).add_subclass(Publishing).add_subclass(Self))
    }

    /// Polls until the subscription has its position: a live one delivers what is published after it. Events
    /// of these polls are delivered by the next call.
    #[pyo3(signature = (timeout = Some(10.0)), text_signature = "($self, timeout=10.0)")]
    fn begin(slf: &Bound<'_, Self>, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        slf.as_super().as_super().get().begin(py, timeout)
    }

    /// The position behind the last event that the program has received, as start of a later subscription;
    /// None until an event of the stream has come.
    #[getter]
    fn cursor(slf: &Bound<'_, Self>) -> PyResult<Option<Cursor>> {
        slf.as_super().as_super().get().cursor()
    }

    /// The next seq to be delivered; 0 before a live subscription has begun.
    #[getter]
    fn deliver_next(slf: &Bound<'_, Self>) -> PyResult<u64> {
        slf.as_super().as_super().get().deliver_next()
    }

    /// The exclusive bound of what is final, as far as it was received here.
    #[getter]
    fn commit_next(slf: &Bound<'_, Self>) -> PyResult<u64> {
        slf.as_super().as_super().get().commit_next()
    }

    /// Whether the subscription has its position.
    #[getter]
    fn has_begun(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().as_super().get().has_begun()
    }

    /// Whether the subscription has ended: the event before gave the reason.
    #[getter]
    fn is_ended(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().as_super().get().is_ended()
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>, py: Python<'_>) -> PyResult<Option<Event>> {
        slf.as_super().as_super().get().next_event(py, None)
    }
}
