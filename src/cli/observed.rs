//! A daemon shows its page, and its state to the service manager, while it runs. Both come from its counters
//! file alone, by side threads. A reload may give the page another address.

use super::counters::process::{Process, age_of_values};
use super::metrics::endpoint::{OWN_ADDRESS, serve};
use super::service;
use crate::config::Config;
use lockstep_io::IoError;
use lockstep_io::counters::CountersReader;
use lockstep_process::page::PageServer;
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A process that is shown, once it has a counters file.
#[derive(Clone, Default)]
pub struct Observed {
    process: Arc<Mutex<Option<(String, CountersReader)>>>,
    page: Arc<Mutex<Option<PageServer>>>,
}

/// A thread that panicked has left a whole value.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observed {
    /// Begins to show this daemon: on a page where the configuration has one, and to the service manager if
    /// one has started it. A daemon goes on without its page.
    pub fn begin(&self, config: &Config) {
        if let Err(error) = self.listen(config.metrics.listen) {
            tracing::warn!("{error}; this process goes on without its metrics page: {OWN_ADDRESS}");
        }
        service::start(self);
    }

    /// From now on the page is there, and nowhere else.
    ///
    /// # Errors
    /// As of [`serve`]: it is where it was.
    pub fn listen(&self, wanted: Option<SocketAddrV4>) -> Result<(), IoError> {
        let mut page = locked(&self.page);
        if page.as_ref().map(PageServer::address) != wanted {
            *page = wanted.map(|address| serve(address, self)).transpose()?;
        }
        Ok(())
    }

    /// From now on this is the process called `name`, with this counters file.
    pub fn show(&self, name: &str, counters: &Path) {
        match CountersReader::open(counters) {
            Ok(reader) => *locked(&self.process) = Some((name.to_owned(), reader)),
            Err(error) => {
                tracing::warn!("neither a page nor the service manager learns how this goes: {error}")
            }
        }
    }

    /// Its counters file as it is, and the age of its values; `None` before it counts.
    pub fn counters(&self) -> Option<(Vec<u8>, Duration)> {
        locked(&self.process).as_ref().map(|(_, reader)| (reader.bytes(), age_of_values(reader)))
    }

    /// What it has counted at this moment; `None` before it counts.
    pub fn process(&self) -> Option<Process> {
        locked(&self.process).as_ref().map(|(name, reader)| Process::of(name, reader))
    }
}
