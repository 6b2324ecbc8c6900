//! Events of the merged order of a set: an event of its stream, and its place.

use crate::batch::{Batch, Exported, Spare};
use crate::event::Event;
use lockstep_flat::{FlatEvent, FlatPlace, MergedBatch as FlatBatch};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a place.
const PLACE_LEN: isize = size_of::<FlatPlace>() as isize;
/// The fields of a place, as PEP 3118 writes them.
const PLACE_FORMAT: &CStr = c"T{<Q:number:<Q:time:<Q:stream:}";

/// An event, and its place in the merged order of a set.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct MergedEvent {
    place: FlatPlace,
    event: Py<Event>,
}

impl MergedEvent {
    pub(crate) fn new(py: Python<'_>, place: FlatPlace, row: FlatEvent, payload: &[u8]) -> PyResult<Self> {
        Ok(Self { place, event: Py::new(py, Event::new(py, row, payload))? })
    }
}

#[pymethods]
impl MergedEvent {
    /// The merged number of the entry, from 1 without holes; 0 of an event that stands for no entry. What one
    /// entry says in several events has one number.
    #[getter]
    fn number(&self) -> u64 {
        self.place.number
    }

    /// The merged time: the greatest timestamp so far, nanoseconds since the Unix epoch. It never falls.
    #[getter]
    fn time(&self) -> u64 {
        self.place.time
    }

    /// The number of the stream's cluster.
    #[getter]
    fn stream(&self) -> u64 {
        self.place.stream
    }

    /// The event, as the stream's own subscription reports it.
    #[getter]
    fn event(&self, py: Python<'_>) -> Py<Event> {
        self.event.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let FlatPlace { number, stream, .. } = self.place;
        Ok(format!("<MergedEvent number={number} stream={stream} {}>", self.event.bind(py).repr()?))
    }
}

/// Events of a poll in the merged order: a sequence of MergedEvent, and a buffer of places of 24 bytes, which
/// numpy.frombuffer(batch, dtype=PLACE_DTYPE) reads in place. Those of `batch` are the rows of the events. It
/// never changes; its memory is there as long as it or a view of it is.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct MergedBatch {
    batch: Py<Batch>,
    places: Vec<FlatPlace>,
}

impl MergedBatch {
    pub(crate) fn new(py: Python<'_>, inner: FlatBatch, spare: &Spare) -> PyResult<Self> {
        let (batch, places) = inner.into_parts();
        Ok(Self { batch: Py::new(py, Batch::new(batch, spare))?, places })
    }

    /// The event of a row that is there.
    fn event(&self, py: Python<'_>, place: usize) -> PyResult<MergedEvent> {
        let event = Py::new(py, self.batch.get().event(py, place))?;
        Ok(MergedEvent { place: self.places[place], event })
    }

    /// Its events as objects.
    pub(crate) fn events(&self, py: Python<'_>) -> PyResult<Vec<MergedEvent>> {
        (0..self.places.len()).map(|place| self.event(py, place)).collect()
    }
}

#[pymethods]
impl MergedBatch {
    fn __len__(&self) -> usize {
        self.places.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<MergedEvent> {
        self.event(py, self.batch.get().place_of(index)?)
    }

    fn __iter__(slf: Bound<'_, Self>) -> MergedBatchEvents {
        MergedBatchEvents { batch: slf.unbind(), next: AtomicUsize::new(0) }
    }

    /// The rows of the events, and their payloads.
    #[getter]
    fn batch(&self, py: Python<'_>) -> Py<Batch> {
        self.batch.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("<MergedBatch of {} events>", self.places.len())
    }

    /// # Safety
    /// As Python calls it.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = bytemuck::cast_slice(&slf.get().places);
        let exported = Exported { bytes, item_len: PLACE_LEN, format: PLACE_FORMAT };
        // SAFETY: Python passes a view to fill in. The batch never changes, so that its places lie there
        // while `slf` lives, which the view owns.
        unsafe { exported.describe(slf.clone().into_any(), view, flags) }
    }

    /// # Safety
    /// As Python calls it.
    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: Python releases each view that it got from `__getbuffer__`, once.
        unsafe { Exported::free(view) };
    }
}

/// The events of a batch, one by one.
#[pyclass(frozen, module = "lockstep._native")]
pub(crate) struct MergedBatchEvents {
    batch: Py<MergedBatch>,
    next: AtomicUsize,
}

#[pymethods]
impl MergedBatchEvents {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<MergedEvent>> {
        let (batch, place) = (self.batch.get(), self.next.fetch_add(1, Ordering::Relaxed));
        if place < batch.places.len() { batch.event(py, place).map(Some) } else { Ok(None) }
    }
}
