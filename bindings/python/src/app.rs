//! A replica of a machine of Python on its handles.

use crate::endpoint::Endpoint;
use crate::errors::{classes, of_io, of_open};
use crate::guard::{CheckedOut, Guarded};
use crate::handle::delivery;
use crate::machine::{Kit, PyMachine};
use crate::time::{SLICE, timeout};
use lockstep_app::{AppError, AppSettings, DivergencePolicy, Pace, SnapshotMode};
use lockstep_client::{Publisher, Subscriber};
use lockstep_machine::MachineReplica;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A replica that may be handed from thread to thread.
struct Replica {
    app: lockstep_app::App<PyMachine>,
    kit: Arc<Kit>,
}

// SAFETY: all parts of an `App` may be sent, as `parts_may_be_sent` asserts of the larger ones, but for its
// two boxed functions, whose types do not say so: they are those of `connect` below, which capture an
// `Arc<Kit>` each, and that may be sent.
unsafe impl Send for Replica {}

const _: fn() = || {
    fn parts_may_be_sent<T: Send>() {}
    parts_may_be_sent::<(Publisher, Subscriber, MachineReplica<PyMachine>)>();
    parts_may_be_sent::<(Arc<Kit>, lockstep_client::Endpoint, lockstep_client::Counted, AppSettings)>();
};

/// The failure of a replica: the exception that has ended its machine, with what it has ended, if it was one.
fn failure(py: Python<'_>, kit: &Kit, error: AppError) -> PyErr {
    let text = error.to_string();
    if let Some(raised) = kit.take_failure() {
        // Without the note it says the same.
        let _ = raised.add_note(py, &*text);
        return raised;
    }
    match error {
        AppError::Io(error) => of_io(error),
        AppError::Open(error) => of_open(error),
        _ => classes::ReplicaError::new_err(text),
    }
}

impl Replica {
    fn connect(
        py: Python<'_>,
        endpoint: &lockstep_client::Endpoint,
        settings: AppSettings,
        factory: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let kit = Arc::new(Kit::new(factory)?);
        let (new, asks) = (Arc::clone(&kit), Arc::clone(&kit));
        // Signals are looked at while names are opened, and other threads have their turn.
        let goes_on = move || {
            Python::attach(|py| {
                py.detach(std::thread::yield_now);
                py.check_signals().map_err(|error| asks.fail(py, error)).is_ok()
            })
        };
        let connected = {
            let kit = Arc::clone(&kit);
            py.detach(move || {
                let app = lockstep_app::App::connect_while(
                    endpoint,
                    settings,
                    move || PyMachine::new(&new),
                    goes_on,
                )?;
                Ok(Self { app, kit })
            })
        };
        let replica = connected.map_err(|error: AppError| failure(py, &kit, error))?;
        replica.raised()?;
        Ok(replica)
    }

    /// An exception that Rust goes on without: a snapshot that could not be written.
    fn raised(&self) -> PyResult<()> {
        self.kit.take_failure().map_or(Ok(()), Err)
    }

    /// One turn. The interpreter is this thread's for so long, as each input needs it.
    fn turn(&mut self, py: Python<'_>) -> PyResult<usize> {
        let work = self.app.turn(|_, _| {}).map_err(|error| failure(py, &self.kit, error))?;
        self.raised()?;
        Ok(work)
    }

    fn sleep(&mut self, time: Duration) -> Result<(), AppError> {
        self.app.wait(time)
    }

    fn pause(&mut self, pace: &mut Pace) {
        pace.wait(&self.app);
    }

    /// Turns until Ctrl-C or an end; waits as its endpoint says.
    fn run(&mut self, py: Python<'_>) -> PyResult<()> {
        let mut pace = Pace::begin(&self.app).map_err(|error| failure(py, &self.kit, error))?;
        loop {
            let work = self.turn(py)?;
            py.check_signals()?;
            if work == 0 {
                py.detach(|| self.pause(&mut pace));
            }
        }
    }
}

fn address(text: &str) -> PyResult<SocketAddrV4> {
    let wrong = |_| PyValueError::new_err(format!("'{text}' is no address: write one like 127.0.0.1:9701"));
    text.parse().map_err(wrong)
}

