//! SIGTERM and SIGINT: the first asks to stop in order, the second ends the process at once.

use crate::io::IoError;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that either signal sets. The exit code of a second one is 128 and its number, as a shell has it.
///
/// # Errors
/// A handler cannot be installed.
pub fn stop_flag() -> Result<Arc<AtomicBool>, IoError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset, so only the second one ends the process.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| IoError::new(format!("listen to signal {signal}"), error))?;
    }
    Ok(stop)
}
