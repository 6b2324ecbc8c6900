//! SIGTERM and SIGINT: the first asks to stop in order; another one a second later ends the process at once.

use lockstep_io::IoError;
use lockstep_process::stop::Stop;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that the first of either signal sets.
///
/// # Errors
/// Nobody can listen to them.
pub fn stop_flag() -> Result<Arc<AtomicBool>, IoError> {
    Ok(Arc::clone(Stop::by_signals()?.flag()))
}
