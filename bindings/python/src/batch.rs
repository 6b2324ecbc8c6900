//! Events of a poll in two buffers that other libraries read in place: rows of 64 bytes, and payloads.

use crate::event::Event;
use lockstep_flat::FlatEvent;
use pyo3::exceptions::{PyBufferError, PyIndexError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a row.
const ROW_LEN: isize = size_of::<FlatEvent>() as isize;
/// The fields of a row, as PEP 3118 writes them.
const ROW_FORMAT: &CStr = c"T{<Q:seq:<Q:publisher_seq:<Q:timestamp:<Q:value:<Q:value2:<I:publisher:<I:destination:<I:payload_at:<I:payload_len:<I:kind:<I:detail:}";
/// Batches whose memory waits for the next ones: one is filled while another is read.
const SPARE_MAX: usize = 2;

/// Memory of batches that nobody uses any more.
#[derive(Clone, Default)]
pub(crate) struct Spare(Arc<Mutex<Vec<lockstep_flat::Batch>>>);

impl Spare {
    /// An empty batch.
    pub(crate) fn take(&self) -> lockstep_flat::Batch {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes back the memory of a batch.
    pub(crate) fn give_back(&self, mut batch: lockstep_flat::Batch) {
        batch.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(batch);
        }
    }
}

/// Events of a poll. It is a buffer of rows of 64 bytes, which numpy.frombuffer(batch, dtype=EVENT_DTYPE)
/// reads in place, and a sequence of Event. It never changes; its memory is there as long as the batch or a
/// view of it is.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Batch {
    inner: lockstep_flat::Batch,
    spare: Spare,
}

impl Batch {
    pub(crate) fn new(inner: lockstep_flat::Batch, spare: &Spare) -> Self {
        Self { inner, spare: spare.clone() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.rows().is_empty()
    }

    /// Its events as objects.
    pub(crate) fn events(&self, py: Python<'_>) -> Vec<Event> {
        self.inner.rows().iter().map(|row| Event::new(py, *row, self.inner.payload(row))).collect()
    }

    /// The row with this index; a negative one counts from the end.
    fn row(&self, index: isize) -> PyResult<&FlatEvent> {
        Ok(&self.inner.rows()[self.place_of(index)?])
    }

    /// The place of a row from the start; a negative index counts from the end.
    pub(crate) fn place_of(&self, index: isize) -> PyResult<usize> {
        let len = self.len();
        let from_start = if index < 0 { index.saturating_add(len as isize) } else { index };
        let place = usize::try_from(from_start).ok().filter(|place| *place < len);
        place.ok_or_else(|| PyIndexError::new_err(format!("row {index} of a batch of {len}")))
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.rows().len()
    }

    /// The event of a row that is there.
    pub(crate) fn event(&self, py: Python<'_>, place: usize) -> Event {
        let row = self.inner.rows()[place];
        Event::new(py, row, self.inner.payload(&row))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.spare.give_back(std::mem::take(&mut self.inner));
    }
}

/// A buffer of bytes that nobody writes to, to be described in a `Py_buffer`.
pub(crate) struct Exported<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) item_len: isize,
    pub(crate) format: &'static CStr,
}

