//! A daemon shows its page, and its state to the service manager, while it runs. Both come from its counters
//! file alone, by side threads.

use super::counters::process::Process;
use super::metrics::endpoint;
use super::service;
use crate::config::Config;
use lockstep_io::counters::CountersReader;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A process that is shown, once it has a counters file.
#[derive(Clone, Default)]
pub struct Observed(Arc<Mutex<Option<(String, CountersReader)>>>);

impl Observed {
    /// Begins to show this daemon: on a page where the configuration has one, and to the service manager if
    /// one has started it.
    pub fn begin(config: &Config) -> Self {
        let observed = Self::default();
        endpoint::start(config.metrics.listen, &observed);
        service::start(&observed);
        observed
    }

    /// From now on this is the process called `name`, with this counters file.
    pub fn show(&self, name: &str, counters: &Path) {
        match CountersReader::open(counters) {
            Ok(reader) => *self.lock() = Some((name.to_owned(), reader)),
            Err(error) => {
                tracing::warn!("neither a page nor the service manager learns how this goes: {error}")
            }
        }
    }

    /// What it has counted at this moment; `None` before it counts.
    pub fn process(&self) -> Option<Process> {
        self.lock().as_ref().map(|(name, reader)| Process::of(name, reader))
    }

    /// A thread that panicked has left a whole value: it only reads.
    fn lock(&self) -> MutexGuard<'_, Option<(String, CountersReader)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
