//! Payloads as fields, by a schema that is read at run time.

use crate::bytes::with_bytes;
use crate::errors::classes;
use lockstep_schema::{FieldColumn, FieldKind, FieldValue, PayloadSchema, TYPE_COLUMN, decimal};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::path::PathBuf;

/// A schema of payloads: TOML, or an XML of Simple Binary Encoding, as `lockstep schema check` takes it.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Schema {
    schema: PayloadSchema,
}

/// `decimal.Decimal`.
fn decimal_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class =
        CLASS.get_or_try_init(py, || PyResult::Ok(py.import("decimal")?.getattr("Decimal")?.unbind()))?;
    Ok(class.bind(py))
}

fn object<'py>(py: Python<'py>, column: &FieldColumn, value: FieldValue<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        FieldValue::Number(number) if column.kind == FieldKind::Uint => {
            (number as u64).into_pyobject(py)?.into_any()
        }
        FieldValue::Number(number) if column.kind.has_decimals() => {
            decimal_class(py)?.call1((decimal(number, column.decimals),))?
        }
        FieldValue::Number(number) => number.into_pyobject(py)?.into_any(),
        FieldValue::Text(text) => PyString::new(py, &String::from_utf8_lossy(text)).into_any(),
        FieldValue::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        FieldValue::Float(value) => value.into_pyobject(py)?.into_any(),
        FieldValue::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        FieldValue::Group(group) => {
            let entries = group.entries().map(|entry| dictionary(py, None, entry.fields()));
            entries.collect::<PyResult<Vec<_>>>()?.into_pyobject(py)?.into_any()
        }
        FieldValue::Flags(names) => names.list().collect::<Vec<_>>().into_pyobject(py)?.into_any(),
    })
}

/// The fields by their names, behind the message's name, if they are a message's.
fn dictionary<'py, 'a>(
    py: Python<'py>,
    message: Option<&str>,
    fields: impl Iterator<Item = (usize, &'a FieldColumn, Option<FieldValue<'a>>)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    message.map_or(Ok(()), |name| dictionary.set_item(TYPE_COLUMN, name))?;
    for (_, column, value) in fields {
        let value = value.map(|value| object(py, column, value)).transpose()?;
        dictionary.set_item(&column.name, value)?;
    }
    Ok(dictionary)
}

#[pymethods]
impl Schema {
    /// The schema of a file. ConfigError: it cannot be read, or is wrong: the text has the line.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let read = py.detach(|| PayloadSchema::read(&path));
        let wrong = |error| classes::ConfigError::new_err(format!("{}: {error}", path.display()));
        read.map(|(schema, _)| Self { schema }).map_err(wrong)
    }

    /// The schema of a text. ConfigError: it is wrong: the text has the line.
    #[staticmethod]
    fn parse(text: &str) -> PyResult<Self> {
        let wrong = |error: lockstep_schema::SchemaError| classes::ConfigError::new_err(error.to_string());
        PayloadSchema::parse(text).map(|schema| Self { schema }).map_err(wrong)
    }

    /// As the schema names itself.
    #[getter]
    fn name(&self) -> &str {
        &self.schema.name
    }

    /// The names of its messages.
    #[getter]
    fn messages(&self) -> Vec<String> {
        self.schema.messages().map(|message| message.name.clone()).collect()
    }

    /// The fields of a payload by their names, and the message's name as `message_type`; None of a payload
    /// that is no message of the schema. A price or decimal is a Decimal, a set a list of names, a group a
    /// list of dictionaries, data bytes or, where the schema names its characters, text, and a field
    /// without a value None.
    fn decode<'py>(&self, payload: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = payload.py();
        with_bytes(payload, |bytes| {
            let Ok(message) = self.schema.message(bytes) else { return Ok(None) };
            dictionary(py, Some(&message.schema.name), message.fields()).map(Some)
        })
    }

    /// Why a payload is no message of the schema; None if it is one.
    fn refusal(&self, payload: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        with_bytes(payload, |bytes| Ok(self.schema.message(bytes).err().map(|why| why.to_string())))
    }

    fn __repr__(&self) -> String {
        format!("<Schema {:?}, {} messages>", self.schema.name, self.schema.messages().count())
    }
}
