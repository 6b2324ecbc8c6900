//! The subscribers' processes.

use super::listener::{ListenerArguments, Received, Report};
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
    reports: Receiver<Result<Report, String>>,
    received: Vec<Received>,
}

impl Listeners {
    /// Starts them all, and waits until each is ready.
    ///
    /// # Errors
    /// One did not start, or ended; in its own words on standard error.
    pub fn start(which: impl Iterator<Item = ListenerArguments>) -> Result<Self, String> {
        let (tell, reports) = channel();
        let mut all = Self { children: Vec::new(), reports, received: Vec::new() };
        for arguments in which {
            all.children.push(start(&arguments, tell.clone())?);
        }
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..all.children.len() {
            match all.next(deadline)? {
                Report::Ready => {}
                Report::Received(_) => return Err("a subscriber ended before the first message".to_owned()),
            }
        }
        Ok(all)
    }

    fn next(&self, deadline: Instant) -> Result<Report, String> {
        match self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(report) => report,
            Err(RecvTimeoutError::Timeout) => Err(format!("a subscriber said nothing within {PATIENCE:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("the subscribers are gone".to_owned()),
        }
    }

    /// Whether all have said what they heard, without waiting.
    ///
    /// # Errors
    /// One ended without.
    pub fn have_all(&mut self) -> Result<bool, String> {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report?);
        }
        Ok(self.received.len() == self.children.len())
    }

    fn take(&mut self, report: Report) {
        if let Report::Received(received) = report {
            self.received.push(received);
        }
    }

    /// Ends them, and returns what each heard.
    ///
    /// # Errors
    /// One ended without saying it.
    pub fn end(mut self) -> Result<Vec<Received>, String> {
        self.children.iter_mut().for_each(Own::end_input);
        let deadline = Instant::now() + PATIENCE;
        while self.received.len() < self.children.len() {
            let report = self.next(deadline)?;
            self.take(report);
        }
        Ok(std::mem::take(&mut self.received))
    }
}

fn start(arguments: &ListenerArguments, tell: Sender<Result<Report, String>>) -> Result<Own, String> {
    let mut command = Command::new(child::itself()?);
    command.arg("listener").args(arguments.flags());
    let mut listener = Own::start("a subscriber", command, Duration::ZERO)?;
    let mut reported_all = false;
    listener.follow(move |report| {
        let report = match report {
            Some(report) => report,
            None if reported_all => return false,
            None => Err("a subscriber ended before it said what it heard".to_owned()),
        };
        reported_all |= matches!(report, Ok(Report::Received(_)));
        // Nobody listens when the measurement is over.
        tell.send(report).is_ok()
    })?;
    Ok(listener)
}
