//! # duty: the loop of a hot thread
//!
//! One turn, one `now`: whatever a turn does, it does at one instant, so its decisions agree. A turn that
//! did work is followed by the next at once; the idle strategy acts only after an idle turn.

use lockstep_core::engine::ports::PARK_NS_MAX;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Waiter;
use lockstep_wire::Nanos;
use std::sync::atomic::{AtomicBool, Ordering};

/// The result of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Turn {
    /// How much it did: datagrams, messages, expired deadlines. 0 is "idle".
    pub work: usize,
    /// When it wants to be called again although nothing arrives.
    pub next_deadline: Option<Nanos>,
    /// A number that moves with the traffic, and with nothing else; `None`: all work is traffic.
    pub progress: Option<u64>,
}

impl From<usize> for Turn {
    /// A turn that has no deadline to keep.
    fn from(work: usize) -> Self {
        Self { work, next_deadline: None, progress: None }
    }
}

/// Calls `turn` until `stop` is set; after an idle turn `waiter` passes the time. The flag is checked once
/// per turn, and a parked thread returns within [`PARK_NS_MAX`]. Returns the number of turns.
pub fn run<T: Into<Turn>>(
    turn: &mut impl FnMut(Nanos) -> T,
    clock: &Clock,
    waiter: &mut Waiter,
    stop: &AtomicBool,
) -> u64 {
    let (mut turns, mut worked) = (0, 0);
    while !stop.load(Ordering::Acquire) {
        let now = clock.now();
        let result = turn(now).into();
        turns += 1;
        worked += result.work as u64;
        if result.work == 0 {
            let wait_ns = result.next_deadline.map_or(PARK_NS_MAX, |deadline| deadline.saturating_sub(now));
            waiter.on_progress(result.progress.unwrap_or(worked));
            waiter.wait(wait_ns);
        }
    }
    turns
}
