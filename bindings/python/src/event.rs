//! An event as an object.

use lockstep_flat::{FlatEvent, FlatKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

/// An event of a handle, or a message of a journal. Fields that its kind does not use are 0; Kind lists them.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Event {
    row: FlatEvent,
    payload: Py<PyBytes>,
}

impl Event {
    pub(crate) fn new(py: Python<'_>, row: FlatEvent, payload: &[u8]) -> Self {
        Self { row, payload: PyBytes::new(py, payload).unbind() }
    }
}

/// A name of Rust, `LikeThis`, as that of a constant of Python.
pub(crate) fn upper(rust: &str) -> String {
    let mut name = String::new();
    for letter in rust.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

/// The name of a kind in Python.
fn name(kind: FlatKind) -> String {
    upper(&format!("{kind:?}"))
}

/// Names and numbers of all kinds.
pub(crate) fn kinds() -> Vec<(String, u32)> {
    FlatKind::ALL.into_iter().map(|kind| (name(kind), kind as u32)).collect()
}

/// The member of `lockstep.Kind` of each number; the number itself where a later version has a new kind.
fn kind_of(py: Python<'_>, number: u32) -> PyResult<Py<PyAny>> {
    static MEMBERS: PyOnceLock<Vec<Option<Py<PyAny>>>> = PyOnceLock::new();
    let members = MEMBERS.get_or_try_init(py, || {
        let class = py.import("lockstep._kinds")?.getattr("Kind")?;
        let count = FlatKind::ALL.into_iter().map(|kind| kind as usize + 1).max().unwrap_or(0);
        let mut members: Vec<Option<Py<PyAny>>> = (0..count).map(|_| None).collect();
        for kind in FlatKind::ALL {
            members[kind as usize] = Some(class.call1((kind as u32,))?.unbind());
        }
        Ok::<_, PyErr>(members)
    })?;
    match members.get(number as usize) {
        Some(Some(member)) => Ok(member.clone_ref(py)),
        _ => Ok(number.into_pyobject(py)?.into_any().unbind()),
    }
}

#[pymethods]
impl Event {
    /// What it reports: a Kind, or a number that a later version has added.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        kind_of(py, self.row.kind)
    }

    /// The place in the stream, or a bound of it.
    #[getter]
    fn seq(&self) -> u64 {
        self.row.seq
    }

    /// The publisher's id.
    #[getter]
    fn publisher(&self) -> u32 {
        self.row.publisher
    }

    /// The publisher's number of the message.
    #[getter]
    fn publisher_seq(&self) -> u64 {
        self.row.publisher_seq
    }

    /// The destination.
    #[getter]
    fn destination(&self) -> u32 {
        self.row.destination
    }

    /// When the entry was stamped: nanoseconds since the Unix epoch.
    #[getter]
    fn timestamp(&self) -> u64 {
        self.row.timestamp
    }

    /// A number; see the kind.
    #[getter]
    fn value(&self) -> u64 {
        self.row.value
    }

    /// Another one; see the kind.
    #[getter]
    fn value2(&self) -> u64 {
        self.row.value2
    }

    /// A reason or a flag; see the kind.
    #[getter]
    fn detail(&self) -> u32 {
        self.row.detail
    }

    /// The payload.
    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let FlatEvent { seq, publisher, publisher_seq, kind, .. } = self.row;
        let name = FlatKind::from_u32(kind).map_or_else(|| kind.to_string(), name);
        let len = self.payload.bind(py).as_bytes().len();
        format!(
            "<Event {name} seq={seq} publisher={publisher} publisher_seq={publisher_seq} payload={len} B>"
        )
    }
}
