//! The cost of an input in Python, beside that of the same machine in Rust: a loop over a machine core.

use crate::machine::{Kit, PyMachine};
use lockstep_app::{CHANNELS, EVERYBODY, Input, InputEvent, Output, StateMachine};
use lockstep_client::{Message, SubscriberEvent};
use lockstep_io::clock::Clock;
use lockstep_machine::{MachineCore, MachineSettings};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// The name of the machine, and the ids of it and of its client.
const NAME: &str = "cost";
const CLIENT: u32 = 7;
const MACHINE: u32 = 8;
/// The key of the counter's one timer, and nanoseconds until it is due.
const QUIET: u64 = 1;
const QUIET_NS: u64 = 2_000_000_000;

/// The counter of docs/APPLY.md.
#[derive(Default)]
struct Counter(BTreeMap<u32, u64>);

impl Counter {
    fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl StateMachine for Counter {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { publisher, destination: EVERYBODY, .. } => {
                *self.0.entry(publisher).or_default() += 1;
                output.publish(CHANNELS + 1, format!("total {}", self.total()).as_bytes());
                output.timer_after(QUIET, QUIET_NS, b"");
            }
            InputEvent::Timer { key: QUIET, .. } => {
                output.publish(CHANNELS + 1, format!("quiet at {}", self.total()).as_bytes());
            }
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(publisher, count)| writeln!(out, "{publisher} {count}"))
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Nanoseconds of one message with its output, which is read back in the stream.
fn measured<M: StateMachine>(machine: M, messages: u64) -> Result<f64, String> {
    let settings = MachineSettings { name: NAME.to_owned(), digest_every: u64::MAX };
    let mut core = MachineCore::new(settings, machine);
    let opened = SubscriberEvent::Opened {
        seq: 1,
        timestamp: 1,
        publisher: MACHINE,
        incarnation: 1,
        nonce: [1, 2],
        last: 0,
        name: NAME,
    };
    core.on_event(&opened, &mut |_, _| {}).map_err(|error| error.to_string())?;
    let (mut own, clock) = (Vec::new(), Clock::start());
    let begun = clock.now();
    for number in 1..=messages {
        let seq = core.next();
        let message = Message {
            seq,
            publisher: CLIENT,
            publisher_seq: number,
            destination: EVERYBODY,
            timestamp: seq,
            payload: &[b'x'; 48],
        };
        let mut observe = |_: &Input<'_>, output: &Output| {
            own.clear();
            own.extend(output.published().next().into_iter().flat_map(|(_, payload)| payload));
        };
        core.on_event(&SubscriberEvent::Message(message), &mut observe).map_err(|error| error.to_string())?;
        if let Some(why) = core.machine().fault() {
            return Err(why.to_owned());
        }
        let back = Message {
            seq: seq + 1,
            publisher: MACHINE,
            publisher_seq: core.outputs.count() + 1,
            destination: CHANNELS + 1,
            payload: &own,
            ..message
        };
        core.on_event(&SubscriberEvent::Message(back), &mut |_, _| {}).map_err(|error| error.to_string())?;
    }
    Ok((clock.now() - begun) as f64 / messages.max(1) as f64)
}

/// Nanoseconds that a machine core takes for a message of 48 bytes and the output that follows from it, each
/// one message to channel 1: of the factory's machine, or with None of the counter of docs/APPLY.md in Rust.
#[pyfunction]
#[pyo3(signature = (factory, messages))]
pub(crate) fn apply_cost(py: Python<'_>, factory: Option<&Bound<'_, PyAny>>, messages: u64) -> PyResult<f64> {
    let _ = py; // the interpreter is this thread's, as in a turn
    let Some(factory) = factory else {
        return measured(Counter::default(), messages).map_err(PyRuntimeError::new_err);
    };
    let kit = Arc::new(Kit::new(factory)?);
    let cost = measured(PyMachine::new(&kit), messages);
    cost.map_err(|why| kit.take_failure().unwrap_or_else(|| PyRuntimeError::new_err(why)))
}
