//! While a daemon runs it serves its page, and reports its state to the service manager. Both come from its
//! counters file alone, by side threads. A reload may give the page another address.

use crate::config::Config;
use crate::endpoint::{OWN_ADDRESS, serve};
use crate::service;
use lockstep_io::IoError;
use lockstep_metrics::ShownProcess;
use lockstep_process::page::PageServer;
use std::sync::{Arc, Mutex, PoisonError};

/// A process that is observed, once it has a counters file.
#[derive(Clone, Default)]
pub struct Observed {
    /// The process.
    pub shown: ShownProcess,
    page: Arc<Mutex<Option<PageServer>>>,
}

impl Observed {
    /// Begins to observe this daemon: on a page if the configuration has one, and by the service manager if
    /// that has started it. A daemon continues without its page.
    pub fn begin(&self, config: &Config) {
        if let Err(error) = self.listen(config) {
            tracing::warn!("{error}; this process runs without its metrics page: {OWN_ADDRESS}");
        }
        service::start(&self.shown);
    }

    /// From now on the page is at the address of this configuration, and nowhere else.
    ///
    /// # Errors
    /// As [`serve`]: the page stays where it was.
    pub fn listen(&self, config: &Config) -> Result<(), IoError> {
        let (wanted, hosts) = (config.metrics.listen, config.metrics.hosts());
        // A thread that panicked has left a consistent value.
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.as_ref().map(PageServer::address) != wanted {
            *page = wanted.map(|address| serve(address, hosts, &self.shown)).transpose()?;
        } else if let Some(page) = &*page {
            page.set_hosts(hosts.to_vec());
        }
        Ok(())
    }
}
