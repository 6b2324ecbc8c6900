//! The log: `tracing` on stderr, as text for people or JSON for programs. It is started once per process; its
//! level may change while the process runs. No thread of a daemon waits for the log's reader.

use crate::config::{self, LogConfig, LogFormat, LogLevel};
use lockstep_io::output::{self, OutputStream, StderrWriter};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

/// The filter of this process's log.
static FILTER: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// This process is a daemon: the reader of its stdout and stderr may hang, and must delay none of its
/// threads. From here on its lines are queued, those of a panic as well; the code that ends the process calls
/// [`output::flush`].
pub fn begin_daemon() {
    output::hold();
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        output::write_line(OutputStream::Err, format_args!("thread '{name}' {panic}"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            output::write_line(OutputStream::Err, trace);
        }
    }));
}

/// Writes log lines of at least the configured level to stderr from here on.
pub fn start(log: &LogConfig) {
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_target(false).with_writer(|| StderrWriter);
    // A second start in one process leaves the first one in force.
    let started = match log.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(crate::has_color(&std::io::stderr()));
            tracing::subscriber::set_global_default(registry.with(lines))
        }
        LogFormat::Json => {
            tracing::subscriber::set_global_default(registry.with(lines.json().flatten_event(true)))
        }
    };
    if started.is_ok() {
        let _first = FILTER.set(handle);
        if let Some(what) = left_out() {
            tracing::info!("{what}");
        }
    }
}

/// A line about environment variables that look like settings and are none.
pub fn left_out() -> Option<String> {
    let names = config::left_out_of_this_process();
    let first = names.first()?;
    Some(format!(
        "{} variables have addresses of an orchestrator's services and are no settings, {first} among them: \
         ignored (Kubernetes: enableServiceLinks: false makes none)",
        names.len()
    ))
}

/// The level that writes more of the two.
pub fn most(one: LogLevel, other: LogLevel) -> LogLevel {
    if filter(one) >= filter(other) { one } else { other }
}

/// From now on lines of at least this level are written.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get() {
        // It fails if the log has ended; then nothing is written.
        let _ = handle.reload(filter(level));
    }
}
