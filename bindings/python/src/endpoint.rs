//! Which cluster, and how it is reached; and a position in its stream.

use crate::errors::{of_argument, of_config};
use lockstep_client::Config;
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Which cluster, and how it is reached: from the cluster's file. Any number of handles may be made with it,
/// by any number of threads.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Endpoint {
    pub(crate) inner: lockstep_client::Endpoint,
    pub(crate) config: Config,
}

impl Endpoint {
    fn of(config: Config) -> PyResult<Self> {
        let inner = lockstep_client::Endpoint::from_config(&config).map_err(of_config)?;
        Ok(Self { inner, config })
    }
}

#[pymethods]
impl Endpoint {
    /// The endpoint of the file that LOCKSTEP_CONFIG names, or of /etc/lockstep/lockstep.toml. Variables
    /// LOCKSTEP_… replace single keys, as for every command of lockstep.
    #[staticmethod]
    pub(crate) fn from_env() -> PyResult<Self> {
        Self::of(Config::from_env().map_err(of_config)?)
    }

    /// The endpoint of the cluster's file at this path.
    #[staticmethod]
    fn from_file(path: PathBuf) -> PyResult<Self> {
        Self::of(Config::from_file(path).map_err(of_config)?)
    }

    /// The cluster's number.
    #[getter]
    fn cluster(&self) -> u64 {
        self.inner.cluster()
    }

    /// Bytes of the longest message for a destination.
    #[pyo3(signature = (destination = lockstep_client::EVERYBODY), text_signature = "($self, destination=0)")]
    fn message_len_max(&self, destination: u32) -> usize {
        self.inner.message_len_max_for(destination)
    }

    fn __repr__(&self) -> String {
        format!("<Endpoint of cluster {}>", self.inner.cluster())
    }
}

/// A position in a stream: history, next seq, and the chain over everything before it. As a text it is what
/// `lockstep subscribe` prints.
#[pyclass(frozen, module = "lockstep", from_py_object)]
#[derive(Clone, Copy)]
pub(crate) struct Cursor(pub(crate) lockstep_client::Cursor);

#[pymethods]
impl Cursor {
    #[new]
    fn new(history: u64, seq: u64, chain: u64) -> Self {
        Self(lockstep_client::Cursor { history, seq, chain })
    }

    /// The cursor of a text, as str() writes it.
    #[staticmethod]
    fn parse(text: &str) -> PyResult<Self> {
        text.parse().map(Self).map_err(|why: String| of_argument(why))
    }

    /// The history.
    #[getter]
    fn history(&self) -> u64 {
        self.0.history
    }

    /// The next seq.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq
    }

    /// The chain over everything before it.
    #[getter]
    fn chain(&self) -> u64 {
        self.0.chain
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Cursor {}>", self.0)
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, operation: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let is_equal = self.0 == other.get().0;
        match operation {
            CompareOp::Eq => Ok(is_equal.into_pyobject(py)?.to_owned().into_any().unbind()),
            CompareOp::Ne => Ok((!is_equal).into_pyobject(py)?.to_owned().into_any().unbind()),
            _ => Ok(py.NotImplemented()),
        }
    }

    fn __hash__(&self) -> u64 {
        self.0.history ^ self.0.seq.rotate_left(32) ^ self.0.chain
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (u64, u64, u64))> {
        let cursor = slf.get().0;
        Ok((slf.get_type().into_any().unbind(), (cursor.history, cursor.seq, cursor.chain)))
    }
}
