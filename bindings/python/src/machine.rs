//! A machine of Python on lockstep's stream: the same trait as of one in Rust, with objects behind it.
//!
//! ```text
//!  factory ─▶ object ─▶ PyMachine ─▶ MachineCore, Twice, Trial
//!     └────────────────── Kit: what all machines of one run have in common; the exception that ended one
//! ```

use crate::input::{Input, Output};
use lockstep_app::{Effect, InputEvent, StateDigest, StateMachine};
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What the machines of a run have applied, so that two runs can be compared.
#[derive(Default)]
struct Seen {
    digest: StateDigest,
    /// A line for each input and each state.
    lines: Option<Vec<String>>,
}

/// What the machines of one run have in common.
pub(crate) struct Kit {
    factory: Py<PyAny>,
    version: u32,
    /// The exceptions that have ended machines, in words as well, until one is raised again.
    failures: Mutex<Vec<(String, PyErr)>>,
    /// No machine of this run applies anything any more.
    is_over: AtomicBool,
    /// In a trial alone.
    seen: Option<Mutex<Seen>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The class `lockstep.Machine`.
fn machine_class<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("lockstep._machine")?.getattr("Machine")?.unbind())
    })?;
    Ok(class.bind(py))
}

/// A machine that the factory makes, and its version.
fn made<'py>(factory: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, u32)> {
    let object = factory.call0()?;
    if !object.is_instance(machine_class(factory.py())?)? {
        let class = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!("the factory makes a {class}, and no lockstep.Machine")));
    }
    let version = object.getattr(intern!(object.py(), "VERSION"))?;
    let wrong =
        |_| PyValueError::new_err(format!("VERSION {version} is invalid: it counts from 0 to 2**32 - 1"));
    let version = version.extract().map_err(wrong)?;
    Ok((object, version))
}

impl Kit {
    /// That of the machines which `factory` makes; one is made to see that it does.
    pub(crate) fn new(factory: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (_, version) = made(factory)?;
        let (failures, is_over) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { factory: factory.clone().unbind(), version, failures, is_over, seen: None })
    }

    /// The same, which sees what its machines apply; with `has_lines` it writes it down.
    pub(crate) fn seeing(mut self, has_lines: bool) -> Self {
        let lines = has_lines.then(Vec::new);
        self.seen = Some(Mutex::new(Seen { digest: StateDigest::default(), lines }));
        self
    }

    /// The digest of what was seen since this was asked for last.
    pub(crate) fn take_digest(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| std::mem::take(&mut locked(seen).digest).value())
    }

    /// The lines of what was seen.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.seen.as_ref().and_then(|seen| locked(seen).lines.take()).unwrap_or_default()
    }

    fn see(&self, bytes: &[u8], line: impl FnOnce() -> String) {
        if let Some(seen) = &self.seen {
            let mut seen = locked(seen);
            seen.digest.write(&(bytes.len() as u64).to_le_bytes());
            seen.digest.write(bytes);
            if let Some(lines) = &mut seen.lines {
                lines.push(line());
            }
        }
    }

    /// An exception has ended a machine. Returns it in words.
    pub(crate) fn fail(&self, py: Python<'_>, error: PyErr) -> String {
        let words = error.to_string();
        // Ctrl-C, or the end of the program: not this machine alone.
        if !error.is_instance_of::<PyException>(py) {
            self.end();
        }
        locked(&self.failures).push((words.clone(), error));
        words
    }

    /// No machine of this run applies anything any more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Whether no machine of this run applies anything any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The first exception that has ended a machine.
    pub(crate) fn take_failure(&self) -> Option<PyErr> {
        std::mem::take(&mut *locked(&self.failures)).into_iter().next().map(|(_, error)| error)
    }

    /// The last exception of which this text is; of a run that was ended, that which has ended it.
    pub(crate) fn take_failure_of(&self, text: &str) -> Option<PyErr> {
        let failures = std::mem::take(&mut *locked(&self.failures));
        let is_it = |(words, _): &(String, PyErr)| self.has_ended() || text.contains(words);
        failures.into_iter().rfind(is_it).map(|(_, error)| error)
    }
}

/// See the module.
pub(crate) struct PyMachine {
    kit: Arc<Kit>,
    version: u32,
    /// `None`: the factory has failed.
    object: Option<Py<PyAny>>,
    output: Py<Output>,
    fault: OnceLock<String>,
}

impl PyMachine {
    /// A machine at the stream's beginning.
    pub(crate) fn new(kit: &Arc<Kit>) -> Self {
        Python::attach(|py| {
            let made = made(kit.factory.bind(py)).map(|(object, version)| (object.unbind(), version));
            let output = Py::new(py, Output::closed()).expect("memory for an object");
            let (kit, fault) = (Arc::clone(kit), OnceLock::new());
            match made {
                Ok((object, version)) => Self { kit, version, object: Some(object), output, fault },
                Err(error) => {
                    let words = kit.fail(py, error);
                    let _ = fault.set(format!("the factory raises {words}")); // it is new
                    Self { version: kit.version, kit, object: None, output, fault }
                }
            }
        })
    }

    /// The object; of a factory that has failed there is none.
    pub(crate) fn object(&self) -> Option<&Py<PyAny>> {
        self.object.as_ref()
    }

