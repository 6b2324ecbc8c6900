//! The bytes of a payload: of `bytes` in place, of any other contiguous buffer by a copy.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

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
        PyTypeError::new_err(format!("a payload is bytes, or a contiguous buffer of them, not {class}"))
    };
    let buffer = PyBuffer::<u8>::get(object).map_err(|_| wrong())?;
    if !buffer.is_c_contiguous() {
        return Err(wrong());
    }
    work(&buffer.to_vec(object.py())?)
}
