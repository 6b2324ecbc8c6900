//! SIGTERM and SIGINT: the first one requests a stop in order; another one a second later ends the process at
//! once. SIGHUP: key file and configuration are read again.

use crate::expiry;
use crate::sequencer::log_effective;
use lockstep_io::key_file::{self, KeyFile};
use lockstep_io::{IoError, capabilities};
use lockstep_process::stop::Stop;
use lockstep_wire::Keys;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that the first of either signal sets.
///
/// # Errors
/// The signals cannot be handled.
pub fn stop_flag() -> Result<Arc<AtomicBool>, IoError> {
    Ok(Arc::clone(Stop::by_signals()?.flag()))
}

/// Logs a reminder if the keys should be replaced soon.
fn remind(path: &Path) {
    if let Some(expiry) = expiry::of_process(path).filter(|expiry| expiry.is_near()) {
        tracing::warn!("{expiry}");
    }
}

/// Locks the memory of the keys. The log reports if it cannot be locked.
fn lock(keys: &Keys) {
    let locked = key_file::lock(&keys.places());
    if locked.note.is_some() {
        log_effective(&locked);
    }
}

/// The keys of a process that has just read them: they are locked in memory, and the log reminds of a day on
/// which they are replaced.
pub fn begin_with_keys(path: &Path, keys: &Keys) {
    remind(path);
    lock(keys);
}

/// Reads a key file again. A refused file changes nothing.
///
/// # Errors
/// It is refused: what the operator is answered.
pub fn read_keys_again(path: &Path, keys: &Keys) -> Result<String, String> {
    match KeyFile::reload(path, keys) {
        Ok(()) => {
            let (sealing, accepted) = keys.generations();
            let accepted: Vec<_> = (0..16).filter(|bit| accepted >> bit & 1 == 1).collect();
            tracing::info!(sealing, ?accepted, "the key file {} was read again", path.display());
            // Keys that were added need memory of their own.
            begin_with_keys(path, keys);
            Ok(format!("the key file {} was read again", path.display()))
        }
        Err(error) => {
            tracing::error!("the keys stay as they are: {error}");
            Err(format!("the keys stay as they are: {error}"))
        }
    }
}

/// Reads the key file again at each SIGHUP, on a thread of its own: from then on the process has the keys of
/// the file. A refused file changes nothing. `then` receives the result, if there are keys.
///
/// # Errors
/// The signal cannot be handled, or the system starts no thread.
pub fn reload_keys(
    path: Option<PathBuf>,
    keys: Keys,
    mut then: impl FnMut(Option<Result<String, String>>) + Send + 'static,
) -> Result<(), IoError> {
    let mut signals = Signals::new([SIGHUP]).map_err(|error| IoError::new("listen to SIGHUP", error))?;
    if let Some(path) = &path {
        begin_with_keys(path, &keys);
    }
    let reload = move || {
        for _ in signals.forever() {
            let Some(path) = &path else {
                then(None);
                continue;
            };
            then(Some(read_keys_again(path, &keys)));
        }
    };
    let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-keys".into()), reload);
    thread.map_err(|error| IoError::new("start the thread that reads the key file again", error))?;
    Ok(())
}
