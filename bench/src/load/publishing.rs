//! A publisher beside readers, whose messages say their number and when they were due.

use crate::check::write_message;
use lockstep_client::{Endpoint, Publisher};
use lockstep_trial::load::PacedPublisher;
use lockstep_wire::Nanos;
use std::time::Duration;

/// How long the name may take to be opened.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub struct Publishing {
    /// What publishes and counts.
    pub paced: PacedPublisher,
    payload: Vec<u8>,
}

impl Publishing {
    /// Opens a name for `rate` messages of `size` bytes a second.
    ///
    /// # Errors
    /// In words, what could not be opened.
    pub fn open(endpoint: &Endpoint, rate: u64, size: usize) -> Result<Self, String> {
        let publisher = Publisher::connect(endpoint).map_err(|error| error.to_string())?;
        let paced = PacedPublisher::open(publisher, "load", OPEN_TIMEOUT, rate);
        Ok(Self { paced: paced.map_err(|error| error.to_string())?, payload: vec![0x5a; size] })
    }

    /// Hands over what is due, each message with its number, its time and what `mark` writes. Returns how
    /// many.
    ///
    /// # Errors
    /// A message that is not taken, but for a full window.
    pub fn publish(&mut self, now: Nanos, mark: impl Fn(&mut [u8])) -> Result<usize, String> {
        let Self { paced, payload } = self;
        let taken = paced.publish(now, 0, payload, |payload, number, due| {
            write_message(payload, number, due);
            mark(payload);
        });
        taken.map_err(|error| format!("message {} was not taken: {error}", paced.published))
    }

    /// One turn of the publisher. Returns the work done.
    ///
    /// # Errors
    /// The name is lost.
    pub fn poll(&mut self) -> Result<usize, String> {
        self.paced.poll().map_err(|end| format!("the publisher of the load: {end}"))
    }
}