fn addresses(value: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddrV4>> {
    value.extract::<Vec<String>>()?.iter().map(|text| address(text)).collect()
}

/// Seconds that are given.
fn seconds(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    Ok(timeout(value.extract()?)?.unwrap_or(Duration::MAX))
}

/// The word of a setting: the value beside it.
fn word<T: Copy>(key: &str, value: &Bound<'_, PyAny>, words: &[(&str, T)]) -> PyResult<T> {
    let text: String = value.extract()?;
    let found = words.iter().find(|(word, _)| *word == text);
    let all: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
    let wrong = || PyValueError::new_err(format!("{key} '{text}' is no choice: write {}", all.join(" or ")));
    found.map(|(_, value)| *value).ok_or_else(wrong)
}

/// The settings of a replica, with the keywords that differ from the defaults.
fn settings(
    (name, number, folder): (String, u8, PathBuf),
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<AppSettings> {
    if number == 0 {
        return Err(PyValueError::new_err("number 0: replicas count from 1"));
    }
    let mut settings = AppSettings::new(name, number, folder);
    // A child with a copy of an interpreter's memory cannot use it: other threads held its locks.
    settings.snapshot_mode = SnapshotMode::Pause;
    for (key, value) in keywords.into_iter().flatten() {
        let key: String = key.extract()?;
        match &*key {
            "digest_every" => settings.digest_every = value.extract()?,
            "nonce" => settings.nonce = value.extract()?,
            "on_divergence" => {
                let words = [("stop", DivergencePolicy::Stop), ("report", DivergencePolicy::Report)];
                settings.on_divergence = word(&key, &value, &words)?;
            }
            "is_shadow" => settings.is_shadow = value.extract()?,
            "delivery" => settings.delivery = delivery(value.extract()?)?,
            "snapshot_every" => settings.snapshot_every = value.extract()?,
            "snapshots" => settings.snapshots = value.extract()?,
            "snapshot_age" => settings.snapshot_age = seconds(&value)?,
            "snapshot_mode" => {
                let words = [("pause", SnapshotMode::Pause), ("never", SnapshotMode::Never)];
                settings.snapshot_mode = word(&key, &value, &words)?;
            }
            "serve" => {
                settings.serve = value.extract::<Option<String>>()?.as_deref().map(address).transpose()?
            }
            "hosts" => settings.hosts = value.extract()?,
            "peers" => settings.peers = addresses(&value)?,
            "proof_wait" => settings.proof_wait = seconds(&value)?,
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "'{key}' is no setting of a replica: there are digest_every, nonce, on_divergence, is_shadow, delivery, \
                     snapshot_every, snapshots, snapshot_age, snapshot_mode, serve, hosts, peers and proof_wait"
                )));
            }
        }
    }
    Ok(settings)
}

/// The endpoint that is given, or that of the environment.
fn endpoint_of(endpoint: Option<&Bound<'_, Endpoint>>) -> PyResult<lockstep_client::Endpoint> {
    endpoint.map_or_else(|| Ok(Endpoint::from_env()?.inner), |endpoint| Ok(endpoint.get().inner.clone()))
}

/// A replica of a machine on a cluster, without a loop: it works in turn(). It restores the newest snapshot
/// of its folder, or of a peer, or begins with the factory's machine at the beginning of the stream, and
/// opens its names. run() has the settings. An exception of the machine ends it, and is raised by the call in
/// which it happened.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct App {
    guarded: Guarded<Replica>,
}

impl App {
    fn replica(&self) -> PyResult<CheckedOut<'_, Replica>> {
        self.guarded.check_out()
    }

    /// Works with the replica; one that has failed is closed.
    fn working<R>(&self, work: impl FnOnce(&mut Replica) -> PyResult<R>) -> PyResult<R> {
        let done = work(&mut *self.replica()?);
        if done.is_err() {
            self.guarded.close()?;
        }
        done
    }
}

#[pymethods]
impl App {
    #[new]
    #[pyo3(signature = (factory, name, number, folder, *, endpoint = None, **settings),
           text_signature = "(factory, name, number, folder, *, endpoint=None, **settings)")]
    fn new(
        py: Python<'_>,
        factory: &Bound<'_, PyAny>,
        name: String,
        number: u8,
        folder: PathBuf,
        endpoint: Option<&Bound<'_, Endpoint>>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let settings = self::settings((name, number, folder), settings)?;
        let replica = Replica::connect(py, &endpoint_of(endpoint)?, settings, factory)?;
        Ok(Self { guarded: Guarded::new("App", replica) })
    }

    /// One turn: reads on, applies, publishes, and sees to snapshots and queries. Never waits. Returns the
    /// work done; 0: there was none.
    fn turn(&self, py: Python<'_>) -> PyResult<usize> {
        self.working(|replica| replica.turn(py))
    }

    /// Sleeps after a turn that returned 0, until something can be read or is due, or until the timeout in
    /// seconds. It may return earlier.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let time = self::timeout(timeout)?;
        self.working(|replica| {
            // A replica does not say why it woke, so it sleeps once, and returns to look for signals.
            let slice = time.unwrap_or(SLICE).min(SLICE);
            let slept = py.detach(|| replica.sleep(slice));
            slept.map_err(|error| failure(py, &replica.kit, error))
        })?;
        py.check_signals()
    }

    /// Puts the version of this replica in force, from the entry on that it stamps now: replicas of other
    /// versions go on as shadows. Returns what it does, in words.
    fn take_over(&self) -> PyResult<String> {
        Ok(self.replica()?.app.take_over().trim_end().to_owned())
    }

    /// The machine. To change it makes a copy that has parted from the others.
    #[getter]
    fn machine(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let replica = self.replica()?;
        let object = replica.app.replica().core.machine().object();
        Ok(object.map_or_else(|| py.None(), |object| object.clone_ref(py)))
    }

    /// Every entry below is applied.
    #[getter]
    fn next(&self) -> PyResult<u64> {
        Ok(self.replica()?.app.replica().next())
    }

    /// The stream's time.
    #[getter]
    fn time(&self) -> PyResult<u64> {
        Ok(self.replica()?.app.replica().core.time())
    }

    /// The digest of the state: machine, timers, and how many outputs there were. Replicas that have applied
    /// the same have the same.
    #[getter]
    fn digest(&self) -> PyResult<u64> {
        self.working(|replica| {
            let digest = replica.app.replica().core.digest();
            replica.raised().map(|()| digest)
        })
    }

    /// Every entry below is in the newest snapshot of this replica.
    #[getter]
    fn saved_next(&self) -> PyResult<u64> {
        Ok(self.replica()?.app.saved_next())
    }

    /// How often another replica had another state.
    #[getter]
    fn partings(&self) -> PyResult<u64> {
        Ok(self.replica()?.app.replica().partings().0)
    }

    /// Whether the stream was read up to its end once.
    #[getter]
    fn is_caught_up(&self) -> PyResult<bool> {
        Ok(self.replica()?.app.replica().is_caught_up())
    }

    /// Whether another version is in force, so that this replica publishes nothing.
    #[getter]
    fn is_shadow(&self) -> PyResult<bool> {
        Ok(self.replica()?.app.replica().is_shadow())
    }

    /// Whether every output and every report is committed.
    #[getter]
    fn is_drained(&self) -> PyResult<bool> {
        Ok(self.replica()?.app.is_drained())
    }

    /// Closes the sockets. Calls after it are refused; to close again does nothing.
    fn close(&self) -> PyResult<()> {
        self.guarded.close()
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.guarded.is_closed()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        drop(slf.get().replica()?);
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close()
    }
}

