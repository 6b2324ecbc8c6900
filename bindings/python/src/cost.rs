//! The cost of an input in Python, beside that of the same machine in Rust.

use crate::machine::{Kit, PyMachine};
use lockstep_app::{apply_ns, counter_ns};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::Arc;

/// Nanoseconds that a machine core takes for a message of 48 bytes and the output that follows from it, each
/// one message to channel 1: of the factory's machine, or with None of the counter of docs/APPLY.md in Rust.
#[pyfunction]
#[pyo3(signature = (factory, messages))]
pub(crate) fn apply_cost(py: Python<'_>, factory: Option<&Bound<'_, PyAny>>, messages: u64) -> PyResult<f64> {
    let _ = py; // the interpreter is this thread's, as in a turn
    let Some(factory) = factory else { return Ok(counter_ns(messages)) };
    let kit = Arc::new(Kit::new(factory)?);
    let failed = |why: String| kit.take_failure().unwrap_or_else(|| PyRuntimeError::new_err(why));
    apply_ns(PyMachine::new(&kit), messages).map_err(|fault| failed(fault.to_string()))
}
