//! The application of the demo and of the gateway's tests: it acknowledges each message of a client.

use super::Failure;
use lockstep_app::{Acknowledger, App, AppSettings, SnapshotMode};
use lockstep_client::{Endpoint, Seq};

/// Copy `number`, which begins with the stream's first entry. It reports no digests: the demo counts each
/// message of the stream.
///
/// # Errors
/// The device cannot be opened, or no leader answers.
pub fn connect(endpoint: &Endpoint, number: u8) -> Result<App<Acknowledger>, Failure> {
    let mut settings = AppSettings::new(Acknowledger::NAME, number, "");
    settings.digest_every = Seq::MAX;
    settings.nonce = Acknowledger::NONCE;
    settings.snapshot_mode = SnapshotMode::Never;
    Ok(App::connect(endpoint, settings, Acknowledger::default)?)
}
