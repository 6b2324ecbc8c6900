//! The load beside readers: a process that publishes as fast as its window lets it.

use crate::child::{Own, input_ends, itself, report};
use crate::cluster::{self, MESSAGE_LEN};
use crate::load::OPEN_TIMEOUT;
use lockstep_client::{EVERYBODY, PublishError, Publisher, PublisherEvent, PublisherId};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest sleep while its window is full.
const WAIT: Duration = Duration::from_millis(1);

/// A load that runs.
pub struct Load(Own);

impl Load {
    /// Starts one, and returns once its first message is committed.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(config: &Path) -> Result<Self, String> {
        let mut command = Command::new(itself()?);
        command.arg("language-load").arg(config);
        let mut process = Own::start("a load", command, PATIENCE)?;
        let (line, _) = process.first_line()?;
        if line != "ready\n" {
            return Err("the load did not start; its words are above".to_owned());
        }
        Ok(Self(process))
    }

    /// Ends it once each of its messages has its outcome.
    ///
    /// # Errors
    /// It failed before.
    pub fn end(mut self) -> Result<(), String> {
        self.0.end_input();
        let ended = lockstep_process::child::await_end(self.0.child(), PATIENCE);
        match ended.map_err(|error| format!("awaiting the load: {error}"))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the load ended with {status}; its words are above")),
            None => Err(format!("the load did not end within {PATIENCE:?}")),
        }
    }
}

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct LoadArguments {
    /// The cluster's file.
    config: PathBuf,
}

/// Publishes until standard input ends.
///
/// # Errors
/// In words, what went wrong.
pub fn publish(arguments: &LoadArguments) -> Result<(), String> {
    let over = input_ends();
    let endpoint = cluster::endpoint(&cluster::load(&arguments.config)?)?;
    let mut publisher = Publisher::connect(&endpoint).map_err(|error| error.to_string())?;
    let id = publisher.open("load", OPEN_TIMEOUT).map_err(|error| error.to_string())?;
    let (mut is_ready, mut ended) = (false, None);
    loop {
        let is_over = over.load(Ordering::Acquire);
        if !is_over {
            fill(&mut publisher, id)?;
        }
        let mut has_committed = false;
        let work = publisher.poll(usize::MAX, |event| {
            has_committed |= matches!(event, PublisherEvent::Committed { .. });
        });
        if has_committed && !is_ready {
            report("ready")?;
            is_ready = true;
        }
        if is_over && publisher.is_drained() {
            return Ok(());
        }
        if is_over && ended.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(format!("messages have no outcome after {PATIENCE:?}"));
        }
        if work == 0 {
            publisher.wait(WAIT).map_err(|error| error.to_string())?;
        }
    }
}

/// Publishes until the window is full.
fn fill(publisher: &mut Publisher, id: PublisherId) -> Result<(), String> {
    loop {
        match publisher.try_publish(id, EVERYBODY, &[0x5a; MESSAGE_LEN]) {
            Ok(_) => {}
            Err(PublishError::Backpressure) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}
