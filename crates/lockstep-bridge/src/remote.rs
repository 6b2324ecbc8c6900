//! Calls to a server: each has a bound in time, after which the target counts as stalled.

use crate::clock;
use crate::failure::{BridgeFailure, FAILED, USAGE};
use crate::target::TargetError;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Longest time between two looks at the request to stop.
const LOOK: Duration = Duration::from_millis(100);
/// A call of a process that is asked to stop may take so long.
const STOPPING: Duration = Duration::from_secs(2);

/// Runs the calls of one target.
#[derive(Debug)]
pub struct Remote {
    runtime: Runtime,
    timeout: Duration,
    stop: Arc<AtomicBool>,
}

impl Remote {
    /// Calls take `timeout` at most.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(timeout: Duration, stop: Arc<AtomicBool>) -> Result<Self, BridgeFailure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| {
            BridgeFailure::new(FAILED, format!("the target's thread does not start: {error}"))
        })?;
        Ok(Self { runtime, timeout, stop })
    }

    /// The longest time of a call.
    #[cfg(any(feature = "nats", feature = "kafka"))]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs a task beside the calls.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Tasks that are started while the guard lives run beside the calls.
    #[cfg(feature = "nats")]
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn call<T>(&self, call: impl Future<Output = T>) -> Result<T, TargetError> {
        let began = clock::now();
        self.runtime.block_on(async {
            let mut call = std::pin::pin!(call);
            loop {
                if let Ok(answer) = tokio::time::timeout(LOOK, &mut call).await {
                    return Ok(answer);
                }
                let is_stopping = self.stop.load(Ordering::Acquire);
                let bound = if is_stopping { self.timeout.min(STOPPING) } else { self.timeout };
                if began.elapsed() >= bound {
                    return Err(TargetError::retry(format_args!("does not answer for {bound:?}")));
                }
            }
        })
    }
}

/// A password or token: the first line of the file, or else what the variable has.
///
/// # Errors
/// The file cannot be read.
pub fn secret(file: Option<&Path>, variable: &str) -> Result<Option<String>, BridgeFailure> {
    let Some(path) = file else { return Ok(std::env::var(variable).ok()) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| BridgeFailure::new(USAGE, format!("--password-file {}: {error}", path.display())))?;
    Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
}
