//! The output of a program that has installed no logger: lines on stderr, so that a working replica does not
//! look like one that hangs.

use std::fmt::{self, Write as _};
use std::io::Write;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Prints what lockstep's crates log at INFO and above from now on, unless the program has installed a
/// subscriber of its own before.
pub fn print_without_a_logger() {
    if !tracing::dispatcher::has_been_set() {
        // Another thread may be faster: then there is a subscriber.
        let _ = tracing::subscriber::set_global_default(Lines(std::io::stderr));
    }
}

/// Prints each event as a line, to the writer that the function returns.
struct Lines<F>(F);

impl<W: Write, F: Fn() -> W + 'static> Subscriber for Lines<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("lockstep")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{:5} ", event.metadata().level()));
        event.record(&mut line);
        line.0.push('\n');
        // A program that has closed stderr needs no lines.
        let _ = (self.0)().write_all(line.0.as_bytes());
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
        // Writing to a text never fails.
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
        let (mut printed, lines) = std::io::pipe().expect("a pipe");
        let to = move || lines.try_clone().expect("a pipe");
        tracing::subscriber::with_default(Lines(to), || {
            tracing::info!(seq = 7, "snapshot of {} bytes", 3);
            tracing::debug!("not printed");
            tracing::error!(target: "another", "not lockstep's");
        });
        let mut text = String::new();
        std::io::Read::read_to_string(&mut printed, &mut text).expect("text");
        assert_eq!(text, "INFO  snapshot of 3 bytes seq=7\n");
    }
}