impl Exported<'_> {
    /// Fills in `view`, whose owner is `owner`.
    ///
    /// # Safety
    /// `view` is NULL or may be written to, `owner` owns the bytes, which do not move while it lives.
    pub(crate) unsafe fn describe(
        &self,
        owner: Bound<'_, PyAny>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: as the caller promises.
        let Some(view) = (unsafe { view.as_mut() }) else {
            return Err(PyBufferError::new_err("there is no view to fill in"));
        };
        view.obj = std::ptr::null_mut();
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("a batch cannot be written to: copy it"));
        }
        let wants = |flag: c_int| flags & flag == flag;
        // Shape and stride lie in one allocation, which `free` frees.
        let shape = Box::new([self.bytes.len() as isize / self.item_len, self.item_len]);
        let shape = Box::into_raw(shape).cast::<isize>();
        view.buf = self.bytes.as_ptr().cast_mut().cast::<c_void>();
        view.len = self.bytes.len() as isize;
        view.readonly = 1;
        view.itemsize = self.item_len;
        view.format = match wants(ffi::PyBUF_FORMAT) {
            true => self.format.as_ptr().cast_mut(),
            false => std::ptr::null_mut(),
        };
        view.ndim = 1;
        view.shape = if wants(ffi::PyBUF_ND) { shape } else { std::ptr::null_mut() };
        // SAFETY: the second of two numbers.
        let stride = unsafe { shape.add(1) };
        view.strides = if wants(ffi::PyBUF_STRIDES) { stride } else { std::ptr::null_mut() };
        view.suboffsets = std::ptr::null_mut();
        view.internal = shape.cast::<c_void>();
        view.obj = owner.into_ptr();
        Ok(())
    }

    /// Frees what `describe` has allocated.
    ///
    /// # Safety
    /// `view` was filled in by `describe`, and is released once.
    pub(crate) unsafe fn free(view: *mut ffi::Py_buffer) {
        // SAFETY: as the caller promises.
        let Some(view) = (unsafe { view.as_mut() }) else { return };
        let shape = std::mem::replace(&mut view.internal, std::ptr::null_mut()).cast::<[isize; 2]>();
        if !shape.is_null() {
            // SAFETY: it came from `Box::into_raw` of this type.
            drop(unsafe { Box::from_raw(shape) });
        }
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Event> {
        Ok(self.event(py, self.place_of(index)?))
    }

    fn __iter__(slf: Bound<'_, Self>) -> BatchEvents {
        BatchEvents { batch: slf.unbind(), next: AtomicUsize::new(0) }
    }

    /// All payloads behind each other; payload_at and payload_len of a row say where its own is.
    #[getter]
    fn payloads<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        let owner = Bound::new(slf.py(), Payloads { batch: slf.clone().unbind() })?;
        PyMemoryView::from(&owner)
    }

    /// The payload of a row, in place.
    fn payload<'py>(slf: &Bound<'py, Self>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let batch = slf.get();
        let row = batch.row(index)?;
        let (from, to) = (row.payload_at as isize, (row.payload_at + row.payload_len) as isize);
        Self::payloads(slf)?.get_item(pyo3::types::PySlice::new(slf.py(), from, to, 1))
    }

    fn __repr__(&self) -> String {
        format!("<Batch of {} events, {} B of payloads>", self.inner.rows().len(), self.inner.bytes().len())
    }

    /// # Safety
    /// As Python calls it.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let rows = slf.get().inner.rows();
        let exported = Exported { bytes: bytemuck::cast_slice(rows), item_len: ROW_LEN, format: ROW_FORMAT };
        // SAFETY: Python passes a view to fill in. The batch never changes, so that its rows lie there while
        // `slf` lives, which the view owns.
        unsafe { exported.describe(slf.clone().into_any(), view, flags) }
    }

    /// # Safety
    /// As Python calls it.
    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: Python releases each view that it got from `__getbuffer__`, once.
        unsafe { Exported::free(view) };
    }
}

/// The payloads of a batch, as a buffer.
#[pyclass(frozen, module = "lockstep._native")]
pub(crate) struct Payloads {
    batch: Py<Batch>,
}

#[pymethods]
impl Payloads {
    /// # Safety
    /// As Python calls it.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = slf.get().batch.get().inner.bytes();
        // SAFETY: as for the rows; the batch lives while `slf` does.
        unsafe { Exported { bytes, item_len: 1, format: c"B" }.describe(slf.clone().into_any(), view, flags) }
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
pub(crate) struct BatchEvents {
    batch: Py<Batch>,
    next: AtomicUsize,
}

#[pymethods]
impl BatchEvents {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<Event> {
        let batch = self.batch.get();
        let row = batch.inner.rows().get(self.next.fetch_add(1, Ordering::Relaxed))?;
        Some(Event::new(py, *row, batch.inner.payload(row)))
    }
}
