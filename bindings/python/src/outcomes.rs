//! What became of a handle's messages.

use pyo3::prelude::*;

/// What became of messages that were published, in numbers of messages. It is true where each of them is in
/// the stream for ever.
#[pyclass(frozen, module = "lockstep", eq, hash)]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Outcomes(pub(crate) lockstep_client::Outcomes);

#[pymethods]
impl Outcomes {
    /// In the stream for ever.
    #[getter]
    fn committed(&self) -> u64 {
        self.0.committed
    }

    /// In the stream, and delivered by no reader, as the process was held up between the parts of a message.
    #[getter]
    fn discarded(&self) -> u64 {
        self.0.discarded
    }

    /// Another message stands under the number.
    #[getter]
    fn diverged(&self) -> u64 {
        self.0.diverged
    }

    /// Never stamped, as a newer process has opened the name.
    #[getter]
    fn fenced(&self) -> u64 {
        self.0.fenced
    }

    /// Never stamped, as the publisher was closed before.
    #[getter]
    fn closed(&self) -> u64 {
        self.0.closed
    }

    /// Nobody knows: OUTCOMES_UNKNOWN was reported.
    #[getter]
    fn unknown(&self) -> u64 {
        self.0.unknown
    }

    /// Without an outcome so far.
    #[getter]
    fn open(&self) -> u64 {
        self.0.open
    }

    fn __bool__(&self) -> bool {
        self.0.are_all_committed()
    }

    fn __repr__(&self) -> String {
        format!("<Outcomes: {}>", self.0)
    }
}
