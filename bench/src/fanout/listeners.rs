//! The subscribers' processes.

use super::listener::{Heard, ListenerArguments, Said};
use crate::child::{self, Own};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// No process takes nearly so long to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Listeners {
    children: Vec<Own>,
    /// What they say; an error is the end of one that had not said all.
    told: Receiver<Result<Said, String>>,
    heard: Vec<Heard>,
}

impl Listeners {
    /// Starts them all, and waits until each is ready.
    ///
    /// # Errors
    /// One did not start, or ended; in its own words on standard error.
    pub fn start(which: impl Iterator<Item = ListenerArguments>) -> Result<Self, String> {
        let (tell, told) = channel();
        let mut all = Self { children: Vec::new(), told, heard: Vec::new() };
        for arguments in which {
            all.children.push(start(&arguments, tell.clone())?);
        }
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..all.children.len() {
            match all.next(deadline)? {
                Said::Ready => {}
                Said::Heard(_) => return Err("a subscriber ended before the first message".to_owned()),
            }
        }
        Ok(all)
    }

    fn next(&self, deadline: Instant) -> Result<Said, String> {
        match self.told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => Err(format!("a subscriber said nothing within {PATIENCE:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("the subscribers are gone".to_owned()),
        }
    }

    /// Whether all have said what they heard, without waiting.
    ///
    /// # Errors
    /// One ended without.
    pub fn have_all(&mut self) -> Result<bool, String> {
        while let Ok(said) = self.told.try_recv() {
            self.take(said?);
        }
        Ok(self.heard.len() == self.children.len())
    }

    fn take(&mut self, said: Said) {
        if let Said::Heard(heard) = said {
            self.heard.push(heard);
        }
    }

    /// Ends them, and returns what each heard.
    ///
    /// # Errors
    /// One ended without saying it.
    pub fn end(mut self) -> Result<Vec<Heard>, String> {
        self.children.iter_mut().for_each(Own::end_input);
        let deadline = Instant::now() + PATIENCE;
        while self.heard.len() < self.children.len() {
            let said = self.next(deadline)?;
            self.take(said);
        }
        Ok(std::mem::take(&mut self.heard))
    }
}

fn start(arguments: &ListenerArguments, tell: Sender<Result<Said, String>>) -> Result<Own, String> {
    let mut command = Command::new(child::itself()?);
    command.arg("listener").args(arguments.flags());
    let mut listener = Own::start("a subscriber", command, Duration::ZERO)?;
    let mut said_all = false;
    listener.follow(move |said| {
        let said = match said {
            Some(said) => said,
            None if said_all => return false,
            None => Err("a subscriber ended before it said what it heard".to_owned()),
        };
        said_all |= matches!(said, Ok(Said::Heard(_)));
        // Nobody listens when the measurement is over.
        tell.send(said).is_ok()
    })?;
    Ok(listener)
}
