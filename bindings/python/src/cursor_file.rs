//! The file in which a reader stores how far it has read.

use crate::endpoint::Cursor;
use crate::errors::{of_argument, of_io};
use crate::guard::Guarded;
use crate::handle::StartArgument;
use pyo3::prelude::*;
use std::path::PathBuf;

/// The file in which a program stores the cursor behind what it has processed, for its next start. Each save
/// replaces it as a whole, and one process has it at a time, by a lock on the file beside it whose name ends
/// with `.lock`. What a program had processed since the last save comes again after a crash.
///
/// A file that is absent has no cursor, and is created by the first save. InUseError: somebody else has it
/// open. ArgumentError: it has anything but a whole cursor.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct CursorFile {
    path: PathBuf,
    guarded: Guarded<lockstep_client::CursorFile>,
}

#[pymethods]
impl CursorFile {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let file = py.detach(|| lockstep_client::CursorFile::open(path)).map_err(of_io)?;
        Ok(Self { path: file.path().to_owned(), guarded: Guarded::new("CursorFile", file) })
    }

    /// The file: its whole path.
    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The cursor that was read or saved last; None if there is none so far.
    #[getter]
    fn cursor(&self) -> PyResult<Option<Cursor>> {
        Ok(self.guarded.check_out()?.cursor().map(Cursor))
    }

    /// Where a subscription begins: at the cursor, or at `otherwise` if there is none. A cursor of another
    /// history or log ends the subscription with an event, and never begins anew.
    fn start_or<'py>(&self, otherwise: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        otherwise.extract::<StartArgument>()?.read()?;
        match self.cursor()? {
            Some(cursor) => Ok(Bound::new(otherwise.py(), cursor)?.into_any()),
            None => Ok(otherwise),
        }
    }

    /// Replaces the stored cursor. When it returns, the new one is on the disk: that takes up to some
    /// milliseconds. To save the cursor that is stored already costs nothing.
    fn save(&self, cursor: &Bound<'_, PyAny>) -> PyResult<()> {
        let wrong =
            || of_argument(format!("{cursor} is no Cursor: save what a handle's cursor is, if it has one"));
        let Cursor(position) = *cursor.cast::<Cursor>().map_err(|_| wrong())?.get();
        let mut file = self.guarded.check_out()?;
        cursor.py().detach(|| file.save(position)).map_err(of_io)
    }

    /// Gives the file to others, and saves nothing. Calls after it are refused; to close again does nothing.
    fn close(&self) -> PyResult<()> {
        self.guarded.close()
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.guarded.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        drop(slf.get().guarded.check_out()?);
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close()
    }

    fn __repr__(&self) -> String {
        format!("<CursorFile {}>", self.path.display())
    }
}
