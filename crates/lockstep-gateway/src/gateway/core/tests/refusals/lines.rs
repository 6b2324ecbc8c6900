//! Records the lines of the log.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, Once};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A line of the log: its address, if it has one, and its text.
#[derive(Clone, Default, Debug)]
pub(super) struct Line {
    pub address: Option<String>,
    pub message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "address" => self.address = Some(format!("{value:?}")),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}

/// The lines at `info` and above of one thread.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<Line>>>);

thread_local! {
    static OF_THREAD: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

impl Lines {
    /// Runs `test`, and records the lines of its thread. The recorder is installed for the whole process: a
    /// callsite that another thread reaches first would otherwise stay silent.
    pub fn record(&self, test: impl FnOnce()) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Recorder).expect("the only one"));
        OF_THREAD.set(Some(self.clone()));
        test();
        OF_THREAD.set(None);
    }

    pub fn all(&self) -> Vec<Line> {
        self.0.lock().expect("lines").clone()
    }

    pub fn clear(&self) {
        self.0.lock().expect("lines").clear();
    }
}

/// Passes each line to the record of its thread.
struct Recorder;

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() <= Level::INFO {
            OF_THREAD.with_borrow(|lines| {
                let Some(Lines(lines)) = lines else { return };
                let mut line = Line::default();
                event.record(&mut line);
                lines.lock().expect("lines").push(line);
            });
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
