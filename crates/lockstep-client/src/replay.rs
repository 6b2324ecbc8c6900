//! A reader's connection to a journal, between the subscription that requests it and the socket.

use super::sleep::until;
use lockstep_core::engine::replay::ReplayStep;
use lockstep_core::engine::subscriber::{SubscriberCore, SubscriberEvent};
use lockstep_io::source::{Polled, ReplayConnection};
use lockstep_wire::{Nanos, SMALL_LEN_MAX};
use std::ops::ControlFlow;
use std::time::Duration;

/// While a journal is read over TCP, the connection is polled this often: connections are opened and closed,
/// and a sleep only waits for the sockets with which it began.
const REPLAY_POLL: Duration = Duration::from_millis(1);

/// The connection: see the module.
#[derive(Debug, Default)]
pub(super) struct Replay(ReplayConnection);

impl Replay {
    /// Reads from the connection, if `core` requests one. Returns the work done.
    pub(super) fn poll(
        &mut self,
        core: &mut SubscriberCore,
        now: Nanos,
        f: &mut impl FnMut(SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> usize {
        let Self(source) = self;
        match core.poll_replay(now) {
            Some(ReplayStep::Open(to)) => {
                let mut request = [0; SMALL_LEN_MAX];
                let opened =
                    core.write_replay_request(&mut request).map(|len| source.open(to, &request[..len]));
                if !matches!(opened, Some(Ok(()))) {
                    core.on_replay_lost(now);
                }
            }
            Some(ReplayStep::Close) => source.close(),
            None => {}
        }
        match source.poll(|bytes| core.on_replay(now, bytes, f)) {
            Polled::Nothing => 0,
            Polled::Bytes(bytes) => bytes,
            Polled::Lost => {
                source.close();
                core.on_replay_lost(now);
                0
            }
        }
    }

    /// The time from `now` until the handle must be polled, given its engine's deadline.
    pub(super) fn due(&self, deadline: Nanos, now: Nanos) -> Duration {
        if self.0.is_open() { REPLAY_POLL } else { until(deadline, now) }
    }
}
