//! The native module of the Python package `lockstep`: its handles, events and batches.
//!
//! ```text
//!  Subscriber, Publisher, Participant ─▶ Polled (events that wait, cursor) ─▶ lockstep-client
//!                                          └─ Batch: rows and payloads as buffers
//!  MergedSubscriber ─▶ MergedPolled (the same of a set) ─▶ lockstep-streams
//!  CursorFile ─▶ lockstep-client
//!  Journal ─▶ a thread that reads ahead ─▶ lockstep-node
//!  App, run ─▶ PyMachine (an object as a StateMachine) ─▶ lockstep-app
//!  trial, twice ─▶ PyMachine ─▶ lockstep-sim
//!  Schema ─▶ lockstep-schema
//! ```
//! Conventions: a handle is checked out for each call, so that a second thread is refused; the interpreter's
//! lock is released while a handle polls or waits; a wait looks for signals twenty times a second.

mod app;
mod batch;
mod bytes;
mod cost;
mod cursor_file;
mod endpoint;
mod errors;
mod event;
mod guard;
mod handle;
mod input;
mod journal;
mod machine;
mod merged;
mod merged_event;
mod metrics;
mod outcomes;
mod participant;
mod polled;
mod publisher;
mod schema;
mod status;
mod subscriber;
mod time;
mod trial;

use pyo3::prelude::*;

/// The native module of lockstep.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::app::{App, debug, run};
    #[pymodule_export]
    use super::batch::{Batch, BatchEvents, Payloads};
    #[pymodule_export]
    use super::cost::apply_cost;
    #[pymodule_export]
    use super::cursor_file::CursorFile;
    #[pymodule_export]
    use super::endpoint::{Cursor, Endpoint};
    #[pymodule_export]
    use super::event::Event;
    #[pymodule_export]
    use super::handle::Handle;
    #[pymodule_export]
    use super::input::{Input, Output};
    #[pymodule_export]
    use super::journal::Journal;
    #[pymodule_export]
    use super::merged::MergedSubscriber;
    #[pymodule_export]
    use super::merged_event::{MergedBatch, MergedBatchEvents, MergedEvent};
    #[pymodule_export]
    use super::metrics::{metrics, metrics_text};
    #[pymodule_export]
    use super::outcomes::Outcomes;
    #[pymodule_export]
    use super::participant::Participant;
    #[pymodule_export]
    use super::publisher::{Publisher, Publishing};
    #[pymodule_export]
    use super::schema::Schema;
    #[pymodule_export]
    use super::status::status;
    #[pymodule_export]
    use super::subscriber::Subscriber;
    #[pymodule_export]
    use super::trial::{TrialCoverage, TrialReport, run_trial, twice};
    use pyo3::prelude::*;

    /// The names and numbers of the kinds of events, as the library has them.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("KINDS", super::event::kinds())?;
        module.add("INPUT_KINDS", super::input::input_kinds())?;
        module.add("DISCONNECT_REASONS", super::input::disconnect_reasons())?;
        module.add("EVERYBODY", lockstep_client::EVERYBODY)?;
        module.add("CHANNELS", lockstep_client::CHANNELS)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
