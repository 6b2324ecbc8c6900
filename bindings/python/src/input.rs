//! An input of a machine, and its effects, as objects.

use crate::bytes::with_bytes;
use lockstep_app::{DisconnectReason, EVERYBODY, Effect, InputEvent};
use lockstep_flat::FlatInputKind as InputKind;
use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names and numbers of all kinds of inputs.
pub(crate) fn input_kinds() -> Vec<(String, u32)> {
    InputKind::ALL.into_iter().map(|kind| (crate::event::upper(&format!("{kind:?}")), kind as u32)).collect()
}

/// Names and numbers of the reasons why a client left.
pub(crate) fn disconnect_reasons() -> Vec<(String, u8)> {
    let reasons = (0..=u8::MAX).filter_map(DisconnectReason::from_u8);
    reasons.map(|reason| (crate::event::upper(&format!("{reason:?}")), reason as u8)).collect()
}

/// The member of `lockstep.InputKind`.
fn member(py: Python<'_>, kind: InputKind) -> PyResult<Py<PyAny>> {
    static MEMBERS: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
    let members = MEMBERS.get_or_try_init(py, || {
        let class = py.import("lockstep._kinds")?.getattr("InputKind")?;
        let all = InputKind::ALL.into_iter().map(|kind| Ok(class.call1((kind as u32,))?.unbind()));
        all.collect::<PyResult<Vec<_>>>()
    })?;
    Ok(members[kind as usize - 1].clone_ref(py))
}

/// An input of a machine, at its place in the stream. Fields that its kind does not use are 0, empty or None;
/// InputKind lists them. A test of a machine makes one by itself.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Input {
    kind: InputKind,
    /// The seq of its entry; of a timer, that of the entry at or behind the time when it is due.
    #[pyo3(get)]
    seq: u64,
    /// The stream's time: when the leader stamped that entry, nanoseconds since the Unix epoch.
    #[pyo3(get)]
    time: u64,
    /// The publisher's id: the destination of an answer.
    #[pyo3(get)]
    publisher: u32,
    /// The publisher's number of the message.
    #[pyo3(get)]
    publisher_seq: u64,
    /// The destination.
    #[pyo3(get)]
    destination: u32,
    /// The user, where the publisher is a client of a gateway.
    #[pyo3(get)]
    user: Option<String>,
    payload: Option<Py<PyBytes>>,
    /// The key of the timer.
    #[pyo3(get)]
    key: u64,
    /// When the timer was due, by the stream's time.
    #[pyo3(get)]
    due: u64,
    /// The name of the publisher that is opened, or of the trading day that begins.
    #[pyo3(get)]
    name: String,
    /// How often the name was opened.
    #[pyo3(get)]
    incarnation: u32,
    /// Why the client left: a DisconnectReason.
    #[pyo3(get)]
    reason: u8,
    /// Whether the user of a client that is gone wants its orders to be cancelled.
    #[pyo3(get)]
    cancels: bool,
    /// The stream's time before it was set back.
    #[pyo3(get)]
    before: u64,
    /// How many members the cluster has from here on.
    #[pyo3(get)]
    members: usize,
}

impl Input {
    fn empty(kind: InputKind, seq: u64, time: u64) -> Self {
        Self {
            kind,
            seq,
            time,
            publisher: 0,
            publisher_seq: 0,
            destination: EVERYBODY,
            user: None,
            payload: None,
            key: 0,
            due: 0,
            name: String::new(),
            incarnation: 0,
            reason: 0,
            cancels: false,
            before: 0,
            members: 0,
        }
    }

