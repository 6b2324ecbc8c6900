//! The counters of this host's processes, from their counters files.

use crate::endpoint::Endpoint;
use crate::errors::{of_argument, of_io};
use lockstep_core::engine::counters::{CounterKind, Described};
use lockstep_metrics::{Format, Life, Process, Value, state_of};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A dictionary of keys and values.
macro_rules! dict {
    ($py:expr, { $($key:literal: $value:expr,)* }) => {{
        let dict = PyDict::new($py);
        $(dict.set_item($key, $value)?;)*
        dict
    }};
}

/// The processes whose names contain `wanted`; all without.
fn processes(py: Python<'_>, endpoint: &Endpoint, wanted: Option<&str>) -> PyResult<Vec<Process>> {
    let files = endpoint.config.counters_files();
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| name.contains(wanted));
    let owners = endpoint.config.file_owners();
    let read = || {
        let files = files.iter().filter(|(name, _)| is_wanted(name));
        // A file that another user has made hides none of the others.
        let (sound, others): (Vec<_>, Vec<_>) =
            files.map(|(name, path)| Process::read(name, path, &owners)).partition(Result::is_ok);
        let processes: Vec<Process> = sound.into_iter().filter_map(Result::ok).collect();
        match others.into_iter().find_map(Result::err) {
            Some(error) if processes.is_empty() => Err(error),
            _ => Ok(processes),
        }
    };
    let processes = py.detach(read).map_err(of_io)?;
    match wanted {
        Some(wanted) if processes.is_empty() => {
            let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let text =
                format!("no process of this cluster on this host is called '{wanted}'; there are {there}");
            Err(of_argument(text))
        }
        _ => Ok(processes),
    }
}

fn of_counter<'py>(py: Python<'py>, (row, value): &(Described, Value)) -> PyResult<Bound<'py, PyDict>> {
    let is_state = row.kind == CounterKind::State;
    let times = match value {
        Value::Number(_) => None,
        Value::Durations(durations) => Some(dict!(py, {
            "p50_ns": durations.quantile(500),
            "p99_ns": durations.quantile(990),
            "longest_ns": durations.longest(),
        })),
    };
    Ok(dict!(py, {
        "value": value.number(),
        "kind": row.kind.name(),
        "unit": if is_state { "" } else { &*row.unit },
        "meaning": &*row.meaning,
        "state": is_state.then(|| state_of(row, value)),
        "times": times,
    }))
}

/// What the processes of this cluster on this host count, by their names, like 'replica-1': of each its kind,
/// release, pid, life ('runs', 'hangs', 'ended') and counters by name. It reads their counters files and asks
/// nobody. With a text only processes whose name contains it.
#[pyfunction]
#[pyo3(signature = (endpoint, process = None))]
pub(crate) fn metrics<'py>(
    py: Python<'py>,
    endpoint: &Bound<'py, Endpoint>,
    process: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    for process in processes(py, endpoint.get(), process)? {
        let counters = PyDict::new(py);
        for row in &process.rows {
            counters.set_item(&row.0.name, of_counter(py, row)?)?;
        }
        let silent_ns = match process.life {
            Life::Runs => None,
            Life::Hangs(silent) | Life::Ended(silent) => Some(silent.as_nanos() as u64),
        };
        let shown = dict!(py, {
            "kind": &process.kind,
            "release": &process.release,
            "pid": process.pid,
            "life": process.life.name(),
            "silent_ns": silent_ns,
            "since_ns": process.age.as_nanos() as u64,
            "published_at_ns": process.published_at,
            "counters": counters,
        });
        all.set_item(&process.name, shown)?;
    }
    Ok(all)
}

/// The same as the text that Prometheus reads, in OpenMetrics 1.0.
#[pyfunction]
#[pyo3(signature = (endpoint, process = None))]
pub(crate) fn metrics_text(
    py: Python<'_>,
    endpoint: &Bound<'_, Endpoint>,
    process: Option<&str>,
) -> PyResult<String> {
    let processes = processes(py, endpoint.get(), process)?;
    let text = lockstep_metrics::metrics(&processes, Format::OpenMetrics);
    text.map_err(|_| PyRuntimeError::new_err("the metrics cannot be written as a text"))
}
