//! The judges of a machine: a trial under faults, and a twin beside the machine.

use crate::errors::classes;
use crate::input::Input;
use crate::machine::{Kit, PyMachine};
use lockstep_sim::trial::Trial;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

/// Lines of a failure's story that are shown.
const STORY_LINES: usize = 40;

/// How much of a machine was run: inputs and effects of all copies.
#[pyclass(frozen, get_all, module = "lockstep")]
#[derive(Clone, Copy)]
pub(crate) struct TrialCoverage {
    /// Messages.
    messages: u64,
    /// Clients that logged in, and that went.
    sessions: u64,
    /// Names that were opened or closed.
    names: u64,
    /// Trading days that began or ended.
    days: u64,
    /// Messages that were published.
    outputs: u64,
    /// Timers that were set, and those among them that took the place of a pending one.
    timers_set: u64,
    /// Timers that were cancelled while they were pending.
    timers_cancelled: u64,
    /// Timers that fired, those included to which time leapt.
    timers_fired: u64,
    /// Snapshots that copies wrote to their disks.
    snapshots: u64,
    /// States that were restored from a snapshot, by copies that came back and by twins.
    restored: u64,
    /// Leaders that were replaced meanwhile.
    takeovers: u64,
}

/// What was judged, without a failure. As a text it is one line.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct TrialReport {
    inner: lockstep_sim::trial::TrialReport,
}

#[pymethods]
impl TrialReport {
    /// Seeds that were run.
    #[getter]
    fn seeds(&self) -> u64 {
        self.inner.seeds
    }

    /// States that were judged.
    #[getter]
    fn inputs_judged(&self) -> u64 {
        self.inner.inputs_judged
    }

    /// The last seed that was run: the next trial may begin behind it.
    #[getter]
    fn last_seed(&self) -> u64 {
        self.inner.last_seed
    }

    /// How much of the machine was run: what was not run was not judged.
    #[getter]
    fn coverage(&self) -> TrialCoverage {
        let of = self.inner.coverage;
        TrialCoverage {
            messages: of.messages,
            sessions: of.sessions,
            names: of.names,
            days: of.days,
            outputs: of.outputs,
            timers_set: of.timers_set,
            timers_cancelled: of.timers_cancelled,
            timers_fired: of.timers_fired,
            snapshots: of.snapshots,
            restored: of.restored,
            takeovers: of.takeovers,
        }
    }

    fn __str__(&self) -> String {
        self.inner.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<TrialReport: {}>", self.inner)
    }
}

/// A judge's sentence as an exception: that of the machine, if one was the reason.
fn as_exception(py: Python<'_>, kit: &Kit, text: String) -> PyErr {
    let Some(raised) = kit.take_failure_of(&text) else { return classes::TrialError::new_err(text) };
    // Without the note it says the same.
    let _ = raised.add_note(py, &*text);
    raised
}

/// The invariant of a user: what it raises is what does not hold.
fn judge(kit: &Arc<Kit>, invariant: Py<PyAny>) -> impl Fn(&PyMachine) -> Result<(), String> + 'static {
    let kit = Arc::clone(kit);
    move |machine| {
        Python::attach(|py| {
            let Some(object) = machine.object() else { return Ok(()) };
            let judged = invariant.bind(py).call1((object,)).map(drop);
            judged.map_err(|error| kit.fail(py, error))
        })
    }
}

/// What a client sends, by a function of the user.
fn sends(kit: &Arc<Kit>, inputs: Py<PyAny>) -> impl Fn(usize, u64) -> Vec<u8> + 'static {
    let kit = Arc::clone(kit);
    move |user, number| {
        Python::attach(|py| {
            let sent = inputs.bind(py).call1((user, number)).and_then(|sent| match sent.cast::<PyBytes>() {
                Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
                Err(_) => Err(PyTypeError::new_err("inputs returns bytes: what the client sends")),
            });
            sent.unwrap_or_else(|error| {
                kit.fail(py, error);
                kit.end();
                Vec::new()
            })
        })
    }
}

/// Runs one seed after the other: as many as plan says, the first one, and one in how many twice.
/// lockstep.trial is this with a second process beside it. Returns the report, the digest of what each seed
/// has applied, and with has_lines the lines of it.
#[pyfunction]
#[pyo3(signature = (factory, inputs, invariant, plan, has_lines))]
#[allow(clippy::type_complexity, reason = "a tuple for one caller")]
pub(crate) fn run_trial(
    py: Python<'_>,
    factory: &Bound<'_, PyAny>,
    inputs: Option<Py<PyAny>>,
    invariant: Option<Py<PyAny>>,
    plan: (u64, u64, u64),
    has_lines: bool,
) -> PyResult<(TrialReport, Vec<(u64, u64)>, Vec<String>)> {
    let (seeds, first, repeated) = plan;
    let kit = Arc::new(Kit::new(factory)?.seeing(has_lines));
    let made = Arc::clone(&kit);
    let mut trial = Trial::new(move || PyMachine::new(&made)).first(first).repeated(repeated);
    if let Some(inputs) = inputs {
        trial = trial.messages(sends(&kit, inputs));
    }
    if let Some(invariant) = invariant {
        trial = trial.invariant(judge(&kit, invariant));
    }
    let (seen, digests) = (Arc::clone(&kit), std::cell::RefCell::new(Vec::new()));
    let run = trial.run_each(seeds, |seed| digests.borrow_mut().push((seed, seen.take_digest())));
    let inner = run.map_err(|failure| {
        let lockstep_sim::trial::TrialFailure { recipe, failure } = *failure;
        let (story, seed) = (failure.story.tail(STORY_LINES), recipe.seed);
        let text =
            format!("{story}{failure}\nthe simplest run of it: {recipe}; again: first={seed}, seeds=1");
        as_exception(py, &kit, text)
    })?;
    if let Some(raised) = kit.take_failure() {
        return Err(raised);
    }
    Ok((TrialReport { inner }, digests.into_inner(), kit.take_lines()))
}

/// Applies inputs to a machine and its twin, which is restored from a snapshot of the machine after every so
/// many of them, and compares outputs and states: it finds a clock, randomness, what lies outside the
/// machine, the id of an object, and what snapshot or restore forget, at the first input at which it shows.
/// Timers fire before the first input that is at or behind their time; in the end time leaps to those that
/// are pending.
///
/// `invariant` is called with the machine after each input, and raises where something does not hold.
/// TrialError: the two differ, or timers were set and none has ever fired. An exception of the machine is
/// raised as it is.
#[pyfunction]
#[pyo3(signature = (factory, inputs, *, invariant = None, every = 1))]
pub(crate) fn twice(
    py: Python<'_>,
    factory: &Bound<'_, PyAny>,
    inputs: &Bound<'_, PyAny>,
    invariant: Option<Py<PyAny>>,
    every: u64,
) -> PyResult<TrialReport> {
    if every == 0 {
        return Err(PyValueError::new_err("every 0: the twin is restored after 1 input or more"));
    }
    let inputs = inputs.try_iter()?.map(|input| Ok(input?.cast_into::<Input>()?.unbind()));
    let inputs = inputs.collect::<PyResult<Vec<_>>>()?;
    let kit = Arc::new(Kit::new(factory)?);
    let made = Arc::clone(&kit);
    let mut trial = Trial::new(move || PyMachine::new(&made));
    if let Some(invariant) = invariant {
        trial = trial.invariant(judge(&kit, invariant));
    }
    let judged = trial.apply(inputs.iter().map(|input| input.get().input(py)), every);
    judged.map(|inner| TrialReport { inner }).map_err(|text| as_exception(py, &kit, text))
}