    /// The object of an input.
    pub(crate) fn of(py: Python<'_>, input: &lockstep_app::Input<'_>) -> PyResult<Self> {
        use InputKind as K;
        let of = |kind| Self::empty(kind, input.seq, input.time);
        let bytes = |payload: &[u8]| Some(PyBytes::new(py, payload).unbind());
        Ok(match input.event {
            InputEvent::Message { publisher, publisher_seq, destination, user, payload } => Self {
                publisher,
                publisher_seq,
                destination,
                user: user.map(str::to_owned),
                payload: bytes(payload),
                ..of(K::Message)
            },
            InputEvent::Connected { user, publisher } => {
                Self { user: Some(user.to_owned()), publisher, ..of(K::Connected) }
            }
            InputEvent::Disconnected { user, publisher, reason, cancels } => {
                let (user, reason) = (Some(user.to_owned()), reason as u8);
                Self { user, publisher, reason, cancels, ..of(K::Disconnected) }
            }
            InputEvent::Opened { publisher, incarnation, name } => {
                Self { publisher, incarnation, name: name.to_owned(), ..of(K::Opened) }
            }
            InputEvent::Closed { publisher } => Self { publisher, ..of(K::Closed) },
            InputEvent::DayStart { name } => Self { name: name.to_owned(), ..of(K::DayStart) },
            InputEvent::DayEnd => of(K::DayEnd),
            InputEvent::Timer { key, due, payload } => {
                Self { key, due, payload: bytes(payload), ..of(K::Timer) }
            }
            InputEvent::Time => of(K::Time),
            InputEvent::TimeSetBack { before } => Self { before, ..of(K::TimeSetBack) },
            InputEvent::Membership { members } => Self { members, ..of(K::Membership) },
            other => {
                return Err(PyNotImplementedError::new_err(format!("an input of a new kind: {other:?}")));
            }
        })
    }

    /// The input of an object.
    pub(crate) fn input(&self, py: Python<'_>) -> lockstep_app::Input<'_> {
        let Self { publisher, publisher_seq, destination, key, due, incarnation, cancels, .. } = *self;
        let payload = self.payload.as_ref().map_or(&b""[..], |payload| payload.as_bytes(py));
        let (name, user) = (&*self.name, self.user.as_deref());
        let event = match self.kind {
            InputKind::Message => {
                InputEvent::Message { publisher, publisher_seq, destination, user, payload }
            }
            InputKind::Connected => InputEvent::Connected { user: user.unwrap_or_default(), publisher },
            InputKind::Disconnected => InputEvent::Disconnected {
                user: user.unwrap_or_default(),
                publisher,
                reason: DisconnectReason::from_u8(self.reason).unwrap_or(DisconnectReason::Logout),
                cancels,
            },
            InputKind::Opened => InputEvent::Opened { publisher, incarnation, name },
            InputKind::Closed => InputEvent::Closed { publisher },
            InputKind::DayStart => InputEvent::DayStart { name },
            InputKind::DayEnd => InputEvent::DayEnd,
            InputKind::Timer => InputEvent::Timer { key, due, payload },
            InputKind::Time => InputEvent::Time,
            InputKind::TimeSetBack => InputEvent::TimeSetBack { before: self.before },
            InputKind::Membership => InputEvent::Membership { members: self.members },
        };
        lockstep_app::Input { seq: self.seq, time: self.time, event }
    }
}

#[pymethods]
impl Input {
    #[new]
    #[pyo3(signature = (kind, seq, time, *, publisher = 0, publisher_seq = 0, destination = EVERYBODY, user = None,
        payload = None, key = 0, due = 0, name = String::new(), incarnation = 0, reason = 0, cancels = false, before = 0,
        members = 0),
        text_signature = "(kind, seq, time, *, publisher=0, publisher_seq=0, destination=0, user=None, payload=b'', key=0, \
        due=0, name='', incarnation=0, reason=0, cancels=False, before=0, members=0)")]
    #[allow(clippy::too_many_arguments, reason = "they are keywords")]
    fn new(
        py: Python<'_>,
        kind: u32,
        seq: u64,
        time: u64,
        publisher: u32,
        publisher_seq: u64,
        destination: u32,
        user: Option<String>,
        payload: Option<&Bound<'_, PyAny>>,
        key: u64,
        due: u64,
        name: String,
        incarnation: u32,
        reason: u8,
        cancels: bool,
        before: u64,
        members: usize,
    ) -> PyResult<Self> {
        let kind = InputKind::from_u32(kind)
            .ok_or_else(|| PyValueError::new_err(format!("kind {kind} is no lockstep.InputKind")))?;
        if kind == InputKind::Disconnected && DisconnectReason::from_u8(reason).is_none() {
            return Err(PyValueError::new_err(format!("reason {reason} is no lockstep.DisconnectReason")));
        }
        let copied = |payload| with_bytes(payload, |payload| Ok(PyBytes::new(py, payload).unbind()));
        let payload = payload.map(copied).transpose()?;
        Ok(Self {
            publisher,
            publisher_seq,
            destination,
            user,
            payload,
            key,
            due,
            name,
            incarnation,
            reason,
            cancels,
            before,
            members,
            ..Self::empty(kind, seq, time)
        })
    }

    /// What it is: an InputKind.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        member(py, self.kind)
    }

    /// The content of the message, or the bytes that the timer was set with.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.payload.as_ref().map_or_else(|| PyBytes::new(py, b""), |payload| payload.bind(py).clone())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let lockstep_app::Input { seq, time, event } = self.input(py);
        format!("<Input seq={seq} time={time} {event:?}>")
    }
}

