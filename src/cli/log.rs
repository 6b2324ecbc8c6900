//! The log: `tracing` on stderr, as text for people or JSON for programs. Started once per process.

use crate::config::{LogConfig, LogFormat, LogLevel};
use tracing::Level;

/// Writes log lines of at least the configured level to stderr from here on.
pub fn start(log: &LogConfig) {
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // A second start in one process leaves the first in force, which is as good.
    let _ = match log.format {
        LogFormat::Text => {
            let lines = lines.with_target(false).with_ansi(super::has_color(&std::io::stderr()));
            tracing::subscriber::set_global_default(lines.finish())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_target(false);
            tracing::subscriber::set_global_default(lines.finish())
        }
    };
}
