//! The bytes of a payload: of `bytes` in place, of any other contiguous buffer by a copy, whatever its items.

use crate::errors::of_argument;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// Does `work` with the bytes of `object`.
pub(crate) fn with_bytes<R>(
    object: &Bound<'_, PyAny>,
    work: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return work(bytes.as_bytes());
    }
    let wrong = || {
        let class = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        of_argument(format!("a payload is bytes, or a contiguous buffer, not {class}"))
    };
    // A memory view reads an array of any numbers as the bytes that it consists of.
    let view = PyMemoryView::from(object).map_err(|_| wrong())?;
    let view = view.call_method1("cast", ("B",)).map_err(|_| wrong())?;
    work(&PyBuffer::<u8>::get(&view)?.to_vec(object.py())?)
}
