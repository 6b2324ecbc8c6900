//! Fetches the missing parts of a damaged segment from other journals, for the side thread that mends it.
//!
//! A connection and its thread exist only while something is missing.

use crate::io::replay::Fetch;
use lockstep_core::engine::replay::ReplayLimits;
use lockstep_replica::journal::Missing;
use lockstep_replica::journal::side::SideThread;
use lockstep_replica::replica::CatchUpPlan;
use lockstep_wire::{Header, Nanos};

/// How long other journals may take to send the missing frames of one hole.
const PATIENCE_NS: Nanos = 30_000_000_000;
/// The most frames that are taken in one turn: urgent work waits for them.
const FRAMES_PER_TURN: usize = 256;

/// The mender: see the module.
pub(super) struct Mender {
    limits: ReplayLimits,
    fetch: Option<Fetch>,
    /// The next result of the fetching thread.
    expected: Option<Missing>,
    until: Nanos,
}

impl std::fmt::Debug for Mender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mender({:?}, of {} sources)", self.expected, self.limits.sources.len())
    }
}

impl Mender {
    /// A mender that asks the sources of `limits`.
    pub fn new(limits: ReplayLimits) -> Self {
        Self { limits, fetch: None, expected: None, until: 0 }
    }

    /// Requests the missing frames of `side`, and passes on those that have arrived.
    pub fn turn(&mut self, side: &mut SideThread, now: Nanos) {
        let Some(missing) = side.missing() else {
            (self.fetch, self.expected) = (None, None);
            return;
        };
        if self.limits.sources.is_empty() {
            side.bring_nothing(
                "no other replica or archiver is configured that could supply its frames".into(),
            );
            return;
        }
        if self.expected != Some(missing) {
            if let Err(error) = self.request(missing) {
                side.bring_nothing(error);
                return;
            }
            (self.expected, self.until) = (Some(missing), now + PATIENCE_NS);
        }
        let Some(fetch) = &mut self.fetch else { return };
        let expected = &mut self.expected;
        fetch.take(FRAMES_PER_TURN, |frame| {
            let Some(header) = Header::peek(frame).filter(|_| expected.is_some()) else { return false };
            let goes_on = side.bring(frame);
            // After a run of good records the next hole is another order.
            let next = header.next_seq();
            *expected = side.missing().filter(|missing| goes_on && missing.from == next);
            true
        });
        let from = missing.from;
        let why = match fetch.refused().filter(|_| self.expected.is_some()) {
            Some(why) => format!("no other journal has the same seq {from}: {why}"),
            None if self.expected.is_some() && now > self.until => {
                format!("no node has sent seq {from} and the entries after it within 30 s")
            }
            None => return,
        };
        side.bring_nothing(why);
        (self.fetch, self.expected) = (None, None);
    }

    fn request(&mut self, missing: Missing) -> Result<(), String> {
        let fetch = match &mut self.fetch {
            Some(fetch) => fetch,
            None => {
                let started = Fetch::start(self.limits.clone()).map_err(|error| error.to_string())?;
                self.fetch.insert(started)
            }
        };
        // The chain proves the frames, whatever the history's present id is.
        let Missing { from, chain, .. } = missing;
        fetch.request(Some(CatchUpPlan::new(0, from, Some(chain))));
        Ok(())
    }
}
