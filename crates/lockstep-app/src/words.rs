//! What a program says that has installed no logger: lines on stderr, so that nobody takes a replica that
//! works for one that hangs.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// From now on what lockstep's crates log at INFO and above is printed, if the program has not installed a
/// subscriber of its own before.
pub(crate) fn print_without_a_logger() {
    if !tracing::dispatcher::has_been_set() {
        // Another thread may be faster: then there is one.
        let _ = tracing::subscriber::set_global_default(Lines);
    }
}

/// Prints events, each as a line.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("lockstep")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{:5} ", event.metadata().level()));
        event.record(&mut line);
        line.0.push('\n');
        // A program that has closed stderr wants none.
        let _ = std::io::stderr().write_all(line.0.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line that grows: the message, and the fields behind it.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A text takes whatever is written.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_level_its_message_and_its_fields() {
        struct Collected(std::sync::Mutex<String>);
        impl Subscriber for Collected {
            fn enabled(&self, metadata: &Metadata<'_>) -> bool {
                Lines.enabled(metadata)
            }
            fn event(&self, event: &Event<'_>) {
                let mut line = Line(format!("{:5} ", event.metadata().level()));
                event.record(&mut line);
                *self.0.lock().expect("one thread") += &line.0;
            }
            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }
            fn record(&self, _: &Id, _: &Record<'_>) {}
            fn record_follows_from(&self, _: &Id, _: &Id) {}
            fn enter(&self, _: &Id) {}
            fn exit(&self, _: &Id) {}
        }
        let lines = std::sync::Arc::new(Collected(std::sync::Mutex::default()));
        tracing::subscriber::with_default(std::sync::Arc::clone(&lines), || {
            tracing::info!(seq = 7, "snapshot of {} bytes", 3);
            tracing::debug!("not printed");
            tracing::error!(target: "another", "not lockstep's");
        });
        assert_eq!(*lines.0.lock().expect("one thread"), "INFO  snapshot of 3 bytes seq=7");
    }
}