/// Effects of an input, while or after it is applied.
struct Effects {
    inner: lockstep_app::Output,
    /// They count: the input is being applied, or a test has made this object.
    is_open: bool,
}

/// Collects the effects of an input, in order. It takes effects while its input is applied alone. A test of a
/// machine makes one by itself, at an input's time.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct Output(Mutex<Effects>);

impl Output {
    /// One that waits for an input.
    pub(crate) fn closed() -> Self {
        Self(Mutex::new(Effects { inner: lockstep_app::Output::default(), is_open: false }))
    }

    fn effects(&self) -> MutexGuard<'_, Effects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects into `output` from now on: it is exchanged with what is in here.
    pub(crate) fn exchange(&self, output: &mut lockstep_app::Output, is_open: bool) {
        let mut effects = self.effects();
        std::mem::swap(&mut effects.inner, output);
        effects.is_open = is_open;
    }

    fn add(&self, add: impl FnOnce(&mut lockstep_app::Output)) -> PyResult<()> {
        let mut effects = self.effects();
        if !effects.is_open {
            return Err(PyRuntimeError::new_err(
                "the input of this output was applied before: an output takes effects within `apply` alone",
            ));
        }
        add(&mut effects.inner);
        Ok(())
    }
}

#[pymethods]
impl Output {
    #[new]
    #[pyo3(signature = (time = 0))]
    fn new(time: u64) -> Self {
        Self(Mutex::new(Effects { inner: lockstep_app::Output::new(time), is_open: true }))
    }

    /// Publishes a message to a destination: EVERYBODY, a publisher, or a channel. It is in the stream once,
    /// whichever copies of the machine run.
    #[pyo3(signature = (payload, destination = EVERYBODY), text_signature = "($self, payload, destination=0)")]
    fn publish(&self, payload: &Bound<'_, PyAny>, destination: u32) -> PyResult<()> {
        with_bytes(payload, |payload| self.add(|output| output.publish(destination, payload)))
    }

    /// The timer with this key is due at this time of the stream, nanoseconds since the Unix epoch, and at
    /// once if that has passed. It comes back as an input of kind TIMER, once, and never earlier. One with
    /// this key that is pending is replaced.
    #[pyo3(signature = (key, at, payload = None), text_signature = "($self, key, at, payload=b'')")]
    fn timer_at(&self, key: u64, at: u64, payload: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let set = |payload: &[u8]| self.add(|output| output.timer_at(key, at, payload));
        payload.map_or_else(|| set(b""), |payload| with_bytes(payload, set))
    }

    /// As timer_at, so many nanoseconds behind the input's time. Where the stream's time is set back, what is
    /// left of them stays.
    #[pyo3(signature = (key, after, payload = None), text_signature = "($self, key, after, payload=b'')")]
    fn timer_after(&self, key: u64, after: u64, payload: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let set = |payload: &[u8]| self.add(|output| output.timer_after(key, after, payload));
        payload.map_or_else(|| set(b""), |payload| with_bytes(payload, set))
    }

    /// The timer with this key is cancelled, if it is pending.
    fn cancel(&self, key: u64) -> PyResult<()> {
        self.add(|output| output.cancel(key))
    }

    /// The messages so far, in order: the payload and the destination of each.
    #[getter]
    fn published<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u32)> {
        let effects = self.effects();
        let published = effects.inner.published();
        published.map(|(destination, payload)| (PyBytes::new(py, payload), destination)).collect()
    }

    /// The timers that were set so far, in order: the key of each, when it is due, and its payload.
    #[getter]
    fn timers<'py>(&self, py: Python<'py>) -> Vec<(u64, u64, Bound<'py, PyBytes>)> {
        let of = |effect: Effect<'_>| match effect {
            Effect::Timer { key, due, payload, .. } => Some((key, due, PyBytes::new(py, payload))),
            _ => None,
        };
        self.effects().inner.effects().filter_map(of).collect()
    }

    /// The keys of the timers that were cancelled so far, in order.
    #[getter]
    fn cancelled(&self) -> Vec<u64> {
        let of = |effect: Effect<'_>| match effect {
            Effect::Cancel { key } => Some(key),
            _ => None,
        };
        self.effects().inner.effects().filter_map(of).collect()
    }
}
