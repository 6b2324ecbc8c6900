//! The handle that only reads the stream.

use crate::endpoint::{Cursor, Endpoint};
use crate::event::Event;
use crate::handle::{Handle, StartArgument, delivery};
use lockstep_flat::FlatHandle;
use pyo3::prelude::*;

/// Reads the stream of a cluster. A handle belongs to one thread at a time.
#[pyclass(extends = Handle, frozen, module = "lockstep")]
pub(crate) struct Subscriber;

#[pymethods]
impl Subscriber {
    #[new]
    #[pyo3(signature = (endpoint, start = StartArgument::Word("live".to_owned()), delivery = 1),
           text_signature = "(endpoint, start='live', delivery=1)")]
    fn new(
        endpoint: &Bound<'_, Endpoint>,
        start: StartArgument,
        delivery: u32,
    ) -> PyResult<PyClassInitializer<Self>> {
        let (start, delivery) = (start.read()?, self::delivery(delivery)?);
        let handle = lockstep_client::Subscriber::connect(&endpoint.get().inner, delivery, start);
        let handle = Handle::connected("Subscriber", handle.map(FlatHandle::Subscriber))?;
        Ok(PyClassInitializer::from(handle).add_subclass(Self))
    }

    /// Polls until the subscription has its position: a live one delivers what is published after it. Events
    /// of these polls are delivered by the next call.
    #[pyo3(signature = (timeout = Some(10.0)), text_signature = "($self, timeout=10.0)")]
    fn begin(slf: &Bound<'_, Self>, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        slf.as_super().get().begin(py, timeout)
    }

    /// The position behind the last event that the program has received, as start of a later subscription;
    /// None until an event of the stream has come.
    #[getter]
    fn cursor(slf: &Bound<'_, Self>) -> PyResult<Option<Cursor>> {
        slf.as_super().get().cursor()
    }

    /// The next seq to be delivered; 0 before a live subscription has begun.
    #[getter]
    fn deliver_next(slf: &Bound<'_, Self>) -> PyResult<u64> {
        slf.as_super().get().deliver_next()
    }

    /// The exclusive bound of what is final, as far as it was received here.
    #[getter]
    fn commit_next(slf: &Bound<'_, Self>) -> PyResult<u64> {
        slf.as_super().get().commit_next()
    }

    /// Whether the subscription has its position.
    #[getter]
    fn has_begun(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().get().has_begun()
    }

    /// Whether the subscription has ended: the event before gave the reason.
    #[getter]
    fn is_ended(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().get().is_ended()
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>, py: Python<'_>) -> PyResult<Option<Event>> {
        slf.as_super().get().next_event(py, None)
    }
}
