//! `lockstep watch`: the watcher that a sequencer starts beside itself. Its stdin is a page of memory and its
//! stdout a socket, so it cannot be run by hand.

use crate::args::WatchArgs;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::failure::{FAILED, USAGE};
use crate::{Failure, log};
use lockstep_io::IoError;
use lockstep_process::watcher::watch;
use std::os::fd::AsFd;

/// Waits for the sequencer's end, announces it, and reports it once.
pub fn run(args: &WatchArgs) -> Result<u8, Failure> {
    log::begin_daemon();
    let format = LogFormat::from_word(&args.log_format)
        .ok_or_else(|| Failure::new(USAGE, format!("no log format '{}'", args.log_format)))?;
    log::start(&LogConfig::new(format, LogLevel::Info));
    let own = |fd: std::os::fd::BorrowedFd<'_>| {
        fd.try_clone_to_owned().map_err(|error| IoError::new("take over what the sequencer handed on", error))
    };
    let (page, socket) = (own(std::io::stdin().as_fd())?, own(std::io::stdout().as_fd())?);
    let ended = watch(page, socket).map_err(|error| Failure::new(FAILED, error).logged())?;
    tracing::info!("watcher: {ended}");
    Ok(0)
}
