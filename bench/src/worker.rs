//! A thread that works until it is told to end, by who waits for what it found or by who drops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// See the module.
pub struct Worker<T> {
    name: &'static str,
    thread: Option<JoinHandle<Result<T, String>>>,
    ending: Arc<AtomicBool>,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts it; `work` is to return soon after its flag is set.
    ///
    /// # Errors
    /// There can be no other thread.
    pub fn start(
        name: &'static str,
        work: impl FnOnce(&AtomicBool) -> Result<T, String> + Send + 'static,
    ) -> Result<Self, String> {
        let ending = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&ending);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&theirs));
        let thread = thread.map_err(|error| format!("starting the thread of the {name}: {error}"))?;
        Ok(Self { name, thread: Some(thread), ending })
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it; what it found.
    ///
    /// # Errors
    /// In words, what went wrong.
    pub fn end(mut self) -> Result<T, String> {
        self.ending.store(true, Ordering::Release);
        let thread = self.thread.take().ok_or_else(|| format!("the {} was ended before", self.name))?;
        thread.join().map_err(|_| format!("the {} panicked; its words are above", self.name))?
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
    }
}
