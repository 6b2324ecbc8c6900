//! The application of the demo and of the gateway's tests: it acknowledges each message of a client.

use super::Failure;
use lockstep_app::{Acknowledger, App, AppSettings, SnapshotMode};
use lockstep_client::Endpoint;

/// Begins with the stream's first entry.
///
/// # Errors
/// The device cannot be opened, or no leader answers.
pub fn connect(endpoint: &Endpoint) -> Result<App<Acknowledger>, Failure> {
    let mut settings = AppSettings::new(Acknowledger::NAME, 1, "");
    settings.nonce = Acknowledger::NONCE;
    settings.snapshot_mode = SnapshotMode::Never;
    Ok(App::connect(endpoint, settings, Acknowledger::default)?)
}
