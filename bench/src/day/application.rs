//! The application of an endurance run: a process that acknowledges each order of a client, and writes
//! snapshots.

use crate::child::{input_ends, report};
use crate::cluster;
use lockstep_app::{Acknowledger, App, AppSettings};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest sleep: a timer may be due.
const PAUSE: Duration = Duration::from_millis(1);

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct ApplicationArguments {
    /// The cluster's file.
    config: PathBuf,
    /// The folder of its snapshots.
    folder: PathBuf,
    /// Entries from one snapshot to the next.
    #[arg(long)]
    snapshot_every: u64,
}

/// Runs until standard input ends.
///
/// # Errors
/// In words, why it cannot go on.
pub fn run(arguments: &ApplicationArguments) -> Result<(), String> {
    let over = input_ends();
    let endpoint = cluster::endpoint(&cluster::load(&arguments.config)?)?;
    let mut settings = AppSettings::new(Acknowledger::NAME, 1, &arguments.folder);
    settings.snapshot_every = arguments.snapshot_every;
    let fails = |error: lockstep_app::AppError| error.to_string();
    let mut app = App::connect(&endpoint, settings, Acknowledger::default).map_err(fails)?;
    report("ready")?;
    while !over.load(Ordering::Acquire) || !app.is_drained() {
        if app.turn(|_, _| {}).map_err(fails)? == 0 {
            app.wait(app.due().min(PAUSE)).map_err(fails)?;
        }
    }
    Ok(())
}
