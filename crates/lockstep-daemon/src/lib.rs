//! # lockstep-daemon: the processes of a cluster
//!
//! ```text
//!  flags ─ args ─▶ config ─▶ sequencer, archiver ─▶ a node ─┐
//!                        └─▶ gateway, feed, notary,         │
//!                               coordinator ──────────────┼─▶ observed: counters, page, service manager
//!                                                           └─▶ reloader: SIGHUP; confined: what it may reach
//! ```
//!
//! Each daemon is a function of its flags that runs until a stop is requested, and returns `Ok` or a
//! [`Failure`], which has the exit code. The operators' program (`lockstep`) has a command for each, and so
//! has `lockstep-demo`, which runs them as its processes.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "daemons read clocks and start threads")]

pub mod archiver;
pub mod args;
pub mod config;
pub mod confined;
pub mod coordinator;
pub mod ended;
pub mod expiry;
pub mod failure;
pub mod feed;
pub mod gateway;
pub mod log;
pub mod notary;
pub mod reloader;
pub mod secret;
pub mod sequencer;
pub mod signals;
pub mod watch;

mod endpoint;
mod follows;
mod network_wait;
mod observed;
mod rejoin;
mod service;

pub use failure::Failure;

use std::io::IsTerminal;

/// The counters file by which a process is observed; a process that cannot have one continues without.
fn counters_or_warning(
    observed: &observed::Observed,
    created: Result<lockstep_client::Counted, lockstep_io::IoError>,
) -> Option<lockstep_client::Counted> {
    let counted =
        created.inspect_err(|error| tracing::warn!("this process runs without counters: {error}")).ok()?;
    let (process, path) = counted.place();
    observed.shown.show(process, path);
    Some(counted)
}

/// Whether `stream` is a terminal and the user did not forbid colour (<https://no-color.org>).
pub fn has_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
