//! A daemon shows its page, and its state to the service manager, while it runs. Both come from its counters
//! file alone, by side threads. A reload may give the page another address.

use crate::config::Config;
use crate::endpoint::{OWN_ADDRESS, serve};
use crate::service;
use lockstep_io::IoError;
use lockstep_metrics::ShownProcess;
use lockstep_process::page::PageServer;
use std::sync::{Arc, Mutex, PoisonError};

/// A process that is shown, once it has a counters file.
#[derive(Clone, Default)]
pub struct Observed {
    /// The process.
    pub shown: ShownProcess,
    page: Arc<Mutex<Option<PageServer>>>,
}

impl Observed {
    /// Begins to show this daemon: on a page where the configuration has one, and to the service manager if
    /// one has started it. A daemon goes on without its page.
    pub fn begin(&self, config: &Config) {
        if let Err(error) = self.listen(config) {
            tracing::warn!("{error}; this process goes on without its metrics page: {OWN_ADDRESS}");
        }
        service::start(&self.shown);
    }

    /// From now on the page is where this configuration has it, and nowhere else.
    ///
    /// # Errors
    /// As of [`serve`]: it is where it was.
    pub fn listen(&self, config: &Config) -> Result<(), IoError> {
        let (wanted, hosts) = (config.metrics.listen, config.metrics.hosts());
        // A thread that panicked has left a whole value.
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.as_ref().map(PageServer::address) != wanted {
            *page = wanted.map(|address| serve(address, hosts, &self.shown)).transpose()?;
        } else if let Some(page) = &*page {
            page.set_hosts(hosts.to_vec());
        }
        Ok(())
    }
}