    fn bound<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let object = self.object.as_ref().map(|object| object.bind(py));
        object.ok_or_else(|| PyValueError::new_err("the factory has made no machine"))
    }

    fn fail(&self, py: Python<'_>, doing: &str, error: PyErr) -> String {
        let words = format!("{doing} raises {}", self.kit.fail(py, error));
        let _ = self.fault.set(words.clone()); // the first one counts
        words
    }

    fn try_apply(
        &self,
        py: Python<'_>,
        input: &lockstep_app::Input<'_>,
        output: &mut lockstep_app::Output,
    ) -> PyResult<()> {
        let object = Bound::new(py, Input::of(py, input)?)?;
        let collected = self.output.get();
        collected.exchange(output, true);
        let applied = self.bound(py)?.call_method1(intern!(py, "apply"), (object, &self.output));
        collected.exchange(output, false);
        applied.map(drop)
    }

    fn try_snapshot(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let state = self.bound(py)?.call_method0(intern!(py, "snapshot"))?;
        let state = state.cast::<PyBytes>().map_err(|_| {
            let class = state.get_type().to_string();
            PyTypeError::new_err(format!("snapshot returns bytes, and not an object of {class}"))
        })?;
        Ok(state.as_bytes().to_vec())
    }
}

/// An input and its effects as a line.
fn in_words(input: &lockstep_app::Input<'_>, output: &lockstep_app::Output) -> String {
    let mut line = match input.event {
        InputEvent::Message { publisher, payload, .. } => {
            format!("seq {}, message \"{}\" of {publisher}:", input.seq, payload.escape_ascii())
        }
        event => format!("seq {}, {event:?}:", input.seq),
    };
    for effect in output.effects() {
        line += &match effect {
            Effect::Publish { destination, payload } => {
                format!(" \"{}\" to {destination};", payload.escape_ascii())
            }
            Effect::Timer { key, due, payload, .. } => {
                format!(" timer {key} due at {due} with \"{}\";", payload.escape_ascii())
            }
            Effect::Cancel { key } => format!(" timer {key} cancelled;"),
        };
    }
    line
}

/// An error of the trait for an exception that was written down.
fn failed(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

impl StateMachine for PyMachine {
    /// Never looked at: each machine has the version of its class.
    const VERSION: u32 = 0;

    fn apply(&mut self, input: &lockstep_app::Input<'_>, output: &mut lockstep_app::Output) {
        if self.kit.has_ended() {
            let _ = self.fault.set("the run was ended".to_owned()); // the first one counts
        }
        if self.fault.get().is_some() {
            return;
        }
        Python::attach(|py| match self.try_apply(py, input, output) {
            Ok(()) if self.kit.seen.is_some() => {
                let line = in_words(input, output);
                self.kit.see(line.as_bytes(), || line.clone());
            }
            Ok(()) => {}
            Err(error) => {
                let doing = format!("apply of the input of seq {}", input.seq);
                self.fail(py, &doing, error);
            }
        });
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(why) = self.fault.get() {
            return Err(failed(why.clone()));
        }
        let state = Python::attach(|py| {
            self.try_snapshot(py).map_err(|error| failed(self.fail(py, "snapshot", error)))
        })?;
        self.kit.see(&state, || format!("the state {}", state.escape_ascii()));
        out.write_all(&state)
    }

    /// A type that stands for all machines of Python does not say which one it is.
    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        let mut state = Vec::new();
        from.read_to_end(&mut state)?;
        let machine = Self::new(&self.kit);
        if let Some(why) = machine.fault.get() {
            return Err(failed(why.clone()));
        }
        Python::attach(|py| {
            let state = PyBytes::new(py, &state);
            let restored =
                machine.bound(py).and_then(|object| object.call_method1(intern!(py, "restore"), (state,)));
            restored.map(drop).map_err(|error| failed(machine.fail(py, "restore", error)))
        })?;
        Ok(machine)
    }

    fn settings(&self) -> String {
        Python::attach(|py| {
            let text = self.bound(py).and_then(|object| object.call_method0(intern!(py, "settings")));
            text.and_then(|text| text.extract()).unwrap_or_else(|error| {
                self.fail(py, "settings", error);
                String::new()
            })
        })
    }

    /// An exception is nobody's failure: its text stands there instead.
    fn state_text(&self) -> Option<String> {
        Python::attach(|py| {
            let text = self.bound(py).and_then(|object| object.call_method0(intern!(py, "state_text")));
            let text = text.and_then(|text| text.extract::<String>());
            let text = text.unwrap_or_else(|error| format!("state_text fails: {error}"));
            (!text.is_empty()).then_some(text)
        })
    }

    fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// An exception is nobody's failure but that of who has asked: it goes to `sys.unraisablehook`.
    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        Python::attach(|py| {
            let request = PyBytes::new(py, request);
            let ask = |object: &Bound<'_, PyAny>| -> PyResult<()> {
                let answered = object.call_method1(intern!(py, "query"), (request,))?;
                answer.extend_from_slice(answered.cast::<PyBytes>()?.as_bytes());
                Ok(())
            };
            if let Err(error) = self.bound(py).and_then(ask) {
                error.write_unraisable(py, self.object.as_ref().map(|object| object.bind(py)));
            }
        });
    }
}