/// Runs a replica of a machine until Ctrl-C (KeyboardInterrupt) or until it cannot go on. `factory` makes the
/// machine at the beginning of the stream; `name` is that of the machine, under which all replicas publish;
/// `number`, from 1, and `folder`, for its snapshots, are this replica's own. `endpoint` is by default that
/// of the environment. Lines that say where it is go to stderr.
///
/// Settings: digest_every (entries from one digest to the next, 1000), nonce, on_divergence ('stop' or
/// 'report'), is_shadow, delivery, snapshot_every (entries, 100000), snapshots (3), snapshot_age (seconds),
/// snapshot_mode ('pause' or 'never'), serve ('address:port'), hosts, peers, proof_wait (seconds, 30).
///
/// An exception of the machine ends the replica, and is raised here with its traceback: nothing of its input
/// is published, and nothing more is applied. ReplicaError: stream, state or snapshots need an operator.
/// Where the environment has LOCKSTEP_DEBUG it is `debug` instead.
#[pyfunction]
#[pyo3(signature = (factory, name, number, folder, *, endpoint = None, **settings),
       text_signature = "(factory, name, number, folder, *, endpoint=None, **settings)")]
pub(crate) fn run(
    py: Python<'_>,
    factory: &Bound<'_, PyAny>,
    name: String,
    number: u8,
    folder: PathBuf,
    endpoint: Option<&Bound<'_, Endpoint>>,
    settings: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    lockstep_app::print_without_a_logger();
    let (settings, endpoint) = (self::settings((name, number, folder), settings)?, endpoint_of(endpoint)?);
    if lockstep_app::debug_is_asked() {
        return open_debugger(py, &endpoint, &settings, factory);
    }
    lockstep_app::note_machine(&settings);
    Replica::connect(py, &endpoint, settings, factory)?.run(py)
}

/// Opens a terminal on stdin and stdout that steps a machine along the committed stream, forward and back,
/// from its beginning; `h` lists its commands. It publishes nothing, and opens no name. It returns when stdin
/// ends, or after the command `x`. `name` is that of the machine, and `endpoint` by default that of the
/// environment.
///
/// An exception of the machine is raised when the terminal has ended. ReplicaError: the stream cannot be read
/// from its beginning.
#[pyfunction]
#[pyo3(signature = (factory, name, *, endpoint = None), text_signature = "(factory, name, *, endpoint=None)")]
pub(crate) fn debug(
    py: Python<'_>,
    factory: &Bound<'_, PyAny>,
    name: String,
    endpoint: Option<&Bound<'_, Endpoint>>,
) -> PyResult<()> {
    let settings = AppSettings::new(name, 1, "");
    open_debugger(py, &endpoint_of(endpoint)?, &settings, factory)
}

fn open_debugger(
    py: Python<'_>,
    endpoint: &lockstep_client::Endpoint,
    settings: &AppSettings,
    factory: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let kit = Arc::new(Kit::new(factory)?);
    let new = Arc::clone(&kit);
    let done = py.detach(|| lockstep_app::debug(endpoint, settings, move || PyMachine::new(&new)));
    done.map_err(|error| failure(py, &kit, error))?;
    kit.take_failure().map_or(Ok(()), Err)
}
